"""Figures of ranked lists as ``metrics.json`` holds them: means with intervals, differences, cohorts, deciles."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from playlist_pipeline.config import MODEL, EvaluateConfig
from playlist_pipeline.evaluation.beyond_accuracy import compute_beyond_accuracy, compute_decile_recalls
from playlist_pipeline.evaluation.bootstrap import bootstrap_means
from playlist_pipeline.evaluation.cases import CasesByProtocol, TestCases, compute_ceiling, pool_cases
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.metrics import LIST_LENGTH, MAIN_METRICS, PADDING
from playlist_pipeline.evaluation.protocols import CHALLENGE, DEEZER, list_cases
from playlist_pipeline.evaluation.ragged import RaggedArray
from playlist_pipeline.evaluation.rankings import measure_lists, read_rankings

TRANSFORMER = "transformer"  # its first stage alone, where it has a second; not a baseline
ALL = "all"
POOLED = (CHALLENGE, DEEZER)
# Playlist lengths, lower end excluded, as in Amazon's study of histories.
COHORTS: Mapping[str, tuple[int, float]] = {
    "(0,50]": (0, 50),
    "(50,100]": (50, 100),
    "(100,150]": (100, 150),
    ">150": (150, float("inf")),
}
Figures = dict[str, np.ndarray]  # metric to one value for each playlist


def summarise(cases: CasesByProtocol, rankings: pa.Table, facts: TrackFacts, config: EvaluateConfig) -> dict[str, Any]:
    """Measure ranked lists and average the figures over playlists, with percentile bootstrap intervals.

    The intervals of all systems and metrics of a case come from the same resamples of its playlists, so those of
    differences are paired. The case ``all`` pools the cases of ``challenge`` and ``deezer``, as their sources do, if no
    playlist stands in two of them.

    Args:
        cases: Protocol, then case, to its playlists.
        rankings: ``RANKINGS_SCHEMA``; each system has one list for each playlist of each case.
        facts: Of the vocabulary.
        config: ``num_recommendations``, ``bootstrap_samples``, ``confidence`` and ``seed``, and what the protocols'
            names of cases come from.

    Returns:
        Below each of these keys, by protocol (and system):
        ``ranking`` by case and metric: {mean, low, high}.
        ``differences`` by case and metric: {mean, low, high, ratio} of the model's figure minus that system's, and of
        the two means; the ratio is None where the system's mean is 0. Empty without the system ``model``.
        ``cohorts`` by case and playlist length (unique tracks): {playlists, and the main metrics as in ``ranking``}.
        ``popularity_deciles`` by case, see ``compute_decile_recalls``.
        ``beyond_accuracy`` by case, see ``BEYOND_ACCURACY``.
        ``playlists`` by case: how many, 0 where none fits.
        ``ceiling`` by case, see ``compute_ceiling``.
    """
    read = read_rankings(rankings, cases)
    k = min(LIST_LENGTH, config.num_recommendations)
    summary: dict[str, Any] = {
        name: {protocol: {} for protocol in cases}
        for name in (
            "ranking",
            "differences",
            "cohorts",
            "popularity_deciles",
            "beyond_accuracy",
            "playlists",
            "ceiling",
        )
    }
    for protocol in cases:
        parts, lists = _pool(protocol, cases[protocol], read[protocol])
        names = dict.fromkeys([*list_cases(protocol, config), *parts])
        summary["playlists"][protocol] = {case: len(parts.get(case, ())) for case in names}
        for case, part in parts.items():
            summary["ceiling"][protocol][case] = compute_ceiling(part, k=k)
            for name, by_system in describe_case(part, lists[case], facts, config).items():
                for system, figures in by_system.items():
                    summary[name][protocol].setdefault(system, {})[case] = figures
    return summary


def _pool(
    protocol: str, parts: Mapping[str, TestCases], lists: Mapping[str, Mapping[str, RaggedArray]]
) -> tuple[dict[str, TestCases], dict[str, Mapping[str, RaggedArray]]]:
    """Add the case ``all`` to the cases of a protocol and to their lists, if there is to be one."""
    pooled = pool_cases(parts, ALL) if protocol in POOLED else None
    if pooled is None:
        return dict(parts), dict(lists)
    systems = next(iter(lists.values()))
    joined = {system: RaggedArray.concatenate([lists[case][system] for case in parts]) for system in systems}
    return {**parts, ALL: pooled}, {**lists, ALL: joined}


def describe_case(
    cases: TestCases, lists: Mapping[str, RaggedArray], facts: TrackFacts, config: EvaluateConfig
) -> dict[str, dict[str, Any]]:
    """Describe the lists of all systems for one case.

    Args:
        cases: The playlists.
        lists: System to one list for each playlist.
        facts: Of the vocabulary.
        config: The bootstrap, and its seed.

    Returns:
        ``ranking``, ``differences``, ``cohorts``, ``popularity_deciles`` and ``beyond_accuracy``, each by system.
    """
    measured = {system: measure_lists(ranked, cases, facts) for system, ranked in lists.items()}
    padded = {system: ranked.pad(PADDING) for system, ranked in lists.items()}
    seed = _seed_of(cases, config)
    return {
        "ranking": average(measured, config, seed=seed),
        "differences": compare(measured, config, seed=seed),
        "cohorts": average_by_length(measured, cases.lengths, config, seed=seed),
        "popularity_deciles": {
            system: compute_decile_recalls(ranked, cases.truth, cases.num_truth, facts)
            for system, ranked in padded.items()
        },
        "beyond_accuracy": {system: compute_beyond_accuracy(ranked, facts) for system, ranked in padded.items()},
    }


def average(
    measured: Mapping[str, Figures], config: EvaluateConfig, *, seed: tuple[int, ...]
) -> dict[str, dict[str, dict[str, float]]]:
    """Average figures over playlists, with intervals from resamples that all systems and metrics share.

    Args:
        measured: System to figures, float64 [n] each.
        config: ``bootstrap_samples`` and ``confidence`` count here.
        seed: Of the resamples.

    Returns:
        System, then metric, to {mean, low, high}.
    """
    columns = {(system, metric): values for system, figures in measured.items() for metric, values in figures.items()}
    averaged: dict[str, dict[str, dict[str, float]]] = {system: {} for system in measured}
    if columns:
        ends = bootstrap_means(
            np.stack(list(columns.values()), axis=1),
            num_samples=config.bootstrap_samples,
            confidence=config.confidence,
            seed=seed,
        )
        for (system, metric), *figures in zip(columns, *(end.tolist() for end in ends), strict=True):
            averaged[system][metric] = dict(zip(("mean", "low", "high"), figures, strict=True))
    return averaged


def compare(
    measured: Mapping[str, Figures], config: EvaluateConfig, *, seed: tuple[int, ...], reference: str = MODEL
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Compare a system with each of the others on the same playlists.

    Args:
        measured: System to figures, float64 [n] each.
        config: ``bootstrap_samples`` and ``confidence`` count here.
        seed: Of the resamples.
        reference: The system that is compared; without it there is nothing to compare.

    Returns:
        Other system, then metric, to {mean, low, high} of the reference's figure minus the other's, and ``ratio``, the
        reference's mean divided by the other's; None where that is 0.
    """
    if reference not in measured:
        return {}
    best = measured[reference]
    others = {system: figures for system, figures in measured.items() if system != reference}
    differences = {
        system: {metric: best[metric] - values for metric, values in figures.items()}
        for system, figures in others.items()
    }

    def divide(metric: str, system: str) -> float | None:
        other = float(others[system][metric].mean())
        return float(best[metric].mean()) / other if other else None

    return {
        system: {metric: {**figures, "ratio": divide(metric, system)} for metric, figures in by_metric.items()}
        for system, by_metric in average(differences, config, seed=seed).items()
    }


def average_by_length(
    measured: Mapping[str, Figures], lengths: np.ndarray, config: EvaluateConfig, *, seed: tuple[int, ...]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Average the main metrics over playlists of similar length.

    Args:
        measured: System to figures, float64 [n] each.
        lengths: What the playlists are told apart by, int [n].
        config: ``bootstrap_samples`` and ``confidence`` count here.
        seed: Of the resamples.

    Returns:
        System, then cohort, to ``playlists`` and, where there are any, the main metrics as ``average`` gives them.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {system: {} for system in measured}
    for cohort, (low, high) in COHORTS.items():
        inside = (lengths > low) & (lengths <= high)
        chosen = {
            system: {metric: figures[metric][inside] for metric in MAIN_METRICS} if inside.any() else {}
            for system, figures in measured.items()
        }
        for system, figures in average(chosen, config, seed=seed).items():
            found[system][cohort] = {"playlists": int(inside.sum()), **figures}
    return found


def _seed_of(cases: TestCases, config: EvaluateConfig) -> tuple[int, ...]:
    """Return the seed of a case's resamples; other protocols and cases do not sway it."""
    digest = hashlib.sha256(f"{cases.protocol}:{cases.case}".encode()).digest()
    return config.seed, int.from_bytes(digest[:8])
