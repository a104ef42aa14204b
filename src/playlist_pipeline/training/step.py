"""One training step and one validation step, as free functions, and the one place where they are compiled.

Shape letters: B playlists, T context_length, D embed_dim, V vocabulary, U rows of a table that a batch needs.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.corpus.factorize import FACTORIZATIONS
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.model.embedding import SideIndex, compact
from playlist_pipeline.model.losses import NegativeSampler, make_sampler
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.training.data import Batch
from playlist_pipeline.training.devices import everywhere, place, place_batch, shard_rows, shard_state
from playlist_pipeline.training.objective import Negatives, Questions, ask, compute_losses, draw_negatives, predict
from playlist_pipeline.training.optimizer import RowRule, clip_gradients, is_finite, make_optimizer, make_row_rule
from playlist_pipeline.training.state import (
    Tables,
    TrainState,
    finish_tables,
    make_state,
    merge_model,
    read_rows,
    split_model,
    start_from_vectors,
    update_rows,
    update_tables,
    write_rows,
)


class Fixed(NamedTuple):
    """Arrays that a step reads and never changes.

    Attributes:
        row_of: The side tables' indices by dotted path, int32 [V] each.
        sampler: Draws negatives.
    """

    row_of: dict[str, jax.Array]
    sampler: NegativeSampler


class Recipe(NamedTuple):
    """What decides how steps are compiled.

    Attributes:
        graphdef: The model's structure.
        model_config: Its shape.
        config: How it is trained.
        optimizer: Updates all but the tables.
        row_rule: Updates rows of the tables: those that a batch needs, or all if ``config.optimizer`` is dense.
        side: What the side tables are about.
        num_rows: The rows of each table by dotted path, without padding.
        fixed: What steps read.
    """

    graphdef: nnx.GraphDef
    model_config: ModelConfig
    config: TrainConfig
    optimizer: optax.GradientTransformation
    row_rule: RowRule
    side: Mapping[str, SideIndex]
    num_rows: Mapping[str, int]
    fixed: Fixed

    @property
    def vocabulary_size(self) -> int:
        """V."""
        return self.fixed.sampler.vocabulary_size

    def make_state(self) -> TrainState:
        """Return the state before the first step."""
        return make_state(
            self.model_config,
            seed=self.config.seed,
            vocabulary_size=self.vocabulary_size,
            side=self.side,
            optimizer=self.optimizer,
            row_rule=self.row_rule,
        )

    def extract_model(self, state: TrainState) -> Transformer:
        """Return the trained model, all rows caught up and the padding gone; the state's tables are given up."""
        tables = {
            name: jax.device_put(values[: self.num_rows[name]], state.step.sharding)  # every process has it whole
            for name, values in finish_tables(state, self.row_rule).items()
        }
        return merge_model(self.graphdef, state.params, tables, self.fixed.row_of)


def make_recipe(
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    counts: np.ndarray,
    total_steps: int,
    side: Mapping[str, SideIndex] | None = None,
) -> Recipe:
    """Return the recipe of a training.

    Args:
        model_config: The model's shape.
        config: How it is trained.
        counts: Training counts by token, int64 [V].
        total_steps: Steps of the whole training; schedules end there.
        side: What the model's side tables are about.
    """
    side = side or {}
    outline = nnx.eval_shape(
        lambda: Transformer(model_config, vocabulary_size=len(counts), side=side, rngs=nnx.Rngs(0))
    )
    parts = split_model(outline)
    row_of = {name: jnp.asarray(side[name.split(".")[-2]].row_of, jnp.int32) for name in parts.row_of}
    return Recipe(
        graphdef=parts.graphdef,
        model_config=model_config,
        config=config,
        optimizer=make_optimizer(config, total_steps),
        row_rule=make_row_rule(config, total_steps),
        side=side,
        num_rows={name: table.shape[0] for name, table in parts.tables.items()},
        fixed=Fixed(row_of, make_sampler(counts, config.popularity_share)),
    )


