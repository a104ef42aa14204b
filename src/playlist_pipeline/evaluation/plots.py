"""Figures for Kedro-Viz and the report: the metrics, the training curve and the tuning."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from playlist_pipeline.evaluation.beyond_accuracy import UNKNOWN
from playlist_pipeline.evaluation.metrics import HEADLINE_METRICS, LIST_LENGTH, MAIN_METRICS
from playlist_pipeline.evaluation.names import LOWER_IS_BETTER, name_case, name_metric, name_system
from playlist_pipeline.evaluation.protocols import CHALLENGE
from playlist_pipeline.evaluation.tables import (
    tabulate_beyond_accuracy,
    tabulate_cohorts,
    tabulate_deciles,
    tabulate_differences,
    tabulate_quality,
)

COLUMNS = 4
# The Okabe-Ito colours: they stay apart for readers who do not see all colours.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
LOWER = " (lower is better)"


def plot_lines(
    rows: pd.DataFrame, *, systems: Sequence[str], panel: str, x: str, y: str = "mean", title: str, x_title: str
) -> go.Figure:
    """Draw one panel for each value of a column, with one line for each system.

    Args:
        rows: One for each point: ``system`` and the columns that are named here; ``low`` and ``high`` where it has an
            interval, which becomes an error bar.
        systems: All of them, those too that have no row here: a system's place among them gives its colour.
        panel: Column of the panels' titles.
        x: Column of the categories along the axis.
        y: Column of the values; a missing one interrupts the line.
        title: Of the figure.
        x_title: Of each axis.

    Returns:
        Figure; panels and categories stand in the order of the rows.
    """
    panels = rows[panel].unique().tolist()
    num_columns = max(min(len(panels), COLUMNS), 1)
    num_rows = max(-(-len(panels) // num_columns), 1)
    figure = make_subplots(rows=num_rows, cols=num_columns, subplot_titles=panels)
    drawn = [(number, system) for number, system in enumerate(systems) if system in set(rows["system"])]
    for number, system in drawn:
        for index, name in enumerate(panels):
            points = rows[(rows["system"] == system) & (rows[panel] == name)]
            trace = go.Scatter(
                name=name_system(system),
                legendgroup=system,
                showlegend=index == 0,
                x=points[x].tolist(),
                y=points[y].tolist(),
                mode="lines+markers",
                line=_style_line(number),
                error_y=_make_error_bars(points, y) if "low" in rows else None,
            )
            figure.add_trace(trace, row=index // num_columns + 1, col=index % num_columns + 1)
    figure.update_annotations(font_size=12)
    figure.update_xaxes(type="category", title_text=x_title)
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(title=title, height=max(350 * num_rows, 400), template="plotly_white")
    return figure


def _style_line(number: int) -> dict[str, str]:
    return {"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number // len(COLOURS) % len(DASHES)]}


def _make_error_bars(points: pd.DataFrame, y: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": (points["high"] - points[y]).clip(lower=0).tolist(),
        "arrayminus": (points[y] - points["low"]).clip(lower=0).tolist(),
    }


def plot_quality(metrics: Mapping[str, Any]) -> go.Figure:
    """Draw each main metric by case: one panel for each metric, one line for each system.

    Args:
        metrics: From ``summarise``. Error bars are the intervals in it. Of several protocols the first is drawn.

    Returns:
        Figure with the names of the metrics as titles of its panels.
    """
    rows, protocol, systems = _keep_first_protocol(tabulate_quality(metrics), metrics)
    return plot_lines(
        _title_metrics(rows, list(MAIN_METRICS)),
        systems=systems,
        panel="title",
        x="case",
        title=f"Quality on the test part, protocol {protocol}",
        x_title=_name_cases(protocol),
    )


def plot_differences(metrics: Mapping[str, Any]) -> go.Figure:
    """Draw the model's figures minus those of each other system, by case, with paired intervals.

    Args:
        metrics: From ``summarise``. Of several protocols the first is drawn.

    Returns:
        Figure with one panel for each of ``HEADLINE_METRICS``; empty without the model.
    """
    rows, protocol, systems = _keep_first_protocol(tabulate_differences(metrics), metrics)
    return plot_lines(
        _title_metrics(rows, HEADLINE_METRICS),
        systems=systems,
        panel="title",
        x="case",
        title=f"The model's figure minus the other system's, protocol {protocol}",
        x_title=_name_cases(protocol),
    )


def plot_cohorts(metrics: Mapping[str, Any]) -> go.Figure:
    """Draw the first of ``HEADLINE_METRICS`` by playlist length.

    Args:
        metrics: From ``summarise``. Of several protocols the first is drawn.

    Returns:
        Figure with one panel for each case.
    """
    rows, protocol, systems = _keep_first_protocol(tabulate_cohorts(metrics), metrics)
    metric = HEADLINE_METRICS[0]
    return plot_lines(
        _title_cases(rows[rows["metric"] == metric], protocol),
        systems=systems,
        panel="title",
        x="cohort",
        title=f"{name_metric(metric)} by playlist length, protocol {protocol}",
        x_title="unique tracks",
    )


def plot_deciles(metrics: Mapping[str, Any]) -> go.Figure:
    """Draw the recall of withheld tracks by their popularity.

    Args:
        metrics: From ``summarise``. Of several protocols the first is drawn.

    Returns:
        Figure with one panel for each case; tracks that the vocabulary lacks are left out, as no system finds them.
    """
    rows, protocol, systems = _keep_first_protocol(tabulate_deciles(metrics), metrics)
    return plot_lines(
        _title_cases(rows[rows["decile"] != UNKNOWN], protocol),
        systems=systems,
        panel="title",
        x="decile",
        y="recall",
        title=f"Recall@{LIST_LENGTH} by popularity of the withheld tracks, protocol {protocol}",
        x_title="decile, 1 the most popular",
    )


def plot_beyond_accuracy(metrics: Mapping[str, Any]) -> go.Figure:
    """Draw coverage, popularity bias and artist diversity by case.

    Args:
        metrics: From ``summarise``. Of several protocols the first is drawn.

    Returns:
        Figure with one panel for each figure of ``BEYOND_ACCURACY``.
    """
    rows, protocol, systems = _keep_first_protocol(tabulate_beyond_accuracy(metrics), metrics)
    return plot_lines(
        rows,
        systems=systems,
        panel="figure",
        x="case",
        y="value",
        title=f"Beyond accuracy, protocol {protocol}",
        x_title=_name_cases(protocol),
    )


def _keep_first_protocol(rows: pd.DataFrame, metrics: Mapping[str, Any]) -> tuple[pd.DataFrame, str, list[str]]:
    """Return the rows of the first protocol, its name and its systems."""
    protocol, ranking = next(iter(metrics["ranking"].items()))
    return rows[rows["protocol"] == protocol], protocol, list(ranking)


def _title_metrics(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Keep the rows of some metrics, in their order, and add their names as ``title``."""
    kept = pd.concat([rows[rows["metric"] == metric] for metric in metrics])
    titles = kept["metric"].map(lambda metric: name_metric(metric) + LOWER * (metric in LOWER_IS_BETTER))
    return kept.assign(title=titles)


