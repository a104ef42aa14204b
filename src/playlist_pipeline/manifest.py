"""The run manifest: which artifacts are whole, and what each was made from.

An artifact counts only once its line stands here. The lines of what a node makes are removed before the first of it is
saved again and written after the last, all at once, so that a killed run leaves nothing that a later run would take for
whole, nor artifacts that do not belong together.
"""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_json
from playlist_pipeline.fingerprint import PACKAGE, digest_of, fingerprint_of, size_of

try:
    import fcntl
except ImportError:  # not on Windows, where nothing keeps two runs apart
    fcntl = None  # type: ignore[assignment]

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
    "implicit",
)


@dataclass(frozen=True)
class Artifact:
    """A finished artifact.

    Attributes:
        fingerprint: Digest of the code, parameters and inputs that made it.
        bytes: Size on disk.
        digest: SHA-256 of its content.
        commit: Of the project when it was made; None outside a git checkout.
        made_from: What the fingerprint is of: node, code, parameters and inputs by name.
        versions: Of Python, the project and its libraries.
    """

    fingerprint: str
    bytes: int
    digest: str
    commit: str | None
    made_from: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


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
            if content.pop("digest") != fingerprint_of(content):
                raise ValueError("altered since it was written")
            self.run, self.inputs = content["run"], content["inputs"]
            self.artifacts = {name: Artifact(**line) for name, line in content["artifacts"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{self.path} is not a run manifest ({error}); delete it and run again") from error

    def record(self, paths: Mapping[str, Path], made_from: dict[str, Any]) -> None:
        """Write the lines of artifacts that were made together and are finished; ``paths`` are theirs, by name."""
        for name, path in paths.items():
            self.artifacts[name] = Artifact(
                fingerprint=fingerprint_of(made_from),
                bytes=size_of(path),
                digest=digest_of(path),
                commit=self.run.get("commit"),
                made_from=made_from,
                versions=self.run.get("versions", {}),
            )
        self.save()

    def forget(self, names: list[str]) -> Self:
        """Remove the lines of artifacts that are about to be made again."""
        if self.artifacts.keys() & set(names):
            self.artifacts = {name: line for name, line in self.artifacts.items() if name not in names}
            self.save()
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds; its digest is that of the rest as JSON gives it back."""
        artifacts = {name: vars(line) for name, line in sorted(self.artifacts.items())}
        content = json.loads(json.dumps({"run": self.run, "inputs": self.inputs, "artifacts": artifacts}))
        return content | {"digest": fingerprint_of(content)}

    def lock(self) -> IO[bytes]:
        """Return an open file that holds the workspace until it is closed, or the process ends.

        Raises:
            UserError: Another run holds it, or the workspace cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stream = self.path.with_suffix(".lock").open("ab")
        except OSError as error:
            raise self._refuse(f"cannot be written ({error.strerror}): give another workspace") from error
        try:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            if isinstance(error, BlockingIOError):
                raise self._refuse("is in use by another run: wait for it, or give another workspace") from error
            raise self._refuse(f"cannot be locked ({error.strerror}): give another workspace") from error
        return stream

    def _refuse(self, reason: str) -> UserError:
        return UserError(f"workspace {self.path.parent.parent} {reason}")

    def save(self) -> None:
        """Replace the file, whole or not at all."""
        write_json(self.path, self.to_dict())


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
