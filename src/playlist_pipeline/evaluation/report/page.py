"""The report as one HTML page that needs no other file, no script and no connection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined

from playlist_pipeline.config import MODEL, EvaluateConfig, ModelConfig
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation import tables
from playlist_pipeline.evaluation.beyond_accuracy import BEYOND_ACCURACY
from playlist_pipeline.evaluation.metrics import HEADLINE_METRICS, LIST_LENGTH
from playlist_pipeline.evaluation.names import name_case, name_metric, name_system
from playlist_pipeline.evaluation.protocols import CHALLENGE, DEEZER, FIRST_K
from playlist_pipeline.evaluation.report import page_tables
from playlist_pipeline.evaluation.report.glossary import define_beyond_accuracy, define_metrics
from playlist_pipeline.evaluation.report.page_tables import Cell, Row, Table, format_number
from playlist_pipeline.evaluation.report.svg import Drawing, draw_figure
from playlist_pipeline.evaluation.study.runs import ITEM_ITEM, METRICS
from playlist_pipeline.evaluation.summary import TRANSFORMER

PROTOCOLS = {
    FIRST_K: "given are the first K unique tracks of a playlist and its title; all later tracks are to be found",
    CHALLENGE: "the ten scenarios of the RecSys Challenge 2018; all other tracks of the playlist are to be found",
    DEEZER: "given are the first 1 to 10 unique tracks of 10,000 published playlists; all later tracks are to be found",
}


@dataclass(frozen=True)
class Facts:
    """What the figures of a report stand on.

    Attributes:
        extraction: ``extraction_report``.
        split: ``split_report``.
        vocabulary: ``vocabulary_report``.
        test_cases: ``test_cases_report``.
        training: ``training_report``.
        evaluate: What was measured.
        model: The model's shape.
    """

    extraction: Mapping[str, Any]
    split: Mapping[str, int]
    vocabulary: Mapping[str, int]
    test_cases: Mapping[str, Mapping[str, int]]
    training: Mapping[str, Any]
    evaluate: EvaluateConfig
    model: ModelConfig


@dataclass(frozen=True, eq=False)
class Study:
    """What the study has found.

    Attributes:
        overall: From ``tabulate_overall``.
        by_history: From ``tabulate_by_history``.
        report: From ``report_study``.
    """

    overall: pd.DataFrame
    by_history: pd.DataFrame
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Extras:
    """What a report shows where it has been made.

    Attributes:
        tuning_report: From ``tune_systems``.
        study: Of the pipeline ``study``.
    """

    tuning_report: Mapping[str, Any] | None = None
    study: Study | None = None


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: Its anchor.
        title: Its heading.
        text: What a reader has to know, in paragraphs.
        points: Sentences of a list below it.
        drawing: Its plot.
        tables: Shown.
        folded: Shown when they are asked for.
    """

    key: str
    title: str
    text: list[str]
    points: list[str]
    drawing: Drawing | None
    tables: list[Table]
    folded: list[Table]


