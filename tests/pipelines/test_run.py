"""The pipelines as Kedro runs them, on a tiny archive."""

import errno
import json
import os
import random
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError, MemoryDataset

from playlist_pipeline import files, provenance
from playlist_pipeline.errors import UserError
from playlist_pipeline.manifest import RunManifest, digest_of
from playlist_pipeline.mpd import Archive
from playlist_pipeline.pipeline_registry import register_pipelines

PROJECT = Path(__file__).parents[2]
LAYERS = {path.name for path in (PROJECT / "data").iterdir()}
REPORTS = "08_reporting"


@pytest.fixture(scope="module")
def context() -> KedroContext:
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT) as session:
        return session.load_context()


@pytest.fixture
def workspace(finished_workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_workspace, tmp_path / "workspace"))


def test_the_registry_has_each_pipeline_their_sum_and_the_data_part() -> None:
    pipelines = register_pipelines()
    parts = ["extract", "split", "catalog", "vocabulary", "train", "rerank", "index", "evaluate", "report", "generate"]
    assert set(pipelines) == {*parts, "baselines", "tune", "challenge", "verify", "study", "data", "__default__"}
    assert {node.name for node in pipelines["data"].nodes} == {
        node.name for name in parts[:4] for node in pipelines[name].nodes
    }
    assert set(pipelines["__default__"].nodes) == {node for name in parts for node in pipelines[name].nodes}
    for node in [node for pipeline in pipelines.values() for node in pipeline.nodes]:
        assert node.name == f"{node.func.__name__}_node"


def test_every_edge_is_a_persisted_catalog_entry_with_a_layer(context: KedroContext) -> None:
    datasets = {name for pipeline in register_pipelines().values() for name in pipeline.datasets()}
    names = {name for name in datasets if not name.startswith("params:")}
    assert len(names) >= 20
    catalog = context.catalog  # made anew each time
    for name in names | {"run_manifest"}:
        dataset = catalog.get(name)
        assert dataset is not None, name
        assert not isinstance(dataset, MemoryDataset), name
        layer = dataset.metadata["kedro-viz"]["layer"]
        assert layer in LAYERS, name
        assert f"/{layer}/" in str(dataset._filepath), name


def test_the_database_is_built_before_training_reads_it() -> None:
    """``sequences@source`` may be the database, which no edge of the train pipeline names."""
    order = [node.name for node in register_pipelines()["__default__"].nodes]
    assert order.index("build_catalog_node") < order.index("train_model_node")


def test_the_whole_way_leaves_every_artifact_and_its_line(finished_workspace: Path) -> None:
    manifest = RunManifest(finished_workspace / REPORTS / "run_manifest.json")
    made = {name.partition("@")[0] for node in register_pipelines()["__default__"].nodes for name in node.outputs}
    assert set(manifest.artifacts) == made
    for name in ("tracks", "memberships"):
        path = finished_workspace / "02_intermediate" / f"{name}.parquet"
        assert manifest.artifacts[name].digest == digest_of(path)
        assert manifest.artifacts[name].bytes == path.stat().st_size
    assert manifest.run["parameters"]["train"]["max_steps"] == 4
    assert manifest.run["versions"]["jax"]
    assert manifest.inputs["mpd_archive"]
    assert not list(finished_workspace.rglob("*.tmp*"))


def test_metrics_have_the_agreed_form(finished_workspace: Path) -> None:
    metrics = json.loads((finished_workspace / REPORTS / "metrics.json").read_text())
    systems = metrics["ranking"]["first_k"]
    assert set(systems) == {"model", "transformer", "popularity", "title_knn", "item_knn", "playlist_knn"}
    for seeds in ("1", "5"):
        assert metrics["playlists"]["first_k"][seeds] > 0
        assert 0 < metrics["ceiling"]["first_k"][seeds] <= 1
        for system in systems.values():
            names = {"r_precision", "ndcg@500", "clicks", "recall@500", "f1@10", "f1@50", "f1@100", "f1@200"}
            assert set(system[seeds]) >= names
            for figure in system[seeds].values():
                assert figure["low"] <= figure["mean"] <= figure["high"]
            assert set(system[seeds]) >= {"r_precision_artist_credit", "r_precision_deezer", "ndcg_rules@500"}
    assert set(metrics["differences"]["first_k"]) == set(systems) - {"model"}
    for name in ("cohorts", "popularity_deciles", "beyond_accuracy"):
        assert set(metrics[name]["first_k"]) == set(systems)
        assert all(set(cases) == {"1", "5"} for cases in metrics[name]["first_k"].values())
    assert {"sampled", "exact", "exact_known", "perplexity"} <= set(metrics["loss"]["test"])


