"""Each control does to the outcome what it says; tracks are tokens 3 to 12, the lower the better."""

import math

import numpy as np
import pytest

from playlist_pipeline.config import Controls
from playlist_pipeline.corpus.vocabulary import UNK, stand_in_for
from playlist_pipeline.generation.drawing import Drawer, TrackTraits, arrange_by_likeness

TOKENS = np.arange(3, 13, dtype=np.int32)
SCORES = -np.arange(10, dtype=np.float32)
ARTISTS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 0, 0], np.int32)
COUNTS = np.array([0, 0, 0, 9999, 999, 99, 9, 0, 0, 0, 0, 0, 0], np.int64)
ANGLES = np.array([0, 0, 0, 0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 2.0, 3.0, 1.5, 0.05])
TRAITS = TrackTraits(
    counts=COUNTS,
    vectors=np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32),
    artists=ARTISTS,
    albums=ARTISTS[::-1].copy(),
    find_song={4: "one", 3: "one", 9: "two", 10: "two"}.get,
)


def draw(count, given=(), *, seed=0, songs=(), scores=SCORES, **controls):
    """Draw so many tracks, the best each time unless ``top_k`` is given; a short result means that none was left."""
    wanted = Controls(**{"top_k": 1, "unique_songs": False} | controls | {"length": len(given) + count})
    drawer = Drawer(np.array(given, np.int32), wanted, TRAITS, seed=seed, songs=songs)
    while drawer.ended_by is None and drawer.draw(TOKENS, scores):
        pass
    return drawer.continuation.tokens.tolist()


@pytest.mark.parametrize("settings", [{}, {"top_k": 5, "temperature": 5e-324}])
def test_greedy_drawing_keeps_the_order(settings):
    assert draw(4, **settings) == [3, 4, 5, 6]


def test_nothing_is_drawn_twice_and_a_short_list_ends():
    assert sorted(draw(20, top_k=50)) == TOKENS.tolist()
    assert draw(3, given=[4, 3]) == [5, 6, 7]
    assert draw(0, given=[3]) == []


def test_frequencies_are_the_softmax_of_the_best():
    firsts = [draw(1, top_k=2, seed=seed)[0] for seed in range(2000)]
    assert set(firsts) == {3, 4}
    assert firsts.count(3) / 2000 == pytest.approx(1 / (1 + math.exp(-1)), abs=0.03)


def test_the_same_seed_gives_the_same_tracks_and_a_longer_playlist_begins_the_same():
    assert draw(4, top_k=5, seed=5) == draw(4, top_k=5, seed=5) == draw(7, top_k=5, seed=5)[:4]
    assert len({tuple(draw(4, top_k=5, seed=seed)) for seed in range(20)}) > 1


def test_no_artist_has_more_tracks_than_allowed():
    assert draw(10, max_per_artist=1) == [3, 7, 9, 11, 12]  # the artist of 11 and 12 is unknown
    assert draw(10, given=[8], max_per_artist=1) == [3, 9, 11, 12]
    assert draw(10, given=[3], max_per_artist=2) == [4, 7, 8, 9, 10, 11, 12]


def test_a_seed_of_an_unknown_track_counts_for_the_artist_of_its_stand_in():
    assert draw(3, given=[int(stand_in_for(np.int32(3))), UNK], max_per_artist=1) == [7, 9, 11]


def test_no_album_has_more_tracks_than_allowed():
    drawn = draw(10, max_per_album=1)
    albums = [int(TRAITS.albums[token]) for token in drawn if TRAITS.albums[token]]
    assert len(albums) == len(set(albums)) == 3
    assert draw(10) != drawn


def test_a_song_stands_in_a_playlist_once():
    assert draw(10, unique_songs=True) == [3, 5, 6, 7, 8, 9, 11, 12]
    assert draw(3, unique_songs=True, songs=["one"]) == [5, 6, 7]


def test_the_popularity_penalty_moves_rare_tracks_up():
    assert draw(10, popularity_penalty=2.0) == [
        7,
        8,
        9,
        10,
        6,
        11,
        12,
        5,
        4,
        3,
    ]  # log(1 + 9) doubled: 6 falls behind 10
    assert draw(10, popularity_penalty=1e-6) == draw(10)


def test_diversity_moves_unlike_tracks_up():
    flat = np.zeros(10, np.float32)
    assert draw(2, given=[3], scores=flat, diversity=1.0) == [10, 11]  # 10 points the other way, 11 is between
    assert draw(3, given=[3], diversity=0.0) == [4, 5, 6]

    def likeness(drawn):
        vectors = TRAITS.vectors[[3, *drawn]]
        return (vectors @ vectors.T).mean()

    plain, half, full = (likeness(draw(3, given=[3], diversity=share)) for share in (0.0, 0.5, 1.0))
    assert max(half, full) < plain - 0.1


def test_the_end_is_one_more_candidate():
    drawer = Drawer(np.array([3], np.int32), Controls(top_k=1, length=5), TRAITS, seed=0)
    assert drawer.draw(TOKENS, SCORES, eop_logit=-1.5)
    assert drawer.draw(TOKENS, SCORES, eop_logit=-1.5)
    assert (drawer.continuation.tokens.tolist(), drawer.continuation.ended_by) == ([4], "eop")


def test_without_candidates_nothing_happens():
    drawer = Drawer(np.array([3], np.int32), Controls(length=5), TRAITS, seed=0)
    assert not drawer.draw(np.array([3, -1], np.int32), np.array([1.0, -np.inf], np.float32))
    assert drawer.ended_by is None
    drawer.exhaust()
    assert drawer.continuation.ended_by == "vocabulary"


def test_likeness_leads_from_each_track_to_the_nearest_left():
    angles = np.array([0.0, 3.0, 0.1, 1.5, 0.2])
    assert arrange_by_likeness(np.stack([np.cos(angles), np.sin(angles)], axis=1)) == [0, 2, 4, 3, 1]
    assert arrange_by_likeness(np.empty((0, 2))) == []
