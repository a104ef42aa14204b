"""Figures for Kedro-Viz: quality by case, and the training curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from playlist_pipeline.evaluation.metrics import MAIN_METRICS
from playlist_pipeline.evaluation.protocols import CHALLENGE

COLUMNS = 4
# The Okabe-Ito colours: they stay apart for readers who do not see all colours.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def plot_quality(metrics: Mapping[str, Any]) -> go.Figure:
    """Draw each main metric by case: one panel for each metric, one line for each system.

    Args:
        metrics: From ``summarise``. Error bars are the intervals in it. Of several protocols the first is drawn.

    Returns:
        Figure with the names of the metrics as titles of its panels.
    """
    protocol, ranking = next(iter(metrics["ranking"].items()))
    rows = -(-len(MAIN_METRICS) // COLUMNS)
    titles = [f"{metric} (lower is better)" if metric == "clicks" else metric for metric in MAIN_METRICS]
    figure = make_subplots(rows=rows, cols=COLUMNS, subplot_titles=titles)
    for system, colour in zip(ranking, COLOURS * len(ranking), strict=False):
        cases = [case for case in metrics["playlists"][protocol] if case in ranking[system]]
        for index, metric in enumerate(MAIN_METRICS):
            figures = [ranking[system][case][metric] for case in cases]
            means = [figure_["mean"] for figure_ in figures]
            trace = go.Scatter(
                name=system,
                legendgroup=system,
                showlegend=index == 0,
                x=cases,
                y=means,
                mode="lines+markers",
                line_color=colour,
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [max(0.0, figure_["high"] - figure_["mean"]) for figure_ in figures],
                    "arrayminus": [max(0.0, figure_["mean"] - figure_["low"]) for figure_ in figures],
                },
            )
            figure.add_trace(trace, row=index // COLUMNS + 1, col=index % COLUMNS + 1)
    figure.update_annotations(font_size=12)
    given = "case" if protocol == CHALLENGE else "seeds"
    figure.update_xaxes(type="category", title_text=given)
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(
        title=f"Quality on the test part, protocol {protocol}", height=350 * rows, template="plotly_white"
    )
    return figure


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
    systems = trials["system"].unique().tolist()
    for system, colour in zip(systems, COLOURS * len(systems), strict=False):
        rows = trials[trials["system"] == system]
        common = {"x": rows["trial"].tolist(), "legendgroup": system, "name": system}
        points = go.Scatter(
            **common,
            y=rows["mean"].tolist(),
            mode="markers",
            marker={"color": colour, "opacity": 0.5},
            text=rows["settings"].tolist(),
            showlegend=False,
        )
        best = go.Scatter(
            **common, y=rows["mean"].cummax().tolist(), mode="lines", line={"color": colour, "shape": "hv"}
        )
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
    figure = make_subplots(rows=1, cols=2, subplot_titles=["all histories", f"{metric} by history"], shared_yaxes=True)
    panels = ((overall, "metric"), (by_history[by_history["metric"] == metric], "history"))
    colours = _assign(overall, ["causal", "positions"], COLOURS)
    dashes = _assign(overall, ["loss"], DASHES)
    for column, (table, axis) in enumerate(panels, 1):
        for system, rows in table.groupby("system", sort=False):
            trace = go.Scatter(
                name=f"{system} (chosen)" if rows["chosen"].iloc[0] else system,
                legendgroup=system,
                showlegend=column == 1,
                x=rows[axis].tolist(),
                y=rows["mean"].tolist(),
                mode="lines+markers",
                line={"color": colours[system], "dash": dashes[system]},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": (rows["high"] - rows["mean"]).clip(lower=0).tolist(),
                    "arrayminus": (rows["mean"] - rows["low"]).clip(lower=0).tolist(),
                },
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
