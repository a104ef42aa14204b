"""Nodes of the baselines pipeline.

SciPy, the baselines' libraries and plotly are imported inside the functions: Kedro imports this module on every
command.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

from playlist_pipeline.config import BaselinesConfig, EvaluateConfig, TuningConfig
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.vocabulary import Vocabulary


def build_validation_cases(
    playlists: pa.Table,
    memberships: pa.Table,
    tracks: pa.Table,
    splits: pa.Table,
    vocabulary: pa.Table,
    config: EvaluateConfig,
) -> pa.Table:
    """Cut the validation playlists into seeds and the continuation to find, as the test playlists are.

    Args:
        playlists: The playlists' titles.
        memberships: Which track stands where in which playlist.
        tracks: The extracted tracks.
        splits: The part of each playlist.
        vocabulary: The tokens.
        config: The protocols and their settings.

    Returns:
        One row for each playlist and case of a protocol.
    """
    from playlist_pipeline.evaluation.cases import cases_to_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.protocols import build_test_cases  # noqa: PLC0415

    words = Vocabulary.from_table(vocabulary)
    cases, _ = build_test_cases(playlists, memberships, tracks, splits, words, config, part="validation")
    return cases_to_table(cases)


def tune_baselines(
    sequences: SequenceStore,
    vocabulary: pa.Table,
    playlists: pa.Table,
    validation_cases: pa.Table,
    trial_store: Any,
    config: EvaluateConfig,
    baselines_config: BaselinesConfig,
    tuning_config: TuningConfig,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Choose each system's settings on the validation part; trials that an earlier run finished are not repeated.

    Args:
        sequences: The packed sequences; the baselines learn from the training part.
        vocabulary: The tokens.
        playlists: The playlists' titles.
        validation_cases: Seeds and truth.
        trial_store: The ``TrialStore`` that finds finished trials and keeps new ones.
        config: Length of the lists.
        baselines_config: The settings that the search begins with.
        tuning_config: The search.

    Returns:
        One row for each trial, and what was searched and chosen.
    """
    from playlist_pipeline.evaluation.baselines import TrainingPlaylists  # noqa: PLC0415
    from playlist_pipeline.evaluation.cases import cases_from_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.tuning import tune_systems  # noqa: PLC0415

    words = Vocabulary.from_table(vocabulary)
    data = TrainingPlaylists.read(sequences.source("train", words), words, playlists)
    cases = cases_from_table(validation_cases)
    return tune_systems(data, cases, config, baselines_config, tuning_config, store=trial_store)


def plot_tuning(trials: pd.DataFrame) -> Any:
    """Draw the validation metric of each system's trials.

    Args:
        trials: One row for each.

    Returns:
        A plotly figure.
    """
    from playlist_pipeline.evaluation.plots import plot_tuning as plot  # noqa: PLC0415

    return plot(trials)


def rank_baselines(
    sequences: SequenceStore,
    vocabulary: pa.Table,
    playlists: pa.Table,
    test_cases: pa.Table,
    tuning_report: dict[str, Any],
    config: EvaluateConfig,
    baselines_config: BaselinesConfig,
) -> pa.Table:
    """Fit each system with its chosen settings and let it rank tracks for each test case.

    Args:
        sequences: The packed sequences; the baselines learn from the training part.
        vocabulary: The tokens.
        playlists: The playlists' titles.
        test_cases: Seeds and truth.
        tuning_report: The chosen settings.
        config: Length of the lists.
        baselines_config: The seed, and settings that were not tuned.

    Returns:
        One ranked list for each system and test case.
    """
    from playlist_pipeline.evaluation.baselines import TrainingPlaylists, fit_baselines  # noqa: PLC0415
    from playlist_pipeline.evaluation.cases import cases_from_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.rankings import rank_cases  # noqa: PLC0415
    from playlist_pipeline.evaluation.tuning import apply_settings  # noqa: PLC0415

    words = Vocabulary.from_table(vocabulary)
    data = TrainingPlaylists.read(sequences.source("train", words), words, playlists)
    systems = fit_baselines(tuning_report["systems"], data, apply_settings(baselines_config, tuning_report))
    return rank_cases(systems, cases_from_table(test_cases), config)
