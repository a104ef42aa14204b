"""What no input may do to the reader and to the parameters.

Each target takes bytes and raises ``AssertionError``, or whatever the code under test raises, at a finding. The suite
runs them on the corpus in ``tests/mpd/corpus`` and on inputs that hypothesis makes up; ``fuzz.py`` searches for more.
"""

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from playlist_pipeline.config import CONFIG_CLASSES, ExtractConfig, SystemConfig, make_config
from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd import Archive, ArchiveError, extract_tables, read_slice
from playlist_pipeline.mpd import schema as schemas
from playlist_pipeline.mpd.archive import Member, Slice
from playlist_pipeline.mpd.fields import find_layout_defect
from playlist_pipeline.mpd.repair import RULES, replace_lone_surrogates
from playlist_pipeline.mpd.slices import SliceColumns, SliceResult
from playlist_pipeline.mpd.tables import ExtractedTables

CONF = Path(__file__).parents[2] / "conf" / "base"
CONFIG = ExtractConfig(
    strict=False,
    num_workers=1,
    max_problems=5,
    max_slice_bytes=2**20,
    max_ratio=100,
    max_total_bytes=2**22,
    max_slices=100,
)
NO_SLICE = {kind for kind, rule in RULES.items() if rule.action == "slice skipped"}
NO_PLAYLIST = {kind for kind, rule in RULES.items() if rule.action == "playlist skipped"}


