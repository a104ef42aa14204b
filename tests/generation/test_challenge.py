import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation import Recommender
from playlist_pipeline.generation.challenge import (
    CHALLENGE_RANKINGS_SCHEMA,
    fill_lists,
    rank_challenge,
    summarise_rankings,
)
from playlist_pipeline.mpd import ChallengePlaylist

ABSENT = "spotify:track:" + "x" * 22


def make_uri(number):
    return f"spotify:track:{number:022d}"


def make_vocabulary(num_tracks):
    counts = np.concatenate([np.zeros(len(SPECIALS), int), np.arange(num_tracks, 0, -1)])
    return Vocabulary(pa.array([*SPECIALS, *map(make_uri, range(num_tracks))]), counts)


class Backwards:
    """Ranks the last tokens first, down to ``lowest``; keeps what it was asked."""

    def __init__(self, vocabulary, lowest=3):
        self.vocabulary, self.lowest = vocabulary, lowest

    def rank(self, seeds, k, *, titles=None):
        self.seeds, self.titles = seeds, titles
        ranked = np.full((len(seeds), k), -1, np.int32)
        for row, given in zip(ranked, seeds, strict=True):
            tokens = np.setdiff1d(np.arange(self.lowest, len(self.vocabulary)), given)[::-1][:k]
            row[: len(tokens)] = tokens
        return ranked


def test_one_row_for_each_playlist_with_its_list():
    recommender = Backwards(make_vocabulary(510))
    playlists = [
        ChallengePlaylist(8, "Party", (), 9),
        ChallengePlaylist(5, None, (make_uri(509), ABSENT, make_uri(507), make_uri(509)), 9),
    ]
    rankings = rank_challenge(recommender, playlists)
    assert rankings.schema == CHALLENGE_RANKINGS_SCHEMA
    assert recommender.titles == ["Party", None]
    assert [seeds.tolist() for seeds in recommender.seeds] == [[], [512, UNK, 510, 512]]
    first, second = rankings.to_pylist()
    assert first["track_uris"] == [make_uri(number) for number in range(509, 9, -1)]
    assert second["track_uris"] == [make_uri(number) for number in (508, *range(506, 7, -1))]
    assert [(row["pid"], row["has_title"], row["num_seeds"]) for row in (first, second)] == [
        (8, True, 0),
        (5, False, 4),
    ]
    assert [(row["num_unknown_seeds"], row["num_filled"]) for row in (first, second)] == [(0, 0), (1, 0)]


def test_short_lists_are_filled_with_the_most_frequent_tracks():
    recommender = Backwards(make_vocabulary(600), lowest=110)
    seeds = (make_uri(0), make_uri(2), ABSENT, make_uri(599))
    rankings = rank_challenge(recommender, [ChallengePlaylist(1, None, seeds, 9), ChallengePlaylist(2, None, (), 9)])
    first, second = rankings.to_pylist()
    assert first["track_uris"][:492] == [make_uri(number) for number in range(598, 106, -1)]
    assert first["track_uris"][492:] == [make_uri(number) for number in (1, 3, 4, 5, 6, 7, 8, 9)]
    assert second["track_uris"][493:] == [make_uri(number) for number in range(7)]
    assert [first["num_filled"], second["num_filled"]] == [8, 7]
    assert summarise_rankings(rankings) == {
        "playlists": 2,
        "playlists_by_seeds": {"0": 1, "4": 1},
        "playlists_with_title": 0,
        "seeds": 4,
        "unknown_seeds": 1,
        "filled_lists": 2,
        "filled_tracks": 15,
    }


def test_filling_takes_the_last_track_that_is_left():
    ranked = np.array([[3, -1, -1], [4, 5, 6], [-1, -1, -1]], np.int32)
    seeds = [np.array([5, 5, UNK, 4]), np.array([3]), np.array([7])]
    assert fill_lists(ranked, seeds).tolist() == [[3, 6, 7], [4, 5, 6], [3, 4, 5]]
    assert ranked[0].tolist() == [3, -1, -1]


def test_a_vocabulary_of_just_enough_tracks_and_one_too_few():
    seeds = (make_uri(0), make_uri(0), make_uri(9), ABSENT)
    playlists = [ChallengePlaylist(1, None, (), 9), ChallengePlaylist(2, None, seeds, 9)]
    rankings = rank_challenge(Backwards(make_vocabulary(502)), playlists)
    assert all(len(set(uris)) == 500 for uris in rankings["track_uris"].to_pylist())
    with pytest.raises(UserError) as caught:
        rank_challenge(Backwards(make_vocabulary(501)), playlists)
    assert str(caught.value) == (
        "a submission needs 500 tracks for each playlist, but the model's vocabulary has 501, of which pid 2 has 2 as "
        "seeds: train on a larger archive, or with a smaller vocabulary.min_count"
    )


def test_the_recommender_takes_titles(circle):
    seeds = [np.array([5, 6]), np.array([], np.int32)]
    recommender = Recommender(circle, batch_size=2)
    assert recommender.rank(seeds, 12, titles=["Party", None]).tolist() == recommender.rank(seeds, 12).tolist()
