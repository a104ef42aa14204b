"""The close look at a slice that failed a check, and the rules by which its defects are treated.

With ``extract.strict`` the first defect, in the order of slices and playlists, ends the run with one line that names
archive, slice, pid and field. Without it this table decides; every defect is counted under its kind in
``extraction_report``, and the first ``extract.max_problems`` are listed there.

==================== ====================================================================== =======================
kind                 defect                                                                 what happens
==================== ====================================================================== =======================
damaged_md5sums      the file ``md5sums`` cannot be read                                    noted, taken as absent
overlapping_slices   two slices' names claim the same pids                                  noted, both are read
damaged_slice        bytes cut short, not deflate, wrong length or CRC-32; a link, or       slice skipped
                     another member has the same path
wrong_md5            MD5 differs from the one in ``md5sums``                                slice skipped
slice_too_large      more bytes, or more for each packed byte, than ``extract`` allows      slice skipped
broken_json          empty, cut short, not UTF-8, more than one value, not JSON             slice skipped
wrong_layout         not an object with a list ``playlists``, or more values in so many     slice skipped
                     bytes than playlists have
missing_info         no object ``info``                                                     noted, slice kept
wrong_type           a value of another JSON type, a decimal number where an integer        playlist skipped
                     belongs, ``collaborative`` neither "true" nor "false" (as text)
missing_field        a required field is absent or null                                     playlist skipped
repeated_field       a field occurs twice in one object                                     playlist skipped
out_of_range         an integer does not fit in 32 bits (``modified_at``, a playlist's      playlist skipped
                     ``duration_ms``: 64 bits)
empty_playlist       no tracks                                                              playlist skipped
repeated_pid         an earlier kept playlist has the pid                                   playlist skipped
pid_outside_slice    the pid is not in the range of the slice's name                        noted, playlist kept
pos_sorted           positions are 0..n-1 in another order                                  tracks sorted by pos
pos_renumbered       positions have gaps, repeats or another start                          renumbered as they stand
num_tracks           differs from the tracks themselves                                     recomputed
num_albums           differs from the tracks' distinct album URIs                           recomputed
num_artists          differs from the tracks' distinct artist URIs                          recomputed
duration_ms          differs from the sum of the tracks' durations                          recomputed
==================== ====================================================================== =======================

A skipped playlist counts once, under the kind of its first defect. Not defects, with or without ``strict``: fields that
MPD does not have (ignored), a byte-order mark, lone surrogates (each becomes U+FFFD and is counted), and a track
whose name, artist, album or duration differ between appearances (the first counts; such tracks are counted).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from playlist_pipeline.config import MAX_SLICE_BYTES
from playlist_pipeline.mpd.archive import Slice
from playlist_pipeline.mpd.fields import (
    Defect,
    MalformedJSONError,
    find_layout_defect,
    find_many_objects,
    find_playlist_defects,
    find_value_defect,
    parse_json,
)
from playlist_pipeline.mpd.schema import OPTIONAL_PLAYLIST_FIELDS, PLAYLIST_FIELDS, TRACK_FIELDS


@dataclass(frozen=True)
class Rule:
    """What happens to a kind of defect.

    Attributes:
        tally: Part of the report that counts it: ``skipped``, ``repaired`` or ``noted``.
        action: What was done, for the report.
        offer: The same as an infinitive, for the line of a strict run.
    """

    tally: str
    action: str
    offer: str


_SKIP_SLICE = Rule("skipped", "slice skipped", "skip the slice")
_SKIP_PLAYLIST = Rule("skipped", "playlist skipped", "skip the playlist")
_RECOMPUTE = Rule("repaired", "recomputed from the tracks", "recompute it from the tracks")
_KEEP = Rule("noted", "kept as it is", "keep it as it is")

RULES: dict[str, Rule] = {
    "damaged_md5sums": Rule("noted", "taken as absent", "go on without it"),
    "overlapping_slices": Rule("noted", "both slices read", "read both slices"),
    "damaged_slice": _SKIP_SLICE,
    "wrong_md5": _SKIP_SLICE,
    "slice_too_large": _SKIP_SLICE,
    "broken_json": _SKIP_SLICE,
    "wrong_layout": _SKIP_SLICE,
    "missing_info": _KEEP,
    "wrong_type": _SKIP_PLAYLIST,
    "missing_field": _SKIP_PLAYLIST,
    "repeated_field": _SKIP_PLAYLIST,
    "out_of_range": _SKIP_PLAYLIST,
    "empty_playlist": _SKIP_PLAYLIST,
    "repeated_pid": _SKIP_PLAYLIST,
    "pid_outside_slice": _KEEP,
    "pos_sorted": Rule("repaired", "tracks sorted by pos", "sort the tracks by pos"),
    "pos_renumbered": Rule("repaired", "renumbered as they stand", "renumber the tracks as they stand"),
    "num_tracks": _RECOMPUTE,
    "num_albums": _RECOMPUTE,
    "num_artists": _RECOMPUTE,
    "duration_ms": _RECOMPUTE,
}


@dataclass(frozen=True)
class Problem:
    """One defect.

    Attributes:
        kind: A key of ``RULES``.
        file: Name of the slice.
        pid: The playlist's pid; None if the defect is the slice's, or the playlist has no usable pid.
        field: The field, with indices where that helps (``tracks[3].pos``); None if the defect is the whole slice's.
        text: The defect.
    """

    kind: str
    file: str
    pid: int | None
    field: str | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as ``extraction_report`` lists it."""
        action = RULES[self.kind].action
        return {"slice": self.file, "pid": self.pid, "field": self.field, "problem": self.text, "action": action}

    def to_line(self, archive: str) -> str:
        """Return the line that ends a strict run over the archive of that name."""
        where = [archive, self.file]
        if self.pid is not None:
            where.append(f"pid {self.pid}")
        if self.field is not None:
            where.append(self.field)
        return f"{', '.join(where)}: {self.text}; mend it, or set extract.strict to false to {RULES[self.kind].offer}"


