"""One training step and one validation step, as free functions, and the one place where they are compiled.

Shape letters: B playlists, T context_length, D embed_dim, S negatives.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.corpus.factorize import factorize_playlists
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import SPECIALS, START, UNK, Vocabulary
from playlist_pipeline.model.embedding import gather_rows
from playlist_pipeline.model.losses import average_loss, count_candidates, draw_negatives, sampled_softmax_loss
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.training.data import split_tokens
from playlist_pipeline.training.optimizer import SkipState, make_optimizer

# Root mean square norm of the first vectors over all occurrences. With 1 the first logits are too sure of themselves:
# the loss then rises or falls by their scale, and on the validation part the first epochs made the ranking worse.
COOCCURRENCE_NORM = 0.5


class TrainState(NamedTuple):
    """All that training changes, in one value.

    Attributes:
        step: int32, steps taken.
        key: The base key; step k uses ``fold_in(key, k)``, so key and step are the whole random state.
        params: The model's parameters.
        optimizer: State of the optimizer.
    """

    step: jax.Array
    key: jax.Array
    params: nnx.State
    optimizer: SkipState


class StepMetrics(NamedTuple):
    """What a step reports; it stays on the device until someone reads it.

    Attributes:
        loss: float32, mean over the positions that count.
        skipped: int32, steps skipped so far because loss or gradient was not finite.
    """

    loss: jax.Array
    skipped: jax.Array


class CompiledSteps(NamedTuple):
    """The compiled functions.

    Attributes:
        train: (state, tokens [B, T + 1]) to (state, metrics); the old state's memory is given up.
        evaluate: (params, tokens [B, T + 1], key) to the loss without dropout.
    """

    train: Callable[[TrainState, jax.Array | np.ndarray], tuple[TrainState, StepMetrics]]
    evaluate: Callable[[nnx.State, jax.Array | np.ndarray, jax.Array], jax.Array]


class Keys(NamedTuple):
    """The independent keys that follow from a seed: for weights, for steps, for validation."""

    weights: jax.Array
    steps: jax.Array
    validation: jax.Array


def split_seed(seed: int) -> Keys:
    """Return the keys of a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 3))


def make_state(
    model_config: ModelConfig, train_config: TrainConfig, *, vocabulary_size: int
) -> tuple[nnx.GraphDef, TrainState]:
    """Return the model's structure and the state before the first step; all follows from ``train_config.seed``."""
    keys = split_seed(train_config.seed)
    model = Transformer(model_config, vocabulary_size=vocabulary_size, rngs=nnx.Rngs(params=keys.weights))
    graphdef, params = nnx.split(model, nnx.Param)
    optimizer = make_optimizer(train_config).init(params)
    return graphdef, TrainState(jnp.zeros((), jnp.int32), keys.steps, params, optimizer)


def start_from_cooccurrence(
    graphdef: nnx.GraphDef, state: TrainState, playlists: Playlists, vocabulary: Vocabulary, *, seed: int
) -> TrainState:
    """Return the state of a model that ranks by matrix factorisation before its first step.

    Tracks get vectors from a factorisation of the training playlists, and the first block's attention passes on the
    mean of what it sees: its queries and keys are close to zero, its values and output become the identity. So the
    last hidden state starts near the mean of the seeds' vectors. ``<start>`` and ``<unk>`` start as the mean over all
    occurrences, a track about which nothing is known; ``<eop>`` keeps its random row.

    Args:
        graphdef: The model's structure.
        state: The random first state.
        playlists: The training part.
        vocabulary: Gives the tracks' counts.
        seed: Of the factorisation.
    """
    model: Transformer = nnx.merge(graphdef, state.params)
    table = model.embedding.table[...]  # [V, D]
    vectors = COOCCURRENCE_NORM * factorize_playlists(playlists, *table.shape, seed=seed)
    average = vocabulary.counts @ vectors / vocabulary.counts.sum()
    table = table.at[len(SPECIALS) :].set(vectors[len(SPECIALS) :])
    model.embedding.table[...] = table.at[np.array([START, UNK])].set(average)

    attention, width = model.blocks[0].attention, table.shape[1]
    kernel = attention.query_key_value.kernel
    kernel[...] = kernel[...].at[:, 2 * width :].set(jnp.eye(width))  # [D, 3 D]: queries, keys, values
    attention.output.kernel[...] = jnp.eye(width)
    return state._replace(params=nnx.state(model, nnx.Param))