def _title_cases(rows: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Add the names of the cases as ``title``."""
    return rows.assign(title=[name_case(protocol, case) for case in rows["case"]])


def _name_cases(protocol: str) -> str:
    """Return what the cases of a protocol are."""
    return "case" if protocol == CHALLENGE else "seeds"


def plot_training_curve(history: pd.DataFrame | pa.Table) -> go.Figure:
    """Draw training and validation loss by step.

    Args:
        history: Columns step, loss and validation_loss; a loss that was not measured at a step is missing (null).

    Returns:
        Figure with one line for each loss; empty if there are no steps.
    """
    frame = history.to_pandas() if isinstance(history, pa.Table) else history
    figure = go.Figure()
    styles = (("loss", "training", "lines"), ("validation_loss", "validation", "lines+markers"))
    for (column, name, mode), colour in zip(styles, COLOURS, strict=False):
        measured = frame[["step", column]].dropna()
        figure.add_trace(
            go.Scatter(
                name=name,
                x=measured["step"].tolist(),
                y=measured[column].astype(float).tolist(),
                mode=mode,
                line_color=colour,
            )
        )
    figure.update_layout(
        title="Training curve", xaxis_title="step", yaxis_title="loss", hovermode="x", template="plotly_white"
    )
    return figure


def plot_tuning(trials: pd.DataFrame) -> go.Figure:
    """Draw the validation metric of each system's trials, and the best so far.

    Args:
        trials: Columns system, trial, settings and mean; see ``tabulate_trials``.

    Returns:
        Figure with two traces for each system: a point for each trial, and the running best as a line.
    """
    figure = go.Figure()
    for number, system in enumerate(trials["system"].unique().tolist()):
        rows, line = trials[trials["system"] == system], _style_line(number)
        common = {"x": rows["trial"].tolist(), "legendgroup": system, "name": name_system(system)}
        points = go.Scatter(
            **common,
            y=rows["mean"].tolist(),
            mode="markers",
            marker={"color": line["color"], "opacity": 0.5},
            text=rows["settings"].tolist(),
            showlegend=False,
        )
        best = go.Scatter(**common, y=rows["mean"].cummax().tolist(), mode="lines", line={**line, "shape": "hv"})
        figure.add_traces([points, best])
    figure.update_layout(
        title="Tuning on the validation part: each trial, and the best so far",
        xaxis_title="trial",
        yaxis_title="mean over the cases",
        template="plotly_white",
    )
    return figure


def plot_study(overall: pd.DataFrame, by_history: pd.DataFrame) -> go.Figure:
    """Draw the study's tables: F1 by number of recommendations, and F1 at the first of them by length of history.

    Args:
        overall: From ``tabulate_overall``.
        by_history: From ``tabulate_by_history``.

    Returns:
        Figure with two panels and in each a line for each system; variants with the same switches share a colour,
        losses a dash. The chosen variant's name is marked.
    """
    metric = overall["metric"].iloc[0]
    titles = ["all histories", f"{name_metric(metric)} by tracks of the history"]
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, shared_yaxes=True)
    panels = ((overall, "metric"), (by_history[by_history["metric"] == metric], "history"))
    colours = _assign(overall, ["causal", "positions"], COLOURS)
    dashes = _assign(overall, ["loss"], DASHES)
    for column, (table, axis) in enumerate(panels, 1):
        for system, rows in table.groupby("system", sort=False):
            trace = go.Scatter(
                name=name_system(system) + " (chosen)" * bool(rows["chosen"].iloc[0]),
                legendgroup=system,
                showlegend=column == 1,
                x=[name_metric(value) for value in rows[axis]],
                y=rows["mean"].tolist(),
                mode="lines+markers",
                line={"color": colours[system], "dash": dashes[system]},
                error_y=_make_error_bars(rows, "mean"),
            )
            figure.add_trace(trace, row=1, col=column)
    figure.update_xaxes(type="category")
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(title="The study: F1 on the test part", height=500, template="plotly_white")
    return figure


def _assign(table: pd.DataFrame, columns: list[str], choices: Sequence[str]) -> dict[str, str]:
    """Give systems the same choice where they agree in ``columns``; those without a loss each have their own."""
    rows = table.drop_duplicates("system").to_dict("records")
    keys = [tuple(row[name] for name in (columns if isinstance(row["loss"], str) else ["system"])) for row in rows]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return {row["system"]: choices[places[key] % len(choices)] for row, key in zip(rows, keys, strict=True)}
