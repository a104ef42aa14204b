"""What ``metrics.json`` holds as tables: one row for each figure.

Protocols, cases and systems stand in the order of ``metrics.json``. ``n`` is the number of playlists behind a figure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

QUALITY_COLUMNS = ("protocol", "case", "system", "metric", "mean", "low", "high", "n")
DIFFERENCE_COLUMNS = ("protocol", "case", "system", "metric", "mean", "low", "high", "ratio", "n")
COHORT_COLUMNS = ("protocol", "case", "cohort", "system", "metric", "mean", "low", "high", "n")
DECILE_COLUMNS = ("protocol", "case", "decile", "system", "recall", "truth")
BEYOND_ACCURACY_COLUMNS = ("protocol", "case", "system", "figure", "value", "n")


def tabulate_quality(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate each metric's mean and interval.

    Args:
        metrics: From ``summarise``.

    Returns:
        ``QUALITY_COLUMNS``.
    """
    return _tabulate_figures(metrics, "ranking", QUALITY_COLUMNS)


def tabulate_differences(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the model's figures minus those of each other system.

    Args:
        metrics: From ``summarise``.

    Returns:
        ``DIFFERENCE_COLUMNS``; ``system`` is the other one, and ``ratio`` is missing where its mean is 0.
    """
    return _tabulate_figures(metrics, "differences", DIFFERENCE_COLUMNS).astype({"ratio": float})


def tabulate_cohorts(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the main metrics by playlist length.

    Args:
        metrics: From ``summarise``.

    Returns:
        ``COHORT_COLUMNS``; a cohort without playlists has no row.
    """
    rows = [
        {**place, "cohort": cohort, "metric": metric, "n": found["playlists"], **figures}
        for place, cohorts in _walk(metrics, "cohorts")
        for cohort, found in cohorts.items()
        for metric, figures in found.items()
        if metric != "playlists"
    ]
    return pd.DataFrame(rows, columns=list(COHORT_COLUMNS))


def tabulate_deciles(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the recall of withheld tracks by their popularity.

    Args:
        metrics: From ``summarise``.

    Returns:
        ``DECILE_COLUMNS``; ``truth`` is the number of withheld tracks, and ``recall`` is missing where it is 0.
    """
    rows = [
        {**place, "decile": decile, **figures}
        for place, deciles in _walk(metrics, "popularity_deciles")
        for decile, figures in deciles.items()
    ]
    return pd.DataFrame(rows, columns=list(DECILE_COLUMNS)).astype({"recall": float})


def tabulate_beyond_accuracy(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate coverage, popularity bias and artist diversity.

    Args:
        metrics: From ``summarise``.

    Returns:
        ``BEYOND_ACCURACY_COLUMNS``.
    """
    rows = [
        {**place, "figure": figure, "value": value, "n": _count_playlists(metrics, place)}
        for place, figures in _walk(metrics, "beyond_accuracy")
        for figure, value in figures.items()
    ]
    return pd.DataFrame(rows, columns=list(BEYOND_ACCURACY_COLUMNS))


def _tabulate_figures(metrics: Mapping[str, Any], key: str, columns: tuple[str, ...]) -> pd.DataFrame:
    rows = [
        {**place, "metric": metric, "n": _count_playlists(metrics, place), **figures}
        for place, by_metric in _walk(metrics, key)
        for metric, figures in by_metric.items()
    ]
    return pd.DataFrame(rows, columns=list(columns))


def _walk(metrics: Mapping[str, Any], key: str) -> Iterator[tuple[dict[str, str], Mapping[str, Any]]]:
    """Give what stands below ``key`` for each protocol, case and system."""
    for protocol, systems in metrics[key].items():
        for case in metrics["playlists"][protocol]:
            for system, cases in systems.items():
                if case in cases:
                    yield {"protocol": protocol, "case": case, "system": system}, cases[case]


def _count_playlists(metrics: Mapping[str, Any], place: Mapping[str, str]) -> int:
    return metrics["playlists"][place["protocol"]][place["case"]]
