"""Saving and loading a model folder, and the lines a user sees when its files do not fit."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from flax import nnx
from recipes import make_model_config

from playlist_pipeline.corpus.side_information import SIDE_SCHEMA, SideInformation
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.digests import write_digests
from playlist_pipeline.errors import UserError
from playlist_pipeline.model import weights
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
    for name in ("config.json", "weights.safetensors", "vocabulary.parquet", "digests.json"):
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


FILES = ("config.json", "side_information.parquet", "vocabulary.parquet", "weights.safetensors")


def _load_refused(folder, *, resealed=True):
    """Return the one line with which a folder is refused, its digests made right before."""
    if resealed:
        write_digests(folder)
    with pytest.raises(UserError) as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def _change_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has changed"),
        (_change_bit, "has changed"),
        (lambda path: path.with_name("more.bin").touch(), "'more.bin' does not belong there"),
    ],
    ids=["missing", "cut off", "a bit", "additional"],
)
def test_a_folder_that_has_changed_is_refused_by_its_digests(informed_folder, name, damage, said):
    damage(informed_folder / name)
    line = _load_refused(informed_folder, resealed=False)
    assert said in line
    assert name in line or "more.bin" in line
    assert line.endswith("make it again with `kedro run --pipelines=train`, or take a whole copy of it")


def test_digests_are_of_all_files_and_checked_before_any_is_read(informed_folder, monkeypatch):
    assert json.loads((informed_folder / "digests.json").read_text())["files"].keys() == set(FILES)
    for name in ("_read_config", "_read_vocabulary", "_read_side_information", "_read_weights"):
        monkeypatch.setattr(weights, name, lambda *_: pytest.fail("a file was read"))
    (informed_folder / "weights.safetensors").write_bytes(b"")
    assert "'weights.safetensors' has changed" in _load_refused(informed_folder, resealed=False)


def test_a_folder_without_digests_is_refused(folder):
    (folder / "digests.json").unlink()
    assert "digests.json is missing: an older version wrote this folder" in _load_refused(folder, resealed=False)


def test_what_is_no_folder_is_refused(tmp_path):
    assert "is no folder: give that of a trained model" in _load_refused(tmp_path / "none", resealed=False)


class _Pickle:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_is_refused_and_never_run(informed_folder, name, tmp_path):
    (informed_folder / name).write_bytes(pickle.dumps(_Pickle(tmp_path / "was run")))
    assert name in _load_refused(informed_folder)
    assert not (tmp_path / "was run").exists()


def _set_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def _set_model(folder, **changes):
    _set_config(folder, model=json.loads((folder / "config.json").read_text())["model"] | changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "config.json").write_text("[" * 10**5), "config.json is no readable JSON"),
        (lambda f: (f / "config.json").write_text('{"format": ' + "1" * 5000 + "}"), "config.json is no readable JSON"),
        (lambda f: (f / "config.json").write_text("[1]"), "config.json holds no JSON object"),
        (lambda f: (f / "config.json").write_text("{}"), "config.json: field format is missing"),
        (lambda f: _set_config(f, format=2), "config.json: format 2 is unknown, 3 is expected"),
        (lambda f: _set_config(f, format=[{}]), r"config.json: format [{}] is unknown"),
        (lambda f: _set_config(f, model=None), "config.json: field model is no JSON object"),
        (lambda f: _set_config(f, model={}), "config.json: field model does not describe a model (ModelConfig.__init"),
        (lambda f: _set_model(f, other=1), "config.json: field model does not describe a model (ModelConfig.__init__"),
        (lambda f: _set_model(f, num_heads=3), "(parameter model.num_heads = 3 is not allowed: give a divisor of"),
        (lambda f: _set_model(f, dropout=float("nan")), "(parameter model.dropout = nan is not allowed"),
        (lambda f: _set_model(f, size=["small"]), "(parameter model.size = "),
        (lambda f: _set_model(f, num_layers=3), "weights 'blocks.2."),
        (lambda f: _set_model(f, feedforward_dim=7), "weights blocks.0."),
        (lambda f: _set_model(f, duration_buckets=5), "weights embedding.side.duration.rows are float32[5, "),
        (lambda f: _set_config(f, vocabulary_size=9), "vocabulary.parquet has 8 rows, not 9"),
        (lambda f: _set_config(f, vocabulary_size={}), "vocabulary.parquet has 8 rows, not {}"),
        (lambda f: _set_config(f, vocabulary_fingerprint=5), "is not the vocabulary that config.json names"),
    ],
)
def test_a_config_of_another_model_is_refused_whatever_the_digests_say(informed_folder, change, said):
    change(informed_folder)
    assert said in _load_refused(informed_folder)


def _set_arrays(folder, **changes):
    arrays = safetensors.numpy.load_file(folder / "weights.safetensors")
    arrays |= {name.replace("__", "."): value for name, value in changes.items()}
    safetensors.numpy.save_file(arrays, folder / "weights.safetensors")


def _write_header(folder, shape=(1,), dtype="F32", size=4):
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    (folder / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))


TABLE = np.zeros((8, 256), np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda f: _set_arrays(f, embedding__table=TABLE[:7]),
            "weights embedding.table are float32[7, 256], config.js",
        ),
        (lambda f: _set_arrays(f, embedding__table=TABLE.astype(np.float16)), "embedding.table are float16[8, 256]"),
        (lambda f: _set_arrays(f, embedding__table=TABLE.astype(bool)), "embedding.table are bool[8, 256]"),
        (lambda f: _set_arrays(f, embedding__table=TABLE[0]), "embedding.table are float32[256], config.json asks for"),
        (lambda f: _set_arrays(f, embedding__table=TABLE + np.nan), "weights embedding.table are not all finite"),
        (lambda f: _set_arrays(f, embedding__table=TABLE - np.inf), "weights embedding.table are not all finite"),
        (lambda f: _set_arrays(f, odd=TABLE), "weights 'odd' do not fit config.json"),
        (lambda f: (f / "weights.safetensors").write_bytes(b""), "is no readable safetensors file"),
        (lambda f: (f / "weights.safetensors").write_bytes(b"\xff" * 64), "is no readable safetensors file"),
        (lambda f: _write_header(f, shape=(2**40,), size=2**42), "is no readable safetensors file"),
        (lambda f: _write_header(f, shape=(2**62, 4)), "is no readable safetensors file"),
        (lambda f: _write_header(f, shape=(-1,)), "is no readable safetensors file"),
        (lambda f: _write_header(f, dtype="BF16", shape=(2,)), "weights.safetensors"),
        (lambda f: _write_header(f, dtype="F8_E4M3", shape=(4,)), "is no readable safetensors file"),
        (_write_header, "do not fit config.json"),
    ],
)
def test_other_weights_are_refused_whatever_the_digests_say(informed_folder, change, said):
    change(informed_folder)
    line = _load_refused(informed_folder)
    assert "weights.safetensors" in line
    assert said in line


def _set_columns(folder, name, **changes):
    table = pq.read_table(folder / name)
    columns = {key: table[key] for key in table.column_names} | changes
    columns = {key: value for key, value in columns.items() if value is not None}
    pq.write_table(pa.table(columns).replace_schema_metadata(table.schema.metadata), folder / name)


def _write_rows(folder, name, change):
    pq.write_table(change(pq.read_table(folder / name)), folder / name)


BAD_UTF8 = pa.Array.from_buffers(
    pa.string(), 8, [None, pa.py_buffer(np.arange(9, dtype=np.int32)), pa.py_buffer(b"\xff" * 8)]
)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("vocabulary", {"count": None}, "columns token, uri instead of token, uri, count"),
        ("vocabulary", {"uri": None, "a\nb": pa.array([1] * 8)}, "columns token, count, a b instead of"),
        ("vocabulary", {"count": pa.array(["x\ny"] * 8)}, "values that do not fit"),
        ("vocabulary", {"count": pa.array([[1]] * 8)}, "values that do not fit"),
        ("vocabulary", {"count": pa.array([None] * 8, pa.int64())}, "values that do not fit"),
        ("vocabulary", {"count": pa.array([-1] * 8)}, "a count is below 0"),
        ("vocabulary", {"uri": BAD_UTF8}, "values that do not fit"),
        ("vocabulary", {"uri": pa.array([*SPECIALS, *"abcde"])}, "is not the vocabulary that config.json names"),
        ("side_information", {"album_uri": None}, "columns token, artist_uri, duration_ms instead of"),
        ("side_information", {"artist_uri": pa.array([1] * 8)}, "values that do not fit"),
        ("side_information", {"artist_uri": BAD_UTF8}, "values that do not fit"),
        ("side_information", {"token": pa.array([9] * 8, pa.int32())}, "tokens must run from 0"),
        ("side_information", {"duration_ms": pa.array([2**40] * 8)}, "values that do not fit"),
        ("side_information", {"artist_uri": pa.array(list("abcdefgh"))}, "weights embedding.side.artist.rows are"),
    ],
)
def test_other_tables_are_refused_whatever_the_digests_say(informed_folder, name, change, said):
    _set_columns(informed_folder, f"{name}.parquet", **change)
    assert said in _load_refused(informed_folder)


def test_tables_of_other_lengths_are_refused_whatever_the_digests_say(informed_folder):
    _write_rows(informed_folder, "side_information.parquet", lambda table: table.slice(0, 5))
    assert "side_information.parquet has 5 rows, not 8" in _load_refused(informed_folder)
    _write_rows(informed_folder, "side_information.parquet", lambda table: table.replace_schema_metadata({}))
    assert "rows, not 8" in _load_refused(informed_folder)
    (informed_folder / "side_information.parquet").unlink()
    assert "side_information.parquet" in _load_refused(informed_folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.parquet"])
def test_files_of_another_model_are_refused_whatever_the_digests_say(folder, name, tmp_path):
    other = _make_vocabulary(6)
    save_model(tmp_path / "other", _load(_make_model(other), other))
    shutil.copy(tmp_path / "other" / name, folder)
    line = _load_refused(folder)
    assert name in line
    assert "keep the files of one model together" in line


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


@pytest.fixture(scope="module")
def informed_saved(informed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("informed") / "model"
    save_model(folder, informed)
    return folder


@pytest.fixture
def informed_folder(informed_saved, tmp_path):
    return shutil.copytree(informed_saved, tmp_path / "model")


def test_side_information_goes_with_the_model(informed, informed_folder):
    loaded = load_model(informed_folder)
    np.testing.assert_allclose(loaded.model.embedding.vectors(), informed.model.embedding.vectors(), atol=1e-6)
    assert loaded.side_information.fingerprint == informed.side_information.fingerprint


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
