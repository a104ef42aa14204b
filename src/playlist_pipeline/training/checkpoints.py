"""Checkpoints: one folder for each training fingerprint, so that trainings never mix.

A run's folder holds ``config.json`` (what the fingerprint stands for, and where the training runs), ``steps/<step>``
(Orbax), ``whole/<step>.json`` (the files of that checkpoint with sizes and SHA-256), ``seconds.json`` (time spent up to
each checkpoint), ``history.csv``, ``tensorboard/`` and, at the end, ``finished.json``.

A checkpoint is whole once its file in ``whole`` is on disk, and as long as its own files are as that one says. Older
checkpoints are removed only then.
"""

import logging
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.digests import find_damage, list_digests, read_json_object
from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_json
from playlist_pipeline.fingerprint import code_fingerprint, fingerprint_of, name_differences
from playlist_pipeline.training.devices import is_first_process, wait_for_all
from playlist_pipeline.training.state import TrainState

logger = logging.getLogger(__name__)

SECONDS_FILE = "seconds.json"
LIBRARIES = ("numpy", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")
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
    """Return what a file holds, None if it is missing, or holds something else than a JSON object."""
    if not path.is_file():
        return None
    try:
        return read_json_object(path, advice="it is not used")
    except UserError as error:
        logger.warning("%s", error)
        return None


def _describe_place() -> dict[str, Any]:
    """Return what else a training's last bits depend on: versions of libraries, and devices."""
    versions = {name: version(name) for name in LIBRARIES}
    return versions | {"devices": f"{jax.device_count()} {jax.devices()[0].device_kind}", "cores": os.cpu_count()}


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
        if is_first_process():
            self._describe_run(folder, description)
        return TrainingRun(folder, keep_checkpoints=keep_checkpoints)

    def _describe_run(self, folder: Path, description: Mapping[str, Any]) -> None:
        """Write ``config.json``; say what differs from the run before, or from where this one began."""
        content, before = {**description, "place": _describe_place()}, _read_json(folder / "config.json")
        if before is None:
            others = [path for path in self.root.glob("*/config.json") if path.parent != folder]
            if others:
                newest = max(others, key=lambda path: path.stat().st_mtime_ns)
                differences = name_differences(_read_json(newest) or {}, content)
                reason = "; ".join(differences) or "nothing that it says of itself"
                logger.warning(
                    "training %s is new and begins at step 0; from %s, which stays, it differs in: %s",
                    folder.name,
                    newest.parent.name,
                    reason,
                )
        elif differences := name_differences(before.get("place", {}), content["place"]):
            logger.warning(
                "training %s goes on elsewhere than it began, its last bits may differ: %s",
                folder.name,
                "; ".join(differences),
            )
        else:
            return
        write_json(folder / "config.json", content)


class TrainingRun:
    """Saves and restores one training; use it in a ``with`` statement.

    Attributes:
        folder: Where everything of this training lies.
    """

    def __init__(self, folder: Path, *, keep_checkpoints: int) -> None:
        self.folder = folder
        self._keep_checkpoints = keep_checkpoints
        if is_first_process():
            self._clear()
        wait_for_all("damaged checkpoints set aside")
        self._checkpointer = ocp.training.Checkpointer(
            folder / "steps",
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=ocp.training.preservation_policies.PreserveAll(),
        )

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._checkpointer.close()
        except Exception:
            if error is None:  # otherwise it is the same one: Orbax tells of a failed save twice
                raise
        finally:
            if error is not None and is_first_process():
                self._remove_unfinished()  # the room is wanted

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
        """Write a checkpoint, wait until it is on disk, and remove those that are too old then.

        Args:
            state: Model, optimizer, base key and step.
            batches: The Grain iterator; its position is saved too.
            seconds: Spent on all steps so far.
        """
        step = int(state.step)
        self._checkpointer.save_checkpointables(step, _to_checkpointables(state) | {"data": batches.get_state()})
        if is_first_process():
            until = {str(step): self.seconds_until(step) for step in self._kept_steps()}
            write_json(self.folder / SECONDS_FILE, until | {str(step): seconds})
            write_json(self._marker(step), list_digests(self._step_folder(step)))
        wait_for_all(f"checkpoint {step} is whole")
        for checkpoint in self._checkpointer.checkpoints[: -self._keep_checkpoints]:
            if is_first_process():
                self._marker(checkpoint.step).unlink(missing_ok=True)
            self._checkpointer.delete(checkpoint.step)

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

    def _kept_steps(self) -> list[int]:
        return [int(path.stem) for path in (self.folder / "whole").glob("*.json")]

    def _marker(self, step: int) -> Path:
        return self.folder / "whole" / f"{step}.json"

    def _clear(self) -> None:
        """Leave whole checkpoints alone in Orbax's sight, which takes any folder with a number for one.

        What a run had begun to write or to remove when it was killed goes. Newer checkpoints than the newest whole one
        are moved aside; older ones are not looked into.
        """
        for folder in self._remove_unfinished():
            logger.warning("checkpoint %s was being written when the run before ended: removed", folder)
        steps = sorted(
            (int(path.name) for path in (self.folder / "steps").iterdir() if path.name.isdecimal()), reverse=True
        )
        newest = next((step for step in steps if self._is_whole(step)), None)
        for step in steps:
            if newest is not None and step < newest and not self._marker(step).exists():
                shutil.rmtree(self._step_folder(step))
        for marker in (self.folder / "whole").glob("*.json"):
            if not self._step_folder(int(marker.stem)).exists():
                marker.unlink()

    def _remove_unfinished(self) -> list[Path]:
        """Remove the folders that Orbax has not given their names yet, and return them."""
        folders = list((self.folder / "steps").glob("*.orbax-checkpoint-tmp*"))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return folders

    def _is_whole(self, step: int) -> bool:
        """Return whether a checkpoint is whole; one that is not is moved aside."""
        folder, aside = self._step_folder(step), self.folder / "damaged"
        digests = _read_json(self._marker(step))
        if digests:
            damage = find_damage(folder, digests)
        elif self._marker(step).exists():
            damage = "its digests cannot be read"
        else:
            damage = "the run before ended before all of it was on disk"
        if damage is not None:
            aside.mkdir(exist_ok=True)
            aside /= f"{step}-{len(list(aside.iterdir()))}"
            folder.rename(aside)
            logger.warning("checkpoint %s is not whole (%s): moved to %s and not used", folder, damage, aside)
        return damage is None


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
