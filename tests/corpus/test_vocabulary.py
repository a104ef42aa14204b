import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.config import VocabularyConfig
from playlist_pipeline.corpus import (
    EOP,
    SPECIALS,
    START,
    UNK,
    VOCABULARY_SCHEMA,
    Vocabulary,
    build_vocabulary,
    encode_sequences,
    save_sequences,
)
from playlist_pipeline.corpus import vocabulary as vocabulary_module
from playlist_pipeline.errors import UserError


def build(corpus, min_count=1):
    return build_vocabulary(corpus.memberships, corpus.tracks, corpus.splits, VocabularyConfig(min_count=min_count))


def test_tracks_are_ordered_by_training_count_then_uri(corpus):
    table, counts = build(corpus)
    assert table.schema == VOCABULARY_SCHEMA
    assert table.to_pydict() == {
        "token": list(range(8)),
        "uri": [*SPECIALS, "track:a1", "track:b1", "track:c1", "track:a2", "track:b2"],
        "count": [0, 0, 0, 3, 3, 2, 1, 1],
    }
    assert counts == {
        "tracks": 7,
        "kept": 5,
        "dropped": 0,
        "unseen": 2,
        "train_memberships": 10,
        "train_unk": 0,
    }


def test_min_count_drops_rare_tracks(corpus):
    table, counts = build(corpus, min_count=2)
    assert table["uri"].to_pylist() == [*SPECIALS, "track:a1", "track:b1", "track:c1"]
    assert (counts["kept"], counts["dropped"], counts["unseen"], counts["train_unk"]) == (3, 2, 2, 2)


def test_min_count_that_leaves_nothing_is_refused(corpus):
    with pytest.raises(UserError, match=r"vocabulary.min_count = 4 leaves no track: the most frequent one occurs 3"):
        build(corpus, min_count=4)


def test_counts_do_not_depend_on_how_many_rows_are_read_at_a_time(corpus, monkeypatch):
    whole = build(corpus)
    monkeypatch.setattr(vocabulary_module, "ROWS_AT_A_TIME", 2)
    assert build(corpus) == whole


def test_membership_of_an_unknown_track_is_refused(corpus):
    with pytest.raises(UserError, match=r"memberships, row 4: track_id 3 does not exist \(there are 3\)"):
        build(corpus._replace(tracks=corpus.tracks.slice(0, 3)))


def test_vocabulary_and_training_sequences_are_blind_to_validation_and_test(tmp_path, make_corpus):
    """Other tracks there, new ones first, shift all track ids; the training part's bytes stay."""
    parts = ["test", "train", "validation", "train", "train", "test"]
    train = [["b", "a", "a"], ["c", "a", "b"], ["d", "a"]]
    variants = [
        [["a", "x"], train[0], ["b", "b", "b"], train[1], train[2], ["d"]],
        [["z9", "z8", "y", "d", "d", "d", "d"], train[0], ["q"], train[1], train[2], ["c", "z7"]],
    ]
    results = []
    for number, playlists in enumerate(variants):
        corpus = make_corpus(playlists, parts)
        table, _ = build(corpus)
        vocabulary = Vocabulary.from_table(table)
        sequences = encode_sequences(corpus.memberships, corpus.tracks, corpus.splits, vocabulary)
        save_sequences(tmp_path / str(number), sequences, vocabulary.fingerprint)
        files = {file.name: file.read_bytes() for file in (tmp_path / str(number) / "train").iterdir()}
        results.append((table, vocabulary.fingerprint, files, corpus.tracks["uri"].to_pylist()))
    first, second = results
    assert first[3] != second[3]
    assert first[0].equals(second[0])
    assert first[1] == second[1]
    assert sorted(first[2]) == ["offsets.npy", "playlist_ids.npy", "tokens.npy"]
    assert first[2] == second[2]


def test_vocabulary_changes_when_training_does(make_corpus):
    tables = [
        build(make_corpus([["a", "b"], ["a"], [last]], ["train", "validation", "train"]))[0] for last in ("a", "b")
    ]
    assert not tables[0].equals(tables[1])
    assert Vocabulary.from_table(tables[0]).fingerprint != Vocabulary.from_table(tables[1]).fingerprint


def test_encode_and_decode(vocabulary):
    tokens = vocabulary.encode(["track:b1", "nowhere", "track:a1", "<start>"])
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [4, UNK, 3, UNK]
    assert vocabulary.decode(tokens[:3]) == ["track:b1", "<unk>", "track:a1"]
    assert vocabulary.decode([START, EOP]) == ["<start>", "<eop>"]
    assert vocabulary.encode([]).tolist() == []
    assert vocabulary.decode([]) == []
    assert len(vocabulary) == len(vocabulary.uris) == len(vocabulary.counts) == 8


@pytest.mark.parametrize("token", [-1, 8])
def test_decode_refuses_what_is_no_token(vocabulary, token):
    with pytest.raises(IndexError, match=r"tokens must be in 0..7"):
        vocabulary.decode([token])


def test_tokens_of_tracks(vocabulary):
    tracks = pa.table({"uri": pa.chunked_array([["track:zz", "track:a2"], ["<eop>", "track:a1"]])})
    tokens = vocabulary.tokens_of(tracks)
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [UNK, 6, UNK, 3]


def test_table_round_trip_keeps_content_and_fingerprint(vocabulary):
    table = vocabulary.to_table()
    again = Vocabulary.from_table(pa.concat_tables([table.slice(0, 4), table.slice(4)]))
    assert again.to_table().equals(table)
    assert again.fingerprint == vocabulary.fingerprint
    with pytest.raises(ValueError, match="read-only"):
        again.counts[3] = 9


def test_fingerprint_tells_where_a_uri_ends():
    tables = [
        pa.table({"token": range(5), "uri": [*SPECIALS, *uris], "count": [0, 0, 0, 1, 1]})
        for uris in (("ab", "c"), ("a", "bc"))
    ]
    first, second = (Vocabulary.from_table(table).fingerprint for table in tables)
    assert first != second


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"uri": ["a"]}), "columns uri instead of token, uri, count"),
        (pa.table({"token": [0], "uri": ["a"], "count": [1]}), "begin with <start>, <eop>, <unk>"),
        (pa.table({"token": [0, 1, 2, 4], "uri": [*SPECIALS, "a"], "count": [0] * 4}), "tokens must run from 0"),
        (pa.table({"token": range(5), "uri": [*SPECIALS, "a", "a"], "count": [0] * 5}), "a URI has two tokens"),
        (VOCABULARY_SCHEMA.empty_table(), "tokens must run from 0"),
    ],
)
def test_table_that_is_no_vocabulary_is_refused(table, message):
    with pytest.raises(UserError, match=message):
        Vocabulary.from_table(table)


def test_the_most_frequent_track_of_the_artist_stands_in_for_an_unknown_one():
    vocabulary = Vocabulary(pa.array([*SPECIALS, "a", "b", "c"]), np.array([0, 0, 0, 9, 5, 2]))
    tracks = pa.table({"uri": ["c", "new 1", "b", "new 2", "a", "new 3"], "artist_id": [7, 7, 7, 1, 0, 0]})
    seeds = vocabulary.seeds_of(tracks)
    assert seeds.dtype == np.int32
    assert seeds.tolist() == [5, -2 - 4, 4, UNK, 3, -2 - 3]
    assert vocabulary_module.read_stand_ins(seeds).tolist() == [5, 4, 4, UNK, 3, 3]
    assert vocabulary_module.stand_in_for(np.array([3, 5])).tolist() == [-5, -7]
