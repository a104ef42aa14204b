"""Folders that are read only if every file in them is as it was written.

``digests.json`` has size and SHA-256 of all other files. It is written last, and checked before anything else is read.
"""

import json
from pathlib import Path
from typing import Any

from playlist_pipeline.errors import UserError, in_one_line
from playlist_pipeline.files import write_json
from playlist_pipeline.fingerprint import digest_of, files_of

DIGESTS_FILE = "digests.json"


def write_digests(folder: Path) -> None:
    """Write the digests of all other files in a folder."""
    files = {
        name: {"bytes": file.stat().st_size, "sha256": digest_of(file)} for name, file in _list_files(folder).items()
    }
    write_json(folder / DIGESTS_FILE, {"files": files})


def check_digests(folder: Path, *, advice: str, names: tuple[str, ...] | None = None) -> None:
    """Compare a folder with its digests.

    Args:
        folder: What ``write_digests`` saw.
        advice: What to do if it has changed; it ends the message.
        names: Look at these files alone; None for all.

    Raises:
        UserError: A file is missing, has changed or came in later, or there are no digests.
    """
    written = _read_digests(folder / DIGESTS_FILE, advice)
    found = _list_files(folder)
    wanted = sorted(written.keys() | found.keys()) if names is None else names
    for name in wanted:  # before any is read whole: a file that is cut off is found at once
        if name not in written:
            raise UserError(f"{folder}: {name!r} does not belong there: remove it, or {advice}")
        if name not in found:
            raise UserError(f"{folder}: {name!r} is missing: {advice}")
        size, was = found[name].stat().st_size, written[name]["bytes"]
        if size != was:
            raise UserError(f"{folder}: {name!r} has changed ({size} bytes, {was} when it was written): {advice}")
    for name in wanted:
        if digest_of(found[name]) != written[name]["sha256"]:
            raise UserError(f"{folder}: {name!r} has changed (it has another SHA-256 than when written): {advice}")


def _list_files(folder: Path) -> dict[str, Path]:
    files = {file.relative_to(folder).as_posix(): file for file in files_of(folder)}
    return {name: file for name, file in files.items() if name != DIGESTS_FILE}


def _read_digests(path: Path, advice: str) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"{path} is missing: an older version wrote this folder, or not all of it is there: {advice}")
    files = read_json_object(path, advice=advice).get("files")
    if not isinstance(files, dict) or not all(map(_is_line, files.values())):
        raise UserError(f"{path} is no list of digests: {advice}")
    return files


def _is_line(line: Any) -> bool:
    if not isinstance(line, dict) or line.keys() != {"bytes", "sha256"}:
        return False
    return type(line["bytes"]) is int and line["bytes"] < 2**63 and isinstance(line["sha256"], str)


def read_json_object(path: Path, *, advice: str) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        UserError: The file cannot be read, is no JSON, too deeply nested, or holds something else than an object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no readable JSON ({in_one_line(error)}): {advice}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object: {advice}")
    return content
