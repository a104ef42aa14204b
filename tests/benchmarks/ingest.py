"""How fast an archive becomes tables, sequences and the database.

Every step runs in a child process of its own, so that its peak memory is its own. The reference for the database is a
plain script: zipfile, json, and one INSERT a row. Ratios between steps of one run say more than seconds, which depend
on what else the machine does.

    uv run python tests/benchmarks/ingest.py --slices 120
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA_STEPS = ("extract", "split", "vocabulary", "sequences", "catalog")
STEPS = ("inflate", "extract_once", "bare_parse", *DATA_STEPS, "rows")
TABLES = ("playlists", "artists", "albums", "tracks", "memberships")
GB = 1e9


def _list_slices(archive: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(archive) as file:
        return sorted((item for item in file.infolist() if item.filename.endswith(".json")), key=lambda i: i.filename)


def _inflate(archive: Path, item: zipfile.ZipInfo) -> bytearray:
    """Inflate one member whole; of zlib, zlib-ng, isa-l and libdeflate, the last is the fastest."""
    import deflate  # noqa: PLC0415

    with archive.open("rb") as file:
        file.seek(item.header_offset + 26)
        names = file.read(4)
        file.seek(int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little"), 1)
        return deflate.deflate_decompress(file.read(item.compress_size), item.file_size)


def _for_each_slice(options: argparse.Namespace, function: Callable[[zipfile.ZipInfo], Any]) -> dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    items = _list_slices(options.archive)
    start = time.perf_counter()
    with ThreadPoolExecutor(options.workers) as pool:
        for _ in pool.map(function, items):
            pass
    return {"seconds": time.perf_counter() - start, "bytes": sum(item.file_size for item in items)}


def run_inflate(options: argparse.Namespace) -> dict[str, Any]:
    """Inflate every slice."""
    return _for_each_slice(options, lambda item: len(_inflate(options.archive, item)))


def run_bare_parse(options: argparse.Namespace) -> dict[str, Any]:
    """Inflate, MD5 and parse every slice into Arrow columns, and look at nothing."""
    import hashlib  # noqa: PLC0415

    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.json  # noqa: PLC0415

    from playlist_pipeline.mpd.schema import SLICE_JSON_SCHEMA  # noqa: PLC0415

    parsing = pyarrow.json.ParseOptions(
        explicit_schema=SLICE_JSON_SCHEMA, newlines_in_values=True, unexpected_field_behavior="ignore"
    )

    def work(item: zipfile.ZipInfo) -> int:
        data = _inflate(options.archive, item)
        hashlib.md5(data, usedforsecurity=False).hexdigest()
        reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1024)
        return pyarrow.json.read_json(pa.BufferReader(data), read_options=reading, parse_options=parsing).num_rows

    return _for_each_slice(options, work)


def _path(options: argparse.Namespace, name: str) -> Path:
    return options.workspace / f"{name}.parquet"


def run_extract_once(options: argparse.Namespace) -> dict[str, Any]:
    """Extract without keeping parts, to see what they cost."""
    return run_extract(options, keep=False)


def run_extract(options: argparse.Namespace, keep: bool = True) -> dict[str, Any]:
    """Read and check the archive with every check on, keep parts for a restart, and write the tables."""
    from recipes import make_extract_config  # noqa: PLC0415

    from playlist_pipeline.datasets import TableDataset  # noqa: PLC0415
    from playlist_pipeline.mpd import Archive, extract_tables  # noqa: PLC0415
    from playlist_pipeline.mpd.parts import PartStore  # noqa: PLC0415

    start = time.perf_counter()
    config = make_extract_config(strict=True, num_workers=options.workers)
    store = PartStore(options.workspace / "parts") if keep else None
    tables, report = extract_tables(Archive(options.archive), config, progress=False, store=store)
    read = time.perf_counter()
    for name in TABLES:
        TableDataset(filepath=str(_path(options, name))).save(getattr(tables, name))
    if store:
        store.clear()
    end = time.perf_counter()
    counts = report["counts"]
    return {
        "seconds": end - start,
        "parts": {"read": read - start, "write": end - read},
        "bytes": report["archive"]["bytes"],
        "rows": counts["memberships"],
        "counts": counts,
    }


def run_split(options: argparse.Namespace) -> dict[str, Any]:
    """Deal the playlists to the three parts."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from playlist_pipeline.config import SplitConfig  # noqa: PLC0415
    from playlist_pipeline.corpus.split import split_playlists  # noqa: PLC0415

    start = time.perf_counter()
    config = SplitConfig(rule="hash", seed=2018, train_fraction=0.8, validation_fraction=0.1, test_pids=None)
    splits, _ = split_playlists(pq.read_table(_path(options, "playlists")), config)
    pq.write_table(splits, _path(options, "splits"), compression="zstd")
    return {"seconds": time.perf_counter() - start, "rows": splits.num_rows}


