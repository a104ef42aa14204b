import logging
import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.corpus.vocabulary import UNK, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation import protocol
from playlist_pipeline.evaluation.protocol import (
    RANKINGS_SCHEMA,
    TEST_CASES_SCHEMA,
    TestCases,
    build_test_cases,
    cases_from_table,
    cases_to_table,
    compute_ceiling,
    evaluate_rankings,
    rank_cases,
    summarise,
)
from playlist_pipeline.mpd.schema import MEMBERSHIPS_SCHEMA, TRACKS_SCHEMA

# Track 0 has token 3, track 1 token 4, and so on; tracks from 20 on are unknown.
NUM_TRACKS, NUM_KNOWN = 30, 20


def make_config(**changes):
    values = {
        "num_seeds": [1, 2],
        "min_truth": 2,
        "num_recommendations": 6,
        "max_playlists": None,
        "baselines": ["popularity"],
        "bootstrap_samples": 200,
        "confidence": 0.95,
        "seed": 0,
        "batch_size": 3,
    }
    return EvaluateConfig(**values | changes)


def make_uri(number):
    return f"spotify:track:{number:022d}"


@pytest.fixture
def tracks():
    numbers = range(NUM_TRACKS)
    columns = {
        "track_id": numbers,
        "uri": map(make_uri, numbers),
        "name": map(str, numbers),
        "artist_id": numbers,
        "album_id": numbers,
        "duration_ms": numbers,
    }
    return pa.Table.from_pydict({name: list(values) for name, values in columns.items()}, schema=TRACKS_SCHEMA)


@pytest.fixture
def vocabulary():
    uris = ["<start>", "<eop>", "<unk>", *map(make_uri, range(NUM_KNOWN))]
    counts = [0, 0, 0, *range(NUM_KNOWN, 0, -1)]
    tokens = pa.array(range(len(uris)), pa.int32())
    return Vocabulary.from_table(pa.table({"token": tokens, "uri": uris, "count": pa.array(counts, pa.int64())}))


def make_memberships(playlists):
    rows = [
        {"playlist_id": number, "position": position, "track_id": track}
        for number, playlist in enumerate(playlists)
        for position, track in enumerate(playlist)
    ]
    return pa.Table.from_pylist(rows, schema=MEMBERSHIPS_SCHEMA)


def make_splits(parts):
    pids = [1000 + number for number in range(len(parts))]
    columns = {"playlist_id": range(len(parts)), "pid": pids}
    ids = {name: pa.array(values, pa.int32()) for name, values in columns.items()}
    return pa.table(ids | {"split": pa.array(parts, pa.string())})


@pytest.fixture
def build(tracks, vocabulary):
    def build(playlists, parts=None, **changes):
        splits = make_splits(parts or ["test"] * len(playlists))
        return build_test_cases(make_memberships(playlists), tracks, splits, vocabulary, make_config(**changes))

    return build


@pytest.fixture
def cases(build):
    return build([[0, 1, 0, 2, 25, 3], [5, 6, 7], [21, 8, 9, 10]])


def make_rankings(cases, system="model", **lists):
    """Rankings with the list ``[15, 16]`` for each playlist, but for those named ``k<seeds>_p<playlist>``."""
    rows = [
        {
            "protocol": "first_k",
            "system": system,
            "num_seeds": number,
            "playlist_id": playlist_id,
            "tokens": lists.get(f"k{number}_p{playlist_id}", [15, 16]),
        }
        for number, part in cases.items()
        for playlist_id in part.playlist_ids.tolist()
    ]
    return pa.Table.from_pylist(rows, schema=RANKINGS_SCHEMA)


def test_seeds_and_truth_by_hand(cases):
    assert list(cases) == [1, 2]
    one, two = cases[1], cases[2]
    assert one.playlist_ids.tolist() == [0, 1, 2]
    assert one.pids.tolist() == [1000, 1001, 1002]
    assert [tokens.tolist() for tokens in one.seeds] == [[3], [8], [UNK]]
    assert [one.truth(index).tolist() for index in range(3)] == [[4, 5, 6], [9, 10], [11, 12, 13]]
    assert one.num_truth.tolist() == [4, 2, 3]  # the unknown track 25 is part of the truth
    # Playlist 1 has only one track behind two seeds.
    assert two.playlist_ids.tolist() == [0, 2]
    assert [tokens.tolist() for tokens in two.seeds] == [[3, 4], [UNK, 11]]
    assert [two.truth(index).tolist() for index in range(2)] == [[5, 6], [12, 13]]
    assert two.num_truth.tolist() == [3, 2]
    assert {tokens.dtype for tokens in two.seeds} == {np.dtype(np.int32)}


