"""Trains in a process of its own, on as many devices or beside as many other processes as it is told.

Reads one JSON object from standard input: ``training``, ``validation``, ``uris``, ``counts``, ``model``, ``train``,
``root``, and, where there are several, ``devices``, ``processes``, ``process`` and ``address``; ``stop_after`` steps;
``kill_in_checkpoint``, the step of a checkpoint that is killed between Orbax's part and the end of it. Prints one with
the losses.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from playlist_pipeline import digests
from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.training import CheckpointStore, TrainingInterrupted, TrainResult, checkpoints, train_model


class StopAfter:
    """Says stop when it is asked for the n-th time; with 0 never."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def train(given: dict[str, Any]) -> TrainResult:
    """Train as told."""
    return train_model(
        *([np.array(playlist, np.int32) for playlist in given[part]] for part in ("training", "validation")),
        Vocabulary(pa.array(given["uris"]), np.array(given["counts"])),
        model_config=ModelConfig(**given["model"]),
        train_config=TrainConfig(**given["train"]),
        checkpoints=CheckpointStore(given["root"]),
        should_stop=StopAfter(given.get("stop_after", 0)),
        progress=False,
    )


def kill_in_checkpoint(step: int) -> None:
    """End this process (SIGKILL) once Orbax has written the checkpoint of a step."""

    def list_digests(folder: Path) -> dict[str, Any]:
        if folder.name == str(step):
            os.kill(os.getpid(), signal.SIGKILL)
        return digests.list_digests(folder)

    checkpoints.list_digests = list_digests


def main() -> None:
    """Do what standard input says."""
    given = json.load(sys.stdin)
    if "kill_in_checkpoint" in given:
        kill_in_checkpoint(given["kill_in_checkpoint"])
    if "devices" in given:
        jax.config.update("jax_num_cpu_devices", given["devices"])
    if "processes" in given:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(given["address"], given["processes"], given["process"])
    found: dict[str, Any] = {"devices": jax.device_count()}
    try:
        result = train(given)
    except TrainingInterrupted:
        pass
    else:
        table = np.asarray(result.model.model.embedding.table[...])
        found |= {"loss": result.history["loss"].tolist(), "table": table.tolist()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