def make_first_state(
    recipe: Recipe, training: Playlists, vocabulary: Vocabulary, *, artists: np.ndarray | None = None
) -> TrainState:
    """Return the state before the first step: random, or with track vectors from the training part.

    Args:
        recipe: The training.
        training: Playlists that the vectors are made from.
        vocabulary: What the tokens mean.
        artists: Each token's artist, int32 [V], which ``als`` takes in.
    """
    state = recipe.make_state()
    if (init := recipe.config.embedding_init) == "normal":
        return state
    width = recipe.model_config.embed_dim
    vectors = FACTORIZATIONS[init](training, len(vocabulary), width, seed=recipe.config.seed, artists=artists)
    return start_from_vectors(
        state,
        vectors,
        vocabulary,
        graphdef=recipe.graphdef,
        row_of=recipe.fixed.row_of,
        whiten=init == "als",
    )


class StepMetrics(NamedTuple):
    """What a step reports; it stays on the device until someone reads it.

    Attributes:
        loss: float32, mean over the positions that count.
        skipped: int32, steps skipped so far because loss or gradient was not finite.
    """

    loss: jax.Array
    skipped: jax.Array


class Localised(NamedTuple):
    """A batch on a vocabulary of its own: only tokens that occur in it.

    Attributes:
        ids: For each table the rows that the batch needs, int32 [U].
        row_of: The side tables' indices for its tokens.
        questions: The batch with its own tokens.
        negatives: Its negatives likewise; None for the full softmax.
    """

    ids: dict[str, jax.Array]
    row_of: dict[str, jax.Array]
    questions: Questions
    negatives: Negatives | None


def localise(
    questions: Questions, negatives: Negatives | None, num_rows: Mapping[str, int], row_of: Mapping[str, jax.Array]
) -> Localised:
    """Renumber the tokens of a batch by the rows that it needs.

    Args:
        questions: The batch.
        negatives: Its negatives; None for the full softmax.
        num_rows: Rows of each table by dotted path.
        row_of: The side tables' indices by dotted path.
    """
    inputs, labels = questions.inputs.ravel(), questions.labels.ravel()
    compared = labels if negatives is None else jnp.concatenate([labels, negatives.tokens.ravel()])
    tokens = {"embedding": inputs, "head": compared}
    if "head.table" not in num_rows:
        tokens = {"embedding": jnp.concatenate([inputs, compared])}
    ids: dict[str, jax.Array] = {}
    local_row_of: dict[str, jax.Array] = {}
    places: dict[str, jax.Array] = {}
    for prefix, wanted in tokens.items():
        found = compact(wanted, _below(num_rows, prefix), _below(row_of, prefix))
        ids |= {f"{prefix}.{name}": rows for name, rows in found.ids.items()}
        local_row_of |= {f"{prefix}.{name}": rows for name, rows in found.row_of.items()}
        places[prefix] = found.tokens
    own = jnp.concatenate(list(places.values()))
    inputs, labels, compared = jnp.split(own, [inputs.size, inputs.size + labels.size])
    shape = questions.labels.shape
    return Localised(
        ids,
        local_row_of,
        questions._replace(inputs=inputs.reshape(shape), labels=labels.reshape(shape)),
        None if negatives is None else negatives._replace(tokens=compared.reshape(negatives.tokens.shape)),
    )


def _below(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(f"{prefix}."): value for name, value in values.items() if name.startswith(f"{prefix}.")}


class Weights(NamedTuple):
    """What a loss is differentiated by.

    Attributes:
        params: The parameters without the tables.
        rows: The rows of the tables that the batch needs, [U, D] each, by dotted path.
        whole: For the full softmax the tables that score, [V, D] each, by dotted path.
    """

    params: nnx.State
    rows: dict[str, jax.Array]
    whole: dict[str, jax.Array]