class _OneSlice(Archive):
    """An archive of one slice with the given bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__("slice")
        self.data = data

    def read(self, item: Any, **_: Any) -> bytes:
        return self.data


def check_slice(data: bytes) -> SliceResult:
    """Read the bytes of a slice: what is kept satisfies the schema, and what is kept and skipped adds up to all."""
    part = Slice("mpd.slice.0-9.json", 0, 9, Member("mpd.slice.0-9.json", len(data)))
    result = read_slice(_OneSlice(data), part, CONFIG, md5sums={})
    findings = result.findings
    assert findings.total >= len(findings.listed) == min(findings.total, CONFIG.max_problems)
    assert (result.columns is None) == bool(NO_SLICE & findings.counts.keys())
    json.dumps([problem.to_dict() for problem in findings.listed]).encode()
    assert all("\n" not in problem.to_line("x") for problem in findings.listed)
    if result.columns is None:
        assert findings.counts.total() == 1
        return result
    kept = result.columns
    for values in vars(kept).values():
        if isinstance(values, pa.Table | pa.Array):
            values.validate(full=True)
    assert kept.lengths.min(initial=1) >= 1
    assert kept.playlists["num_tracks"].to_pylist() == kept.lengths.tolist()
    assert kept.lengths.sum() == len(kept.tracks)
    assert np.array_equal(np.unique(kept.tracks), np.arange(len(kept.track_uri)))
    if not kept.track_varies.any():
        _check_sums(kept)
    skipped = sum(findings.counts[kind] for kind in NO_PLAYLIST)
    try:
        content = json.loads(replace_lone_surrogates(data)[0].decode("utf-8-sig"))
    except (RecursionError, ValueError):  # Arrow passes over depth and numbers in fields that are not read
        return result
    assert find_layout_defect(content) is None
    assert len(kept.lengths) + skipped == len(content["playlists"])
    return result


def _check_sums(kept: SliceColumns) -> None:
    """Check what a playlist says of its tracks, where no track is described in two ways."""
    for row, tracks in zip(kept.playlists.to_pylist(), np.split(kept.tracks, np.cumsum(kept.lengths)), strict=False):
        assert row["num_artists"] == len(np.unique(kept.track_artist[tracks]))
        assert row["num_albums"] == len(np.unique(kept.track_album[tracks]))
        assert row["duration_ms"] == kept.track_duration[tracks].sum(dtype=np.int64)


def check_zip(data: bytes) -> dict[str, Any] | None:
    """Read the bytes of a zip: tables of the schema or one line; strict, a line exactly where there is a problem."""
    path = _scratch() / "mpd.zip"
    path.write_bytes(data)
    try:
        fingerprint = Archive(path).fingerprint
        tables, report = extract_tables(Archive(path), CONFIG, progress=False)
    except ArchiveError as error:
        check_line(error)
        report = None
    try:
        strict = extract_tables(Archive(path), CONFIG.replace(strict=True), progress=False)
    except ArchiveError as error:
        check_line(error)
        assert report is None or report["problems"]
        return report
    assert report is not None
    assert not report["problems"]
    assert strict == (tables, report)
    assert Archive(path).fingerprint == fingerprint
    _check_tables(tables, report)
    return report


def _check_tables(tables: ExtractedTables, report: dict[str, Any]) -> None:
    skipped = sum(count for kind, count in report["skipped"].items() if kind in NO_SLICE)
    assert report["counts"]["slices"] + skipped == report["archive"]["slices"]
    for name, table in vars(tables).items():
        table.validate(full=True)
        wanted = getattr(schemas, f"{name.upper()}_SCHEMA")
        assert table.schema.equals(wanted)
        assert all(field.nullable or not table[field.name].null_count for field in wanted)
    pids = tables.playlists["pid"].to_pylist()
    assert len(set(pids)) == len(pids)


def check_parameters(data: bytes) -> bool:
    """Make all parameters from those of conf/base, of which JSON text replaces some: made, or refused with one line."""
    try:
        changes = json.loads(data)
    except (ValueError, RecursionError):
        return False
    changes = changes if isinstance(changes, dict) else dict.fromkeys(CONFIG_CLASSES, changes)
    try:
        configs: dict[str, Any] = {}
        for key in CONFIG_CLASSES:
            change = changes.get(key, {})
            configs[key] = make_config(key, list_parameters()[key] | change if isinstance(change, dict) else change)
        system = SystemConfig(**{key: configs[key] for key in ("model", "train", "rerank")})
        configs["tuning"].check_search_space(configs["baselines"], system)
    except UserError as error:
        check_line(error)
        return False
    json.dumps({key: config.to_dict() for key, config in configs.items()}, allow_nan=False).encode()
    return True


def check_line(error: UserError) -> None:
    """Check that an error is one line of text."""
    line = str(error)
    assert line
    assert len(line.splitlines()) == 1, line
    line.encode()


@functools.cache
def list_parameters() -> dict[str, dict[str, Any]]:
    """Return the parameters of conf/base by key."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(CONF.glob("parameters_*.yml")):
        found |= yaml.safe_load(path.read_text("utf-8").replace("${globals:seed}", "0"))
    return {key: found[key] for key in CONFIG_CLASSES}


@functools.cache
def _scratch() -> Path:
    folder = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


TARGETS: dict[str, Callable[[bytes], Any]] = {"slice": check_slice, "zip": check_zip, "parameters": check_parameters}


def list_words() -> list[str]:
    """Return words of the formats, escaped as libFuzzer's dictionaries have them."""
    fields = [
        *schemas.PLAYLIST_FIELDS,
        *schemas.OPTIONAL_PLAYLIST_FIELDS,
        *schemas.TRACK_FIELDS,
        "info",
        "playlists",
        "tracks",
    ]
    words = [f'"{name}"' for name in fields] + [
        "true",
        "false",
        "null",
        "NaN",
        "1e400",
        "2147483648",
        r"\ud83d",
        r"\u0000",
    ]
    for key, values in list_parameters().items():
        words += [f'"{name}"' for name in (key, *values)]
    binary = ["PK\\x01\\x02", "PK\\x03\\x04", "PK\\x05\\x06", "PK\\x06\\x06", "PK\\x06\\x07", "\\xff\\xff\\xff\\xff"]
    escaped = [word.replace("\\", "\\\\").replace('"', '\\"') for word in dict.fromkeys(words)]
    return [*escaped, *binary, "mpd.slice.0-9.json", "md5sums"]
