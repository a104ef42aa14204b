import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx
from recipes import make_study_config

from playlist_pipeline.config import BaselinesConfig
from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.evaluation.baselines import Popularity, TrainingPlaylists
from playlist_pipeline.evaluation.study import runs as study
from playlist_pipeline.evaluation.study.cases import build_study_cases
from playlist_pipeline.training.loop import TrainingInterrupted

VARIANTS = ["mask, positions", "mask, no positions", "no mask, positions", "no mask, no positions"]


def _pack(*playlists):
    offsets = np.cumsum([0, *map(len, playlists)])
    return PackedSequences(
        tokens=np.concatenate(playlists).astype(np.int32),
        offsets=offsets.astype(np.int64),
        playlist_ids=np.arange(len(playlists), dtype=np.int32),
    )


@pytest.fixture
def data(make_tables, vocabulary):
    tables = make_tables([list(range(7)), list(range(3, 12))], ["validation", "test"])
    cases, _ = build_study_cases(*tables, vocabulary, make_study_config())
    training = TrainingPlaylists(_pack([3, 4, 5], [3, 4, 6]), vocabulary)
    return study.StudyData(training, _pack([3, 5]), None, cases["study"])


@pytest.fixture
def config():
    return make_study_config(seeds=[1, 2], losses=["softmax"], references=["popularity"], max_minutes=1.0)


@pytest.fixture
def baselines():
    """Settings of popularity, which has none, and of skip-gram, whose maker is replaced by popularity's."""
    return BaselinesConfig.__new__(BaselinesConfig)


@pytest.fixture(scope="module")
def network():
    """Nine parameters."""
    return nnx.Linear(2, 3, rngs=nnx.Rngs(0))


@pytest.fixture
def call(data, config, baselines, vocabulary, network, tmp_path, monkeypatch):
    """Give ``call(**changes)``: run the study with trainings that only note their recipe; returns runs and notes."""

    def call(*, steps=125, error=None, data=data, **changes):
        trained = []

        def train_model(training, validation, words, *, model_config, train_config, should_end, checkpoints, **rest):
            trained.append((model_config, train_config, should_end()))
            checkpoints.root.mkdir(parents=True)
            if error is not None and len(trained) == error:
                raise TrainingInterrupted("stopped")
            return SimpleNamespace(summary={"steps": steps}, model=SimpleNamespace(model=network))

        monkeypatch.setattr(study, "train_model", train_model)
        monkeypatch.setitem(study.MAKERS, "skip_gram", lambda data, settings, seed: Popularity(vocabulary))
        monkeypatch.setattr(BaselinesConfig, "settings_of", lambda self, system: make_study_config())
        store = study.StudyStore(tmp_path / "runs")
        arguments = (data, dataclasses.replace(config, **changes), baselines)
        try:
            runs = study.run_study(*arguments, store=store, make_ranker=lambda model: Popularity(vocabulary))
        except TrainingInterrupted as interruption:
            runs = interruption
        assert not store.scratch.exists()
        return runs, trained

    return call


def test_every_variant_runs_with_every_seed_and_what_is_not_random_once(call):
    runs, trained = call()
    names = [f"softmax, {variant}" for variant in VARIANTS]
    expected = [(name, seed) for name in [*names, "skip_gram"] for seed in (1, 2)]
    assert [(run.system, run.seed) for run in runs] == [*expected, ("popularity", 1)]
    switches = [(True, True), (True, False), (False, True), (False, False)]
    assert [(model.causal, model.positions, train.seed) for model, train, _ in trained] == [
        (*pair, seed) for pair in switches for seed in (1, 2)
    ]


def test_variants_differ_in_their_switches_alone(call):
    _, trained = call()
    models = {dataclasses.replace(model, causal=True, positions=True) for model, _, _ in trained}
    recipes = {dataclasses.replace(train, seed=0) for _, train, _ in trained}
    assert (len(models), len(recipes)) == (1, 1)
    assert not any(is_late for *_, is_late in trained)


def test_losses_differ_in_their_own_fields_alone():
    config = make_study_config()
    recipes = [config.make_train_config(loss, seed=0).to_dict() for loss in config.losses]
    differing = {name for name in recipes[0] if recipes[0][name] != recipes[1][name]}
    assert differing <= {"loss", "gbce_beta", "gbce_calibration", "gbce_shift"}


