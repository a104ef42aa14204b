"""Nodes of the rerank pipeline.

JAX is imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

from playlist_pipeline.config import ModelConfig, RerankConfig, TrainConfig
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import Vocabulary


def fit_reranker(
    sequences: SequenceStore,
    vocabulary: pa.Table,
    side_information: pa.Table,
    artists: pa.Table,
    playlists: pa.Table,
    model_config: ModelConfig,
    train_config: TrainConfig,
    config: RerankConfig,
) -> tuple[Any, pd.DataFrame]:
    """Train the second stage on training playlists that its first stage has not seen.

    Args:
        sequences: The packed sequences.
        vocabulary: The tokens.
        side_information: Their artists.
        artists: The artists' names.
        playlists: The playlists' titles.
        model_config: The transformer's shape.
        train_config: How its first vectors are made.
        config: The second stage's recipe.

    Returns:
        The ``RerankerState``, and the mean loss of each epoch.
    """
    from playlist_pipeline.evaluation.baselines import TrainingPlaylists  # noqa: PLC0415
    from playlist_pipeline.generation.reranking.fitting import fit_reranker as fit  # noqa: PLC0415

    words, side = Vocabulary.from_table(vocabulary), SideInformation(side_information)
    data = TrainingPlaylists.read(sequences.source("train", words), words, playlists)
    state, losses = fit(data, side, artists, model_config=model_config, train_config=train_config, config=config)
    return state, pd.DataFrame({"epoch": range(1, len(losses) + 1), "loss": losses})