def test_test_cases_are_counted(finished_workspace: Path) -> None:
    counts = json.loads((finished_workspace / "05_model_input" / "test_cases_report.json").read_text())
    playlists = pq.read_table(finished_workspace / "05_model_input" / "test_cases.parquet")["playlist_id"]
    assert counts["first_k"]["playlists"] - counts["first_k"]["too_short"] == len(set(playlists.to_pylist()))


def test_generated_playlists_name_their_tracks(finished_workspace: Path) -> None:
    playlists = json.loads((finished_workspace / "07_model_output" / "generated_playlists.json").read_text())
    assert len(playlists) == 2  # one example, one without a seed
    for playlist in playlists:
        assert len(playlist["tracks"]) == 8
        assert all(track["name"].startswith("Track ") for track in playlist["tracks"])


def test_a_second_run_with_only_missing_outputs_does_nothing(
    workspace: Path, tiny_archive: Path, run_pipeline, caplog
) -> None:
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        assert run_pipeline(workspace, tiny_archive, only_missing_outputs=True) == ["show_playlists_node"]
    assert "the artifacts of 20 of 20 nodes are up to date" in caplog.messages


@pytest.mark.parametrize(
    ("parameters", "ran", "said"),
    [
        (
            {"generate": {"length": 6}},
            {"choose_seeds_node", "complete_playlists_node"},
            "choose_seeds_node is stale: generate.length is 6, was 8",
        ),
        (
            {"evaluate": {"bootstrap_samples": 30}},
            {"compute_metrics_node", "rank_tracks_node", "plot_quality_node"},
            "compute_metrics_node is stale: evaluate.bootstrap_samples is 30, was 20",
        ),
        ({"extract": {"num_workers": 1}}, set(), ""),
    ],
)
def test_a_changed_parameter_redoes_what_depends_on_it(
    workspace, tiny_archive, run_pipeline, caplog, parameters, ran, said
) -> None:
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        nodes = set(run_pipeline(workspace, tiny_archive, only_missing_outputs=True, **parameters))
    assert any(message.startswith(said) for message in caplog.messages)
    assert bool(said) == any(" is stale: " in message for message in caplog.messages)
    assert ran <= nodes
    assert not nodes & {"extract_tables_node", "encode_playlists_node", "train_model_node"}
    if not ran:
        assert nodes == {"show_playlists_node"}


def test_a_changed_archive_redoes_the_data_part(
    workspace: Path, make_archive, make_playlists, tmp_path, run_pipeline, caplog
) -> None:
    other = make_archive(tmp_path, make_playlists(41, 60))
    before = RunManifest(workspace / REPORTS / "run_manifest.json").artifacts["tracks"].fingerprint
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        nodes = run_pipeline(workspace, other, "data", only_missing_outputs=True)
    assert "extract_tables_node is stale: mpd_archive has changed" in caplog.messages
    assert "extract_tables_node" in nodes
    assert "encode_playlists_node" in nodes
    assert RunManifest(workspace / REPORTS / "run_manifest.json").artifacts["tracks"].fingerprint != before
    assert pq.read_metadata(workspace / "02_intermediate" / "playlists.parquet").num_rows == 41


