import shutil

import pytest

from playlist_pipeline.config import make_config
from playlist_pipeline.errors import UserError
from playlist_pipeline.fingerprint import digest_of
from playlist_pipeline.generation import Recommender
from playlist_pipeline.generation.index import build_index, save_index
from playlist_pipeline.generation.packing import pack_model
from playlist_pipeline.model import save_model

INDEX = {
    "kind": "exact",
    "min_tracks": 1,
    "num_lists": None,
    "num_probes": 1,
    "num_candidates": 1,
    "sample_size": 1,
    "num_iterations": 1,
    "seed": 0,
}


@pytest.fixture
def workspace(circle, database_path):
    folder = database_path.parents[1]
    save_model(folder / "06_models" / "model", circle)
    save_index(
        folder / "06_models" / "search_index", build_index(circle.model.scoring.table[...], make_config("index", INDEX))
    )
    return folder


def test_a_packed_model_works_alone(workspace, tmp_path):
    size = pack_model(workspace, tmp_path / "packed")
    files = {
        str(path.relative_to(tmp_path / "packed")): path for path in (tmp_path / "packed").rglob("*") if path.is_file()
    }
    assert {"03_primary/catalog.db", "06_models/model/config.json", "06_models/search_index/config.json"} <= set(files)
    assert size == sum(path.stat().st_size for path in files.values())
    seeds = ["Björk - Jóga"]
    assert Recommender.load(tmp_path / "packed").complete(seeds) == Recommender.load(workspace).complete(seeds)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


@pytest.mark.parametrize("name", ["config.json", "digests.json"])
def test_a_damaged_index_is_named_and_packed_as_it_was_built_anew(workspace, tmp_path, caplog, name):
    caplog.set_level("WARNING")
    workspace = shutil.copytree(workspace, tmp_path / "workspace")
    (workspace / "06_models" / "search_index" / name).write_text("{")
    before = sorted(digest_of(path) for path in workspace.rglob("*") if path.is_file())
    pack_model(workspace, tmp_path / "packed")
    (line,) = caplog.messages
    assert f"06_models/search_index: '{name}' has changed" in line or f"search_index/{name} is no readable JSON" in line
    assert sorted(digest_of(path) for path in workspace.rglob("*") if path.is_file()) == before
    caplog.clear()
    assert Recommender.load(tmp_path / "packed").index.problem is None
    assert caplog.messages == []


def test_a_damaged_model_is_not_packed(workspace, tmp_path):
    workspace = shutil.copytree(workspace, tmp_path / "workspace")
    (workspace / "06_models" / "model" / "vocabulary.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"'vocabulary\.parquet' has changed"):
        pack_model(workspace, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_nothing_is_overwritten(workspace, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="there exists: choose another folder"):
        pack_model(workspace, tmp_path / "there")


def test_without_a_model_there_is_nothing_to_pack(tmp_path):
    with pytest.raises(UserError, match="holds no trained model"):
        pack_model(tmp_path, tmp_path / "packed")
    assert list(tmp_path.iterdir()) == []
