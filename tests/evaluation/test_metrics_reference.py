"""Every metric against another implementation on random lists: scikit-learn where it has one, else loops over tracks.

The lists are 500 of 1,500 tracks by 40 artists, some of whom share a name. The truth may hold more tracks than a list,
and tracks that no list can hold.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.metrics import f1_score, ndcg_score, precision_score, recall_score

from playlist_pipeline.evaluation.beyond_accuracy import compute_beyond_accuracy, compute_decile_recalls
from playlist_pipeline.evaluation.cases import TestCases
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.metrics import ARTIST_METRICS, ARTIST_NAME_METRICS, METRICS
from playlist_pipeline.evaluation.ragged import RaggedArray
from playlist_pipeline.evaluation.rankings import measure_lists

NUM_TOKENS, NUM_UNKNOWN, NUM_ARTISTS, LENGTH = 1503, 100, 40, 500


class Playlist(NamedTuple):
    """One playlist's list and truth as plain values; unknown tracks of the truth are numbered from NUM_TOKENS on."""

    ranked: list[int]
    truth: list[int]

    def labels(self) -> np.ndarray:
        """Return whether each track is withheld, unknown tracks included."""
        return np.isin(np.arange(NUM_TOKENS + NUM_UNKNOWN), self.truth).astype(int)

    def first(self, k: int) -> np.ndarray:
        """Return whether each track is among the first k."""
        return np.isin(np.arange(NUM_TOKENS + NUM_UNKNOWN), self.ranked[:k]).astype(int)

    def hits(self, k: int) -> set[int]:
        """Return the withheld tracks among the first k."""
        return set(self.ranked[:k]) & set(self.truth)


@pytest.fixture(scope="module")
def drawn():
    """40 playlists; the truth is drawn with a bias to the front of the list, so that there are hits."""
    rng = np.random.default_rng(5)
    playlists = []
    for number in range(40):
        ranked = 3 + rng.choice(NUM_TOKENS - 3, LENGTH, replace=False)
        size = int(rng.integers(1, 60)) if number % 4 else int(rng.integers(400, 800))
        weights = np.ones(NUM_TOKENS + NUM_UNKNOWN)
        weights[:3] = 0
        weights[ranked] = 1 + 20 * np.exp(-np.arange(LENGTH) / 40) * (number % 3)
        truth = rng.choice(len(weights), size, replace=False, p=weights / weights.sum())
        playlists.append(Playlist(ranked.tolist(), truth.tolist()))
    return playlists


@pytest.fixture(scope="module")
def artist_of():
    """The artist of each track, unknown ones included; artists 0 to 9 have the names of 10 to 19."""
    return np.random.default_rng(6).integers(0, NUM_ARTISTS, NUM_TOKENS + NUM_UNKNOWN)


@pytest.fixture(scope="module")
def facts(artist_of):
    counts = np.random.default_rng(7).integers(1, 200, NUM_TOKENS)
    counts[:3] = 0
    names = np.arange(NUM_ARTISTS)
    names[10:20] = np.arange(10)
    return TrackFacts(counts, artist_of[:NUM_TOKENS].astype(np.int32), names.astype(np.int32))


@pytest.fixture(scope="module")
def cases(drawn, artist_of):
    known = [np.array([token for token in playlist.truth if token < NUM_TOKENS], int) for playlist in drawn]
    return TestCases(
        protocol="first_k",
        case="0",
        playlist_ids=np.arange(len(drawn)),
        pids=np.arange(len(drawn)),
        titles=[None] * len(drawn),
        seeds=RaggedArray.from_lists([np.zeros(0, int)] * len(drawn)),
        truth=RaggedArray.from_lists(known),
        num_truth=np.array([len(playlist.truth) for playlist in drawn]),
        truth_artists=RaggedArray.from_lists([np.unique(artist_of[playlist.truth]) for playlist in drawn]),
    )


@pytest.fixture(scope="module")
def lists(drawn):
    return RaggedArray.from_lists([np.array(playlist.ranked) for playlist in drawn])


@pytest.fixture(scope="module")
def measured(lists, cases, facts):
    return measure_lists(lists, cases, facts)


def sklearn_ndcg(playlist):
    scores = np.zeros(NUM_TOKENS + NUM_UNKNOWN)
    scores[playlist.ranked] = np.arange(LENGTH, 0, -1)
    return ndcg_score([playlist.labels()], [scores], k=LENGTH, ignore_ties=True)


def loop_clicks(playlist):
    for page in range(50):
        if set(playlist.ranked[10 * page : 10 * page + 10]) & set(playlist.truth):
            return page
    return 51


def loop_dcg(flags, discount):
    return sum(discount(rank) for rank, flag in enumerate(flags, 1) if flag)


def loop_ndcg_rules(playlist):
    def discount(rank):
        return 1 if rank == 1 else 1 / math.log2(rank)

    num_hits = len(playlist.hits(LENGTH))
    flags = [track in playlist.truth for track in playlist.ranked]
    return loop_dcg(flags, discount) / loop_dcg([True] * num_hits, discount) if num_hits else 0


def loop_ndcg_deezer(playlist):
    def discount(rank):
        return 1 / math.log2(rank + 1)

    flags = [track in playlist.truth for track in playlist.ranked]
    return loop_dcg(flags, discount) / loop_dcg([True] * len(playlist.truth), discount)


