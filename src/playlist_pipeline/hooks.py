"""Kedro hooks: refuse unknown parameters, and keep the run manifest."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from playlist_pipeline.config import (
    BASELINE_PACKAGES,
    CONFIG_CLASSES,
    Config,
    SystemConfig,
    make_config,
    show_name,
    suggest,
)
from playlist_pipeline.corpus.pids import load_pids
from playlist_pipeline.data_catalog import ManifestCatalog
from playlist_pipeline.errors import UserError
from playlist_pipeline.fingerprint import code_fingerprint, digest_of, fingerprint_of, size_of
from playlist_pipeline.manifest import RunManifest, describe_environment
from playlist_pipeline.pipeline_registry import PIPELINES, register_pipelines

LOGGER = logging.getLogger(__name__)
# Given with --params and read by the catalog and by globals, not by nodes.
PLACES = ("archive", "workspace", "seeds_file", "challenge_set", "submission")


class ParameterHooks:
    """Refuses bad parameters of all pipelines at once, unknown ones too, which Kedro would ignore at the top level."""

    def __init__(self) -> None:
        self._configs: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check names and values before any dataset is made.

        Raises:
            UserError: A name is unknown or missing, or a value is not allowed.
        """
        parameters, shared = context.config_loader["parameters"], context.config_loader["globals"]
        _check_names("parameter", parameters, [*CONFIG_CLASSES, *PLACES])
        _check_names("global", shared, [*PLACES, "seed"])
        for kind, values in (("global", shared), ("parameter", parameters)):
            for name in PLACES:
                if name in values and not _is_path(values[name]):
                    raise UserError(f"{kind} {name} = {values[name]!r} is not allowed: give a path")
        if "seeds_file" in parameters and not context.project_path.joinpath(parameters["seeds_file"]).is_file():
            raise UserError(f"parameter seeds_file: there is no file {parameters['seeds_file']}")
        configs: dict[str, Any] = {key: make_config(key, parameters.get(key, {})) for key in CONFIG_CLASSES}
        system = SystemConfig(**{key: configs[key] for key in ("model", "train", "rerank")})
        configs["tuning"].check_search_space(configs["baselines"], system)
        _require_packages("evaluate.baselines", configs["evaluate"].baselines)
        self._configs = configs

    @hook_impl(tryfirst=True)  # before the workspace is held
    def before_pipeline_run(self, pipeline: Pipeline, catalog: ManifestCatalog) -> None:
        """Check what concerns the pipelines that run: packages, files of playlist ids, catalog entries.

        Raises:
            UserError: A package is not installed, a file cannot be read, or settings contradict each other.
        """
        used = {key: config for key, config in self._configs.items() if f"params:{key}" in pipeline.inputs()}
        if "tuning" in used:
            _require_packages("tuning.systems", used["tuning"].systems)
        if "study" in used and find_spec(BASELINE_PACKAGES["skip_gram"]) is None:
            raise UserError("the pipeline study needs the package gensim: install playlist_pipeline[baselines]")
        if "rerank" in used:
            used["rerank"].require_vectors(self._configs["train"])
        if "split" in used and used["split"].test_pids is not None:
            load_pids(used["split"].test_pids, parameter="split.test_pids")
        if "evaluate" in used and "deezer" in used["evaluate"].protocols:
            load_pids(used["evaluate"].deezer_pids, parameter="evaluate.deezer_pids")
        catalog.check(pipeline.datasets())


