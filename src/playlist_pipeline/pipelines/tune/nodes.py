"""Nodes of the tune pipeline.

JAX is imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

from playlist_pipeline.config import EvaluateConfig, ModelConfig, RerankConfig, SystemConfig, TrainConfig, TuningConfig
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import Vocabulary


def tune_model(
    sequences: SequenceStore,
    vocabulary: pa.Table,
    side_information: pa.Table,
    artists: pa.Table,
    playlists: pa.Table,
    validation_cases: pa.Table,
    trial_store: Any,
    model_config: ModelConfig,
    train_config: TrainConfig,
    rerank_config: RerankConfig,
    config: EvaluateConfig,
    tuning_config: TuningConfig,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Try settings of both stages on the validation part; trials that an earlier run finished are not repeated.

    Args:
        sequences: The packed sequences; the model learns from the training part.
        vocabulary: The tokens.
        side_information: Their artists.
        artists: The artists' names.
        playlists: The playlists' titles.
        validation_cases: Seeds and truth.
        trial_store: The ``TrialStore`` that finds finished trials and keeps new ones.
        model_config: The transformer's shape that the search begins with.
        train_config: Its training that the search begins with.
        rerank_config: The second stage that the search begins with.
        config: Length of the lists.
        tuning_config: The search.

    Returns:
        One row for each trial, and what was searched and chosen.
    """
    from playlist_pipeline.evaluation.baselines import TrainingPlaylists  # noqa: PLC0415
    from playlist_pipeline.evaluation.cases import cases_from_table  # noqa: PLC0415
    from playlist_pipeline.generation.tuning import tune_model as tune  # noqa: PLC0415

    words = Vocabulary.from_table(vocabulary)
    return tune(
        TrainingPlaylists.read(sequences.source("train", words), words, playlists),
        sequences.source("validation", words),
        SideInformation(side_information),
        artists,
        cases_from_table(validation_cases),
        SystemConfig(model=model_config, train=train_config, rerank=rerank_config),
        config,
        tuning_config,
        store=trial_store,
    )


def plot_model_tuning(trials: pd.DataFrame) -> Any:
    """Draw the validation metric of the model's trials.

    Args:
        trials: One row for each.

    Returns:
        A plotly figure.
    """
    from playlist_pipeline.evaluation.plots import plot_tuning  # noqa: PLC0415

    return plot_tuning(trials)
