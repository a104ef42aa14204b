"""Nodes of the evaluate pipeline.

JAX, SciPy and plotly are imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

import pyarrow as pa

from playlist_pipeline.config import MODEL, BaselinesConfig, EvaluateConfig
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import Vocabulary


def build_test_cases(
    playlists: pa.Table,
    memberships: pa.Table,
    tracks: pa.Table,
    splits: pa.Table,
    vocabulary: pa.Table,
    config: EvaluateConfig,
) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """Cut the test playlists into what is given and the continuation to find.

    Args:
        playlists: The extracted playlists, for their titles.
        memberships: Which track stands where in which playlist.
        tracks: The extracted tracks.
        splits: The part of each playlist.
        vocabulary: The tokens.
        config: The protocols and their settings.

    Returns:
        One row for each playlist and case of a protocol, and the numbers of playlists used and left out.
    """
    from playlist_pipeline.evaluation import protocols  # noqa: PLC0415
    from playlist_pipeline.evaluation.cases import cases_to_table  # noqa: PLC0415

    tokens = Vocabulary.from_table(vocabulary)
    cases, counts = protocols.build_test_cases(playlists, memberships, tracks, splits, tokens, config)
    return cases_to_table(cases), counts


def rank_tracks(
    model: Any,
    reranker: Any,
    sequences: SequenceStore,
    playlists: pa.Table,
    test_cases: pa.Table,
    config: EvaluateConfig,
    baselines_config: BaselinesConfig,
) -> pa.Table:
    """Let the model and the baselines rank tracks for each test case.

    ``model`` is what ``Recommender`` serves; where that has a second stage, ``transformer`` is the first alone.

    Args:
        model: The trained ``LoadedModel``.
        reranker: The ``RerankerState`` of the second stage.
        sequences: The packed sequences; the baselines learn from the training part.
        playlists: The playlists' titles.
        test_cases: Seeds, titles and truth.
        config: Length of the lists, and which baselines.
        baselines_config: Their settings.

    Returns:
        One ranked list for each system and test case.
    """
    from playlist_pipeline.evaluation.baselines import TrainingPlaylists, fit_baselines  # noqa: PLC0415
    from playlist_pipeline.evaluation.cases import cases_from_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.rankings import rank_cases  # noqa: PLC0415
    from playlist_pipeline.evaluation.summary import TRANSFORMER  # noqa: PLC0415
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    train = TrainingPlaylists.read(sequences.source("train", model.vocabulary), model.vocabulary, playlists)
    systems: dict[str, Any] = {MODEL: Recommender(model, reranker=reranker, batch_size=config.batch_size)}
    if systems[MODEL].reranker is not None:
        systems[TRANSFORMER] = Recommender(model, batch_size=config.batch_size)
    systems |= fit_baselines(config.baselines, train, baselines_config)
    return rank_cases(systems, cases_from_table(test_cases), config)


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
    test_cases: pa.Table,
    recommendations: pa.Table,
    test_loss: dict[str, float | int | None],
    vocabulary: pa.Table,
    side_information: pa.Table,
    artists: pa.Table,
    config: EvaluateConfig,
) -> dict[str, Any]:
    """Compute the ranking metrics with their intervals and put them beside the losses.

    Args:
        test_cases: Seeds and truth.
        recommendations: The ranked lists.
        test_loss: Losses on the test part.
        vocabulary: The tokens and their training counts.
        side_information: Their artists.
        artists: The extracted artists.
        config: The bootstrap.

    Returns:
        What ``metrics.json`` holds.
    """
    from playlist_pipeline.evaluation.cases import cases_from_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.facts import TrackFacts  # noqa: PLC0415
    from playlist_pipeline.evaluation.summary import summarise  # noqa: PLC0415

    facts = TrackFacts.from_tables(Vocabulary.from_table(vocabulary), SideInformation(side_information), artists)
    return summarise(cases_from_table(test_cases), recommendations, facts, config) | {"loss": {"test": test_loss}}


def plot_quality(metrics: dict[str, Any]) -> Any:
    """Draw the main metrics and their intervals by case for each system.

    Args:
        metrics: What ``metrics.json`` holds.

    Returns:
        A plotly figure.
    """
    from playlist_pipeline.evaluation.plots import plot_quality as plot  # noqa: PLC0415

    return plot(metrics)
