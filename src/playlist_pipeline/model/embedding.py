"""The track embedding: tables that read tokens and, as the output head, score them, and their compact form for a step.

Shape letters: V vocabulary, D embed_dim, R rows of a side table (artists, albums, buckets), N tokens of a batch,
U = min(N, V) the room for their unique values.

A batch touches few rows of a table, so a training step does not run on the tables. ``compact`` gathers the rows that
the batch needs, each once, and renumbers the tokens; the ordinary model then runs on a vocabulary of U tokens, and what
is differentiated and updated is [U, D], whatever V is.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.corpus.side_information import SideInformation, bucket_durations, bucket_popularity
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError

ROWS_AT_A_TIME = 65_536


class TableParam(nnx.Param):
    """A parameter that is a table [rows, D] of which a batch touches few rows."""


class RowIndex(nnx.Variable):
    """int32 [V]: which row of a side table each token takes. Not trained."""


class SideIndex(NamedTuple):
    """What a side table is about.

    Attributes:
        row_of: int32 [V], each token's row.
        num_rows: R.
    """

    row_of: np.ndarray
    num_rows: int


def gather_rows(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return the rows of ``table`` [V, D] at ``tokens`` (int32, any shape): float32 [..., D].

    Tokens must lie in 0..V-1; anything else gives the nearest row.
    """
    return jnp.take(table, tokens, axis=0, mode="clip")