def test_figures_are_f1_by_hand(call):
    # Popularity ranks tracks 0, 1, 2, ...; tracks 0 and 1 are given on the validation part, 3 to 6 on the test part.
    runs, _ = call()
    figures = runs[-1].figures
    # Validation: the truth is tracks 2 to 6, all of them among the first ten of those not given.
    assert figures["validation"]["f1@10"] == [2 * 5 / (10 + 5)]
    # Test: the list is 0, 1, 2, 7, 8, 9, 10, 11, ...; the truth is 7 to 11.
    assert figures["test"]["f1@10"] == [2 * 5 / (10 + 5)]
    assert figures["test"]["f1@50"] == [2 * 5 / (50 + 5)]
    assert set(figures["test"]) == {"f1@10", "f1@50", "f1@100", "f1@200"}


def test_a_finished_run_is_not_repeated(call):
    first, _ = call()
    again, trained = call()
    assert again == first
    assert trained == []


def test_what_was_finished_before_an_interruption_is_kept(call):
    stopped, _ = call(error=4)
    assert isinstance(stopped, TrainingInterrupted)
    assert "trained softmax, mask, no positions, seed 2; what it finished is kept" in str(stopped)
    runs, trained = call()
    assert len(runs) == 11
    model, train, _ = trained[0]
    assert (model.causal, model.positions, train.seed) == (True, False, 2)
    assert len(trained) == 5


def test_a_damaged_result_is_made_again(call, tmp_path):
    first, _ = call()
    path = sorted((tmp_path / "runs").glob("*.json"))[0]
    path.write_text(path.read_text()[:-9])
    again, _ = call()
    assert [dataclasses.replace(run, seconds=0) for run in again] == [
        dataclasses.replace(run, seconds=0) for run in first
    ]


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"train": {"max_steps": 7}}, 8),
        ({"model": {"num_layers": 1}}, 8),
        ({"max_minutes": 2.0}, 8),
        ({"seeds": (1, 3)}, 4),
        ({"references": ()}, 0),
        ({"confidence": 0.9, "bootstrap_samples": 7}, 0),
    ],
)
def test_what_a_changed_recipe_touches_runs_again_and_nothing_else(call, config, changes, count):
    call()
    merged = {
        name: getattr(config, name) | value if isinstance(value, dict) else value for name, value in changes.items()
    }
    _, trained = call(**merged)
    assert len(trained) == count


def test_other_data_runs_again(call, data, vocabulary):
    call()
    other = dataclasses.replace(data, training=TrainingPlaylists(_pack([3, 4, 5], [3, 4, 7]), vocabulary))
    assert len(call(data=other)[1]) == 8
    shorter = dataclasses.replace(data, cases={"validation": data.cases["test"], "test": data.cases["validation"]})
    assert len(call(data=shorter)[1]) == 8


def test_a_training_without_time_ends_and_is_told(call, caplog):
    runs, trained = call(max_minutes=1e-9, steps=5)
    assert all(is_late for *_, is_late in trained)
    assert (runs[0].steps, runs[0].planned_steps, runs[0].playlists_seen) == (5, 125, 80)
    assert "softmax, mask, positions, seed 1: the time ran out after 5 of 125 steps" in caplog.text


def test_tables_of_runs(call, config, data):
    runs, _ = call()
    table = study.tabulate_runs(runs, config)
    assert table["system"].tolist() == [run.system for run in runs]
    assert table.loc[0, ["loss", "causal", "positions", "steps", "parameters"]].tolist() == [
        "softmax", True, True, 125, 2 * 3 + 3
    ]  # fmt: skip
    assert table["test_f1@10"].iloc[-1] == pytest.approx(2 / 3)
    figures = study.tabulate_figures(runs, data.cases)
    assert figures.num_rows == 2 * len(runs)
    assert figures.slice(0, 2).to_pylist() == [
        {"system": "softmax, mask, positions", "seed": 1, "part": part, "playlist_id": number}
        | {metric: runs[0].figures[part][metric][0] for metric in study.METRICS}
        for number, part in enumerate(("validation", "test"))
    ]
