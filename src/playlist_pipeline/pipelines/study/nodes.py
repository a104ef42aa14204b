"""Nodes of the study pipeline.

JAX, SciPy and plotly are imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

from playlist_pipeline.config import BaselinesConfig, StudyConfig
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import Vocabulary


def build_study_cases(
    playlists: pa.Table,
    memberships: pa.Table,
    tracks: pa.Table,
    splits: pa.Table,
    vocabulary: pa.Table,
    config: StudyConfig,
) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """Cut validation and test playlists into history and the last tracks, which are to be found.

    Args:
        playlists: The extracted playlists.
        memberships: Which track stands where in which playlist.
        tracks: The extracted tracks.
        splits: The part of each playlist.
        vocabulary: The tokens.
        config: How much is held out.

    Returns:
        One row for each playlist, and the numbers of playlists used and left out.
    """
    from playlist_pipeline.evaluation.cases import cases_to_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.study import cases as study  # noqa: PLC0415

    words = Vocabulary.from_table(vocabulary)
    cases, counts = study.build_study_cases(playlists, memberships, tracks, splits, words, config)
    return cases_to_table(cases), counts


def run_study(
    sequences: SequenceStore,
    vocabulary: pa.Table,
    side_information: pa.Table,
    playlists: pa.Table,
    study_cases: pa.Table,
    study_store: Any,
    config: StudyConfig,
    baselines_config: BaselinesConfig,
) -> tuple[pd.DataFrame, pa.Table]:
    """Train each variant and fit each baseline once a seed, and measure them; finished runs are not repeated.

    Args:
        sequences: The packed sequences.
        vocabulary: The tokens.
        side_information: Artist, album and duration of each.
        playlists: The playlists' titles.
        study_cases: History and truth.
        study_store: The ``StudyStore`` that finds finished runs and keeps new ones.
        config: The variants, and the recipe that they share.
        baselines_config: Settings of the baselines.

    Returns:
        One row for each run, and one for each run and playlist with its figures.
    """
    from playlist_pipeline.evaluation.baselines import TrainingPlaylists  # noqa: PLC0415
    from playlist_pipeline.evaluation.cases import cases_from_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.study import runs as study  # noqa: PLC0415
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    words = Vocabulary.from_table(vocabulary)
    data = study.StudyData(
        training=TrainingPlaylists.read(sequences.source("train", words), words, playlists),
        validation=sequences.source("validation", words),
        side_information=SideInformation(side_information),
        cases=cases_from_table(study_cases)["study"],
    )

    def make_ranker(model: Any) -> Recommender:
        return Recommender(model, batch_size=config.batch_size)

    runs = study.run_study(data, config, baselines_config, store=study_store, make_ranker=make_ranker)
    return study.tabulate_runs(runs, config), study.tabulate_figures(runs, data.cases)


def tabulate_study(
    study_cases: pa.Table, study_runs: pd.DataFrame, study_figures: pa.Table, config: StudyConfig
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Choose the variant on the validation part, and make the tables of the test part.

    Args:
        study_cases: History and truth.
        study_runs: One row for each run.
        study_figures: One for each run and playlist.
        config: The bootstrap.

    Returns:
        F1 of each system overall, by length of history, and the report.
    """
    from playlist_pipeline.evaluation.cases import cases_from_table  # noqa: PLC0415
    from playlist_pipeline.evaluation.study import tables  # noqa: PLC0415

    cases = cases_from_table(study_cases)["study"]
    validation, test = (tables.StudyFigures.read(study_figures, cases[part], config) for part in ("validation", "test"))
    chosen = tables.choose_variant(validation)
    overall = tables.tabulate_overall(test, chosen, config)
    by_history = tables.tabulate_by_history(test, chosen, config)
    return overall, by_history, tables.report_study(study_runs, validation, test, config)


def plot_study(study_overall: pd.DataFrame, study_by_history: pd.DataFrame) -> Any:
    """Draw both tables.

    Args:
        study_overall: F1 of each system overall.
        study_by_history: F1 of each system by length of history.

    Returns:
        A plotly figure.
    """
    from playlist_pipeline.evaluation.plots import plot_study as plot  # noqa: PLC0415

    return plot(study_overall, study_by_history)