def draw_normal_rows(key: jax.Array, num_rows: int, width: int, *, stddev: float) -> jax.Array:
    """Return float32 [num_rows, width], normal, made in blocks: beside the result it takes little memory."""
    block = min(num_rows, ROWS_AT_A_TIME)

    def fill(number: jax.Array, table: jax.Array) -> jax.Array:
        rows = stddev * jax.random.normal(jax.random.fold_in(key, number), (block, width))
        # The last block starts early to end with the table.
        return jax.lax.dynamic_update_slice_in_dim(table, rows, jnp.minimum(number * block, num_rows - block), 0)

    table = jnp.zeros((num_rows, width), jnp.float32)
    return jax.jit(lambda table: jax.lax.fori_loop(0, -(-num_rows // block), fill, table), donate_argnums=0)(table)


class SideTable(nnx.Module):
    """Vectors that tokens share, such as one for each artist; zero at first, so that they change nothing until trained.

    Attributes:
        rows: The vectors [R, D].
        row_of: Which of them each token takes, int32 [V].
    """

    def __init__(self, index: SideIndex, embed_dim: int) -> None:
        self.rows = TableParam(jnp.zeros((index.num_rows, embed_dim), jnp.float32))
        self.row_of = RowIndex(jnp.asarray(index.row_of, jnp.int32))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Return the shared vectors of ``tokens`` int32 [...]: float32 [..., D]."""
        return gather_rows(self.rows[...], gather_rows(self.row_of[...], tokens))


class TrackEmbedding(nnx.Module):
    """A float32 table [V, D], normal at first, and the side tables that are added to it.

    Attributes:
        table: Each token's own vector; ``embedding.table[...]`` is the array.
        side: The side tables by name.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embed_dim: int,
        *,
        stddev: float,
        side: Mapping[str, SideIndex] | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        self.table = TableParam(draw_normal_rows(rngs.params(), vocabulary_size, embed_dim, stddev=stddev))
        self.side = nnx.Dict({name: SideTable(index, embed_dim) for name, index in (side or {}).items()})

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Look up ``tokens`` int32 [...]; return their vectors, float32 [..., D], side information included."""
        vectors = gather_rows(self.table[...], tokens)
        for table in self.side.values():
            vectors += table(tokens)
        return vectors

    def vectors(self) -> jax.Array:
        """Return the vectors of all tokens, float32 [V, D]; without side tables that is the table itself."""
        return self(jnp.arange(self.table.shape[0])) if self.side else self.table[...]

    def embed_unseen(self, rows: Mapping[str, jax.Array | np.ndarray]) -> jax.Array:
        """Return vectors of tracks that have no token: the sum of their side vectors.

        Args:
            rows: For each side table the tracks' rows in it, int32 [n].

        Returns:
            float32 [n, D].

        Raises:
            ValueError: The names are not those of the side tables, or there are none.
        """
        if rows.keys() != self.side.keys() or not rows:
            raise ValueError(f"rows are given of {sorted(rows)}, the side tables are {sorted(self.side)}")
        vectors = [gather_rows(self.side[name].rows[...], jnp.asarray(row)) for name, row in rows.items()]
        return jnp.sum(jnp.stack(vectors), axis=0)


class Compact(NamedTuple):
    """A batch's part of an embedding.

    Attributes:
        ids: For each table (``table``, ``side.NAME.rows``) the rows that the batch needs: int32 [U or less], rising,
            each once; what is left over lies past the last row.
        row_of: For each ``side.NAME.row_of`` the places of the U tokens' rows among ``ids``: int32 [U].
        tokens: int32 [N], the places of the batch's tokens in ``ids["table"]``.
    """

    ids: dict[str, jax.Array]
    row_of: dict[str, jax.Array]
    tokens: jax.Array


def find_unique(values: jax.Array, num_rows: int) -> tuple[jax.Array, jax.Array]:
    """Return the unique ``values`` int32 [N] in rising order, filled up from ``num_rows`` on, and the place of each.

    A third of the time of ``jnp.unique``, which sorts places along with values.
    """
    ordered = jnp.sort(values)
    is_new = jnp.concatenate([jnp.zeros(1, bool), ordered[1:] != ordered[:-1]])
    # What fills up is all different too, so that a scatter may rely on it.
    filling = num_rows + jnp.arange(min(values.size, num_rows), dtype=jnp.int32)
    unique = filling.at[jnp.cumsum(is_new)].set(ordered)
    return unique, jnp.searchsorted(unique, values).astype(jnp.int32)


def compact(tokens: jax.Array, num_rows: Mapping[str, int], row_of: Mapping[str, jax.Array]) -> Compact:
    """Find the rows that ``tokens`` need of every table of one embedding.

    Args:
        tokens: int32 [N].
        num_rows: For ``table`` and each ``side.NAME.rows`` the number of rows.
        row_of: For each ``side.NAME.row_of`` the index int32 [V].
    """
    unique, places = find_unique(tokens, num_rows["table"])
    ids, local_row_of = {"table": unique}, {}
    for name, index in row_of.items():
        table = name.removesuffix("row_of") + "rows"
        # Room that no token fills must not touch a row.
        rows = jnp.where(unique < num_rows["table"], gather_rows(index, unique), num_rows[table])
        ids[table], local_row_of[name] = find_unique(rows, num_rows[table] + 1)
    return Compact(ids, local_row_of, places)


def scatter_rows(table: jax.Array, ids: jax.Array, rows: jax.Array) -> jax.Array:
    """Return ``table`` [V, ...] with ``rows`` [U, ...] at ``ids`` int32 [U], rising and unique.

    Ids from V on are left out.
    Where the table's memory is given up (donated), it is changed in place.
    """
    return table.at[ids].set(rows, mode="drop", unique_indices=True, indices_are_sorted=True)


def index_side_tables(cfg: ModelConfig, side: SideInformation | None, vocabulary: Vocabulary) -> dict[str, SideIndex]:
    """Return what the side tables that ``cfg`` asks for are about; without side information there are none.

    Special tokens share a last row of their own. Row 0, an unknown artist or a track that was never counted, is then
    trained by nothing and stays zero: what is learned about ``<eop>`` must not be said of unknown tracks.

    Raises:
        UserError: The side information belongs to another vocabulary.
    """
    popularity, duration = cfg.popularity_buckets, cfg.duration_buckets
    indices: dict[str, SideIndex] = {}
    if side is None:
        return indices
    if side.vocabulary != vocabulary.fingerprint:
        raise UserError("side_information belongs to another vocabulary: run the pipeline vocabulary again")
    if cfg.artist_embeddings:
        indices["artist"] = _set_specials_apart(side.artists, side.num_artists)
    if cfg.album_embeddings:
        indices["album"] = _set_specials_apart(side.albums, side.num_albums)
    if popularity:
        indices["popularity"] = _set_specials_apart(bucket_popularity(vocabulary.counts, popularity), popularity)
    if duration:
        indices["duration"] = _set_specials_apart(bucket_durations(side.durations, duration), duration)
    return indices


def _set_specials_apart(row_of: np.ndarray, num_rows: int) -> SideIndex:
    row_of = row_of.copy()
    row_of[: len(SPECIALS)] = num_rows
    return SideIndex(row_of, num_rows + 1)