@pytest.mark.parametrize("case", ["altered", "longer", "missing", "unfinished", "code"])
def test_why_an_artifact_is_made_again(
    case: str, workspace: Path, tiny_archive, run_pipeline, monkeypatch, caplog
) -> None:
    path = workspace / "04_feature" / "vocabulary.parquet"
    reason = {
        "altered": f"{path} is not as it was left",
        "longer": f"{path} is not as it was left",
        "missing": f"{path} is missing",
        "unfinished": "the run that made it last did not finish",
        "code": "the code has changed",
    }[case]
    if case == "altered":
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif case == "longer":
        path.write_bytes(path.read_bytes() + b"x")
    elif case == "missing":
        path.unlink()
    elif case == "unfinished":
        RunManifest(workspace / REPORTS / "run_manifest.json").forget(["vocabulary", "vocabulary_report"])
    else:
        real = provenance.code_fingerprint
        monkeypatch.setattr(
            provenance, "code_fingerprint", lambda name: real(name) + "x" * name.endswith("vocabulary.nodes")
        )
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        nodes = run_pipeline(workspace, tiny_archive, "data", only_missing_outputs=True)
    assert f"build_vocabulary_node is stale: {reason}" in caplog.messages
    assert "build_vocabulary_node" in nodes


def test_an_extraction_that_could_not_save_goes_on_from_what_it_read(
    finished_workspace: Path, tiny_archive: Path, tmp_path: Path, run_pipeline, monkeypatch, caplog
) -> None:
    assert not (finished_workspace / "02_intermediate" / "extraction_parts").exists()
    workspace = tmp_path / "new"
    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.write_table", lambda *_, **__: 1 / 0)
        with pytest.raises(DatasetError):
            run_pipeline(workspace, tiny_archive, "extract")
    assert len(list(workspace.glob("02_intermediate/extraction_parts/*/*.part"))) == 4
    with monkeypatch.context() as patched:
        patched.setattr("playlist_pipeline.mpd.archive.Archive._inflate", _read_only_md5sums(Archive._inflate))
        run_pipeline(workspace, tiny_archive, "extract")
    assert "4 of 4 slices" in caplog.text
    assert not (workspace / "02_intermediate" / "extraction_parts").exists()
    for name in ("playlists", "artists", "albums", "tracks", "memberships"):
        path = Path("02_intermediate") / f"{name}.parquet"
        assert (workspace / path).read_bytes() == (finished_workspace / path).read_bytes()


def _fill_the_disk_at(name: str, monkeypatch) -> None:
    """Let the disk be full when the file or folder of this name is brought to it."""
    sync = files._sync

    def refuse(path: Path) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    monkeypatch.setattr(files, "_sync", refuse)


def test_artifacts_of_a_node_count_together(
    workspace: Path, tiny_archive: Path, tmp_path: Path, run_pipeline, monkeypatch
) -> None:
    """The second of two does not fit the disk: the first is there, but neither counts, and the next run makes both."""
    calm = shutil.copytree(workspace, tmp_path / "calm")
    permuted = {"split": {"rule": "permutation"}}
    run_pipeline(calm, tiny_archive, "split", **permuted)
    table, report = (Path("03_primary") / name for name in ("splits.parquet", "split_report.json"))
    old = (workspace / report).read_bytes()
    with monkeypatch.context() as patched:
        _fill_the_disk_at(report.name, patched)
        with pytest.raises(DatasetError, match=r"split_report\.json cannot be written \(No space left on device\)"):
            run_pipeline(workspace, tiny_archive, "split", **permuted)
    assert (workspace / table).read_bytes() == (calm / table).read_bytes()
    assert (workspace / report).read_bytes() == old
    lines = RunManifest(workspace / REPORTS / "run_manifest.json").artifacts
    assert not {"splits", "split_report"} & lines.keys()
    with pytest.raises(UserError, match=r"^splits .* is missing, or the run that was to make it did not finish"):
        run_pipeline(workspace, tiny_archive, "catalog", **permuted)
    assert run_pipeline(workspace, tiny_archive, "split", only_missing_outputs=True, **permuted) == [
        "split_playlists_node"
    ]
    for path in (table, report):
        assert (workspace / path).read_bytes() == (calm / path).read_bytes()


def test_a_run_that_ends_between_an_artifact_and_its_line_is_repeated(
    workspace: Path, tiny_archive: Path, run_pipeline, monkeypatch, caplog
) -> None:
    """By Ctrl-C, of which Kedro tells hooks nothing: the workspace is free again all the same."""
    before = RunManifest(workspace / REPORTS / "run_manifest.json").artifacts["catalog_db"]

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunManifest, "record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_pipeline(workspace, tiny_archive, "catalog")
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        assert run_pipeline(workspace, tiny_archive, "catalog", only_missing_outputs=True) == ["build_catalog_node"]
    assert "build_catalog_node is stale: the run that made it last did not finish" in caplog.messages
    assert RunManifest(workspace / REPORTS / "run_manifest.json").artifacts["catalog_db"].digest == before.digest