def test_only_test_playlists_count(build):
    cases = build(
        [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]], ["train", "test", "validation", "test"], num_seeds=[1]
    )
    assert cases[1].playlist_ids.tolist() == [1, 3]
    assert [cases[1].truth(index).tolist() for index in range(2)] == [[7, 8], [13, 14]]


def test_two_unknown_tracks_are_two_tracks(build):
    part = build([[21, 22, 21, 0, 23, 24]], num_seeds=[2])[2]
    assert part.seeds[0].tolist() == [UNK, UNK]
    assert (part.truth(0).tolist(), part.num_truth.tolist()) == ([3], [3])


def test_playlists_need_min_truth_unique_tracks(build):
    cases = build([[0, 1, 1, 1, 1], [0, 1, 2], [0, 1, 2, 3]], num_seeds=[1], min_truth=3)
    assert cases[1].playlist_ids.tolist() == [2]


def test_sample_is_the_first_by_digest_and_not_swayed_by_other_playlists(build):
    playlists = [[0, 1, 2, 3]] * 40
    some = build(playlists, num_seeds=[1], max_playlists=10)[1]
    assert len(some) == 10
    assert some.playlist_ids.tolist() == sorted(some.playlist_ids.tolist())
    fewer = build(playlists, num_seeds=[1], max_playlists=4)[1]
    assert set(fewer.pids) < set(some.pids)
    parts = ["test" if 1000 + number in some.pids or number % 2 else "train" for number in range(40)]
    again = build(playlists, parts, num_seeds=[1], max_playlists=10)[1]
    np.testing.assert_array_equal(again.pids, some.pids)
    assert build(playlists, num_seeds=[1], max_playlists=99)[1].pids.tolist() == list(range(1000, 1040))


def test_number_of_seeds_that_no_playlist_allows_is_left_out(build, caplog):
    with caplog.at_level(logging.WARNING):
        cases = build([[0, 1, 2]], num_seeds=[1, 2])
    assert list(cases) == [1]
    assert caplog.messages == ["nothing is measured with 2 seeds: no test playlist has 2 unique tracks after them"]
    report = summarise(cases, make_rankings(cases), make_config())
    assert report["playlists"] == {"first_k": {"1": 1, "2": 0}}
    assert list(report["ceiling"]["first_k"]) == list(report["ranking"]["first_k"]["model"]) == ["1"]


@pytest.mark.parametrize(("playlists", "parts"), [([[0, 1], [2]], None), ([[0, 1, 2, 3]], ["train"]), ([[]], None)])
def test_no_playlist_is_long_enough_at_all(build, playlists, parts):
    with pytest.raises(UserError, match=r"none of the \d test playlists has 3 or more different tracks; lower"):
        build(playlists, parts)


def test_table_and_back(cases, tmp_path):
    table = cases_to_table(cases)
    assert table.schema == TEST_CASES_SCHEMA
    assert table["num_seeds"].to_pylist() == [1, 1, 1, 2, 2]
    pq.write_table(table, tmp_path / "cases.parquet")
    for copy in (table, pq.read_table(tmp_path / "cases.parquet")):
        back = cases_from_table(copy)
        assert list(back) == [1, 2]
        for number, part in back.items():
            for name, value in vars(cases[number]).items():
                np.testing.assert_array_equal(getattr(part, name), value, strict=True)


def test_one_table_of_several_numbers_of_seeds_is_not_one_case(cases):
    with pytest.raises(ValueError, match=r"\[1, 2\] seeds"):
        TestCases.from_table(cases_to_table(cases))


def test_figures_by_hand(cases):
    lists = {"k1_p0": [4, 15, 6], "k1_p1": [], "k1_p2": [15, 16, 17, 11]}
    results = evaluate_rankings(cases, make_rankings(cases, **lists))
    assert list(results) == ["model"]
    figures = results["model"][1]
    assert figures["r_precision"].tolist() == [2 / 4, 0, 0]
    assert figures["recall@500"].tolist() == [2 / 4, 0, 1 / 3]
    assert figures["clicks"].tolist() == [0, 51, 0]
    assert figures["f1@10"].tolist() == pytest.approx([2 * 2 / 14, 0, 2 * 1 / 13])
    ideal = np.cumsum([1 / math.log2(rank + 1) for rank in range(1, 5)])
    assert figures["ndcg@500"].tolist() == pytest.approx([(1 + 1 / 2) / ideal[3], 0, 1 / math.log2(5) / ideal[2]])


