"""The training loop: data, state, steps, history, checkpoints, from top to bottom."""

import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.files import find_full_disk
from playlist_pipeline.model.embedding import index_side_tables
from playlist_pipeline.model.transformer import list_side_tables
from playlist_pipeline.model.weights import LoadedModel
from playlist_pipeline.training.checkpoints import (
    CheckpointStore,
    TrainingRun,
    describe_training,
    fingerprint_training,
)
from playlist_pipeline.training.data import (
    Batch,
    count_steps,
    fingerprint_playlists,
    make_training_batches,
    make_validation_batches,
)
from playlist_pipeline.training.devices import is_first_process, is_true_anywhere, make_mesh
from playlist_pipeline.training.events import ScalarEvents
from playlist_pipeline.training.history import History, HistoryRow, load_history
from playlist_pipeline.training.optimizer import make_schedule
from playlist_pipeline.training.state import TrainState, split_seed
from playlist_pipeline.training.step import CompiledSteps, StepMetrics, make_first_state, make_recipe

logger = logging.getLogger(__name__)

# The host waits for a step only when so many later ones are on their way: the device never idles, and little is
# left to wait for when training is asked to stop.
STEPS_IN_FLIGHT = 2
# The summary's losses are means over so many last rows.
SUMMARY_STEPS = 100
SUMMARY_VALIDATIONS = 10


class TrainingInterrupted(UserError):
    """Training was asked to stop and has saved a checkpoint; the message says how to go on."""


@dataclass(frozen=True)
class TrainResult:
    """What a training gives.

    Attributes:
        model: The trained model with its vocabulary; its ``meta`` names the recipe and the fingerprint.
        history: Columns ``step, loss, validation_loss, learning_rate, skipped_steps``, one row a step.
        summary: Figures of the whole training, for a report.
        seconds: Wall time of its steps, compilation, checkpoints and all its parts included; None of a training that
            an earlier version has finished.
    """

    model: LoadedModel
    history: pd.DataFrame
    summary: dict[str, Any]
    seconds: float | None


class PendingRow(NamedTuple):
    """A step whose losses are still on the device."""

    step: int
    metrics: StepMetrics
    validation_loss: jax.Array | None


