import dataclasses

import numpy as np
import pytest
from implicit.nearest_neighbours import CosineRecommender
from scipy.sparse import csr_matrix

from playlist_pipeline.config import ItemKNNSettings, PlaylistKNNSettings, TitleKNNSettings
from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.evaluation.baselines import ItemKNN, PlaylistKNN, TitleKNN, neighbours
from playlist_pipeline.evaluation.baselines.neighbours import TitleIndex, list_ngrams, normalise_title

COSINE = ItemKNNSettings(num_neighbours=1000, alpha=0.5, similarity_power=1.0, length_power=0.0)
PLAIN = PlaylistKNNSettings(num_neighbours=1000, damping=0.0, similarity_power=1.0, length_power=0.0)
TITLES = TitleKNNSettings(max_ngram=3, num_neighbours=10, similarity_power=1.0, length_power=0.0)


def change(settings, **changes):
    return dataclasses.replace(settings, **changes)


@pytest.fixture
def rank(make_data, seeds_of):
    """Give ``rank(System, settings, playlists, seeds, k)``: the list for one playlist over the tokens 3 to 12."""

    def rank(system, settings, playlists, seeds, k=10):
        return system(make_data(playlists, num_tracks=10), settings).rank(seeds_of(seeds), k)[0].tolist()

    return rank


def fit_implicit(playlists, num_neighbours):
    rows = np.repeat(np.arange(len(playlists)), [len(playlist) for playlist in playlists])
    matrix = csr_matrix((np.ones(len(rows)), (rows, np.concatenate(playlists))), (len(playlists), 43))
    matrix.data[:] = 1
    recommender = CosineRecommender(K=num_neighbours)
    recommender.fit(matrix, show_progress=False)
    return recommender


