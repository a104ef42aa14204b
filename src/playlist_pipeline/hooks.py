"""Kedro hooks: refuse unknown parameters, and keep the run manifest."""

import logging
import threading
from collections.abc import Mapping, Sequence
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
    SystemConfig,
    make_config,
    show_name,
    suggest,
)
from playlist_pipeline.corpus.pids import load_pids
from playlist_pipeline.data_catalog import ManifestCatalog
from playlist_pipeline.errors import UserError
from playlist_pipeline.manifest import RunManifest, describe_environment
from playlist_pipeline.pipeline_registry import PIPELINES, register_pipelines
from playlist_pipeline.provenance import Provenance, bare, load_parameters, path_of

LOGGER = logging.getLogger(__name__)
# Given with --params and read by the catalog and by globals, not by nodes.
PLACES = ("archive", "workspace", "seeds_file", "challenge_set", "submission")
ALLOW_STALE = "allow_stale"  # given with --params: use inputs that are not what would be made today
MOST_CAUSES = 5


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
        _check_names("parameter", parameters, [*CONFIG_CLASSES, *PLACES, ALLOW_STALE])
        _check_names("global", shared, [*PLACES, "seed"])
        for kind, values in (("global", shared), ("parameter", parameters)):
            for name in PLACES:
                if name in values and not _is_path(values[name]):
                    raise UserError(f"{kind} {name} = {values[name]!r} is not allowed: give a path")
        if "seeds_file" in parameters and not context.project_path.joinpath(parameters["seeds_file"]).is_file():
            raise UserError(f"parameter seeds_file: there is no file {parameters['seeds_file']}")
        if not isinstance(parameters.get(ALLOW_STALE, False), bool):
            raise UserError(f"parameter {ALLOW_STALE} = {parameters[ALLOW_STALE]!r} is not allowed: give true or false")
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

    Node hooks do not run under Kedro's ParallelRunner; use the default runner.
    """

    def __init__(self) -> None:
        self._project_path = Path.cwd()
        self._catalog = DataCatalog()
        self._manifest: RunManifest | None = None
        self._provenance: Provenance
        self._made_from: dict[str, dict[str, Any]] = {}
        self._saved: dict[str, dict[str, Path]] = {}
        self._node_names: list[str] = []
        self._lock: IO[bytes] | None = None
        self._thread: int | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project lies."""
        self._project_path = context.project_path

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: ManifestCatalog) -> None:
        """Hold the workspace, check the run's inputs against the manifest and mark what is stale.

        Raises:
            UserError: An input of the run was not finished by an earlier one, or is not what would be made today, or
                another run holds the workspace.
        """
        if self._thread == threading.get_ident():
            self._release()  # Ctrl-C in a notebook ended this thread's last run, which Kedro tells nobody
        self._lock = catalog.load("run_manifest").lock()
        self._thread = threading.get_ident()
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
        manifest, only_missing = self._manifest, run_params["only_missing_outputs"]
        everything = register_pipelines()
        # A pipeline outside the default one counts when it runs: verify reads as raw data what challenge makes.
        named = (everything[name] for name in run_params["pipeline_names"] or ())
        whole = sum(named, everything["__default__"])
        self._refuse_unfinished(pipeline, manifest, everything, whole)
        manifest.run = {
            "pipelines": run_params["pipeline_names"] or ["__default__"],
            "env": run_params["env"],
            "parameters": {key: load_parameters(catalog, f"params:{key}").to_dict() for key in CONFIG_CLASSES},
            **describe_environment(self._project_path),
        }
        self._provenance = Provenance(catalog, manifest, whole, thorough=only_missing)
        self._refuse_stale(pipeline, is_allowed=(run_params.get("runtime_params") or {}).get(ALLOW_STALE, False))
        outputs = {name for node in pipeline.nodes for name in node.outputs}
        catalog.stale = frozenset(name for name in outputs if bare(name) in self._provenance.stale)
        if only_missing:
            self._tell_what_is_stale(pipeline)

    def _refuse_unfinished(
        self, pipeline: Pipeline, manifest: RunManifest, everything: Mapping[str, Pipeline], whole: Pipeline
    ) -> None:
        maker = {bare(name): node for node in whole.nodes for name in node.outputs}
        for name in sorted(pipeline.inputs()):
            if bare(name) in maker and not self._is_finished(name, manifest):
                before = whole.to_outputs(*maker[bare(name)].outputs)
                lacking = {
                    node for node in before.nodes for made in node.outputs if not self._is_finished(made, manifest)
                }
                owners = [key for key in PIPELINES if lacking & set(everything[key].nodes)]
                path = path_of(self._catalog, name)
                raise UserError(
                    f"{bare(name)} ({path}) is missing, or the run that was to make it did not finish; "
                    f"make it with: kedro run --pipelines={','.join(owners)} and the same --params and --env"
                )

    def _is_finished(self, name: str, manifest: RunManifest) -> bool:
        return bare(name) in manifest.artifacts and path_of(self._catalog, name).exists()

    def _refuse_stale(self, pipeline: Pipeline, *, is_allowed: bool) -> None:
        for name in sorted(self._provenance.stale & {bare(name) for name in pipeline.inputs()}):
            causes = self._provenance.find_causes(name)
            more = f"; and {len(causes) - MOST_CAUSES} more" * (len(causes) > MOST_CAUSES)
            line = f"{name} is not what would be made today ({'; '.join(causes[:MOST_CAUSES])}{more})"
            if not is_allowed:
                raise UserError(
                    f"{line}: make it again with `kedro run --only-missing-outputs` and the same --params and --env, "
                    f"or use it as it is with --params={ALLOW_STALE}=true"
                )
            LOGGER.warning("%s; it is used as it is", line)

    def _tell_what_is_stale(self, pipeline: Pipeline) -> None:
        makers = [node for node in pipeline.nodes if node.outputs]
        again = [node for node in makers if self._provenance.stale & {bare(name) for name in node.outputs}]
        for node in again:
            if reasons := self._provenance.find_reasons(node):
                LOGGER.info("%s is stale: %s", node.name, "; ".join(reasons))
        if others := self._provenance.find_other_versions():
            LOGGER.warning("kept although made with other versions of libraries: %s", "; ".join(others))
        LOGGER.info("the artifacts of %d of %d nodes are up to date", len(makers) - len(again), len(makers))

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say what is made now."""
        LOGGER.info("%s (%d of %d)", node.name, self._node_names.index(node.name) + 1, len(self._node_names))

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Strike all outputs of the node from the manifest before the first of them is saved."""
        if self._manifest is None:
            return
        self._manifest.forget([bare(name) for name in node.outputs])
        known = {name: line.fingerprint for name, line in self._manifest.artifacts.items()} | self._manifest.inputs
        self._made_from[node.name] = self._provenance.describe(node, known.__getitem__)
        self._saved[node.name] = {}

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write the manifest's lines of a node's artifacts once all are whole.

        Then inputs that were kept only in case it is interrupted are cleared.
        """
        if self._manifest is None:
            return
        saved = self._saved[node.name]
        saved[bare(dataset_name)] = path_of(self._catalog, dataset_name)
        if len(saved) < len(node.outputs):
            return
        self._manifest.record(saved, self._made_from[node.name])
        for name in node.inputs:
            dataset: Any = self._catalog.get(name)
            if hasattr(dataset, "clear"):
                dataset.clear()
