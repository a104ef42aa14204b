"""From an archive to the star schema.

Threads read slices ahead (``slices.py``); the main thread takes them in order, so that ids follow from slice number,
playlist and position alone. What happens to broken input is the table in ``repair.py``.
"""

import contextlib
import itertools
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from playlist_pipeline.config import ExtractConfig
from playlist_pipeline.mpd.archive import MD5SUMS_NAME, Archive, ArchiveError, DamagedMemberError, Slice
from playlist_pipeline.mpd.parts import Parts, PartStore
from playlist_pipeline.mpd.repair import Findings, Problem
from playlist_pipeline.mpd.schema import (
    ALBUMS_SCHEMA,
    ARTISTS_SCHEMA,
    MEMBERSHIPS_SCHEMA,
    PLAYLISTS_SCHEMA,
    TRACKS_SCHEMA,
)
from playlist_pipeline.mpd.slices import Int32s, Int64s, SliceColumns, SliceResult, Uint64s, read_slice

logger = logging.getLogger(__name__)


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


def extract_tables(
    archive: Archive, config: ExtractConfig, progress: bool = True, *, store: PartStore | None = None
) -> tuple[ExtractedTables, dict[str, Any]]:
    """Read and check all slices of an archive.

    Args:
        archive: The archive.
        config: Strictness, threads and length of the list of problems. Tables do not depend on the threads, nor on
            the order of members in a zip, nor on whether the slices lie in a zip or a folder.
        progress: Show a progress bar in bytes of JSON, if standard error is a terminal.
        store: Where each slice is kept as soon as it is read, so that a killed extraction goes on where it stopped:
            slices that are there already are not read again. None keeps nothing. The result is the same.

    Returns:
        The tables and the report, a dictionary that JSON can hold:

        - ``archive``: ``name``, ``kind`` (zip or folder), ``slices`` and ``bytes`` of JSON in it
        - ``counts``: ``slices`` that were used, and rows of ``playlists``, ``memberships``, ``tracks``, ``albums``,
          ``artists``
        - ``md5``: slices ``verified``, ``mismatched`` and ``absent`` (from ``md5sums``)
        - ``repaired``, ``skipped``, ``noted``: numbers by kind (``repair.RULES``)
        - ``replaced_surrogates``: lone surrogates that became U+FFFD
        - ``conflicting_tracks``: tracks whose name, artist, album or duration differ between appearances
        - ``problems``: the first ``max_problems``, each ``slice``, ``pid``, ``field``, ``problem``, ``action``
        - ``problems_unlisted``: how many more there are

    Raises:
        ArchiveError: If the archive cannot be opened, has no slices or no usable playlist; with ``strict``, at the
            first defect.
        UserError: If ``store`` cannot be written to.
    """
    findings = Findings(config.max_problems)
    md5sums = _read_md5sums(archive, findings)
    _note_overlaps(archive.slices, findings)
    _refuse_if_strict(archive, config, findings)
    parts = None if store is None else store.open(archive, config)
    if parts:
        logger.info("%d of %d slices were read by an extraction that did not finish", len(parts), len(archive.slices))
    merger, pids = _Merger(), _SeenPids()
    md5: Counter[str] = Counter(verified=0, mismatched=0, absent=0)
    used = surrogates = 0
    hidden = None if progress else True
    with (
        tqdm(total=archive.size, unit="B", unit_scale=True, desc="extract", disable=hidden) as bar,
        contextlib.closing(_read_ahead(archive, config, md5sums, parts)) as results,
    ):
        for read in results:
            earlier = pids.find_earlier(read)
            result = _read_slice(archive, read.part, config, md5sums, earlier) if earlier else read
            findings.extend(result.findings)
            _refuse_if_strict(archive, config, findings)
            if result.md5 is not None:
                md5[result.md5] += 1
            if result.columns is not None:
                pids.add(result)
                merger.add(result.columns)
                used += 1
                surrogates += result.replaced_surrogates
            bar.update(result.part.size)
    if not merger.num_playlists:
        raise ArchiveError(_name_nothing_left(archive, findings))
    tables, conflicting = merger.finish()
    report = {
        "archive": {"name": archive.name, "kind": archive.kind, "slices": len(archive.slices), "bytes": archive.size},
        "counts": {"slices": used, **{name: getattr(tables, name).num_rows for name in _COUNTED}},
        "md5": dict(md5),
        **{tally: findings.count_by(tally) for tally in ("repaired", "skipped", "noted")},
        "replaced_surrogates": surrogates,
        "conflicting_tracks": conflicting,
        "problems": [problem.to_dict() for problem in findings.listed],
        "problems_unlisted": findings.total - len(findings.listed),
    }
    return tables, report


