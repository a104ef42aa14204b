"""The track embedding: one table that reads tokens and, as the output head, scores them."""

import jax
import jax.numpy as jnp
from flax import nnx


def gather_rows(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return the rows of ``table`` [V, D] at ``tokens`` (int32, any shape): float32 [..., D].

    Tokens must lie in 0..V-1; anything else gives the nearest row.
    """
    return jnp.take(table, tokens, axis=0, mode="clip")


class TrackEmbedding(nnx.Module):
    """A float32 table [V, D], normal with the given standard deviation at first.

    Attributes:
        table: The parameter; ``embedding.table[...]`` is its array.
    """

    def __init__(self, vocabulary_size: int, embed_dim: int, *, stddev: float, rngs: nnx.Rngs) -> None:
        self.table = nnx.Param(nnx.initializers.normal(stddev)(rngs.params(), (vocabulary_size, embed_dim)))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Look up ``tokens`` int32 [B, T]; return [B, T, D]."""
        return gather_rows(self.table[...], tokens)