class TestItemKNN:
    def test_by_hand(self, rank) -> None:
        # Track 3 shares two playlists with 4 and one with 5; 6 and 7 stand alone.
        playlists = [[3, 4], [3, 4, 5], [6, 7], [7], [7]]
        # cos(3, 4) = 1, cos(3, 5) = 1/sqrt(2); 3 and 4 tie for 5; 7 is the most popular.
        assert rank(ItemKNN, COSINE, playlists, [3], 2) == [4, 5]
        assert rank(ItemKNN, COSINE, playlists, [5], 2) == [3, 4]
        assert rank(ItemKNN, COSINE, playlists, [6], 2) == [7, 3]

    def test_checkerboard(self, make_data, seeds_of) -> None:
        # Odd and even tracks never meet.
        even, odd = list(range(4, 24, 2)), list(range(3, 23, 2))
        knn = ItemKNN(make_data([even] * 3 + [odd] * 4, num_tracks=21), COSINE)
        ranked = knn.rank(seeds_of([4], [3, 7]), 8)
        np.testing.assert_array_equal(ranked[0], even[1:9])
        np.testing.assert_array_equal(ranked[1], [token for token in odd if token not in (3, 7)][:8])

    def test_a_seed_knows_its_nearest_only_and_ties_go_to_the_lower_token(self, rank) -> None:
        playlists, settings = [[6, 5, 4, 3], [7, 8], [7, 8]], change(COSINE, num_neighbours=3)
        # 3, 4, 5 and 6 are all alike; each knows 3, 4 and 5. The most popular follow.
        assert rank(ItemKNN, settings, playlists, [6], 4) == [3, 4, 5, 7]
        assert rank(ItemKNN, settings, playlists, [3], 4) == [4, 5, 7, 8]

    def test_filled_with_popularity(self, make_data, seeds_of) -> None:
        knn = ItemKNN(make_data([[3, 4], [5, 6], [6], [6, 7, 5]], num_tracks=5), COSINE)
        np.testing.assert_array_equal(knn.rank(seeds_of([3], [6, 5]), 6), [[4, 6, 5, 7, -1, -1], [7, 3, 4, -1, -1, -1]])

    def test_alpha_normalises_by_the_count_of_seed_or_candidate(self, rank) -> None:
        # 3 shares two playlists with 4, which is in four, and one with 5, which is in no other.
        playlists = [[3, 4], [3, 4], [3, 5], [4], [4]]
        assert rank(ItemKNN, change(COSINE, alpha=0.0), playlists, [3], 2) == [4, 5]  # 2/3 and 1/3
        assert rank(ItemKNN, change(COSINE, alpha=1.0), playlists, [3], 2) == [5, 4]  # 1/1 and 2/4

    def test_similarity_power_prefers_one_near_to_two_far(self, rank) -> None:
        # Cosines: 3 and 5 are 1 / sqrt(2) alike; 3 and 6, and 4 and 6, 1 / sqrt(6) = 0.41 each: 0.71 against 0.82.
        playlists = [[3, 5], [3, 6], [4, 6], [4], [6]]
        assert rank(ItemKNN, COSINE, playlists, [3, 4], 2) == [6, 5]
        assert rank(ItemKNN, change(COSINE, similarity_power=2.0), playlists, [3, 4], 2) == [5, 6]  # 0.5 and 0.33

    def test_length_power_trusts_short_playlists(self, rank) -> None:
        # 4 and 5 are equally common; 3 meets 4 in a playlist of five tracks and 5 in one of two.
        playlists = [[3, 4, 6, 7, 8], [3, 5], [4], [5]]
        assert rank(ItemKNN, COSINE, playlists, [3], 5) == [6, 7, 8, 4, 5]
        # 6, 7, 8: 1/5 / sqrt(2); 4: 1/5 / 2; 5: 1/2 / 2.
        assert rank(ItemKNN, change(COSINE, length_power=1.0), playlists, [3], 5) == [5, 6, 7, 8, 4]

    def test_neighbours_at_a_time_do_not_matter(self, random_data, random_playlists, monkeypatch) -> None:
        knn = ItemKNN(random_data, change(COSINE, num_neighbours=20))
        whole = knn.rank(random_playlists[:9], 20)
        monkeypatch.setattr(neighbours, "NEIGHBOURS_PER_CHUNK", 900)  # three playlists, or one
        np.testing.assert_array_equal(knn.rank(random_playlists[:9], 20), whole)

    def test_playlists_count_as_sets_of_known_tracks(self, rank) -> None:
        plain, noisy = [[3, 4], [3, 5], [4, 5]], [[3, 4, 3, 3], [UNK, 3, 5], [4, UNK, UNK, 5, 5], []]
        for seeds in ([3], [4], [5]):
            assert rank(ItemKNN, COSINE, plain, seeds, 1) == rank(ItemKNN, COSINE, noisy, seeds, 1)

    # The library warns that its own transposed matrix is not in the form it wants.
    @pytest.mark.filterwarnings("ignore:Method expects CSR input")
    @pytest.mark.parametrize("num_neighbours", [4, 15, 1000])
    def test_neighbours_of_one_seed_are_those_of_implicit(
        self, num_neighbours, random_playlists, random_data, seeds_of
    ) -> None:
        exact = fit_implicit(random_playlists, 1000).similarity.toarray()
        nearest = fit_implicit(random_playlists, num_neighbours).similarity
        knn = ItemKNN(random_data, change(COSINE, num_neighbours=num_neighbours))
        for seed in range(3, 43):
            expected = np.sort(nearest[seed].data)[::-1][1:]  # without the seed itself
            ranked = knn.rank(seeds_of([seed]), len(expected))[0]
            np.testing.assert_allclose(exact[seed, ranked], expected, rtol=1e-12)

    @pytest.mark.filterwarnings("ignore:Method expects CSR input")
    def test_scores_of_several_seeds_are_those_of_implicit(self, random_playlists, random_data, seeds_of) -> None:
        recommender, knn = fit_implicit(random_playlists, 1000), ItemKNN(random_data, COSINE)
        for seeds in seeds_of([3, 10, 20], [30, 31], [42, 5, 17, 8]):
            given = csr_matrix((np.ones(len(seeds)), (np.zeros(len(seeds), int), np.sort(seeds))), (1, 43))
            _, expected = recommender.recommend(0, given, N=15)
            ranked = knn.rank([seeds], 15)[0]
            np.testing.assert_allclose(recommender.similarity.toarray()[seeds][:, ranked].sum(axis=0), expected)


