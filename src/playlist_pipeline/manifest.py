"""The run manifest: which artifacts are whole, and what each was made from.

An artifact counts only once its line stands here. The line is removed before the artifact is made again and
written last, atomically, so that a killed run leaves nothing that a later run would take for whole.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from playlist_pipeline.errors import UserError

PACKAGE = __name__.partition(".")[0]
LIBRARIES = (
    "kedro",
    "kedro-datasets",
    "pandas",
    "pyarrow",
    "numpy",
    "scipy",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
)


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
        spec = importlib.util.find_spec(name) if name not in seen else None
        if spec is None or spec.origin is None:
            continue
        source = Path(spec.origin).read_bytes()
        resources = sorted(Path(spec.origin).parent.glob("*.sql")) if spec.submodule_search_locations else []
        seen[name] = hashlib.sha256(source + b"".join(path.read_bytes() for path in resources)).hexdigest()
        pending += _package_imports(source)
    return fingerprint_of(seen)


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


@dataclass(frozen=True)
class Artifact:
    """A finished artifact.

    Attributes:
        fingerprint: Digest of the code, parameters and inputs that made it.
        bytes: Size on disk.
        digest: SHA-256 of its content.
    """

    fingerprint: str
    bytes: int
    digest: str


class RunManifest:
    """The manifest file of one workspace.

    Args:
        path: The JSON file; it need not exist yet.

    Raises:
        UserError: The file is not a manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run: dict[str, Any] = {}
        self.inputs: dict[str, str] = {}
        self.artifacts: dict[str, Artifact] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            self.run, self.inputs = content["run"], content["inputs"]
            self.artifacts = {name: Artifact(**line) for name, line in content["artifacts"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.path} is not a run manifest ({error}); delete it and run again") from error

    def record(self, name: str, fingerprint: str, path: Path) -> None:
        """Write the line of a finished artifact that lies at ``path``."""
        self.artifacts[name] = Artifact(fingerprint, size_of(path), digest_of(path))
        self.save()

    def forget(self, names: list[str]) -> Self:
        """Remove the lines of artifacts that are about to be made again."""
        if self.artifacts.keys() & set(names):
            self.artifacts = {name: line for name, line in self.artifacts.items() if name not in names}
            self.save()
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        artifacts = {name: vars(line) for name, line in sorted(self.artifacts.items())}
        return {"run": self.run, "inputs": self.inputs, "artifacts": artifacts}

    def save(self) -> None:
        """Replace the file atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".tmp")
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(self.to_dict(), stream, indent=2, ensure_ascii=False)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.path)


def describe_environment(project_path: Path) -> dict[str, Any]:
    """Return the versions and the commit that a run stands on; the commit is None outside a git checkout."""
    versions = {"python": platform.python_version(), PACKAGE: importlib.metadata.version(PACKAGE)}
    versions |= {name: importlib.metadata.version(name) for name in LIBRARIES}
    status = _git(project_path, "status", "--porcelain")
    return {
        "versions": versions,
        "commit": _git(project_path, "rev-parse", "HEAD"),
        "uncommitted_changes": bool(status),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
