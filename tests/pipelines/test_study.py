"""The study pipeline as Kedro runs it, on a tiny archive."""

import html
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.study.runs import StudyStore
from playlist_pipeline.manifest import RunManifest
from playlist_pipeline.training.loop import train_model

SYSTEMS = [
    "softmax, mask, positions",
    "softmax, mask, no positions",
    "softmax, no mask, positions",
    "softmax, no mask, no positions",
    "skip_gram",
    "popularity",
]
NODES = ["build_study_cases_node", "run_study_node", "tabulate_study_node", "plot_study_node"]


@pytest.fixture(scope="module")
def quick(quick_study) -> dict:
    """Parameters of a study that takes seconds: one loss, one seed, a tiny model."""
    return {"study": quick_study, "baselines": {"skip_gram": {"vector_size": 4, "epochs": 1}}}


@pytest.fixture(scope="module")
def quick_study() -> dict:
    return {
        "seeds": [1],
        "losses": ["softmax"],
        "model": {"context_length": 40, "num_layers": 1, "num_heads": 2, "embed_dim": 8, "feedforward_dim": 16},
        "train": {"max_steps": 3, "batch_size": 4, "num_negatives": 8, "embedding_init": "cooccurrence"},
        "references": ["popularity"],
        "batch_size": 8,
        "bootstrap_samples": 50,
    }


@pytest.fixture(scope="module")
def studied_workspace(finished_workspace: Path, tiny_archive: Path, run_pipeline, quick, tmp_path_factory) -> Path:
    """Give a workspace after a study in which variants with the same mask share a training: compiling takes seconds."""
    workspace = Path(shutil.copytree(finished_workspace, tmp_path_factory.mktemp("studied") / "workspace"))
    trained = {}

    def train_once(*playlists, model_config, **arguments):
        if model_config.causal not in trained:
            trained[model_config.causal] = train_model(*playlists, model_config=model_config, **arguments)
        return trained[model_config.causal]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("playlist_pipeline.evaluation.study.runs.train_model", train_once)
        assert run_pipeline(workspace, tiny_archive, "study", **quick) == NODES
    return workspace


def test_the_pipeline_leaves_both_tables_a_report_and_a_figure(studied_workspace: Path) -> None:
    reports = studied_workspace / "08_reporting"
    overall, by_history = (pd.read_csv(reports / f"study_{name}.csv") for name in ("overall", "by_history"))
    assert overall["system"].unique().tolist() == SYSTEMS
    assert overall["metric"].unique().tolist() == ["f1@10", "f1@50", "f1@100", "f1@200"]
    assert overall["mean"].between(overall["low"], overall["high"]).all()
    assert overall["mean"].max() > 0
    assert by_history["history"].unique().tolist() == ["(0,50]"]
    # All histories are in one cohort: both tables say the same.
    pd.testing.assert_frame_equal(by_history.drop(columns="history"), overall)
    report = json.loads((reports / "study_report.json").read_text())
    assert [report["chosen"]["system"]] == overall["system"][overall["chosen"]].unique().tolist()
    assert report["budget"]["steps"] == [3]
    assert list(report["seconds"]) == SYSTEMS
    runs = pd.read_csv(reports / "study_runs.csv")
    assert runs["system"].tolist() == SYSTEMS
    assert runs[["validation_f1@10", "test_f1@10"]].to_numpy().min() > 0
    figure = json.loads((reports / "study_plot.json").read_text())
    assert len(figure["data"]) == 2 * len(SYSTEMS)
    made = {"study_cases", "study_cases_report", "study_runs", "study_figures", "study_overall", "study_plot"}
    assert made <= set(RunManifest(reports / "run_manifest.json").artifacts)


def test_the_report_shows_the_study_where_it_has_been_made(
    finished_workspace: Path, studied_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path
) -> None:
    assert 'id="study"' not in (finished_workspace / "08_reporting" / "report.html").read_text("utf-8")
    workspace = Path(shutil.copytree(studied_workspace, tmp_path / "workspace"))
    nodes = run_pipeline(workspace, tiny_archive, "report", only_missing_outputs=True)
    assert nodes == ["build_report_page_node"]
    page = (workspace / "08_reporting" / "report.html").read_text("utf-8")
    report = json.loads((workspace / "08_reporting" / "study_report.json").read_text())
    assert "<figcaption>The study: F1 on the test part</figcaption>" in page
    for words in (f"{report['chosen']['system']} (chosen)", *report["differs"]):
        assert html.escape(words, quote=False).replace("'", "&#39;") in page


def test_training_leaves_results_and_no_checkpoints(studied_workspace: Path) -> None:
    files = list((studied_workspace / "06_models" / "study_runs").iterdir())
    assert len(files) == len(SYSTEMS)
    assert {path.suffix for path in files} == {".json"}


def test_what_is_current_is_not_made_again(studied_workspace: Path, tiny_archive: Path, run_pipeline, quick) -> None:
    assert run_pipeline(studied_workspace, tiny_archive, "study", only_missing_outputs=True, **quick) == []


def test_other_intervals_train_nothing(
    studied_workspace: Path, tiny_archive: Path, run_pipeline, quick, tmp_path, monkeypatch
) -> None:
    workspace = Path(shutil.copytree(studied_workspace, tmp_path / "workspace"))
    monkeypatch.setattr(StudyStore, "save", lambda store, key, run: pytest.fail("a run was repeated"))
    wide = quick | {"study": quick["study"] | {"confidence": 0.5}, "train": {"learning_rate": 0.5}}
    nodes = run_pipeline(workspace, tiny_archive, "study", only_missing_outputs=True, **wide)
    assert nodes == NODES
    before, after = (
        pd.read_csv(place / "08_reporting" / "study_overall.csv") for place in (studied_workspace, workspace)
    )
    assert before["mean"].tolist() == after["mean"].tolist()
    assert (after["high"] - after["low"]).sum() < (before["high"] - before["low"]).sum()


def test_a_missing_package_is_refused_before_anything_runs(
    studied_workspace: Path, tiny_archive: Path, run_pipeline, quick, monkeypatch
) -> None:
    monkeypatch.setattr("playlist_pipeline.hooks.find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        run_pipeline(studied_workspace, tiny_archive, "study", **quick)
    assert str(error.value) == ("the pipeline study needs the package gensim: install playlist_pipeline[baselines]")
