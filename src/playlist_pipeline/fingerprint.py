"""Fingerprints of values, of source code and of files."""

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
RESOURCES = ("*.sql", "*.html")  # beside a room's modules


def fingerprint_of(value: Any) -> str:
    """Return the SHA-256 of a value that JSON can hold, as 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_fingerprint(module: str) -> str:
    """Return a digest of the sources of ``module`` and of all modules of this package that it imports.

    Imports inside functions count too. Libraries do not: the manifest records their versions instead.
    """
    pending, seen = [module], dict[str, str]()
    while pending:
        name = pending.pop()
        path = _source_of(name) if name not in seen else None
        if path is None:
            continue
        source = path.read_bytes()
        found = (file for pattern in RESOURCES for file in path.parent.glob(pattern))
        resources = sorted(found) if path.name == "__init__.py" else []
        seen[name] = hashlib.sha256(source + b"".join(path.read_bytes() for path in resources)).hexdigest()
        pending += _package_imports(source)
    return fingerprint_of(seen)


def _source_of(module: str) -> Path | None:
    """Return the file of a module of this package, without importing the rooms above it as ``find_spec`` does."""
    package, *parts = module.split(".")
    path = Path(__file__).parent.joinpath(*parts)
    files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in files if package == PACKAGE and file.is_file()), None)


def _package_imports(source: bytes) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            modules.add(node.module)
            # `from package.room import module` names a module or a function of the room's __init__.
            room = Path(__file__).parent.joinpath(*node.module.split(".")[1:])
            names = [alias.name for alias in node.names]
            modules.update(f"{node.module}.{name}" for name in names if (room / f"{name}.py").is_file())
    return {name for name in modules if name.startswith(PACKAGE + ".")}


def files_of(path: Path) -> Iterator[Path]:
    """Yield ``path`` itself if it is a file, or all files below it in the order of their names."""
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    elif path.exists():
        yield path


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    return sum(file.stat().st_size for file in files_of(path))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and contents."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    return fingerprint_of({file.relative_to(path).as_posix(): digest_of(file) for file in files_of(path)})


def name_differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name the values in which two nested descriptions differ, such as ``train.seed is 4, was 3``.

    Fingerprints, and what only one of the two has, are named without their values.
    """
    found = []
    for key in sorted(before.keys() | now.keys()):
        name, old, new = f"{prefix}{key}", before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += name_differences(old, new, f"{name}.")
        elif key not in before or key not in now:
            found.append(f"{name} is {'new' if key in now else 'gone'}")
        elif old != new:
            is_fingerprint = isinstance(new, str) and re.fullmatch("[0-9a-f]{64}", new)
            found.append(f"{name} has changed" if is_fingerprint else f"{name} is {new!r}, was {old!r}")
    return found
