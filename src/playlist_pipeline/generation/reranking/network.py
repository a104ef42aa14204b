"""The network of the second stage: a score for each candidate from its features."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

LIMIT = 6.0  # standard deviations; what lies beyond says no more


class Normaliser(nnx.Variable):
    """Mean or standard deviation of the features. Not trained."""


class RankingNetwork(nnx.Module):
    """One hidden layer and a linear path beside it, over standardised features [..., F].

    Args:
        mean: Of each feature, float32 [F].
        deviation: Standard deviation of each, float32 [F].
        hidden_dim: Width of the hidden layer.
        dropout: Of the hidden layer.
        rngs: Holds the streams ``params`` and ``dropout``.
    """

    def __init__(
        self, mean: np.ndarray, deviation: np.ndarray, *, hidden_dim: int, dropout: float, rngs: nnx.Rngs
    ) -> None:
        self.mean, self.deviation = Normaliser(jnp.asarray(mean)), Normaliser(jnp.asarray(deviation))
        self.hidden = nnx.Linear(len(mean), hidden_dim, kernel_init=nnx.initializers.he_normal(), rngs=rngs)
        self.output = nnx.Linear(
            hidden_dim, 1, use_bias=False, kernel_init=nnx.initializers.normal(0.1 / hidden_dim**0.5), rngs=rngs
        )
        self.linear = nnx.Linear(len(mean), 1, use_bias=False, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.dropout = nnx.Dropout(dropout)

    def __call__(self, features: jax.Array, *, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Return scores [...] of ``features`` [..., F]; with ``rngs``, dropout acts."""
        x = jnp.clip((features.astype(jnp.float32) - self.mean[...]) / self.deviation[...], -LIMIT, LIMIT)
        hidden = self.dropout(jax.nn.gelu(self.hidden(x)), rngs=rngs, deterministic=rngs is None)
        return (self.output(hidden) + self.linear(x))[..., 0]


def compute_ranking_loss(
    scores: jax.Array, is_truth: jax.Array, is_valid: jax.Array, num_truth: jax.Array
) -> jax.Array:
    """Compute the mean loss of lists: each true candidate against all that are not.

    A list's loss is the mean over its true candidates of ``log(1 + sum over false ones j of exp(s_j - s_i))``, times
    the share of its truth that is among the candidates: a list that hardly reaches its truth teaches less.

    Args:
        scores: float32 [n, C].
        is_truth: bool [n, C].
        is_valid: bool [n, C].
        num_truth: All withheld tracks of each playlist, int [n].
    """
    false = jax.nn.logsumexp(jnp.where(is_valid & ~is_truth, scores, -jnp.inf), axis=1, keepdims=True)
    losses = jnp.where(is_truth, jax.nn.softplus(false - scores), 0.0).sum(axis=1)
    return jnp.mean(losses / jnp.maximum(num_truth, 1))