class TestPlaylistKNN:
    def test_by_hand(self, rank) -> None:
        # Two seeds are in the first playlist, one in the second and third, none in the last.
        playlists = [[3, 4, 5], [3, 6, 7], [4, 6], [8, 9], [8]]
        # 5: 2; 6: 1 + 1; 7: 1; then by popularity.
        assert rank(PlaylistKNN, PLAIN, playlists, [3, 4], 5) == [5, 6, 7, 8, 9]

    def test_damping_makes_common_seeds_say_less(self, rank) -> None:
        # 3 is in five playlists, two of which hold 5; 4 is in two, one of which holds 6.
        playlists = [[3, 5], [3, 5], [3], [3], [3], [4, 6], [4]]
        assert rank(PlaylistKNN, PLAIN, playlists, [3, 4], 2) == [5, 6]
        # 5: 2 / (4 + 1); 6: 1 / (1 + 1).
        assert rank(PlaylistKNN, change(PLAIN, damping=1.0), playlists, [3, 4], 2) == [6, 5]

    def test_length_power_trusts_short_playlists(self, rank) -> None:
        playlists = [[3, 4, 5, 6], [3, 7]]
        assert rank(PlaylistKNN, PLAIN, playlists, [3], 4) == [4, 5, 6, 7]
        assert rank(PlaylistKNN, change(PLAIN, length_power=0.5), playlists, [3], 4) == [7, 4, 5, 6]

    def test_similarity_power_prefers_one_near_to_three_far(self, rank) -> None:
        # 5 is in a playlist with two seeds, 6 in three with one: 2 against 3, or with squares 4 against 3.
        playlists = [[3, 4, 5], [3, 6], [4, 6], [4, 6]]
        assert rank(PlaylistKNN, PLAIN, playlists, [3, 4], 2) == [6, 5]
        assert rank(PlaylistKNN, change(PLAIN, similarity_power=2.0), playlists, [3, 4], 2) == [5, 6]

    def test_only_the_nearest_count_and_the_first_of_equal_ones(self, rank) -> None:
        playlists = [[3, 6], [3, 5], [3, 4, 7], [8, 9], [8, 9]]
        assert rank(PlaylistKNN, change(PLAIN, num_neighbours=1), playlists, [3], 4) == [6, 8, 9, 4]
        assert rank(PlaylistKNN, change(PLAIN, num_neighbours=2), playlists, [3], 4) == [5, 6, 8, 9]

    def test_scores_are_those_of_a_plain_loop(self, random_data, random_playlists, seeds_of) -> None:
        settings = PlaylistKNNSettings(num_neighbours=9, damping=0.44, similarity_power=2.0, length_power=0.5)
        playlists = [set(playlist.tolist()) for playlist in random_playlists]
        counts = {token: sum(token in playlist for playlist in playlists) for token in range(3, 43)}
        knn = PlaylistKNN(random_data, settings)
        for seeds in ([3, 10, 20], [30], [42, 5, 17, 8]):
            similarity = [
                sum(1 / ((counts[seed] - 1) ** 0.44 + 1) for seed in seeds if seed in playlist) / len(playlist) ** 0.5
                for playlist in playlists
            ]
            nearest = sorted(range(len(playlists)), key=lambda index: -similarity[index])[:9]
            scores = {
                token: sum((similarity[index] / max(similarity)) ** 2 for index in nearest if token in playlists[index])
                for token in range(3, 43)
                if token not in seeds
            }
            ranked = knn.rank(seeds_of(seeds), 15)[0]
            expected = sorted(scores.values(), reverse=True)[:15]
            np.testing.assert_allclose([scores[token] for token in ranked.tolist()], expected, rtol=1e-12)


