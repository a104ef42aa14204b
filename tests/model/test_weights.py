"""Saving and loading a model folder, and the lines a user sees when its files do not fit."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from flax import nnx

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.model.weights import load_model, name_parameters, save_model

CONFIG = ModelConfig(context_length=4, num_layers=1, num_heads=2, embed_dim=4, feedforward_dim=6, dropout=0.1)


def _make_vocabulary(num_tracks):
    uris = [*SPECIALS, *(f"spotify:track:{number}" for number in range(num_tracks))]
    return Vocabulary(pa.array(uris), np.array([0, 0, 0] + [1] * num_tracks))


def _make_model(vocabulary, seed=0):
    return Transformer(CONFIG, vocabulary_size=len(vocabulary), rngs=nnx.Rngs(seed))


@pytest.fixture(scope="module")
def vocabulary():
    return _make_vocabulary(5)


@pytest.fixture(scope="module")
def saved(vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(folder, _make_model(vocabulary), vocabulary, {"note": "é"})
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def test_loaded_model_equals_the_saved_one(saved, vocabulary):
    loaded = load_model(saved)
    before, after = name_parameters(_make_model(vocabulary)), name_parameters(loaded.model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value[...], after[name][...])
    assert loaded.config == CONFIG
    assert loaded.vocabulary.fingerprint == vocabulary.fingerprint
    assert loaded.meta == {"note": "é"}
    tokens = np.array([[0, 3, 4]])
    np.testing.assert_array_equal(loaded.model(tokens), _make_model(vocabulary)(tokens))


def test_a_loaded_model_can_be_saved_again(saved, tmp_path):
    loaded = load_model(saved)
    save_model(tmp_path / "again", loaded.model, loaded.vocabulary, loaded.meta)
    for name in ("config.json", "weights.safetensors", "vocabulary.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_an_older_model_is_replaced_and_nothing_else_left(folder, vocabulary):
    save_model(folder, _make_model(vocabulary, seed=1), vocabulary, {})
    assert load_model(folder).meta == {}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_model_is_not_replaced(tmp_path, vocabulary):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="exists and is no model folder"):
        save_model(tmp_path, _make_model(vocabulary), vocabulary, {})
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_extra_must_not_hide_a_field(tmp_path, vocabulary):
    with pytest.raises(ValueError, match="must not have the keys"):
        save_model(tmp_path / "model", _make_model(vocabulary), vocabulary, {"model": 1})


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "vocabulary.parquet"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "vocabulary.parquet"])
def test_file_cut_off(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"{name} is no"):
        load_model(folder)


def test_vocabulary_of_another_model(folder, tmp_path):
    other = _make_vocabulary(6)
    save_model(tmp_path / "other", _make_model(other), other, {})
    shutil.copy(tmp_path / "other" / "vocabulary.parquet", folder)
    with pytest.raises(UserError, match=r"is not the vocabulary that config\.json names"):
        load_model(folder)


def test_weights_of_another_model(folder, tmp_path):
    other = _make_vocabulary(6)
    save_model(tmp_path / "other", _make_model(other), other, {})
    shutil.copy(tmp_path / "other" / "weights.safetensors", folder)
    with pytest.raises(
        UserError, match=r"weights embedding\.table have shape \(9, 4\), config\.json asks for \(8, 4\)"
    ):
        load_model(folder)


def test_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model"]["num_layers"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"weights blocks\.1\.\S+ do not fit config\.json"):
        load_model(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("format", 99, "format 99 is unknown"), ("model", None, "field model does not describe a model")],
)
def test_config_that_is_not_understood(folder, field, value, message):
    config = json.loads((folder / "config.json").read_text())
    config[field] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        load_model(folder)
