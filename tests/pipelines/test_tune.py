"""The tune pipeline as Kedro runs it, on a tiny archive."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.tuning import TrialStore
from playlist_pipeline.generation.reranking.fitting import fit_reranker
from playlist_pipeline.training.loop import TrainingInterrupted, train_model

QUICK = {
    "tuning": {"num_trials": 2},
    "rerank": {"num_folds": 2, "num_cuts": 1, "num_epochs": 1, "num_candidates": 50, "hidden_dim": 2},
    "train": {"learning_rate": 0.001, "embedding_init": "als"},
}
NODES = ["build_validation_cases_node", "tune_model_node", "plot_model_tuning_node"]


@pytest.fixture(scope="module")
def tuned_workspace(finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path_factory) -> Path:
    """Give a workspace after a search whose trials share one training of each stage: compiling takes seconds."""
    workspace = Path(shutil.copytree(finished_workspace, tmp_path_factory.mktemp("tuned") / "workspace"))
    with pytest.MonkeyPatch.context() as patch:
        for function in (train_model, fit_reranker):
            cached = make_cached(function)
            patch.setattr(f"playlist_pipeline.generation.tuning.{function.__name__}", cached)
        assert run_pipeline(workspace, tiny_archive, "tune", **QUICK) == NODES
    return workspace


def make_cached(function):
    results = []

    def call(*arguments, **settings):
        results.extend([] if results else [function(*arguments, **settings)])
        return results[0]

    return call


def test_each_trial_is_a_setting_of_both_stages(tuned_workspace: Path) -> None:
    reports = tuned_workspace / "08_reporting"
    trials = pd.read_csv(reports / "model_tuning_trials.csv")
    first, second = (json.loads(text) for text in trials["settings"])
    assert trials["system"].tolist() == ["model", "model"]
    assert (first["train.learning_rate"], first["rerank.hidden_dim"]) == (0.001, 2)
    report = json.loads((reports / "model_tuning_report.json").read_text())
    found = report["systems"]["model"]
    assert [name for name in first if first[name] != second[name]] == [next(iter(found["search_space"]))]
    assert trials[["first_k 1", "mean"]].to_numpy().min() > 0
    assert (report["metric"], found["trials"], found["settled"]) == ("ndcg@500", 2, False)
    assert found["mean"] == pytest.approx(trials["mean"].max())
    assert found["settings"] == first
    assert len(json.loads((reports / "model_tuning_plot.json").read_text())["data"]) == 2


def test_finished_trials_are_not_repeated(tuned_workspace: Path, tiny_archive: Path, run_pipeline, monkeypatch) -> None:
    monkeypatch.setattr(TrialStore, "save", lambda *_: pytest.fail("a trial was repeated"))
    assert run_pipeline(tuned_workspace, tiny_archive, "tune", **QUICK) == NODES


def test_the_report_shows_the_search(tuned_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path) -> None:
    workspace = Path(shutil.copytree(tuned_workspace, tmp_path / "workspace"))
    run_pipeline(workspace, tiny_archive, "report", allow_stale=True, **QUICK)
    page = (workspace / "08_reporting" / "report.html").read_text("utf-8")
    found = json.loads((workspace / "08_reporting" / "model_tuning_report.json").read_text())["systems"]["model"]
    searched = ", ".join(f"{name} {found['settings'][name]}" for name in found["search_space"])
    assert f">{searched}</td>" in page
    assert f"<td>{found['mean']:.3f}</td>" in page


def test_an_interrupted_search_says_how_to_go_on(
    tuned_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path, monkeypatch
) -> None:
    def stop(*_, **__):
        raise TrainingInterrupted("stopped, and a checkpoint saved")

    monkeypatch.setattr("playlist_pipeline.generation.tuning.train_model", stop)
    workspace = Path(shutil.copytree(tuned_workspace, tmp_path / "workspace"))
    more = QUICK | {"tuning": QUICK["tuning"] | {"num_trials": 3}}
    with pytest.raises(TrainingInterrupted, match="finished trials are kept: run the same command again to go on"):
        run_pipeline(workspace, tiny_archive, "tune", **more)


@pytest.mark.parametrize(
    ("space", "line"),
    [
        (
            {"learning_rate": [0.1]},
            "parameter tuning.search_space.model.learning_rate is unknown: known are model.size, ",
        ),
        (
            {"model.num_heads": [3]},
            "parameter tuning.search_space.model.model.num_heads = (3,) is not allowed: parameter model.num_heads = 3 ",
        ),
    ],
)
def test_a_search_space_that_the_model_has_not_is_refused(
    tuned_workspace: Path, tiny_archive: Path, run_pipeline, space, line
) -> None:
    with pytest.raises(UserError) as error:
        run_pipeline(tuned_workspace, tiny_archive, "tune", tuning={"search_space": {"model": space}})
    assert str(error.value).startswith(line)
