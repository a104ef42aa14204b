import jax
import numpy as np
import pytest

from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.generation import search
from playlist_pipeline.generation.search import PADDING, ExactSearcher, pad_rows, round_up, top_k


def rank_by_sorting(queries, table, k, exclude):
    """The same by numpy: score everything, mask, sort stably."""
    tokens = np.full((len(queries), k), PADDING)
    for row, query in enumerate(queries):
        scores = table @ query
        scores[: len(SPECIALS)] = -np.inf
        scores[[token for token in exclude[row] if token != PADDING]] = -np.inf
        order = np.argsort(-scores, kind="stable")[:k]
        order = order[np.isfinite(scores[order])]
        tokens[row, : len(order)] = order
    return tokens


@pytest.fixture
def integers():
    """Small whole numbers: products are exact and ties abound."""
    rng = np.random.default_rng(0)
    table = rng.integers(-2, 3, (101, 4)).astype(np.float32)
    queries = rng.integers(-2, 3, (7, 4)).astype(np.float32)
    exclude = pad_rows([rng.choice(101, size, replace=False) for size in range(7)], 8)
    return queries, table, exclude


@pytest.mark.parametrize(
    ("k", "chunk_size"), [(1, 7), (10, 1), (10, 7), (10, 50), (10, 101), (98, 1000), (200, 7), (200, 1000)]
)
def test_equals_sorting_with_ties(integers, k, chunk_size):
    queries, table, exclude = integers
    scores, tokens = top_k(queries, table, k, exclude, chunk_size=chunk_size)
    expected = rank_by_sorting(queries, table, k, exclude)
    np.testing.assert_array_equal(tokens, expected)
    products = np.take_along_axis(queries @ table.T, np.maximum(expected, 0), axis=1)
    np.testing.assert_array_equal(scores, np.where(expected == PADDING, -np.inf, products))


def test_random_floats_equal_sorting():
    rng = np.random.default_rng(1)
    table, queries = rng.standard_normal((1000, 16), np.float32), rng.standard_normal((5, 16), np.float32)
    exclude = np.full((5, 1), PADDING)
    _, tokens = top_k(queries, table, 100, chunk_size=300)
    np.testing.assert_array_equal(tokens, rank_by_sorting(queries, table, 100, exclude))


def test_all_scores_equal_gives_tokens_in_order():
    _, tokens = top_k(np.zeros((2, 3), np.float32), np.ones((40, 3), np.float32), 5, chunk_size=4)
    assert tokens.tolist() == [[3, 4, 5, 6, 7]] * 2


def test_batch_equals_single(integers):
    queries, table, exclude = integers
    _, batch = top_k(queries, table, 20, exclude, chunk_size=16)
    for row in range(len(queries)):
        _, single = top_k(queries[row : row + 1], table, 20, exclude[row : row + 1], chunk_size=16)
        np.testing.assert_array_equal(single[0], batch[row])


def test_everything_excluded_gives_only_padding():
    scores, tokens = top_k(np.ones((1, 2)), np.ones((5, 2)), 3, np.array([[3, 4]]))
    assert tokens.tolist() == [[PADDING] * 3]
    assert np.isneginf(scores).all()


@pytest.mark.parametrize(("k", "chunk_size"), [(0, 10), (1, 0)])
def test_refuses_sizes_below_one(k, chunk_size):
    with pytest.raises(ValueError, match="1 or more"):
        top_k(np.ones((1, 2)), np.ones((5, 2)), k, chunk_size=chunk_size)


def test_round_up_gives_powers_of_two():
    assert [round_up(size) for size in (0, 1, 8, 9, 16, 17, 100)] == [8, 8, 8, 16, 16, 32, 128]


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("chunk_size", [1, 7, 64, 1000])
def test_blocks_of_queries_equal_one_compiled_search(integers, chunk_size, on_cpu, monkeypatch):
    queries, table, exclude = integers
    compiled = jax.jit(lambda *arrays: top_k(*arrays[:2], 20, arrays[2], chunk_size=chunk_size))
    expected = compiled(queries, table, exclude)
    monkeypatch.setattr(search, "QUERIES_AT_A_TIME", 2)  # the last of four blocks is filled up
    monkeypatch.setattr(search, "_is_on_cpu", lambda array: on_cpu)
    found = top_k(queries, table, 20, exclude, chunk_size=chunk_size)
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("order", [1, -1])
def test_scores_that_rise_or_fall_with_the_token(order):
    """Where scores rise, every chunk replaces all that was found before."""
    table = np.arange(1000, dtype=np.float32)[::order, None].copy()
    scores, tokens = top_k(np.array([[1.0], [0.5], [-1.0]], np.float32), table, 5, chunk_size=16)
    best, worst = np.arange(999, 994, -1), np.arange(3, 8)
    assert tokens.tolist() == [row.tolist() for row in ([best, best, worst] if order == 1 else [worst, worst, best])]
    assert (np.diff(scores, axis=1) < 0).all()


def test_ties_across_chunks_stay_in_the_order_of_tokens():
    scores = np.ones(500, np.float32)
    scores[[7, 250, 499]] = 2
    _, tokens = top_k(np.ones((1, 1), np.float32), scores[:, None], 30, np.array([[3, 12]]), chunk_size=8)
    expected = [7, 250, 499, *(token for token in range(4, 33) if token not in (7, 12))]
    assert tokens.tolist() == [expected[:30]]


def test_scores_that_are_not_finite_are_last():
    table = np.array([[0.0], [0], [0], [1], [-np.inf], [2], [-3]], np.float32)
    scores, tokens = top_k(np.ones((1, 1), np.float32), table, 4, chunk_size=2)
    assert tokens.tolist() == [[5, 3, 6, PADDING]]
    assert scores.tolist() == [[2, 1, -3, -np.inf]]


def test_no_queries():
    scores, tokens = top_k(np.zeros((0, 2), np.float32), np.ones((9, 2), np.float32), 3)
    assert scores.shape == tokens.shape == (0, 3)


def test_the_exact_searcher_is_top_k(integers):
    queries, table, exclude = integers
    scores, tokens = ExactSearcher(table).search(queries, 20, exclude)
    expected = top_k(queries, table, 20, exclude)
    assert isinstance(scores, np.ndarray)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(tokens, expected[1])
