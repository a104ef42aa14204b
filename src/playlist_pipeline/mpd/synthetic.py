r"""Synthetic archives in the format of the Million Playlist Dataset, from a seed.

Format: what Python 2's `json.dump(slice, file, indent=4)` wrote: a blank after the comma at each line's end, ASCII with
`\uXXXX` escapes (surrogate pairs beyond U+FFFF), keys in the order of the published slices. `description`, which few
playlists have, is the last key, after `num_artists`. Members are `data/mpd.slice.<first pid>-<last pid>.json`, 1,000
playlists each, and `md5sums`, which `md5sum -c` accepts.

World: genres with eras, each cut into scenes. Artists live in one scene, albums belong to one artist, tracks to one
album, and ids are given in that order, so that a scene, an artist and an album are ranges of track ids, and one array
of cumulative weights serves to draw from any of them by popularity. Names are arithmetic on ids and hold no memory.

Playlists: a kind (genre, genre in an era, era, artist, mood, everything) gives up to four slots (a genre or a part of
it). Tracks come in runs: from the slot's scene, which drifts to neighbour scenes, from a favourite artist, from an
album in order, from a guest artist of a related genre, or from anywhere.

Reproducible: slice s depends on the configuration and s alone. Only `Generator(PCG64).random()`, exactly rounded
arithmetic and integer cumulative weights decide, so members' bytes are the same with every version of NumPy. The zip
around them may differ between builds of zlib.
"""

import argparse
import functools
import hashlib
import json
import logging
import math
import multiprocessing
import os
import re
import shutil
import struct
import sys
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_file
from playlist_pipeline.mpd import synthetic_words as words

logger = logging.getLogger(__name__)

PLAYLISTS_PER_SLICE = 1000
_MOST_SLICES = 1_000_000

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SyntheticConfig:
    """What to write: the size of the world and the shape of its playlists.

    Attributes:
        num_playlists: Playlists in the archive.
        num_artists: Artists of the world; every artist has an album.
        num_albums: Albums of the world; every album has a track.
        num_tracks: Tracks of the world.
        scenes_per_era: Scenes that each genre has in each of its eras.
        artist_exponent: Artists' popularity is (rank + artist_offset) to the power of minus this many eighths.
        artist_offset: See `artist_exponent`; flattens the top.
        track_exponent: The same for the tracks of one artist, in eighths.
        length_log_mean: Mean of the logarithm of a playlist's length, before it is cut to the limits.
        length_log_sigma: Standard deviation of that logarithm.
        shortest: Fewest tracks in a playlist.
        longest: Most tracks in a playlist.
        debut_slices: Every track appears at least once within this many slices; 0 leaves that to chance.
        compression_level: zlib's, 1 to 9.
        bytes_per_track: Zipped bytes that one entry of a playlist takes at most, for the check of the disk's room.
        seed: Everything else follows from it.
    """

    num_playlists: int
    num_artists: int
    num_albums: int
    num_tracks: int
    scenes_per_era: int
    artist_exponent: int
    artist_offset: int
    track_exponent: int
    length_log_mean: float
    length_log_sigma: float
    shortest: int
    longest: int
    debut_slices: int
    compression_level: int
    bytes_per_track: int
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.num_playlists <= _MOST_SLICES * PLAYLISTS_PER_SLICE:
            raise UserError(f"synthetic archive: num_playlists is {self.num_playlists}, must be at least 1")
        if self.seed < 0:
            raise UserError(f"synthetic archive: seed is {self.seed}, must not be negative")
        if not 0 < 4 * _count_scenes(self.scenes_per_era) <= self.num_artists <= self.num_albums <= self.num_tracks:
            raise UserError(
                f"synthetic archive: {self.num_artists} artists, {self.num_albums} albums, {self.num_tracks} tracks: "
                f"give at least {4 * _count_scenes(self.scenes_per_era)} artists, no fewer albums, no fewer tracks"
            )

    @property
    def num_slices(self) -> int:
        """Slices of the archive, the last perhaps not full."""
        return -(-self.num_playlists // PLAYLISTS_PER_SLICE)

    @classmethod
    def sample(cls, seed: int = 2018) -> Self:
        """The bundled sample: 1,500 playlists of about 30 tracks, with more than 10,000 tracks."""
        return cls(
            num_playlists=1500,
            num_artists=1200,
            num_albums=3000,
            num_tracks=13000,
            scenes_per_era=2,
            artist_exponent=6,
            artist_offset=10,
            track_exponent=6,
            length_log_mean=3.19,
            length_log_sigma=0.7,
            shortest=5,
            longest=150,
            debut_slices=0,
            compression_level=9,
            bytes_per_track=100,
            seed=seed,
        )

    @classmethod
    def mpd(cls, num_slices: int = 1000, seed: int = 2018) -> Self:
        """The marginals of the Million Playlist Dataset; with 1,000 slices every track of the world appears."""
        if not 1 <= num_slices <= _MOST_SLICES:
            raise UserError(f"synthetic archive: slices is {num_slices}, must be from 1 to {_MOST_SLICES}")
        return cls(
            num_playlists=num_slices * PLAYLISTS_PER_SLICE,
            num_artists=295_860,
            num_albums=734_684,
            num_tracks=2_262_292,
            scenes_per_era=16,
            artist_exponent=16,
            artist_offset=200,
            track_exponent=15,
            length_log_mean=3.885,
            length_log_sigma=0.85,
            shortest=5,
            longest=376,
            debut_slices=1000,
            compression_level=5,
            bytes_per_track=120,
            seed=seed,
        )


@dataclass(frozen=True)
class SyntheticReport:
    """What an archive holds; tracks, albums, artists and titles are distinct ones, sizes are in bytes."""

    slices: int
    playlists: int
    memberships: int
    tracks: int
    albums: int
    artists: int
    titles: int
    json_bytes: int
    archive_bytes: int


# Numbers ------------------------------------------------------------------------------------------------------------


def _open_stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, *key]))


def _raise_to_eighths(base: Floats, eighths: int) -> Floats:
    """Returns base ** (eighths / 8) by products of square roots, which every platform rounds alike."""
    root = np.sqrt(np.sqrt(np.sqrt(base)))
    power = np.ones_like(base)
    for _ in range(eighths):
        power = power * root
    return power


def _accumulate(weights: Floats) -> Ints:
    """Returns int64[n + 1]: cumulative weights from 0, scaled to a total of about 2**50, each at least 1 wide."""
    scale = 2.0**50 / float(np.cumsum(weights)[-1])
    cumulative = np.zeros(len(weights) + 1, dtype=np.int64)
    np.cumsum(np.floor(weights * scale).astype(np.int64) + 1, out=cumulative[1:])
    return cumulative


