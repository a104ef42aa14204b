"""Nodes of the evaluate pipeline.

JAX, SciPy and plotly are imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

import pyarrow as pa

from playlist_pipeline.config import BaselinesConfig, EvaluateConfig
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.vocabulary import Vocabulary


def build_test_cases(
    memberships: pa.Table, tracks: pa.Table, splits: pa.Table, vocabulary: pa.Table, config: EvaluateConfig
) -> pa.Table:
    """Cut the test playlists into seeds and the continuation to find.

    Args:
        memberships: Which track stands where in which playlist.
        tracks: The extracted tracks.
        splits: The part of each playlist.
        vocabulary: The tokens.
        config: Numbers of seeds, and which playlists are long enough.

    Returns:
        One row for each playlist and number of seeds.
    """
    from playlist_pipeline.evaluation import protocol  # noqa: PLC0415

    cases = protocol.build_test_cases(memberships, tracks, splits, Vocabulary.from_table(vocabulary), config)
    return protocol.cases_to_table(cases)


def rank_tracks(
    model: Any,
    sequences: SequenceStore,
    playlists: pa.Table,
    test_cases: pa.Table,
    config: EvaluateConfig,
    baselines_config: BaselinesConfig,
) -> pa.Table:
    """Let the model and the baselines rank tracks for each test case.

    Args:
        model: The trained ``LoadedModel``.
        sequences: The packed sequences; the baselines learn from the training part.
        playlists: The playlists' titles.
        test_cases: Seeds and truth.
        config: Length of the lists, and which baselines.
        baselines_config: Their settings.

    Returns:
        One ranked list for each system and test case.
    """
    from playlist_pipeline.evaluation import protocol  # noqa: PLC0415
    from playlist_pipeline.evaluation.baselines import TrainingPlaylists, fit_baselines  # noqa: PLC0415
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    train = TrainingPlaylists.read(sequences.source("train", model.vocabulary), model.vocabulary, playlists)
    recommender = {"model": Recommender(model, batch_size=config.batch_size)}
    systems = recommender | fit_baselines(config.baselines, train, baselines_config)
    return protocol.rank_cases(systems, protocol.cases_from_table(test_cases), config)


def measure_test_loss(model: Any, sequences: SequenceStore, config: EvaluateConfig) -> dict[str, float | int | None]:
    """Measure the sampled and the exact loss on the test part.

    Args:
        model: The trained ``LoadedModel``.
        sequences: The packed sequences.
        config: Batch size and seed.

    Returns:
        ``sampled``, ``exact``, ``exact_known`` (without ``<unk>`` labels), ``perplexity``, and numbers of labels.
    """
    from playlist_pipeline.evaluation.loss import measure_loss  # noqa: PLC0415

    return measure_loss(model, sequences.source("test", model.vocabulary), config)


def compute_metrics(
    test_cases: pa.Table, recommendations: pa.Table, test_loss: dict[str, float | int | None], config: EvaluateConfig
) -> dict[str, Any]:
    """Compute the ranking metrics with their intervals and put them beside the losses.

    Args:
        test_cases: Seeds and truth.
        recommendations: The ranked lists.
        test_loss: Losses on the test part.
        config: The bootstrap.

    Returns:
        What ``metrics.json`` holds.
    """
    from playlist_pipeline.evaluation import protocol  # noqa: PLC0415

    cases = protocol.cases_from_table(test_cases)
    return protocol.summarise(cases, recommendations, config) | {"loss": {"test": test_loss}}


def plot_quality(metrics: dict[str, Any]) -> Any:
    """Draw NDCG and its interval by number of seeds for each system.

    Args:
        metrics: What ``metrics.json`` holds.

    Returns:
        A plotly figure.
    """
    from playlist_pipeline.evaluation.plots import plot_quality as plot  # noqa: PLC0415

    return plot(metrics)
