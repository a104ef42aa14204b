import json
import shutil

import numpy as np
import pytest

from playlist_pipeline.config import VocabularyConfig
from playlist_pipeline.corpus import (
    SPLITS,
    UNK,
    Vocabulary,
    build_vocabulary,
    encode_sequences,
    load_sequences,
    save_sequences,
)
from playlist_pipeline.corpus import sequences as sequences_module
from playlist_pipeline.corpus import vocabulary as vocabulary_module
from playlist_pipeline.digests import write_digests
from playlist_pipeline.errors import UserError


@pytest.fixture
def sequences(corpus, vocabulary):
    return encode_sequences(corpus.memberships, corpus.tracks, corpus.splits, vocabulary)


@pytest.fixture
def saved(tmp_path, sequences, vocabulary):
    path = tmp_path / "sequences"
    save_sequences(path, sequences, vocabulary.fingerprint)
    return path


def as_lists(part):
    return [part[i].tolist() for i in range(len(part))]


EXPECTED = {
    "train": [[4, 3, 3, 5], [3, 4, 6], [5, 4, 7]],
    "validation": [[UNK, 4, UNK]],
    "test": [[UNK, 3]],
}
EXPECTED_IDS = {"train": [0, 2, 4], "validation": [3], "test": [1]}


def test_playlists_are_encoded_whole_and_in_order(sequences):
    assert {name: as_lists(sequences[name]) for name in SPLITS} == EXPECTED
    assert {name: sequences[name].playlist_ids.tolist() for name in SPLITS} == EXPECTED_IDS
    part = sequences["train"]
    assert (part.tokens.dtype, part.offsets.dtype, part.playlist_ids.dtype) == (np.int32, np.int64, np.int32)
    assert part[-1].tolist() == [5, 4, 7]


@pytest.mark.parametrize("index", [3, -4])
def test_index_outside_is_refused(sequences, index):
    with pytest.raises(IndexError, match="is outside of 3 playlists"):
        sequences["train"][index]


def test_rows_at_a_time_make_no_difference(corpus, vocabulary, sequences, monkeypatch):
    monkeypatch.setattr(vocabulary_module, "ROWS_AT_A_TIME", 3)
    again = encode_sequences(corpus.memberships, corpus.tracks, corpus.splits, vocabulary)
    assert {name: as_lists(again[name]) for name in SPLITS} == EXPECTED
    assert as_lists(sequences["train"]) == as_lists(again["train"])


def test_playlist_without_tracks_is_an_empty_sequence(make_corpus):
    corpus = make_corpus([["a"], [], ["b"], []], ["train", "train", "test", "validation"])
    table, _ = build_vocabulary(corpus.memberships, corpus.tracks, corpus.splits, VocabularyConfig(min_count=1))
    sequences = encode_sequences(corpus.memberships, corpus.tracks, corpus.splits, Vocabulary.from_table(table))
    assert {name: as_lists(sequences[name]) for name in SPLITS} == {
        "train": [[3], []],
        "validation": [[]],
        "test": [[UNK]],
    }


def test_empty_part_can_be_saved_and_loaded(tmp_path, make_corpus, vocabulary):
    corpus = make_corpus([["a1"], ["b1"]], ["train", "train"])
    sequences = encode_sequences(corpus.memberships, corpus.tracks, corpus.splits, vocabulary)
    save_sequences(tmp_path / "s", sequences, vocabulary.fingerprint)
    part = load_sequences(tmp_path / "s").source("test", vocabulary)
    assert (len(part), part.tokens.tolist(), part.offsets.tolist()) == (0, [], [0])


def test_unsorted_memberships_are_refused(corpus, vocabulary):
    shuffled = corpus.memberships.take([1, 0, *range(2, corpus.memberships.num_rows)])
    with pytest.raises(UserError, match="not sorted by playlist and position"):
        encode_sequences(shuffled, corpus.tracks, corpus.splits, vocabulary)


def test_saved_sequences_come_back(saved, vocabulary):
    store = load_sequences(saved)
    assert store.vocabulary_fingerprint == vocabulary.fingerprint
    for name in SPLITS:
        part = store.source(name, vocabulary)
        assert as_lists(part) == EXPECTED[name]
        assert part.playlist_ids.tolist() == EXPECTED_IDS[name]
    meta = json.loads((saved / "meta.json").read_text())
    assert meta["parts"]["validation"] == {"playlists": 1, "tokens": 3, "unk": 2}