def _draw(cumulative: Ints, low: Any, high: Any, uniform: Floats) -> Ints:
    """Draws an index in [low, high) by weight for each uniform number in [0, 1)."""
    start = cumulative[low]
    target = start + np.floor(uniform * (cumulative[high] - start)).astype(np.int64)
    return np.searchsorted(cumulative, target, side="right") - 1


def _spread(total: int, num_bins: int, weights: Floats, rng: np.random.Generator, least: int = 1) -> Ints:
    """Returns int64[num_bins + 1] offsets: `total` things in bins of at least `least`, the rest drawn by weight."""
    cumulative = _accumulate(weights)
    extra = _draw(cumulative, 0, num_bins, rng.random(total - least * num_bins))
    offsets = np.zeros(num_bins + 1, dtype=np.int64)
    np.cumsum(np.bincount(extra, minlength=num_bins) + least, out=offsets[1:])
    return offsets


def _number_within(starts: Ints, size: int) -> Ints:
    """Returns int64[size]: for each place the index of the last start at or before it; starts[0] is 0."""
    marks = np.zeros(size, dtype=np.int64)
    marks[starts] = 1
    return np.cumsum(marks) - 1


def _mix(values: Ints, salt: int) -> NDArray[np.uint64]:
    """Returns a 64-bit hash of each value, one to one for a given salt (splitmix64's finaliser)."""
    x = values.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


_BASE62 = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


def _make_keys(ids: Ints, salt: int) -> list[str]:
    """Returns the 22 base-62 characters of each id's URI."""
    characters = np.empty((len(ids), 22), dtype=np.uint8)
    for half in range(2):
        # Two bits less, so that the first character stays small, as in real URIs.
        rest = _mix(ids, salt + half) >> np.uint64(2)
        for column in range(half * 11 + 10, half * 11 - 1, -1):
            rest, digit = np.divmod(rest, np.uint64(62))
            characters[:, column] = _BASE62[digit]
    text = characters.tobytes().decode("ascii")
    return [text[i : i + 22] for i in range(0, len(text), 22)]


# World --------------------------------------------------------------------------------------------------------------

_GENRE_INDEX = {genre.name: index for index, genre in enumerate(words.GENRES)}
_NUM_GENRES = len(words.GENRES)
_NUM_ERAS = len(words.ERAS)


def _count_scenes(scenes_per_era: int) -> int:
    return scenes_per_era * sum(len(genre.eras) for genre in words.GENRES)


class World(NamedTuple):
    """Ranges and weights; G genres, S scenes, A artists, B albums, T tracks.

    Attributes:
        scene_genre: int64[S].
        scene_era: int64[S].
        genre_scenes: int64[G + 1], first scene of each genre.
        era_scenes: int64[G, E, 2], first and past-the-last scene of a genre in an era; equal when it has none.
        scene_artists: int64[S + 1], first artist of each scene.
        scene_tracks: int64[S + 1], first track of each scene.
        artist_albums: int64[A + 1], first album of each artist.
        artist_tracks: int64[A + 1], first track of each artist.
        album_tracks: int64[B + 1], first track of each album.
        track_weights: int64[T + 1], cumulative popularity.
        genre_weights: int64[G + 1], cumulative share of listening.
        guests: For each genre, the artists of other genres that also play it.
        guest_weights: For each genre, the cumulative popularity of its guests.
    """

    scene_genre: Ints
    scene_era: Ints
    genre_scenes: Ints
    era_scenes: Ints
    scene_artists: Ints
    scene_tracks: Ints
    artist_albums: Ints
    artist_tracks: Ints
    album_tracks: Ints
    track_weights: Ints
    genre_weights: Ints
    guests: tuple[Ints, ...]
    guest_weights: tuple[Ints, ...]


def _list_scenes(scenes_per_era: int) -> tuple[Ints, Ints, Floats]:
    rows = [
        (index, words.ERAS.index(era), genre.weight * share / scenes_per_era)
        for index, genre in enumerate(words.GENRES)
        for era, share in genre.eras
        for _ in range(scenes_per_era)
    ]
    genre, era, weight = zip(*rows, strict=True)
    return np.array(genre), np.array(era), np.array(weight)


def _find_era_scenes(scene_genre: Ints, scene_era: Ints) -> Ints:
    cells = np.zeros((_NUM_GENRES, _NUM_ERAS, 2), dtype=np.int64)
    for genre in range(_NUM_GENRES):
        for era in range(_NUM_ERAS):
            found = np.flatnonzero((scene_genre == genre) & (scene_era == era))
            if len(found):
                cells[genre, era] = found[0], found[-1] + 1
    return cells


def _weigh_tracks(
    config: SyntheticConfig, artist_weights: Floats, artist_tracks: Ints, rng: np.random.Generator
) -> Ints:
    """Shares each artist's weight among the artist's tracks by a random order of them."""
    artist = np.repeat(np.arange(config.num_artists), np.diff(artist_tracks))
    order = np.lexsort((rng.random(config.num_tracks), artist))
    rank = np.empty(config.num_tracks)
    rank[order] = np.arange(config.num_tracks) - artist_tracks[artist]
    share = 1.0 / _raise_to_eighths(rank + 2.0, config.track_exponent)
    total = np.bincount(artist, weights=share, minlength=config.num_artists)
    return _accumulate(share / total[artist] * artist_weights[artist])


def _choose_guests(scene_genre: Ints, scene_artists: Ints, rng: np.random.Generator) -> tuple[Ints, ...]:
    """Gives a fifth of the artists a second genre, one related to their own."""
    num_artists = int(scene_artists[-1])
    genre = np.repeat(scene_genre, np.diff(scene_artists))
    is_guest, choice = rng.random(num_artists) < 0.2, rng.random(num_artists)
    related = [[_GENRE_INDEX[name] for name in entry.related] for entry in words.GENRES]
    table = np.array([[row[i % len(row)] for i in range(12)] for row in related])
    second = table[genre, np.floor(choice * 12).astype(np.int64)]
    return tuple(np.flatnonzero(is_guest & (second == index)) for index in range(_NUM_GENRES))


