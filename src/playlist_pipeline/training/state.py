"""All that training changes, how it begins, and how rows of the embedding tables are read and written.

Shape letters: V vocabulary, D embed_dim, U rows of a table that a batch needs.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.corpus.vocabulary import SPECIALS, START, UNK, Vocabulary
from playlist_pipeline.model.embedding import RowIndex, SideIndex, TableParam, gather_rows, scatter_rows
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.training.optimizer import RowRule, Slots

# Tables have a multiple of so many rows, on any number of devices: a checkpoint then fits 1, 2, 4, ... 64 of them.
ROW_MULTIPLE = 64
# Root mean square norm of the first vectors over all occurrences. With 1 the first logits are too sure of themselves:
# the loss then rises or falls by their scale, and on the validation part the first epochs made the ranking worse.
FIRST_NORM = 0.5

RIDGE = 3.0  # of the whitening; from 1 to 3 the ranking on the validation part hardly changes
GAIN = 4.0  # how far the whitened mean outweighs what else is in the residual stream
SHORT = 1e-3  # far below the square root of the layer norm's epsilon


class Table(NamedTuple):
    """An embedding table, or some rows of it.

    Attributes:
        values: float32 [V, D].
        slots: What its row rule keeps.
    """

    values: jax.Array
    slots: Slots


Tables = dict[str, Table]


class TrainState(NamedTuple):
    """All that training changes, in one value.

    Attributes:
        step: int32, steps taken.
        skipped: int32, those of them that changed nothing, because loss or gradient was not finite.
        key: The base key; step k uses ``fold_in(key, k)``, so key and step are the whole random state.
        params: The model's parameters without its tables.
        tables: The tables by their dotted path in the model.
        optimizer: State of the optimizer of ``params``.
    """

    step: jax.Array
    skipped: jax.Array
    key: jax.Array
    params: nnx.State
    tables: Tables
    optimizer: optax.OptState


class Keys(NamedTuple):
    """The independent keys that follow from a seed: for weights, for steps, for validation."""

    weights: jax.Array
    steps: jax.Array
    validation: jax.Array


def split_seed(seed: int) -> Keys:
    """Return the keys of a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 3))


class ModelParts(NamedTuple):
    """A model taken apart.

    Attributes:
        graphdef: Its structure.
        params: Its parameters without the tables.
        tables: The tables' arrays by dotted path, such as ``embedding.table``.
        row_of: The side tables' indices by dotted path, such as ``embedding.side.artist.row_of``.
    """

    graphdef: nnx.GraphDef
    params: nnx.State
    tables: dict[str, jax.Array]
    row_of: dict[str, jax.Array]


def split_model(model: Transformer) -> ModelParts:
    """Take a model apart."""
    graphdef, *states = nnx.split(model, TableParam, RowIndex, nnx.Param)
    tables, row_of, params = states
    return ModelParts(graphdef, params, _flatten(tables), _flatten(row_of))


def merge_model(
    graphdef: nnx.GraphDef, params: nnx.State, tables: Mapping[str, jax.Array], row_of: Mapping[str, jax.Array]
) -> Transformer:
    """Put a model together; with tables [U, D] of gathered rows it works on U tokens."""
    indices = nnx.from_flat_state([(tuple(name.split(".")), RowIndex(value)) for name, value in row_of.items()])
    arrays = nnx.from_flat_state([(tuple(name.split(".")), TableParam(value)) for name, value in tables.items()])
    return nnx.merge(graphdef, arrays, indices, params)


def _flatten(state: nnx.State) -> dict[str, jax.Array]:
    return {".".join(map(str, path)): variable.get_value() for path, variable in nnx.to_flat_state(state)}


