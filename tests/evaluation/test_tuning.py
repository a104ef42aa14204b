import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from playlist_pipeline.config import BPRSettings, PlaylistKNNSettings, SkipGramSettings, TuningConfig
from playlist_pipeline.evaluation.plots import plot_tuning
from playlist_pipeline.evaluation.tuning import (
    Trial,
    TrialStore,
    describe_search,
    extend_grid,
    find_best,
    find_neighbours,
    fingerprint_table,
    propose_settings,
    tabulate_trials,
    tune_system,
)

START = PlaylistKNNSettings(num_neighbours=100, damping=0.25, similarity_power=1.0, length_power=0.5)
SPACE = {"num_neighbours": (50, 100, 200), "damping": (0.0, 0.25, 0.5)}


def make_config(**changes) -> TuningConfig:
    values = {
        "systems": ("playlist_knn",),
        "num_trials": 12,
        "metric": "ndcg@500",
        "seed": 0,
        "search_space": {"playlist_knn": SPACE},
    }
    return TuningConfig(**values | changes)


def run_search(tmp_path, score, *, start=START, num_trials=12, space=SPACE, seed=0):
    """Trials of a search whose score is a function of the settings."""
    return tune_system(
        "playlist_knn",
        start,
        make_config(num_trials=num_trials, search_space={"playlist_knn": space}, seed=seed),
        measure=lambda settings: dict.fromkeys(("1", "5"), score(settings)),
        store=TrialStore(tmp_path),
        context={"data": "x"},
    )


def peak_at(neighbours, damping):
    """A score with one peak."""
    return lambda settings: -abs(np.log2(settings.num_neighbours / neighbours)) - 4 * abs(settings.damping - damping)


class TestGrid:
    @pytest.mark.parametrize(
        ("grid", "higher", "lower"),
        [
            ((50, 100, 200), 400, 25),
            ((10, 15), 22, 7),  # 22.5 and 6.67, rounded
            ((0.25, 0.5), 1.0, 0.125),
            ((0.1, 0.3), 0.9, 0.0333333),
            ((0.0, 0.5), 1.0, -0.5),  # by differences
            ((-0.5, 0.0, 0.5), 1.0, -1.0),
            ((8,), 16, 4),
            ((0.3,), 0.6, 0.15),
        ],
    )
    def test_ends_go_on_geometrically(self, grid, higher, lower) -> None:
        found = extend_grid(grid, upwards=True), extend_grid(grid, upwards=False)
        assert found == (higher, lower)
        assert {type(value) for value in found} == {type(grid[0])}

    def test_neighbours_inside_at_an_end_and_at_a_limit(self) -> None:
        def values(settings, name, grid):
            return [getattr(neighbour, name) for neighbour in find_neighbours(settings, name, grid)]

        assert values(START, "num_neighbours", [50, 100, 200]) == [200, 50]
        assert values(START, "num_neighbours", [100, 200]) == [200, 50]
        assert values(START, "damping", [0.0, 0.25]) == [0.5, 0.0]  # by differences next to 0
        assert values(START, "similarity_power", [1.0]) == [2.0, 0.5]
        bounded = BPRSettings(factors=1, learning_rate=0.1, regularization=0.0, iterations=5, bias_weight=0.0)
        assert values(bounded, "factors", [1, 2]) == [2]
        assert values(bounded, "regularization", [0.0, 0.1]) == [0.1]

    def test_neighbours_of_a_name_are_all_others(self) -> None:
        settings = SkipGramSettings(
            vector_size=8,
            window=2,
            negative=1,
            ns_exponent=0.0,
            min_count=1,
            learning_rate=0.1,
            epochs=1,
            similarity="dot",
        )
        found = find_neighbours(settings, "similarity", ["cosine", "dot", "in_out"])
        assert [neighbour.similarity for neighbour in found] == ["cosine", "in_out"]


