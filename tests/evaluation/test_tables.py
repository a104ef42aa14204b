import pandas as pd

from playlist_pipeline.evaluation import tables


def make_metrics():
    """Two cases, of which the second has the most playlists, and one system that lacks it."""
    figures = {"mean": 0.5, "low": 0.4, "high": 0.7}
    return {
        "playlists": {"first_k": {"1": 1200, "5": 2000, "25": 0}},
        "ranking": {
            "first_k": {
                "model": {"5": {"clicks": figures}, "1": {"clicks": figures | {"mean": 0.6}}},
                "popularity": {"1": {"clicks": figures | {"mean": 0.45}}},
            },
            "challenge": {},
        },
        "differences": {"first_k": {"popularity": {"1": {"clicks": figures | {"ratio": None}}}}},
        "cohorts": {
            "first_k": {"model": {"1": {"(0,50]": {"playlists": 3, "clicks": figures}, ">150": {"playlists": 0}}}}
        },
        "popularity_deciles": {
            "first_k": {"model": {"1": {"1": {"recall": 0.25, "truth": 8}, "2": {"recall": None, "truth": 0}}}}
        },
        "beyond_accuracy": {"first_k": {"model": {"1": {"coverage@10": 0.125}}}},
    }


METRICS = make_metrics()
METRICS["playlists"]["challenge"] = {}


def rows_of(frame: pd.DataFrame) -> list[tuple]:
    return [tuple(row) for row in frame.to_numpy().tolist()]


def test_quality_has_one_row_for_each_figure_in_the_order_of_the_cases():
    frame = tables.tabulate_quality(METRICS)
    assert tuple(frame.columns) == tables.QUALITY_COLUMNS
    assert rows_of(frame) == [
        ("first_k", "1", "model", "clicks", 0.6, 0.4, 0.7, 1200),
        ("first_k", "1", "popularity", "clicks", 0.45, 0.4, 0.7, 1200),
        ("first_k", "5", "model", "clicks", 0.5, 0.4, 0.7, 2000),
    ]


def test_a_missing_ratio_stays_missing():
    frame = tables.tabulate_differences(METRICS)
    assert tuple(frame.columns) == tables.DIFFERENCE_COLUMNS
    assert frame["ratio"].isna().tolist() == [True]
    assert rows_of(frame.drop(columns="ratio")) == [("first_k", "1", "popularity", "clicks", 0.5, 0.4, 0.7, 1200)]


def test_a_cohort_without_playlists_has_no_row_and_the_others_their_own_number():
    frame = tables.tabulate_cohorts(METRICS)
    assert tuple(frame.columns) == tables.COHORT_COLUMNS
    assert rows_of(frame) == [("first_k", "1", "(0,50]", "model", "clicks", 0.5, 0.4, 0.7, 3)]


def test_deciles_have_recall_and_truth():
    frame = tables.tabulate_deciles(METRICS)
    assert rows_of(frame)[0] == ("first_k", "1", "1", "model", 0.25, 8)
    assert frame["recall"].isna().tolist() == [False, True]


def test_beyond_accuracy():
    frame = tables.tabulate_beyond_accuracy(METRICS)
    assert rows_of(frame) == [("first_k", "1", "model", "coverage@10", 0.125, 1200)]


def test_without_the_model_there_are_no_differences():
    frame = tables.tabulate_differences(METRICS | {"differences": {"first_k": {}}})
    assert tuple(frame.columns) == tables.DIFFERENCE_COLUMNS
    assert frame.empty


def test_every_figure_of_a_summary_has_its_row(metrics):
    quality = tables.tabulate_quality(metrics)
    found = {tuple(row[:4]): tuple(row[4:7]) for row in rows_of(quality)}
    expected = {
        (protocol, case, system, metric): (figures["mean"], figures["low"], figures["high"])
        for protocol, systems in metrics["ranking"].items()
        for system, cases in systems.items()
        for case, by_metric in cases.items()
        for metric, figures in by_metric.items()
    }
    assert found == expected
    assert len(found) == len(quality)
