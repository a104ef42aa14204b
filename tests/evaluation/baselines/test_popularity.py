import numpy as np

from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.evaluation.baselines import Popularity, ranking


def test_most_popular_first_without_seeds(make_vocabulary, seeds_of) -> None:
    # Tokens 3, 4, 5, 6, with ties between 3 and 5.
    ranked = Popularity(make_vocabulary([2, 9, 2, 1])).rank(seeds_of([4], [], [6, UNK, 3]), 3)
    np.testing.assert_array_equal(ranked, [[3, 5, 6], [4, 3, 5], [4, 5, -1]])
    assert ranked.dtype == np.int32


def test_list_longer_than_the_vocabulary(make_vocabulary, seeds_of) -> None:
    ranked = Popularity(make_vocabulary([2, 1])).rank(seeds_of([3], [3, 4]), 4)
    np.testing.assert_array_equal(ranked, [[4, -1, -1, -1], [-1, -1, -1, -1]])


def test_repeated_seed(make_vocabulary, seeds_of) -> None:
    np.testing.assert_array_equal(Popularity(make_vocabulary([3, 2, 1])).rank(seeds_of([4, 4]), 2), [[3, 5]])


def test_chunks_do_not_matter(make_vocabulary, random_playlists, monkeypatch) -> None:
    popularity, seeds = Popularity(make_vocabulary(range(40, 0, -1))), random_playlists[:7]
    whole = popularity.rank(seeds, 10)
    monkeypatch.setattr(ranking, "PLAYLISTS_PER_CHUNK", 3)
    np.testing.assert_array_equal(popularity.rank(seeds, 10), whole)


def test_lists_are_filled_behind_what_they_hold(make_vocabulary) -> None:
    popularity = Popularity(make_vocabulary([1, 4, 3, 2]))  # order 4, 5, 6, 3
    ranked = np.array([[3, 5, -1, -1], [-1, -1, -1, -1], [6, 5, 4, 3]], np.int32)
    filled = popularity.fill(ranked, np.array([0, 1]), np.array([6, 4]))
    np.testing.assert_array_equal(filled, [[3, 5, 4, -1], [5, 6, 3, -1], [6, 5, 4, 3]])