@dataclass
class Findings:
    """Problems in the order in which they were found: all are counted, the first ``limit`` kept.

    Attributes:
        limit: How many problems are kept.
        first: The first problem.
        listed: The first ``limit`` problems.
        total: Number of problems.
        counts: Number of slices, playlists or fields by kind.
    """

    limit: int
    first: Problem | None = None
    listed: list[Problem] = field(default_factory=list)
    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, problem: Problem, *, counted: bool = True) -> None:
        """Take in a problem; a further defect of a playlist that is skipped anyhow is not ``counted``."""
        self.first = self.first or problem
        if len(self.listed) < self.limit:
            self.listed.append(problem)
        self.total += 1
        self.counts[problem.kind] += counted

    def extend(self, other: "Findings") -> None:
        """Take in all that ``other`` has found, after what is here."""
        self.first = self.first or other.first
        self.listed += other.listed[: self.limit - len(self.listed)]
        self.total += other.total
        self.counts += other.counts

    def count_by(self, tally: str) -> dict[str, int]:
        """Return the counts of the kinds whose rule has this ``tally``, in the order of ``RULES``."""
        return {kind: self.counts[kind] for kind, rule in RULES.items() if rule.tally == tally and self.counts[kind]}


_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: kept
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # one alone: replaced
    rb"|\\."  # any other escape: stepped over, so that "\\ud83d" after a backslash is left alone
    rb"|(\xed[\xa0-\xbf][\x80-\xbf])",  # one alone as raw bytes
    re.DOTALL,
)


def replace_lone_surrogates(data: bytes | bytearray) -> tuple[bytes, int]:
    r"""Replace surrogates that are not in a pair by U+FFFD.

    Args:
        data: JSON text. Surrogates may be escapes (``\ud83d``) or, as Python 2 wrote them, three bytes each.

    Returns:
        The text and how many surrogates were replaced.
    """
    view = memoryview(data)
    pieces: list[bytes | memoryview] = []
    end = 0
    for match in _ESCAPE.finditer(data):
        if match.lastindex:
            pieces += [view[end : match.start()], _REPLACEMENT]
            end = match.end()
    return b"".join([*pieces, view[end:]]), len(pieces) // 2


_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()

_SUMMED = ("num_tracks", "num_albums", "num_artists", "duration_ms")