def compute_loss(
    params: nnx.State,
    tokens: jax.Array,
    *,
    graphdef: nnx.GraphDef,
    config: TrainConfig,
    negatives_key: jax.Array,
    dropout_key: jax.Array | None,
) -> jax.Array:
    """Return the mean sampled loss of framed playlists, float32 scalar.

    Args:
        params: The model's parameters.
        tokens: int32 [B, T + 1].
        graphdef: The model's structure.
        config: Which loss and how many negatives.
        negatives_key: For the negatives.
        dropout_key: For dropout; None leaves it out.
    """
    model: Transformer = nnx.merge(graphdef, params)
    table = model.embedding.table[...]  # [V, D]
    _, labels, mask = split_tokens(tokens)
    shape = (config.num_negatives,) if config.share_negatives else (*labels.shape, config.num_negatives)
    negatives = draw_negatives(negatives_key, shape, table.shape[0])

    # One gather of all rows makes one scatter of all gradients: a [V, D] array is written once, not three times.
    rows = gather_rows(table, jnp.concatenate([tokens.ravel(), negatives.ravel()]))
    token_rows = rows[: tokens.size].reshape(*tokens.shape, -1)  # [B, T + 1, D]
    negative_rows = rows[tokens.size :].reshape(*negatives.shape, -1)  # [S, D] or [B, T, S, D]

    rngs = None if dropout_key is None else nnx.Rngs(dropout=dropout_key)
    hidden = model.transform(token_rows[:, :-1], rngs=rngs, deterministic=rngs is None)  # [B, T, D]
    losses = sampled_softmax_loss(
        hidden,
        token_rows[:, 1:],
        negative_rows,
        negatives == labels[..., None],
        num_candidates=count_candidates(table.shape[0]),
        form=config.loss,
        correct_bias=config.correct_bias,
    )
    return average_loss(losses, mask)


def train_step(
    state: TrainState,
    tokens: jax.Array,
    *,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformationExtraArgs,
    config: TrainConfig,
) -> tuple[TrainState, StepMetrics]:
    """Take one step on framed playlists int32 [B, T + 1]."""
    negatives_key, dropout_key = jax.random.split(jax.random.fold_in(state.key, state.step))
    loss, gradients = jax.value_and_grad(compute_loss)(
        state.params,
        tokens,
        graphdef=graphdef,
        config=config,
        negatives_key=negatives_key,
        dropout_key=dropout_key,
    )
    updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params, loss=loss)
    params = optax.apply_updates(state.params, updates)
    state = TrainState(state.step + 1, state.key, params, optimizer_state)
    return state, StepMetrics(loss, optimizer_state.skipped)


def eval_step(
    params: nnx.State, tokens: jax.Array, key: jax.Array, *, graphdef: nnx.GraphDef, config: TrainConfig
) -> jax.Array:
    """Return the loss that training would see on int32 [B, T + 1], without dropout; ``key`` draws the negatives."""
    return compute_loss(params, tokens, graphdef=graphdef, config=config, negatives_key=key, dropout_key=None)


def compile_steps(graphdef: nnx.GraphDef, config: TrainConfig) -> CompiledSteps:
    """Return both steps under ``jax.jit``; the only place of training where it is applied."""
    train = partial(train_step, graphdef=graphdef, optimizer=make_optimizer(config), config=config)
    evaluate = partial(eval_step, graphdef=graphdef, config=config)
    return CompiledSteps(jax.jit(train, donate_argnums=0), jax.jit(evaluate))
