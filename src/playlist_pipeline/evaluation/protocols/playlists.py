"""The playlists of one part as protocols see them: unique tracks in their order."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary, count_training_tracks
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.ragged import RaggedArray


@dataclass(frozen=True, eq=False)
class PartPlaylists:
    """The playlists of one part, p of them; a playlist counts as its unique tracks in the order of first position.

    Attributes:
        part: ``test`` or ``validation``.
        playlist_ids: int32 [p], rising.
        pids: int32 [p].
        titles: p names; None where it is blank.
        tokens: Each playlist's tokens; where the vocabulary lacks the track, ``<unk>`` or a stand-in.
        artists: Artist ids of the same tracks.
        in_training: bool, whether each of these tracks occurs in the training part.
    """

    part: str
    playlist_ids: np.ndarray
    pids: np.ndarray
    titles: list[str | None]
    tokens: RaggedArray
    artists: RaggedArray
    in_training: np.ndarray

    def __len__(self) -> int:
        return len(self.playlist_ids)

    @property
    def lengths(self) -> np.ndarray:
        """Unique tracks of each playlist, int64 [p]."""
        return self.tokens.lengths


def read_part(
    playlists: pa.Table,
    memberships: pa.Table,
    tracks: pa.Table,
    splits: pa.Table,
    vocabulary: Vocabulary,
    part: str,
    *,
    stand_ins: bool = False,
) -> PartPlaylists:
    """Read the playlists of a part.

    Args:
        playlists: ``PLAYLISTS_SCHEMA``; row i is playlist_id i.
        memberships: ``MEMBERSHIPS_SCHEMA``, sorted by playlist and position.
        tracks: ``TRACKS_SCHEMA``; row i is track_id i.
        splits: playlist_id, pid, split.
        vocabulary: Gives the tokens.
        part: One of the splits.
        stand_ins: Let tracks of their artists stand in for unknown tracks, see ``Vocabulary.seeds_of``.
    """
    tokens = vocabulary.seeds_of(tracks) if stand_ins else vocabulary.tokens_of(tracks)
    chosen = splits.filter(pc.field("split") == part).sort_by("playlist_id")
    playlist_ids = chosen["playlist_id"].to_numpy()
    rows, track_ids = _find_unique_tracks(memberships, playlist_ids)
    lengths = np.bincount(rows, minlength=len(playlist_ids))
    artist_ids = tracks["artist_id"].to_numpy()
    names = playlists["name"].take(chosen["playlist_id"]).to_pylist()
    return PartPlaylists(
        part=part,
        playlist_ids=playlist_ids,
        pids=chosen["pid"].to_numpy(),
        titles=[name if name and name.strip() else None for name in names],
        tokens=RaggedArray.from_lengths(tokens[track_ids], lengths),
        artists=RaggedArray.from_lengths(artist_ids[track_ids], lengths),
        in_training=count_training_tracks(memberships, tracks.num_rows, splits)[track_ids] > 0,
    )


def _find_unique_tracks(memberships: pa.Table, playlist_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List the unique tracks of some playlists in their order.

    Args:
        memberships: Sorted by playlist and position.
        playlist_ids: Playlists wanted, rising.

    Returns:
        Index into ``playlist_ids`` and track id of each entry that is the first of its track, int64 [m] each.
    """
    playlists = memberships["playlist_id"].to_numpy()
    starts = np.searchsorted(playlists, playlist_ids, side="left")
    lengths = np.searchsorted(playlists, playlist_ids, side="right") - starts
    rows = np.repeat(np.arange(len(playlist_ids)), lengths)
    places = np.arange(len(rows)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    track_ids = memberships["track_id"].take(pa.array(places)).to_numpy().astype(np.int64)
    keys = rows * (int(track_ids.max(initial=0)) + 1) + track_ids
    first = np.sort(np.unique(keys, return_index=True)[1])
    return rows[first], track_ids[first]


def sample_by_digest(playlists: PartPlaylists, indices: np.ndarray, size: int | None) -> np.ndarray:
    """Keep the ``size`` indices whose pid has the lowest digest, all if None; rising."""
    if size is None:
        return indices
    digests = [hashlib.sha256(f"test-case:{pid}".encode()).digest() for pid in playlists.pids[indices].tolist()]
    return np.sort(indices[sorted(range(len(digests)), key=digests.__getitem__)[:size]])


def cut_playlists(
    playlists: PartPlaylists, chosen: np.ndarray, is_seed: np.ndarray, *, protocol: str, case: str, give_titles: bool
) -> TestCases:
    """Part playlists into seeds and truth.

    Args:
        playlists: The part.
        chosen: Indices of the playlists of the case, rising.
        is_seed: For each track of the chosen playlists, one playlist after the other, whether it is given.
        protocol: The protocol's name.
        case: The case's name.
        give_titles: Whether the titles are given.
    """
    tokens, artists = playlists.tokens.take(chosen), playlists.artists.take(chosen)
    rows = tokens.rows

    def gather(array: RaggedArray, mask: np.ndarray) -> RaggedArray:
        return RaggedArray.from_lengths(array.values[mask], np.bincount(rows[mask], minlength=len(chosen)))

    pairs = np.unique(np.stack([rows[~is_seed], artists.values[~is_seed]]), axis=1)
    return TestCases(
        protocol=protocol,
        case=case,
        playlist_ids=playlists.playlist_ids[chosen],
        pids=playlists.pids[chosen],
        titles=[playlists.titles[index] if give_titles else None for index in chosen.tolist()],
        seeds=gather(tokens, is_seed),
        truth=gather(tokens, ~is_seed & (tokens.values >= len(SPECIALS))),
        num_truth=np.bincount(rows[~is_seed], minlength=len(chosen)).astype(np.int32),
        truth_artists=RaggedArray.from_lengths(pairs[1], np.bincount(pairs[0], minlength=len(chosen))),
    )


def number_tracks(playlists: PartPlaylists, chosen: np.ndarray) -> np.ndarray:
    """Return the place, from 0, of each track of the chosen playlists in its playlist, int64 [m]."""
    tokens = playlists.tokens.take(chosen)
    return np.arange(len(tokens.values)) - np.repeat(tokens.offsets[:-1], tokens.lengths)
