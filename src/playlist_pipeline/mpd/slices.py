"""One slice: from bytes to columns that are checked as a whole.

Only a slice that fails a check here is looked at row by row (``repair.py``).
"""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from playlist_pipeline.config import ExtractConfig
from playlist_pipeline.mpd.archive import Archive, DamagedMemberError, OversizedMemberError, Slice
from playlist_pipeline.mpd.fields import find_many_values
from playlist_pipeline.mpd.repair import Findings, Problem, examine_slice, replace_lone_surrogates
from playlist_pipeline.mpd.schema import (
    COLLABORATIVE,
    PLAYLIST_FIELDS,
    PLAYLISTS_SCHEMA,
    SLICE_JSON_SCHEMA,
    TRACK_FIELDS,
)

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]

_UTF8_MARK = b"\xef\xbb\xbf"
# What Python makes of a slice may take many times its memory, and no two threads run Python at once anyhow.
_EXAMINING = threading.Lock()


@dataclass(frozen=True)
class SliceColumns:
    """A slice's n playlists, m entries, d distinct tracks, a distinct artists and b distinct albums.

    Distinct tracks, artists and albums are in the order of their first appearance in the slice.

    Attributes:
        playlists: The columns of ``PLAYLISTS_SCHEMA`` but ``playlist_id``; n rows.
        lengths: Tracks of each playlist, int64[n].
        tracks: Each entry as a row of the track columns, int32[m], playlist after playlist in order of position.
        track_uri: string[d].
        track_name: Name at the first appearance, string[d].
        track_artist: Row of the artist at the first appearance, int32[d].
        track_album: Row of the album at the first appearance, int32[d].
        track_duration: Milliseconds at the first appearance, int32[d].
        track_digest: Hash of name, artist, album and duration at the first appearance, uint64[d].
        track_varies: Whether that hash differs between appearances, bool[d].
        artist_uri: string[a].
        artist_name: string[a].
        album_uri: string[b].
        album_name: string[b].
    """

    playlists: pa.Table
    lengths: Int64s
    tracks: Int32s
    track_uri: pa.StringArray
    track_name: pa.StringArray
    track_artist: Int32s
    track_album: Int32s
    track_duration: Int32s
    track_digest: Uint64s
    track_varies: npt.NDArray[np.bool_]
    artist_uri: pa.StringArray
    artist_name: pa.StringArray
    album_uri: pa.StringArray
    album_name: pa.StringArray


@dataclass(frozen=True)
class SliceResult:
    """What reading one slice gave.

    Attributes:
        part: The slice.
        columns: Its content; None if it is skipped.
        findings: Its problems.
        md5: ``verified``, ``mismatched`` or ``absent``; None if its bytes could not be read.
        replaced_surrogates: Lone surrogates that became U+FFFD.
    """

    part: Slice
    columns: SliceColumns | None
    findings: Findings
    md5: str | None
    replaced_surrogates: int = 0


def read_slice(
    archive: Archive,
    part: Slice,
    config: ExtractConfig,
    *,
    md5sums: Mapping[str, str],
    earlier: Mapping[int, str] | None = None,
) -> SliceResult:
    """Read, inflate, verify, parse and check one slice. Safe to call from many threads.

    Args:
        archive: The archive.
        part: One of its slices.
        config: How large a slice may be, and how many problems are kept one by one.
        md5sums: MD5 by slice name; slices that it lacks are not verified.
        earlier: Pids of this slice that earlier slices hold, with those slices' names; such playlists are skipped.

    Returns:
        Columns and problems; defects never raise.
    """
    findings = Findings(config.max_problems)

    def skip(kind: str, text: str, md5: str | None) -> SliceResult:
        findings.add(Problem(kind, part.name, None, None, text))
        return SliceResult(part, None, findings, md5)

    try:
        data = archive.read(part, max_bytes=config.max_slice_bytes, max_ratio=config.max_ratio)
    except OversizedMemberError as error:
        return skip("slice_too_large", str(error), None)
    except DamagedMemberError as error:
        return skip("damaged_slice", str(error), None)
    md5 = "absent"
    if part.name in md5sums:
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if digest != md5sums[part.name]:
            return skip("wrong_md5", f"MD5 {digest} instead of {md5sums[part.name]}", "mismatched")
        md5 = "verified"
    if crowding := find_many_values(data):
        return skip("wrong_layout", crowding, md5)
    replaced = 0
    playlists = parse_slice(data)
    if playlists is None:
        data, replaced = replace_lone_surrogates(data)
        playlists = parse_slice(data) if replaced else None
    columns = None if playlists is None or earlier else build_columns(playlists, part)
    if columns is None:
        del playlists
        with _EXAMINING:
            repaired = examine_slice(data, part, earlier or {}, findings)
        if repaired is None:
            return SliceResult(part, None, findings, md5)
        columns = build_columns(parse_slice(repaired))
        if columns is None:
            raise RuntimeError(f"{part.name} fails its checks after repair")
    return SliceResult(part, columns, findings, md5, replaced)