def build_world(config: SyntheticConfig) -> World:
    """Builds the world of a configuration: at the size of the MPD some 80 MB and a second or two."""
    rng = _open_stream(config.seed, 0)
    scene_genre, scene_era, scene_weight = _list_scenes(config.scenes_per_era)
    num_scenes = len(scene_genre)
    scene_weight = scene_weight * (0.4 + 1.2 * rng.random(num_scenes))
    scene_artists = _spread(config.num_artists, num_scenes, scene_weight, rng, least=4)
    rank: Floats = np.argsort(np.argsort(rng.random(config.num_artists), kind="stable"), kind="stable").astype(
        np.float64
    )
    weights = 1.0 / _raise_to_eighths(rank + float(config.artist_offset), config.artist_exponent)
    artist_albums = _spread(config.num_albums, config.num_artists, np.sqrt(weights), rng)
    is_long = (rng.random(config.num_albums) < 0.55).astype(np.float64)
    is_long[0] = 1.0
    album_tracks = _spread(config.num_tracks, config.num_albums, is_long, rng)
    artist_tracks = album_tracks[artist_albums]
    track_weights = _weigh_tracks(config, weights, artist_tracks, rng)
    popularity = np.diff(track_weights[artist_tracks]).astype(np.float64)
    guests = _choose_guests(scene_genre, scene_artists, rng)
    return World(
        scene_genre=scene_genre,
        scene_era=scene_era,
        genre_scenes=np.searchsorted(scene_genre, np.arange(_NUM_GENRES + 1)),
        era_scenes=_find_era_scenes(scene_genre, scene_era),
        scene_artists=scene_artists,
        scene_tracks=artist_tracks[scene_artists],
        artist_albums=artist_albums,
        artist_tracks=artist_tracks,
        album_tracks=album_tracks,
        track_weights=track_weights,
        genre_weights=_accumulate(np.array([genre.weight for genre in words.GENRES])),
        guests=guests,
        guest_weights=tuple(
            _accumulate(popularity[found]) if len(found) else np.zeros(1, np.int64) for found in guests
        ),
    )


# Playlists ----------------------------------------------------------------------------------------------------------

_GENRE, _GENRE_ERA, _ERA, _ARTIST, _MOOD, _ANY = range(6)
_KIND_WEIGHTS = _accumulate(np.array([0.30, 0.18, 0.05, 0.10, 0.27, 0.10]))
# Share of each of the four slots, one row per kind.
_SLOT_BOUNDS = np.cumsum(
    [
        [0.86, 0.10, 0.04, 0.0],
        [0.90, 0.07, 0.03, 0.0],
        [0.40, 0.30, 0.20, 0.1],
        [0.90, 0.10, 0.00, 0.0],
        [0.40, 0.30, 0.20, 0.1],
        [0.30, 0.30, 0.20, 0.2],
    ],
    axis=1,
)
_FROM_SCENE, _FROM_FAVOURITE, _FROM_GUEST, _FROM_ANYWHERE, _FROM_ALBUM = range(5)
# Share of each source of a short run, one row per kind; long runs do not depend on the kind.
_SHORT_BOUNDS = np.cumsum(
    [
        [0.60, 0.24, 0.06, 0.10],
        [0.64, 0.22, 0.03, 0.11],
        [0.60, 0.20, 0.03, 0.17],
        [0.25, 0.62, 0.03, 0.10],
        [0.58, 0.22, 0.06, 0.14],
        [0.48, 0.22, 0.05, 0.25],
    ],
    axis=1,
)
_LONG_RUN = 0.12
_DUPLICATES = 0.012
_NUM_FAVOURITES = 3


class _Heads(NamedTuple):
    """What n playlists are about; the last axis of the slots' arrays is 4."""

    kind: Ints
    length: Ints
    era: Ints
    mood: Ints
    slot_genre: Ints
    slot_low: Ints
    slot_high: Ints
    slot_scene: Ints
    favourites: Ints


def _pick_column(bounds: Floats, uniform: Floats) -> Ints:
    """Picks for each row the first column whose bound is above the uniform number."""
    return np.minimum((bounds <= uniform[:, None]).sum(axis=1), bounds.shape[1] - 1)


@functools.cache
def _weigh_lengths(log_mean: float, log_sigma: float, shortest: int, longest: int) -> Ints:
    lengths = range(shortest, longest + 1)
    weights = [math.exp(-(((math.log(n) - log_mean) / log_sigma) ** 2) / 2) / n for n in lengths]
    # Coarse on purpose: the last bits of exp and log differ between platforms.
    return _accumulate(np.array([float(round(weight * 1e6)) for weight in weights]))


@functools.cache
def _weigh_genres_of_eras() -> Floats:
    """Returns float64[E, G]: cumulative share of the genres that have an era."""
    weights = np.array(
        [[genre.weight * dict(genre.eras).get(era, 0.0) for genre in words.GENRES] for era in words.ERAS]
    )
    cumulative = np.cumsum(weights, axis=1)
    return cumulative / cumulative[:, -1:]


def _choose_slot_genres(world: World, kind: Ints, mood: Ints, era: Ints, rng: np.random.Generator) -> Ints:
    n = len(kind)
    genres = _draw(world.genre_weights, 0, _NUM_GENRES, rng.random((n, 4)).reshape(-1)).reshape(n, 4)
    of_era = np.stack([_pick_column(_weigh_genres_of_eras()[era], column) for column in rng.random((4, n))], axis=1)
    related = np.array([[_GENRE_INDEX[(genre.related * 4)[i]] for i in range(4)] for genre in words.GENRES])
    of_mood = np.array([[_GENRE_INDEX[name] for name in entry.genres] for entry in words.MOODS])
    own = np.concatenate([genres[:, :1], related[genres[:, 0]][:, :3]], axis=1)
    is_own = ((kind == _GENRE) | (kind == _GENRE_ERA) | (kind == _ARTIST))[:, None]
    slots = np.where(is_own, own, genres)
    slots = np.where((kind == _MOOD)[:, None], of_mood[mood], slots)
    return np.where((kind == _ERA)[:, None], of_era, slots)


def _find_scene(world: World, track: Ints) -> Ints:
    return np.searchsorted(world.scene_tracks, track, side="right") - 1


def _choose_heads(config: SyntheticConfig, world: World, n: int, rng: np.random.Generator) -> _Heads:
    kind = _draw(_KIND_WEIGHTS, 0, len(_KIND_WEIGHTS) - 1, rng.random(n))
    lengths = _weigh_lengths(config.length_log_mean, config.length_log_sigma, config.shortest, config.longest)
    length = config.shortest + _draw(lengths, 0, len(lengths) - 1, rng.random(n))
    moods = _accumulate(np.array([mood.weight for mood in words.MOODS]))
    mood = _draw(moods, 0, len(words.MOODS), rng.random(n))
    era = np.floor(rng.random(n) * _NUM_ERAS).astype(np.int64)
    genre = _choose_slot_genres(world, kind, mood, era, rng)
    low, high = world.genre_scenes[genre], world.genre_scenes[genre + 1]
    first = _draw(world.track_weights, world.scene_tracks[low[:, 0]], world.scene_tracks[high[:, 0]], rng.random(n))
    era = np.where(kind == _ERA, era, world.scene_era[_find_scene(world, first)])
    part = world.era_scenes[genre, era[:, None]]
    narrow = ((kind == _GENRE_ERA) | (kind == _ERA))[:, None] & (part[..., 1] > part[..., 0])
    low, high = np.where(narrow, part[..., 0], low), np.where(narrow, part[..., 1], high)
    home = _draw(world.track_weights, world.scene_tracks[low], world.scene_tracks[high], rng.random((n, 4)))
    scene = _find_scene(world, home)
    near_low, near_high = np.maximum(scene - 1, low), np.minimum(scene + 2, high)
    near = world.scene_tracks[near_low][..., None], world.scene_tracks[near_high][..., None]
    picks = _draw(world.track_weights, *near, rng.random((n, 4, _NUM_FAVOURITES)))
    favourites = np.searchsorted(world.artist_tracks, picks, side="right") - 1
    return _Heads(kind, length, era, mood, genre, low, high, scene, favourites)


