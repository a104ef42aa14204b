"""The challenge pipeline with a model of random weights, and the verification of what it and others write."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from flax import nnx
from kedro.io import DatasetError
from recipes import make_model_config

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.fingerprint import digest_of, size_of
from playlist_pipeline.generation.reranking.first_stage import Artists
from playlist_pipeline.generation.reranking.reranker import RerankerState, save_reranker
from playlist_pipeline.manifest import RunManifest
from playlist_pipeline.model import LoadedModel, Transformer, save_model
from playlist_pipeline.mpd import Submission, SubmissionError, find_faults, read_challenge_set, write_submission

NUM_TRACKS = 550  # of the model; those of the tiny archive are the first 60


@pytest.fixture(scope="module")
def challenge_set(tmp_path_factory, make_playlists, make_challenge_set) -> Path:
    """Give a challenge set of 12 playlists of 8 tracks or more; a seed of one is unknown to the model."""
    content = make_challenge_set(make_playlists(12, seed=1))
    content["playlists"][4]["tracks"][0]["track_uri"] = "spotify:track:" + "x" * 22
    path = tmp_path_factory.mktemp("challenge") / "challenge_set.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.fixture(scope="module")
def answered(finished_workspace, tmp_path_factory, tiny_archive, challenge_set, run_pipeline) -> Path:
    """Give a workspace in which the challenge pipeline ran once; copy it before changing it."""
    workspace = Path(shutil.copytree(finished_workspace, tmp_path_factory.mktemp("answered") / "workspace"))
    uris = [*SPECIALS, *(f"spotify:track:{number:022d}" for number in range(NUM_TRACKS))]
    counts = np.array([0] * len(SPECIALS) + [1] * NUM_TRACKS)
    config = make_model_config(context_length=8, num_layers=1, num_heads=1, embed_dim=4, feedforward_dim=4)
    model = Transformer(config, vocabulary_size=len(uris), rngs=nnx.Rngs(0))
    vocabulary = Vocabulary(pa.array(uris), counts)
    save_model(workspace / "06_models" / "model", LoadedModel(model, config, vocabulary, {}))
    nothing = PackedSequences(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int32))
    artists = Artists(np.zeros(len(uris), np.int32), [""])
    one_stage = RerankerState(None, nothing, [], artists, num_candidates=1, vocabulary=vocabulary.fingerprint)
    save_reranker(workspace / "06_models" / "reranker", one_stage)
    manifest = RunManifest(workspace / "08_reporting" / "run_manifest.json")
    for name in ("model", "reranker"):  # as if the run had made them
        path = workspace / "06_models" / name
        line = manifest.artifacts[name]
        manifest.artifacts[name] = replace(line, bytes=size_of(path), digest=digest_of(path))
    manifest.save()
    run_pipeline(workspace, tiny_archive, "challenge", challenge_set=str(challenge_set))
    return workspace


@pytest.fixture
def workspace(answered, tmp_path) -> Path:
    return Path(shutil.copytree(answered, tmp_path / "workspace"))


def read_lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def test_the_submission_keeps_the_rules_and_is_reported(answered, challenge_set) -> None:
    path = answered / "07_model_output" / "submission.csv.gz"
    assert find_faults(path, read_challenge_set(challenge_set)) == []
    team, *lines = read_lines(path)
    assert team == "team_info,playlist_pipeline,main,team@example.org"
    assert [int(line.split(",")[0]) for line in lines] == list(range(1_000_000, 1_000_012))
    report = json.loads((answered / "08_reporting" / "submission_report.json").read_text())
    assert len(report.pop("rules_kept")) == 10
    by_seeds = report.pop("playlists_by_seeds")
    assert (by_seeds["0"], by_seeds["1"], by_seeds["5"]) == (2, 2, 2)
    assert sum(by_seeds.values()) == report["playlists"] == 12
    assert report["seeds"] == sum(int(number) * count for number, count in by_seeds.items())
    assert report["playlists_with_title"] == 10
    assert (report["unknown_seeds"], report["filled_lists"], report["filled_tracks"]) == (1, 0, 0)
    assert {"challenge_rankings", "submission", "submission_report"} <= set(
        RunManifest(answered / "08_reporting" / "run_manifest.json").artifacts
    )


def test_what_is_up_to_date_is_not_made_again(workspace, tiny_archive, challenge_set, run_pipeline) -> None:
    def run(path: Path, **parameters: dict) -> list[str]:
        return run_pipeline(
            workspace, tiny_archive, "challenge", only_missing_outputs=True, challenge_set=str(path), **parameters
        )

    before = (workspace / "07_model_output" / "submission.csv.gz").read_bytes()
    assert run(challenge_set) == []
    assert run(challenge_set, challenge={"team": "us"}) == ["build_submission_node", "check_submission_node"]
    assert read_lines(workspace / "07_model_output" / "submission.csv.gz")[0] == "team_info,us,main,team@example.org"
    other = workspace / "challenge_set.json"
    other.write_text(challenge_set.read_text() + "\n")
    assert run(other) == ["rank_challenge_node", "build_submission_node", "check_submission_node"]
    assert (workspace / "07_model_output" / "submission.csv.gz").read_bytes() == before


def test_the_submission_has_the_same_bytes_wherever_it_is_wanted(
    workspace, tmp_path, tiny_archive, challenge_set, run_pipeline
) -> None:
    places = {"challenge_set": str(challenge_set), "submission": str(tmp_path / "mine.csv.gz")}
    nodes = run_pipeline(workspace, tiny_archive, "challenge", **places)
    assert nodes == ["rank_challenge_node", "build_submission_node", "check_submission_node"]
    assert (tmp_path / "mine.csv.gz").read_bytes() == (workspace / "07_model_output" / "submission.csv.gz").read_bytes()


def test_verify_reads_any_file(answered, tmp_path, tiny_archive, challenge_set, run_pipeline, caplog) -> None:
    places = {"challenge_set": str(challenge_set)}
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        assert run_pipeline(answered, tiny_archive, "verify", **places) == ["verify_submission_node"]
    path = answered / "07_model_output" / "submission.csv.gz"
    assert f"{path} keeps the rules: 12 lists of 500 tracks" in caplog.messages
    other = tmp_path / "other.csv.gz"
    lines = read_lines(path)
    other.write_bytes(gzip.compress("\n".join([*lines, lines[3]]).encode()))
    with pytest.raises(SubmissionError, match=r"other\.csv\.gz has 1 fault: line 14, pid 1000002: stands on line 4"):
        run_pipeline(tmp_path / "nothing", tiny_archive, "verify", submission=str(other), **places)


def test_what_was_written_is_what_is_checked(workspace, tiny_archive, challenge_set, run_pipeline, monkeypatch) -> None:
    def write_and_cut(path: Path, submission: Submission) -> None:
        write_submission(path, submission)
        path.write_bytes(path.read_bytes()[:-8])

    monkeypatch.setattr("playlist_pipeline.datasets.submission_dataset.write_submission", write_and_cut)
    with pytest.raises(SubmissionError, match="the gzip is damaged after line 13"):
        run_pipeline(
            workspace,
            tiny_archive,
            "challenge",
            only_missing_outputs=True,
            challenge_set=str(challenge_set),
            challenge={"team": "us"},
        )
    artifacts = RunManifest(workspace / "08_reporting" / "run_manifest.json").artifacts
    assert artifacts["submission_report"].made_from["inputs"]["submission"] != artifacts["submission"].fingerprint


def test_a_small_vocabulary_is_refused(finished_workspace, tmp_path, tiny_archive, challenge_set, run_pipeline) -> None:
    workspace = shutil.copytree(finished_workspace, tmp_path / "workspace")
    with pytest.raises(UserError, match="a submission needs 500 tracks for each playlist, but the model's vocabulary"):
        run_pipeline(workspace, tiny_archive, "challenge", challenge_set=str(challenge_set))


def test_a_missing_challenge_set_is_named_before_the_model_is_read(
    answered, tmp_path, tiny_archive, run_pipeline, monkeypatch
) -> None:
    monkeypatch.setattr("playlist_pipeline.model.weights.load_model", lambda path: 1 / 0)
    with pytest.raises(DatasetError) as caught:
        run_pipeline(answered, tiny_archive, "challenge", challenge_set=str(tmp_path / "none.json"))
    assert "give the path of a challenge_set.json" in str(caught.value.__cause__)


def test_the_challenge_needs_a_model(tmp_path, tiny_archive, challenge_set, run_pipeline) -> None:
    with pytest.raises(UserError, match=r"--pipelines=extract,split,vocabulary,train and the same"):
        run_pipeline(tmp_path, tiny_archive, "challenge", challenge_set=str(challenge_set))
