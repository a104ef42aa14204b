"""The transformer against a plain numpy reference, and what it must not see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from recipes import make_model_config

from playlist_pipeline.model.embedding import SideIndex, TableParam
from playlist_pipeline.model.transformer import Transformer, fold_side_information

CONFIG = make_model_config(
    positions=True, context_length=6, num_layers=2, num_heads=2, embed_dim=8, feedforward_dim=12, dropout=0.5
)
VOCABULARY_SIZE = 11
TOKENS = np.array([[0, 5, 3, 9, 2, 7], [0, 4, 4, 10, 1, 1]], np.int32)


@pytest.fixture(scope="module")
def model():
    model = Transformer(CONFIG, vocabulary_size=VOCABULARY_SIZE, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    # Weights of ordinary size: with the first ones most errors would drown in the residual stream.
    return nnx.merge(
        nnx.graphdef(model),
        jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32) * 0.5, nnx.state(model)),
    )


def _normalise(x, norm):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * np.asarray(norm.scale[...]) + np.asarray(norm.bias[...])


def _project(x, linear):
    return x @ np.asarray(linear.kernel[...], np.float64) + np.asarray(linear.bias[...])


def _attend(x, attention):
    length, width = x.shape
    size = width // CONFIG.num_heads
    query, key, value = np.split(_project(x, attention.query_key_value), 3, axis=-1)
    mixed = np.zeros_like(x)
    for head in range(CONFIG.num_heads):
        part = slice(head * size, (head + 1) * size)
        for t in range(length):
            scores = key[: t + 1, part] @ query[t, part] / np.sqrt(size)
            weights = np.exp(scores - scores.max())
            mixed[t, part] = (weights / weights.sum()) @ value[: t + 1, part]
    return _project(mixed, attention.output)


def _reference(model, tokens):
    x = np.asarray(model.embedding.table[...], np.float64)[tokens] + np.asarray(model.positions[...])[: len(tokens)]
    for block in model.blocks:
        x = x + _attend(_normalise(x, block.attention_norm), block.attention)
        hidden = np.maximum(_project(_normalise(x, block.feedforward_norm), block.feedforward.up), 0)
        x = x + _project(hidden, block.feedforward.down)
    return _normalise(x, model.final_norm)


def test_equals_a_plain_reference(model):
    expected = np.stack([_reference(model, row) for row in TOKENS])
    hidden = model(TOKENS)
    assert hidden.shape == (2, 6, 8)
    assert hidden.dtype == jnp.float32
    np.testing.assert_allclose(hidden, expected, atol=1e-5)


def test_a_later_token_changes_no_earlier_hidden_state(model):
    changed = TOKENS.copy()
    changed[:, 3] = [1, 8]
    before, after = np.asarray(model(TOKENS)), np.asarray(model(changed))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (np.abs(before[:, 3:] - after[:, 3:]).max(axis=-1) > 0).all()


def test_batch_equals_single(model):
    np.testing.assert_allclose(model(TOKENS)[1:], model(TOKENS[1:]), atol=1e-6)


def test_shorter_input_equals_the_beginning_of_a_longer_one(model):
    np.testing.assert_allclose(model(TOKENS[:, :4]), model(TOKENS)[:, :4], atol=1e-6)


def test_positions_matter(model):
    assert not np.allclose(model(np.array([[0, 5, 3]]))[0, -1], model(np.array([[0, 3, 5, 3]]))[0, -1], atol=1e-3)


def test_dropout_follows_its_key_and_is_off_by_default(model):
    def drop(seed):
        return np.asarray(model(TOKENS, rngs=nnx.Rngs(dropout=seed), deterministic=False))

    np.testing.assert_array_equal(drop(1), drop(1))
    assert not np.allclose(drop(1), drop(2))
    assert not np.allclose(drop(1), model(TOKENS))
    np.testing.assert_array_equal(model(TOKENS, rngs=nnx.Rngs(dropout=1)), model(TOKENS))


def test_too_many_tokens_are_refused(model):
    with pytest.raises(ValueError, match="7 tokens do not fit the model's context of 6"):
        model(np.zeros((1, 7), np.int32))


def test_all_state_is_weights(model):
    leaves = nnx.to_flat_state(nnx.state(model))
    assert {type(variable) for _, variable in leaves} == {nnx.Param, TableParam}
    embedding, position, norm = 11 * 8, 6 * 8, 2 * 8
    attention, feedforward = 8 * 24 + 24 + 8 * 8 + 8, 8 * 12 + 12 + 12 * 8 + 8
    count = sum(variable[...].size for _, variable in leaves)
    assert count == embedding + position + norm + 2 * (2 * norm + attention + feedforward)


def test_first_logits_are_nearly_uniform():
    config = make_model_config(
        context_length=8, num_layers=1, num_heads=2, embed_dim=64, feedforward_dim=8, dropout=0.0
    )
    model = Transformer(config, vocabulary_size=500, rngs=nnx.Rngs(0))
    logits = model(np.arange(8)[None]) @ model.embedding.table[...].T
    # The input's own row stands out, since the residual stream carries it; the others are 0.02 * sqrt(64).
    assert float(jnp.std(logits[..., 8:])) == pytest.approx(0.16, rel=0.1)


OPTIONS = [
    {},
    {"causal": False},
    {"positions": False},
    {"causal": False, "positions": False},
    {"block": "ligr"},
    {"tied_output": False},
    {"block": "ligr", "causal": False, "tied_output": False},
]
SIDE = {
    "artist": SideIndex(np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3], np.int32), 4),
    "duration": SideIndex(np.array([0, 0, 0, 1, 2, 1, 2, 1, 2, 1, 2], np.int32), 3),
}


def _make(seed=0, side=None, **changed):
    sizes = {"context_length": 6, "num_layers": 2, "num_heads": 2, "embed_dim": 8, "feedforward_dim": 12}
    cfg = make_model_config(**({"positions": True} | sizes | changed))
    model = Transformer(cfg, vocabulary_size=VOCABULARY_SIZE, side=side, rngs=nnx.Rngs(seed))
    rng = np.random.default_rng(seed)
    for _, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        variable[...] = jnp.asarray(rng.normal(size=variable.shape), jnp.float32) * 0.5
    return model


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_a_position_sees(options):
    """Causal: itself and what comes before. Otherwise: all that is visible, and nothing else."""
    model = _make(**options)
    visible = np.array([[True, True, True, False, False, False]])
    tokens = np.array([[0, 5, 3, 9, 2, 7]])
    before = np.asarray(model(tokens, visible))
    for place in range(6):
        changed = tokens.copy()
        changed[0, place] = 10
        moved = np.abs(np.asarray(model(changed, visible)) - before).max(-1)[0] > 1e-6
        if options.get("causal", True):
            expected = np.arange(6) >= place
        else:
            expected = np.full(6, place < 3) | (np.arange(6) == place)
        np.testing.assert_array_equal(moved, expected)


def test_a_set_without_positions_has_no_order():
    model = _make(causal=False, positions=False)
    first, second = model(np.array([[0, 5, 3, 9]])), model(np.array([[0, 9, 5, 3]]))
    np.testing.assert_allclose(first[0, 0], second[0, 0], atol=1e-5)
    np.testing.assert_allclose(first[0, 1], second[0, 2], atol=1e-5)
    ordered = _make(causal=False)
    assert not np.allclose(ordered(np.array([[0, 5, 3, 9]]))[0, 0], ordered(np.array([[0, 9, 5, 3]]))[0, 0], atol=1e-3)


def test_padding_is_not_seen_without_a_causal_mask():
    model = _make(causal=False)
    short, padded = model(np.array([[0, 5, 3]])), model(np.array([[0, 5, 3, 1, 1, 1]]))
    np.testing.assert_allclose(short[0], padded[0, :3], atol=1e-5)


def test_gated_block_equals_its_formula():
    """x + sigmoid(W x) * sub-layer(norm(x)), twice, with SwiGLU in the second."""
    model = _make(block="ligr", num_layers=1, positions=False)
    (block,) = model.blocks
    tokens = TOKENS[0]
    x = np.asarray(model.embedding.table[...], np.float64)[tokens]

    def gate(x, linear):
        return 1 / (1 + np.exp(-_project(x, linear)))

    x = x + gate(x, block.attention_gate) * _attend(_normalise(x, block.attention_norm), block.attention)
    normal = _normalise(x, block.feedforward_norm)
    silu = _project(normal, block.feedforward.gate) * gate(normal, block.feedforward.gate)
    inner = _project(silu * _project(normal, block.feedforward.up), block.feedforward.down)
    x = x + gate(x, block.feedforward_gate) * inner
    np.testing.assert_allclose(model(TOKENS)[0], _normalise(x, model.final_norm), atol=1e-5)


def test_separate_output_table_scores_and_does_not_read():
    model = _make(tied_output=False)
    hidden = np.asarray(model(TOKENS))
    model.head.table[...] = model.head.table[...] + 1.0
    np.testing.assert_array_equal(model(TOKENS), hidden)
    assert model.scoring is model.head
    assert _make().scoring is not None
    assert _make().head is None


@pytest.mark.parametrize("options", [{}, {"tied_output": False}], ids=str)
def test_side_information_is_added_and_can_be_folded(options):
    model = _make(side=SIDE, artist_embeddings=True, duration_buckets=3, **options)
    table, side = np.asarray(model.embedding.table[...]), model.embedding.side
    expected = table + np.asarray(side["artist"].rows[...])[SIDE["artist"].row_of]
    expected += np.asarray(side["duration"].rows[...])[SIDE["duration"].row_of]
    np.testing.assert_allclose(model.embedding.vectors(), expected, atol=1e-6)
    folded = fold_side_information(model)
    assert not folded.embedding.side
    np.testing.assert_allclose(folded(TOKENS), model(TOKENS), atol=1e-5)
    np.testing.assert_allclose(folded.scoring.table[...], model.scoring.vectors(), atol=1e-6)
    plain = _make()
    assert fold_side_information(plain) is plain


def test_side_tables_begin_at_zero_so_that_they_change_nothing():
    cfg = make_model_config(artist_embeddings=True, duration_buckets=3, size="small")
    plain = Transformer(make_model_config(size="small"), vocabulary_size=VOCABULARY_SIZE, rngs=nnx.Rngs(0))
    model = Transformer(cfg, vocabulary_size=VOCABULARY_SIZE, side=SIDE, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(model.embedding.vectors(), plain.embedding.table[...])


def test_side_information_must_be_what_the_model_asks_for():
    with pytest.raises(ValueError, match=r"side information must be given for \['album'\], not \['artist'"):
        _make(side=SIDE, album_embeddings=True)


@pytest.mark.parametrize("options", [{}, {"block": "ligr", "positions": False}], ids=str)
def test_reading_on_from_a_cache_equals_reading_all(options):
    model = _make(context_length=9, **options)
    tokens = np.random.default_rng(0).integers(3, VOCABULARY_SIZE, (3, 9)).astype(np.int32)
    expected, extend = model(tokens), nnx.jit(Transformer.extend)
    cache = model.make_cache(3, 12)
    for first, last in ((0, 4), (4, 5), (5, 9)):
        positions = np.tile(np.arange(first, last, dtype=np.int32), (3, 1))
        hidden, cache = extend(model, tokens[:, first:last], positions, cache)
        np.testing.assert_allclose(hidden, expected[:, first:last], rtol=1e-5, atol=1e-5)


def test_bfloat16_blocks_are_close_and_their_weights_stay_float32():
    model, rough = _make(), _make(compute_dtype="bfloat16")
    hidden = rough(TOKENS)
    assert hidden.dtype == jnp.bfloat16
    assert {variable.dtype for _, variable in nnx.to_flat_state(nnx.state(rough))} == {jnp.dtype("float32")}
    np.testing.assert_allclose(np.asarray(hidden, np.float32), model(TOKENS), atol=0.15)
