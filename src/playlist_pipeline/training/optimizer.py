"""AdamW, and a wrapper that lets a step with a non-finite loss or gradient change nothing.

The optimizer is one optax transformation over all parameters, the embedding table included; a row-sparse update of the
table takes its place here, behind the same ``make_optimizer``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from playlist_pipeline.config import TrainConfig


class SkipState(NamedTuple):
    """State of ``skip_nonfinite``.

    Attributes:
        inner: The wrapped optimizer's state.
        skipped: int32, steps that changed nothing so far.
    """

    inner: optax.OptState
    skipped: jax.Array


def skip_nonfinite(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Wrap an optimizer so that it skips steps whose loss or gradient is not finite.

    Such a step leaves weights, moments and the inner step count as they are, and is counted. Unlike
    ``optax.apply_if_finite`` it looks at the loss too, and never gives in after some number of errors.

    Args:
        inner: The optimizer; its ``update`` gets no extra arguments.

    Returns:
        A transformation whose ``update`` needs ``loss=`` (float32 scalar).
    """

    def init(params: optax.Params) -> SkipState:
        return SkipState(inner.init(params), jnp.zeros((), jnp.int32))

    def update(
        gradients: optax.Updates, state: SkipState, params: optax.Params | None = None, *, loss: jax.Array
    ) -> tuple[optax.Updates, SkipState]:
        finite = jnp.isfinite(loss)
        for gradient in jax.tree.leaves(gradients):
            finite &= jnp.all(jnp.isfinite(gradient))
        updates, advanced = inner.update(gradients, state.inner, params)
        updates = jax.tree.map(lambda update: jnp.where(finite, update, 0), updates)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), advanced, state.inner)
        return updates, SkipState(kept, state.skipped + ~finite)

    return optax.GradientTransformationExtraArgs(init, update)


def make_optimizer(config: TrainConfig) -> optax.GradientTransformationExtraArgs:
    """Return AdamW with a constant rate and decay of all parameters, as published, that skips non-finite steps."""
    return skip_nonfinite(optax.adamw(config.learning_rate, weight_decay=config.weight_decay))
