import math

import numpy as np
import pytest

from playlist_pipeline.evaluation import metrics
from playlist_pipeline.evaluation.metrics import (
    ARTIST_METRICS,
    ARTIST_NAME_METRICS,
    MAIN_METRICS,
    METRICS,
    ArtistMatches,
    compute_hits,
    compute_metrics,
    count_artists,
)

MAIN_NAMES = ["r_precision", "ndcg@500", "clicks", "recall@500", "f1@10", "f1@50", "f1@100", "f1@200"]
EXPECTED_NAMES = [
    *MAIN_NAMES,
    "recall@10",
    "recall@100",
    "precision@10",
    "precision@100",
    "precision@500",
    "ndcg_rules@500",
    "ndcg_deezer@500",
]
ARTIST_NAMES = ["r_precision_artist_credit", "r_precision_artist_share", "r_precision_deezer"]
WITH_ARTISTS = {**ARTIST_METRICS, **ARTIST_NAME_METRICS}


def make_hits(*ranks, length):
    """One list of ``length`` entries with hits at these ranks, which count from 1."""
    hits = np.zeros((1, length), bool)
    hits[0, [rank - 1 for rank in ranks]] = True
    return hits


def make_matches(artists, truth):
    """The artists of one list, and those of its truth."""
    artists = np.array([artists], np.int32)
    return ArtistMatches(artists, np.isin(artists, truth), np.array([len(truth)]))


def test_names_are_those_of_the_report():
    assert list(MAIN_METRICS) == MAIN_NAMES
    assert list(METRICS) == EXPECTED_NAMES
    assert list(WITH_ARTISTS) == ARTIST_NAMES


def test_hits_are_known_truth_of_the_same_playlist():
    ranked = np.array([[5, 6, 7], [6, 5, -1], [9, -1, -1]], np.int32)
    truth = np.array([7, 5, 6, 8], np.int32)
    hits = compute_hits(ranked, truth, np.array([0, 2, 4, 4]))
    np.testing.assert_array_equal(hits, [[True, False, True], [True, False, False], [False, False, False]])


def test_hits_take_a_part_of_longer_truth():
    truth = np.array([3, 4, 5, 6], np.int32)
    np.testing.assert_array_equal(compute_hits(np.array([[4, 5]]), truth, np.array([2, 4])), [[False, True]])


def test_hits_refuse_another_number_of_playlists():
    with pytest.raises(ValueError, match="2 ranked lists for the truth of 1 playlists"):
        compute_hits(np.zeros((2, 3), np.int32), np.zeros(0, np.int32), np.array([0, 0]))


def test_hits_of_no_playlists():
    empty = np.zeros(0, np.int32)
    assert compute_hits(np.zeros((0, 5), np.int32), empty, np.array([0])).shape == (0, 5)
    assert compute_hits(np.zeros((2, 0), np.int32), empty, np.array([0, 0, 0])).shape == (2, 0)


def test_one_playlist_by_hand():
    # Truth of 4 tracks, hits at ranks 2, 4 and 12.
    values = compute_metrics(make_hits(2, 4, 12, length=500), np.array([4]))
    dcg = 1 / math.log2(3) + 1 / math.log2(5) + 1 / math.log2(13)
    idcg = 1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)
    expected = {
        "r_precision": 2 / 4,
        "ndcg@500": dcg / idcg,
        "clicks": 0,
        "recall@500": 3 / 4,
        "f1@10": 2 * (2 / 10) * (2 / 4) / (2 / 10 + 2 / 4),
        "f1@50": 2 * (3 / 50) * (3 / 4) / (3 / 50 + 3 / 4),
        "f1@100": 2 * (3 / 100) * (3 / 4) / (3 / 100 + 3 / 4),
        "f1@200": 2 * (3 / 200) * (3 / 4) / (3 / 200 + 3 / 4),
        "recall@10": 2 / 4,
        "recall@100": 3 / 4,
        "precision@10": 2 / 10,
        "precision@100": 3 / 100,
        "precision@500": 3 / 500,
        # Ranks 2, 4, 12 have discounts 1, 1/2, 1/log2(12); ranks 1, 2, 3 have 1, 1, 1/log2(3).
        "ndcg_rules@500": (1 + 1 / 2 + 1 / math.log2(12)) / (1 + 1 + 1 / math.log2(3)),
        "ndcg_deezer@500": dcg / idcg,
    }
    assert {name: value.item() for name, value in values.items()} == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("num_truth", [1, 10, 37, 500])
