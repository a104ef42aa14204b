import numpy as np
import pytest

from playlist_pipeline.corpus.factorize import factorize_als, factorize_playlists
from playlist_pipeline.corpus.vocabulary import UNK


def make_playlists(num_playlists: int = 60, group: int = 20, *, seed: int = 0) -> list[np.ndarray]:
    """Playlists of 12 tracks from one of two groups: tokens 3..22 and 23..42."""
    rng = np.random.default_rng(seed)
    return [
        (3 + group * (number % 2) + rng.permutation(group)[:12]).astype(np.int32) for number in range(num_playlists)
    ]


def weigh(playlists: list[np.ndarray], size: int) -> np.ndarray:
    matrix = np.zeros((len(playlists), size))
    for row, tokens in enumerate(playlists):
        matrix[row, tokens[tokens > UNK]] = 1
    lengths, counts = matrix.sum(1, keepdims=True), matrix.sum(0, keepdims=True)
    return matrix / np.maximum(lengths, 1) ** 0.5 / np.maximum(counts, 1) ** 0.25


def test_inner_products_are_those_of_the_exact_svd() -> None:
    playlists, size, dim = make_playlists(), 43, 6
    vectors = factorize_playlists(playlists, size, dim, seed=1)
    _, singular, right = np.linalg.svd(weigh(playlists, size))
    exact = right[:dim].T * np.sqrt(singular[:dim])
    counts = np.bincount(np.concatenate(playlists), minlength=size)
    exact /= np.sqrt(counts @ np.square(exact).sum(1) / counts.sum())
    np.testing.assert_allclose(vectors @ vectors.T, exact @ exact.T, atol=1e-4)


def test_tracks_of_one_group_are_closer_than_those_of_two() -> None:
    vectors = factorize_playlists(make_playlists(), 43, 2, seed=0)
    products = vectors @ vectors.T
    assert products[3:23, 3:23].min() > products[3:23, 23:].max()


def test_specials_repeats_and_unseen_tokens() -> None:
    playlists = make_playlists()
    noisy = [np.concatenate([[UNK], tokens, tokens[:3]]).astype(np.int32) for tokens in playlists]
    vectors = factorize_playlists(noisy, 45, 4, seed=0)
    np.testing.assert_array_equal(vectors[[0, 1, 2, 43, 44]], 0)
    clean = factorize_playlists(playlists, 45, 4, seed=0)
    np.testing.assert_array_equal(vectors, clean)


@pytest.mark.parametrize("playlists", [[], [np.array([UNK], np.int32)], [np.array([3], np.int32)]])
def test_dimensions_beyond_the_rank_are_zero(playlists: list[np.ndarray]) -> None:
    vectors = factorize_playlists(playlists, 5, 8, seed=0)
    assert vectors.shape == (5, 8)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.count_nonzero(vectors) <= 1


def test_same_seed_same_bytes() -> None:
    first, second = (factorize_playlists(make_playlists(), 43, 4, seed=3) for _ in range(2))
    assert first.tobytes() == second.tobytes()


class TestALS:
    """Two groups of tracks that share no playlist."""

    SIZE = 44
    OWN_ARTISTS = np.arange(SIZE, dtype=np.int32) - 2  # each track has one of its own; 43 never occurs
    OWN_ARTISTS[:3] = 0

    @staticmethod
    def measure_likeness(vectors: np.ndarray, first: int, second: int) -> float:
        return vectors[first] @ vectors[second] / np.linalg.norm(vectors[first]) / np.linalg.norm(vectors[second])

    def test_artists_pull_tracks_together_that_never_share_a_playlist(self) -> None:
        short = [playlist[:4] for playlist in make_playlists(400)]
        same = self.OWN_ARTISTS.copy()
        same[23:28] = same[3:8]  # five artists have a track in each group
        own, shared = (
            factorize_als(short, self.SIZE, 6, seed=1, artists=artists) for artists in (self.OWN_ARTISTS, same)
        )
        before, after = (
            np.array([self.measure_likeness(vectors, number, number + 20) for number in range(3, 23)])
            for vectors in (own, shared)
        )
        assert np.abs(before).max() < 0.01
        assert after[:5].min() > 0.1
        assert after[:5].min() > 2 * np.abs(after[5:]).max()

    def test_artists_are_no_tokens(self) -> None:
        playlists = make_playlists()
        vectors = factorize_als(playlists, self.SIZE, 4, seed=1, artists=self.OWN_ARTISTS)
        assert (vectors.shape, vectors.dtype) == ((self.SIZE, 4), np.float32)
        np.testing.assert_array_equal(vectors[[0, 1, 2, 43]], 0)
        counts = np.bincount(np.concatenate(playlists), minlength=self.SIZE)
        assert counts @ np.square(vectors).sum(1) / counts.sum() == pytest.approx(1.0, rel=1e-5)

    def test_same_seed_same_bytes(self) -> None:
        first, second = (
            factorize_als(make_playlists(), self.SIZE, 4, seed=3, artists=self.OWN_ARTISTS) for _ in range(2)
        )
        assert first.tobytes() == second.tobytes()
