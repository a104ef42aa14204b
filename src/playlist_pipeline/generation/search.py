"""Exact maximum-inner-product search: the best tracks of the whole vocabulary for a batch of queries."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from playlist_pipeline.corpus.vocabulary import SPECIALS

PADDING = -1
CHUNK_SIZE = 65_536


def top_k(
    queries: ArrayLike, table: ArrayLike, k: int, exclude: ArrayLike | None = None, *, chunk_size: int = CHUNK_SIZE
) -> tuple[Array, Array]:
    """Return the ``k`` tracks with the largest inner product with each query.

    The table is read in chunks, so no more than ``B x chunk_size`` scores exist at a time. Special tokens are never
    returned. Equal scores are ordered by token, the smaller one first.

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
    if k < 1 or chunk_size < 1:
        raise ValueError(f"k = {k} and chunk_size = {chunk_size} must be 1 or more")
    queries, table = jnp.asarray(queries), jnp.asarray(table)
    if exclude is None:
        exclude = np.full((len(queries), 1), PADDING, np.int32)
    return _top_k(queries, table, jnp.asarray(exclude, jnp.int32), k, chunk_size)


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