class TestSearch:
    def test_begins_at_the_start_and_repeats_nothing(self, tmp_path) -> None:
        trials = run_search(tmp_path, peak_at(100, 0.25))
        assert trials[0].settings == START.to_dict()
        assert (
            len({json.dumps(trial.settings) for trial in trials}) == len(trials) == 9
        )  # the whole grid has nine points
        assert find_best(trials) is trials[0]

    @pytest.mark.parametrize("peak", [(50, 0.0), (200, 0.5), (400, 0.25), (800, 1.0), (25, 0.25)])
    def test_finds_a_peak_inside_and_beyond_the_grid(self, tmp_path, peak) -> None:
        trials = run_search(tmp_path, peak_at(*peak), num_trials=16)
        best = find_best(trials)
        assert (best.settings["num_neighbours"], best.settings["damping"]) == peak
        report = describe_search(trials, START, SPACE)
        assert report["settled"]
        assert report["at_edge"] == []
        assert report["at_limit"] == (["damping"] if peak[1] == 0 else [])

    def test_all_neighbours_come_before_random_points(self, tmp_path) -> None:
        trials = run_search(tmp_path, peak_at(100, 0.25), num_trials=6)
        changed = [
            sum(trial.settings[name] != value for name, value in START.to_dict().items()) for trial in trials[1:]
        ]
        assert changed == [1, 1, 1, 1, 2]

    def test_an_edge_is_reported_when_trials_run_out(self, tmp_path) -> None:
        trials = run_search(tmp_path, peak_at(10_000, 0.25), num_trials=6)
        report = describe_search(trials, START, SPACE)
        assert report["at_edge"] == ["num_neighbours"]
        assert not report["settled"]
        assert report["trials"] == 6
        assert report["settings"] == find_best(trials).settings
        assert report["search_space"] == {name: list(values) for name, values in SPACE.items()}
        assert report["tried"]["num_neighbours"][-1] == report["settings"]["num_neighbours"]

    def test_a_setting_that_was_not_varied_is_at_its_edge(self, tmp_path) -> None:
        report = describe_search(run_search(tmp_path, peak_at(100, 0.25), num_trials=1), START, SPACE)
        assert report["at_edge"] == ["num_neighbours", "damping"]

    def test_a_start_beside_the_grid_is_put_into_it(self, tmp_path) -> None:
        space = {"num_neighbours": (60, 240)}
        trials = run_search(tmp_path, peak_at(100, 0.25), space=space, num_trials=3)
        assert sorted(trial.settings["num_neighbours"] for trial in trials) == [60, 100, 240]
        assert describe_search(trials, START, space)["at_edge"] == []

    def test_without_a_search_space_there_is_one_trial(self, tmp_path) -> None:
        trials = run_search(tmp_path, peak_at(1, 1), space={})
        assert len(trials) == 1
        assert describe_search(trials, START, {})["at_edge"] == []

    def test_of_equal_trials_the_first_wins(self, tmp_path) -> None:
        trials = run_search(tmp_path, lambda settings: 0.5, num_trials=5)
        assert find_best(trials) is trials[0]

    def test_the_seed_decides_the_random_points(self, tmp_path) -> None:
        space = {name: tuple(float(number) for number in range(10)) for name in ("damping", "similarity_power")}
        start = PlaylistKNNSettings(num_neighbours=5, damping=5.0, similarity_power=5.0, length_power=0.0)

        def search(seed):
            trials = run_search(tmp_path / str(seed), lambda settings: 0.0, start=start, space=space, seed=seed)
            return [trial.settings for trial in trials]

        assert search(1) == search(1)
        assert search(1)[:5] == search(2)[:5]
        assert search(1) != search(2)

    def test_nothing_is_proposed_when_the_grid_is_done(self) -> None:
        values = [1.0, 2.0]
        space = {"damping": values}
        trials = [
            Trial(START.to_dict() | {"damping": value}, {"1": -value}, 0.1) for value in (1.0, 2.0, 0.5, 0.25, 0.125)
        ]
        proposed = propose_settings(trials, START, space, seed=0)
        assert proposed is not None  # 0.125 is the best so far, and has a lower neighbour
        assert proposed.damping == 0.0625
        space = {"similarity": ("dot", "cosine")}
        start = SkipGramSettings(
            vector_size=8,
            window=2,
            negative=1,
            ns_exponent=0.0,
            min_count=1,
            learning_rate=0.1,
            epochs=1,
            similarity="dot",
        )
        both = [Trial(start.to_dict() | {"similarity": name}, {"1": 0.0}, 0.1) for name in space["similarity"]]
        assert propose_settings(both, start, space, seed=0) is None


