import numpy as np
import pyarrow as pa
import pytest
from implicit.nearest_neighbours import CosineRecommender
from recipes import make_evaluate_config
from scipy.sparse import csr_matrix

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import UNK, Vocabulary
from playlist_pipeline.evaluation import baselines
from playlist_pipeline.evaluation.baselines import ItemKNN, Popularity, fit_baselines


def make_vocabulary(counts):
    uris = ["<start>", "<eop>", "<unk>", *(f"spotify:track:{number:022d}" for number in range(len(counts)))]
    table = {
        "token": pa.array(range(len(uris)), pa.int32()),
        "uri": uris,
        "count": pa.array([0, 0, 0, *counts], pa.int64()),
    }
    return Vocabulary.from_table(pa.table(table))


def make_sequences(playlists):
    offsets = np.cumsum([0, *(len(playlist) for playlist in playlists)]).astype(np.int64)
    tokens = np.array([token for playlist in playlists for token in playlist], np.int32)
    return PackedSequences(tokens, offsets, np.arange(len(playlists), dtype=np.int32))


def make_knn(playlists, *, num_tracks, num_neighbours=1000):
    tokens = np.concatenate([np.asarray(playlist, int) for playlist in playlists])
    vocabulary = make_vocabulary(np.bincount(tokens[tokens > UNK] - 3, minlength=num_tracks))
    return ItemKNN(make_sequences(playlists), vocabulary, num_neighbours=num_neighbours)


def seeds_of(*playlists):
    return [np.array(playlist, np.int32) for playlist in playlists]


def make_random_playlists(num_playlists=60, num_tracks=40):
    rng = np.random.default_rng(0)
    return [3 + rng.choice(num_tracks, size=rng.integers(3, 16)) for _ in range(num_playlists)]


def make_config(**changes):
    values = {
        "num_seeds": [1],
        "min_truth": 1,
        "num_recommendations": 5,
        "max_playlists": None,
        "baselines": [],
        "knn_neighbours": 3,
        "bootstrap_samples": 10,
        "confidence": 0.95,
        "seed": 0,
        "batch_size": 4,
    }
    return make_evaluate_config(**values | changes)


def fit_implicit(playlists, num_tracks, num_neighbours):
    rows = np.repeat(np.arange(len(playlists)), [len(playlist) for playlist in playlists])
    matrix = csr_matrix((np.ones(len(rows)), (rows, np.concatenate(playlists))), (len(playlists), num_tracks + 3))
    matrix.data[:] = 1
    recommender = CosineRecommender(K=num_neighbours)
    recommender.fit(matrix, show_progress=False)
    return recommender


class TestPopularity:
    def test_most_popular_first_without_seeds(self):
        # Tokens 3, 4, 5, 6, with ties between 3 and 5.
        ranked = Popularity(make_vocabulary([2, 9, 2, 1])).rank(seeds_of([4], [], [6, UNK, 3]), 3)
        np.testing.assert_array_equal(ranked, [[3, 5, 6], [4, 3, 5], [4, 5, -1]])
        assert ranked.dtype == np.int32

    def test_list_longer_than_the_vocabulary(self):
        ranked = Popularity(make_vocabulary([2, 1])).rank(seeds_of([3], [3, 4]), 4)
        np.testing.assert_array_equal(ranked, [[4, -1, -1, -1], [-1, -1, -1, -1]])

    def test_repeated_seed(self):
        np.testing.assert_array_equal(Popularity(make_vocabulary([3, 2, 1])).rank(seeds_of([4, 4]), 2), [[3, 5]])

    def test_chunks_do_not_matter(self, monkeypatch):
        popularity, seeds = Popularity(make_vocabulary(range(30, 0, -1))), make_random_playlists(7, 30)
        whole = popularity.rank(seeds, 10)
        monkeypatch.setattr(baselines, "PLAYLISTS_PER_CHUNK", 3)
        np.testing.assert_array_equal(popularity.rank(seeds, 10), whole)

    def test_no_playlists(self):
        assert Popularity(make_vocabulary([1])).rank([], 5).shape == (0, 5)


