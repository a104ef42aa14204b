"""From an archive to the star schema.

Threads read slices ahead (``slices.py``); the main thread takes them in order, so that ids follow from slice number,
playlist and position alone. What happens to broken input is the table in ``repair.py``.
"""

import contextlib
import logging
from collections import Counter, deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

from playlist_pipeline.config import ExtractConfig
from playlist_pipeline.mpd.archive import MD5SUMS_NAME, Archive, ArchiveError, DamagedMemberError, Slice
from playlist_pipeline.mpd.merge import ExtractedTables, Merger
from playlist_pipeline.mpd.parts import Parts, PartStore
from playlist_pipeline.mpd.repair import Findings, Problem
from playlist_pipeline.mpd.slices import Int32s, SliceResult, read_slice

logger = logging.getLogger(__name__)


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
        ArchiveError: If the archive cannot be opened, is larger than ``config`` allows, has no slices or no usable
            playlist; with ``strict``, at the first defect.
        UserError: If ``store`` cannot be written to.
    """
    _refuse_excess(archive, config)
    findings = Findings(config.max_problems)
    md5sums = _read_md5sums(archive, findings)
    _note_overlaps(archive.slices, findings)
    _refuse_if_strict(archive, config, findings)
    parts = None if store is None else store.open(archive, config)
    if parts:
        logger.info("%d of %d slices were read by an extraction that did not finish", len(parts), len(archive.slices))
    merger, pids = Merger(), _SeenPids()
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


def _refuse_excess(archive: Archive, config: ExtractConfig) -> None:
    """Refuse an archive with more in it than the parameters allow, by what it says of itself.

    Slices that are too large one by one do not count, for they are not read. Those that share bytes of a zip may be
    within ``max_ratio`` one by one, but not all together.
    """
    members = [part.member for part in archive.slices]
    limits = config.max_slice_bytes, config.max_ratio
    size = sum(member.size for member in members if not member.find_excess(*limits))
    found = {
        "max_slices": (len(members), 1, "slices"),
        "max_total_bytes": (size, 1, "bytes of JSON"),
        "max_ratio": (size, archive.packed_size, f"bytes of JSON in {archive.packed_size}"),
    }
    for name, (number, unit, text) in found.items():
        most = getattr(config, name)
        if number > most * unit:
            raise ArchiveError(
                f"archive {archive.path} holds {number} {text}, more than extract.{name} = {most} allows: "
                "give another archive, or a larger number if you trust this one"
            )


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
    return read_slice(archive, part, config, md5sums=md5sums, earlier=earlier)


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