_COUNTED = ("playlists", "memberships", "tracks", "albums", "artists")


def _refuse_if_strict(archive: Archive, config: ExtractConfig, findings: Findings) -> None:
    if config.strict and findings.first is not None:
        raise ArchiveError(findings.first.to_line(archive.name))


def _name_nothing_left(archive: Archive, findings: Findings) -> str:
    if findings.first is None:
        return f"archive {archive.path} holds no playlists: give another archive"
    line = findings.first.to_line("").removeprefix(", ").split("; mend it")[0]
    return f"archive {archive.path} has no usable playlist left; the first of {findings.total} problems: {line}"


def _read_md5sums(archive: Archive, findings: Findings) -> dict[str, str]:
    archive.slices  # noqa: B018  (names a missing or empty archive first)
    try:
        return archive.md5sums
    except DamagedMemberError as error:
        findings.add(Problem("damaged_md5sums", MD5SUMS_NAME, None, None, str(error)))
        return {}


def _note_overlaps(slices: tuple[Slice, ...], findings: Findings) -> None:
    widest = slices[0]
    for part in slices[1:]:
        if part.first <= widest.last:
            text = f"the range of its name overlaps that of {widest.name}"
            findings.add(Problem("overlapping_slices", part.name, None, None, text))
        widest = max(widest, part, key=lambda item: item.last)


def _read_slice(
    archive: Archive, part: Slice, config: ExtractConfig, md5sums: dict[str, str], earlier: dict[int, str] | None = None
) -> SliceResult:
    return read_slice(archive, part, md5sums=md5sums, max_problems=config.max_problems, earlier=earlier)


def _read_or_load(
    archive: Archive, part: Slice, config: ExtractConfig, md5sums: dict[str, str], parts: Parts | None
) -> SliceResult:
    if parts is None:
        return _read_slice(archive, part, config, md5sums)
    result = parts.load(part)
    if result is None:
        result = _read_slice(archive, part, config, md5sums)
        parts.save(result)
    return result