def test_order_of_rankings_and_chunks_do_not_matter(cases, monkeypatch):
    rankings = make_rankings(cases, k1_p0=[4, 15, 6], k1_p2=[15, 11], k2_p2=[13])
    expected = evaluate_rankings(cases, rankings)
    monkeypatch.setattr(protocol, "PLAYLISTS_PER_CHUNK", 2)
    shuffled = rankings.take([4, 1, 3, 0, 2])
    results = evaluate_rankings(cases, shuffled)
    for number, figures in expected["model"].items():
        for name, values in figures.items():
            np.testing.assert_array_equal(results["model"][number][name], values)


@pytest.mark.parametrize(
    ("tokens", "fault"),
    [
        ([15, 3, 16], "a seed"),
        ([15, 16, 15], "a track twice"),
        ([15, UNK], "a special token"),
        ([0, 15], "a special token"),
        ([15, -1, 16], "a special token"),
        ([15, -1], "a special token"),
    ],
)
def test_lists_that_would_falsify_figures_are_refused(cases, tokens, fault):
    with pytest.raises(ValueError, match=f"^system odd with 1 seeds: the list of playlist 0 holds {fault}$"):
        evaluate_rankings(cases, make_rankings(cases, "odd", k1_p0=tokens))


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [0, 1, 2, 3, 4, 4], [0, 1, 2]])
def test_a_system_needs_one_list_for_each_playlist(cases, rows):
    with pytest.raises(ValueError, match="system model does not have one list for each playlist with 2 seeds"):
        evaluate_rankings(cases, make_rankings(cases).take(rows))


def test_rankings_hold_lists_without_padding(cases):
    def rank(seeds, k):
        ranked = np.full((len(seeds), k), -1, np.int32)
        ranked[:, 0] = [15 + len(tokens) for tokens in seeds]
        ranked[0, 1] = 20
        return ranked

    table = rank_cases({"one": SimpleNamespace(rank=rank), "two": SimpleNamespace(rank=rank)}, cases, make_config())
    assert table.schema == RANKINGS_SCHEMA
    assert table["system"].to_pylist() == ["one"] * 5 + ["two"] * 5
    assert table["tokens"].to_pylist()[:5] == [[16, 20], [16], [16], [17, 20], [17]]
    assert table["playlist_id"].to_pylist()[:5] == [0, 1, 2, 0, 2]
    assert list(evaluate_rankings(cases, table)) == ["one", "two"]


@pytest.mark.parametrize(
    ("row", "message"), [([15, -1, 16, -1, -1, -1], "padding before its end"), ([15, 16], "shape")]
)
def test_systems_that_break_the_contract_are_named(cases, row, message):
    system = SimpleNamespace(rank=lambda seeds, k: np.array([row] * len(seeds), np.int32))
    with pytest.raises(ValueError, match=f"system odd gave .*{message}"):
        rank_cases({"odd": system}, cases, make_config())


def test_ceiling_counts_known_truth_up_to_the_length_of_a_list(cases):
    assert compute_ceiling(cases[1]) == pytest.approx((3 / 4 + 1 + 1) / 3)
    assert compute_ceiling(cases[1], k=2) == pytest.approx((2 / 4 + 1 + 2 / 3) / 3)


def test_report(cases):
    rankings = pa.concat_tables([make_rankings(cases, "model", k1_p0=[4, 5, 6]), make_rankings(cases, "popularity")])
    report = summarise(cases, rankings, make_config())
    assert list(report) == ["ranking", "playlists", "ceiling"]
    assert report["playlists"] == {"first_k": {"1": 3, "2": 2}}
    assert report["ceiling"]["first_k"]["1"] == pytest.approx((3 / 4 + 1 + 1) / 3)
    ranking = report["ranking"]["first_k"]
    assert {system: list(numbers) for system, numbers in ranking.items()} == {
        "model": ["1", "2"],
        "popularity": ["1", "2"],
    }
    recall = ranking["model"]["1"]["recall@500"]
    assert recall["mean"] == pytest.approx(3 / 4 / 3)
    assert 0 == recall["low"] <= recall["mean"] <= recall["high"] <= 3 / 4
    assert ranking["popularity"]["2"]["clicks"] == {"mean": 51, "low": 51, "high": 51}
    assert {type(value) for value in recall.values()} == {float}


def test_intervals_do_not_depend_on_the_other_systems(cases):
    alone = make_rankings(cases, "model", k1_p0=[4, 5, 6], k1_p2=[11])
    both = pa.concat_tables([make_rankings(cases, "popularity", k1_p1=[9]), alone])
    expected, report = (summarise(cases, rankings, make_config())["ranking"]["first_k"] for rankings in (alone, both))
    assert report["model"] == expected["model"]