def average_losses(
    weights: Weights,
    questions: Questions,
    negatives: Negatives | None,
    dropout_key: jax.Array | None,
    *,
    num_labels: jax.Array,
    row_of: Mapping[str, jax.Array],
    recipe: Recipe,
    fixed: Fixed,
) -> jax.Array:
    """Return the mean of the losses of the labels that count, float32 scalar.

    Args:
        weights: The weights.
        questions: In tokens of the rows.
        negatives: Likewise; None for the full softmax.
        dropout_key: For dropout; None leaves it out.
        num_labels: What the sum is divided by: of the whole batch, where this is a part of it.
        row_of: The side tables' indices for the rows.
        recipe: Model and loss.
        fixed: What the step reads.
    """
    model = merge_model(recipe.graphdef, weights.params, weights.rows, row_of)
    table = None
    if weights.whole:
        whole = merge_model(recipe.graphdef, weights.params, weights.rows | weights.whole, {**row_of, **fixed.row_of})
        table = whole.scoring.vectors()
    hidden = predict(model, questions, rngs=None if dropout_key is None else nnx.Rngs(dropout=dropout_key))
    losses = compute_losses(
        model,
        hidden,
        questions.labels,
        negatives,
        config=recipe.config,
        vocabulary_size=fixed.sampler.vocabulary_size,
        table=table,
    )
    return jnp.sum(losses, where=questions.mask) / num_labels


def count_labels(questions: Questions) -> jax.Array:
    """Return how many labels count, at least 1."""
    return jnp.maximum(jnp.sum(questions.mask), 1)


def cut_batch(questions: Questions, negatives: Negatives | None, parts: int) -> tuple[Questions, Negatives | None]:
    """Cut a batch into micro-batches along a new first axis; shared negatives are repeated."""

    def cut(array: jax.Array) -> jax.Array:
        return array.reshape(parts, -1, *array.shape[1:])

    def repeat_or_cut(array: jax.Array) -> jax.Array:
        return jnp.broadcast_to(array, (parts, *array.shape)) if array.ndim == 1 else cut(array)

    return jax.tree.map(cut, questions), jax.tree.map(repeat_or_cut, negatives)


def compute_gradients(
    weights: Weights, local: Localised, dropout_key: jax.Array, **settings: Any
) -> tuple[jax.Array, Weights]:
    """Return the mean loss over the labels that count, and its gradients by ``weights``.

    The gradients of ``config.micro_batches`` parts of the batch are added up; the result is that of the whole batch.

    Args:
        weights: The weights.
        local: The batch.
        dropout_key: For dropout.
        **settings: ``recipe`` and ``fixed`` of ``average_losses``.
    """
    parts = settings["recipe"].config.micro_batches
    differentiate = jax.value_and_grad(
        partial(average_losses, num_labels=count_labels(local.questions), row_of=local.row_of, **settings)
    )
    if parts == 1:
        return differentiate(weights, local.questions, local.negatives, dropout_key)

    def add_part(running: Any, part: tuple[Any, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, running, differentiate(weights, *part[0], part[1])), None

    batches = cut_batch(local.questions, local.negatives, parts)
    nothing = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), weights))
    return jax.lax.scan(add_part, nothing, (batches, jax.random.split(dropout_key, parts)))[0]


def pose(
    state: TrainState, batch: Batch, fixed: Fixed, key: jax.Array, *, recipe: Recipe
) -> tuple[Localised, Tables, Weights]:
    """Return a batch with its negatives, the rows of the tables that it needs, caught up, and all weights."""
    config = recipe.config
    questions, negatives, whole = ask(batch, causal=recipe.model_config.causal), None, {}
    if config.loss == "full_softmax":
        scoring = "head." if "head.table" in state.tables else "embedding."
        whole = {name: table.values for name, table in state.tables.items() if name.startswith(scoring)}
    else:
        negatives = draw_negatives(
            key,
            questions.labels,
            fixed.sampler,
            num_negatives=config.num_negatives,
            share=config.share_negatives,
        )
    num_rows = {name: table.values.shape[0] for name, table in state.tables.items()}
    local = localise(questions, negatives, num_rows, fixed.row_of)
    rows = read_rows(state.tables, local.ids, recipe.row_rule, state.step - state.skipped)
    return local, rows, Weights(state.params, {name: table.values for name, table in rows.items()}, whole)


