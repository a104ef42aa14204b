"""Evaluation: test cases, baselines, ranking metrics with bootstrap intervals, and figures of them."""

from playlist_pipeline.evaluation.baselines import Ranker, TrainingPlaylists, fit_baselines
from playlist_pipeline.evaluation.bootstrap import bootstrap_means
from playlist_pipeline.evaluation.metrics import METRICS, compute_hits, compute_metrics
from playlist_pipeline.evaluation.plots import plot_quality, plot_training_curve
from playlist_pipeline.evaluation.protocol import (
    FIRST_K,
    RANKINGS_SCHEMA,
    TEST_CASES_SCHEMA,
    TestCases,
    build_test_cases,
    cases_from_table,
    cases_to_table,
    compute_ceiling,
    evaluate_rankings,
    rank_cases,
    summarise,
)

__all__ = [
    "FIRST_K",
    "METRICS",
    "RANKINGS_SCHEMA",
    "TEST_CASES_SCHEMA",
    "Ranker",
    "TestCases",
    "TrainingPlaylists",
    "bootstrap_means",
    "build_test_cases",
    "cases_from_table",
    "cases_to_table",
    "compute_ceiling",
    "compute_hits",
    "compute_metrics",
    "evaluate_rankings",
    "fit_baselines",
    "plot_quality",
    "plot_training_curve",
    "rank_cases",
    "summarise",
]
