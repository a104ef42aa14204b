"""Steps: one compilation, the loss they see, and what a bad loss may not touch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.corpus.factorize import factorize_playlists
from playlist_pipeline.corpus.vocabulary import EOP, START, UNK
from playlist_pipeline.model.losses import average_loss, exact_softmax_loss
from playlist_pipeline.training.data import split_tokens
from playlist_pipeline.training.step import (
    COOCCURRENCE_NORM,
    compile_steps,
    compute_loss,
    make_state,
    start_from_cooccurrence,
)

TOKENS = np.array([[START, 3, 4, 5, 6, 7, 8], [START, 9, 3, EOP, EOP, EOP, EOP]], np.int32)


@pytest.mark.parametrize("shared", [True, False])
def test_training_compiles_once_and_learns(shared, model_config, make_train_config):
    config = make_train_config(share_negatives=shared, unk_rate=0.0)
    graphdef, state = make_state(model_config, config, vocabulary_size=15)
    steps = compile_steps(graphdef, config)
    losses = []
    for _ in range(60):
        state, metrics = steps.train(state, TOKENS)
        losses.append(float(metrics.loss))
    assert steps.train._cache_size() == 1
    assert int(state.step) == 60
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    for number in range(3):
        steps.evaluate(state.params, TOKENS, jax.random.key(number))
    assert steps.evaluate._cache_size() == 1


def test_loss_is_the_mean_over_positions_that_count(model_config, make_train_config):
    # With every candidate among the negatives often enough, the sampled loss is the exact one but for its variance.
    config = make_train_config(num_negatives=20_000, correct_bias=False)
    graphdef, state = make_state(model_config, config, vocabulary_size=15)
    sampled = compute_loss(
        state.params,
        jnp.asarray(TOKENS),
        graphdef=graphdef,
        config=config,
        negatives_key=jax.random.key(0),
        dropout_key=None,
    )
    model = nnx.merge(graphdef, state.params)
    inputs, labels, mask = split_tokens(jnp.asarray(TOKENS))
    losses = exact_softmax_loss(model(inputs), model.embedding.table[...], labels)
    assert int(mask.sum()) == 9
    assert float(sampled) == pytest.approx(float(average_loss(losses, mask)), abs=1e-3)


def test_a_loss_that_is_not_finite_changes_nothing_but_the_counters(model_config, make_train_config):
    config = make_train_config()
    graphdef, state = make_state(model_config, config, vocabulary_size=15)
    table = state.params["embedding"]["table"]
    table[...] = table[...].at[4].set(jnp.nan)
    before = jax.tree.map(np.array, (state.params, state.optimizer.inner))
    state, metrics = compile_steps(graphdef, config).train(state, TOKENS)
    assert np.isnan(metrics.loss)
    assert int(metrics.skipped) == 1
    assert int(state.step) == 1
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, (state.params, state.optimizer.inner)))


def test_seed_decides_the_first_weights(model_config, make_train_config):
    def table(seed):
        _, state = make_state(model_config, make_train_config(seed=seed), vocabulary_size=15)
        return np.asarray(state.params["embedding"]["table"][...])

    np.testing.assert_array_equal(table(1), table(1))
    assert (table(1) != table(2)).any()


def test_from_cooccurrence_the_last_hidden_state_starts_near_the_mean_of_the_seeds(
    make_playlists, make_train_config, vocabulary
):
    cfg = ModelConfig(context_length=6, num_layers=2, num_heads=2, embed_dim=8, feedforward_dim=6, dropout=0.1)
    playlists = make_playlists(20)
    graphdef, state = make_state(cfg, make_train_config(), vocabulary_size=15)
    state = start_from_cooccurrence(graphdef, state, playlists, vocabulary, seed=5)
    model = nnx.merge(graphdef, state.params)
    table = np.asarray(model.embedding.table[...])
    vectors = COOCCURRENCE_NORM * factorize_playlists(playlists, 15, 8, seed=5)
    np.testing.assert_array_equal(table[3:], vectors[3:])
    np.testing.assert_allclose(table[[START, UNK]], [vectors[3:].mean(0)] * 2, rtol=1e-5)  # all counts are 1
    assert np.any(table[EOP])

    def standardise(rows):
        return (rows - rows.mean(-1, keepdims=True)) / rows.std(-1, keepdims=True)

    for tracks in ([4, 9], [3, 5, 12, 14]):
        tokens = [START, *tracks]
        hidden = np.asarray(model(np.array([tokens])))[0, -1]
        mean = standardise(standardise(table[tokens]).mean(0) + table[tokens[-1]])
        assert np.corrcoef(hidden, mean)[0, 1] > 0.97
