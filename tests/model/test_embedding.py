"""Tables of a batch: unique rows, their places, first vectors in blocks, writing rows back, unseen tracks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from playlist_pipeline.model.embedding import (
    ROWS_AT_A_TIME,
    SideIndex,
    TrackEmbedding,
    compact,
    draw_normal_rows,
    find_unique,
    scatter_rows,
)

V, D = 20, 4
# Artists of 20 tokens, of 6; album rows of 3.
SIDE = {
    "artist": SideIndex(np.arange(V, dtype=np.int32) % 6, 6),
    "album": SideIndex(np.arange(V, dtype=np.int32) % 3, 3),
}


@pytest.mark.parametrize("values", [[5, 5, 5], [19, 0, 19, 3, 0], list(range(V)), list(range(V)) * 2, [0]])
def test_unique_values_rise_and_each_value_finds_itself(values):
    unique, places = find_unique(jnp.array(values, jnp.int32), V)
    expected = np.unique(values)
    assert unique.shape == (min(len(values), V),)
    np.testing.assert_array_equal(unique[: len(expected)], expected)
    np.testing.assert_array_equal(unique[places], values)
    # What is left over lies past the end, rising and unique as a scatter needs it.
    assert (np.diff(unique) > 0).all()
    assert (np.asarray(unique[len(expected) :]) >= V).all()


def test_a_compact_embedding_gives_the_same_vectors():
    rngs = nnx.Rngs(0)
    whole = TrackEmbedding(V, D, stddev=1.0, side=SIDE, rngs=rngs)
    for table in whole.side.values():
        table.rows[...] = jax.random.normal(rngs.params(), table.rows.shape)
    tokens = jnp.array([7, 7, 13, 1, 19], jnp.int32)
    num_rows = {"table": V, "side.artist.rows": 6, "side.album.rows": 3}
    row_of = {"side.artist.row_of": jnp.asarray(SIDE["artist"].row_of)}
    row_of |= {"side.album.row_of": jnp.asarray(SIDE["album"].row_of)}
    found = compact(tokens, num_rows, row_of)
    local = {name: SideIndex(found.row_of[f"side.{name}.row_of"], found.ids[f"side.{name}.rows"].size) for name in SIDE}
    small = TrackEmbedding(found.ids["table"].size, D, stddev=1.0, side=local, rngs=rngs)
    small.table[...] = jnp.take(whole.table[...], found.ids["table"], axis=0, mode="clip")
    for name in SIDE:
        rows = found.ids[f"side.{name}.rows"]
        small.side[name].rows.set_value(jnp.take(whole.side[name].rows[...], rows, axis=0, mode="clip"))
    np.testing.assert_allclose(small(found.tokens), whole(tokens), rtol=1e-6)
    assert set(np.asarray(found.ids["side.artist.rows"])) >= {1, 7 % 6}
    # Tokens 1, 7, 13, 19 share one artist: room that no token fills must not bring another one.
    assert sum(np.asarray(found.ids["side.artist.rows"]) < 6) == 1


def test_scattered_rows_stand_at_their_places_and_ids_past_the_end_are_left_out():
    table = jnp.zeros((5, 2))
    after = scatter_rows(table, jnp.array([1, 4, 5, 9]), jnp.arange(1, 9, dtype=jnp.float32).reshape(4, 2))
    np.testing.assert_array_equal(after, [[0, 0], [1, 2], [0, 0], [0, 0], [3, 4]])


@pytest.mark.parametrize("num_rows", [1, 1000, ROWS_AT_A_TIME, 2 * ROWS_AT_A_TIME + 17])
def test_first_vectors_are_normal_in_every_block(num_rows):
    table = np.asarray(draw_normal_rows(jax.random.key(0), num_rows, 8, stddev=0.5))
    assert table.shape == (num_rows, 8)
    for block in np.array_split(table, 3):
        if len(block) > 300:
            assert block.mean() == pytest.approx(0, abs=0.05)
            assert block.std() == pytest.approx(0.5, rel=0.05)
    assert len(np.unique(table, axis=0)) == num_rows
    np.testing.assert_array_equal(table, draw_normal_rows(jax.random.key(0), num_rows, 8, stddev=0.5))


def test_a_track_that_was_never_seen_is_the_sum_of_its_side_vectors():
    embedding = TrackEmbedding(V, D, stddev=1.0, side=SIDE, rngs=nnx.Rngs(0))
    for number, table in enumerate(embedding.side.values(), start=1):
        table.rows[...] = number * jnp.arange(table.rows.size, dtype=jnp.float32).reshape(table.rows.shape)
    vectors = embedding.embed_unseen({"artist": np.array([5, 0]), "album": np.array([2, 1])})
    artist, album = embedding.side["artist"].rows[...], embedding.side["album"].rows[...]
    np.testing.assert_array_equal(vectors, [artist[5] + album[2], artist[0] + album[1]])
    with pytest.raises(ValueError, match="side tables"):
        embedding.embed_unseen({"artist": np.array([5])})
    with pytest.raises(ValueError, match="side tables"):
        TrackEmbedding(V, D, stddev=1.0, rngs=nnx.Rngs(0)).embed_unseen({})
