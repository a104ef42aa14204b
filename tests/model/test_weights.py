"""Saving and loading a model folder, and the lines a user sees when its files do not fit."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from flax import nnx
from recipes import make_model_config

from playlist_pipeline.corpus.side_information import SIDE_SCHEMA, SideInformation
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.model.embedding import index_side_tables
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.model.weights import LoadedModel, load_model, name_parameters, save_model

CONFIG = make_model_config(context_length=4, num_layers=1, num_heads=2, embed_dim=4, feedforward_dim=6, dropout=0.1)


def _make_vocabulary(num_tracks):
    uris = [*SPECIALS, *(f"spotify:track:{number}" for number in range(num_tracks))]
    return Vocabulary(pa.array(uris), np.array([0, 0, 0] + [1] * num_tracks))


def _make_model(vocabulary, seed=0):
    return Transformer(CONFIG, vocabulary_size=len(vocabulary), rngs=nnx.Rngs(seed))


def _load(model, vocabulary, meta=None, side_information=None):
    return LoadedModel(model, model.cfg, vocabulary, meta or {}, side_information)


@pytest.fixture(scope="module")
def vocabulary():
    return _make_vocabulary(5)


@pytest.fixture(scope="module")
def saved(vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(folder, _load(_make_model(vocabulary), vocabulary, {"note": "é"}))
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
    save_model(tmp_path / "again", loaded)
    for name in ("config.json", "weights.safetensors", "vocabulary.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_an_older_model_is_replaced_and_nothing_else_left(folder, vocabulary):
    save_model(folder, _load(_make_model(vocabulary, seed=1), vocabulary))
    assert load_model(folder).meta == {}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_model_is_not_replaced(tmp_path, vocabulary):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="exists and is no model folder"):
        save_model(tmp_path, _load(_make_model(vocabulary), vocabulary))
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_extra_must_not_hide_a_field(tmp_path, vocabulary):
    with pytest.raises(ValueError, match="must not have the keys"):
        save_model(tmp_path / "model", _load(_make_model(vocabulary), vocabulary, {"model": 1}))


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
    save_model(tmp_path / "other", _load(_make_model(other), other))
    shutil.copy(tmp_path / "other" / "vocabulary.parquet", folder)
    with pytest.raises(UserError, match=r"is not the vocabulary that config\.json names"):
        load_model(folder)


def test_weights_of_another_model(folder, tmp_path):
    other = _make_vocabulary(6)
    save_model(tmp_path / "other", _load(_make_model(other), other))
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


@pytest.fixture(scope="module")
def informed(vocabulary):
    """A model with side tables: tracks 3 and 4 are of one artist, 5 and 6 of another, 7 of a third."""
    side = SideInformation(
        pa.table(
            {
                "token": pa.array(range(8), pa.int32()),
                "artist_uri": [None, None, None, "artist:a", "artist:a", "artist:b", "artist:b", "artist:c"],
                "album_uri": [None, None, None, "album:a", "album:b", "album:c", "album:c", "album:d"],
                "duration_ms": pa.array([None, None, None, 10_000, 40_000, 200_000, 240_000, 999_000], pa.int32()),
            }
        ).cast(SIDE_SCHEMA.with_metadata({"vocabulary": vocabulary.fingerprint}))
    )
    cfg = make_model_config(
        size="small", artist_embeddings=True, album_embeddings=True, popularity_buckets=3, duration_buckets=4
    )
    indices = index_side_tables(cfg, side, vocabulary)
    model = Transformer(cfg, vocabulary_size=len(vocabulary), side=indices, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    for table in model.embedding.side.values():
        table.rows[...] = rng.normal(size=table.rows.shape).astype(np.float32)
    return _load(model, vocabulary, side_information=side)


def test_side_information_goes_with_the_model(informed, tmp_path):
    save_model(tmp_path / "model", informed)
    loaded = load_model(tmp_path / "model")
    np.testing.assert_allclose(loaded.model.embedding.vectors(), informed.model.embedding.vectors(), atol=1e-6)
    assert loaded.side_information.fingerprint == informed.side_information.fingerprint
    (tmp_path / "model" / "side_information.parquet").unlink()
    with pytest.raises(UserError, match=r"side_information\.parquet is missing"):
        load_model(tmp_path / "model")


def test_a_track_never_seen_has_the_vectors_of_its_artist_album_and_duration(informed):
    tables = {name: np.asarray(table.rows[...]) for name, table in informed.model.embedding.side.items()}
    found = np.asarray(informed.embed_unseen(["artist:b", "artist:x"], ["album:x", "album:d"], [35_000, 10**7]))
    artist_b = informed.side_information.artists[5]
    unseen, of_b = tables["popularity"][0], tables["artist"][artist_b]
    np.testing.assert_allclose(found[0], of_b + tables["album"][0] + unseen + tables["duration"][1], atol=1e-6)
    album_d = tables["album"][informed.side_information.albums[7]]
    np.testing.assert_allclose(found[1], tables["artist"][0] + album_d + unseen + tables["duration"][3], atol=1e-6)


def test_special_tokens_share_no_row_with_unknown_tracks(informed, vocabulary):
    """Or what training learns of ``<eop>`` would be said of every track that it has not seen."""
    indices = index_side_tables(informed.config, informed.side_information, vocabulary)
    for index in indices.values():
        assert index.row_of[: len(SPECIALS)].tolist() == [index.num_rows - 1] * len(SPECIALS)
        assert index.num_rows - 1 not in index.row_of[len(SPECIALS) :]
    assert 0 not in indices["artist"].row_of
    assert 0 not in indices["album"].row_of
    assert 0 not in indices["popularity"].row_of


def test_side_information_of_another_vocabulary_is_refused(informed):
    with pytest.raises(UserError, match="side_information belongs to another vocabulary: run the pipeline vocabulary"):
        index_side_tables(informed.config, informed.side_information, _make_vocabulary(6))


def test_with_a_separate_output_unseen_tracks_have_two_vectors(informed, vocabulary):
    cfg = make_model_config(size="small", artist_embeddings=True, tied_output=False)
    indices = index_side_tables(cfg, informed.side_information, vocabulary)
    model = Transformer(cfg, vocabulary_size=len(vocabulary), side=indices, rngs=nnx.Rngs(0))
    model.head.side["artist"].rows[...] = np.full((5, cfg.embed_dim), 2.0, np.float32)
    loaded = _load(model, vocabulary, side_information=informed.side_information)
    assert not np.any(loaded.embed_unseen(["artist:a"], ["album:a"], [0]))
    assert np.all(loaded.embed_unseen(["artist:a"], ["album:a"], [0], scoring=True) == 2.0)


def test_a_model_without_side_tables_says_that_it_cannot_embed_unseen_tracks(saved):
    with pytest.raises(UserError, match=r"train one with model\.artist_embeddings=true"):
        load_model(saved).embed_unseen(["artist:a"], ["album:a"], [0])
