"""Challenge sets: playlists of which some tracks are given and the others are to be found.

Format of the RecSys Challenge 2018: one JSON object with ``date``, ``version`` and ``playlists``. A playlist has
``pid``, ``name`` (absent where the title is not given), ``num_tracks`` = ``num_samples`` + ``num_holdouts``, and
``tracks``: the ``num_samples`` given ones with the fields of MPD, ``pos`` being their place in the whole playlist. The
official set has 10,000 playlists; any other number is as good here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd.fields import (
    MalformedJSONError,
    find_layout_defect,
    find_many_objects,
    find_many_values,
    find_playlist_defects,
    find_value_defect,
    parse_json,
    quote_value,
)
from playlist_pipeline.mpd.repair import replace_lone_surrogates
from playlist_pipeline.mpd.schema import (
    CHALLENGE_PLAYLIST_FIELDS,
    CHALLENGE_TRACK_FIELDS,
    OPTIONAL_CHALLENGE_FIELDS,
    TRACK_URI,
)

MAX_BYTES = 2**29
"""The official set has some 150 MB."""


class ChallengeSetError(UserError):
    """A challenge set cannot be used; the message names file, playlist and field."""


@dataclass(frozen=True)
class ChallengePlaylist:
    """A playlist to be continued.

    Attributes:
        pid: Its id.
        title: Its name, None where it is not given.
        seeds: URIs of the given tracks by their place in the playlist; a track may occur twice, or none be given.
        num_holdouts: Tracks that are held out.
    """

    pid: int
    title: str | None
    seeds: tuple[str, ...]
    num_holdouts: int


@dataclass(frozen=True)
class ChallengeSet:
    """A challenge set.

    Attributes:
        path: The file that it was read from.
        playlists: At least one, with distinct pids, in the order of the file.
    """

    path: Path
    playlists: tuple[ChallengePlaylist, ...]

    def __len__(self) -> int:
        return len(self.playlists)


def read_challenge_set(path: str | Path) -> ChallengeSet:
    """Read a challenge set and check it.

    Lone surrogates in titles become U+FFFD, as in slices.

    Args:
        path: A file as ``challenge_set.json``.

    Raises:
        ChallengeSetError: The file is missing or has a defect; the first one is named.
    """
    path = Path(path)
    try:
        data = _read_bytes(path)
    except FileNotFoundError as error:
        raise ChallengeSetError(
            f"challenge set {path} does not exist: give the path of a challenge_set.json, "
            "on the command line as --params=challenge_set=PATH"
        ) from error
    except OSError as error:
        raise ChallengeSetError(f"challenge set {path} cannot be read: {error.strerror}") from error
    if crowding := find_many_values(data) or find_many_objects(data):
        raise ChallengeSetError(_word_defect(path, "", "", crowding))
    try:
        content = parse_json(replace_lone_surrogates(data)[0])
    except MalformedJSONError as error:
        raise ChallengeSetError(_word_defect(path, "", "", str(error))) from error
    layout_defect = find_layout_defect(content) or (None if content["playlists"] else "no playlists")
    if layout_defect:
        raise ChallengeSetError(_word_defect(path, "", "", layout_defect))
    playlists: dict[int, ChallengePlaylist] = {}
    for index, values in enumerate(content["playlists"]):
        for field, text in _find_defects(values, playlists):
            raise ChallengeSetError(_word_defect(path, _name_playlist(values, index), field, text))
        playlists[values["pid"]] = _make_playlist(values)
    return ChallengeSet(path, tuple(playlists.values()))


def _read_bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ChallengeSetError(_word_defect(path, "", "", "not a regular file"))
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ChallengeSetError(_word_defect(path, "", "", f"more than {MAX_BYTES} bytes"))
    return data


def _make_playlist(values: Mapping[str, Any]) -> ChallengePlaylist:
    tracks = sorted(values["tracks"], key=lambda track: track["pos"])
    seeds = tuple(track["track_uri"] for track in tracks)
    return ChallengePlaylist(values["pid"], values.get("name"), seeds, values["num_holdouts"])


def _name_playlist(values: Any, index: int) -> str:
    pid = values.get("pid") if isinstance(values, dict) else None
    return f"playlists[{index}]" if find_value_defect(pid, pa.int32()) else f"pid {pid}"


def _word_defect(path: Path, playlist: str, field: str, text: str) -> str:
    where = ", ".join(filter(None, (f"challenge set {path}", playlist, field)))
    return f"{where}: {text}; mend it, or fetch or copy the file again"


def _find_defects(values: Any, earlier: Mapping[int, ChallengePlaylist]) -> Iterator[tuple[str, str]]:
    """Find field and text of each defect; those of types come first, and end the search."""
    typed = list(
        find_playlist_defects(
            values, CHALLENGE_PLAYLIST_FIELDS, CHALLENGE_TRACK_FIELDS, optional=OPTIONAL_CHALLENGE_FIELDS
        )
    )
    if typed:
        yield from ((field, text) for _, field, text in typed)
        return
    for name in ("pid", "num_holdouts"):
        if values[name] < 0:
            yield name, f"{values[name]} is negative"
    if values["pid"] in earlier:
        yield "pid", "already used by an earlier playlist"
    num_samples, num_holdouts, tracks = values["num_samples"], values["num_holdouts"], values["tracks"]
    if num_samples != len(tracks):
        yield "num_samples", f"{num_samples} with {len(tracks)} tracks given"
    if values["num_tracks"] != num_samples + num_holdouts:
        yield "num_tracks", f"{values['num_tracks']} instead of {num_samples} samples + {num_holdouts} holdouts"
    yield from _find_track_defects(tracks, values["num_tracks"])


def _find_track_defects(tracks: list[dict[str, Any]], num_tracks: int) -> Iterator[tuple[str, str]]:
    taken: set[int] = set()
    for index, track in enumerate(tracks):
        if not 0 <= track["pos"] < num_tracks:
            yield f"tracks[{index}].pos", f"{track['pos']} in a playlist of {num_tracks} tracks, counted from 0"
        if track["pos"] in taken:
            yield f"tracks[{index}].pos", f"{track['pos']} is the place of an earlier track"
        taken.add(track["pos"])
        if not TRACK_URI.fullmatch(track["track_uri"]):
            quoted = quote_value(track["track_uri"])
            yield f"tracks[{index}].track_uri", f"{quoted} is not spotify:track: and an id of 22 characters"