class _Pieces(NamedTuple):
    """The runs of n playlists, cut at the playlists' ends: where each starts and what it draws from."""

    start: Ints
    playlist: Ints
    source: Ints
    slot: Ints
    scene: Ints
    favourite: Ints
    guest: Ints


def _cut_pieces(heads: _Heads, world: World, rng: np.random.Generator) -> _Pieces:
    offsets = np.concatenate([[0], np.cumsum(heads.length)])
    size = int(offsets[-1])
    is_long, uniform = rng.random(size) < _LONG_RUN, rng.random(size)
    # A short run has 1 or 2 tracks, a long one 3 to 10.
    run_length = np.where(is_long, 3 + np.floor(uniform * uniform * 8), 1 + (uniform < 0.25)).astype(np.int64)
    run_start = np.concatenate([[0], np.cumsum(run_length)])
    run_start = run_start[run_start < size]
    start = np.union1d(run_start, offsets[:-1])
    is_long = is_long[np.searchsorted(run_start, start, side="right") - 1]
    playlist = np.searchsorted(offsets, start, side="right") - 1
    num = len(start)
    kind = heads.kind[playlist]
    uniform = rng.random(num)
    short_source = _pick_column(_SHORT_BOUNDS[kind], uniform)
    long_source = np.where(uniform < 0.45, _FROM_ALBUM, np.where(uniform < 0.8, _FROM_FAVOURITE, _FROM_SCENE))
    slot = _pick_column(_SLOT_BOUNDS[kind], rng.random(num))
    favourite = _pick_column(np.array([[0.55, 0.85, 1.0]]), rng.random(num))
    return _Pieces(
        start=start,
        playlist=playlist,
        source=np.where(is_long, long_source, short_source),
        slot=slot,
        scene=_walk_scenes(heads, playlist, slot, rng),
        favourite=heads.favourites[playlist, slot, favourite],
        guest=_choose_piece_guests(heads, world, playlist, slot, rng),
    )


def _walk_scenes(heads: _Heads, playlist: Ints, slot: Ints, rng: np.random.Generator) -> Ints:
    """Walks from the slot's scene to neighbour scenes and back, a step at some runs, mirrored at the slot's ends."""
    uniform = rng.random(len(playlist))
    steps = np.cumsum((uniform > 0.88).astype(np.int64) - (uniform < 0.12))
    first = np.searchsorted(playlist, playlist, side="left")
    low, high = heads.slot_low[playlist, slot], heads.slot_high[playlist, slot]
    width = high - low
    place = (heads.slot_scene[playlist, slot] - low + steps - steps[first]) % (2 * width)
    return low + np.where(place < width, place, 2 * width - 1 - place)


def _choose_piece_guests(heads: _Heads, world: World, playlist: Ints, slot: Ints, rng: np.random.Generator) -> Ints:
    """Chooses an artist of another genre that also plays the slot's; the slot's favourite where there is none."""
    genre, uniform = heads.slot_genre[playlist, slot], rng.random(len(playlist))
    chosen = heads.favourites[playlist, slot, 0].copy()
    for index, guests in enumerate(world.guests):
        rows = np.flatnonzero(genre == index)
        if len(guests) and len(rows):
            chosen[rows] = guests[_draw(world.guest_weights[index], 0, len(guests), uniform[rows])]
    return chosen


def _find_repeats(playlist: Ints, track: Ints, num_tracks: int) -> Ints:
    """Returns the places whose track stands earlier in the same playlist."""
    key = playlist * num_tracks + track
    order = np.argsort(key, kind="stable")
    return np.sort(order[1:][key[order][1:] == key[order][:-1]])


