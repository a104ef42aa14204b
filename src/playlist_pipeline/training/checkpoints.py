"""Checkpoints: one folder for each training fingerprint, so that trainings never mix.

A run's folder holds ``config.json`` (what the fingerprint stands for), ``steps/<step>`` (Orbax), ``whole/<step>.json``
(the files of that checkpoint and their sizes), ``seconds.json`` (time spent up to each checkpoint), ``history.csv``,
``tensorboard/`` and, at the end, ``finished.json``.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_json
from playlist_pipeline.fingerprint import code_fingerprint, fingerprint_of
from playlist_pipeline.training.devices import is_first_process, wait_for_all
from playlist_pipeline.training.state import TrainState

logger = logging.getLogger(__name__)

SECONDS_FILE = "seconds.json"
# These fields of TrainConfig change when checkpoints are written, not what is trained.
_NOT_IN_FINGERPRINT = ("checkpoint_every", "keep_checkpoints")


def describe_training(
    model_config: ModelConfig,
    train_config: TrainConfig,
    *,
    vocabulary: str,
    side_information: str | None,
    training: str,
    validation: str,
) -> dict[str, Any]:
    """Return what decides a training's result, as JSON can hold it.

    Args:
        model_config: The model's shape.
        train_config: The recipe.
        vocabulary: Fingerprint of the vocabulary.
        side_information: Fingerprint of the side information, None without it.
        training: Fingerprint of the training playlists.
        validation: Fingerprint of the validation playlists; they shape the history.
    """
    recipe = {key: value for key, value in train_config.to_dict().items() if key not in _NOT_IN_FINGERPRINT}
    return {
        "code": code_fingerprint("playlist_pipeline.training.step"),
        "model": model_config.to_dict(),
        "train": recipe,
        "vocabulary": vocabulary,
        "side_information": side_information,
        "training_playlists": training,
        "validation_playlists": validation,
    }


def fingerprint_training(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description, as hexadecimal text."""
    return fingerprint_of(description)


def _read_json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


class CheckpointStore:
    """The folder of all trainings' checkpoints.

    Attributes:
        root: The folder; made when a run needs it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    def run(self, fingerprint: str, description: Mapping[str, Any], *, keep_checkpoints: int) -> "TrainingRun":
        """Return the run of a fingerprint, new or begun before; other runs stay as they are.

        Args:
            fingerprint: From ``fingerprint_training``.
            description: What it stands for; goes to ``config.json``.
            keep_checkpoints: How many of the newest checkpoints stay.

        Raises:
            UserError: The run's folder cannot be made.
        """
        folder = self.root / fingerprint[:16]
        try:
            for name in ("steps", "whole"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: checkpoints cannot be kept here ({error}): choose another folder") from error
        if is_first_process() and not (folder / "config.json").is_file():
            write_json(folder / "config.json", description)
        return TrainingRun(folder, keep_checkpoints=keep_checkpoints)


class TrainingRun:
    """Saves and restores one training; use it in a ``with`` statement.

    Attributes:
        folder: Where everything of this training lies.
    """

    def __init__(self, folder: Path, *, keep_checkpoints: int) -> None:
        self.folder = folder
        if is_first_process():
            self._set_broken_aside()
        wait_for_all("broken checkpoints set aside")
        self._checkpointer = ocp.training.Checkpointer(
            folder / "steps",
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep_checkpoints),
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(self, *error: object) -> None:
        self._checkpointer.close()

    @property
    def history_path(self) -> Path:
        """The CSV file of the history."""
        return self.folder / "history.csv"

    @property
    def finished(self) -> dict[str, Any] | None:
        """The summary that ``finish`` wrote, or None."""
        return _read_json(self.folder / "finished.json")

    @property
    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def seconds_until(self, step: int) -> float:
        """Return the seconds that were spent on the steps up to a checkpoint; 0 if there is none of that step."""
        return (_read_json(self.folder / SECONDS_FILE) or {}).get(str(step), 0.0)

    def save(self, state: TrainState, batches: Any, *, seconds: float) -> None:
        """Write a checkpoint and wait until it is on disk.

        Args:
            state: Model, optimizer, base key and step.
            batches: The Grain iterator; its position is saved too.
            seconds: Spent on all steps so far.
        """
        step = int(state.step)
        self._checkpointer.save_checkpointables(step, _to_checkpointables(state) | {"data": batches.get_state()})
        if not is_first_process():
            return
        write_json(self.folder / SECONDS_FILE, (_read_json(self.folder / SECONDS_FILE) or {}) | {str(step): seconds})
        write_json(self._marker(step), _list_sizes(self._step_folder(step)))
        for marker in (self.folder / "whole").glob("*.json"):
            if not self._step_folder(int(marker.stem)).exists():
                marker.unlink()

    def restore(self, state: TrainState, batches: Any) -> TrainState | None:
        """Return the newest checkpoint's state and set the iterator to its position; None without a checkpoint.

        Args:
            state: Gives structure, shapes, types and shardings; its arrays may be abstract.
            batches: The Grain iterator to move.
        """
        step = self.latest_step
        if step is None:
            return None
        loaded = self._checkpointer.load_checkpointables(step, _to_checkpointables(state) | {"data": None})
        batches.set_state(loaded["data"])
        random = loaded["random"]
        return TrainState(
            step=random["step"],
            skipped=random["skipped"],
            key=jax.random.wrap_key_data(random["key"]),
            params=loaded["model"],
            tables=loaded["tables"],
            optimizer=loaded["optimizer"],
        )

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as finished; the last thing that is written."""
        if is_first_process():
            write_json(self.folder / "finished.json", summary)
        wait_for_all("training finished")

    def _step_folder(self, step: int) -> Path:
        return self.folder / "steps" / str(step)

    def _marker(self, step: int) -> Path:
        return self.folder / "whole" / f"{step}.json"

    def _is_whole(self, step: int) -> bool:
        marker = self._marker(step)
        return marker.is_file() and json.loads(marker.read_text("utf-8")) == _list_sizes(self._step_folder(step))

    def _set_broken_aside(self) -> None:
        """Move checkpoints that are not whole out of Orbax's sight, which takes any folder with a number for one."""
        for folder in (self.folder / "steps").iterdir():
            if folder.name.isdecimal() and not self._is_whole(int(folder.name)):
                broken = self.folder / "broken"
                broken.mkdir(exist_ok=True)
                aside = broken / f"{folder.name}-{len(list(broken.iterdir()))}"
                folder.rename(aside)
                logger.warning("checkpoint %s is not whole: moved to %s and not used", folder, aside)


def _to_checkpointables(state: TrainState) -> dict[str, Any]:
    return {
        "model": state.params,
        "tables": state.tables,
        "optimizer": state.optimizer,
        "random": {"key": _key_data(state.key), "step": state.step, "skipped": state.skipped},
    }


def _key_data(key: jax.Array | jax.ShapeDtypeStruct) -> Any:
    if isinstance(key, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, key).update(sharding=key.sharding)
    return jax.random.key_data(key)


def _list_sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file below ``folder`` by its relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
