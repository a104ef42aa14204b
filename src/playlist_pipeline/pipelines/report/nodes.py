"""Nodes of the report pipeline.

Plotly and matplotlib are imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

import pandas as pd

from playlist_pipeline.config import EvaluateConfig, ModelConfig


def tabulate_metrics(
    metrics: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put the metrics into tables, one row for each figure.

    Args:
        metrics: What ``metrics.json`` holds.

    Returns:
        Quality, differences, cohorts, popularity deciles, and what is beyond accuracy.
    """
    from playlist_pipeline.evaluation import tables  # noqa: PLC0415

    return (
        tables.tabulate_quality(metrics),
        tables.tabulate_differences(metrics),
        tables.tabulate_cohorts(metrics),
        tables.tabulate_deciles(metrics),
        tables.tabulate_beyond_accuracy(metrics),
    )


def plot_metrics(metrics: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Draw the metrics.

    Args:
        metrics: What ``metrics.json`` holds.

    Returns:
        Plotly figures of differences, cohorts, popularity deciles, and what is beyond accuracy.
    """
    from playlist_pipeline.evaluation import plots  # noqa: PLC0415

    return (
        plots.plot_differences(metrics),
        plots.plot_cohorts(metrics),
        plots.plot_deciles(metrics),
        plots.plot_beyond_accuracy(metrics),
    )


def build_report_page(
    metrics: dict[str, Any],
    extraction_report: dict[str, Any],
    split_report: dict[str, Any],
    vocabulary_report: dict[str, Any],
    test_cases_report: dict[str, Any],
    training_report: dict[str, Any],
    evaluate_config: EvaluateConfig,
    model_config: ModelConfig,
    quality_plot: Any,
    difference_plot: Any,
    cohort_plot: Any,
    decile_plot: Any,
    beyond_accuracy_plot: Any,
    training_plot: Any,
    tuning_report: dict[str, Any] | None = None,
    tuning_plot: Any = None,
    model_tuning_report: dict[str, Any] | None = None,
    study_overall: pd.DataFrame | None = None,
    study_by_history: pd.DataFrame | None = None,
    study_report: dict[str, Any] | None = None,
    study_plot: Any = None,
) -> str:
    """Build the page that shows all tables and plots.

    Args:
        metrics: What ``metrics.json`` holds.
        extraction_report: Counts of the archive.
        split_report: Playlists in each part.
        vocabulary_report: Tracks in the vocabulary.
        test_cases_report: Playlists used and left out.
        training_report: Figures of the training.
        evaluate_config: What was measured.
        model_config: The model's shape.
        quality_plot: Quality by case.
        difference_plot: Differences by case.
        cohort_plot: Quality by playlist length.
        decile_plot: Recall by popularity.
        beyond_accuracy_plot: Coverage, popularity bias and artist diversity.
        training_plot: Loss by step.
        tuning_report: Settings of the baselines, if the pipeline ``baselines`` has run.
        tuning_plot: Its trials.
        model_tuning_report: Settings of the model, if the pipeline ``tune`` has run.
        study_overall: The study's figures, if the pipeline ``study`` has run.
        study_by_history: The same by length of the history.
        study_report: The chosen variant, the budget, and what differs from the paper's claims.
        study_plot: Both tables as a plot.

    Returns:
        An HTML document.
    """
    from playlist_pipeline.evaluation.report.page import Extras, Facts, Study, build_page, join_searches  # noqa: PLC0415

    facts = Facts(
        extraction_report,
        split_report,
        vocabulary_report,
        test_cases_report,
        training_report,
        evaluate_config,
        model_config,
    )
    plots = {"quality": quality_plot, "differences": difference_plot, "cohorts": cohort_plot, "deciles": decile_plot}
    plots |= {"beyond_accuracy": beyond_accuracy_plot, "training": training_plot}
    plots |= {"tuning": tuning_plot, "study": study_plot}
    study = None
    if study_overall is not None and study_by_history is not None and study_report is not None:
        study = Study(study_overall, study_by_history, study_report)
    return build_page(metrics, facts, plots, Extras(join_searches(model_tuning_report, tuning_report), study))
