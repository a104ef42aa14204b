import pandas as pd
import pyarrow as pa
import pytest

from playlist_pipeline.evaluation.metrics import METRICS
from playlist_pipeline.evaluation.plots import plot_quality, plot_training_curve


def make_metrics():
    def figures(mean):
        return {metric: {"mean": mean, "low": mean - 0.02, "high": mean + 0.01} for metric in METRICS}

    systems = {"model": {"10": figures(0.4), "5": figures(0.3)}, "popularity": {"5": figures(0.1), "10": figures(0.2)}}
    return {"ranking": {"first_k": systems}, "playlists": {}, "ceiling": {}}


def test_quality_has_a_panel_for_each_metric_and_a_line_for_each_system():
    figure = plot_quality(make_metrics())
    assert [title.text.split()[0] for title in figure.layout.annotations] == list(METRICS)
    assert len(figure.data) == 2 * len(METRICS)
    assert [trace.name for trace in figure.data if trace.showlegend] == ["model", "popularity"]
    line = figure.data[0]
    assert (line.name, line.x, line.y) == ("model", ("5", "10"), (0.3, 0.4))
    assert line.error_y.array == pytest.approx((0.01, 0.01))
    assert line.error_y.arrayminus == pytest.approx((0.02, 0.02))
    assert figure.to_json()


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