def parse_slice(data: bytes | bytearray) -> pa.StructArray | None:
    """Parse one slice's JSON into Arrow columns.

    Args:
        data: The JSON text.

    Returns:
        The playlists, their tracks nested (``SLICE_JSON_SCHEMA``); absent fields are null. None if the text is not
        one object of the schema's types in UTF-8 with ``info`` and ``playlists``.
    """
    # pyarrow crashes on a leading null, and does not look at the encoding.
    start = data[:64].removeprefix(_UTF8_MARK).lstrip()
    if not start.startswith(b"{") or not _is_utf8(data):
        return None
    read_options = pa.json.ReadOptions(use_threads=False, block_size=len(data) + 1024)
    parse_options = pa.json.ParseOptions(
        explicit_schema=SLICE_JSON_SCHEMA, newlines_in_values=True, unexpected_field_behavior="ignore"
    )
    try:
        table = pa.json.read_json(pa.BufferReader(data), read_options=read_options, parse_options=parse_options)
    except pa.ArrowInvalid:
        return None
    if table.num_rows != 1 or table["info"].null_count or table["playlists"].null_count:
        return None
    return table["playlists"].chunk(0).flatten()


def _is_utf8(data: bytes | bytearray) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def build_columns(playlists: pa.StructArray, part: Slice | None = None) -> SliceColumns | None:
    """Turn parsed playlists into columns, and check them against themselves.

    Args:
        playlists: n playlists as ``parse_slice`` gives them.
        part: The slice, whose name's range the pids should keep to; None to leave that unchecked.

    Returns:
        The columns, or None if any playlist has a defect.
    """
    nested = playlists.field("tracks")
    fields = _take_fields(playlists, PLAYLIST_FIELDS)
    rows = _take_fields(nested.flatten(), TRACK_FIELDS)
    if fields is None or rows is None or nested.null_count:
        return None
    lengths = _to_numpy(nested.value_lengths()).astype(np.int64)
    tracks, artists, albums = (rows[f"{kind}_uri"].dictionary_encode() for kind in ("track", "artist", "album"))
    track_codes, artist_codes, album_codes = (_to_numpy(column.indices) for column in (tracks, artists, albums))
    durations = _to_numpy(rows["duration_ms"])
    right = (
        _fields_are_right(fields, part)
        and bool(lengths.all())
        and _positions_are_right(_to_numpy(rows["pos"]), lengths)
        and np.array_equal(_to_numpy(fields["num_tracks"]), lengths)
        and np.array_equal(_to_numpy(fields["num_artists"]), _count_distinct(artist_codes, lengths))
        and np.array_equal(_to_numpy(fields["num_albums"]), _count_distinct(album_codes, lengths))
        and np.array_equal(_to_numpy(fields["duration_ms"]), _sum_each(durations, lengths))
    )
    if not right:
        return None
    first = _find_first(track_codes)
    digests = _mix(_hash_texts(rows["track_name"]), durations.astype(np.uint64))
    digests = _mix(digests, _hash_texts(artists.dictionary)[artist_codes])
    digests = _mix(digests, _hash_texts(albums.dictionary)[album_codes])
    varies = np.zeros(len(first), bool)
    varies[track_codes[digests != digests[first[track_codes]]]] = True
    return SliceColumns(
        playlists=_type_playlists(playlists),
        lengths=lengths,
        tracks=track_codes,
        track_uri=tracks.dictionary,
        track_name=rows["track_name"].take(pa.array(first)),
        track_artist=artist_codes[first],
        track_album=album_codes[first],
        track_duration=durations[first],
        track_digest=digests[first],
        track_varies=varies,
        artist_uri=artists.dictionary,
        artist_name=rows["artist_name"].take(pa.array(_find_first(artist_codes))),
        album_uri=albums.dictionary,
        album_name=rows["album_name"].take(pa.array(_find_first(album_codes))),
    )