def examine_slice(data: bytes | bytearray, part: Slice, earlier: Mapping[int, str], findings: Findings) -> bytes | None:
    """Look at a slice row by row; name, skip and repair by the rules above.

    Args:
        data: The slice's JSON without lone surrogates.
        part: The slice.
        earlier: Pids that slices before this one hold, with the name of the slice.
        findings: Takes the problems.

    Returns:
        JSON in the same format with what is usable, repaired; None if the slice is to be skipped.
    """

    def refuse(kind: str, text: str) -> None:
        findings.add(Problem(kind, part.name, None, None, text))

    if crowding := find_many_objects(data):
        refuse("wrong_layout", crowding)
        return None
    try:
        content = parse_json(data)
    except MalformedJSONError as error:
        refuse("broken_json", str(error))
        return None
    if layout_defect := find_layout_defect(content):
        refuse("wrong_layout", layout_defect)
        return None
    if not isinstance(content.get("info"), dict):
        findings.add(Problem("missing_info", part.name, None, "info", "no such object"))
    known = dict(earlier)
    playlists = []
    for index, playlist in enumerate(content["playlists"]):
        usable = _examine_playlist(playlist, index, part, known, findings)
        if usable is not None:
            known[usable["pid"]] = part.name
            playlists.append(usable)
    repaired = json.dumps({"info": {}, "playlists": playlists}, ensure_ascii=False, separators=(",", ":")).encode()
    if len(repaired) > MAX_SLICE_BYTES:
        refuse("slice_too_large", f"{len(repaired)} bytes after repair, of which {MAX_SLICE_BYTES} can be read")
        return None
    return repaired


def _examine_playlist(
    playlist: Any, index: int, part: Slice, known: Mapping[int, str], findings: Findings
) -> dict[str, Any] | None:
    """Return the playlist's known fields, repaired, or None if it is to be skipped."""
    pid = playlist.get("pid") if isinstance(playlist, dict) else None
    if find_value_defect(pid, pa.int32()):
        pid = None
    prefix = "" if pid is not None else f"playlists[{index}]"

    def report(defect: Defect, *, counted: bool = True) -> None:
        kind, name, text = defect
        findings.add(Problem(kind, part.name, pid, ".".join(filter(None, (prefix, name))), text), counted=counted)

    defects = list(_find_defects(playlist))
    if not defects and pid is not None and pid in known:
        where = "this slice" if known[pid] == part.name else known[pid]
        defects = [("repeated_pid", "pid", f"already used by an earlier playlist in {where}")]
    if defects:
        for number, defect in enumerate(defects):
            report(defect, counted=number == 0)
        return None
    if not part.first <= playlist["pid"] <= part.last:
        report(("pid_outside_slice", "pid", f"not in {part.first}-{part.last}, the range of the slice's name"))
    usable = {name: playlist.get(name) for name in (*PLAYLIST_FIELDS, *OPTIONAL_PLAYLIST_FIELDS)}
    usable["tracks"] = [{name: track[name] for name in TRACK_FIELDS} for track in playlist["tracks"]]
    for defect in _repair_positions(usable):
        report(defect)
    for defect in _repair_sums(usable):
        report(defect)
    return usable


def _find_defects(playlist: Any) -> Iterator[Defect]:
    """Find what makes a playlist unusable."""
    fields = {**PLAYLIST_FIELDS, **OPTIONAL_PLAYLIST_FIELDS}
    yield from find_playlist_defects(playlist, fields, TRACK_FIELDS, optional=OPTIONAL_PLAYLIST_FIELDS)
    if isinstance(playlist, dict) and playlist.get("tracks") == []:
        yield "empty_playlist", "tracks", "no tracks"


def _repair_positions(playlist: dict[str, Any]) -> Iterator[Defect]:
    tracks = playlist["tracks"]
    positions = [track["pos"] for track in tracks]
    wrong = next((index for index, position in enumerate(positions) if position != index), None)
    if wrong is None:
        return
    permuted = sorted(positions) == list(range(len(tracks)))
    yield (
        "pos_sorted" if permuted else "pos_renumbered",
        f"tracks[{wrong}].pos",
        f"{positions[wrong]} instead of {wrong}",
    )
    if permuted:
        tracks.sort(key=lambda track: track["pos"])
    for index, track in enumerate(tracks):
        track["pos"] = index


def _repair_sums(playlist: dict[str, Any]) -> Iterator[Defect]:
    tracks = playlist["tracks"]
    right = (
        len(tracks),
        len({track["album_uri"] for track in tracks}),
        len({track["artist_uri"] for track in tracks}),
        sum(track["duration_ms"] for track in tracks),
    )
    for name, value in zip(_SUMMED, right, strict=True):
        if playlist[name] != value:
            yield name, name, f"{playlist[name]} instead of {value}"
            playlist[name] = value
