"""The baselines pipeline as Kedro runs it, on a tiny archive."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.tuning import TrialStore
from playlist_pipeline.manifest import RunManifest

SYSTEMS = ["popularity", "title_knn", "item_knn", "playlist_knn", "als"]
QUICK = {
    "baselines": {"als": {"factors": 4, "iterations": 2}},
    "tuning": {"systems": SYSTEMS, "num_trials": 3},
}
NODES = ["tune_baselines_node", "plot_tuning_node", "rank_baselines_node"]


@pytest.fixture(scope="module")
def tuned_workspace(finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path_factory) -> Path:
    workspace = Path(shutil.copytree(finished_workspace, tmp_path_factory.mktemp("tuned") / "workspace"))
    run_pipeline(workspace, tiny_archive, "baselines", **QUICK)
    return workspace


def test_the_pipeline_leaves_trials_a_report_and_lists(tuned_workspace: Path) -> None:
    reports = tuned_workspace / "08_reporting"
    trials = pd.read_csv(reports / "tuning_trials.csv")
    assert trials["system"].value_counts().to_dict() == dict.fromkeys(SYSTEMS, 3) | {"popularity": 1}
    assert trials[["first_k 1", "first_k 5", "mean"]].to_numpy().min() > 0
    report = json.loads((reports / "tuning_report.json").read_text())
    assert list(report["systems"]) == SYSTEMS
    assert (report["metric"], report["num_trials"]) == ("ndcg@500", 3)
    for system, found in report["systems"].items():
        of_system = trials[trials["system"] == system]
        assert found["mean"] == pytest.approx(of_system["mean"].max())
        assert found["settings"] == json.loads(of_system["settings"][of_system["mean"].idxmax()])
    lists = pq.read_table(tuned_workspace / "07_model_output" / "baseline_recommendations.parquet")
    served = pq.read_table(tuned_workspace / "07_model_output" / "recommendations.parquet")
    assert lists.schema == served.schema
    assert lists["system"].unique().to_pylist() == SYSTEMS
    same = [table.filter(pc.field("system") == "popularity") for table in (lists, served)]
    assert same[0].equals(same[1])
    artifacts = RunManifest(reports / "run_manifest.json").artifacts
    assert {"validation_cases", "tuning_trials", "tuning_report", "tuning_plot", "baseline_recommendations"} <= set(
        artifacts
    )


def test_what_is_current_is_not_made_again(tuned_workspace: Path, tiny_archive: Path, run_pipeline) -> None:
    assert run_pipeline(tuned_workspace, tiny_archive, "baselines", only_missing_outputs=True, **QUICK) == []


def test_the_report_shows_the_tuning_where_it_was_made(
    tuned_workspace: Path, finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path
) -> None:
    workspace = Path(shutil.copytree(tuned_workspace, tmp_path / "workspace"))
    run_pipeline(workspace, tiny_archive, "report", allow_stale=True, **QUICK)
    pages = [(folder / "08_reporting" / "report.html").read_text("utf-8") for folder in (workspace, finished_workspace)]
    best = json.loads((workspace / "08_reporting" / "tuning_report.json").read_text())["systems"]["als"]["mean"]
    assert ['id="tuning"' in page for page in pages] == [True, False]
    assert f"<td>{best:.3f}</td>" in pages[0]
    assert "Tuning on the validation part: each trial, and the best so far" in pages[0]


def test_more_trials_repeat_none(
    tuned_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path, monkeypatch
) -> None:
    workspace = Path(shutil.copytree(tuned_workspace, tmp_path / "workspace"))
    saved = []
    real = TrialStore.save
    monkeypatch.setattr(TrialStore, "save", lambda store, key, trial: saved.append(key) or real(store, key, trial))
    more = QUICK | {"tuning": {"systems": SYSTEMS, "num_trials": 4}}
    nodes = run_pipeline(workspace, tiny_archive, "baselines", only_missing_outputs=True, **more)
    assert nodes == NODES
    assert len(saved) == 4  # one more for each system but popularity


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        (
            {"tuning": {"search_space": {"bpr": {"factor": [8]}}}},
            "parameter tuning.search_space.bpr.factor is unknown: known are factors, ",
        ),
        ({"tuning": {"search_space": {"magic": {"x": [8]}}}}, "parameter tuning.search_space.magic is unknown: known"),
        (
            {"tuning": {"search_space": {"als": {"alpha": [0.0, 1.0]}}}},
            "parameter tuning.search_space.als.alpha = (0.0, 1.0) is not allowed: "
            "parameter baselines.als.alpha = 0.0 is not allowed: give a positive number",
        ),
        (
            {"tuning": {"search_space": {"als": {"factors": [8, 8]}}}},
            "parameter tuning.search_space.als.factors = (8, 8) is not allowed: give different values",
        ),
    ],
)
def test_a_search_space_that_no_system_has_is_refused(
    tuned_workspace: Path, tiny_archive: Path, run_pipeline, parameters, line
) -> None:
    with pytest.raises(UserError) as error:
        run_pipeline(tuned_workspace, tiny_archive, "baselines", **parameters)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    ("pipeline", "parameters", "line"),
    [
        (
            "evaluate",
            {"evaluate": {"baselines": ["skip_gram"]}},
            "parameter evaluate.baselines names skip_gram, which needs",
        ),
        ("baselines", {}, "parameter tuning.systems names skip_gram, which needs the package gensim: install"),
    ],
)
def test_a_missing_package_is_refused_before_anything_runs(
    tuned_workspace: Path, tiny_archive: Path, run_pipeline, monkeypatch, pipeline, parameters, line
) -> None:
    monkeypatch.setattr("playlist_pipeline.hooks.find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        run_pipeline(tuned_workspace, tiny_archive, pipeline, **parameters)
    assert str(error.value).startswith(line)


def test_data_pipelines_need_no_package_of_the_baselines(
    tuned_workspace: Path, tiny_archive: Path, run_pipeline, monkeypatch
) -> None:
    monkeypatch.setattr("playlist_pipeline.hooks.find_spec", lambda name: None)
    assert run_pipeline(tuned_workspace, tiny_archive, "split", only_missing_outputs=True) == []
