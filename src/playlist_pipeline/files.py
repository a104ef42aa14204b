"""Writing files and folders whole or not at all: what lies under its name is complete, and on the disk.

Everything is written beside its place, brought to the disk (fsync) and renamed. A process that is killed leaves the
older one, and perhaps what it has written so far under another name; the next writer removes that. An older folder that
had stepped aside when the process was killed gets its name back then.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playlist_pipeline.errors import FULL_ERRORS, UserError

_UNFINISHED = ".tmp-"  # between a name and the number of the process that writes
_FULL = tuple(os.strerror(code) for code in FULL_ERRORS)


@contextmanager
def write_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write a file to; at the end that takes the name ``path``, after a failure it goes.

    The file is given a folder of its own, for what must lie beside it while it is made.

    Args:
        path: The file that is wanted; missing folders are made, an older file is replaced.

    Raises:
        UserError: The disk is full, or the place cannot be written.
    """
    target = Path(path)
    with _explain_failures(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = _make_folder(target)
        try:
            yield folder / target.name
            _sync(folder / target.name)
            (folder / target.name).replace(target)
            _sync(target.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON, indented, as :func:`write_file` writes."""
    with write_file(path) as written:
        written.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def write_folder(path: str | os.PathLike[str], *, marker: str, kind: str) -> Iterator[Path]:
    """Give a folder to fill; at the end it takes the name ``path`` and replaces an older one, after a failure it goes.

    An older folder steps aside first, as no folder can be replaced in one go, and comes back if the renaming fails.

    Args:
        path: The folder that is wanted.
        marker: A file that every such folder has.
        kind: What such a folder is called.

    Raises:
        UserError: ``path`` exists and has no such file, the disk is full, or the place cannot be written.
    """
    target = Path(path)
    if target.exists() and not (target / marker).is_file():
        raise UserError(f"{target} exists and is no {kind}: move it away or choose another path")
    with _explain_failures(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_old_folder(target)
        written = _make_folder(target)
        try:
            yield written
            for file in (*written.rglob("*"), written):
                _sync(file)
            _replace_folder(written, target)
            _sync(target.parent)
        finally:
            shutil.rmtree(written, ignore_errors=True)


def _replace_folder(written: Path, target: Path) -> None:
    old = target.with_name(f"{target.name}.old{_UNFINISHED}{os.getpid()}")
    if target.exists():
        target.rename(old)
    try:
        written.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _make_folder(target: Path) -> Path:
    """Make the folder in which this process writes, after removing those of processes that are gone."""
    for left in _find_left(target.name, target.parent):
        shutil.rmtree(left, ignore_errors=True)
    mine = target.with_name(f"{target.name}{_UNFINISHED}{os.getpid()}")
    mine.mkdir()
    return mine


def _clear_old_folder(target: Path) -> None:
    """Remove an older folder that had stepped aside when its process was killed, or give it its name back."""
    for left in _find_left(f"{target.name}.old", target.parent):
        if target.exists():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.rename(target)


def _find_left(name: str, folder: Path) -> list[Path]:
    """Return what processes that are gone, or this one, have left under a name with their number."""
    found = []
    for path in folder.iterdir():
        start, mark, process = path.name.rpartition(_UNFINISHED)
        is_ours = mark and start == name and process.isdecimal()
        if is_ours and (int(process) == os.getpid() or not _is_running(int(process))):
            found.append(path)
    return found


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where the question would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _sync(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    if path.is_dir() and os.name == "nt":  # where folders cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explain_failures(target: Path) -> Iterator[None]:
    """Turn what the file system refuses into a line about ``target``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = find_full_disk(error) or (cause.strerror or str(cause) if isinstance(cause, OSError) else None)
        if reason is None:
            raise
        raise UserError(f"{target} cannot be written ({reason}): make room, or choose another place") from error


def find_full_disk(error: BaseException) -> str | None:
    """Return the system's words if an error, or one behind it, says that the disk is full; not all are an OSError."""
    link: BaseException | None = error
    while link is not None:
        if quoted := next((text for text in _FULL if text in str(link)), None):
            return quoted
        link = link.__cause__ or link.__context__
    return None