def _choose_tracks(config: SyntheticConfig, world: World, heads: _Heads, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Returns the tracks of all playlists one after the other, and the scene that each place belongs to."""
    pieces = _cut_pieces(heads, world, rng)
    size = int(heads.length.sum())
    piece = _number_within(pieces.start, size)
    artist = np.where(pieces.source == _FROM_GUEST, pieces.guest, pieces.favourite)
    by_artist = (pieces.source == _FROM_FAVOURITE) | (pieces.source == _FROM_GUEST)
    low = np.where(by_artist, world.artist_tracks[artist], world.scene_tracks[pieces.scene])
    high = np.where(by_artist, world.artist_tracks[artist + 1], world.scene_tracks[pieces.scene + 1])
    anywhere = pieces.source == _FROM_ANYWHERE
    low, high = np.where(anywhere, 0, low), np.where(anywhere, config.num_tracks, high)
    track = _draw(world.track_weights, low[piece], high[piece], rng.random(size))
    track = _follow_albums(world, pieces, piece, track)
    playlist, slot = pieces.playlist[piece], pieces.slot[piece]
    scene = pieces.scene[piece]
    genre = heads.slot_genre[playlist, slot]
    wider = (
        (low[piece], high[piece], 2),
        (world.scene_tracks[scene], world.scene_tracks[scene + 1], 3),
        (world.scene_tracks[heads.slot_low[playlist, slot]], world.scene_tracks[heads.slot_high[playlist, slot]], 4),
        (world.scene_tracks[world.genre_scenes[genre]], world.scene_tracks[world.genre_scenes[genre + 1]], 8),
    )
    for range_low, range_high, rounds in wider:
        for _ in range(rounds):
            again = _find_repeats(playlist, track, config.num_tracks)
            track[again] = _draw(world.track_weights, range_low[again], range_high[again], rng.random(len(again)))
    return _repeat_some(heads, playlist, track, rng), scene


def _follow_albums(world: World, pieces: _Pieces, piece: Ints, track: Ints) -> Ints:
    """Makes the places of an album's run follow the run's first track in the album's order, as far as that goes."""
    leader = track[pieces.start[piece]]
    follower = leader + np.arange(len(piece)) - pieces.start[piece]
    end = world.album_tracks[np.searchsorted(world.album_tracks, leader, side="right")]
    return np.where((pieces.source[piece] == _FROM_ALBUM) & (follower < end), follower, track)


def _repeat_some(heads: _Heads, playlist: Ints, track: Ints, rng: np.random.Generator) -> Ints:
    """Copies an earlier track of the playlist to a few places, as people do by mistake."""
    start = np.cumsum(heads.length) - heads.length
    chosen, uniform = rng.random(len(track)) < _DUPLICATES, rng.random(len(track))
    place = np.arange(len(track))
    before = place - start[playlist]
    source = start[playlist] + np.floor(uniform * before).astype(np.int64)
    return np.where(chosen & (before > 0), track[source], track)


def _place_debuts(
    config: SyntheticConfig, world: World, number: int, track: Ints, scene: Ints, rng: np.random.Generator
) -> Ints:
    """Puts the tracks that must appear in this slice at places of their genre, near their scene."""
    if not config.debut_slices:
        return track
    debuts = np.arange(number % config.debut_slices, config.num_tracks, config.debut_slices)
    debut_genre = world.scene_genre[_find_scene(world, debuts)]
    place_genre = world.scene_genre[scene]
    lottery = rng.random(len(track))
    track, left = track.copy(), []
    free = np.ones(len(track), dtype=bool)
    for genre in range(_NUM_GENRES):
        coming, places = debuts[debut_genre == genre], np.flatnonzero(place_genre == genre)
        chosen = places[np.argsort(lottery[places], kind="stable")[: len(coming)]]
        chosen = chosen[np.lexsort((chosen, scene[chosen]))]
        track[chosen], free[chosen] = coming[: len(chosen)], False
        left.append(coming[len(chosen) :])
    late = np.concatenate(left)
    places = np.flatnonzero(free)
    places = places[np.argsort(lottery[places], kind="stable")[: len(late)]]
    track[places] = late[: len(places)]
    return track


# Names --------------------------------------------------------------------------------------------------------------


def _escape(text: str) -> str:
    return json.dumps(text)[1:-1]


class _Template(NamedTuple):
    """Literal texts and lists of words in turn.

    Attributes:
        parts: Literal texts, and the lists to choose from.
        again: For each part, whether its list has been used before.
        size: The number of names it can make.
        has_artist: Whether a literal holds the place of an artist's name.
        filled: The names made so far, which bounds their memory by the sum of all sizes, some 60 MB.
    """

    parts: tuple[str | tuple[str, ...], ...]
    again: tuple[bool, ...]
    size: int
    has_artist: bool
    filled: dict[int, str]


_ERA_LISTS = tuple(tuple(map(_escape, era)) for era in words.ERA_WORDS)


_ARTIST_PLACE = "\0"


@functools.cache
def _compile_template(genre: int, template: str, era: int) -> _Template:
    if era >= 0 and "{e}" not in template:
        return _compile_template(genre, template, -1)
    parts: list[str | tuple[str, ...]] = []
    again, seen, size = [], set(), 1
    for index, text in enumerate(re.split(r"\{(\w+)\}", template)):
        if index % 2 == 0 or text == "artist":
            parts.append(_escape(text) if index % 2 == 0 else _ARTIST_PLACE)
            again.append(False)
            continue
        choices = _ERA_LISTS[era] if text == "e" else tuple(map(_escape, words.GENRES[genre].lists[text]))
        parts.append(choices)
        again.append(text in seen)
        size *= len(choices) - (text in seen)
        seen.add(text)
    return _Template(tuple(parts), tuple(again), size, "{artist}" in template, {})


@functools.cache
def _find_stride(size: int) -> int:
    """Returns a number without common factor with `size`, near its golden section, to spread neighbours over words."""
    stride = size * 618 // 1000 + 1
    while math.gcd(stride, size) > 1:
        stride += 1
    return stride


def _spell_number(template: _Template, number: int) -> str:
    """Spells the name of a number in [0, size); a list used twice running gives two different words."""
    texts, last = [], -1
    for part, again in zip(template.parts, template.again, strict=True):
        if isinstance(part, str):
            texts.append(part)
        elif again:
            number, digit = divmod(number, len(part) - 1)
            last = (last + 1 + digit) % len(part)
            texts.append(part[last])
        else:
            number, last = divmod(number, len(part))
            texts.append(part[last])
    return "".join(texts)


def _fill_template(template: _Template, number: int, artist: str = "") -> str:
    text = template.filled.get(number)
    if text is None:
        text = template.filled[number] = _spell_number(template, number)
    return text.replace(_ARTIST_PLACE, artist) if template.has_artist else text


class _Names:
    """Spells names from ids, escaped for JSON; artists' names are kept, so an object serves one slice."""

    def __init__(self, world: World) -> None:
        self._scenes = list(zip(world.scene_genre.tolist(), world.scene_era.tolist(), strict=True))
        self._scene_artists = world.scene_artists.tolist()
        self._genre_artists = world.scene_artists[world.genre_scenes].tolist()
        self._artists: dict[int, str] = {}

    def locate(self, artist: int) -> tuple[int, int]:
        """Returns the genre and the era of an artist."""
        return self._scenes[bisect_right(self._scene_artists, artist) - 1]

    def spell_artist(self, artist: int) -> str:
        """Returns the artist's name; hardly two artists share one."""
        name = self._artists.get(artist)
        if name is None:
            genre, era = self.locate(artist)
            templates = words.GENRES[genre].artists
            number = artist - self._genre_artists[genre]
            template = _compile_template(genre, templates[number % len(templates)], era)
            number //= len(templates)
            wraps, rest = divmod(number, template.size)
            name = _fill_template(template, rest * _find_stride(template.size) % template.size)
            if wraps:
                level, place = divmod(wraps - 1, len(words.PLACES))
                name += f" of {words.PLACES[place]}" + (f" {level + 1}" if level else "")
            self._artists[artist] = name
        return name

    def _spell(self, templates: Sequence[str], genre: int, era: int, code: int) -> str:
        count = len(templates)
        code, first = divmod(code, count)
        code, second = divmod(code, count)
        template = _compile_template(genre, templates[min(first, second)], era)
        artist = ""
        if template.has_artist:
            low, high = self._genre_artists[genre], self._genre_artists[genre + 1]
            artist = self.spell_artist(low + (code >> 20) % (high - low))
        return _fill_template(template, code % template.size, artist)

    def spell_album(self, genre: int, era: int, code: int) -> str:
        """Returns an album's name for the hash of its id."""
        return self._spell(words.GENRES[genre].albums, genre, era, code)

    def spell_track(self, genre: int, era: int, code: int) -> str:
        """Returns a track's name for the hash of its id."""
        return self._spell(words.GENRES[genre].tracks, genre, era, code)


_TRACK_URI, _ALBUM_URI, _ARTIST_URI, _TRACK_NAME, _ALBUM_NAME, _DURATION = 1, 3, 5, 7, 8, 9


def _measure_durations(genre: Ints, track: Ints) -> Ints:
    """Returns each track's milliseconds: a triangle over its genre's usual range."""
    limits = np.array([entry.seconds for entry in words.GENRES], dtype=np.int64)[genre] * 1000
    code = _mix(track, _DURATION)
    halves = (code >> np.uint64(33)).astype(np.int64) + (code & np.uint64(0x7FFFFFFF)).astype(np.int64)
    return limits[:, 0] + (limits[:, 1] - limits[:, 0]) * (halves >> 12) // (1 << 20)


class _Tracks(NamedTuple):
    """The distinct tracks of a slice: ids, their JSON without the position, and what playlists sum up."""

    ids: Ints
    texts: list[str]
    artist: Ints
    album: Ints
    duration: Ints


def _render_tracks(world: World, names: _Names, ids: Ints) -> _Tracks:
    album = np.searchsorted(world.album_tracks, ids, side="right") - 1
    artist = np.searchsorted(world.artist_tracks, ids, side="right") - 1
    albums, album_place = np.unique(album, return_inverse=True)
    artists, artist_place = np.unique(artist, return_inverse=True)
    album_artist = np.searchsorted(world.artist_albums, albums, side="right") - 1
    scene = np.searchsorted(world.scene_artists, artists, side="right") - 1
    genre, era = world.scene_genre[scene], world.scene_era[scene]
    genres, eras = genre.tolist(), era.tolist()
    duration = _measure_durations(genre[artist_place], ids)
    artist_texts = [
        (f'{names.spell_artist(number)}", \n                    "track_uri": "spotify:track:', f"spotify:artist:{key}")
        for number, key in zip(artists.tolist(), _make_keys(artists, _ARTIST_URI), strict=True)
    ]
    album_texts = [
        (f"spotify:album:{key}", names.spell_album(genres[place], eras[place], code))
        for key, place, code in zip(
            _make_keys(albums, _ALBUM_URI),
            np.searchsorted(artists, album_artist).tolist(),
            _mix(albums, _ALBUM_NAME).tolist(),
            strict=True,
        )
    ]
    texts = []
    rows = zip(
        artist_place.tolist(),
        album_place.tolist(),
        _make_keys(ids, _TRACK_URI),
        _mix(ids, _TRACK_NAME).tolist(),
        duration.tolist(),
        strict=True,
    )
    for place, album_number, key, code, milliseconds in rows:
        head, artist_uri = artist_texts[place]
        album_uri, album_name = album_texts[album_number]
        name = names.spell_track(genres[place], eras[place], code)
        texts.append(
            f'{head}{key}", \n                    "artist_uri": "{artist_uri}", \n'
            f'                    "track_name": "{name}", \n                    "album_uri": "{album_uri}", \n'
            f'                    "duration_ms": {milliseconds}, \n                    "album_name": "{album_name}"\n'
        )
    return _Tracks(ids, texts, artist, album, duration)


# Titles -------------------------------------------------------------------------------------------------------------

_YEARS = tuple(str(year) for year in range(2010, 2018))
_ENDINGS = (
    "mix",
    "jams",
    "vibes",
    "songs",
    "playlist",
    "music",
    "hits",
    "tunes",
    "faves",
    "essentials",
    "stuff",
    "party",
)


def _pick(choices: Sequence[str], uniform: float) -> str:
    return choices[int(uniform * len(choices))]


def _pick_early(choices: Sequence[str], uniform: float) -> str:
    return choices[int(uniform * uniform * len(choices))]


def _choose_title(heads: _Heads, index: int, artist: str, u: list[float]) -> str:
    """Chooses the plain title that fits the playlist, or now and then one that says nothing."""
    kind = int(heads.kind[index])
    genre = words.GENRES[int(heads.slot_genre[index, 0])]
    era = words.ERA_TITLES[int(heads.era[index])]
    if kind == _ANY or u[0] < 0.05:
        return _pick_early(words.EVERYTHING_TITLES, u[1])
    if kind == _GENRE or (kind == _ARTIST and u[3] < 0.5):
        return _pick_early(genre.titles, u[1])
    if kind == _GENRE_ERA:
        pair = _pick_early(era, u[1]), _pick_early(genre.titles, u[2])
        return " ".join(pair if u[3] < 0.75 else pair[::-1])
    if kind == _ERA:
        return _pick_early(era, u[1])
    if kind == _ARTIST:
        return _pick_early(("{}", "{}", "best of {}", "{} radio", "{} & more", "all {}"), u[1]).format(artist)
    return _pick_early(words.MOODS[int(heads.mood[index])].titles, u[1])


_DRESSES: tuple[tuple[float, str], ...] = (
    (0.70, "{t}"),
    (0.77, "{title}"),
    (0.80, "{upper}"),
    (0.84, "{t} {emoji}"),
    (0.87, "my {t}"),
    (0.91, "{t} {ending}"),
    (0.93, "{t} {year}"),
    (0.935, "{t} '{short}"),
    (0.95, "{person}'s {t}"),
    (0.97, "{t} {number}"),
)
_FRAMES = ("{} ", "{}!!!", "~{}~", '"{}"', "*{}*", "{}...", "{} :)", "[{}]", "{} \\o/", "- {} -")


def _dress_title(title: str, u: list[float]) -> str:
    """Writes a title the way people do: capitals, emoji, years, owners, or as it is."""
    dress = next((text for bound, text in _DRESSES if u[4] < bound), None)
    if dress is None:
        return _pick(_FRAMES, u[5]).format(title)
    if dress.startswith("my") and title.startswith("my"):
        return title
    year = _pick(_YEARS, u[5])
    return dress.format(
        t=title,
        title=title.title(),
        upper=title.upper(),
        emoji=_pick_early(words.EMOJI, u[5]),
        ending=_pick(_ENDINGS, u[5]),
        year=year,
        short=year[2:],
        person=_pick_early(words.PEOPLE, u[5]),
        number=2 + int(u[5] * u[6] * 8),
    )


def _make_title(heads: _Heads, index: int, names: _Names, u: list[float]) -> str:
    artist = json.loads(f'"{names.spell_artist(int(heads.favourites[index, 0, 0]))}"')
    if u[7] < 0.03:
        return _pick(("for {a}", "{a} & {b}", "{a} + {b}", "{a}'s playlist", "{a}"), u[1]).format(
            a=_pick(words.PEOPLE, u[2]), b=_pick(words.PEOPLE, u[3])
        )
    return _dress_title(_choose_title(heads, index, artist, u), u)


def _make_description(heads: _Heads, index: int, u: list[float]) -> str:
    return _pick(words.DESCRIPTIONS, u[1]).format(
        genre=words.GENRES[int(heads.slot_genre[index, 0])].name,
        person=_pick(words.PEOPLE, u[2]).title(),
        place=_pick(words.PLACES, u[3]),
        year=_pick(_YEARS, u[4]),
        era=words.ERAS[int(heads.era[index])],
    )


# Slices -------------------------------------------------------------------------------------------------------------

_FIRST_DAY, _LAST_DAY = 14610, 17470  # 2010-01-01 and 2017-10-31, in days since 1970
_DESCRIBED = 0.019


class SliceResult(NamedTuple):
    """One slice ready for the archive: its deflated bytes and what it holds."""

    number: int
    first_pid: int
    last_pid: int
    deflated: bytes
    size: int
    crc: int
    md5: str
    memberships: int
    tracks: Ints
    titles: frozenset[str]


def _count_distinct(playlist: Ints, values: Ints, num_playlists: int) -> list[int]:
    keys = np.unique(playlist * (int(values.max()) + 1) + values)
    return np.bincount(keys // (int(values.max()) + 1), minlength=num_playlists).tolist()


def _position_heads(longest: int) -> list[str]:
    lead = '                {{\n                    "pos": {}, \n                    "artist_name": "'
    return [("" if pos == 0 else "                }, \n") + lead.format(pos) for pos in range(longest)]


def _fill_slice(config: SyntheticConfig, world: World, number: int) -> tuple[_Heads, Ints, np.random.Generator]:
    """Returns what a slice's playlists are about, the tracks of all their places, and the stream for the rest."""
    n = min(PLAYLISTS_PER_SLICE, config.num_playlists - number * PLAYLISTS_PER_SLICE)
    rng = _open_stream(config.seed, 1, number)
    heads = _choose_heads(config, world, n, rng)
    track, scene = _choose_tracks(config, world, heads, rng)
    return heads, _place_debuts(config, world, number, track, scene, rng), rng


def draw_slice(config: SyntheticConfig, world: World, number: int) -> tuple[Ints, Ints]:
    """Draws the playlists of one slice without rendering them.

    Args:
        config: The archive's configuration.
        world: `build_world(config)`.
        number: The slice's number from 0.

    Returns:
        The length of each playlist, and the track ids of all places one after the other.
    """
    heads, track, _ = _fill_slice(config, world, number)
    return heads.length, track


def render_slice(config: SyntheticConfig, world: World, number: int) -> tuple[bytes, Ints, list[str]]:
    """Renders one slice.

    Args:
        config: The archive's configuration.
        world: `build_world(config)`.
        number: The slice's number from 0.

    Returns:
        The JSON's bytes, the track ids of all its places one after the other, and its titles.
    """
    heads, track, rng = _fill_slice(config, world, number)
    first_pid, n = number * PLAYLISTS_PER_SLICE, len(heads.length)
    names = _Names(world)
    ids, place = np.unique(track, return_inverse=True)
    tracks = _render_tracks(world, names, ids)
    fields, titles = _render_heads(heads, names, first_pid, rng)
    playlist = np.repeat(np.arange(n), heads.length)
    albums = _count_distinct(playlist, tracks.album[place], n)
    artists = _count_distinct(playlist, tracks.artist[place], n)
    ends = np.cumsum(heads.length)
    totals = np.concatenate([[0], np.cumsum(tracks.duration[place])])
    durations = np.diff(totals[np.concatenate([[0], ends])]).tolist()
    places, texts, leads = place.tolist(), tracks.texts, _position_heads(config.longest)
    chunks = [
        '{\n    "info": {\n        "generated_on": "2017-12-03 00:00:00.000000", \n'
        f'        "slice": "{first_pid}-{first_pid + n - 1}", \n        "version": "v1"\n    }}, \n    "playlists": [\n'
    ]
    for index, (end, length) in enumerate(zip(ends.tolist(), heads.length.tolist(), strict=True)):
        before, after, description = fields[index]
        chunks.append(before.format(num_tracks=length, num_albums=albums[index]))
        for pos, chosen in enumerate(places[end - length : end]):
            chunks.append(leads[pos])
            chunks.append(texts[chosen])
        chunks.append(after.format(duration_ms=durations[index], num_artists=artists[index]))
        chunks.append(description)
        chunks.append("        }, \n" if index < n - 1 else "        }\n")
    chunks.append("    ]\n}")
    return "".join(chunks).encode("ascii"), track, titles


def _render_heads(
    heads: _Heads, names: _Names, first_pid: int, rng: np.random.Generator
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Returns, for each playlist, the text before its tracks, after them, and the description's; and the titles."""
    n = len(heads.kind)
    uniforms = rng.random((n, 8)).tolist()
    extra = rng.random((n, 6)).tolist()
    facts = rng.random((n, 6)).tolist()
    rows, titles = [], []
    for index in range(n):
        title = _make_title(heads, index, names, uniforms[index])
        titles.append(title)
        f = facts[index]
        day = _LAST_DAY - int(f[0] * f[0] * (_LAST_DAY - _FIRST_DAY))
        followers = 1 if f[1] < 0.76 else min(int(1.0 / (1.0 - f[2])) + 1, 70_000)
        edits = 1 + int(f[3] * f[3] * 0.8 * int(heads.length[index]))
        text = json.dumps(title).replace("{", "{{").replace("}", "}}")
        before = (
            f'        {{{{\n            "name": {text}, \n'
            f'            "collaborative": "{"true" if f[4] < 0.023 else "false"}", \n'
            f'            "pid": {first_pid + index}, \n            "modified_at": {day * 86400}, \n'
            '            "num_tracks": {num_tracks}, \n            "num_albums": {num_albums}, \n'
            f'            "num_followers": {followers}, \n            "tracks": [\n'
        )
        after = (
            f'                }}}}\n            ], \n            "num_edits": {edits}, \n'
            '            "duration_ms": {duration_ms}, \n            "num_artists": {num_artists}'
        )
        description = "\n"
        if f[5] < _DESCRIBED:
            written = json.dumps(_make_description(heads, index, extra[index]))
            description = f', \n            "description": {written}\n'
        rows.append((before, after, description))
    return rows, titles


def make_slice(config: SyntheticConfig, world: World, number: int) -> SliceResult:
    """Renders and deflates one slice; see `render_slice`."""
    data, track, titles = render_slice(config, world, number)
    packer = zlib.compressobj(config.compression_level, zlib.DEFLATED, -15)
    first_pid = number * PLAYLISTS_PER_SLICE
    return SliceResult(
        number=number,
        first_pid=first_pid,
        last_pid=first_pid + len(titles) - 1,
        deflated=packer.compress(data) + packer.flush(),
        size=len(data),
        crc=zlib.crc32(data),
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        memberships=len(track),
        tracks=np.unique(track),
        titles=frozenset(titles),
    )


_worker_state: dict[str, Any] = {}


def _start_worker(config: SyntheticConfig) -> None:
    _worker_state["config"], _worker_state["world"] = config, build_world(config)


def _work(number: int) -> SliceResult:
    return make_slice(_worker_state["config"], _worker_state["world"], number)


def _make_slices(config: SyntheticConfig, world: World, workers: int) -> Iterator[SliceResult]:
    """Yields the slices in order; at most two per worker are under way or waiting."""
    if workers == 1 or config.num_slices == 1:
        for number in range(config.num_slices):
            yield make_slice(config, world, number)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(config,)) as pool:
        waiting: deque[Future[SliceResult]] = deque()
        try:
            for number in range(config.num_slices):
                waiting.append(pool.submit(_work, number))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


# Archive ------------------------------------------------------------------------------------------------------------

_DOS_DATE = (2018 - 1980) << 9 | 1 << 5 | 1
_ZIP64_LIMIT = 0xFFFFFFFF


class _ZipWriter:
    """Writes members that are deflated already, which `zipfile` cannot; dates are fixed, ZIP64 where needed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = 0
        self._entries: list[bytes] = []

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._offset += len(data)

    def add(self, name: str, deflated: bytes, size: int, crc: int) -> None:
        """Adds a member of raw deflate data, `size` bytes (under 4 GB) when inflated."""
        encoded = name.encode("ascii")
        common = struct.pack("<4HLLLH", 0, 8, 0, _DOS_DATE, crc, len(deflated), size, len(encoded))
        extra, offset = b"", self._offset
        if offset >= _ZIP64_LIMIT:
            extra, offset = struct.pack("<HHQ", 1, 8, offset), 0xFFFFFFFF
        version = 45 if extra else 20
        tail = struct.pack("<HHHHLL", len(extra), 0, 0, 0, 0o100644 << 16, offset)
        self._entries.append(
            struct.pack("<4sHH", b"PK\x01\x02", 3 << 8 | version, version) + common + tail + encoded + extra
        )
        self._write(struct.pack("<4sH", b"PK\x03\x04", 20) + common + struct.pack("<H", 0) + encoded)
        self._write(deflated)

    def close(self) -> int:
        """Writes the directory and returns the archive's size."""
        start, count = self._offset, len(self._entries)
        self._write(b"".join(self._entries))
        size = self._offset - start
        if start >= _ZIP64_LIMIT or count >= 0xFFFF:
            end = self._offset
            self._write(
                struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 3 << 8 | 45, 45, 0, 0, count, count, size, start)
            )
            self._write(struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1))
            start, count = 0xFFFFFFFF, min(count, 0xFFFF)
        self._write(struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, count, count, size, start, 0))
        return self._offset