def _check_names(kind: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in values:
        if name not in known:
            raise UserError(f"{kind} {show_name(name)} is unknown: {suggest(name, known)}")


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and bool(value.strip())


def _require_packages(key: str, systems: Sequence[str]) -> None:
    """Refuse baselines whose package is not installed."""
    for system in systems:
        package = BASELINE_PACKAGES.get(system)
        if package is not None and find_spec(package) is None:
            raise UserError(
                f"parameter {key} names {system}, which needs the package {package}: "
                "install playlist_pipeline[baselines], or leave it out"
            )


class ManifestHooks:
    """Keeps the run manifest, marks stale artifacts, and refuses inputs that no finished run has made.

    A node's fingerprint is a digest of its name, the sources that it uses, its parameters and its inputs'
    fingerprints. Node hooks do not run under Kedro's ParallelRunner; use the default runner.
    """

    def __init__(self) -> None:
        self._project_path = Path.cwd()
        self._catalog = DataCatalog()
        self._manifest: RunManifest | None = None
        self._made_from: dict[str, dict[str, Any]] = {}
        self._node_names: list[str] = []
        self._lock: IO[bytes] | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project lies."""
        self._project_path = context.project_path

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: ManifestCatalog) -> None:
        """Hold the workspace, check the run's inputs against the manifest and mark what is stale.

        Raises:
            UserError: An input of the run was not finished by an earlier one, or another run holds the workspace.
        """
        self._lock = catalog.load("run_manifest").lock()
        try:
            self._prepare(run_params, pipeline, catalog)
        except BaseException:
            self._release()
            raise

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let the workspace go."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let the workspace go."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _prepare(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: ManifestCatalog) -> None:
        self._catalog, self._manifest = catalog, catalog.load("run_manifest")
        self._node_names = [node.name for node in pipeline.nodes]
        manifest = self._manifest
        everything = register_pipelines()
        # A pipeline outside the default one counts when it runs: verify reads as raw data what challenge makes.
        named = (everything[name] for name in run_params["pipeline_names"] or ())
        whole = sum(named, everything["__default__"])
        self._refuse_unfinished(pipeline, manifest, everything, whole)

        planned = self._plan(whole, manifest)
        written = [name for node in whole.nodes for name in node.outputs]
        stale = {_bare(name) for name in written if not self._is_current(name, planned, manifest)}
        for name in sorted(stale & {_bare(name) for name in pipeline.inputs()}):
            LOGGER.warning("%s was made from other inputs, parameters or code than today's; it is used as it is", name)
        outputs = {name for node in pipeline.nodes for name in node.outputs}
        catalog.stale = frozenset(name for name in outputs if _bare(name) in stale)
        if run_params["only_missing_outputs"]:
            makers = [node for node in pipeline.nodes if node.outputs]
            again = [node for node in makers if stale & {_bare(name) for name in node.outputs}]
            for node in again:
                self._tell_why(node, planned, manifest)
            LOGGER.info("the artifacts of %d of %d nodes are up to date", len(makers) - len(again), len(makers))
        manifest.run = {
            "pipelines": run_params["pipeline_names"] or ["__default__"],
            "env": run_params["env"],
            "parameters": {key: self._parameters(f"params:{key}").to_dict() for key in CONFIG_CLASSES},
            **describe_environment(self._project_path),
        }

    def _refuse_unfinished(
        self, pipeline: Pipeline, manifest: RunManifest, everything: Mapping[str, Pipeline], whole: Pipeline
    ) -> None:
        maker = {_bare(name): node for node in whole.nodes for name in node.outputs}
        for name in sorted(pipeline.inputs()):
            if _bare(name) in maker and not self._is_finished(name, manifest):
                before = whole.to_outputs(*maker[_bare(name)].outputs)
                lacking = {
                    node for node in before.nodes for made in node.outputs if not self._is_finished(made, manifest)
                }
                owners = [key for key in PIPELINES if lacking & set(everything[key].nodes)]
                path = _path_of(self._catalog, name)
                raise UserError(
                    f"{_bare(name)} ({path}) is missing, or the run that was to make it did not finish; "
                    f"make it with: kedro run --pipelines={','.join(owners)} and the same --params and --env"
                )

    def _is_finished(self, name: str, manifest: RunManifest) -> bool:
        return _bare(name) in manifest.artifacts and _path_of(self._catalog, name).exists()

    def _plan(self, pipeline: Pipeline, manifest: RunManifest) -> dict[str, str]:
        """Return the fingerprint that each artifact would have if all pipelines ran now."""
        planned: dict[str, str] = {}
        for name in sorted(pipeline.inputs()):
            if not name.startswith("param"):
                planned[_bare(name)] = self._raw_fingerprint(name) or manifest.inputs.get(_bare(name), "")
        manifest.inputs = dict(planned)
        for node in pipeline.nodes:
            fingerprint = fingerprint_of(self._describe(node, planned.__getitem__))
            planned |= {_bare(name): fingerprint for name in node.outputs}
        return planned

    def _describe(self, node: Node, input_fingerprint: Callable[[str], str]) -> dict[str, Any]:
        """Return what a node's outputs are made from: its code, its parameters and its inputs' fingerprints."""
        keys = [name for name in node.inputs if name.startswith("params:")]
        parameters = {name: self._parameters(name).to_dict(only_result=True) for name in keys}
        inputs = {name: input_fingerprint(_bare(name)) for name in node.inputs if name not in keys}
        code = code_fingerprint(node.func.__module__)
        return {"node": node.name, "code": code, "parameters": parameters, "inputs": inputs}

    def _tell_why(self, node: Node, planned: Mapping[str, str], manifest: RunManifest) -> None:
        """Say why a node's outputs are made again, if they were made before."""
        reasons = []
        lines = {name: manifest.artifacts.get(_bare(name)) for name in node.outputs}
        for name, line in lines.items():
            path = _path_of(self._catalog, name)
            if line is not None and line.bytes != size_of(path):
                reasons.append(f"{path} is not as it was left" if path.exists() else f"{path} is missing")
        before = next((line.made_from for line in lines.values() if line is not None), None)
        if before:
            now = json.loads(json.dumps(self._describe(node, planned.__getitem__)))  # as the manifest gives it back
            reasons += _name_differences(before, now)
        if None in lines.values() and any(_path_of(self._catalog, name).exists() for name in lines):
            reasons.append("the run that made it last did not finish")
        if reasons:
            LOGGER.info("%s is stale: %s", node.name, "; ".join(reasons))

    def _parameters(self, name: str) -> Config:
        """Return a parameters object; Kedro makes those of the pipelines that run, the others are dictionaries."""
        value = self._catalog.load(name)
        return value if isinstance(value, Config) else make_config(name.removeprefix("params:"), value)

    def _raw_fingerprint(self, name: str) -> str | None:
        """Return the fingerprint of an input that no node makes; None if it cannot be read now."""
        dataset: Any = self._catalog.get(name)
        if hasattr(dataset, "fingerprint"):
            try:
                return dataset.fingerprint()
            except UserError:
                return None
        path = _path_of(self._catalog, name)
        return digest_of(path) if path.exists() else None

    def _is_current(self, name: str, planned: Mapping[str, str], manifest: RunManifest) -> bool:
        line = manifest.artifacts.get(_bare(name))
        return (
            line is not None
            and line.fingerprint == planned[_bare(name)]
            and line.bytes == size_of(_path_of(self._catalog, name))
        )

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say what is made now."""
        LOGGER.info("%s (%d of %d)", node.name, self._node_names.index(node.name) + 1, len(self._node_names))

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Strike all outputs of the node from the manifest before the first of them is saved."""
        if self._manifest is None:
            return
        self._manifest.forget([_bare(name) for name in node.outputs])
        known = {name: line.fingerprint for name, line in self._manifest.artifacts.items()} | self._manifest.inputs
        self._made_from[node.name] = self._describe(node, known.__getitem__)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write the manifest's line of an artifact that is whole now.

        After a node's last one, inputs that were kept only in case it is interrupted are cleared.
        """
        if self._manifest is None:
            return
        path = _path_of(self._catalog, dataset_name)
        self._manifest.record(_bare(dataset_name), self._made_from[node.name], path)
        if {_bare(name) for name in node.outputs} <= self._manifest.artifacts.keys():
            for name in node.inputs:
                dataset: Any = self._catalog.get(name)
                if hasattr(dataset, "clear"):
                    dataset.clear()


def _name_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Name what differs between two descriptions of what a node's outputs are made from."""
    found = ["the code has changed"] if before["code"] != now["code"] else []
    for name, values in now["parameters"].items():
        key, old = name.removeprefix("params:"), before["parameters"].get(name, {})
        for field in sorted(old.keys() | values.keys()):
            if field not in old:
                found.append(f"{key}.{field} is new")
            elif old[field] != values.get(field):
                found.append(f"{key}.{field} is {values.get(field)!r}, was {old[field]!r}")
    inputs = (name for name in now["inputs"] if before["inputs"].get(name) != now["inputs"][name])
    return found + [f"{_bare(name)} has changed" for name in inputs]


def _bare(name: str) -> str:
    """Return a dataset's name without its transcoding."""
    return name.partition("@")[0]


def _path_of(catalog: DataCatalog, name: str) -> Path:
    # kedro-datasets name it `_filepath` throughout; there is no public accessor.
    return Path(str(catalog.get(name)._filepath))  # type: ignore[union-attr]
