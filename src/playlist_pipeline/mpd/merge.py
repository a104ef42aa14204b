"""Many slices' columns become the star schema: every URI gets a number, in order of first appearance.

Slices wait until they bring as many URIs as are known, or are many. Then one call of Arrow numbers the known URIs and
theirs, in C++ throughout, so that the threads that read the next slices are not held up as they are by a dictionary.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from playlist_pipeline.mpd.schema import (
    ALBUMS_SCHEMA,
    ARTISTS_SCHEMA,
    MEMBERSHIPS_SCHEMA,
    PLAYLISTS_SCHEMA,
    TRACKS_SCHEMA,
)
from playlist_pipeline.mpd.slices import Int32s, Int64s, SliceColumns

SLICES_AT_A_TIME = 32


@dataclass(frozen=True)
class ExtractedTables:
    """An archive as five tables with the schemas of ``schema.py``.

    Attributes:
        playlists: One row a playlist, in order of slice and place in it; ``playlist_id`` is the row.
        artists: One row an artist URI that a track has, in order of first appearance; ``artist_id`` is the row.
        albums: One row an album URI that a track has, in order of first appearance; ``album_id`` is the row.
        tracks: One row a track URI, in order of first appearance, as described there; ``track_id`` is the row.
        memberships: One row an entry, sorted by playlist and position.
    """

    playlists: pa.Table
    artists: pa.Table
    albums: pa.Table
    tracks: pa.Table
    memberships: pa.Table


class Merger:
    """Takes slices in order and numbers what is in them.

    Attributes:
        num_playlists: Playlists so far.
    """

    def __init__(self) -> None:
        self.num_playlists = 0
        self._waiting: list[SliceColumns] = []
        self._waiting_tracks = 0
        self._track_uris, self._artist_uris, self._album_uris = _Uris(), _Uris(), _Uris()
        # Columns of the tables, as chunks; what is missing here is counted at the end.
        self._playlists: list[pa.Table] = []
        self._lengths: list[Int64s] = []
        self._entries: list[Int32s] = []
        self._tracks: list[pa.Table] = []
        self._artist_names: list[pa.StringArray] = []
        self._album_names: list[pa.StringArray] = []
        # How each track was described first, as a hash, and whether it was described otherwise later.
        self._digests = np.empty(0, np.uint64)
        self._varies = np.empty(0, bool)

    def add(self, part: SliceColumns) -> None:
        """Take in the next slice."""
        self.num_playlists += len(part.lengths)
        self._playlists.append(part.playlists)
        self._lengths.append(part.lengths)
        self._waiting.append(part)
        self._waiting_tracks += len(part.track_uri)
        if self._waiting_tracks > len(self._track_uris) or len(self._waiting) == SLICES_AT_A_TIME:
            self._number_waiting()

    def _number_waiting(self) -> None:
        parts, self._waiting, self._waiting_tracks = self._waiting, [], 0
        track_ids, new = self._track_uris.number([part.track_uri for part in parts])
        self._compare_descriptions(parts, track_ids, new)
        # A track's artist and album are those of its first appearance: only those of new tracks are looked at.
        artist_ids, artist_names = _number_used(
            self._artist_uris,
            [(part.artist_uri, part.artist_name, part.track_artist) for part in parts],
            new,
        )
        album_ids, album_names = _number_used(
            self._album_uris,
            [(part.album_uri, part.album_name, part.track_album) for part in parts],
            new,
        )
        self._artist_names.append(artist_names)
        self._album_names.append(album_names)
        names = pa.concat_arrays([part.track_name for part in parts]).take(pa.array(new))
        durations = np.concatenate([part.track_duration for part in parts])[new]
        columns = {"name": names, "artist_id": artist_ids, "album_id": album_ids, "duration_ms": durations}
        self._tracks.append(pa.table(columns))
        ends = np.cumsum([len(part.track_uri) for part in parts])
        for part, ids in zip(parts, np.split(track_ids, ends[:-1]), strict=True):
            self._entries.append(ids[part.tracks])

    def _compare_descriptions(self, parts: list[SliceColumns], track_ids: Int32s, new: Int64s) -> None:
        digests = np.concatenate([part.track_digest for part in parts])
        varies = np.concatenate([part.track_varies for part in parts])
        self._digests = np.concatenate([self._digests, digests[new]])
        self._varies = np.concatenate([self._varies, np.zeros(len(new), bool)])
        self._varies[track_ids[varies | (digests != self._digests[track_ids])]] = True

    def finish(self) -> tuple[ExtractedTables, int]:
        """Return the tables and the number of tracks that are described in more than one way."""
        if self._waiting:
            self._number_waiting()
        lengths = np.concatenate(self._lengths)
        entries = np.concatenate(self._entries)
        self._entries.clear()
        starts = (np.cumsum(lengths) - lengths).astype(np.int32)
        positions = np.arange(len(entries), dtype=np.int32)
        positions -= np.repeat(starts, lengths)
        owners = np.repeat(np.arange(self.num_playlists, dtype=np.int32), lengths)
        playlists = pa.concat_tables(self._playlists).combine_chunks()
        tracks = pa.concat_tables(self._tracks).combine_chunks()
        tables = ExtractedTables(
            playlists=_make_table(PLAYLISTS_SCHEMA, np.arange(self.num_playlists), *playlists.columns),
            artists=_make_table(ARTISTS_SCHEMA, *self._artist_uris.to_columns(), pa.concat_arrays(self._artist_names)),
            albums=_make_table(ALBUMS_SCHEMA, *self._album_uris.to_columns(), pa.concat_arrays(self._album_names)),
            tracks=_make_table(TRACKS_SCHEMA, *self._track_uris.to_columns(), *tracks.columns),
            memberships=_make_table(MEMBERSHIPS_SCHEMA, owners, positions, entries),
        )
        return tables, int(self._varies.sum())


class _Uris:
    """Distinct URIs, numbered in order of first appearance."""

    def __init__(self) -> None:
        self._known = pa.array([], pa.string())

    def __len__(self) -> int:
        return len(self._known)

    def number(self, columns: list[pa.StringArray]) -> tuple[Int32s, Int64s]:
        """Return the numbers of all URIs in the columns (int32[n]), and where each new one comes first (int64[new])."""
        before = len(self._known)
        encoded = pa.chunked_array([self._known, *columns]).dictionary_encode()  # one dictionary for all chunks
        numbers = np.empty(0, np.int32)
        if len(encoded):  # Arrow drops empty chunks
            self._known = encoded.chunk(0).dictionary
            numbers = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])[before:]
        highest = np.maximum.accumulate(np.maximum(numbers, before - 1))
        return numbers, np.flatnonzero(np.diff(highest, prepend=before - 1))

    def to_columns(self) -> tuple[np.ndarray, pa.StringArray]:
        """Return all numbers and their URIs."""
        return np.arange(len(self)), self._known


def _number_used(
    uris: _Uris, columns: list[tuple[pa.StringArray, pa.StringArray, Int32s]], used: Int64s
) -> tuple[Int32s, pa.StringArray]:
    """Number the artists, or albums, of some tracks of several slices.

    Args:
        uris: Those that have numbers already.
        columns: Of each slice, the distinct URIs, their names, and the row of each track's.
        used: Which tracks, as rows of all slices' tracks, int64[k].

    Returns:
        The numbers, int32[k], and the names of those that are new.
    """
    starts = np.cumsum([0, *(len(column) for column, _, _ in columns)])
    rows = np.concatenate([row + start for (_, _, row), start in zip(columns, starts[:-1], strict=True)])[used]
    numbers, new = uris.number([pa.concat_arrays([column for column, _, _ in columns]).take(pa.array(rows))])
    names = pa.concat_arrays([name for _, name, _ in columns])
    return numbers, names.take(pa.array(rows[new]))


def _make_table(schema: pa.Schema, *columns: Any) -> pa.Table:
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)