def train_model(
    training: Playlists,
    validation: Playlists,
    vocabulary: Vocabulary,
    *,
    side_information: SideInformation | None = None,
    model_config: ModelConfig,
    train_config: TrainConfig,
    checkpoints: CheckpointStore,
    should_stop: Callable[[], bool] | None = None,
    should_end: Callable[[], bool] | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a transformer, go on with an interrupted training, or return a finished one.

    The same configuration, vocabulary and playlists give the same weights and history on the same device, whether or
    not training was interrupted on the way.

    Args:
        training: Playlists to learn from.
        validation: Playlists for the validation loss; may be empty.
        vocabulary: What the tokens mean.
        side_information: Artists, albums and durations of the tokens, where the model has side tables or starts from
            ``als``.
        model_config: The model's shape.
        train_config: The recipe.
        checkpoints: Where checkpoints are kept.
        should_stop: Asked after each step; true stops as SIGTERM does.
        should_end: Asked after each step; true ends the training there, and its weights are the result.
        progress: Show a progress bar where there is a terminal.

    Returns:
        Model, history and summary.

    Raises:
        TrainingInterrupted: SIGTERM, Ctrl-C or ``should_stop``; a checkpoint is saved.
        UserError: There are no training playlists.
    """
    if len(training) == 0:
        raise UserError("there are no training playlists: check the split and the archive")
    if list_side_tables(model_config) and side_information is None:
        raise UserError(f"the model has tables of {', '.join(list_side_tables(model_config))}: give side_information")
    has_say = bool(list_side_tables(model_config)) or train_config.embedding_init == "als"
    with catch_stop_signals() as signal_received:
        result = _train_or_resume(
            training,
            validation,
            vocabulary,
            side_information=side_information if has_say else None,
            model_config=model_config,
            train_config=train_config,
            checkpoints=checkpoints,
            should_stop=lambda: signal_received() or (should_stop is not None and should_stop()),
            should_end=should_end or (lambda: False),
            progress=progress,
        )
        if signal_received():
            raise TrainingInterrupted("training is finished and was asked to stop: run the same command again to go on")
    # Whoever uses the model may want to know the tracks' artists, though its training did not.
    return dataclasses.replace(result, model=dataclasses.replace(result.model, side_information=side_information))


def _train_or_resume(
    training: Playlists,
    validation: Playlists,
    vocabulary: Vocabulary,
    *,
    side_information: SideInformation | None,
    model_config: ModelConfig,
    train_config: TrainConfig,
    checkpoints: CheckpointStore,
    should_stop: Callable[[], bool],
    should_end: Callable[[], bool],
    progress: bool,
) -> TrainResult:
    """Do what ``train_model`` says, without its signal handlers."""
    description = describe_training(
        model_config,
        train_config,
        vocabulary=vocabulary.fingerprint,
        side_information=side_information.fingerprint if side_information else None,
        training=fingerprint_playlists(training),
        validation=fingerprint_playlists(validation),
    )
    fingerprint = fingerprint_training(description)
    total_steps = count_steps(len(training), train_config)
    recipe = make_recipe(
        model_config,
        train_config,
        counts=vocabulary.counts,
        total_steps=total_steps,
        side=index_side_tables(model_config, side_information, vocabulary),
    )
    steps = CompiledSteps(recipe, make_mesh(batch_size=train_config.batch_size // train_config.micro_batches))
    batches = iter(make_training_batches(training, model_config=model_config, config=train_config))
    with checkpoints.run(fingerprint, description, keep_checkpoints=train_config.keep_checkpoints) as run:
        state = run.restore(steps.abstract_state, batches) or steps.place_state(
            make_first_state(
                recipe, training, vocabulary, artists=side_information.artists if side_information else None
            )
        )
        if run.finished is not None and int(state.step) == run.finished["steps"]:
            logger.info("training %s is finished (%d steps): skipped", run.folder.name, run.finished["steps"])
        else:
            if run.finished is not None:
                logger.warning("training %s was finished, but its last checkpoint is gone", run.folder.name)
            try:
                state = run_steps(
                    state,
                    batches,
                    make_validation_batches(validation, model_config=model_config, config=train_config),
                    run=run,
                    steps=steps,
                    config=train_config,
                    total_steps=total_steps,
                    should_stop=should_stop,
                    should_end=should_end,
                    progress=progress,
                )
            except Exception as error:
                if (reason := find_full_disk(error)) is None:
                    raise
                raise UserError(
                    f"{run.folder} cannot be written ({reason}): make room and run the same command again; "
                    f"training goes on after step {run.latest_step or 0}"
                ) from error
            summary = summarise_history(load_history(run.history_path))
            seconds = round(run.seconds_until(int(state.step)), 1)
            logger.info("training %s: %d steps in %.1f s", run.folder.name, summary["steps"], seconds)
            run.finish({"fingerprint": fingerprint, "training_playlists": len(training), **summary, "seconds": seconds})
            if summary["skipped_steps"]:
                logger.warning(
                    "%d of %d steps had a loss or gradient that is not finite and changed nothing; "
                    "if they are many, lower train.learning_rate",
                    summary["skipped_steps"],
                    summary["steps"],
                )
        loaded = LoadedModel(
            model=recipe.extract_model(state),
            config=model_config,
            vocabulary=vocabulary,
            meta={"train": train_config.to_dict(), "training_fingerprint": fingerprint},
        )
        summary = dict(run.finished or {})
        seconds = summary.pop("seconds", None)
        return TrainResult(model=loaded, history=load_history(run.history_path), summary=summary, seconds=seconds)


def run_steps(
    state: TrainState,
    batches: Iterator[Batch],
    validation_batches: Sequence[Batch],
    *,
    run: TrainingRun,
    steps: CompiledSteps,
    config: TrainConfig,
    total_steps: int,
    should_stop: Callable[[], bool],
    should_end: Callable[[], bool],
    progress: bool,
) -> TrainState:
    """Take the steps from ``state.step`` to ``total_steps`` or until ``should_end``; return the state after the last.

    Args:
        state: Where to go on.
        batches: Framed playlists; their position belongs to the checkpoints.
        validation_batches: The same by number; may be empty.
        run: Where checkpoints, history and TensorBoard's events go.
        steps: The compiled steps.
        config: The recipe.
        total_steps: When to end.
        should_stop: Asked after each step.
        should_end: Asked after each step; true makes it the last.
        progress: Show a progress bar where there is a terminal.

    Raises:
        TrainingInterrupted: Training was asked to stop; a checkpoint is saved.
    """
    first_step = int(state.step)
    started = time.monotonic() - run.seconds_until(first_step)
    if first_step:
        logger.info(
            "training %s resumes after step %d of %d, its newest whole checkpoint",
            run.folder.name,
            first_step,
            total_steps,
        )
    validation_key = split_seed(config.seed).validation
    schedule = make_schedule(config, total_steps)
    pending: list[PendingRow] = []
    with ExitStack() as stack:
        logs: list[History | ScalarEvents] = []
        if is_first_process():
            logs.append(stack.enter_context(History(run.history_path, last_step=first_step)))
            logs.append(stack.enter_context(ScalarEvents(run.folder / "tensorboard", last_step=first_step)))
        bar = stack.enter_context(make_progress_bar(first_step, total_steps, shown=progress and bool(logs)))
        for step in range(first_step + 1, total_steps + 1):
            state, metrics = steps.train(state, next(batches))
            ending = step == total_steps or is_true_anywhere(should_end())
            validation_loss = None
            if len(validation_batches) and (step % config.validate_every == 0 or ending):
                batch = validation_batches[step // config.validate_every]
                validation_loss = steps.evaluate(state, batch, jax.random.fold_in(validation_key, step))
            pending.append(PendingRow(step, metrics, validation_loss))

            stopping = not ending and is_true_anywhere(should_stop())
            saving = stopping or ending or step % config.checkpoint_every == 0
            while len(pending) > (0 if saving else STEPS_IN_FLIGHT):
                # The host waits here for the device: for an earlier step than the one just started, unless it saves.
                row = read_row(pending.pop(0), schedule=schedule)
                for log in logs:
                    log.append(row)
                show_losses(bar, row)
            if saving:
                # History first: rows after a checkpoint are dropped on resume, missing ones could not be made up.
                for log in logs:
                    log.flush()
                run.save(state, batches, seconds=time.monotonic() - started)
            if stopping:
                raise TrainingInterrupted(
                    f"training stopped at step {step} of {total_steps} and saved a checkpoint: "
                    "run the same command again to resume"
                )
            if ending:
                break
    return state


def read_row(pending: PendingRow, *, schedule: Callable[[Any], Any]) -> HistoryRow:
    """Fetch a step's figures from the device; its rate is that of the updates made before it."""
    metrics, validation_loss = jax.device_get((pending.metrics, pending.validation_loss))
    skipped = int(metrics.skipped)
    return HistoryRow(
        step=pending.step,
        loss=float(metrics.loss),
        validation_loss=None if validation_loss is None else float(validation_loss),
        learning_rate=float(schedule(max(pending.step - 1 - skipped, 0))),
        skipped_steps=skipped,
    )


def make_progress_bar(first_step: int, total_steps: int, *, shown: bool) -> tqdm:
    """Return a bar with ETA; it stays silent where there is no terminal."""
    return tqdm(total=total_steps, initial=first_step, desc="training", unit="step", disable=None if shown else True)


def show_losses(bar: tqdm, row: HistoryRow) -> None:
    """Move the bar by one step and show its losses."""
    losses = {"loss": f"{row.loss:.3f}"}
    if row.validation_loss is not None:
        losses["validation"] = f"{row.validation_loss:.3f}"
    bar.set_postfix(losses, refresh=False)
    bar.update()


def summarise_history(history: pd.DataFrame) -> dict[str, Any]:
    """Return a training's figures: steps, skipped steps, and mean losses at its end (null where there are none)."""
    finite = history.replace([np.inf, -np.inf], np.nan)
    return {
        "steps": len(history),
        "skipped_steps": int(history["skipped_steps"].iloc[-1]),
        "loss": _mean_of_last(finite["loss"], SUMMARY_STEPS),
        "validation_loss": _mean_of_last(finite["validation_loss"], SUMMARY_VALIDATIONS),
    }


def _mean_of_last(column: pd.Series, count: int) -> float | None:
    known = column.dropna()
    return float(known.iloc[-count:].mean()) if len(known) else None


@contextmanager
def catch_stop_signals() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM and SIGINT instead of dying, and give a function that says whether one has come.

    After the first signal the former handlers are back, so that a second one stops at once. Handlers can be set in the
    main thread only; in another one nothing is caught.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    former: dict[int, Any] = {}

    def restore() -> None:
        while former:
            number, handler = former.popitem()
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        restore()

    for number in (signal.SIGTERM, signal.SIGINT):
        former[number] = signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        restore()
