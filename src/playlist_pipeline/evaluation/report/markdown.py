"""Results as Markdown tables between two markers of a file, such as the README's.

The text between ``<!-- results:NAME -->`` and ``<!-- /results:NAME -->`` is replaced; the rest of the file stays.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.metrics import HEADLINE_METRICS
from playlist_pipeline.evaluation.names import name_metric, name_system
from playlist_pipeline.evaluation.protocols import FIRST_K
from playlist_pipeline.evaluation.tables import tabulate_quality


def write_results(path: Path, metrics_path: Path, *, name: str, command: str, commit: str | None) -> None:
    """Write the results of ``first_k`` between the markers of a file.

    Args:
        path: The file, in UTF-8.
        metrics_path: A ``metrics.json``.
        name: In the markers.
        command: That made the metrics; printed above the tables.
        commit: Of the project when it did; None leaves it out.

    Raises:
        UserError: A file cannot be read, has no results of ``first_k``, or does not have the markers once and in order.
    """
    _write_block(path, render_results(_read_metrics(metrics_path)), name=name, command=command, commit=commit)


def write_study(path: Path, folder: Path, *, name: str, command: str, commit: str | None) -> None:
    """Write the study's tables between the markers of a file.

    Args:
        path: The file, in UTF-8.
        folder: With ``study_overall.csv`` and ``study_by_history.csv``.
        name: As in :func:`write_results`, as are the next two.
        command: See there.
        commit: See there.

    Raises:
        UserError: A file cannot be read, or does not have the markers once and in order.
    """
    tables = [_read_study(folder / f"study_{table}.csv") for table in ("overall", "by_history")]
    _write_block(path, render_study(*tables), name=name, command=command, commit=commit)


def _write_block(path: Path, tables: str, *, name: str, command: str, commit: str | None) -> None:
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text in UTF-8 ({error}); give a Markdown file") from error
    source = f"`{command}`" + (f", commit {commit}" if commit else "")
    path.write_bytes(replace_block(text, name, f"{source}:\n\n{tables}", path=path).encode())


def render_study(overall: pd.DataFrame, by_history: pd.DataFrame) -> str:
    """Render the study's two tables: F1 by number of recommendations, and F1@10 by length of history.

    Args:
        overall: From ``tabulate_overall``.
        by_history: From ``tabulate_by_history``.

    Returns:
        Markdown; each cell has the mean, its interval, and the ratio to the item-item model. The chosen variant is in
        bold.
    """
    first = overall["metric"].iloc[0]
    cohorts = by_history[by_history["metric"] == first]
    counts = cohorts.groupby("history", sort=False)["playlists"].first()
    return "\n".join(
        [
            _render_study_table(
                overall, "metric", {metric: name_metric(metric) for metric in overall["metric"].unique()}
            ),
            _render_study_table(
                cohorts,
                "history",
                {history: f"{name_metric(first)}, {history}: {count:,} playlists" for history, count in counts.items()},
            ),
        ]
    )


def _render_study_table(rows: pd.DataFrame, column: str, titles: Mapping[Any, str]) -> str:
    lines = [["", *titles.values()], ["---"] * (len(titles) + 1)]
    for system, of_system in rows.groupby("system", sort=False):
        figures = of_system.set_index(column).to_dict("index")
        name = name_system(str(system))
        cells = [
            f"{figure['mean']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}], {figure['ratio']:.2f}"
            for figure in (figures[key] for key in titles)
        ]
        lines.append([f"**{name}**" if of_system["chosen"].all() else name, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def render_results(metrics: Mapping[str, Any]) -> str:
    """Render one table for each of ``HEADLINE_METRICS``: systems as rows, numbers of seeds as columns.

    Args:
        metrics: From ``summarise``, with the protocol ``first_k``.

    Returns:
        Markdown, with the best of each column in bold, and below the systems the number of playlists and the highest
        recall that the vocabulary allows.
    """
    rows = tabulate_quality(metrics)
    rows = rows[rows["protocol"] == FIRST_K]
    return "\n".join(_render_table(rows[rows["metric"] == metric], metrics, metric) for metric in HEADLINE_METRICS)


def replace_block(text: str, name: str, block: str, *, path: Path) -> str:
    """Replace what stands between the two markers.

    Args:
        text: Of the file; its line ends, of either kind, are kept.
        name: In the markers.
        block: What is to stand there.
        path: Of the file, for the error.

    Raises:
        UserError: The markers do not stand there once each and in order.
    """
    first, last = f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
    if text.count(first) != 1 or text.count(last) != 1 or text.index(first) > text.index(last):
        raise UserError(f"{path} must have the line {first} once, and {last} once below it: put them where results go")
    before, rest = text.split(first)
    after = rest.split(last)[1]
    line_end = "\r\n" if "\r\n" in text else "\n"
    inner = f"\n{block.strip()}\n".replace("\n", line_end)
    return f"{before}{first}{inner}{last}{after}"


def _read_study(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); make it with: kedro run --pipelines=study") from error


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"metrics {path} cannot be read ({error.strerror}); make them with: kedro run") from error
    except ValueError as error:
        raise UserError(f"{path} is not a metrics.json ({error})") from error
    if not (isinstance(metrics, dict) and metrics.get("ranking", {}).get(FIRST_K)):
        raise UserError(f"{path} has no results of the protocol {FIRST_K}: name it in evaluate.protocols and run again")
    return metrics


def _render_table(rows: pd.DataFrame, metrics: Mapping[str, Any], metric: str) -> str:
    cases = rows["case"].unique().tolist()
    best = rows.groupby("case")["mean"].max()
    lines = [[name_metric(metric), *(f"K = {case}" for case in cases)], ["---"] * (len(cases) + 1)]
    for system in rows["system"].unique():
        figures = rows[rows["system"] == system].set_index("case").to_dict("index")
        lines.append([name_system(system), *(_render_figure(figures[case], best[case]) for case in cases)])
    counts, ceilings = metrics["playlists"][FIRST_K], metrics["ceiling"][FIRST_K]
    last = [f"{counts[case]:,}; {ceilings[case]:.2f}" for case in cases]
    lines.append(["playlists; highest recall the vocabulary allows", *last])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _render_figure(figure: Mapping[str, float], best: float) -> str:
    mean = f"{figure['mean']:.3f}"
    return f"{f'**{mean}**' if figure['mean'] == best else mean} [{figure['low']:.3f}, {figure['high']:.3f}]"
