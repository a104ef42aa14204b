import numpy as np
import pytest

from playlist_pipeline.corpus.factorize import factorize_playlists
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