class TestStore:
    def test_finished_trials_are_not_repeated(self, tmp_path) -> None:
        first = run_search(tmp_path, peak_at(200, 0.5), num_trials=5)

        def refuse(settings):
            raise AssertionError("measured again")

        assert run_search(tmp_path, refuse, num_trials=5) == first
        assert run_search(tmp_path, peak_at(200, 0.5), num_trials=7)[:5] == first

    def test_a_search_that_was_interrupted_goes_on(self, tmp_path) -> None:
        calls = []

        def interrupted(settings):
            calls.append(settings)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return peak_at(200, 0.5)(settings)

        with pytest.raises(KeyboardInterrupt):
            run_search(tmp_path / "a", interrupted)
        again = []

        def counted(settings):
            again.append(settings)
            return peak_at(200, 0.5)(settings)

        resumed = run_search(tmp_path / "a", counted)
        undisturbed = run_search(tmp_path / "b", peak_at(200, 0.5))
        assert [trial.settings for trial in resumed] == [trial.settings for trial in undisturbed]
        assert len({str(settings) for settings in again} & {str(settings) for settings in calls[:3]}) == 0

    def test_other_data_or_settings_are_other_trials(self, tmp_path) -> None:
        store, measured = TrialStore(tmp_path), []

        def measure(settings):
            measured.append(settings)
            return {"1": 0.0}

        config = make_config(num_trials=1)
        for context in ({"data": "x"}, {"data": "y"}, {"data": "x"}):
            tune_system("playlist_knn", START, config, measure=measure, store=store, context=context)
        tune_system("item_knn", START, config, measure=measure, store=store, context={"data": "x"})
        assert len(measured) == 3

    def test_a_damaged_file_counts_as_missing(self, tmp_path) -> None:
        store = TrialStore(tmp_path)
        assert store.load("k") is None
        trial = Trial({"a": 1, "b": "x"}, {"1": 0.25, "5": 0.75}, 1.5)
        store.save("k", trial)
        assert store.load("k") == trial
        assert trial.mean == 0.5
        assert [path.name for path in tmp_path.iterdir()] == ["k.json"]
        (tmp_path / "k.json").write_text('{"settings": {', encoding="utf-8")
        assert store.load("k") is None


def test_trials_as_a_table_and_a_figure() -> None:
    trials = {
        "als": [Trial({"factors": 8}, {"1": 0.1, "5": 0.3}, 2.0), Trial({"factors": 4}, {"1": 0.1, "5": 0.1}, 1.0)],
        "popularity": [Trial({}, {"1": 0.0, "5": 0.1}, 0.5)],
    }
    table = tabulate_trials(trials)
    assert table.columns.tolist() == ["system", "trial", "settings", "1", "5", "mean", "seconds"]
    assert table["system"].tolist() == ["als", "als", "popularity"]
    assert table["trial"].tolist() == [1, 2, 1]
    assert table["mean"].tolist() == pytest.approx([0.2, 0.1, 0.05])
    assert json.loads(table["settings"][0]) == {"factors": 8}
    points, best, *other = plot_tuning(table).data
    assert points.y == pytest.approx((0.2, 0.1))
    assert best.y == pytest.approx((0.2, 0.2))
    assert [trace.name for trace in other] == ["popularity", "popularity"]
    assert plot_tuning(pd.DataFrame(table[:0])).data == ()


def test_a_tables_fingerprint_is_that_of_its_content() -> None:
    table = pa.table({"a": [[1, 2], [3]], "b": ["x", None]})
    parts = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert fingerprint_table(parts) == fingerprint_table(table)
    assert fingerprint_table(table) != fingerprint_table(pa.table({"a": [[1], [2, 3]], "b": ["x", None]}))
