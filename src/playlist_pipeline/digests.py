"""Digests of a folder's files, by which it is known whether they are as they were written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playlist_pipeline.fingerprint import digest_of, files_of


def list_digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Return ``bytes`` and ``sha256`` of every file below ``folder`` by its relative path."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": digest_of(file)}
        for file in files_of(folder)
    }


def find_damage(folder: Path, digests: Mapping[str, Any]) -> str | None:
    """Return in what a folder differs from its digests, or None if all its files are as they were written."""
    if not digests or not all(isinstance(was, dict) and was.keys() == {"bytes", "sha256"} for was in digests.values()):
        return "its digests cannot be read"
    found = {file.relative_to(folder).as_posix(): file for file in files_of(folder)}
    sizes = {name: file.stat().st_size for name, file in found.items()}
    for name, was in digests.items():  # before any is read whole: a file that is cut off is found at once
        if name not in found:
            return f"{name} is missing"
        if sizes[name] != was["bytes"]:
            return f"{name} has {sizes[name]} bytes instead of {was['bytes']}"
    changed = (name for name, was in digests.items() if digest_of(found[name]) != was["sha256"])
    return next((f"{name} has another SHA-256" for name in changed), None)