def run_vocabulary(options: argparse.Namespace) -> dict[str, Any]:
    """Count the training part's tracks and give each a token."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from playlist_pipeline.config import VocabularyConfig  # noqa: PLC0415
    from playlist_pipeline.corpus.vocabulary import build_vocabulary  # noqa: PLC0415

    start = time.perf_counter()
    tables = [pq.read_table(_path(options, name)) for name in ("memberships", "tracks", "splits")]
    vocabulary, _ = build_vocabulary(*tables, VocabularyConfig(min_count=1))
    pq.write_table(vocabulary, _path(options, "vocabulary"), compression="zstd")
    return {"seconds": time.perf_counter() - start, "rows": tables[0].num_rows}


def run_sequences(options: argparse.Namespace) -> dict[str, Any]:
    """Encode and pack every playlist."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from playlist_pipeline.corpus.sequences import encode_sequences, save_sequences  # noqa: PLC0415
    from playlist_pipeline.corpus.vocabulary import Vocabulary  # noqa: PLC0415

    start = time.perf_counter()
    tables = [pq.read_table(_path(options, name)) for name in ("memberships", "tracks", "splits")]
    vocabulary = Vocabulary.from_table(pq.read_table(_path(options, "vocabulary")))
    sequences = encode_sequences(*tables, vocabulary)
    save_sequences(options.workspace / "sequences", sequences, vocabulary.fingerprint)
    return {"seconds": time.perf_counter() - start, "rows": tables[0].num_rows}


