import dataclasses

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from playlist_pipeline.config import ALSSettings, BPRSettings
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.baselines import ALS, BPR
from playlist_pipeline.evaluation.baselines.factors import VectorRanker

ALS_SETTINGS = ALSSettings(factors=6, regularization=0.1, alpha=5.0, iterations=10)
BPR_SETTINGS = BPRSettings(factors=6, learning_rate=0.1, regularization=0.01, iterations=80, bias_weight=1.0)


class Fixed(VectorRanker):
    """Asks with the sum of the seeds' vectors."""

    def embed_playlists(self, seeds):
        return seeds.astype(np.float32) @ self._vectors


class TestVectorRanker:
    vectors = np.array([[9, 9], [9, 9], [9, 9], [1, 0], [2, 0], [0, 1], [1, 1]], np.float32)  # specials first

    def test_by_hand(self, make_vocabulary, seeds_of) -> None:
        ranker = Fixed(make_vocabulary([1, 2, 3, 4]), self.vectors)
        # Seed 3 scores 4: 2, 5: 0, 6: 1. Seeds 3 and 5 score 4: 2 and 6: 2. Nothing known: popularity.
        ranked = ranker.rank(seeds_of([3], [3, 5], []), 4)
        np.testing.assert_array_equal(ranked, [[4, 6, 5, -1], [4, 6, -1, -1], [6, 5, 4, 3]])

    def test_bias(self, make_vocabulary, seeds_of) -> None:
        bias = np.array([9, 9, 9, 0, 0, 5, 0], np.float32)
        ranker = Fixed(make_vocabulary([1, 2, 3, 4]), self.vectors, bias=bias)
        np.testing.assert_array_equal(ranker.rank(seeds_of([3]), 3), [[5, 4, 6]])

    def test_tracks_without_a_vector_say_nothing_and_come_last(self, make_vocabulary, seeds_of) -> None:
        ranker = Fixed(make_vocabulary([5, 9, 1, 2]), self.vectors, tokens=np.array([3, 5, 6]))
        ranked = ranker.rank(seeds_of([3], [3, 4], [4]), 3)
        np.testing.assert_array_equal(ranked, [[6, 5, 4], [6, 5, -1], [3, 6, 5]])


class TestALS:
    def test_lists_are_those_of_implicit(self, random_data, random_playlists) -> None:
        matrix = random_data.build_memberships().astype(np.float32)
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(6, regularization=0.1, alpha=5.0, iterations=10, random_state=3)
            model.fit(matrix, show_progress=False)
        users = np.arange(len(random_playlists))
        expected, _ = model.recommend(users, matrix, N=15, recalculate_user=True)
        ranked = ALS(random_data, ALS_SETTINGS, seed=3).rank(random_playlists, 15)
        special = expected < 3  # implicit may list them; they have no playlists, and their vectors are 0
        kept = [row[~bad] for row, bad in zip(expected, special, strict=True)]
        for row, ours in zip(kept, ranked, strict=True):
            np.testing.assert_array_equal(ours[: len(row)], row)

    def test_groups_are_found(self, grouped_data, seeds_of) -> None:
        ranked = ALS(grouped_data, dataclasses.replace(ALS_SETTINGS, factors=2), seed=0).rank(
            seeds_of([3], [15, 20]), 8
        )
        assert set(ranked[0].tolist()) <= set(range(4, 13))
        assert set(ranked[1].tolist()) == set(range(13, 23)) - {15, 20}


class TestBPR:
    def test_groups_are_found(self, grouped_data, seeds_of) -> None:
        ranked = BPR(grouped_data, BPR_SETTINGS, seed=0).rank(seeds_of([3], [15, 20]), 8)
        assert set(ranked[0].tolist()) <= set(range(4, 13))
        assert set(ranked[1].tolist()) == set(range(13, 23)) - {15, 20}

    def test_scores_are_the_mean_inner_product_and_the_weighted_bias(self, random_data, seeds_of) -> None:
        plain = BPR(random_data, dataclasses.replace(BPR_SETTINGS, bias_weight=0.0), seed=0)
        vectors, learned = plain._vectors, BPR(random_data, BPR_SETTINGS, seed=0)._bias
        np.testing.assert_array_equal(plain._bias[3:], 0)
        assert vectors.shape == (43, 6)
        doubled = BPR(random_data, dataclasses.replace(BPR_SETTINGS, bias_weight=2.0), seed=0)
        scores = vectors @ vectors[[5, 9]].mean(axis=0) + 2 * learned
        scores[[0, 1, 2, 5, 9]] = -np.inf
        np.testing.assert_array_equal(doubled.rank(seeds_of([5, 9]), 10)[0], np.argsort(-scores, kind="stable")[:10])


@pytest.mark.parametrize(("system", "settings"), [(ALS, ALS_SETTINGS), (BPR, BPR_SETTINGS)])
def test_another_seed_gives_other_vectors(system, settings, random_data) -> None:
    first, second = (system(random_data, settings, seed=seed)._vectors for seed in (0, 1))
    assert np.abs(first - second).max() > 0.01


def test_settings_that_diverge_are_one_line(grouped_data) -> None:
    line = r"^baselines\.bpr cannot be fitted with these settings \(NaN .*: give a smaller learning_rate or"
    with pytest.raises(UserError, match=line):
        BPR(grouped_data, dataclasses.replace(BPR_SETTINGS, learning_rate=1000), seed=0)
