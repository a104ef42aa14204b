import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from playlist_pipeline.evaluation import plots
from playlist_pipeline.evaluation.beyond_accuracy import BEYOND_ACCURACY
from playlist_pipeline.evaluation.metrics import MAIN_METRICS
from playlist_pipeline.evaluation.names import name_metric
from playlist_pipeline.evaluation.plots import plot_quality, plot_study, plot_training_curve


def make_metrics():
    def figures(mean):
        return {metric: {"mean": mean, "low": mean - 0.02, "high": mean + 0.01} for metric in MAIN_METRICS}

    systems = {"model": {"10": figures(0.4), "5": figures(0.3)}, "popularity": {"5": figures(0.1), "10": figures(0.2)}}
    return {"ranking": {"first_k": systems}, "playlists": {"first_k": {"5": 3, "7": 0, "10": 2}}}


def titles_of(figure):
    return [title.text for title in figure.layout.annotations]


def test_quality_has_a_panel_for_each_metric_and_a_line_for_each_system():
    figure = plot_quality(make_metrics())
    assert [title.split()[0] for title in titles_of(figure)] == [name_metric(metric) for metric in MAIN_METRICS]
    assert titles_of(figure)[2] == "clicks (lower is better)"
    assert len(figure.data) == 2 * len(MAIN_METRICS)
    assert [trace.name for trace in figure.data if trace.showlegend] == ["model", "popularity"]
    line = figure.data[0]
    assert (line.name, line.x, line.y) == ("model", ("5", "10"), (0.3, 0.4))
    assert line.error_y.array == pytest.approx((0.01, 0.01))
    assert line.error_y.arrayminus == pytest.approx((0.02, 0.02))
    assert figure.layout.xaxis.title.text == "seeds"
    assert figure.to_json()


def test_another_protocol_is_drawn_where_there_is_no_first_k():
    metrics = make_metrics()
    metrics = {name: {"challenge": values["first_k"]} for name, values in metrics.items()}
    figure = plot_quality(metrics)
    assert figure.data[0].x == ("5", "10")
    assert figure.layout.xaxis.title.text == "case"


def test_differences_are_drawn_for_each_other_system_in_its_own_colour(metrics):
    figure = plots.plot_differences(metrics)
    assert titles_of(figure) == ["NDCG@500", "R-precision"]
    assert [trace.name for trace in figure.data if trace.showlegend] == ["popularity", "item-kNN"]
    expected = metrics["differences"]["first_k"]["popularity"]
    assert figure.data[0].y == tuple(expected[case]["ndcg@500"]["mean"] for case in ("1", "2"))
    colours = {trace.name: trace.line.color for trace in plot_quality(metrics).data}
    assert {trace.name: trace.line.color for trace in figure.data} == {
        name: colour for name, colour in colours.items() if name != "model"
    }


def test_cohorts_and_deciles_have_a_panel_for_each_case(metrics):
    cohorts, deciles = plots.plot_cohorts(metrics), plots.plot_deciles(metrics)
    assert titles_of(cohorts) == titles_of(deciles) == ["1 seed", "2 seeds"]
    assert cohorts.data[0].x == ("(0,50]",)
    assert cohorts.data[0].y == (metrics["cohorts"]["first_k"]["model"]["1"]["(0,50]"]["ndcg@500"]["mean"],)
    assert deciles.data[0].x == tuple(str(decile) for decile in range(1, 11))
    recalls = [metrics["popularity_deciles"]["first_k"]["model"]["1"][x]["recall"] for x in deciles.data[0].x]
    assert None in recalls
    assert deciles.data[0].y == pytest.approx([np.nan if y is None else y for y in recalls], nan_ok=True)
    assert "NaN" not in deciles.to_json()


def test_beyond_accuracy_has_a_panel_for_each_figure(metrics):
    figure = plots.plot_beyond_accuracy(metrics)
    assert titles_of(figure) == list(BEYOND_ACCURACY)
    coverage = [metrics["beyond_accuracy"]["first_k"]["model"][case]["coverage@10"] for case in ("1", "2")]
    assert list(figure.data[0].y) == coverage


def test_more_systems_than_colours_are_told_apart_by_dashes():
    metrics = make_metrics()
    metrics["ranking"]["first_k"] |= {f"system {number}": metrics["ranking"]["first_k"]["model"] for number in range(8)}
    styles = {(trace.line.color, trace.line.dash) for trace in plot_quality(metrics).data}
    assert len(styles) == 10


def test_training_curve_skips_what_was_not_measured():
    table = pa.table({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5], "validation_loss": [None, 2.5, None]})
    for history in (table, table.to_pandas()):
        training, validation = plot_training_curve(history).data
        assert (training.x, training.y) == ((1, 2, 3), (3.0, 2.0, 1.5))
        assert (validation.x, validation.y) == ((2,), (2.5,))


def test_training_curve_without_steps():
    figure = plot_training_curve(pd.DataFrame({"step": [], "loss": [], "validation_loss": []}))
    assert [len(trace.x) for trace in figure.data] == [0, 0]
    assert figure.to_json()


def test_the_study_has_a_panel_for_each_table_and_marks_the_chosen_variant():
    variants = [("gbce", True), ("gbce", False), ("softmax", True), ("softmax", False)]
    systems = [(f"{loss}, {causal}", loss, causal) for loss, causal in variants] + [("skip_gram", None, None)]
    rows = [
        {
            "system": system,
            "loss": loss,
            "causal": causal,
            "positions": causal,
            "chosen": system == "softmax, False",
            "metric": metric,
            "mean": 0.1 * place,
            "low": 0.1 * place - 0.01,
            "high": 0.1 * place + 0.03,
        }
        for place, (system, loss, causal) in enumerate(systems)
        for metric in ("f1@10", "f1@50")
    ]
    overall = pd.DataFrame(rows)
    by_history = pd.concat([overall.assign(history=cohort) for cohort in ("(0,50]", ">150")])
    figure = plot_study(overall, by_history)
    assert len(figure.data) == 2 * len(systems)
    left, right = figure.data[: len(systems)], figure.data[len(systems) :]
    assert [trace.name for trace in left][3:] == ["softmax, False (chosen)", "skip-gram"]
    assert left[3].x == ("F1@10", "F1@50")
    assert right[3].x == ("(0,50]", ">150")  # of the first metric alone
    assert left[3].y == pytest.approx([0.3, 0.3])
    assert left[3].error_y.array == pytest.approx([0.03, 0.03])
    colours, dashes = [trace.line.color for trace in left], [trace.line.dash for trace in left]
    assert (colours[0], colours[1]) == (colours[2], colours[3])
    assert (dashes[0], dashes[2]) == (dashes[1], dashes[3])
    assert len(set(colours)) == len(set(dashes)) == 3