def _read_only_md5sums(inflate):
    def read(archive, member):
        assert member.name == "md5sums"
        return inflate(archive, member)

    return read


def test_a_pipeline_alone_refuses_inputs_that_no_finished_run_made(
    workspace: Path, tiny_archive: Path, run_pipeline
) -> None:
    manifest = RunManifest(workspace / REPORTS / "run_manifest.json")
    manifest.forget(["sequences"])  # as a killed run leaves it
    with pytest.raises(UserError) as error:
        run_pipeline(workspace, tiny_archive, "train")
    assert str(error.value) == (
        f"sequences ({workspace}/05_model_input/sequences) is missing, or the run that was to make it did not finish; "
        "make it with: kedro run --pipelines=vocabulary and the same --params and --env"
    )


def test_training_alone_skips_what_is_finished(workspace: Path, tiny_archive: Path, run_pipeline, caplog) -> None:
    weights = workspace / "06_models" / "model" / "weights.safetensors"
    before = weights.read_bytes()
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        assert run_pipeline(workspace, tiny_archive, "train") == ["train_model_node", "plot_training_node"]
    assert any("is finished (4 steps): skipped" in message for message in caplog.messages)
    assert weights.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"split": {"rule": "permutation"}}, "split.rule is 'permutation', was 'hash'"),
        ({"train": {"seed": 5}}, "train.seed is 5, was 2018"),
        ("archive", "mpd_archive has changed"),
        ("vocabulary", "vocabulary has changed"),
        ("code", "the code of train_model_node has changed"),
    ],
)
def test_a_model_that_would_be_another_today_is_refused(
    changed, cause: str, workspace: Path, tiny_archive, run_pipeline, monkeypatch, caplog, make_archive, make_playlists
) -> None:
    archive, parameters = tiny_archive, changed if isinstance(changed, dict) else {}
    before = digest_of(workspace)
    if changed == "archive":
        archive = make_archive(workspace.parent, make_playlists(41, 60))
    elif changed == "vocabulary":
        parameters = {"vocabulary": {"min_count": 2}}
        run_pipeline(workspace, archive, "vocabulary", "split", "catalog", **parameters)
        before = digest_of(workspace)
    elif changed == "code":
        real = provenance.code_fingerprint
        monkeypatch.setattr(
            provenance, "code_fingerprint", lambda name: real(name) + "x" * name.endswith("train.nodes")
        )
    with pytest.raises(UserError) as error:
        run_pipeline(workspace, archive, "generate", **parameters)
    name = "catalog_db" if cause.startswith(("split", "mpd_archive")) else "model"
    found = re.match(rf"{name} is not what would be made today \((.*)\): make", str(error.value))
    assert cause in found[1].split("; ")
    assert str(error.value).endswith(
        ": make it again with `kedro run --only-missing-outputs` and the same --params and --env, "
        "or use it as it is with --params=allow_stale=true"
    )
    assert digest_of(workspace) == before
    run_pipeline(workspace, archive, "generate", allow_stale=True, **parameters)
    assert any(message.endswith("; it is used as it is") and cause in message for message in caplog.messages)


def test_another_file_under_the_same_name_is_another_parameter(
    workspace: Path, tiny_archive: Path, tmp_path: Path, run_pipeline, caplog
) -> None:
    path = tmp_path / "test_pids.npy"
    np.save(path, np.arange(5))
    split = {"test_pids": str(path)}
    run_pipeline(workspace, tiny_archive, "split", split=split)
    assert run_pipeline(workspace, tiny_archive, "split", split=split, only_missing_outputs=True) == []
    np.save(path, np.arange(6))
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        nodes = run_pipeline(workspace, tiny_archive, "split", split=split, only_missing_outputs=True)
    assert "split_playlists_node" in nodes
    assert "split_playlists_node is stale: split.test_pids has changed" in caplog.messages