def build_page(metrics: Mapping[str, Any], facts: Facts, plots: Mapping[str, go.Figure | None], extras: Extras) -> str:
    """Build the page.

    Args:
        metrics: From ``summarise``.
        facts: What the figures stand on.
        plots: By the name of their section: ``quality``, ``differences``, ``cohorts``, ``deciles``,
            ``beyond_accuracy``, ``training``, and, where they have been made, ``tuning`` and ``study``.
        extras: Shown where they are there.

    Returns:
        An HTML document. All text is escaped.
    """
    environment = Environment(
        loader=PackageLoader("playlist_pipeline.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawings = {
        name: draw_figure(plot, name=name) for name, plot in plots.items() if plot is not None and len(plot.data)
    }
    return environment.get_template("page.html").render(
        archive=facts.extraction["archive"]["name"],
        summary=_make_summary(metrics),
        data=_make_data_tables(metrics, facts),
        protocols={protocol: PROTOCOLS[protocol] for protocol in metrics["ranking"]},
        evaluate=facts.evaluate,
        sections=[*_make_sections(metrics, facts, extras, drawings)],
        definitions=define_metrics(),
        beyond_accuracy_definitions=define_beyond_accuracy(),
        list_length=LIST_LENGTH,
    )


def _make_summary(metrics: Mapping[str, Any]) -> list[Table]:
    quality, differences = tables.tabulate_quality(metrics), tables.tabulate_differences(metrics)
    return [
        page_tables.make_summary_table(quality, differences, protocol, metric)
        for protocol, others in metrics["differences"].items()
        if others.keys() - {TRANSFORMER}
        for metric in HEADLINE_METRICS
    ]


def _make_data_tables(metrics: Mapping[str, Any], facts: Facts) -> list[Table]:
    counts, split, vocabulary = facts.extraction["counts"], facts.split, facts.vocabulary
    data = {
        "playlists": counts["playlists"],
        "tracks in playlists": counts["memberships"],
        "different tracks": counts["tracks"],
        "artists": counts["artists"],
        "playlists for training": split["train"],
        "playlists for validation": split["validation"],
        "playlists for test": split["test"],
        "tracks in the vocabulary": vocabulary["kept"],
        "tracks that training lacks": vocabulary["unseen"] + vocabulary["dropped"],
    }
    shape = facts.model
    model = {
        "transformer layers": shape.num_layers,
        "attention heads": shape.num_heads,
        "width of an embedding": shape.embed_dim,
        "width of the feed-forward part": shape.feedforward_dim,
        "context, in tokens": shape.context_length,
        **{name.replace("_", " "): value for name, value in facts.training.items() if name != "fingerprint"},
    }
    return [
        _list_facts(data, "The data"),
        _list_facts(model, "The model and its training; losses in nats, means at the end"),
        *(_make_case_table(metrics, facts, protocol) for protocol in metrics["playlists"]),
    ]


def _list_facts(values: Mapping[str, Any], caption: str) -> Table:
    rows = [Row(name, [Cell(_print(value))]) for name, value in values.items()]
    return Table(caption=caption, corner="what", columns=["value"], rows=rows)


def _print(value: Any) -> str:
    return format_number(value) if value is None or isinstance(value, int | float) else str(value)


def _make_case_table(metrics: Mapping[str, Any], facts: Facts, protocol: str) -> Table:
    """Make the table of a protocol's cases, and say whom it left out."""
    used, ceilings = metrics["playlists"][protocol], metrics["ceiling"][protocol]
    counts = facts.test_cases[protocol]
    left_out = [f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if name != "playlists"]
    caption = f"Cases of protocol {protocol}, from {counts['playlists']:,} playlists"
    return Table(
        caption=f"{caption}; left out: {', '.join(left_out) or 'none'}",
        corner="given",
        columns=["playlists", f"highest recall@{LIST_LENGTH} that the vocabulary allows"],
        rows=[
            Row(name_case(protocol, case), [Cell(f"{count:,}"), Cell(format_number(ceilings.get(case)))])
            for case, count in used.items()
        ],
    )


def _make_sections(
    metrics: Mapping[str, Any], facts: Facts, extras: Extras, drawings: Mapping[str, Drawing]
) -> Iterator[Section]:
    made = [
        ("quality", "Quality", *_make_quality(metrics)),
        ("differences", "Differences", *_make_differences(metrics)),
        ("cohorts", "By playlist length", *_make_cohorts(metrics)),
        ("deciles", "By popularity of the withheld tracks", *_make_deciles(metrics)),
        ("beyond_accuracy", "Beyond accuracy", *_make_beyond_accuracy(metrics)),
        ("training", "Training", *_make_training(metrics)),
        ("tuning", "Tuning", *_make_tuning(extras.tuning_report)),
        ("study", "The study", *_make_study(extras.study)),
    ]
    points = {"study": extras.study.report["differs"] if extras.study else []}
    for key, title, text, shown, folded in made:
        if shown or key in drawings:
            yield Section(key, title, text, points.get(key, []), drawings.get(key), shown, folded)


Parts = tuple[list[str], list[Table], list[Table]]  # text, tables, folded tables


def _make_quality(metrics: Mapping[str, Any]) -> Parts:
    rows = tables.tabulate_quality(metrics)
    others = [metric for metric in rows["metric"].unique() if metric not in HEADLINE_METRICS]
    shown, folded = (
        [
            page_tables.make_quality_table(rows, metrics, protocol, metric)
            for protocol in metrics["ranking"]
            for metric in chosen
        ]
        for chosen in (HEADLINE_METRICS, others)
    )
    text = "Each system's mean over the playlists, its interval below. The best of a column is bold."
    if any(TRANSFORMER in systems for systems in metrics["ranking"].values()):
        stages = f"The {MODEL} ranks in two stages; {name_system(TRANSFORMER)} is the first without the second."
        return [text, stages], shown, folded
    return [text], shown, folded


def _make_differences(metrics: Mapping[str, Any]) -> Parts:
    rows = tables.tabulate_differences(metrics)
    others = [metric for metric in rows["metric"].unique() if metric not in HEADLINE_METRICS]
    shown, folded = (
        [
            page_tables.make_difference_table(rows, protocol, metric)
            for protocol in rows["protocol"].unique()
            for metric in chosen
        ]
        for chosen in (HEADLINE_METRICS, others)
    )
    text = (
        "Both systems rank for the same playlists, and the interval is that of the mean difference over them. "
        "A triangle up marks an interval above zero, a triangle down one below."
    )
    return [text], shown, folded


def _make_cohorts(metrics: Mapping[str, Any]) -> Parts:
    rows = tables.tabulate_cohorts(metrics)
    made, others = (
        [
            (protocol, page_tables.make_cohort_table(rows, protocol, case, metric))
            for metric in chosen
            for protocol, case in _list_cases(rows)
        ]
        for chosen in (HEADLINE_METRICS[:1], HEADLINE_METRICS[1:])
    )
    shown, folded = _fold(made, metrics)
    text = (
        "Playlists are told apart by their unique tracks, given and withheld ones together. "
        "An interval from few playlists says little, one from a single playlist nothing."
    )
    return [text], shown, [*folded, *(table for _, table in others)]


def _make_deciles(metrics: Mapping[str, Any]) -> Parts:
    rows = tables.tabulate_deciles(metrics)
    made = [
        (protocol, page_tables.make_decile_table(rows, protocol, case, k=LIST_LENGTH))
        for protocol, case in _list_cases(rows)
    ]
    text = (
        f"Of all withheld tracks of a decile, the share that stands in the first {LIST_LENGTH} of its playlist's list. "
        "Each decile stands for a tenth of what the training playlists hold: 1 is the few most popular tracks, 10 the "
        "many rarest. Unknown are tracks that training lacks, which no system can find. There are no intervals: the "
        "withheld tracks of a playlist are not independent."
    )
    return [text], *_fold(made, metrics)


def _make_beyond_accuracy(metrics: Mapping[str, Any]) -> Parts:
    rows = tables.tabulate_beyond_accuracy(metrics)
    made = [
        (protocol, page_tables.make_beyond_accuracy_table(rows, protocol, figure))
        for protocol in metrics["beyond_accuracy"]
        for figure in BEYOND_ACCURACY
    ]
    return ["What the lists are like apart from their hits; no value is the best by itself."], *_fold(made, metrics)


def _fold(made: Sequence[tuple[str, Table]], metrics: Mapping[str, Any]) -> tuple[list[Table], list[Table]]:
    """Part tables into those of the first protocol, which is drawn too, and those of the others."""
    first = next(iter(metrics["ranking"]))
    return [table for name, table in made if name == first], [table for name, table in made if name != first]


def _make_training(metrics: Mapping[str, Any]) -> Parts:
    losses = metrics.get("loss", {}).get("test")
    if losses is None:
        return [], [], []
    values = {name.replace("_", " "): value for name, value in losses.items()}
    return [], [_list_facts(values, "Loss on the test part, in nats")], []


def join_searches(*reports: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return reports of searches as one; None where none has been made.

    Raises:
        UserError: They searched for different metrics.
    """
    made = [report for report in reports if report is not None]
    if len({report["metric"] for report in made}) > 1:
        raise UserError(
            "the pipelines tune and baselines searched for different metrics: run both with the same tuning.metric"
        )
    return {**made[0], "systems": {k: v for report in made for k, v in report["systems"].items()}} if made else None


def _make_tuning(report: Mapping[str, Any] | None) -> Parts:
    if report is None:
        return [], [], []
    rows = []
    for system, found in report["systems"].items():
        settings = ", ".join(f"{name} {found['settings'][name]}" for name in found["search_space"])
        edge = ", ".join(found["at_edge"]) or "none"
        cells = [Cell(f"{found['trials']:,}"), Cell(format_number(found["mean"])), Cell(settings), Cell(edge)]
        rows.append(Row(name_system(system), cells))
    columns = ["trials", f"best {name_metric(report['metric'])}", "its settings", "at the edge of what was tried"]
    caption = "The searched settings of each system with the highest mean over the cases of the validation part"
    return [], [Table(caption, "system", columns, rows)], []


def _make_study(study: Study | None) -> Parts:
    if study is None:
        return [], [], []
    baseline = name_system(ITEM_ITEM)
    shown = [
        page_tables.make_study_table(study.overall, "metric", caption="F1 on the test part, all histories"),
        page_tables.make_study_difference_table(
            study.overall, "metric", ITEM_ITEM, caption=f"F1 minus that of {baseline}, and their ratio, all histories"
        ),
    ]
    folded = []
    for metric in METRICS:
        rows, name = study.by_history[study.by_history["metric"] == metric], name_metric(metric)
        shown += [page_tables.make_study_table(rows, "history", caption=f"{name} by tracks of the history")]
        caption = f"{name} minus that of {baseline}, and their ratio, by tracks of the history"
        folded += [page_tables.make_study_difference_table(rows, "history", ITEM_ITEM, caption=caption)]
    return _describe_study(study.report), shown, folded


def _describe_study(report: Mapping[str, Any]) -> list[str]:
    budget, claims, differs = report["budget"], len(report["paper"]), len(report["differs"])
    steps = " or ".join(f"{number:,}" for number in budget["steps"])
    seeds = ", ".join(map(str, budget["seeds"]))
    late = "" if budget["is_equal"] else f" The time of {len(budget['out_of_time'])} of them ran out."
    return [
        "Causal mask and positions on and off, against the neural item-item model "
        f"({name_system(ITEM_ITEM)}): all but a playlist's last tracks are its history, and these are to be found. "
        "All figures are means over the seeds on the test part.",
        f"{report['chosen']['system']!r} is chosen, by {name_metric(METRICS[0])} on the validation part. Each training "
        f"took {steps} steps of {budget['batch_size']} playlists, once with each of the seeds {seeds}.{late}",
        f"{claims - differs} of {claims} claims of Amazon Music's paper are found here too."
        + " What was found otherwise:" * bool(differs),
    ]


def _list_cases(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(rows[["protocol", "case"]].drop_duplicates().itertuples(index=False, name=None))
