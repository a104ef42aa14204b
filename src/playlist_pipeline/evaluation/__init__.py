"""Evaluation: test cases by protocol, baselines, metrics with bootstrap intervals, and figures of them."""

from playlist_pipeline.evaluation.baselines import Ranker, TrainingPlaylists, fit_baselines
from playlist_pipeline.evaluation.bootstrap import bootstrap_means
from playlist_pipeline.evaluation.cases import (
    TEST_CASES_SCHEMA,
    TestCases,
    cases_from_table,
    cases_to_table,
    compute_ceiling,
)
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.metrics import MAIN_METRICS, METRICS, compute_hits, compute_metrics
from playlist_pipeline.evaluation.plots import plot_quality, plot_training_curve
from playlist_pipeline.evaluation.protocols import CHALLENGE, DEEZER, FIRST_K, build_test_cases
from playlist_pipeline.evaluation.ragged import RaggedArray
from playlist_pipeline.evaluation.rankings import RANKINGS_SCHEMA, measure_lists, rank_cases, rank_lists
from playlist_pipeline.evaluation.summary import summarise

__all__ = [
    "CHALLENGE",
    "DEEZER",
    "FIRST_K",
    "MAIN_METRICS",
    "METRICS",
    "RANKINGS_SCHEMA",
    "TEST_CASES_SCHEMA",
    "RaggedArray",
    "Ranker",
    "TestCases",
    "TrackFacts",
    "TrainingPlaylists",
    "bootstrap_means",
    "build_test_cases",
    "cases_from_table",
    "cases_to_table",
    "compute_ceiling",
    "compute_hits",
    "compute_metrics",
    "fit_baselines",
    "measure_lists",
    "plot_quality",
    "plot_training_curve",
    "rank_cases",
    "rank_lists",
    "summarise",
]
