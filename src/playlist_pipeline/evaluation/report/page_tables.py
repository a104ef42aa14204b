"""Tables of the report's page: rows of systems, columns of cases, figures with their intervals."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral
from typing import Any

import pandas as pd

from playlist_pipeline.config import MODEL
from playlist_pipeline.evaluation.beyond_accuracy import UNKNOWN
from playlist_pipeline.evaluation.names import LOWER_IS_BETTER, name_case, name_metric, name_system
from playlist_pipeline.evaluation.summary import TRANSFORMER

MISSING = "-"
TIMES = "\N{MULTIPLICATION SIGN}"
ABOVE, BELOW = "above", "below"
STUDY_DIGITS = 4  # its F1 are of some hundredths


@dataclass(frozen=True)
class Cell:
    """A figure in a table.

    Attributes:
        text: What stands there.
        interval: Stands below it, smaller.
        is_best: The best of its column.
        side: Where the interval lies as against zero: ``above``, ``below``, or empty where it holds zero or there is
            none.
    """

    text: str
    interval: str = ""
    is_best: bool = False
    side: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: Its header.
        cells: One for each column.
        is_model: The row of the model.
    """

    name: str
    cells: list[Cell]
    is_model: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        caption: Says what the figures are.
        corner: Header of the rows' names.
        columns: Headers.
        rows: Of figures.
        footer: Rows that belong to all systems.
    """

    caption: str
    corner: str
    columns: list[str]
    rows: list[Row]
    footer: list[Row] = field(default_factory=list)


def format_number(value: Any, digits: int = 3) -> str:
    """Return a number with so many digits after the point, from 10 on with one more in all; ``-`` if it is missing."""
    if value is None or math.isnan(value):
        return MISSING
    if isinstance(value, Integral):
        return f"{value:,}"
    shown = next((digits - more for more, limit in enumerate((10, 100, 1000)) if abs(value) < limit), 0)
    return f"{value:,.{shown}f}"


def format_interval(low: float, high: float, digits: int = 3) -> str:
    """Return ``[low, high]``."""
    return f"[{format_number(low, digits)}, {format_number(high, digits)}]"


def make_quality_table(quality: pd.DataFrame, metrics: Mapping[str, Any], protocol: str, metric: str) -> Table:
    """Make the table of a metric: each system's mean and interval by case.

    Args:
        quality: From ``tabulate_quality``.
        metrics: From ``summarise``, for the ceilings.
        protocol: One of them.
        metric: One of them.
    """
    rows = quality[(quality["protocol"] == protocol) & (quality["metric"] == metric)]
    cases = rows["case"].unique().tolist()
    footer = [_count_row([metrics["playlists"][protocol][case] for case in cases])]
    if metric.startswith("recall@"):
        ceilings = [Cell(format_number(metrics["ceiling"][protocol][case])) for case in cases]
        footer.append(Row("highest that the vocabulary allows", ceilings))
    better = "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
    return Table(
        caption=f"{name_metric(metric)} ({better}), protocol {protocol}",
        corner="system",
        columns=[name_case(protocol, case) for case in cases],
        rows=_make_rows(rows, "case", _make_interval_cell, best=_find_best(rows, "case", "mean", metric)),
        footer=footer,
    )


def make_difference_table(differences: pd.DataFrame, protocol: str, metric: str) -> Table:
    """Make the table of a metric's differences: the model's figure minus each other system's.

    Args:
        differences: From ``tabulate_differences``.
        protocol: One of them.
        metric: One of them.
    """
    rows = differences[(differences["protocol"] == protocol) & (differences["metric"] == metric)]
    cases = rows[["case", "n"]].drop_duplicates()
    return Table(
        caption=f"{name_metric(metric)}: the model's minus the other system's, and their ratio, protocol {protocol}",
        corner="other system",
        columns=[name_case(protocol, case) for case in cases["case"]],
        rows=_make_rows(rows, "case", _make_difference_cell),
        footer=[_count_row(cases["n"].tolist())],
    )


def make_summary_table(quality: pd.DataFrame, differences: pd.DataFrame, protocol: str, metric: str) -> Table:
    """Make the table that sets the model beside the best baseline of each case.

    Args:
        quality: From ``tabulate_quality``.
        differences: From ``tabulate_differences``; with the model and a baseline.
        protocol: One of them.
        metric: One of them, of which higher is better.
    """
    means = quality[(quality["protocol"] == protocol) & (quality["metric"] == metric)]
    others = differences[(differences["protocol"] == protocol) & (differences["metric"] == metric)]
    rows = []
    for case in means["case"].unique().tolist():
        of_case = means[means["case"] == case].to_dict("records")
        model = next(row for row in of_case if row["system"] == MODEL)
        baselines = [row for row in of_case if row["system"] not in (MODEL, TRANSFORMER)]
        best = max(baselines, key=lambda row: row["mean"])
        is_pair = (others["case"] == case) & (others["system"] == best["system"])
        cells = [
            _make_interval_cell(model),
            Cell(name_system(best["system"])),
            _make_interval_cell(best),
            _make_difference_cell(others[is_pair].to_dict("records")[0]),
            Cell(f"{model['n']:,}"),
        ]
        rows.append(Row(name_case(protocol, case), cells))
    return Table(
        caption=f"{name_metric(metric)}: the model and the best baseline, protocol {protocol}",
        corner="given",
        columns=["model", "best baseline", "its figure", "difference (ratio)", "playlists"],
        rows=rows,
    )


def make_cohort_table(cohorts: pd.DataFrame, protocol: str, case: str, metric: str) -> Table:
    """Make the table of a metric by playlist length.

    Args:
        cohorts: From ``tabulate_cohorts``.
        protocol: One of them.
        case: One of them.
        metric: One of them.
    """
    of_case = (cohorts["protocol"] == protocol) & (cohorts["case"] == case)
    rows = cohorts[of_case & (cohorts["metric"] == metric)]
    counts = rows[["cohort", "n"]].drop_duplicates()
    return Table(
        caption=f"{name_metric(metric)} by unique tracks of the playlist, {_name_place(protocol, case)}",
        corner="system",
        columns=counts["cohort"].tolist(),
        rows=_make_rows(rows, "cohort", _make_interval_cell, best=_find_best(rows, "cohort", "mean", metric)),
        footer=[_count_row(counts["n"].tolist())],
    )


def make_decile_table(deciles: pd.DataFrame, protocol: str, case: str, *, k: int) -> Table:
    """Make the table of recall by popularity of the withheld tracks.

    Args:
        deciles: From ``tabulate_deciles``.
        protocol: One of them.
        case: One of them.
        k: Length of the lists.
    """
    rows = deciles[(deciles["protocol"] == protocol) & (deciles["case"] == case)]
    counts = rows[["decile", "truth"]].drop_duplicates()
    return Table(
        caption=f"recall@{k} by popularity decile of the withheld tracks, {_name_place(protocol, case)}",
        corner="system",
        columns=counts["decile"].tolist(),
        rows=_make_rows(
            rows,
            "decile",
            lambda row: Cell(format_number(row["recall"])),
            best=_find_best(rows[rows["decile"] != UNKNOWN], "decile", "recall"),
        ),
        footer=[_count_row(counts["truth"].tolist(), "withheld tracks")],
    )


def make_beyond_accuracy_table(figures: pd.DataFrame, protocol: str, figure: str) -> Table:
    """Make the table of one figure of coverage, popularity bias or artist diversity; none is better or worse by itself.

    Args:
        figures: From ``tabulate_beyond_accuracy``.
        protocol: One of them.
        figure: One of them.
    """
    rows = figures[(figures["protocol"] == protocol) & (figures["figure"] == figure)]
    cases = rows[["case", "n"]].drop_duplicates()
    return Table(
        caption=f"{figure}, protocol {protocol}",
        corner="system",
        columns=[name_case(protocol, case) for case in cases["case"]],
        rows=_make_rows(rows, "case", lambda row: Cell(format_number(row["value"]))),
        footer=[_count_row(cases["n"].tolist())],
    )


def make_study_table(figures: pd.DataFrame, column: str, *, caption: str) -> Table:
    """Make a table of the study: each system's mean and interval.

    Args:
        figures: From ``tabulate_overall`` or, of one metric, ``tabulate_by_history``.
        column: ``metric`` or ``history``.
        caption: Says what is told apart.
    """
    rows = _name_study_systems(figures)
    make_cell = partial(_make_interval_cell, digits=STUDY_DIGITS)
    return _make_study_table(rows, column, make_cell, caption, best=_find_best(rows, column, "mean"))


def make_study_difference_table(figures: pd.DataFrame, column: str, baseline: str, *, caption: str) -> Table:
    """Make a table of the study: each system's figure minus the item-item baseline's, and their ratio.

    Args:
        figures: As for ``make_study_table``.
        column: ``metric`` or ``history``.
        baseline: The item-item one.
        caption: Says what is told apart.
    """
    others = figures[figures["system"] != baseline].drop(columns=["mean", "low", "high"])
    rows = _name_study_systems(others).rename(
        columns={"difference": "mean", "difference_low": "low", "difference_high": "high"}
    )
    return _make_study_table(rows, column, partial(_make_difference_cell, digits=STUDY_DIGITS), caption)


def _name_study_systems(figures: pd.DataFrame) -> pd.DataFrame:
    names = [
        name_system(system) + " (chosen)" * bool(chosen)
        for system, chosen in zip(figures["system"], figures["chosen"], strict=True)
    ]
    return figures.assign(system=names)


def _make_study_table(
    rows: pd.DataFrame,
    column: str,
    make_cell: Callable[[Mapping[str, Any]], Cell],
    caption: str,
    *,
    best: Set[tuple[str, str]] = frozenset(),
) -> Table:
    counts = rows[[column, "playlists"]].drop_duplicates()
    return Table(
        caption=caption,
        corner="system",
        columns=[name_metric(value) for value in counts[column]],
        rows=_make_rows(rows, column, make_cell, best=best),
        footer=[_count_row(counts["playlists"].tolist())],
    )


def _make_rows(
    figures: pd.DataFrame,
    column: str,
    make_cell: Callable[[Mapping[str, Any]], Cell],
    *,
    best: Set[tuple[str, str]] = frozenset(),
) -> list[Row]:
    """Make one row for each system, with a cell for each value of ``column``; ``best`` has pairs of both."""
    columns = figures[column].unique().tolist()
    rows = []
    for system in figures["system"].unique().tolist():
        found = {row[column]: make_cell(row) for row in figures[figures["system"] == system].to_dict("records")}
        cells = [replace(found.get(name, Cell(MISSING)), is_best=(system, name) in best) for name in columns]
        rows.append(Row(name_system(system), cells, is_model=system == MODEL))
    return rows


def _find_best(figures: pd.DataFrame, column: str, value: str, metric: str = "") -> set[tuple[str, str]]:
    """Return the pairs of system and ``column`` with the best value of their column."""
    by_column = figures.groupby(column, sort=False)[value]
    best = by_column.transform("min" if metric in LOWER_IS_BETTER else "max")
    return set(figures.loc[figures[value] == best, ["system", column]].itertuples(index=False, name=None))


def _name_place(protocol: str, case: str) -> str:
    return f"protocol {protocol}, {name_case(protocol, case)}"


def _make_interval_cell(row: Mapping[str, Any], digits: int = 3) -> Cell:
    return Cell(format_number(row["mean"], digits), format_interval(row["low"], row["high"], digits))


def _make_difference_cell(row: Mapping[str, Any], digits: int = 3) -> Cell:
    ratio = "" if math.isnan(row["ratio"]) else f" ({TIMES}{row['ratio']:.2f})"
    side = ABOVE if row["low"] > 0 else BELOW if row["high"] < 0 else ""
    return Cell(f"{row['mean']:+.{digits}f}{ratio}", format_interval(row["low"], row["high"], digits), side=side)


def _count_row(counts: Sequence[int], name: str = "playlists") -> Row:
    return Row(name, [Cell(f"{count:,}") for count in counts])
