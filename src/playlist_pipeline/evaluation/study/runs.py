"""The study's runs: each variant is trained and each baseline fitted once a seed, and a finished run is kept.

A run is measured on the validation and on the test part. It is found again by a fingerprint of its recipe, data, cases
and code; one that was interrupted begins anew.
"""

import dataclasses
import functools
import itertools
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
from flax import nnx

from playlist_pipeline.config import BaselinesConfig, ModelConfig, StudyConfig, TrainConfig
from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.evaluation.baselines import MAKERS, Ranker, TrainingPlaylists
from playlist_pipeline.evaluation.cases import TestCases, cases_to_table
from playlist_pipeline.evaluation.rankings import measure_lists, rank_lists
from playlist_pipeline.evaluation.results import ResultStore
from playlist_pipeline.evaluation.study.cases import STUDY
from playlist_pipeline.evaluation.tuning import fingerprint_table
from playlist_pipeline.fingerprint import code_fingerprint, fingerprint_of
from playlist_pipeline.model.weights import LoadedModel
from playlist_pipeline.training.checkpoints import CheckpointStore, describe_training
from playlist_pipeline.training.data import count_steps, fingerprint_playlists
from playlist_pipeline.training.loop import TrainingInterrupted, train_model

logger = logging.getLogger(__name__)