class TestTitleKNN:
    @pytest.fixture
    def rank_title(self, make_data, seeds_of):
        def rank_title(titles, playlists, title, *, seeds=(), **changes):
            knn = TitleKNN(make_data(playlists, num_tracks=10, titles=titles), change(TITLES, **changes))
            return knn.rank(seeds_of(seeds), 4, titles=[title])[0].tolist()

        return rank_title

    def test_equal_titles_first_then_similar_ones_then_popularity(self, rank_title) -> None:
        titles = ["Running", "runner's high", "sleep", "jazz", "jazz"]
        playlists = [[5, 6], [7], [8], [9, 10], [9, 10]]
        assert rank_title(titles, playlists, "RUNNING!") == [5, 6, 7, 9]
        assert rank_title(titles, playlists, "Jazz", seeds=[9]) == [10, 5, 6, 7]

    def test_same_titles_add_up(self, rank_title) -> None:
        titles, playlists = ["chill", "Chill", "CHILL "], [[4, 5], [5, 6], [5, 6]]
        assert rank_title(titles, playlists, "chill") == [5, 6, 4, 3]

    def test_nearest_titles_count_with_all_their_playlists(self, rank_title) -> None:
        titles, playlists = ["rock", "rock", "rocks", "rocky"], [[4], [5], [6], [7, 8]]
        assert rank_title(titles, playlists, "rock", num_neighbours=1) == [4, 5, 6, 7]
        # rocks and rocky are equally near: the first in the alphabet counts, and popularity gives the rest.
        assert rank_title([*titles, "z", "z"], [*playlists, [8], [8]], "rock", num_neighbours=2) == [4, 5, 6, 8]

    def test_length_power_trusts_short_playlists(self, rank_title) -> None:
        titles, playlists = ["rock", "rock"], [[4, 5, 6], [7, 8]]
        assert rank_title(titles, playlists, "rock") == [4, 5, 6, 7]
        assert rank_title(titles, playlists, "rock", length_power=1.0) == [7, 8, 4, 5]

    def test_similarity_power_trusts_equal_titles(self, rank_title) -> None:
        # One playlist is named alike, three similarly.
        titles, playlists = ["gym", "gyms", "gyms", "gyms"], [[4], [5], [5], [5]]
        assert rank_title(titles, playlists, "gym")[:2] == [5, 4]
        assert rank_title(titles, playlists, "gym", similarity_power=8.0)[:2] == [4, 5]

    @pytest.mark.parametrize("title", [None, "", "?!", "qqq"])
    def test_without_a_title_it_is_popularity(self, rank_title, title) -> None:
        assert rank_title(["rock", "jazz"], [[4, 5], [5, 6]], title) == [5, 4, 6, 3]

    def test_titles_of_training_are_needed(self, make_data) -> None:
        with pytest.raises(ValueError, match="0 titles for 1 training playlists"):
            TitleKNN(make_data([[3]], num_tracks=1), TITLES)
        with pytest.raises(ValueError, match="1 titles for 2 training playlists"):
            TitleKNN(make_data([[3], [4]], num_tracks=2, titles=["a"]), TITLES)

    def test_untitled_training_playlists_count_for_no_title(self, rank_title) -> None:
        assert rank_title([None, "", "rock"], [[4], [4], [5]], "rock", num_neighbours=5) == [5, 4, 3, 6]

    def test_similarity_by_hand(self) -> None:
        """Titles "ab" and "ac": the n-gram " a" in both, five others in one each (of 2 and 3 characters)."""
        rare, common = 1 + np.log(3 / 2), 1.0
        # " a", "ab", "b ", " ab", "ab ", and " ab " once more as it is longer than 3.
        expected = common**2 / (common**2 + 5 * rare**2)
        ((first, weights),) = TitleIndex(["ab", None, "ac", "ab"], max_ngram=3).weigh_playlists(["ab"], 5)
        assert first == 0
        np.testing.assert_allclose(weights.toarray(), [[1, 0, expected, 1]], rtol=1e-12)

    def test_n_grams_of_one_character_are_whole_words(self) -> None:
        ((_, weights),) = TitleIndex(["gym rock", "gyms", "rock"], max_ngram=1).weigh_playlists(["gym"], 5)
        assert weights.toarray().ravel()[[1, 2]].tolist() == [0, 0]
        assert 0 < weights[0, 0] < 1


@pytest.mark.parametrize(
    ("title", "normalised"),
    [
        ("  Summer   2017!! ", "summer 2017"),
        ("Don't Stop", "dont stop"),
        ("R&B / Soul", "r b soul"),
        ("STRASSE straße", "strasse strasse"),
        ("\uff26\uff35\uff2c\uff2c \ufb01t", "full fit"),
        ("🔥🔥gym", "🔥 🔥 gym"),
        ("i ❤️ u", "i ❤ u"),
        ("👍🏽", "👍"),
        ("été", "été"),
        ("e\u0301te", "éte"),
        ("...", ""),
        ("", ""),
    ],
)
def test_titles_are_normalised(title, normalised) -> None:
    assert normalise_title(title) == normalised
    assert normalise_title(normalised) == normalised


def test_ngrams_by_hand() -> None:
    assert list_ngrams("ab c", 3) == [" a", "ab", "b ", " ab", "ab ", " ab ", " c", "c ", " c "]
    assert list_ngrams("", 3) == []