def pad_rows(num_rows: int) -> int:
    """Return ``num_rows`` rounded up to a multiple of ``ROW_MULTIPLE``; the rows behind belong to no token."""
    return -(-num_rows // ROW_MULTIPLE) * ROW_MULTIPLE


def make_state(
    model_config: ModelConfig,
    *,
    seed: int,
    vocabulary_size: int,
    side: Mapping[str, SideIndex],
    optimizer: optax.GradientTransformation,
    row_rule: RowRule,
) -> TrainState:
    """Return the state before the first step; all in it follows from ``seed``. Tables have their rows padded."""
    keys = split_seed(seed)
    rngs = nnx.Rngs(params=keys.weights)
    padded = {name: SideIndex(index.row_of, pad_rows(index.num_rows)) for name, index in side.items()}
    parts = split_model(Transformer(model_config, vocabulary_size=pad_rows(vocabulary_size), side=padded, rngs=rngs))
    tables = {name: Table(values, row_rule.init(values)) for name, values in parts.tables.items()}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        key=keys.steps,
        params=parts.params,
        tables=tables,
        optimizer=optimizer.init(parts.params),
    )


def start_from_vectors(
    state: TrainState,
    vectors: np.ndarray,
    vocabulary: Vocabulary,
    *,
    graphdef: nnx.GraphDef,
    row_of: Mapping[str, jax.Array],
    whiten: bool = False,
) -> TrainState:
    """Return the state of a model that ranks by given track vectors before its first step.

    Tracks get the vectors, and the first block's attention passes on the mean of what it sees: its queries and keys are
    close to zero, its values and output become the identity. So the last hidden state starts near the mean of the
    seeds' vectors. Whitened, it is that mean times (Y^T Y + RIDGE tr(Y^T Y) / D I)^-1, Y being the vectors, as
    ALS finds the factors of a playlist from those of its tracks where every track weighs the same.

    ``<start>`` and ``<unk>`` start as the mean over all occurrences, a track about which nothing is known; where the
    mean is whitened they must not count as a track in it, and are so short that the layer norm leaves them short.
    ``<eop>`` keeps its random row.

    Args:
        state: The random first state.
        vectors: float32 [V, D], with a mean squared norm of 1 over all occurrences; rows of special tokens do not
            count.
        vocabulary: Gives the tracks' counts.
        graphdef: The model's structure.
        row_of: The side tables' indices.
        whiten: Multiply the mean as said.
    """
    if whiten:
        vectors = _turn_from_ones(vectors)
    passed_on = _whiten(vectors) if whiten else np.eye(vectors.shape[1], dtype=np.float32)
    vectors = FIRST_NORM * vectors
    average = (SHORT if whiten else 1.0) * (vocabulary.counts @ vectors / vocabulary.counts.sum())

    def fill(table: Table) -> Table:
        values = table.values.at[len(SPECIALS) : len(vectors)].set(vectors[len(SPECIALS) :])
        return table._replace(values=values.at[np.array([START, UNK])].set(average))

    tables = {name: fill(table) if name.endswith(".table") else table for name, table in state.tables.items()}
    model = merge_model(graphdef, state.params, {name: table.values for name, table in tables.items()}, row_of)
    attention, width = model.blocks[0].attention, vectors.shape[1]
    kernel = attention.query_key_value.kernel
    kernel[...] = kernel[...].at[:, 2 * width :].set(jnp.eye(width))  # [D, 3 D]: queries, keys, values
    if whiten:
        kernel[...] = kernel[...].at[:, :width].set(0.0)
    # A gate is half open at first.
    attention.output.kernel[...] = jnp.asarray(passed_on) * (2.0 if model.cfg.block == "ligr" else 1.0)
    return state._replace(params=split_model(model).params, tables=tables)


def _turn_from_ones(vectors: np.ndarray) -> np.ndarray:
    """Reflect vectors [V, D] so that they vary least along (1, ..., 1), which a layer norm takes away from them."""
    width = vectors.shape[1]
    least = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))[1][:, 0]
    normal = least - np.full(width, width**-0.5)
    if (length := np.linalg.norm(normal)) < 1e-6:
        return vectors
    normal /= length
    return (vectors - 2 * np.outer(vectors @ normal, normal)).astype(np.float32)


