import errno
import os
import shutil
import subprocess
import sys

import pytest

from playlist_pipeline import files
from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_file, write_folder, write_json

MARKER = "config.json"


def _write_old(target):
    if target.suffix:
        target.write_text("old")
    else:
        target.mkdir()
        (target / MARKER).write_text("old")


def _fill(target):
    """Replace ``target``, a file if its name has a suffix, otherwise a folder."""
    if target.suffix:
        with write_file(target) as written:
            written.write_text("new")
    else:
        with write_folder(target, marker=MARKER, kind="test folder") as written:
            (written / MARKER).write_text("new")


def _read(target):
    return (target if target.suffix else target / MARKER).read_text()


@pytest.fixture(params=["table.csv", "model"])
def target(request, tmp_path):
    return tmp_path / "below" / request.param


def test_the_first_and_the_next_are_written_and_nothing_lies_beside(target):
    _fill(target)
    assert _read(target) == "new"
    shutil.rmtree(target.parent)
    target.parent.mkdir()
    _write_old(target)
    _fill(target)
    assert _read(target) == "new"
    assert list(target.parent.iterdir()) == [target]


def test_nothing_bears_the_name_before_all_is_on_disk(target, monkeypatch):
    synced = []

    def watch(descriptor):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        assert (synced[-1] == target.parent.name) == target.exists()

    monkeypatch.setattr(files.os, "fsync", watch)
    _fill(target)
    inside = [target.name] if target.suffix else [MARKER, f"{target.name}.tmp-{os.getpid()}"]
    assert synced == [*inside, target.parent.name]


def test_after_a_failure_the_older_one_is_there_alone(target):
    target.parent.mkdir()
    _write_old(target)
    writer = write_file(target) if target.suffix else write_folder(target, marker=MARKER, kind="test folder")
    written = writer.__enter__()
    (written if target.suffix else written / MARKER).write_text("half")
    with pytest.raises(KeyboardInterrupt):
        writer.gen.throw(KeyboardInterrupt)
    assert _read(target) == "old"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_comes_back_if_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    target = tmp_path / "model"
    _write_old(target)
    rename = files.Path.rename

    def refuse(path, new):
        if path.name.startswith("model.tmp-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, new)

    monkeypatch.setattr(files.Path, "rename", refuse)
    with pytest.raises(UserError, match="model cannot be written"):
        _fill(target)
    assert _read(target) == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "file"), "Read-only file system"),
        (OSError("36 requested and 0 written"), "36 requested and 0 written"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on device"),
        (RuntimeError("I/O error: Disk quota exceeded (os error 122)"), "Disk quota exceeded"),
    ],
)
def test_what_the_file_system_refuses_is_one_line(target, error, reason):
    writer = write_file(target) if target.suffix else write_folder(target, marker=MARKER, kind="test folder")
    with pytest.raises(UserError) as caught, writer:
        raise error
    assert str(caught.value) == f"{target} cannot be written ({reason}): make room, or choose another place"


def test_other_errors_stay_what_they_are(target):
    writer = write_file(target) if target.suffix else write_folder(target, marker=MARKER, kind="test folder")
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"table.csv cannot be written \((Not a directory|File exists)\)"):
        _fill(tmp_path / "file" / "table.csv")


def test_what_dead_processes_left_is_removed_and_what_others_write_stays(target):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    target.parent.mkdir()
    name, parent = target.name, os.getppid()
    others = [f"{name}.tmp-{parent}", f"{name}.tmp-x", f"other{name}.tmp-{dead.pid}", f"{name}.b.tmp-{dead.pid}"]
    lefts = [f"{name}.tmp-{dead.pid}", f"{name}.tmp-{os.getpid()}"]
    if not target.suffix:
        _write_old(target)
        lefts.append(f"{name}.old.tmp-{dead.pid}")
    for left in [*others, *lefts]:
        (target.parent / left).mkdir()
    _fill(target)
    assert sorted(path.name for path in target.parent.iterdir()) == sorted([*others, name])


def test_a_folder_whose_writer_was_killed_between_the_two_renames_comes_back(tmp_path):
    target = tmp_path / "model"
    _write_old(target)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    target.rename(tmp_path / f"model.old.tmp-{dead.pid}")
    with pytest.raises(KeyboardInterrupt), write_folder(target, marker=MARKER, kind="test folder"):
        raise KeyboardInterrupt
    assert _read(target) == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_another_folder_or_file_is_not_replaced(kind, tmp_path):
    target = tmp_path / "model"
    target.mkdir() if kind == "folder" else target.write_text("mine")
    with pytest.raises(UserError, match=r"model exists and is no test folder: move it away or choose another path"):
        _fill(target)
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_utf_8_and_ends_with_a_line(tmp_path):
    write_json(tmp_path / "a.json", {"é": 1})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "é": 1\n}\n'.encode()