CUTOFFS = (10, 50, 100, 200)
METRICS = tuple(f"f1@{k}" for k in CUTOFFS)
ITEM_ITEM = "skip_gram"  # the neural item-item model
SEEDED = ("als", "bpr", ITEM_ITEM)  # baselines with something random in them
FIGURES_SCHEMA = pa.schema(
    [
        pa.field("system", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("playlist_id", pa.int32(), nullable=False),
        *(pa.field(metric, pa.float64(), nullable=False) for metric in METRICS),
    ]
)
# A run is repeated when one of these modules, or what it imports, has changed.
CODE = ("playlist_pipeline.evaluation.study.runs", "playlist_pipeline.generation.recommender")


@dataclass(frozen=True)
class System:
    """What the study compares.

    Attributes:
        name: Of a variant its loss and switches, such as ``gbce, no mask, positions``; or a baseline's name.
        loss: Name of the variant's loss; None for a baseline.
        causal: Whether the variant has a causal mask; None for a baseline.
        positions: Whether it has position embeddings; None for a baseline.
    """

    name: str
    loss: str | None = None
    causal: bool | None = None
    positions: bool | None = None

    @property
    def is_variant(self) -> bool:
        """Whether it is trained here, not a baseline."""
        return self.loss is not None


@dataclass(frozen=True)
class StudyRun:
    """One training or fitting, measured.

    Attributes:
        system: Name of the system.
        seed: Of what is random in it.
        seconds: Wall time of training or fitting, preparation and compilation included.
        steps: Steps taken; None for a baseline.
        planned_steps: Steps that the recipe asks for; fewer were taken where the time ran out. None for a baseline.
        playlists_seen: Playlists in the steps taken; None for a baseline.
        parameters: Trained numbers; None for a baseline.
        figures: Part, then metric, to a value for each playlist in the order of the cases.
    """

    system: str
    seed: int
    seconds: float
    steps: int | None
    planned_steps: int | None
    playlists_seen: int | None
    parameters: int | None
    figures: dict[str, dict[str, list[float]]]


class StudyStore(ResultStore[StudyRun]):
    """Finished runs as files, one for each, and the place where a training keeps its checkpoint meanwhile.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, StudyRun)
        self.scratch = Path(path) / "training"


@dataclass(frozen=True, eq=False)
class StudyData:
    """What systems learn from and are measured on.

    Attributes:
        training: The training part, with its vocabulary.
        validation: The validation part, for the losses while training.
        side_information: Of the vocabulary's tracks, where the model has side tables.
        cases: Part to its cases.
    """

    training: TrainingPlaylists
    validation: PackedSequences
    side_information: SideInformation | None
    cases: Mapping[str, TestCases]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of training part and cases, as hexadecimal text."""
        return fingerprint_of([self.training.fingerprint, fingerprint_table(cases_to_table({STUDY: self.cases}))])

    @functools.cached_property
    def validation_fingerprint(self) -> str:
        """SHA-256 of the validation part, as hexadecimal text."""
        return fingerprint_playlists(self.validation)


def list_systems(config: StudyConfig) -> list[System]:
    """List the variants of each loss, the item-item baseline and the other baselines, in the order of the tables."""
    variants = [
        System(name_variant(loss, causal=causal, positions=positions), loss, causal, positions)
        for loss, causal, positions in itertools.product(config.losses, (True, False), (True, False))
    ]
    return [*variants, System(ITEM_ITEM), *(System(name) for name in config.references)]


def name_variant(loss: str, *, causal: bool, positions: bool) -> str:
    """Return a variant's name."""
    return f"{loss}, {'mask' if causal else 'no mask'}, {'positions' if positions else 'no positions'}"


def list_seeds(system: System, config: StudyConfig) -> tuple[int, ...]:
    """Return the seeds that a system runs with: one is enough where nothing is random."""
    return config.seeds if system.is_variant or system.name in SEEDED else config.seeds[:1]


def run_study(
    data: StudyData,
    config: StudyConfig,
    baselines: BaselinesConfig,
    *,
    store: StudyStore,
    make_ranker: Callable[[LoadedModel], Ranker],
) -> list[StudyRun]:
    """Run each system with each of its seeds; what an earlier call finished is not repeated.

    Args:
        data: What is learned from and measured on.
        config: The study.
        baselines: Settings of the baselines.
        store: Keeps finished runs.
        make_ranker: Makes a system of a trained model.

    Returns:
        The runs in the order of ``list_systems``, then of the seeds.

    Raises:
        TrainingInterrupted: SIGTERM or Ctrl-C during a training.
        UserError: A baseline's package is not installed.
    """
    planned = [(system, seed) for system in list_systems(config) for seed in list_seeds(system, config)]
    runs = []
    for number, (system, seed) in enumerate(planned, 1):
        description = describe_run(system, seed, data, config, baselines)
        key = fingerprint_of(description)
        run = store.load(key)
        if run is None:
            logger.info("run %d of %d: %s, seed %d", number, len(planned), system.name, seed)
            if system.is_variant:
                run = _run_variant(system, seed, data, config, store=store, make_ranker=make_ranker)
            else:
                run = _run_baseline(system, seed, data, baselines)
            store.save(key, run)
        means = ", ".join(f"{part} {np.mean(run.figures[part]['f1@10']):.4f}" for part in run.figures)
        logger.info(
            "run %d of %d: %s, seed %d, %.0f s: F1@10 %s",
            number,
            len(planned),
            system.name,
            seed,
            run.seconds,
            means,
        )
        runs.append(run)
    return runs


def describe_run(
    system: System, seed: int, data: StudyData, config: StudyConfig, baselines: BaselinesConfig
) -> dict[str, Any]:
    """Return what decides a run's result, as JSON can hold it."""
    common = {"data": data.fingerprint, "code": [code_fingerprint(module) for module in CODE]}
    if not system.is_variant:
        return common | {"system": system.name, "seed": seed, "settings": baselines.settings_of(system.name).to_dict()}
    model_config, train_config = make_recipe(system, seed, config)
    side = data.side_information
    training = describe_training(
        model_config,
        train_config,
        vocabulary=data.training.vocabulary.fingerprint,
        side_information=side.fingerprint if side else None,
        training=data.training.fingerprint,
        validation=data.validation_fingerprint,
    )
    return common | {"system": system.name, "training": training, "max_minutes": config.max_minutes}


def make_recipe(system: System, seed: int, config: StudyConfig) -> tuple[ModelConfig, TrainConfig]:
    """Return shape and recipe of a variant's training."""
    assert system.loss is not None
    assert system.causal is not None
    assert system.positions is not None
    model_config = config.make_model_config(causal=system.causal, positions=system.positions)
    return model_config, config.make_train_config(system.loss, seed=seed)


def measure_ranker(ranker: Ranker, cases: Mapping[str, TestCases], *, name: str) -> dict[str, dict[str, list[float]]]:
    """Let a system rank for the cases of each part, and measure its lists.

    Args:
        ranker: Ranks.
        cases: Part to its cases.
        name: The system's name, for errors.

    Returns:
        Part, then each of ``METRICS``, to a value for each playlist.
    """
    figures = {}
    for part, of_part in cases.items():
        measured = measure_lists(rank_lists(ranker, of_part, max(CUTOFFS), name=name), of_part)
        figures[part] = {metric: measured[metric].tolist() for metric in METRICS}
    return figures


def _run_baseline(system: System, seed: int, data: StudyData, baselines: BaselinesConfig) -> StudyRun:
    began = time.monotonic()
    ranker = MAKERS[system.name](data.training, baselines.settings_of(system.name), seed)
    seconds = time.monotonic() - began
    return StudyRun(
        system=system.name,
        seed=seed,
        seconds=round(seconds, 3),
        steps=None,
        planned_steps=None,
        playlists_seen=None,
        parameters=None,
        figures=measure_ranker(ranker, data.cases, name=system.name),
    )


def _run_variant(
    system: System,
    seed: int,
    data: StudyData,
    config: StudyConfig,
    *,
    store: StudyStore,
    make_ranker: Callable[[LoadedModel], Ranker],
) -> StudyRun:
    """Train a variant within the budget, and measure it."""
    model_config, train_config = make_recipe(system, seed, config)
    began = time.monotonic()
    shutil.rmtree(store.scratch, ignore_errors=True)
    try:
        result = train_model(
            data.training.sequences,
            data.validation,
            data.training.vocabulary,
            side_information=data.side_information,
            model_config=model_config,
            train_config=train_config,
            checkpoints=CheckpointStore(store.scratch),
            should_end=lambda: time.monotonic() - began > 60 * config.max_minutes,
        )
    except TrainingInterrupted as error:
        raise TrainingInterrupted(
            f"the study was stopped while it trained {system.name}, seed {seed}; what it finished is kept: "
            "run the same command again to go on"
        ) from error
    finally:
        shutil.rmtree(store.scratch, ignore_errors=True)
    seconds = time.monotonic() - began
    steps, planned = result.summary["steps"], count_steps(len(data.training.sequences), train_config)
    if steps < planned:
        logger.warning(
            "%s, seed %d: the time ran out after %d of %d steps; raise study.max_minutes or lower "
            "study.train.max_steps, or the variants do not have equal budgets",
            system.name,
            seed,
            steps,
            planned,
        )
    return StudyRun(
        system=system.name,
        seed=seed,
        seconds=round(seconds, 3),
        steps=steps,
        planned_steps=planned,
        playlists_seen=steps * train_config.batch_size,
        parameters=count_parameters(result.model),
        figures=measure_ranker(make_ranker(result.model), data.cases, name=system.name),
    )


def count_parameters(loaded: LoadedModel) -> int:
    """Return how many numbers of a model are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(loaded.model, nnx.Param)))


def tabulate_runs(runs: Sequence[StudyRun], config: StudyConfig) -> pd.DataFrame:
    """Return one row for each run: the fields of ``System`` and ``StudyRun``, and its mean figures by part."""
    systems = {system.name: system for system in list_systems(config)}
    rows = []
    for run in runs:
        fields = dataclasses.asdict(systems[run.system]) | dataclasses.asdict(run)
        del fields["name"], fields["figures"]
        means = {
            f"{part}_{metric}": float(np.mean(values))
            for part, figures in run.figures.items()
            for metric, values in figures.items()
        }
        rows.append({"system": fields.pop("system"), **fields, **means})
    return pd.DataFrame(rows)


def tabulate_figures(runs: Sequence[StudyRun], cases: Mapping[str, TestCases]) -> pa.Table:
    """Return one row of ``FIGURES_SCHEMA`` for each run and playlist."""
    tables = [
        pa.Table.from_pydict(
            {
                "system": pa.repeat(run.system, len(of_part)),
                "seed": pa.repeat(run.seed, len(of_part)),
                "part": pa.repeat(part, len(of_part)),
                "playlist_id": of_part.playlist_ids,
                **run.figures[part],
            },
            schema=FIGURES_SCHEMA,
        )
        for run in runs
        for part, of_part in cases.items()
    ]
    return pa.concat_tables(tables)