def _take_fields(values: pa.StructArray, names: Iterable[str]) -> dict[str, pa.Array] | None:
    """Return the named fields, or None if a value is null."""
    fields = {name: values.field(name) for name in names}
    return None if values.null_count or any(column.null_count for column in fields.values()) else fields


def _to_numpy(column: pa.Array) -> npt.NDArray[Any]:
    return column.to_numpy(zero_copy_only=False)


def _type_playlists(playlists: pa.StructArray) -> pa.Table:
    """Return the columns of ``PLAYLISTS_SCHEMA`` but ``playlist_id``."""
    schema = pa.schema(list(PLAYLISTS_SCHEMA)[1:])
    columns = [playlists.field(name) for name in schema.names]
    columns[schema.get_field_index("collaborative")] = pc.equal(playlists.field("collaborative"), "true")
    return pa.table(columns, schema=schema)


def _fields_are_right(fields: Mapping[str, pa.Array], part: Slice | None) -> bool:
    """Check that ``collaborative`` is true or false, pids differ, and keep to the range of the slice's name."""
    pids = _to_numpy(fields["pid"])
    known = pc.is_in(fields["collaborative"], value_set=pa.array(COLLABORATIVE, pa.string()))
    in_range = part is None or bool(np.all((pids >= part.first) & (pids <= part.last)))
    return in_range and len(np.unique(pids)) == len(pids) and pc.all(known, min_count=0).as_py()


def _positions_are_right(positions: Int32s, lengths: Int64s) -> bool:
    """Check that positions are 0..n-1 in each playlist."""
    starts = np.cumsum(lengths) - lengths
    return np.array_equal(positions, np.arange(len(positions)) - np.repeat(starts, lengths))


def _count_distinct(codes: Int32s, lengths: Int64s) -> Int64s:
    """Count distinct codes in each playlist: int32[m] in runs of ``lengths`` (int64[n]) -> int64[n]."""
    base = np.int64(codes.max(initial=0)) + 1
    keys = np.repeat(np.arange(len(lengths)), lengths) * base + codes
    keys.sort()
    starts_run = np.diff(keys, prepend=-1) != 0
    return np.bincount(keys[starts_run] // base, minlength=len(lengths))


def _sum_each(values: Int32s, lengths: Int64s) -> Int64s:
    """Sum each playlist's values: int32[m] in runs of ``lengths`` (int64[n]) -> int64[n]."""
    ends = np.cumsum(lengths)
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return sums[ends] - sums[ends - lengths]


def _find_first(codes: Int32s) -> Int64s:
    """Return where each code first appears; codes are numbered by first appearance."""
    return np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))


def _hash_texts(texts: pa.StringArray) -> Uint64s:
    """Hash texts by their length and their first 1,024 bytes: string[n] -> uint64[n]."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset).astype(np.int64)
    data = np.concatenate([np.frombuffer(texts.buffers()[2] or b"", np.uint8), np.zeros(8, np.uint8)])
    words = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))  # the eight bytes from each byte on
    lengths = np.diff(offsets)
    hashes = lengths.astype(np.uint64)
    rows = np.flatnonzero(lengths)
    for start in range(0, 1024, 8):
        if not len(rows):
            break
        left = lengths[rows] - start
        beyond = 8 * np.maximum(8 - left, 0).astype(np.uint64)
        hashes[rows] = _mix(hashes[rows], words[offsets[rows] + start] << beyond)
        rows = rows[left > 8]
    return hashes


def _mix(hashes: Uint64s, values: Uint64s) -> Uint64s:
    """Mix values into hashes, elementwise, modulo 2^64 (the multiplier is MurmurHash64A's)."""
    mixed = (hashes ^ values) * np.uint64(0xC6A4A7935BD1E995)
    return mixed ^ (mixed >> np.uint64(32))
