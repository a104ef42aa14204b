"""Nodes of the train pipeline.

JAX and what stands on it is imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.corpus.database import Database
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import Vocabulary


def train_model(
    sequences: SequenceStore | Database,
    vocabulary: pa.Table,
    side_information: pa.Table,
    checkpoints: Any,
    model_config: ModelConfig,
    train_config: TrainConfig,
) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Train the transformer, or go on where an interrupted training with the same fingerprint stopped.

    Args:
        sequences: Where playlists are read from: the packed sequences or the database.
        vocabulary: The tokens.
        side_information: Artist, album and duration of each.
        checkpoints: The ``CheckpointStore`` to resume from and save to.
        model_config: The model's shape.
        train_config: The recipe.

    Returns:
        The ``LoadedModel``, the losses by step, and a summary of the run with its wall time.
    """
    from playlist_pipeline.training.loop import train_model as train  # noqa: PLC0415

    words = Vocabulary.from_table(vocabulary)
    result = train(
        sequences.source("train", words),
        sequences.source("validation", words),
        words,
        side_information=SideInformation(side_information),
        model_config=model_config,
        train_config=train_config,
        checkpoints=checkpoints,
    )
    return result.model, result.history, result.summary | {"seconds": result.seconds}


def plot_training(history: pd.DataFrame) -> Any:
    """Draw the training curve.

    Args:
        history: Losses by step.

    Returns:
        A plotly figure.
    """
    from playlist_pipeline.evaluation.plots import plot_training_curve  # noqa: PLC0415

    return plot_training_curve(history)
