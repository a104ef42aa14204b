import numpy as np
import pytest

from playlist_pipeline.evaluation.beyond_accuracy import (
    BEYOND_ACCURACY,
    compute_beyond_accuracy,
    compute_decile_recalls,
    coverage,
    distinct_artists,
    find_deciles,
    mean_popularity_percentile,
    mean_training_count,
    popularity_deezer,
)
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.ragged import RaggedArray

COUNTS = [0, 0, 0, 9, 5, 5, 1]  # tokens 3 to 6
ARTISTS = [-1, -1, -1, 0, 0, 1, 2]
LISTS = np.array([[3, 4, -1], [4, 5, 6], [-1, -1, -1]])


@pytest.fixture
def tracks():
    return TrackFacts(np.array(COUNTS), np.array(ARTISTS, np.int32), np.arange(3, dtype=np.int32))


def test_coverage_by_hand(tracks):
    assert coverage(LISTS, tracks, k=1) == 2 / 4
    assert coverage(LISTS, tracks, k=2) == 3 / 4
    assert coverage(LISTS, tracks, k=500) == 1


def test_popularity_by_hand(tracks):
    # The empty list does not count.
    assert mean_training_count(LISTS, tracks) == pytest.approx((7 + 11 / 3) / 2)
    assert mean_training_count(LISTS, tracks, k=1) == pytest.approx((9 + 5) / 2)
    # Percentiles: 6 has half of itself below, 4 and 5 one track and half of two, 3 three and half of itself.
    percentiles = {3: 3.5 / 4, 4: 2 / 4, 5: 2 / 4, 6: 0.5 / 4}
    expected = ((percentiles[3] + percentiles[4]) / 2 + (percentiles[4] + percentiles[5] + percentiles[6]) / 3) / 2
    assert mean_popularity_percentile(LISTS, tracks) == pytest.approx(expected)
    assert popularity_deezer(LISTS, tracks) == pytest.approx(((8 + 4) / 8 / 2 + (4 + 4 + 0) / 8 / 3) / 2)


def test_the_whole_vocabulary_has_the_middle_percentile(tracks):
    assert mean_popularity_percentile(np.array([[3, 4, 5, 6]]), tracks) == pytest.approx(0.5)


def test_equal_counts_have_no_bias(tracks):
    flat = TrackFacts(np.array([0, 0, 0, 2, 2, 2, 2]), tracks.artists, tracks.artist_names)
    assert popularity_deezer(LISTS, flat) == 0
    assert mean_popularity_percentile(LISTS, flat) == pytest.approx(0.5)


def test_artists_by_hand(tracks):
    assert distinct_artists(LISTS, tracks, k=3) == pytest.approx((1 + 3 + 0) / 3)
    assert distinct_artists(LISTS, tracks, k=1) == pytest.approx((1 + 1 + 0) / 3)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 5)])
def test_nothing_recommended(tracks, shape):
    assert compute_beyond_accuracy(np.full(shape, -1), tracks) == dict.fromkeys(BEYOND_ACCURACY, 0)


def test_deciles_hold_a_tenth_of_the_training_occurrences_each():
    rng = np.random.default_rng(0)
    counts = np.concatenate([[0, 0, 0], rng.permutation(np.maximum(10_000 // np.arange(1, 2_001), 1))])
    deciles = find_deciles(counts)
    assert deciles[:3].tolist() == [0, 0, 0]
    assert sorted(set(deciles[3:])) == list(range(1, 11))
    by_popularity = deciles[3:][np.argsort(-counts[3:], kind="stable")]
    assert (np.diff(by_popularity) >= 0).all()
    shares = np.array([counts[deciles == group].sum() for group in range(1, 11)]) / counts.sum()
    # A group is off by at most a half of the track at each of its ends.
    assert np.abs(shares - 0.1).max() <= counts.max() / counts.sum()


def test_deciles_by_hand():
    assert find_deciles(np.array([0, 0, 0, *[1] * 10])).tolist() == [0, 0, 0, *range(1, 11)]
    # One track has 60 of 100 occurrences: its middle lies in the fourth tenth, counted from the most popular.
    assert find_deciles(np.array([0, 0, 0, 20, 60, 20])).tolist() == [0, 0, 0, 8, 4, 10]


def test_recall_by_decile_by_hand():
    facts = TrackFacts(np.array([0, 0, 0, *[1] * 10]), np.zeros(13, np.int32), np.zeros(1, np.int32))
    ranked = np.array([[3, 5, -1], [4, 3, 12]])
    truth = RaggedArray.from_lists([np.array([3, 4]), np.array([3, 12, 5])])
    found = compute_decile_recalls(ranked, truth, np.array([2, 5]), facts)
    assert found["1"] == {"recall": 1, "truth": 2}  # token 3, twice
    assert found["2"] == {"recall": 0, "truth": 1}  # token 4, of the other playlist's list
    assert found["3"] == {"recall": 0, "truth": 1}
    assert found["10"] == {"recall": 1, "truth": 1}
    assert found["5"] == {"recall": None, "truth": 0}
    assert found["unknown"] == {"recall": 0, "truth": 2}
    assert list(found) == [*map(str, range(1, 11)), "unknown"]
    first = compute_decile_recalls(ranked, truth, np.array([2, 5]), facts, k=1)
    assert first["1"] == {"recall": 0.5, "truth": 2}


def test_recall_by_decile_without_lists():
    facts = TrackFacts(np.array([0, 0, 0, 1]), np.zeros(4, np.int32), np.zeros(1, np.int32))
    truth = RaggedArray.from_lists([np.array([3]), np.array([], int)])
    found = compute_decile_recalls(np.full((2, 0), -1), truth, np.array([1, 1]), facts)
    assert {group: figures for group, figures in found.items() if figures["truth"]} == {
        "6": {"recall": 0, "truth": 1},
        "unknown": {"recall": 0, "truth": 1},
    }