def test_arrays_are_read_only(saved, sequences, vocabulary):
    loaded = load_sequences(saved).source("train", vocabulary)
    for part in (loaded, sequences["train"]):
        for array in (part.tokens, part.offsets, part.playlist_ids, part[0]):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_beside(saved, sequences, vocabulary):
    before = {file: file.read_bytes() for file in saved.rglob("*") if file.is_file()}
    save_sequences(saved, sequences, vocabulary.fingerprint)
    assert {file: file.read_bytes() for file in saved.rglob("*") if file.is_file()} == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["sequences"]


def test_failed_save_leaves_the_old_sequences(saved, sequences, vocabulary, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(sequences_module.np, "save", fail)
    with pytest.raises(UserError, match=r"sequences cannot be written \(no space left\)"):
        save_sequences(saved, sequences, vocabulary.fingerprint)
    assert as_lists(load_sequences(saved).source("train", vocabulary)) == EXPECTED["train"]
    assert [entry.name for entry in saved.parent.iterdir()] == ["sequences"]


def test_another_vocabulary_is_refused(saved, corpus):
    table, _ = build_vocabulary(corpus.memberships, corpus.tracks, corpus.splits, VocabularyConfig(min_count=2))
    with pytest.raises(
        UserError, match=r"sequences were encoded with vocabulary .*: run the pipeline vocabulary again"
    ):
        load_sequences(saved).source("train", Vocabulary.from_table(table))


def test_unknown_part_is_refused(saved, vocabulary):
    with pytest.raises(UserError, match="no part is named 'dev': give one of train, validation, test"):
        load_sequences(saved).source("dev", vocabulary)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-4])


def _save_tokens(path, tokens):
    np.save(path / "train" / "tokens.npy", tokens, allow_pickle=True)


def _edit_meta(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: _truncate(path / "train" / "tokens.npy"), "'train/tokens.npy' has changed"),
        (lambda path: (path / "test" / "offsets.npy").unlink(), "'test/offsets.npy' is missing"),
        (lambda path: _truncate(path / "meta.json"), r"'meta\.json' has changed"),
        (
            lambda path: (path / "digests.json").unlink(),
            r"digests\.json is missing: an older version wrote this folder",
        ),
        (shutil.rmtree, "no sequences here: make it with `kedro run"),
        (
            lambda path: (
                (path / "train").rename(path / "x")
                and (path / "test").rename(path / "train")
                and (path / "x").rename(path / "test")
            ),
            "has changed",
        ),
    ],
)
def test_a_folder_that_has_changed_is_refused_by_its_digests(saved, damage, message):
    damage(saved)
    with pytest.raises(UserError, match=message):
        load_sequences(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: _truncate(path / "train" / "tokens.npy"), r"train/tokens\.npy: damaged or cut off"),
        (lambda path: (path / "test" / "offsets.npy").write_bytes(b""), r"test/offsets\.npy: damaged or cut off"),
        (lambda path: (path / "meta.json").write_text("[]"), r"meta\.json holds no JSON object"),
        (lambda path: _edit_meta(path / "meta.json", format_version=99), "format version 99, this version reads 2"),
        (lambda path: _edit_meta(path / "meta.json", parts={}), "fields are missing"),
        (lambda path: _edit_meta(path / "meta.json", parts=dict.fromkeys(SPLITS, 5)), "fields are missing"),
        (lambda path: _save_tokens(path, np.zeros(9)), "train: the arrays do not fit together"),
        (lambda path: _save_tokens(path, np.zeros(9, np.int32)), "train: the arrays do not fit together"),
        (lambda path: _save_tokens(path, np.array([print], object)), r"train/tokens\.npy: damaged or cut off"),
        (
            lambda path: np.save(path / "train" / "offsets.npy", np.array([0, 2**63 - 1, -(2**63), 10])),
            "train: the arrays do not fit together",
        ),
        (
            lambda path: _edit_meta(path / "meta.json", parts={key: {"playlists": 1, "tokens": 1} for key in SPLITS}),
            r"train: the arrays' lengths are not those of meta\.json",
        ),
    ],
)
def test_other_files_are_refused_whatever_the_digests_say(saved, change, message):
    change(saved)
    write_digests(saved)
    with pytest.raises(UserError, match=message) as error:
        load_sequences(saved)
    assert "\n" not in str(error.value)