def train_step(state: TrainState, batch: Batch, fixed: Fixed, *, recipe: Recipe) -> tuple[TrainState, StepMetrics]:
    """Take one step.

    A step whose loss or gradient is not finite leaves weights, moments and the count of updates as they are, and is
    counted. Unlike ``optax.apply_if_finite`` this looks at the loss too, and never gives in after some errors.
    """
    negatives_key, dropout_key, rounding_key = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
    local, rows, weights = pose(state, batch, fixed, negatives_key, recipe=recipe)
    loss, gradients = compute_gradients(weights, local, dropout_key, recipe=recipe, fixed=fixed)
    is_dense = recipe.config.optimizer == "dense_adamw"
    by_tables = spread_gradients(gradients, local.ids, state.tables) if is_dense else gradients.rows
    finite = is_finite(loss, gradients.params, by_tables)
    by_params, by_tables = clip_gradients((gradients.params, by_tables), recipe.config.clip_norm)

    updates, optimizer = recipe.optimizer.update(by_params, state.optimizer, state.params)
    new, old = (optax.apply_updates(state.params, updates), optimizer), (state.params, state.optimizer)
    params, optimizer = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, old)
    count = state.step - state.skipped + 1
    if is_dense:
        tables = update_tables(state.tables, by_tables, count, rounding_key, finite, row_rule=recipe.row_rule)
    else:
        updated = update_rows(rows, by_tables, count, rounding_key, row_rule=recipe.row_rule)
        tables = write_rows(state.tables, local.ids, updated, finite=finite)
    skipped = state.skipped + ~finite
    state = TrainState(state.step + 1, skipped, state.key, params, tables, optimizer)
    return state, StepMetrics(loss, skipped)


def spread_gradients(gradients: Weights, ids: Mapping[str, jax.Array], tables: Tables) -> dict[str, jax.Array]:
    """Return dense gradients of the tables [V, D]: those by rows added to those by whole tables."""
    spread = {}
    for name, table in tables.items():
        whole = gradients.whole.get(name)
        whole = jnp.zeros_like(table.values) if whole is None else whole
        spread[name] = whole.at[ids[name]].add(
            gradients.rows[name], mode="drop", unique_indices=True, indices_are_sorted=True
        )
    return spread


def eval_step(state: TrainState, batch: Batch, fixed: Fixed, key: jax.Array, *, recipe: Recipe) -> jax.Array:
    """Return the loss that training would see, without dropout; ``key`` draws the negatives."""
    local, _, weights = pose(state, batch, fixed, key, recipe=recipe)
    return average_losses(
        weights,
        local.questions,
        local.negatives,
        None,
        num_labels=count_labels(local.questions),
        row_of=local.row_of,
        recipe=recipe,
        fixed=fixed,
    )


class CompiledSteps:
    """Both steps under ``jax.jit``, the only place of training where it is applied.

    Attributes:
        mesh: The devices.
        abstract_state: Shapes, types and shardings of a state, without its arrays.
    """

    def __init__(self, recipe: Recipe, mesh: Mesh) -> None:
        """Prepare the steps of a recipe; each is compiled when it is first taken."""
        self.mesh = mesh
        abstract = jax.eval_shape(recipe.make_state)
        self._states = shard_state(abstract, mesh)
        self.abstract_state = jax.tree.map(_with_sharding, abstract, self._states)
        self._fixed = place(recipe.fixed, everywhere(mesh))
        whole, batches = everywhere(mesh), shard_rows(mesh)
        self._train = jax.jit(
            partial(train_step, recipe=recipe),
            donate_argnums=0,
            in_shardings=(self._states, batches, whole),
            out_shardings=(self._states, whole),
        )
        self._evaluate = jax.jit(
            partial(eval_step, recipe=recipe),
            in_shardings=(self._states, batches, whole, whole),
            out_shardings=whole,
        )

    def place_state(self, state: TrainState) -> TrainState:
        """Bring a state to the devices."""
        return place(state, self._states)

    def train(self, state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        """Take a step; the old state's memory is given up."""
        return self._train(state, place_batch(batch, self.mesh), self._fixed)

    def evaluate(self, state: TrainState, batch: Batch, key: jax.Array) -> jax.Array:
        """Return the loss without dropout, float32 scalar."""
        return self._evaluate(state, place_batch(batch, self.mesh), self._fixed, key)

    @property
    def num_compilations(self) -> int:
        """How often the training step was compiled."""
        return self._train._cache_size()  # type: ignore[attr-defined]


def _with_sharding(leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
