import json

import numpy as np
import pandas as pd
import pytest
from recipes import make_study_config

from playlist_pipeline.evaluation.ragged import RaggedArray
from playlist_pipeline.evaluation.study import tables
from playlist_pipeline.evaluation.study.runs import (
    FIGURES_SCHEMA,
    METRICS,
    StudyRun,
    list_seeds,
    list_systems,
    tabulate_figures,
    tabulate_runs,
)

NUM_PLAYLISTS = 40
HISTORIES = np.repeat([50, 51, 100, 151], 10)  # none in (100,150]
BEST = "softmax, no mask, positions"


@pytest.fixture
def config():
    return make_study_config(seeds=[1, 2], losses=["softmax"], references=["popularity"])


@pytest.fixture
def cases(build):
    """Cases of both parts whose histories have ``HISTORIES`` tracks, most of them the same one."""
    (part,) = build([[0, 1, 2]] * NUM_PLAYLISTS, num_seeds=[1]).values()
    fields = {name: getattr(part, name) for name in part.__dataclass_fields__}
    seeds = RaggedArray.from_lengths(np.full(HISTORIES.sum(), 3), HISTORIES)
    return {name: type(part)(**fields | {"case": name, "seeds": seeds}) for name in ("validation", "test")}


@pytest.fixture
def make_runs(config):
    """Give ``make_runs(**means)``: runs whose F1 is that of the system on the part at every cutoff, 0.1 if not said.

    The key is a system's name; its value one number, or two for the validation and the test part. Half the playlists
    have the double, half nothing; the second seed has 0.02 more on all.
    """

    def make(means):
        runs = []
        for system in list_systems(config):
            value = means.get(system.name, 0.1)
            validation, test = value if isinstance(value, tuple) else (value, value)
            for number, seed in enumerate(list_seeds(system, config)):
                figures = {
                    part: {
                        metric: (np.tile([0.0, 2.0], NUM_PLAYLISTS // 2) * mean + 0.02 * number).tolist()
                        for metric in METRICS
                    }
                    for part, mean in (("validation", validation), ("test", test))
                }
                is_variant = system.is_variant
                steps = 600 if is_variant else None
                runs.append(StudyRun(system.name, seed, 1.5, steps, steps, steps, 7 if is_variant else None, figures))
        return runs

    return make


@pytest.fixture
def read(cases, config):
    """Give ``read(runs)``: the figures on the validation and on the test part."""

    def read(runs):
        figures = tabulate_figures(runs, cases)
        return [tables.StudyFigures.read(figures, cases[part], config) for part in ("validation", "test")]

    return read


def test_the_variant_is_chosen_on_the_validation_part(make_runs, read):
    runs = make_runs({"softmax, mask, positions": (0.2, 0.1), BEST: (0.1, 0.3), "skip_gram": (0.9, 0.9)})
    assert tables.choose_variant(read(runs)[0]).name == "softmax, mask, positions"


def test_of_equal_variants_the_first_is_chosen(make_runs, read):
    assert tables.choose_variant(read(make_runs({}))[0]).name == "softmax, mask, positions"


def test_the_first_table_by_hand(make_runs, read, config):
    validation, test = read(make_runs({BEST: 0.3, "popularity": 0.05}))
    table = tables.tabulate_overall(test, tables.choose_variant(validation), config)
    assert table["system"].unique().tolist() == [system.name for system in list_systems(config)]
    assert table["metric"].tolist() == list(METRICS) * 6
    best = table[table["system"] == BEST].iloc[0]
    assert best[["loss", "causal", "positions", "chosen", "seeds", "playlists"]].tolist() == [
        "softmax", False, True, True, 2, NUM_PLAYLISTS
    ]  # fmt: skip
    # The mean of two seeds: 0.3 and 0.32; of the baseline 0.1 and 0.12.
    assert best["mean"] == pytest.approx(0.31)
    assert best["seed_std"] == pytest.approx(0.02 / np.sqrt(2))
    assert best["difference"] == pytest.approx(0.2)
    assert best["ratio"] == pytest.approx(0.31 / 0.11)
    assert best["low"] < best["mean"] < best["high"]
    popularity = table[table["system"] == "popularity"].iloc[0]
    assert (popularity["seeds"], popularity["mean"], popularity["chosen"]) == (1, pytest.approx(0.05), False)
    assert np.isnan(popularity["seed_std"])
    assert table["chosen"].sum() == len(METRICS)


def test_the_baseline_differs_from_itself_by_nothing(make_runs, read, config):
    validation, test = read(make_runs({}))
    table = tables.tabulate_overall(test, tables.choose_variant(validation), config)
    own = table[table["system"] == "skip_gram"]
    assert (own[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    assert (own[["ratio", "ratio_low", "ratio_high"]] == 1).all(axis=None)


def test_differences_are_paired(make_runs, read, config):
    """The systems' figures rise and fall together, so that their difference is sure although neither mean is."""
    _, test = read(make_runs({BEST: 0.11}))
    table = tables.tabulate_overall(test, list_systems(config)[0], config).set_index("system")
    best = table.loc[BEST].iloc[0]
    assert best["difference_low"] > 0
    assert best["low"] < table.loc["skip_gram"].iloc[0]["high"]


def test_histories_fall_into_cohorts_by_their_length(make_runs, read, config):
    validation, test = read(make_runs({}))
    table = tables.tabulate_by_history(test, tables.choose_variant(validation), config)
    sizes = table.groupby("history", sort=False)["playlists"].agg(["min", "max"])
    assert sizes["min"].to_dict() == sizes["max"].to_dict() == {"(0,50]": 10, "(50,100]": 20, ">150": 10}
    assert len(table) == 3 * 6 * len(METRICS)


def test_report_names_choice_budget_and_gain(make_runs, read, config):
    runs = make_runs({BEST: 0.3})
    report = tables.report_study(tabulate_runs(runs, config), *read(runs), config)
    assert report["chosen"] == {"system": BEST, "loss": "softmax", "causal": False, "positions": True}
    assert report["validation_f1@10"][BEST] == pytest.approx(0.31)
    assert set(report["validation_f1@10"]) == {system.name for system in list_systems(config)[:4]}
    gain = report["against_item_item"]["f1@10"]
    assert (gain["mean"], gain["baseline"], gain["ratio"]) == pytest.approx((0.31, 0.11, 0.31 / 0.11))
    budget = report["budget"]
    assert (budget["steps"], budget["parameters"], budget["is_equal"]) == ([600], [7], True)
    assert budget["out_of_time"] == []
    assert report["seconds"][BEST] == [1.5, 1.5]
    assert report["playlists"] == {"validation": NUM_PLAYLISTS, "test": NUM_PLAYLISTS}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_report_names_trainings_whose_time_ran_out(make_runs, read, config):
    runs = make_runs({})
    table = tabulate_runs(runs, config)
    table.loc[1, "steps"] = 599
    budget = tables.report_study(table, *read(runs), config)["budget"]
    assert budget["out_of_time"] == [{"system": "softmax, mask, positions", "seed": 2, "steps": 599}]
    assert (budget["steps"], budget["is_equal"]) == ([599, 600], False)


def test_report_reads_runs_from_a_file(make_runs, read, config, tmp_path):
    runs = make_runs({BEST: 0.3})
    table = tabulate_runs(runs, config)
    table.to_csv(tmp_path / "runs.csv", index=False)
    figures = read(runs)
    assert tables.report_study(pd.read_csv(tmp_path / "runs.csv"), *figures, config) == tables.report_study(
        table, *figures, config
    )


def test_claims_agree_where_the_figures_are_the_papers(make_runs, read, config):
    others = dict.fromkeys((f"softmax, {variant}" for variant in ("mask, positions", "no mask, no positions")), 0.05)
    claims = tables.check_claims(*read(make_runs({BEST: 0.1316, "skip_gram": 0.1, **others})), config)
    assert [claim["agrees"] for claim in claims] == [True] * 8
    assert claims[3]["paper"] == pytest.approx(1.281, abs=1e-3)
    assert claims[3]["measured"] == pytest.approx(0.1416 / 0.11)


def test_claims_that_do_not_hold_are_said_with_the_measured_figures(make_runs, read, config):
    runs = make_runs({"softmax, mask, positions": 0.3})
    report = tables.report_study(tabulate_runs(runs, config), *read(runs), config)
    assert report["differs"][:2] == [
        "the best variant on the validation part is 'softmax, mask, positions'; in the paper, no mask with positions",
        "softmax: no mask instead of the mask changes f1@10 on the test part by -0.2000 "
        f"[{report['paper'][1]['low']:+.4f}, {report['paper'][1]['high']:+.4f}]; in the paper it raises it",
    ]
    unchanged = "softmax: positions instead of none changes f1@10 on the test part by +0.0000 [+0.0000, +0.0000]"
    assert report["differs"][2].startswith(unchanged)
    assert [claim["agrees"] for claim in report["paper"]] == [False] * 7 + [True]


def test_a_ratio_to_nothing_is_none(make_runs, read, config):
    runs = make_runs({})
    for run in runs:
        if run.system == "skip_gram":
            run.figures["test"].update({metric: [0.0] * NUM_PLAYLISTS for metric in METRICS})
    report = tables.report_study(tabulate_runs(runs, config), *read(runs), config)
    gain = report["against_item_item"]["f1@10"]
    assert (gain["ratio"], gain["ratio_low"], gain["ratio_high"]) == (None, None, None)
    assert any("over the item-item baseline's is not defined" in words for words in report["differs"])


def test_figures_of_other_playlists_are_refused(make_runs, cases, config):
    figures = tabulate_figures(make_runs({}), cases)
    assert figures.schema == FIGURES_SCHEMA
    with pytest.raises(ValueError, match="mask, positions, seed 1: the figures are not those of the test part"):
        tables.StudyFigures.read(figures.slice(0, figures.num_rows // 2).slice(60), cases["test"], config)