INDEPENDENT = {
    "ndcg@500": sklearn_ndcg,
    "r_precision": lambda playlist: (
        precision_score(playlist.labels(), playlist.first(len(playlist.truth)))
        if len(playlist.truth) <= LENGTH
        else recall_score(playlist.labels(), playlist.first(LENGTH))
    ),
    **{f"recall@{k}": lambda playlist, k=k: recall_score(playlist.labels(), playlist.first(k)) for k in (10, 100, 500)},
    **{
        f"precision@{k}": lambda playlist, k=k: precision_score(playlist.labels(), playlist.first(k))
        for k in (10, 100, 500)
    },
    **{f"f1@{k}": lambda playlist, k=k: f1_score(playlist.labels(), playlist.first(k)) for k in (10, 50, 100, 200)},
    "clicks": loop_clicks,
    "ndcg_rules@500": loop_ndcg_rules,
    "ndcg_deezer@500": loop_ndcg_deezer,
}


def test_the_random_lists_are_of_all_kinds(drawn, measured):
    recall = measured["recall@500"]
    assert 0 == recall.min() < np.median(recall) < recall.max() < 1
    assert any(len(playlist.truth) > LENGTH for playlist in drawn)
    assert any(max(playlist.truth) >= NUM_TOKENS for playlist in drawn)
    assert {0, 51} < set(measured["clicks"])
    assert (measured["r_precision"] == 0).any()


@pytest.mark.parametrize("name", METRICS)
def test_metric_equals_an_independent_one(name, drawn, measured):
    expected = [INDEPENDENT[name](playlist) for playlist in drawn]
    np.testing.assert_allclose(measured[name], expected, rtol=1e-12, atol=1e-15)


def loop_artist_credit(playlist, artist_of, name_of):
    size = min(len(playlist.truth), LENGTH)
    artists, credited, total = {artist_of[track] for track in playlist.truth}, set(), 0
    for track in playlist.ranked[:size]:
        if track in playlist.truth:
            total += 1
        elif artist_of[track] in artists and artist_of[track] not in credited:
            credited.add(artist_of[track])
            total += 0.25
    return total / size


def loop_artist_share(playlist, artist_of, name_of):
    size = len(playlist.truth)
    artists = {artist_of[track] for track in playlist.truth}
    missed = {artist_of[track] for track in playlist.ranked[:size] if track not in playlist.truth}
    return len(playlist.hits(size)) / size + 0.25 * len(missed & artists) / len(artists)


def loop_deezer(playlist, artist_of, name_of):
    size = len(playlist.truth)
    names = {name_of[artist_of[track]] for track in playlist.truth}
    recommended = {name_of[artist_of[track]] for track in playlist.ranked}
    return (len(playlist.hits(size)) + 0.25 * len(recommended & names)) / size


WITH_ARTISTS = {
    "r_precision_artist_credit": loop_artist_credit,
    "r_precision_artist_share": loop_artist_share,
    "r_precision_deezer": loop_deezer,
}


@pytest.mark.parametrize("name", [*ARTIST_METRICS, *ARTIST_NAME_METRICS])
def test_metric_with_artists_equals_loops(name, drawn, measured, artist_of):
    name_of = [artist - 10 if 10 <= artist < 20 else artist for artist in range(NUM_ARTISTS)]
    expected = [WITH_ARTISTS[name](playlist, artist_of.tolist(), name_of) for playlist in drawn]
    np.testing.assert_allclose(measured[name], expected, rtol=1e-12, atol=1e-15)


def test_figures_beyond_accuracy_equal_loops(drawn, lists, facts, artist_of):
    counts = facts.counts.tolist()
    known = counts[3:]
    low, high = min(known), max(known)

    def mean(function):
        return sum(sum(map(function, playlist.ranked)) / LENGTH for playlist in drawn) / len(drawn)

    def percentile(track):
        below = sum(count < counts[track] for count in known)
        return (below + sum(count == counts[track] for count in known) / 2) / len(known)

    def artists(k):
        return sum(len({artist_of[track] for track in playlist.ranked[:k]}) for playlist in drawn) / len(drawn)

    place = {track: percentile(track) for track in range(3, NUM_TOKENS)}
    expected = {
        "coverage@10": len({track for playlist in drawn for track in playlist.ranked[:10]}) / len(known),
        "coverage@500": len({track for playlist in drawn for track in playlist.ranked}) / len(known),
        "training_count@500": mean(counts.__getitem__),
        "popularity_percentile@500": mean(place.__getitem__),
        "popularity_deezer@500": mean(lambda track: (counts[track] - low) / (high - low)),
        "artists@10": artists(10),
        "artists@500": artists(500),
    }
    assert compute_beyond_accuracy(lists.pad(-1), facts) == pytest.approx(expected, rel=1e-12)


def test_recall_by_decile_equals_loops(drawn, cases, lists, facts):
    total = int(facts.counts.sum())
    group, before = {}, 0
    for track in sorted(range(3, NUM_TOKENS), key=lambda track: -facts.counts[track]):
        middle = before + int(facts.counts[track]) / 2
        group[track] = str(1 + math.floor(10 * middle / total))
        before += int(facts.counts[track])
    found = {name: [] for name in [*map(str, range(1, 11)), "unknown"]}
    for playlist in drawn:
        for track in playlist.truth:
            found[group.get(track, "unknown")].append(track in playlist.ranked)
    recalls = compute_decile_recalls(lists.pad(-1), cases.truth, cases.num_truth, facts)
    assert recalls == {
        name: {"recall": pytest.approx(sum(flags) / len(flags)), "truth": len(flags)} for name, flags in found.items()
    }