def run_catalog(options: argparse.Namespace) -> dict[str, Any]:
    """Build the sqlite database with its keys, indexes and full-text search."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from playlist_pipeline.corpus.database_build import build_database  # noqa: PLC0415

    start = time.perf_counter()
    tables = {name: pq.read_table(_path(options, name)) for name in (*TABLES, "splits")}
    path = options.workspace / "catalog.db"
    counts = build_database(path, **tables)
    return {
        "seconds": time.perf_counter() - start,
        "rows": counts["memberships"],
        "counts": counts,
        "file_bytes": path.stat().st_size,
    }


def run_rows(options: argparse.Namespace) -> dict[str, Any]:
    """Load slices as a plain script would: parse with json, one INSERT a row, indexes at the end.

    The database has the same tables, indexes and full-text search; its settings are sqlite's own. Nothing is checked.
    """
    import importlib.resources  # noqa: PLC0415
    import sqlite3  # noqa: PLC0415

    schema = importlib.resources.files("playlist_pipeline.corpus").joinpath("schema.sql").read_text(encoding="utf-8")
    before, after = schema.split("-- AFTER LOADING")
    unique, others = [], []
    for statement in after.partition("\n")[2].split(";"):
        (unique if "UNIQUE" in statement and "_by_uri" in statement else others).append(statement)
    path = options.workspace / "rows.db"
    path.unlink(missing_ok=True)
    items = _list_slices(options.archive)[: options.rows_slices]
    start = time.perf_counter()
    connection = sqlite3.connect(path)
    connection.executescript(before + ";".join(unique))
    rows = 0
    with zipfile.ZipFile(options.archive) as archive:
        for item in items:
            for playlist in json.loads(archive.read(item))["playlists"]:
                rows += _insert_playlist(connection, playlist)
            connection.commit()
    connection.executescript(";".join(others) + "; INSERT INTO names (names) VALUES ('rebuild');")
    connection.commit()
    connection.close()
    seconds = time.perf_counter() - start
    path.unlink()
    return {"seconds": seconds, "rows": rows, "slices": len(items), "bytes": sum(item.file_size for item in items)}


def _insert_playlist(connection: Any, playlist: dict[str, Any]) -> int:
    columns = ["pid", "name", "description", "modified_at", "num_tracks", "num_albums", "num_artists"]
    columns += ["num_followers", "num_edits", "duration_ms", "collaborative"]
    playlist["collaborative"] = playlist["collaborative"] == "true"
    cursor = connection.execute(
        f"INSERT INTO playlists ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        [playlist.get(column) for column in columns],
    )
    playlist_id = cursor.lastrowid
    connection.execute("INSERT INTO splits VALUES (?, ?)", (playlist_id, "train"))
    for track in playlist["tracks"]:
        connection.execute(
            "INSERT OR IGNORE INTO artists (uri, name, name_key) VALUES (?, ?, ?)",
            (track["artist_uri"], track["artist_name"], track["artist_name"].lower()),
        )
        connection.execute(
            "INSERT OR IGNORE INTO albums (uri, name) VALUES (?, ?)", (track["album_uri"], track["album_name"])
        )
        connection.execute(
            "INSERT OR IGNORE INTO tracks (uri, name, artist_id, album_id, duration_ms, name_key, training_count) "
            "VALUES (?, ?, (SELECT artist_id FROM artists WHERE uri = ?), "
            "(SELECT album_id FROM albums WHERE uri = ?), ?, ?, 0)",
            (
                track["track_uri"],
                track["track_name"],
                track["artist_uri"],
                track["album_uri"],
                track["duration_ms"],
                track["track_name"].lower(),
            ),
        )
        connection.execute(
            "INSERT INTO memberships VALUES (?, ?, (SELECT track_id FROM tracks WHERE uri = ?))",
            (playlist_id, track["pos"], track["track_uri"]),
        )
    return len(playlist["tracks"])


def _run_child(step: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a process of its own and return what it measured, peak memory included."""
    arguments = ["--step", step, "--archive", options.archive, "--workspace", options.workspace]
    arguments += ["--workers", options.workers, "--rows-slices", options.rows_slices]
    command = [sys.executable, __file__, *map(str, arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all steps and relate them to each other."""
    found: dict[str, Any] = {}
    for step in STEPS:
        print(f"{step} ...", file=sys.stderr, flush=True)
        # The two that are divided by each other are measured in turns; the better of each counts.
        turns = options.repeat if step in ("bare_parse", "extract") else 1
        runs = [_run_child(step, options) for _ in range(turns)]
        if step == "extract" and turns > 1:
            runs_bare = [found["bare_parse"], _run_child("bare_parse", options)]
            found["bare_parse"] = min(runs_bare, key=lambda run: run["seconds"])
        found[step] = min(runs, key=lambda run: run["seconds"])
    slices = found["extract"]["counts"]["slices"]
    for step in found.values():
        step["seconds_per_1000_slices"] = 1000 * step["seconds"] / step.get("slices", slices)
        for key, unit, scale in (("bytes", "mb_per_s", 1e6), ("rows", "rows_per_s", 1)):
            if key in step:
                step[unit] = step[key] / scale / step["seconds"]

    def speedup(unit: str) -> float:
        """Row inserts over what it takes us from the archive to the database, per slice."""
        ours = (found["extract"][unit] + found["catalog"][unit]) / slices
        return found["rows"][unit] / found["rows"]["slices"] / ours

    data_seconds = sum(found[name]["seconds"] for name in DATA_STEPS)
    return {
        "slices": slices,
        "workers": options.workers,
        "cpus": os.cpu_count(),
        "json_gb": found["extract"]["bytes"] / GB,
        "rows": found["extract"]["rows"],
        "extract_mb_per_s": found["extract"]["mb_per_s"],
        "extract_over_bare_parse": found["bare_parse"]["seconds"] / found["extract"]["seconds"],
        "extract_over_inflate": found["inflate"]["seconds"] / found["extract"]["seconds"],
        "data_seconds": data_seconds,
        "data_seconds_per_1000_slices": 1000 * data_seconds / slices,
        "data_cpu_seconds": sum(found[name]["cpu_seconds"] for name in DATA_STEPS),
        "parts_cost": found["extract"]["cpu_seconds"] / found["extract_once"]["cpu_seconds"] - 1,
        "extract_over_bare_parse_cpu": found["bare_parse"]["cpu_seconds"] / found["extract"]["cpu_seconds"],
        "database_speedup_over_rows": speedup("seconds"),
        "database_speedup_over_rows_cpu": speedup("cpu_seconds"),
        "rows_slices": found["rows"]["slices"],
        "peak_rss_gb": max(found[name]["peak_rss_gb"] for name in DATA_STEPS),
        "steps": found,
    }


def _print_table(result: dict[str, Any]) -> None:
    print(f"{result['slices']} slices, {result['json_gb']:.2f} GB of JSON, {result['rows']:,} entries, ", end="")
    print(f"{result['workers']} threads, {result['cpus']} cores\n")
    print(f"{'step':<12}{'seconds':>9}{'CPU s':>8}{'MB/s':>8}{'rows/s':>12}{'s / 1,000 slices':>18}{'peak GB':>9}")
    for name, step in result["steps"].items():
        speed = f"{step['mb_per_s']:.0f}" if "mb_per_s" in step else ""
        rows = f"{step['rows_per_s']:,.0f}" if "rows_per_s" in step else ""
        print(
            f"{name:<12}{step['seconds']:>9.1f}{step['cpu_seconds']:>8.1f}{speed:>8}{rows:>12}"
            f"{step['seconds_per_1000_slices']:>18.0f}{step['peak_rss_gb']:>9.2f}"
        )
    print(
        f"\nextract runs at {result['extract_over_bare_parse']:.2f} of the rate of inflate, MD5 and bare parse "
        f"({result['extract_over_bare_parse_cpu']:.2f} by CPU time); the parts for a restart are "
        f"{result['parts_cost']:.0%} of its CPU time\n"
        f"the data part ({', '.join(DATA_STEPS)}) takes {result['data_seconds']:.1f} s "
        f"({result['data_cpu_seconds']:.1f} s of CPU time), at most {result['peak_rss_gb']:.2f} GB\n"
        f"extract and catalog are {result['database_speedup_over_rows']:.1f} times as fast as row inserts "
        f"({result['database_speedup_over_rows_cpu']:.1f} times by CPU time; "
        f"those were run on {result['rows_slices']} slices and scaled)"
    )


def _make_archive(options: argparse.Namespace) -> None:
    if options.archive is None:
        options.archive = options.workspace / f"mpd_{options.slices}.zip"
    if options.archive.exists():
        return
    print(f"making {options.slices} slices ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "playlist_pipeline.mpd.synthetic", options.archive, "--slices", options.slices]
    result = subprocess.run(
        [*map(str, command), "--workers", str(options.workers)], stdout=subprocess.PIPE, text=True, check=True
    )
    options.archive.with_suffix(".json").write_text(result.stdout, encoding="utf-8")


def _compare_counts(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Add whether the catalog holds what the generator says it wrote, where its report lies beside the archive."""
    path = options.archive.with_suffix(".json")
    if path.exists():
        made, counts = json.loads(path.read_text(encoding="utf-8")), result["steps"]["catalog"]["counts"]
        result["counts_equal_generator"] = all(made[name] == counts[name] for name in TABLES)


def main() -> int:
    """Run the benchmark, or one step of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--archive", type=Path, help="a zip to use, made there first if it is missing")
    parser.add_argument("--workspace", type=Path, help="folder for what is written; a temporary one if not given")
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--rows-slices", type=int, default=120, help="slices that the row-by-row reference reads")
    parser.add_argument("--repeat", type=int, default=1, help="turns of bare parse and extract, the best counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        import pandas  # noqa: F401, PLC0415  (pyarrow imports it when it first converts; a run pays that once)

        result = globals()[f"run_{options.step}"](options)
        used = resource.getrusage(resource.RUSAGE_SELF)
        result |= {"peak_rss_gb": used.ru_maxrss * 1024 / GB, "cpu_seconds": used.ru_utime + used.ru_stime}
        print(json.dumps(result))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        options.workspace = options.workspace or Path(temporary)
        options.workspace.mkdir(parents=True, exist_ok=True)
        _make_archive(options)
        result = _measure(options)
        _compare_counts(options, result)
    _print_table(result)
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