def test_perfect_list(num_truth):
    values = compute_metrics(make_hits(*range(1, num_truth + 1), length=500), np.array([num_truth]))
    assert values["r_precision"] == 1
    assert values["ndcg@500"] == 1
    assert values["clicks"] == 0
    assert values["recall@500"] == 1
    assert values["ndcg_rules@500"] == 1
    assert values["ndcg_deezer@500"] == 1
    assert values["precision@500"] == num_truth / 500


@pytest.mark.parametrize("k", [10, 50, 100, 200])
def test_f1_is_one_only_where_the_truth_is_as_long_as_the_list(k):
    perfect = make_hits(*range(1, k + 1), length=500)
    assert METRICS[f"f1@{k}"](perfect, np.array([k])) == 1
    assert METRICS[f"f1@{k}"](perfect, np.array([2 * k])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("length", [0, 3, 500])
def test_nothing_found(length):
    values = compute_metrics(np.zeros((2, length), bool), np.array([1, 600]))
    assert {name: value.tolist() for name, value in values.items()} == {
        name: [51, 51] if name == "clicks" else [0, 0] for name in EXPECTED_NAMES
    }


def test_no_playlists():
    values = compute_metrics(np.zeros((0, 500), bool), np.zeros(0, int))
    assert {name: value.shape for name, value in values.items()} == dict.fromkeys(EXPECTED_NAMES, (0,))


@pytest.mark.parametrize(("rank", "expected"), [(1, 0), (10, 0), (11, 1), (20, 1), (491, 49), (500, 49)])
def test_clicks_turn_a_page_every_ten_tracks(rank, expected):
    assert metrics.clicks(make_hits(rank, length=500), np.array([3])) == expected


def test_entries_after_500_do_not_count():
    late = make_hits(501, 502, length=600)
    assert metrics.clicks(late, np.array([3])) == 51
    assert metrics.ndcg(late, np.array([3])) == 0
    assert metrics.recall(late, np.array([3])) == 0
    assert metrics.ndcg_rules(late, np.array([3])) == 0
    assert metrics.ndcg_deezer(late, np.array([3])) == 0
    matches = make_matches([-1] * 500 + [7] * 100, [7])
    assert metrics.r_precision_artist_credit(late, np.array([800]), matches) == 0
    assert metrics.r_precision_deezer(late, np.array([3]), matches) == 0


def test_r_precision_looks_only_at_as_many_entries_as_the_truth_has():
    hits = make_hits(1, 3, 4, length=10)
    assert metrics.r_precision(hits, np.array([3])) == pytest.approx(2 / 3)
    assert metrics.r_precision(hits, np.array([1])) == 1


def test_a_short_list_equals_its_padded_form():
    short = compute_metrics(make_hits(1, 3, length=3), np.array([5]))
    padded = compute_metrics(make_hits(1, 3, length=500), np.array([5]))
    assert short == padded


def test_truth_longer_than_the_list():
    # 800 withheld tracks, all 500 entries right.
    values = compute_metrics(np.ones((1, 500), bool), np.array([800]))
    assert values["r_precision"] == 500 / 800
    assert values["ndcg@500"] == 1
    assert values["recall@500"] == 500 / 800
    assert values["f1@200"] == 2 * 200 / (200 + 800)
    assert values["ndcg_rules@500"] == 1
    discounts = 1 / np.log2(np.arange(2, 802))
    assert values["ndcg_deezer@500"] == pytest.approx(discounts[:500].sum() / discounts.sum())
    matches = make_matches(range(500), list(range(600)))
    hits, num_truth = np.ones((1, 500), bool), np.array([800])
    assert metrics.r_precision_artist_credit(hits, num_truth, matches) == 1  # divided by the list's 500
    assert metrics.r_precision_deezer(hits, num_truth, matches) == (500 + 0.25 * 500) / 800


def test_batch_equals_single():
    rng = np.random.default_rng(0)
    hits, num_truth = rng.random((20, 60)) < 0.2, rng.integers(1, 90, 20)
    batch = compute_metrics(hits, num_truth)
    for index in range(20):
        single = compute_metrics(hits[index : index + 1], num_truth[index : index + 1])
        assert {name: value[index] for name, value in batch.items()} == {
            name: value[0] for name, value in single.items()
        }


@pytest.mark.parametrize("name", EXPECTED_NAMES)
def test_empty_truth_is_refused(name):
    with pytest.raises(ValueError, match="without truth"):
        METRICS[name](np.zeros((1, 5), bool), np.array([0]))


@pytest.mark.parametrize("name", EXPECTED_NAMES)
def test_shapes_must_agree(name):
    with pytest.raises(ValueError, match="same playlists"):
        METRICS[name](np.zeros((2, 5), bool), np.array([1]))


class TestArtists:
    # Truth of 5 tracks by artists 1, 2, 3. The list: a miss by 1, a hit by 1, a miss by 1, a miss by 9, a miss by 2;
    # behind the fifth entry a miss by 3 and a hit by 3.
    hits = make_hits(2, 7, length=7)
    num_truth = np.array([5])
    matches = make_matches([1, 1, 1, 9, 2, 3, 3], [1, 2, 3])

    def test_credit_once_for_each_artist_of_a_missed_track(self):
        value = metrics.r_precision_artist_credit(self.hits, self.num_truth, self.matches)
        assert value == pytest.approx((1 + 0.25 * 2) / 5)

    def test_share_divides_by_the_artists_of_the_truth(self):
        value = metrics.r_precision_artist_share(self.hits, self.num_truth, self.matches)
        assert value == pytest.approx(1 / 5 + 0.25 * 2 / 3)

    def test_deezer_looks_at_the_whole_list_and_at_hits_too(self):
        value = metrics.r_precision_deezer(self.hits, self.num_truth, self.matches)
        assert value == pytest.approx((1 + 0.25 * 3) / 5)

    def test_perfect_list(self):
        hits, matches = make_hits(1, 2, length=9), make_matches([1, 2, 1, 2, 1, 2, 1, 2, 1], [1, 2])
        assert metrics.r_precision_artist_credit(hits, np.array([2]), matches) == 1
        assert metrics.r_precision_artist_share(hits, np.array([2]), matches) == 1
        assert metrics.r_precision_deezer(hits, np.array([2]), matches) == 1.25

    def test_right_artists_alone(self):
        hits, matches = np.zeros((1, 6), bool), make_matches([1, 1, 2, 2, 3, 4], [1, 2, 3, 4])
        assert metrics.r_precision_artist_credit(hits, np.array([4]), matches) == 0.25 * 2 / 4
        assert metrics.r_precision_artist_share(hits, np.array([4]), matches) == 0.25 * 2 / 4
        assert metrics.r_precision_deezer(hits, np.array([4]), matches) == 0.25 * 4 / 4

    @pytest.mark.parametrize("length", [0, 3, 500])
    @pytest.mark.parametrize("name", ARTIST_NAMES)
    def test_nothing_found(self, name, length):
        hits = np.zeros((1, length), bool)
        for artists in ([-1] * length, [9] * length):
            assert WITH_ARTISTS[name](hits, self.num_truth, make_matches(artists, [1])) == 0

    @pytest.mark.parametrize("name", ARTIST_NAMES)
    def test_a_short_list_equals_its_padded_form(self, name):
        padded = np.pad(self.matches.artists[0], (0, 493), constant_values=-1)
        long_hits = make_hits(2, 7, length=500)
        value = WITH_ARTISTS[name](long_hits, self.num_truth, make_matches(padded, [1, 2, 3]))
        assert value == WITH_ARTISTS[name](self.hits, self.num_truth, self.matches)

    @pytest.mark.parametrize("name", ARTIST_NAMES)
    def test_refuses(self, name):
        metric = WITH_ARTISTS[name]
        with pytest.raises(ValueError, match="without truth"):
            metric(self.hits, np.array([0]), self.matches)
        with pytest.raises(ValueError, match="same playlists"):
            metric(self.hits[:, :5], self.num_truth, self.matches)
        with pytest.raises(ValueError, match="same playlists"):
            metric(np.zeros((2, 7), bool), np.array([5]), self.matches)

    def test_no_playlists(self):
        empty = ArtistMatches(np.zeros((0, 5), np.int32), np.zeros((0, 5), bool), np.zeros(0, int))
        for metric in WITH_ARTISTS.values():
            assert metric(np.zeros((0, 5), bool), np.zeros(0, int), empty).shape == (0,)

    def test_counting(self):
        artists = np.array([[5, 5, 7, 7], [1, 2, 3, 4], [1, 1, 1, 1]])
        counted = np.array([[True, True, False, True], [True] * 4, [False] * 4])
        assert count_artists(artists, counted).tolist() == [2, 4, 0]


def test_order_of_hits_alone_counts_in_the_form_of_the_rules():
    few, many = make_hits(1, 2, length=500), make_hits(*range(1, 41), length=500)
    assert metrics.ndcg_rules(few, np.array([40])) == metrics.ndcg_rules(many, np.array([40])) == 1
    assert metrics.ndcg(few, np.array([40])) < metrics.ndcg(many, np.array([40])) == 1
    # The first two ranks weigh the same.
    assert metrics.ndcg_rules(make_hits(2, length=500), np.array([40])) == 1
    assert metrics.ndcg_rules(make_hits(3, length=500), np.array([40])) == pytest.approx(1 / math.log2(3))
