"""What artifacts were made from, what they would be made from today, and what has changed in between."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from playlist_pipeline.config import Config, make_config
from playlist_pipeline.errors import UserError
from playlist_pipeline.fingerprint import code_fingerprint, digest_of, fingerprint_of, name_differences, size_of
from playlist_pipeline.manifest import Artifact, RunManifest


class Provenance:
    """Compares the artifacts of pipelines with today's code, parameters and inputs.

    A node's fingerprint is a digest of its name, the sources that it uses, its parameters (of a parameter that names a
    file, the file's content) and its inputs' fingerprints.

    Args:
        catalog: Where the artifacts and the parameters are.
        manifest: What is known of the artifacts; its ``inputs`` are brought up to date.
        pipeline: All nodes that make them.
        thorough: Read every artifact and compare its digest, not its size alone.
    """

    def __init__(self, catalog: DataCatalog, manifest: RunManifest, pipeline: Pipeline, *, thorough: bool) -> None:
        self._catalog, self._manifest = catalog, manifest
        self._maker = {bare(name): node for node in pipeline.nodes for name in node.outputs}
        self._path = {bare(name): path_of(catalog, name) for node in pipeline.nodes for name in node.outputs}
        self._planned = self._plan(pipeline)
        self._damage = {name: self._find_damage(name, thorough=thorough) for name in self._maker}
        self.stale = frozenset(name for name in self._maker if not self._is_current(name))

    def describe(self, node: Node, input_fingerprint: Callable[[str], str]) -> dict[str, Any]:
        """Return what a node's outputs are made from: its code, its parameters and its inputs' fingerprints."""
        keys = [name for name in node.inputs if name.startswith("params:")]
        parameters = {name: _list_values(load_parameters(self._catalog, name)) for name in keys}
        inputs = {name: input_fingerprint(bare(name)) for name in node.inputs if name not in keys}
        code = code_fingerprint(node.func.__module__)
        return {"node": node.name, "code": code, "parameters": parameters, "inputs": inputs}

    def find_reasons(self, node: Node) -> list[str]:
        """Say why a node's outputs, which were made before, are stale."""
        lines = [self._manifest.artifacts.get(bare(name)) for name in node.outputs]
        reasons = [damage for name in node.outputs if (damage := self._damage[bare(name)])]
        before = next((line for line in lines if line is not None), None)
        if before is not None:
            reasons += self._compare(node, before)
        if None in lines and any(self._path[bare(name)].exists() for name in node.outputs):
            reasons.append("the run that made it last did not finish")
        return reasons

    def find_causes(self, name: str) -> list[str]:
        """Say what made an artifact stale, through all the artifacts that it was made from."""
        line, node = self._manifest.artifacts.get(name), self._maker[name]
        causes = [damage] if (damage := self._damage[name]) else []
        for reason in self._compare(node, line) if line is not None else ():
            source = reason.removesuffix(" has changed")
            if source in self.stale:
                causes += self.find_causes(source)
            else:
                causes.append(reason.replace("the code", f"the code of {node.name}"))
        return list(dict.fromkeys(causes))

    def find_other_versions(self) -> list[str]:
        """Name the libraries of which artifacts that are not stale were made with other versions than today's."""
        today = self._manifest.run.get("versions", {})
        lines = [line for name, line in self._manifest.artifacts.items() if name in self._maker]
        kept = [line for line in lines if line.versions and line.versions != today]
        return sorted({difference for line in kept for difference in name_differences(line.versions, today)})

    def _plan(self, pipeline: Pipeline) -> dict[str, str]:
        """Return the fingerprint that each artifact would have if all nodes ran now."""
        planned: dict[str, str] = {}
        for name in sorted(pipeline.inputs()):
            if not name.startswith("param"):
                planned[bare(name)] = self._raw_fingerprint(name) or self._manifest.inputs.get(bare(name), "")
        self._manifest.inputs = dict(planned)
        for node in pipeline.nodes:
            fingerprint = fingerprint_of(self.describe(node, planned.__getitem__))
            planned |= {bare(name): fingerprint for name in node.outputs}
        return planned

    def _raw_fingerprint(self, name: str) -> str | None:
        """Return the fingerprint of an input that no node makes; None if it cannot be read now."""
        dataset: Any = self._catalog.get(name)
        if hasattr(dataset, "fingerprint"):
            try:
                return dataset.fingerprint()
            except UserError:
                return None
        path = path_of(self._catalog, name)
        return digest_of(path) if path.exists() else None

    def _find_damage(self, name: str, *, thorough: bool) -> str | None:
        """Say in what an artifact is not what was made; None if it is, or if that is not known."""
        line, path = self._manifest.artifacts.get(name), self._path[name]
        if line is None:
            return None
        if not path.exists():
            return f"{path} is missing"
        is_same = size_of(path) == line.bytes and (not thorough or digest_of(path) == line.digest)
        return None if is_same else f"{path} is not as it was left"

    def _is_current(self, name: str) -> bool:
        line = self._manifest.artifacts.get(name)
        return line is not None and line.fingerprint == self._planned[name] and self._damage[name] is None

    def _compare(self, node: Node, line: Artifact) -> list[str]:
        """Name what differs between what a node's outputs were made from and what they would be made from now."""
        before = line.made_from
        now = json.loads(json.dumps(self.describe(node, self._planned.__getitem__)))  # as the manifest gives it back
        found = ["the code has changed"] if before["code"] != now["code"] else []
        old, new = (
            {key.removeprefix("params:"): values for key, values in made_from["parameters"].items()}
            for made_from in (before, now)
        )
        found += name_differences(old, new)
        changed = (name for name in now["inputs"] if before["inputs"].get(name) != now["inputs"][name])
        return found + [f"{bare(name)} has changed" for name in changed]


def _list_values(config: Config) -> dict[str, Any]:
    """Return the parameters that results depend on; for one that names a file, the digest of that."""
    values = config.to_dict(only_result=True)
    for field in dataclasses.fields(config):
        if field.metadata.get("file") and values[field.name] and Path(values[field.name]).is_file():
            values[field.name] = digest_of(Path(values[field.name]))
    return values


def load_parameters(catalog: DataCatalog, name: str) -> Config:
    """Return a parameters object; Kedro makes those of the pipelines that run, the others are dictionaries."""
    value: Any = catalog.load(name)
    return value if isinstance(value, Config) else make_config(name.removeprefix("params:"), value)


def bare(name: str) -> str:
    """Return a dataset's name without its transcoding."""
    return name.partition("@")[0]


def path_of(catalog: DataCatalog, name: str) -> Path:
    """Return where an artifact lies."""
    # kedro-datasets name it `_filepath` throughout; there is no public accessor.
    return Path(str(catalog.get(name)._filepath))  # type: ignore[union-attr]
