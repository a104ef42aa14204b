"""A killed extraction goes on where it stopped, and ends with the bytes of one that was left alone."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from recipes import make_extract_config

from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd import Archive, extract_tables, tables
from playlist_pipeline.mpd.parts import PartStore

CONFIG = make_extract_config()
NAMES = ("playlists", "artists", "albums", "tracks", "memberships")

# Extracts and writes the tables. The n-th write of a part may stop half-way for ever, with half of its bytes on disk.
CHILD = """
import json, sys, threading, time
from pathlib import Path
import pyarrow.json, pyarrow.parquet
from playlist_pipeline.config import ExtractConfig
from playlist_pipeline.mpd import Archive, extract_tables
from playlist_pipeline.mpd.parts import PartStore

archive, folder, stop_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
lock, writes = threading.Lock(), 0

class Half:
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()
    def write(self, data):
        self.file.write(bytes(data)[: len(data) // 2]); self.file.flush()
        print("half", self.file.name, flush=True); time.sleep(600)

plain = Path.open
def open_(path, mode="r", **options):
    global writes
    file = plain(path, mode, **options)
    if mode == "wb":
        with lock:
            writes += 1
            if writes == stop_at: return Half(file)
    return file
Path.open = open_

print("ready", flush=True)
config = ExtractConfig(**json.loads(sys.argv[4]))
tables, report = extract_tables(Archive(archive), config, progress=False, store=PartStore(folder / "parts"))
for name in ("playlists", "artists", "albums", "tracks", "memberships"):
    pyarrow.parquet.write_table(getattr(tables, name), folder / f"{name}.parquet")
print("done", flush=True)
"""


@pytest.fixture
def make_twelve(tmp_path, make_playlists, write_archive, slice_text):
    """Give an archive of twelve slices: one has a playlist to repair, one lone surrogates, and one is skipped."""

    def make(size):
        playlists = make_playlists(12 * size)
        playlists[2 * size]["num_tracks"] += 1
        playlists[4 * size]["name"] = "\ud83d"
        files = {
            f"mpd.slice.{first}-{first + size - 1}.json": slice_text(
                playlists[first : first + size], first, first + size - 1
            )
            for first in range(0, 12 * size, size)
        }
        files[f"mpd.slice.{8 * size}-{9 * size - 1}.json"] = "{"
        return Archive(write_archive(tmp_path, files))

    return make


@pytest.fixture
def archive(make_twelve):
    return make_twelve(10)


def _extract(archive, store=None, config=CONFIG):
    return extract_tables(archive, config, progress=False, store=store)


def _assert_same(some, others):
    for name in NAMES:
        assert getattr(some[0], name).equals(getattr(others[0], name), check_metadata=True), name
    assert some[1] == others[1]


def _count_reads(monkeypatch):
    read = []
    real = tables.read_slice

    def count(archive, part, config, **options):
        read.append(part.name)
        return real(archive, part, config, **options)

    monkeypatch.setattr(tables, "read_slice", count)
    return read


def test_tables_and_report_are_the_same_with_and_from_parts(archive, tmp_path, monkeypatch):
    store = PartStore(tmp_path / "parts")
    read = _count_reads(monkeypatch)
    plain = _extract(archive)
    first = _extract(archive, store)
    assert len(read) == 24
    again = _extract(archive, store)
    assert read[24:] == ["mpd.slice.80-89.json"]  # skipped ones are looked at again
    _assert_same(first, plain)
    _assert_same(again, plain)
    assert plain[1]["repaired"] == {"num_tracks": 1}
    assert plain[1]["replaced_surrogates"] == 1
    store.clear()
    assert not store.path.exists()


def test_pids_that_come_twice_are_found_from_parts_too(tmp_path, make_playlists, slice_text, write_archive):
    playlists = make_playlists(20)
    playlists[15] |= {"pid": 3}
    files = {f"mpd.slice.{i}-{i + 9}.json": slice_text(playlists[i : i + 10], i, i + 9) for i in (0, 10)}
    archive = Archive(write_archive(tmp_path, files))
    store = PartStore(tmp_path / "parts")
    plain = _extract(archive)
    assert plain[1]["skipped"] == {"repeated_pid": 1}
    _assert_same(_extract(archive, store), plain)
    _assert_same(_extract(archive, store), plain)


def test_another_archive_parameter_or_code_starts_afresh(archive, tmp_path, make_archive, monkeypatch, caplog):
    root = tmp_path / "parts"
    _extract(archive, PartStore(root))
    read = _count_reads(monkeypatch)
    (tmp_path / "other").mkdir()
    other = Archive(make_archive(tmp_path / "other"))
    fewer = CONFIG.replace(max_problems=1)
    other_code = PartStore(root, "new code")
    runs = [(other, PartStore(root)), (archive, PartStore(root)), (archive, PartStore(root), fewer)]
    for number, arguments in enumerate([*runs, (archive, other_code, fewer)]):
        before = len(read)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            _extract(*arguments)
        assert len(read) - before == (4 if number == 0 else 12)
        assert "starting afresh" in caplog.text
        assert len(list(root.iterdir())) == 1


def test_threads_do_not_matter_to_parts(archive, tmp_path, monkeypatch):
    store = PartStore(tmp_path / "parts")
    _extract(archive, store)
    read = _count_reads(monkeypatch)
    _extract(archive, store, CONFIG.replace(num_workers=1))
    assert len(read) == 1


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"\0" * len(data)])
def test_damaged_parts_are_read_again(archive, tmp_path, monkeypatch, damage, caplog):
    store = PartStore(tmp_path / "parts")
    plain = _extract(archive, store)
    (path,) = store.path.glob("*/mpd.slice.30-39.json*")
    path.write_bytes(damage(path.read_bytes()))
    read = _count_reads(monkeypatch)
    _assert_same(_extract(archive, store), plain)
    assert sorted(read) == ["mpd.slice.30-39.json", "mpd.slice.80-89.json"]
    assert f"{path} is damaged" in caplog.text


def test_what_is_left_of_a_write_is_removed(archive, tmp_path):
    store = PartStore(tmp_path / "parts")
    _extract(archive, store)
    (folder,) = store.path.iterdir()
    names = {path.name for path in folder.iterdir()}
    (folder / "mpd.slice.0-9.json-0.0.1-2.tmp").write_bytes(b"half")
    _extract(archive, store)
    assert {path.name for path in folder.iterdir()} == names


def test_a_place_that_cannot_be_written_is_one_line(archive, tmp_path):
    (tmp_path / "parts").write_text("a file")
    with pytest.raises(UserError, match=r"parts.*choose another workspace"):
        _extract(archive, PartStore(tmp_path / "parts"))


def _bytes_of(folder):
    return {name: (folder / f"{name}.parquet").read_bytes() for name in NAMES}


def _start(archive, folder, stop_at=0):
    command = [sys.executable, "-c", CHILD, str(archive.path), str(folder), str(stop_at)]
    command.append(json.dumps(CONFIG.to_dict()))
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.slow
def test_kill_at_random_moments_and_run_again(make_twelve, tmp_path, capsys):
    """Five kills inside the writing of a part, five at any time after the first part is whole."""
    archive = make_twelve(100)
    calm = _start(archive, tmp_path / "calm")
    _wait_for_a_part(tmp_path / "calm")
    start = time.perf_counter()
    assert calm.stdout.readline() == "done\n"
    duration = time.perf_counter() - start
    calm.communicate(timeout=120)
    expected = _bytes_of(tmp_path / "calm")
    rng = random.Random(2018)
    # Writes 1 to 11 are parts.
    moments = [("write", number) for number in rng.sample(range(1, 12), 5)]
    moments += [("delay", rng.random() * duration) for _ in range(5)]
    kept = []
    for number, (kind, moment) in enumerate(moments):
        folder = tmp_path / str(number)
        child = _start(archive, folder, moment if kind == "write" else 0)
        if kind == "write":
            where = child.stdout.readline().strip()
            assert where.startswith("half ")
            assert where.endswith(".tmp")
        else:
            _wait_for_a_part(folder)
            time.sleep(moment)
            where = f"{folder.name}: {moment:.3f} s after the first part, of {duration:.3f} s"
        os.kill(child.pid, signal.SIGKILL)
        child.communicate(timeout=60)
        kept.append(len(list(folder.glob("parts/*/*.part"))))
        with capsys.disabled():
            sys.stdout.write(f"killed: {where}; {kept[-1]} parts are whole\n")
        again = _start(archive, folder)
        assert again.communicate(timeout=120)[0] == "done\n"
        assert _bytes_of(folder) == expected
        assert not list(folder.glob("parts/*/*.tmp"))
    assert np.any(np.array(kept[:5]) > 0)
    assert np.all(np.array(kept[5:]) > 0)


def _wait_for_a_part(folder):
    end = time.monotonic() + 60
    while not list(folder.glob("parts/*/*.part")):
        assert time.monotonic() < end, "no part is written"
        time.sleep(0.001)