def _check_room(path: Path, config: SyntheticConfig) -> None:
    weights = np.diff(
        _weigh_lengths(config.length_log_mean, config.length_log_sigma, config.shortest, config.longest)
    ).astype(np.float64)
    lengths = np.arange(config.shortest, config.longest + 1)
    mean = float((weights * lengths).sum() / weights.sum())
    needed = int(config.num_playlists * (mean * config.bytes_per_track + 200)) + 1_000_000
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise UserError(
            f"{path}: {config.num_slices} slices need about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "ask for fewer slices or write elsewhere"
        )


def write_archive(path: str | os.PathLike[str], config: SyntheticConfig, *, workers: int = 1) -> SyntheticReport:
    """Writes a synthetic archive; a file at `path` is replaced once the new one is whole.

    Args:
        path: The zip to write; missing folders are made.
        config: What to write.
        workers: Processes that make slices; the bytes do not depend on it. A script that asks for more than one must
            guard its entry point with `if __name__ == "__main__"`, as `multiprocessing` says.

    Returns:
        What the archive holds.

    Raises:
        UserError: `workers` is below 1, or the disk lacks the room.
    """
    if workers < 1:
        raise UserError(f"synthetic archive: workers is {workers}, must be at least 1")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_room(target, config)
    with write_file(target) as written, written.open("wb") as file:
        return _write_members(file, config, workers)


