import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.evaluation import rankings
from playlist_pipeline.evaluation.metrics import ARTIST_METRICS, ARTIST_NAME_METRICS, METRICS
from playlist_pipeline.evaluation.rankings import RANKINGS_SCHEMA, measure_lists, rank_cases, read_rankings


@pytest.fixture
def measure(cases, facts):
    """Metrics of all systems of a table of rankings: system, then case, then metric."""

    def measure(table):
        read = read_rankings(table, {"first_k": cases})["first_k"]
        systems = next(iter(read.values()))
        return {name: {case: measure_lists(read[case][name], cases[case], facts) for case in cases} for name in systems}

    return measure


def test_figures_by_hand(cases, make_rankings, measure):
    lists = {"k1_p0": [4, 15, 6], "k1_p1": [], "k1_p2": [15, 16, 17, 11]}
    results = measure(make_rankings(cases, **lists))
    assert list(results) == ["model"]
    figures = results["model"]["1"]
    assert figures["r_precision"].tolist() == [2 / 4, 0, 0]
    assert figures["recall@500"].tolist() == [2 / 4, 0, 1 / 3]
    assert figures["clicks"].tolist() == [0, 51, 0]
    assert figures["f1@10"].tolist() == pytest.approx([2 * 2 / 14, 0, 2 * 1 / 13])
    ideal = np.cumsum([1 / math.log2(rank + 1) for rank in range(1, 5)])
    assert figures["ndcg@500"].tolist() == pytest.approx([(1 + 1 / 2) / ideal[3], 0, 1 / math.log2(5) / ideal[2]])


def test_artists_by_hand(cases, make_rankings, measure):
    # Playlist 2 withholds tokens 11, 12, 13 of artists 4, 4, 5; artist 9, of tokens 21 and 22, has artist 4's name.
    figures = measure(make_rankings(cases, k1_p2=[14, 21, 11, 22, 12]))["model"]["1"]
    # 14 is of artist 5, 21 of none of the truth's, 11 is a track of it.
    assert figures["r_precision_artist_credit"][2] == pytest.approx((1 + 0.25) / 3)
    assert figures["r_precision_artist_share"][2] == pytest.approx(1 / 3 + 0.25 * 1 / 2)
    assert figures["r_precision_deezer"][2] == pytest.approx((1 + 0.25 * 2) / 3)
    by_name = measure(make_rankings(cases, k1_p2=[21]))["model"]["1"]
    assert by_name["r_precision_artist_credit"][2] == 0
    assert by_name["r_precision_deezer"][2] == pytest.approx(0.25 / 3)


def test_without_facts_the_metrics_of_artists_are_missing(cases, facts, make_rankings):
    lists = read_rankings(make_rankings(cases), {"first_k": cases})["first_k"]["1"]["model"]
    assert list(measure_lists(lists, cases["1"])) == list(METRICS)
    everything = [*METRICS, *ARTIST_METRICS, *ARTIST_NAME_METRICS]
    assert list(measure_lists(lists, cases["1"], facts)) == everything


def test_order_of_rankings_and_chunks_do_not_matter(cases, make_rankings, measure, monkeypatch):
    table = make_rankings(cases, k1_p0=[4, 15, 6], k1_p2=[15, 11], k2_p2=[13])
    expected = measure(table)
    monkeypatch.setattr(rankings, "PLAYLISTS_PER_CHUNK", 2)
    results = measure(table.take([4, 1, 3, 0, 2]))
    for case, figures in expected["model"].items():
        for name, values in figures.items():
            np.testing.assert_array_equal(results["model"][case][name], values)


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
def test_lists_that_would_falsify_figures_are_refused(cases, make_rankings, tokens, fault):
    with pytest.raises(ValueError, match=f"^system odd, first_k 1: the list of playlist 0 holds {fault}$"):
        read_rankings(make_rankings(cases, "odd", k1_p0=tokens), {"first_k": cases})


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [0, 1, 2, 3, 4, 4], [0, 1, 2]])
def test_a_system_needs_one_list_for_each_playlist(cases, make_rankings, rows):
    with pytest.raises(ValueError, match="system model does not have one list for each playlist of first_k 2"):
        read_rankings(make_rankings(cases).take(rows), {"first_k": cases})


def test_systems_get_seeds_and_titles_and_their_lists_lose_the_padding(cases, make_config, make_system):
    asked = []

    def rank(seeds, k, *, titles):
        asked.append((len(seeds), k, titles))
        ranked = np.full((len(seeds), k), -1, np.int32)
        ranked[:, 0] = [15 + len(tokens) for tokens in seeds]
        ranked[0, 1] = 20
        return ranked

    systems = {"one": make_system(rank), "two": make_system(rank)}
    table = rank_cases(systems, {"first_k": cases}, make_config())
    assert table.schema == RANKINGS_SCHEMA
    assert table["system"].to_pylist() == ["one"] * 5 + ["two"] * 5
    assert table["case"].to_pylist() == ["1", "1", "1", "2", "2"] * 2
    assert table["tokens"].to_pylist()[:5] == [[16, 20], [16], [16], [17, 20], [17]]
    assert table["playlist_id"].to_pylist()[:5] == [0, 1, 2, 0, 2]
    assert asked[:2] == [(3, 6, ["Title 0", "Title 1", "Title 2"]), (2, 6, ["Title 0", "Title 2"])]
    assert list(read_rankings(table, {"first_k": cases})["first_k"]["2"]) == ["one", "two"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([15, -1, 16, -1, -1, -1], "system odd gave .* padding before its end"),
        ([15, 16], "system odd gave .* shape"),
        ([15, 15, 16, 17, 18, 19], "system odd, first_k 1: the list of playlist 0 holds a track twice"),
    ],
)
def test_systems_that_break_the_contract_are_named(cases, make_config, make_system, row, message):
    system = make_system(lambda seeds, k, *, titles: np.array([row] * len(seeds), np.int32))
    with pytest.raises(ValueError, match=message):
        rank_cases({"odd": system}, {"first_k": cases}, make_config())


def test_no_systems_give_an_empty_table(cases, make_config):
    table = rank_cases({}, {"first_k": cases}, make_config())
    assert (table.num_rows, table.schema) == (0, RANKINGS_SCHEMA)


def test_rankings_survive_parquet(cases, make_rankings, measure, tmp_path):
    table = pa.concat_tables([make_rankings(cases, "a"), make_rankings(cases, "b", k1_p0=[])])
    pq.write_table(table, tmp_path / "rankings.parquet")
    read = measure(pq.read_table(tmp_path / "rankings.parquet"))
    assert list(read) == ["a", "b"]
    assert read["b"]["1"]["clicks"].tolist()[0] == 51
