"""The rival of the row-sparse step: the same model, loss and random numbers, and optax.adamw over everything."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.training.data import Batch
from playlist_pipeline.training.objective import ask, compute_losses, draw_negatives, predict
from playlist_pipeline.training.state import TrainState, merge_model
from playlist_pipeline.training.step import Recipe


class Weights(NamedTuple):
    """What is trained: the parameters, and the tables whole."""

    params: nnx.State
    tables: dict[str, jax.Array]


class DenseState(NamedTuple):
    """Weights, the optimizer's state, and the keys' base and count."""

    weights: Weights
    optimizer: optax.OptState
    key: jax.Array
    step: jax.Array


class DenseSteps:
    """The dense training of a recipe without clipping, micro-batches, or a rate of the tables' own."""

    def __init__(self, recipe: Recipe, *, guarded: bool) -> None:
        """Prepare the step.

        Args:
            recipe: What is trained.
            guarded: Let a step whose gradient is not finite change nothing, by optax.apply_if_finite.
        """
        self._recipe = recipe
        self._optimizer = recipe.optimizer
        if guarded:
            self._optimizer = optax.apply_if_finite(recipe.optimizer, max_consecutive_errors=2**30)
        self.train: Callable[..., tuple[DenseState, jax.Array]] = jax.jit(self._step, donate_argnums=0)

    def start(self, state: TrainState) -> DenseState:
        """Return the dense state with the weights of a first state, whose memory may be given up."""
        weights, key = Weights(state.params, {name: table.values for name, table in state.tables.items()}), state.key
        del state  # and with it the row rule's moments, before others are made
        return DenseState(weights, self._optimizer.init(weights), key, jnp.zeros((), jnp.int32))

    def extract_model(self, state: DenseState) -> Transformer:
        """Return the model, without the tables' padding."""
        num_rows = self._recipe.num_rows
        tables = {name: table[: num_rows[name]] for name, table in state.weights.tables.items()}
        return merge_model(self._recipe.graphdef, state.weights.params, tables, self._recipe.fixed.row_of)

    def _step(self, state: DenseState, batch: Batch) -> tuple[DenseState, jax.Array]:
        negatives_key, dropout_key, _ = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        average = partial(self._average_losses, batch=batch, negatives_key=negatives_key, dropout_key=dropout_key)
        loss, gradients = jax.value_and_grad(average)(state.weights)
        updates, optimizer = self._optimizer.update(gradients, state.optimizer, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        return DenseState(weights, optimizer, state.key, state.step + 1), loss

    def _average_losses(
        self, weights: Weights, batch: Batch, negatives_key: jax.Array, dropout_key: jax.Array
    ) -> jax.Array:
        config, fixed = self._recipe.config, self._recipe.fixed
        model = merge_model(self._recipe.graphdef, weights.params, weights.tables, fixed.row_of)
        questions = ask(batch, causal=self._recipe.model_config.causal)
        negatives: Any = draw_negatives(
            negatives_key,
            questions.labels,
            fixed.sampler,
            num_negatives=config.num_negatives,
            share=config.share_negatives,
        )
        hidden = predict(model, questions, rngs=nnx.Rngs(dropout=dropout_key))
        losses = compute_losses(
            model,
            hidden,
            questions.labels,
            negatives,
            config=config,
            vocabulary_size=self._recipe.vocabulary_size,
        )
        return jnp.mean(losses, where=questions.mask)
