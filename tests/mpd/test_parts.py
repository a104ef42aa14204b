"""A killed extraction goes on where it stopped, and ends with the bytes of one that was left alone."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recipes import make_extract_config

from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd import Archive, extract_tables, tables
from playlist_pipeline.mpd.parts import PartStore

CONFIG = make_extract_config()
NAMES = ("playlists", "artists", "albums", "tracks", "memberships")

# Extracts. The n-th write of a part stops half-way for ever, with half of its bytes on disk.
CHILD = """
import json, sys, threading, time
from pathlib import Path
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
extract_tables(Archive(archive), config, progress=False, store=PartStore(folder / "parts"))
"""


@pytest.fixture
def archive(tmp_path, make_playlists, write_archive, slice_text):
    """Give an archive of twelve slices: one has a playlist to repair, one lone surrogates, and one is skipped."""
    playlists = make_playlists(120)
    playlists[20]["num_tracks"] += 1
    playlists[40]["name"] = "\ud83d"
    files = {
        f"mpd.slice.{first}-{first + 9}.json": slice_text(playlists[first : first + 10], first, first + 9)
        for first in range(0, 120, 10)
    }
    files["mpd.slice.80-89.json"] = "{"
    return Archive(write_archive(tmp_path, files))


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


def test_parts_that_do_not_fit_the_disk_are_one_line_and_the_others_are_used(archive, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource", reason="needs limits of the operating system")
    store = PartStore(tmp_path / "parts")
    plain = _extract(archive)
    sizes = sorted(path.stat().st_size for path in _list_parts(archive, tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[len(sizes) // 2], limits[1]))
    try:
        with pytest.raises(UserError, match=r"\.part cannot be written \(File too large\): make room"):
            _extract(archive, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(store.path.glob("*/*.tmp"))
    num_kept = len(list(store.path.glob("*/*.part")))
    read = _count_reads(monkeypatch)
    _assert_same(_extract(archive, store), plain)
    assert len(read) == 12 - num_kept


def _list_parts(archive, tmp_path):
    store = PartStore(tmp_path / "calm")
    _extract(archive, store)
    return list(store.path.glob("*/*.part"))


def _start(archive, folder, stop_at=0):
    command = [sys.executable, "-c", CHILD, str(archive.path), str(folder), str(stop_at)]
    command.append(json.dumps(CONFIG.to_dict()))
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("stop_at", [2, 9])
def test_a_kill_inside_the_writing_of_a_part_costs_that_part_alone(archive, tmp_path, monkeypatch, stop_at):
    """``tests/benchmarks/data_faults.py`` kills at random moments and at other writes."""
    child = _start(archive, tmp_path, stop_at)
    half = Path(child.stdout.readline().removeprefix("half ").strip())
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=60)
    store = PartStore(tmp_path / "parts")
    num_kept = len(list(store.path.glob("*/*.part")))
    assert half.suffix == ".tmp"
    assert half.stat().st_size > 0
    assert num_kept >= stop_at - CONFIG.num_workers
    read = _count_reads(monkeypatch)
    _assert_same(_extract(archive, store), _extract(archive))
    assert len(read) == 12 - num_kept + 12
    assert not half.exists()