def _whiten(vectors: np.ndarray) -> np.ndarray:
    """Return (Y^T Y + RIDGE tr(Y^T Y) / D I)^-1 for ``vectors`` [V, D], with the Frobenius norm GAIN sqrt(D)."""
    width = vectors.shape[1]
    gram = (vectors.T @ vectors).astype(np.float64)
    inverse = np.linalg.inv(gram + RIDGE * (np.trace(gram) / width or 1.0) * np.eye(width))
    return (inverse * GAIN * np.sqrt(width) / np.linalg.norm(inverse)).astype(np.float32)


def read_rows(tables: Tables, ids: Mapping[str, jax.Array], row_rule: RowRule, step: jax.Array) -> Tables:
    """Return the rows [U, D] at ``ids`` of each table, as they are after ``step`` updates."""
    rows = {}
    for name, table in tables.items():
        gathered = jax.tree.map(lambda array, name=name: gather_rows(array, ids[name]), table)
        rows[name] = Table(*row_rule.catch_up(gathered.values, gathered.slots, step))
    return rows


def update_rows(
    rows: Tables, gradients: Mapping[str, jax.Array], step: jax.Array, key: jax.Array, *, row_rule: RowRule
) -> Tables:
    """Return rows after update number ``step`` by ``gradients`` [U, D]."""
    updated = {}
    for number, (name, table) in enumerate(rows.items()):
        own_key = jax.random.fold_in(key, number)
        updated[name] = Table(*row_rule.update(table.values, table.slots, gradients[name], step, own_key))
    return updated


def write_rows(tables: Tables, ids: Mapping[str, jax.Array], rows: Tables, *, finite: jax.Array) -> Tables:
    """Return the tables with ``rows`` at ``ids``, or unchanged where ``finite`` is false."""
    written = {}
    for name, table in tables.items():
        # Rows are written past the end, that is nowhere, if nothing may change.
        places = jnp.where(finite, ids[name], table.values.shape[0] + jnp.arange(ids[name].size))
        written[name] = jax.tree.map(
            lambda array, new, places=places: scatter_rows(array, places, new), table, rows[name]
        )
    return written


def update_tables(
    tables: Tables,
    gradients: Mapping[str, jax.Array],
    step: jax.Array,
    key: jax.Array,
    finite: jax.Array,
    *,
    row_rule: RowRule,
) -> Tables:
    """Return whole tables after update number ``step`` by dense gradients [V, D]; unchanged if not ``finite``."""
    updated = {}
    for number, (name, table) in enumerate(tables.items()):
        # Choosing between old and new tables would hold both; with a gate the tables are updated in place.
        gradient = jnp.where(finite, gradients[name], 0.0)
        updated[name] = Table(
            *row_rule.update(
                table.values,
                table.slots,
                gradient,
                step,
                jax.random.fold_in(key, number),
                gate=finite.astype(jnp.float32),
            )
        )
    return updated


def finish_tables(state: TrainState, row_rule: RowRule) -> dict[str, jax.Array]:
    """Return the tables' values with all rows caught up; the memory of the state's own is given up."""
    values = {name: table.values for name, table in state.tables.items()}
    slots = {name: table.slots for name, table in state.tables.items()}

    def catch_up(values: dict[str, jax.Array], slots: dict[str, Slots], step: jax.Array) -> dict[str, jax.Array]:
        return {name: row_rule.catch_up(values[name], slots[name], step)[0] for name in values}

    finished = jax.jit(catch_up, donate_argnums=0)(values, slots, state.step - state.skipped)
    jax.block_until_ready(finished)
    for leaf in jax.tree.leaves(slots):
        leaf.delete()  # makes room at once: whoever holds the state holds its tables too
    return finished