def test_what_other_versions_made_is_kept_and_named(workspace: Path, tiny_archive: Path, run_pipeline, caplog) -> None:
    manifest = RunManifest(workspace / REPORTS / "run_manifest.json")
    line = manifest.artifacts["tracks"]
    manifest.artifacts["tracks"] = replace(line, versions=line.versions | {"pyarrow": "1.0"})
    manifest.save()
    assert run_pipeline(workspace, tiny_archive, "data", only_missing_outputs=True) == []
    (message,) = (message for message in caplog.messages if "other versions" in message)
    assert message == f"kept although made with other versions of libraries: pyarrow is '{pa.__version__}', was '1.0'"


@pytest.mark.parametrize("kind", ["zip", "folder", "shuffled"])
def test_artifacts_of_the_data_part_have_the_same_bytes(
    kind: str, tmp_path, make_archive, run_pipeline, finished_workspace
) -> None:
    """Whatever the number of workers, from a zip or a folder, and from any order of members; the database's too."""
    archive = make_archive(tmp_path, kind="folder" if kind == "folder" else "zip", name="other")
    if kind == "shuffled":
        archive = _shuffle_members(archive)
    run_pipeline(tmp_path / "workspace", archive, "data", extract={"num_workers": 1})
    lines, expected = (
        RunManifest(folder / REPORTS / "run_manifest.json").artifacts
        for folder in (tmp_path / "workspace", finished_workspace)
    )
    names = (
        "playlists",
        "artists",
        "albums",
        "tracks",
        "memberships",
        "splits",
        "catalog_db",
        "vocabulary",
        "sequences",
    )
    assert {name: lines[name].digest for name in names} == {name: expected[name].digest for name in names}


def _shuffle_members(archive: Path) -> Path:
    shuffled = archive.with_name("shuffled")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(shuffled, "w", zipfile.ZIP_DEFLATED) as target:
        items = random.Random(2018).sample(source.infolist(), len(source.infolist()))
        assert items != source.infolist()
        for item in items:
            target.writestr(item.filename, source.read(item))
    return shuffled


def test_training_from_the_database_gives_the_same_weights(finished_workspace: Path, tmp_path: Path) -> None:
    """Which source is used is a catalog entry, not code: ``sequences@source``."""
    from playlist_pipeline.config import make_config  # noqa: PLC0415
    from playlist_pipeline.datasets import CheckpointsDataset, DatabaseDataset, TableDataset  # noqa: PLC0415
    from playlist_pipeline.model.weights import load_model, save_model  # noqa: PLC0415
    from playlist_pipeline.pipelines.train.nodes import train_model  # noqa: PLC0415

    parameters = RunManifest(finished_workspace / REPORTS / "run_manifest.json").run["parameters"]
    trained, _, _ = train_model(
        DatabaseDataset(filepath=str(finished_workspace / "03_primary" / "catalog.db")).load(),
        TableDataset(filepath=str(finished_workspace / "04_feature" / "vocabulary.parquet")).load(),
        TableDataset(filepath=str(finished_workspace / "04_feature" / "side_information.parquet")).load(),
        CheckpointsDataset(filepath=str(tmp_path / "checkpoints")).load(),
        make_config("model", parameters["model"]),
        make_config("train", parameters["train"]),
    )
    save_model(tmp_path / "model", trained)
    packed = finished_workspace / "06_models" / "model"
    names = ("weights.safetensors", "vocabulary.parquet", "config.json")
    assert {name: (tmp_path / "model" / name).read_bytes() for name in names} == {
        name: (packed / name).read_bytes() for name in names
    }
    assert load_model(packed).meta["train"]["max_steps"] == 4


def test_a_database_of_another_split_is_refused(
    workspace: Path, tiny_archive: Path, run_pipeline, finished_workspace: Path
) -> None:
    from playlist_pipeline.corpus.vocabulary import Vocabulary  # noqa: PLC0415
    from playlist_pipeline.datasets import DatabaseDataset, TableDataset  # noqa: PLC0415

    run_pipeline(workspace, tiny_archive, "split", "catalog", split={"rule": "permutation"})
    table = TableDataset(filepath=str(finished_workspace / "04_feature" / "vocabulary.parquet")).load()
    database = DatabaseDataset(filepath=str(workspace / "03_primary" / "catalog.db")).load()
    with pytest.raises(UserError, match="its training part is not the one that the vocabulary was built from"):
        database.source("train", Vocabulary.from_table(table))