def _read_ahead(
    archive: Archive, config: ExtractConfig, md5sums: dict[str, str], parts: Parts | None
) -> Generator[SliceResult, None, None]:
    """Give every slice's result in order, while threads work on at most ``num_workers + 2`` slices."""
    waiting: deque[Future[SliceResult]] = deque()
    with ThreadPoolExecutor(config.num_workers, thread_name_prefix="extract") as pool:
        try:
            for part in archive.slices:
                if len(waiting) == config.num_workers + 2:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(_read_or_load, archive, part, config, md5sums, parts))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _SeenPids:
    """The pids of the slices so far; only slices whose ranges of pids meet are compared."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int, Int32s, str]] = []

    @staticmethod
    def _pids_of(result: SliceResult) -> Int32s:
        return np.empty(0, np.int32) if result.columns is None else result.columns.playlists["pid"].to_numpy()

    def find_earlier(self, result: SliceResult) -> dict[int, str]:
        """Return the pids of this slice that earlier slices hold, with the name of the first that does."""
        pids = self._pids_of(result)
        found: dict[int, str] = {}
        for low, high, seen, name in self._seen:
            if len(pids) and low <= pids.max() and pids.min() <= high:
                for pid in np.intersect1d(pids, seen).tolist():
                    found.setdefault(pid, name)
        return found

    def add(self, result: SliceResult) -> None:
        pids = self._pids_of(result)
        if len(pids):
            self._seen.append((int(pids.min()), int(pids.max()), pids, result.part.name))


class _Ids:
    """Gives each URI a number, in order of first appearance."""

    def __init__(self) -> None:
        self._ids: defaultdict[str, int] = defaultdict(itertools.count().__next__)

    def __len__(self) -> int:
        return len(self._ids)

    def assign(self, uris: pa.StringArray) -> tuple[Int32s, Int64s]:
        """Return the ids of distinct URIs (int32[d]) and the rows of those that are new (int64[new])."""
        before = len(self._ids)
        ids = np.fromiter(map(self._ids.__getitem__, uris.to_pylist()), np.int32, len(uris))
        return ids, np.flatnonzero(ids >= before)

    def assign_used(self, uris: pa.StringArray, used: Int32s) -> tuple[Int32s, tuple[Int32s, Int64s]]:
        """Number only the URIs in the rows ``used`` (int32[k]), in the order of their first use.

        Returns:
            The ids of ``used`` (int32[k]), and of the URIs that are new, the ids and the rows (int32[new], int64[new]).
        """
        first = np.sort(np.unique(used, return_index=True)[1])
        rows = used[first].astype(np.int64)
        ids, new = self.assign(uris.take(pa.array(rows)))
        id_of_row = np.empty(len(uris), np.int32)
        id_of_row[rows] = ids
        return id_of_row[used], (ids[new], rows[new])


class _Digests:
    """How each track was described first, as a hash, to find those that are described otherwise later."""

    def __init__(self) -> None:
        self._digests = np.zeros(1024, np.uint64)
        self._varies = np.zeros(1024, bool)

    def add(self, ids: Int32s, new: Int64s, digests: Uint64s, varies: npt.NDArray[np.bool_]) -> None:
        """Take in distinct tracks (all of length d), of which the rows ``new`` are met for the first time."""
        missing = int(ids.max(initial=-1)) + 1 - len(self._varies)
        if missing > 0:
            more = max(missing, len(self._varies))
            self._digests = np.concatenate([self._digests, np.zeros(more, np.uint64)])
            self._varies = np.concatenate([self._varies, np.zeros(more, bool)])
        self._digests[ids[new]] = digests[new]
        self._varies[ids] |= varies | (self._digests[ids] != digests)

    def count_varying(self) -> int:
        return int(self._varies.sum())


class _Merger:
    """Takes slices in order and numbers what is in them."""

    def __init__(self) -> None:
        self.num_playlists = 0
        self._track_ids, self._artist_ids, self._album_ids = _Ids(), _Ids(), _Ids()
        self._digests = _Digests()
        self._playlists: list[pa.Table] = []
        self._artists: list[pa.Table] = []
        self._albums: list[pa.Table] = []
        self._tracks: list[pa.Table] = []
        self._lengths: list[Int64s] = []
        self._entries: list[Int32s] = []

    def add(self, part: SliceColumns) -> None:
        track_ids, new = self._track_ids.assign(part.track_uri)
        self._digests.add(track_ids, new, part.track_digest, part.track_varies)
        # Known tracks have their artist and album already: only those of new tracks are looked up.
        artists, new_artists = self._artist_ids.assign_used(part.artist_uri, part.track_artist[new])
        albums, new_albums = self._album_ids.assign_used(part.album_uri, part.track_album[new])
        uris, names = (column.take(pa.array(new)) for column in (part.track_uri, part.track_name))
        columns = (track_ids[new], uris, names, artists, albums, part.track_duration[new])
        self._tracks.append(_make_table(TRACKS_SCHEMA, *columns))
        for schema, tables, (ids, rows), uri, name in (
            (ARTISTS_SCHEMA, self._artists, new_artists, part.artist_uri, part.artist_name),
            (ALBUMS_SCHEMA, self._albums, new_albums, part.album_uri, part.album_name),
        ):
            tables.append(_make_table(schema, ids, uri.take(pa.array(rows)), name.take(pa.array(rows))))
        count = len(part.lengths)
        playlist_ids = np.arange(self.num_playlists, self.num_playlists + count, dtype=np.int32)
        self._playlists.append(_make_table(PLAYLISTS_SCHEMA, playlist_ids, *part.playlists.columns))
        self._lengths.append(part.lengths)
        self._entries.append(track_ids[part.tracks])
        self.num_playlists += count

    def finish(self) -> tuple[ExtractedTables, int]:
        """Return the tables and the number of tracks that are described in more than one way."""
        lengths = np.concatenate(self._lengths)
        entries = np.concatenate(self._entries)
        self._entries.clear()
        positions = np.arange(len(entries)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        owners = np.repeat(np.arange(self.num_playlists, dtype=np.int32), lengths)
        tables = ExtractedTables(
            playlists=pa.concat_tables(self._playlists).combine_chunks(),
            artists=pa.concat_tables(self._artists).combine_chunks(),
            albums=pa.concat_tables(self._albums).combine_chunks(),
            tracks=pa.concat_tables(self._tracks).combine_chunks(),
            memberships=_make_table(MEMBERSHIPS_SCHEMA, owners, positions.astype(np.int32), entries),
        )
        return tables, self._digests.count_varying()


def _make_table(schema: pa.Schema, *columns: Any) -> pa.Table:
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)