class TestItemKNN:
    def test_by_hand(self):
        # Track 3 shares two playlists with 4 and one with 5; 6 and 7 stand alone.
        knn = make_knn([[3, 4], [3, 4, 5], [6, 7], [7], [7]], num_tracks=5)
        ranked = knn.rank(seeds_of([3], [5], [6]), 2)
        # cos(3, 4) = 1, cos(3, 5) = 1/sqrt(2); 3 and 4 tie for 5; 7 is the most popular.
        np.testing.assert_array_equal(ranked, [[4, 5], [3, 4], [7, 3]])

    def test_checkerboard(self):
        # Odd and even tracks never meet.
        even, odd = list(range(4, 24, 2)), list(range(3, 23, 2))
        knn = make_knn([even] * 3 + [odd] * 4, num_tracks=21)
        ranked = knn.rank(seeds_of([4], [3, 7]), 8)
        np.testing.assert_array_equal(ranked[0], even[1:9])
        np.testing.assert_array_equal(ranked[1], [token for token in odd if token not in (3, 7)][:8])

    def test_a_seed_knows_its_nearest_only_and_ties_go_to_the_lower_token(self):
        knn = make_knn([[6, 5, 4, 3], [7, 8], [7, 8]], num_tracks=6, num_neighbours=3)
        # 3, 4, 5 and 6 are all alike; each knows 3, 4 and 5. The most popular follow.
        np.testing.assert_array_equal(knn.rank(seeds_of([6], [3]), 4), [[3, 4, 5, 7], [4, 5, 7, 8]])

    def test_filled_with_popularity(self):
        knn = make_knn([[3, 4], [5, 6], [6], [6, 7, 5]], num_tracks=5)
        np.testing.assert_array_equal(knn.rank(seeds_of([3], [6, 5]), 6), [[4, 6, 5, 7, -1, -1], [7, 3, 4, -1, -1, -1]])

    @pytest.mark.parametrize("seeds", [[], [UNK], [UNK, UNK]])
    def test_no_known_seed_is_popularity(self, seeds):
        playlists = make_random_playlists()
        counts = np.bincount(np.concatenate(playlists) - 3, minlength=40)
        expected = Popularity(make_vocabulary(counts)).rank(seeds_of([]), 20)
        np.testing.assert_array_equal(make_knn(playlists, num_tracks=40).rank(seeds_of(seeds), 20), expected)

    def test_unknown_and_repeated_seeds_change_nothing(self):
        knn = make_knn(make_random_playlists(), num_tracks=40)
        plain, noisy = knn.rank(seeds_of([5, 9], [9, UNK, 5, 5, UNK]), 20)
        np.testing.assert_array_equal(plain, noisy)

    def test_playlists_count_as_sets_of_known_tracks(self):
        plain = make_knn([[3, 4], [3, 5], [4, 5]], num_tracks=3)
        noisy = make_knn([[3, 4, 3, 3], [UNK, 3, 5], [4, UNK, UNK, 5, 5], []], num_tracks=3)
        for seeds in ([3], [4], [5]):
            expected, ranked = (knn.rank(seeds_of(seeds), 1) for knn in (plain, noisy))
            np.testing.assert_array_equal(ranked, expected)

    # The library warns that its own transposed matrix is not in the form it wants.
    @pytest.mark.filterwarnings("ignore:Method expects CSR input")
    @pytest.mark.parametrize("num_neighbours", [4, 15, 1000])
    def test_neighbours_of_one_seed_are_those_of_implicit(self, num_neighbours):
        playlists = make_random_playlists()
        exact = fit_implicit(playlists, 40, 1000).similarity.toarray()
        nearest = fit_implicit(playlists, 40, num_neighbours).similarity
        knn = make_knn(playlists, num_tracks=40, num_neighbours=num_neighbours)
        for seed in range(3, 43):
            expected = np.sort(nearest[seed].data)[::-1][1:]  # without the seed itself
            ranked = knn.rank(seeds_of([seed]), len(expected))[0]
            np.testing.assert_allclose(exact[seed, ranked], expected, rtol=1e-12)

    @pytest.mark.filterwarnings("ignore:Method expects CSR input")
    def test_scores_of_several_seeds_are_those_of_implicit(self):
        playlists = make_random_playlists()
        recommender = fit_implicit(playlists, 40, 1000)
        knn = make_knn(playlists, num_tracks=40)
        for seeds in seeds_of([3, 10, 20], [30, 31], [42, 5, 17, 8]):
            given = csr_matrix((np.ones(len(seeds)), (np.zeros(len(seeds), int), np.sort(seeds))), (1, 43))
            _, expected = recommender.recommend(0, given, N=15)
            ranked = knn.rank([seeds], 15)[0]
            np.testing.assert_allclose(recommender.similarity.toarray()[seeds][:, ranked].sum(axis=0), expected)

    def test_batch_equals_single_in_any_chunks(self, monkeypatch):
        knn, seeds = make_knn(make_random_playlists(), num_tracks=40), make_random_playlists(9)
        seeds[4] = np.array([UNK])
        whole = knn.rank(seeds, 30)
        np.testing.assert_array_equal(np.concatenate([knn.rank([tokens], 30) for tokens in seeds]), whole)
        for name, value in {"PLAYLISTS_PER_CHUNK": 4, "PLAYLISTS_PER_PRODUCT": 3, "PRODUCTS_PER_BLOCK": 50}.items():
            monkeypatch.setattr(baselines, name, value)
        np.testing.assert_array_equal(knn.rank(seeds, 30), whole)

    def test_lists_hold_no_seed_no_special_and_nothing_twice(self):
        knn, seeds = make_knn(make_random_playlists(), num_tracks=40, num_neighbours=5), make_random_playlists(9)
        for tokens, ranked in zip(seeds, knn.rank(seeds, 100), strict=True):
            listed = ranked[ranked >= 0]
            assert sorted([*listed.tolist(), *set(tokens.tolist())]) == list(range(3, 43))

    def test_no_playlists(self):
        assert make_knn([[3, 4]], num_tracks=2).rank([], 5).shape == (0, 5)


def test_baselines_are_those_of_the_parameters():
    vocabulary, sequences = make_vocabulary([2, 2, 1]), make_sequences([[3, 4], [3, 4, 5]])
    systems = fit_baselines(sequences, vocabulary, make_config(baselines=["item_knn", "popularity"]))
    assert [(name, type(system)) for name, system in systems.items()] == [
        ("item_knn", ItemKNN),
        ("popularity", Popularity),
    ]
    assert fit_baselines(sequences, vocabulary, make_config()) == {}
