"""Trains in a process of its own, on as many devices or beside as many other processes as it is told.

Reads one JSON object from standard input: ``training``, ``validation``, ``uris``, ``counts``, ``model``, ``train``,
``root``, and, where there are several, ``devices``, ``processes``, ``process`` and ``address``; ``stop_after`` steps.
Prints one with the losses.
"""

import json
import sys

import jax
import numpy as np
import pyarrow as pa


def main() -> None:
    """Train."""
    given = json.load(sys.stdin)
    if "devices" in given:
        jax.config.update("jax_num_cpu_devices", given["devices"])
    if "processes" in given:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(given["address"], given["processes"], given["process"])

    from playlist_pipeline.config import ModelConfig, TrainConfig  # noqa: PLC0415
    from playlist_pipeline.corpus.vocabulary import Vocabulary  # noqa: PLC0415
    from playlist_pipeline.training import CheckpointStore, TrainingInterrupted, train_model  # noqa: PLC0415

    left = given.get("stop_after", 0)

    def should_stop() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    try:
        result = train_model(
            *([np.array(playlist, np.int32) for playlist in given[part]] for part in ("training", "validation")),
            Vocabulary(pa.array(given["uris"]), np.array(given["counts"])),
            model_config=ModelConfig(**given["model"]),
            train_config=TrainConfig(**given["train"]),
            checkpoints=CheckpointStore(given["root"]),
            should_stop=should_stop,
            progress=False,
        )
    except TrainingInterrupted:
        sys.stdout.write(json.dumps({"devices": jax.device_count()}))
        return
    table = np.asarray(result.model.model.embedding.table[...])
    losses = result.history["loss"].tolist()
    sys.stdout.write(json.dumps({"devices": jax.device_count(), "loss": losses, "table": table.tolist()}))


if __name__ == "__main__":
    main()
