"""Exact maximum-inner-product search: the best tracks of the whole vocabulary for a batch of queries.

Two ways give the same result. On a CPU a query keeps its best tracks and the k-th best score; of each next chunk of the
table only scores above that are looked at again, which are few. Elsewhere, and inside a compiled function, every chunk
is ranked and merged.
"""

from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from playlist_pipeline.corpus.vocabulary import SPECIALS

PADDING = -1
CHUNK_SIZE = 65_536
QUERIES_AT_A_TIME = 512
FEW_QUERIES = 4  # a CPU takes so many one by one: each alone needs hardly longer than reading the table
# On a CPU tiles should stay in the cache, and malloc gives larger ones back to the system each time.
SCORES_AT_A_TIME = 1 << 21  # 8 MB
VALUES_AT_A_TIME = 1 << 20  # of the table: 4 MB
SMALLEST_CHUNK = 1024


class Searcher(Protocol):
    """Finds the tracks with the largest inner product with each query."""

    def search(self, queries: np.ndarray, k: int, exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ``k`` best tracks of each query; special tokens are never among them.

        Args:
            queries: float32 ``[B, D]``, last hidden states.
            k: How many tracks are wanted, 1 or more.
            exclude: int32 ``[B, E]``, tokens that a row must not return, filled up with ``PADDING``.

        Returns:
            Scores float32 ``[B, k]`` in falling order and tokens int32 ``[B, k]``; of equal scores the smaller token
            comes first. Where fewer than ``k`` tracks are left, the rest is ``-inf`` and ``PADDING``.
        """


class ExactSearcher:
    """A ``Searcher`` that looks at the whole table, see :func:`top_k`.

    Args:
        table: float32 ``[V, D]``, one row per token.
    """

    def __init__(self, table: ArrayLike) -> None:
        self._table = jnp.asarray(table)

    def search(self, queries: np.ndarray, k: int, exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and tokens, both ``[B, k]``; see :class:`Searcher`."""
        scores, tokens = top_k(queries, self._table, k, exclude)
        return np.asarray(scores), np.asarray(tokens)


class SubsetSearcher:
    """A ``Searcher`` that looks at some tracks only.

    Args:
        table: float32 ``[V, D]``, one row per token.
        is_allowed: bool ``[V]``, which tracks may be returned.
    """

    def __init__(self, table: ArrayLike, is_allowed: np.ndarray) -> None:
        self._tokens = np.flatnonzero(is_allowed | (np.arange(len(is_allowed)) < len(SPECIALS))).astype(np.int32)
        self._exact = ExactSearcher(jnp.asarray(table)[self._tokens])

    def search(self, queries: np.ndarray, k: int, exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and tokens, both ``[B, k]``; see :class:`Searcher`."""
        places = np.searchsorted(self._tokens, exclude).clip(max=len(self._tokens) - 1)
        excluded = np.where(self._tokens[places] == exclude, places, PADDING)
        scores, found = self._exact.search(queries, k, excluded)
        return scores, np.where(found == PADDING, PADDING, self._tokens[found])


def top_k(
    queries: ArrayLike,
    table: ArrayLike,
    k: int,
    exclude: ArrayLike | None = None,
    *,
    chunk_size: int | None = None,
) -> tuple[Array, Array]:
    """Return the ``k`` tracks with the largest inner product with each query.

    Outside of compiled functions, queries are taken ``QUERIES_AT_A_TIME`` and the table in chunks, so memory does not
    grow with the number of scores. Special tokens are never returned. Equal scores are ordered by token, the smaller
    one first.

    Args:
        queries: float ``[B, D]``, last hidden states.
        table: float ``[V, D]``, one embedding per token; may be larger than one would want to copy.
        k: How many tracks are wanted, 1 or more; it may exceed ``V``.
        exclude: int ``[B, E]``, tokens that a row must not return; fill ragged rows with ``PADDING`` (see
            :func:`pad_rows`).
        chunk_size: Rows of the table scored at a time; it does not change the result.

    Returns:
        Scores float32 ``[B, k]`` in falling order and tokens int32 ``[B, k]``. Where fewer than ``k`` tracks are left,
        the rest is ``-inf`` and ``PADDING``.

    Raises:
        ValueError: ``k`` or ``chunk_size`` is less than 1.
    """
    if k < 1 or (chunk_size is not None and chunk_size < 1):
        raise ValueError(f"k = {k} and chunk_size = {chunk_size} must be 1 or more")
    queries, table = jnp.asarray(queries), jnp.asarray(table)
    if exclude is None:
        exclude = np.full((len(queries), 1), PADDING, np.int32)
    if any(isinstance(array, jax.core.Tracer) for array in (queries, table, exclude)):
        return _top_k(queries, table, jnp.asarray(exclude, jnp.int32), k, chunk_size or CHUNK_SIZE)
    return _search_in_blocks(queries, table, k, np.asarray(exclude, np.int32), chunk_size)


def _search_in_blocks(
    queries: Array, table: Array, k: int, exclude: np.ndarray, chunk_size: int | None
) -> tuple[Array, Array]:
    """Search for some queries at a time; the last block is filled up, so that few shapes are compiled."""
    num_rows, width = queries.shape
    scores = np.full((num_rows, k), -np.inf, np.float32)
    tokens = np.full((num_rows, k), PADDING, np.int32)
    on_host = np.asarray(queries)
    k = min(k, len(table))
    is_on_cpu = _is_on_cpu(table)
    size = 1 if is_on_cpu and num_rows <= FEW_QUERIES else min(QUERIES_AT_A_TIME, round_up(num_rows))
    for first in range(0, num_rows, size):
        block = slice(first, min(first + size, num_rows))
        count = block.stop - first
        filled = np.zeros((size, width), queries.dtype)
        filled[:count] = on_host[block]
        if is_on_cpu:
            chunk = chunk_size or _choose_chunk_size(size, width)
            found = _search_on_cpu(jnp.asarray(filled), table, k, exclude[block], chunk)
        else:
            excluded = np.pad(exclude[block], ((0, size - count), (0, 0)), constant_values=PADDING)
            found = _top_k(jnp.asarray(filled), table, jnp.asarray(excluded), k, chunk_size or CHUNK_SIZE)
        scores[block, :k], tokens[block, :k] = (np.asarray(array)[:count] for array in found)
    return jnp.asarray(scores), jnp.asarray(tokens)


def _choose_chunk_size(num_queries: int, width: int) -> int:
    """Return how many rows of the table a CPU scores at a time."""
    if num_queries == 1:
        return CHUNK_SIZE  # XLA multiplies the rows where they are; for more queries it copies them first
    return min(max(min(SCORES_AT_A_TIME // num_queries, VALUES_AT_A_TIME // width), SMALLEST_CHUNK), CHUNK_SIZE)


def _is_on_cpu(array: Array) -> bool:
    return {device.platform for device in array.devices()} == {"cpu"}


@partial(jax.jit, static_argnames="size")
def _score_chunk(queries: Array, table: Array, start: Array, *, size: int) -> Array:
    """Return the scores float32 [B, C] of the ``size`` rows of the table from ``start`` on."""
    tile = lax.dynamic_slice_in_dim(table, start, size)  # [C, D]
    return jnp.matmul(queries, tile.T, precision=lax.Precision.HIGHEST).astype(jnp.float32)


class _Best:
    """The best tracks that each of n rows has met so far, and some that may turn out not to be.

    Attributes:
        bounds: float32 [n]; only a score above it can still be among a row's k best.
    """

    def __init__(self, num_rows: int, k: int, chunk_size: int) -> None:
        self._k = k
        # In the order of tokens; of row i the first counts[i] entries are in use.
        self._scores = np.empty((num_rows, 2 * k + chunk_size), np.float32)
        self._tokens = np.empty(self._scores.shape, np.int32)
        self._counts = np.zeros(num_rows, np.int64)
        self.bounds = np.full(num_rows, -np.inf, np.float32)

    def add(self, rows: np.ndarray, tokens: np.ndarray, scores: np.ndarray) -> None:
        """Add tracks, sorted by row and then token; a row's tokens exceed those that it has."""
        added = np.bincount(rows, minlength=len(self._counts))
        places = np.arange(len(rows)) - (np.cumsum(added) - added)[rows] + self._counts[rows]
        self._scores[rows, places] = scores
        self._tokens[rows, places] = tokens
        self._counts += added
        is_first = (self._counts >= self._k) & np.isneginf(self.bounds)
        self._drop(np.flatnonzero(is_first | (self._counts >= 2 * self._k)))

    def _drop(self, rows: np.ndarray) -> None:
        """Drop all but the k best of some rows that have at least k; of equal scores the smaller tokens stay."""
        if not len(rows):
            return
        k, width = self._k, self._counts[rows].max()
        scores, tokens = self._scores[rows, :width], self._tokens[rows, :width]
        scores[np.arange(width) >= self._counts[rows][:, None]] = -np.inf
        bounds = np.partition(scores, width - k, axis=1)[:, width - k]
        above, equal = scores > bounds[:, None], scores == bounds[:, None]
        room = k - above.sum(axis=1)
        kept = above | (equal & (np.cumsum(equal, axis=1) <= room[:, None]))
        self._scores[rows, :k] = scores[kept].reshape(-1, k)
        self._tokens[rows, :k] = tokens[kept].reshape(-1, k)
        self._counts[rows], self.bounds[rows] = k, bounds

    def sort(self) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and tokens [n, k], best first, filled up with ``-inf`` and ``PADDING``."""
        self._drop(np.flatnonzero(self._counts > self._k))
        used = np.arange(self._k) < self._counts[:, None]
        scores = np.where(used, self._scores[:, : self._k], -np.inf)
        tokens = np.where(used, self._tokens[:, : self._k], PADDING)
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(tokens, order, axis=1)


def _search_on_cpu(
    queries: Array, table: Array, k: int, exclude: np.ndarray, chunk_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and tokens [n, k] for the first n = ``len(exclude)`` of the queries."""
    num_rows, vocabulary_size = len(exclude), len(table)
    chunk_size = min(chunk_size, vocabulary_size)
    num_chunks = -(-vocabulary_size // chunk_size)
    excluded_rows, excluded_tokens = _sort_excluded(exclude)
    best = _Best(num_rows, k, chunk_size)
    is_candidate = np.empty((num_rows, chunk_size), bool)

    def begin(chunk: int) -> int:
        # The last chunk starts early to stay inside the table.
        return min(chunk * chunk_size, vocabulary_size - chunk_size)

    def score(chunk: int) -> Array:
        return _score_chunk(queries, table, np.int32(begin(chunk)), size=chunk_size)

    upcoming = score(0)
    for chunk in range(num_chunks):
        current, start = upcoming, begin(chunk)
        if chunk + 1 < num_chunks:
            upcoming = score(chunk + 1)  # is computed while this one is looked at
        scores = np.asarray(current)[:num_rows]  # waits for the device
        inside = slice(*np.searchsorted(excluded_tokens, (start, start + chunk_size)))
        excluded = excluded_rows[inside], excluded_tokens[inside] - start
        seen = max(chunk * chunk_size, len(SPECIALS)) - start  # special tokens, and those of an earlier chunk
        bounds = best.bounds if chunk else _bound_from_below(scores, excluded, seen, k)
        np.greater(scores, bounds[:, None], out=is_candidate)
        is_candidate[excluded] = False
        is_candidate[:, : max(seen, 0)] = False
        found = np.flatnonzero(is_candidate)
        rows, columns = np.divmod(found, chunk_size)
        best.add(rows, columns + start, scores.reshape(-1)[found])
    return best.sort()


def _sort_excluded(exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and token of each excluded track, by token."""
    rows, places = np.nonzero(exclude != PADDING)
    tokens = exclude[rows, places]
    order = np.argsort(tokens, kind="stable")
    return rows[order], tokens[order]


def _bound_from_below(scores: np.ndarray, excluded: tuple[np.ndarray, np.ndarray], seen: int, k: int) -> np.ndarray:
    """Return a bound for the first chunk: just below its k-th best allowed score, ``-inf`` if there are fewer."""
    bounds = np.full(len(scores), -np.inf, np.float32)
    if k <= scores.shape[1]:
        allowed = scores.copy()
        allowed[excluded] = -np.inf
        allowed[:, : max(seen, 0)] = -np.inf
        bounds = np.partition(allowed, -k, axis=1)[:, -k]
    return np.nextafter(bounds, np.float32(-np.inf))


@partial(jax.jit, static_argnames=("k", "chunk_size"))
def _top_k(queries: Array, table: Array, exclude: Array, k: int, chunk_size: int) -> tuple[Array, Array]:
    num_rows, vocabulary_size = len(queries), len(table)
    chunk_size = min(chunk_size, vocabulary_size)
    rows = jnp.arange(num_rows)[:, None]

    def score_chunk(chunk: Array) -> tuple[Array, Array]:
        # The last chunk starts early to stay inside the table; tokens that an earlier chunk has seen are masked.
        start = jnp.minimum(chunk * chunk_size, vocabulary_size - chunk_size)
        tile = lax.dynamic_slice_in_dim(table, start, chunk_size)  # [C, D]
        scores = jnp.matmul(queries, tile.T, precision=lax.Precision.HIGHEST).astype(jnp.float32)  # [B, C]
        tokens = start + jnp.arange(chunk_size, dtype=jnp.int32)  # [C]
        allowed = (tokens >= chunk * chunk_size) & (tokens >= len(SPECIALS))
        scores = jnp.where(allowed, scores, -jnp.inf)
        inside = (exclude >= start) & (exclude < start + chunk_size)
        columns = jnp.where(inside, exclude - start, chunk_size)  # [B, E], out of bounds where not in this chunk
        return scores.at[rows, columns].set(-jnp.inf, mode="drop"), tokens

    def merge_chunk(best: tuple[Array, Array], chunk: Array) -> tuple[tuple[Array, Array], None]:
        scores, tokens = score_chunk(chunk)
        scores, columns = lax.top_k(scores, min(k, chunk_size))  # ties: lower column first
        # Earlier chunks hold smaller tokens and come first, so ties stay in the order of tokens.
        candidates = jnp.concatenate([best[1], tokens[columns]], axis=1)
        scores, columns = lax.top_k(jnp.concatenate([best[0], scores], axis=1), k)
        return (scores, jnp.take_along_axis(candidates, columns, axis=1)), None

    nothing = (jnp.full((num_rows, k), -jnp.inf, jnp.float32), jnp.full((num_rows, k), PADDING, jnp.int32))
    num_chunks = -(-vocabulary_size // chunk_size)
    (scores, tokens), _ = lax.scan(merge_chunk, nothing, jnp.arange(num_chunks, dtype=jnp.int32))
    return scores, jnp.where(jnp.isneginf(scores), PADDING, tokens)


def pad_rows(rows: list[np.ndarray], width: int, fill: int = PADDING) -> np.ndarray:
    """Return ragged int rows as one int32 array ``[len(rows), width]``, filled up on the right with ``fill``."""
    padded = np.full((len(rows), width), fill, np.int32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded


def round_up(size: int) -> int:
    """Return the smallest power of two that is at least ``size`` and 8: few shapes mean few compilations."""
    return max(8, 1 << max(size - 1, 0).bit_length())
