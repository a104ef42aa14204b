"""The rerank pipeline as Kedro runs it, on a tiny archive."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.generation import Recommender
from playlist_pipeline.manifest import RunManifest


def test_the_whole_way_leaves_a_second_stage_that_ranks(finished_workspace: Path) -> None:
    history = pd.read_csv(finished_workspace / "08_reporting" / "reranking_history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert history["loss"].gt(0).all()
    recommender = Recommender.load(finished_workspace)
    assert recommender.reranker is not None
    assert len(recommender.recommend(k=5, name="Playlist 3")) == 5
    artifacts = RunManifest(finished_workspace / "08_reporting" / "run_manifest.json").artifacts
    assert {"reranker", "reranking_history"} <= set(artifacts)


def test_without_a_second_stage_the_model_is_the_transformer(
    finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path
) -> None:
    workspace = Path(shutil.copytree(finished_workspace, tmp_path / "workspace"))
    before = json.loads((workspace / "08_reporting" / "metrics.json").read_text())["ranking"]["first_k"]
    nodes = run_pipeline(
        workspace, tiny_archive, "rerank", "evaluate", "report", only_missing_outputs=True, rerank={"num_folds": 0}
    )
    assert {"fit_reranker_node", "rank_tracks_node", "build_report_page_node"} <= set(nodes)
    assert pd.read_csv(workspace / "08_reporting" / "reranking_history.csv").empty
    after = json.loads((workspace / "08_reporting" / "metrics.json").read_text())["ranking"]["first_k"]
    assert set(after) == set(before) - {"transformer"}
    assert after["model"] == before["transformer"]
    assert "transformer alone" not in (workspace / "08_reporting" / "report.html").read_text("utf-8")


def test_the_same_run_gives_the_same_bytes(
    finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path
) -> None:
    workspace = Path(shutil.copytree(finished_workspace, tmp_path / "workspace"))
    assert run_pipeline(workspace, tiny_archive, "rerank") == ["fit_reranker_node"]
    for path in (finished_workspace / "06_models" / "reranker").iterdir():
        assert (workspace / "06_models" / "reranker" / path.name).read_bytes() == path.read_bytes()


def test_a_transformer_of_random_vectors_has_no_second_stage(
    finished_workspace: Path, tiny_archive: Path, run_pipeline, tmp_path
) -> None:
    workspace = Path(shutil.copytree(finished_workspace, tmp_path / "workspace"))
    with pytest.raises(UserError, match=r"give 0, or another train\.embedding_init than normal"):
        run_pipeline(workspace, tiny_archive, "rerank", train={"embedding_init": "normal"})