def _write_members(file: BinaryIO, config: SyntheticConfig, workers: int) -> SyntheticReport:
    world = build_world(config)
    archive = _ZipWriter(file)
    seen = np.zeros(config.num_tracks, dtype=bool)
    titles: set[str] = set()
    sums: list[str] = []
    memberships = json_bytes = 0
    for result in _make_slices(config, world, workers):
        name = f"data/mpd.slice.{result.first_pid}-{result.last_pid}.json"
        archive.add(name, result.deflated, result.size, result.crc)
        sums.append(f"{result.md5}  {name}\n")
        seen[result.tracks] = True
        titles |= result.titles
        memberships += result.memberships
        json_bytes += result.size
        logger.info("slice %d of %d written", result.number + 1, config.num_slices)
    data = "".join(sums).encode("ascii")
    packer = zlib.compressobj(config.compression_level, zlib.DEFLATED, -15)
    archive.add("md5sums", packer.compress(data) + packer.flush(), len(data), zlib.crc32(data))
    tracks = np.flatnonzero(seen)
    return SyntheticReport(
        slices=config.num_slices,
        playlists=config.num_playlists,
        memberships=memberships,
        tracks=len(tracks),
        albums=len(np.unique(np.searchsorted(world.album_tracks, tracks, side="right"))),
        artists=len(np.unique(np.searchsorted(world.artist_tracks, tracks, side="right"))),
        titles=len(titles),
        json_bytes=json_bytes,
        archive_bytes=archive.close(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line: writes an archive and prints its report as one line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m playlist_pipeline.mpd.synthetic", description="Write a synthetic archive in MPD format."
    )
    parser.add_argument("path", help="the zip to write")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--sample", action="store_true", help="the bundled sample: 1,500 playlists of about 30 tracks")
    size.add_argument("--slices", type=int, help="that many slices of 1,000 playlists with the MPD's marginals")
    parser.add_argument("--seed", type=int, default=2018)
    parser.add_argument("--workers", type=int, default=1, help="processes that make slices")
    options = parser.parse_args(arguments)
    try:
        sample = SyntheticConfig.sample(options.seed) if options.sample else None
        config = sample or SyntheticConfig.mpd(options.slices, options.seed)
        report = write_archive(options.path, config, workers=options.workers)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(asdict(report))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
