"""Steps: one compilation, the loss they see, equality of sparse and dense ones, and what a bad loss may not touch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from recipes import make_model_config

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.corpus.factorize import FACTORIZATIONS, factorize_playlists
from playlist_pipeline.corpus.vocabulary import EOP, START, UNK
from playlist_pipeline.model.embedding import SideIndex
from playlist_pipeline.model.losses import full_softmax_loss, score_labels
from playlist_pipeline.training.data import Batch
from playlist_pipeline.training.devices import make_mesh
from playlist_pipeline.training.objective import ask, predict
from playlist_pipeline.training.optimizer import make_schedule
from playlist_pipeline.training.state import FIRST_NORM, RIDGE, _turn_from_ones, merge_model, start_from_vectors
from playlist_pipeline.training.step import CompiledSteps, compute_gradients, make_recipe, pose

V = 15
COUNTS = np.array([0, 0, 0] + [3] * 12)
TOKENS = np.array([[START, 3, 4, 5, 6, 7, 8], [START, 9, 3, EOP, EOP, EOP, EOP]], np.int32)
BATCH = Batch(TOKENS, np.zeros(2, np.int32))
SIDE = {"artist": SideIndex(np.array([0, 0, 0] + [1, 2, 3, 4] * 3, np.int32), 5)}


@pytest.fixture
def start(model_config, make_train_config):
    """Return a function that gives recipe, compiled steps and first state."""

    def make(shape=None, side=None, total_steps=300, **changed):
        cfg = ModelConfig(**(model_config.to_dict() | (shape or {})))
        config = make_train_config(**({"batch_size": 2} | changed))
        recipe = make_recipe(cfg, config, counts=COUNTS, total_steps=total_steps, side=side)
        steps = CompiledSteps(recipe, make_mesh(batch_size=1))
        return recipe, steps, steps.place_state(recipe.make_state())

    return make


def _model(recipe, state):
    values = {name: table.values for name, table in state.tables.items()}
    return merge_model(recipe.graphdef, state.params, values, recipe.fixed.row_of)


def _batches(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        tokens = rng.integers(3, V, (2, 7)).astype(np.int32)
        tokens[:, 0] = START
        yield Batch(tokens, np.zeros(2, np.int32))


@pytest.mark.parametrize("shared", [True, False])
def test_training_compiles_once_and_learns(shared, start):
    _, steps, state = start(share_negatives=shared)
    losses = []
    for _ in range(60):
        state, metrics = steps.train(state, BATCH)
        losses.append(float(metrics.loss))
    assert steps.num_compilations == 1
    assert int(state.step) == 60
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert np.isfinite(steps.evaluate(state, BATCH, jax.random.key(0)))


def test_loss_is_the_mean_over_positions_that_count(start):
    # With every candidate among the negatives often enough, the sampled loss is the exact one but for its variance.
    recipe, steps, state = start(num_negatives=20_000, correct_bias=False)
    sampled = steps.evaluate(state, BATCH, jax.random.key(0))
    model, questions = _model(recipe, state), ask(BATCH, causal=True)
    hidden = predict(model, questions)
    scores = score_labels(hidden, model.scoring(questions.labels))
    losses = full_softmax_loss(hidden, scores, model.scoring.table[...], vocabulary_size=V)
    assert int(questions.mask.sum()) == 9
    assert float(sampled) == pytest.approx(float(losses[questions.mask].mean()), abs=1e-3)
    exact = start(loss="full_softmax", optimizer="dense_adamw")[1].evaluate(state, BATCH, jax.random.key(0))
    assert float(exact) == pytest.approx(float(losses[questions.mask].mean()), abs=1e-5)


@pytest.mark.parametrize(
    ("shape", "side", "changed"),
    [
        ({}, None, {"share_negatives": False, "clip_norm": 0.5, "schedule": "cosine", "warmup_steps": 50}),
        ({"artist_embeddings": True}, SIDE, {"loss": "negatives_only"}),
        ({"artist_embeddings": True, "tied_output": False, "causal": False}, SIDE, {"popularity_share": 0.5}),
    ],
    ids=["cosine and clipping", "side table", "separate output, no causal mask"],
)
def test_row_sparse_training_equals_optax_adamw_on_whole_tables(shape, side, changed, start):
    """The same gradients, spread over whole tables and given to optax.adamw, for 300 steps: all weights are equal."""
    recipe, steps, state = start(shape, side, **changed)
    params = {"params": state.params, "tables": {name: jnp.array(t.values) for name, t in state.tables.items()}}
    params = jax.tree.map(jnp.array, params)
    chain = [optax.clip_by_global_norm(changed["clip_norm"])] if "clip_norm" in changed else []
    schedule = make_schedule(recipe.config, 300)
    optimizer = optax.chain(*chain, optax.adamw(schedule, weight_decay=recipe.config.weight_decay))
    dense = optimizer.init(params)

    @jax.jit
    def take(params, dense, batch, step):
        tables = {name: table._replace(values=params["tables"][name]) for name, table in state.tables.items()}
        tables = {name: t._replace(slots=recipe.row_rule.init(t.values)) for name, t in tables.items()}
        now = first._replace(params=params["params"], tables=tables)
        negatives, dropout, _ = jax.random.split(jax.random.fold_in(first.key, step), 3)
        local, _, weights = pose(now, batch, recipe.fixed, negatives, recipe=recipe)
        rows = {name: jnp.take(params["tables"][name], ids, axis=0, mode="clip") for name, ids in local.ids.items()}
        weights = weights._replace(rows=rows)
        loss, gradients = compute_gradients(weights, local, dropout, recipe=recipe, fixed=recipe.fixed)
        spread = {
            name: jnp.zeros_like(table).at[local.ids[name]].add(gradients.rows[name], mode="drop")
            for name, table in params["tables"].items()
        }
        updates, dense = optimizer.update({"params": gradients.params, "tables": spread}, dense, params)
        return optax.apply_updates(params, updates), dense, loss

    first = jax.tree.map(jnp.array, state)
    for number, batch in enumerate(_batches(300)):
        state, metrics = steps.train(state, batch)
        params, dense, loss = take(params, dense, batch, number)
        assert float(metrics.loss) == pytest.approx(float(loss), rel=2e-3, abs=1e-3)
    model = recipe.extract_model(state)
    expected = merge_model(recipe.graphdef, params["params"], params["tables"], recipe.fixed.row_of)
    for table, reference in ((model.embedding, expected.embedding), (model.scoring, expected.scoring)):
        np.testing.assert_allclose(table.vectors()[:V], reference.vectors()[:V], atol=2e-3)
    np.testing.assert_allclose(model(TOKENS[:, :-1]).astype(np.float32), expected(TOKENS[:, :-1]), atol=2e-2)


def test_dense_steps_equal_row_sparse_ones(start):
    results = []
    for optimizer in ("adamw", "dense_adamw"):
        recipe, steps, state = start({"artist_embeddings": True}, SIDE, optimizer=optimizer)
        for batch in _batches(50):
            state, _ = steps.train(state, batch)
        results.append(np.asarray(recipe.extract_model(state).embedding.vectors()))
    np.testing.assert_allclose(*results, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "changed"),
    [
        ({}, {}),
        ({"causal": False}, {"share_negatives": False}),
        ({"tied_output": False}, {"loss": "full_softmax", "optimizer": "dense_adamw"}),
    ],
    ids=["shared", "for each position", "full softmax"],
)
def test_micro_batches_give_the_gradient_of_the_whole_batch(shape, changed, start):
    tables = []
    for parts in (1, 2):
        recipe, steps, state = start({"dropout": 0.0} | shape, micro_batches=parts, **changed)
        for batch in _batches(5):
            state, metrics = steps.train(state, batch)
        tables.append((np.asarray(recipe.extract_model(state).embedding.table[...]), float(metrics.loss)))
    np.testing.assert_allclose(tables[0][0], tables[1][0], atol=1e-5)
    assert tables[0][1] == pytest.approx(tables[1][1], abs=1e-5)


def test_rows_that_a_batch_does_not_need_are_not_touched(start):
    _, steps, state = start(num_negatives=1)
    before = np.asarray(state.tables["embedding.table"].values)
    after = np.asarray(steps.train(state, BATCH)[0].tables["embedding.table"].values)
    touched = np.flatnonzero((before != after).any(1))
    assert len(touched) <= 9 + 1
    assert set(touched) >= {START, EOP, 3, 4, 5, 6, 7, 8, 9}


def test_without_a_causal_mask_what_is_asked_for_is_seen_by_nobody(start):
    """Changing tracks that are to be predicted changes no hidden state that predicts, causal or not."""
    for causal in (True, False):
        recipe, _, state = start({"causal": causal})
        model = _model(recipe, state)
        given = np.array([3, 0], np.int32)
        before = predict(model, ask(Batch(TOKENS, given), causal=causal))
        for place in range(4, 7):  # labels of row 0 from its fourth track on
            changed = TOKENS.copy()
            changed[0, place] = 14
            after = predict(model, ask(Batch(changed, given), causal=causal))
            # A causal position predicts the next token; what comes at or before it may be seen.
            seen = slice(0, place) if causal else slice(None)
            np.testing.assert_array_equal(after[0, seen], before[0, seen])


@pytest.mark.parametrize("optimizer", ["adamw", "lazy_adamw", "adagrad", "dense_adamw"])
def test_a_loss_that_is_not_finite_changes_nothing_but_the_counters(optimizer, start):
    _, steps, state = start(optimizer=optimizer)
    for batch in _batches(3):
        state, _ = steps.train(state, batch)
    values = state.tables["embedding.table"].values
    broken = state.tables["embedding.table"]._replace(values=values.at[4].set(jnp.nan))
    state = state._replace(tables={"embedding.table": broken})
    before = jax.tree.map(np.array, (state.params, state.tables, state.optimizer))
    state, metrics = steps.train(state, BATCH)
    assert np.isnan(metrics.loss)
    assert int(metrics.skipped) == 1
    assert int(state.step) == 4
    jax.tree.map(np.testing.assert_array_equal, before, (state.params, state.tables, state.optimizer))


def test_a_skipped_step_is_no_step_of_the_optimizer(start):
    """Three steps and one that follows a skipped one: the last is update number 3 again, not 4."""
    _, steps, state = start()
    for batch in _batches(3):
        state, _ = steps.train(state, batch)
    assert np.asarray(state.tables["embedding.table"].slots.last_step).max() == 3
    state, _ = steps.train(state._replace(skipped=state.skipped + 1), BATCH)
    assert np.asarray(state.tables["embedding.table"].slots.last_step).max() == 3


def test_seed_decides_the_first_weights(start):
    def table(seed):
        return np.asarray(start(seed=seed)[2].tables["embedding.table"].values)

    np.testing.assert_array_equal(table(1), table(1))
    assert (table(1) != table(2)).any()


@pytest.mark.parametrize("block", ["relu", "ligr"])
def test_from_vectors_the_last_hidden_state_starts_near_the_mean_of_the_seeds(
    block, make_playlists, make_train_config, vocabulary
):
    cfg = make_model_config(
        context_length=6, num_layers=2, num_heads=2, embed_dim=8, feedforward_dim=6, block=block, tied_output=False
    )
    playlists = make_playlists(20)
    recipe = make_recipe(cfg, make_train_config(), counts=vocabulary.counts, total_steps=1)
    vectors = factorize_playlists(playlists, V, 8, seed=5)
    state = start_from_vectors(
        recipe.make_state(), vectors, vocabulary, graphdef=recipe.graphdef, row_of=recipe.fixed.row_of
    )
    model = recipe.extract_model(state)
    table = np.asarray(model.embedding.table[...])
    np.testing.assert_array_equal(table[3:], FIRST_NORM * vectors[3:])
    np.testing.assert_array_equal(model.head.table[3:], table[3:])
    np.testing.assert_allclose(table[[START, UNK]], FIRST_NORM * np.stack([vectors[3:].mean(0)] * 2), rtol=1e-5)
    assert np.any(table[EOP])

    def standardise(rows):
        return (rows - rows.mean(-1, keepdims=True)) / rows.std(-1, keepdims=True)

    for tracks in ([4, 9], [3, 5, 12, 14]):
        tokens = [START, *tracks]
        hidden = np.asarray(model(np.array([tokens])))[0, -1]
        mean = standardise(standardise(table[tokens]).mean(0) + table[tokens[-1]])
        assert np.corrcoef(hidden, mean)[0, 1] > 0.97


@pytest.mark.parametrize("block", ["relu", "ligr"])
def test_whitened_vectors_rank_as_the_ridge_query_does(block, make_playlists, make_train_config, vocabulary):
    cfg = make_model_config(
        context_length=6, num_layers=2, num_heads=2, embed_dim=8, feedforward_dim=6, block=block, positions=False
    )
    recipe = make_recipe(cfg, make_train_config(), counts=vocabulary.counts, total_steps=1)
    vectors = factorize_playlists(make_playlists(40), V, 8, seed=5)
    places = {"graphdef": recipe.graphdef, "row_of": recipe.fixed.row_of}
    state = start_from_vectors(recipe.make_state(), vectors, vocabulary, **places, whiten=True)
    model = recipe.extract_model(state)
    table = np.asarray(model.embedding.table[...])
    # The vectors are turned as a whole: between tracks nothing changes.
    np.testing.assert_allclose(table[3:] @ table[3:].T, FIRST_NORM**2 * vectors[3:] @ vectors[3:].T, atol=1e-5)

    turned = _turn_from_ones(vectors).astype(np.float64)
    gram = turned.T @ turned
    for tracks in ([4], [4, 9], [3, 5, 12, 14]):
        given = turned[tracks] - turned[tracks].mean(-1, keepdims=True)
        query = np.linalg.solve(
            gram + RIDGE * np.trace(gram) / 8 * np.eye(8), (given / given.std(-1, keepdims=True)).sum(0)
        )
        hidden = np.asarray(model(np.array([[START, *tracks]])))[0, -1]
        assert np.corrcoef(table[3:] @ hidden, turned[3:] @ query)[0, 1] > 0.97


def test_vectors_are_turned_so_that_they_vary_least_along_the_ones():
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((50, 6)) * [3, 2, 0.1, 4, 5, 6]).astype(np.float32)
    turned = _turn_from_ones(vectors)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-3)
    least = np.linalg.eigh(turned.T @ turned)[1][:, 0]
    np.testing.assert_allclose(np.abs(least), np.full(6, 6**-0.5), atol=1e-4)
    assert np.abs(least.sum()) == pytest.approx(6**0.5, abs=1e-3)  # all of one sign
    np.testing.assert_allclose(_turn_from_ones(turned) @ turned.T, turned @ turned.T, atol=1e-3)


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_every_factorization_puts_tracks_of_one_group_together(name):
    rng = np.random.default_rng(0)
    playlists = [(3 + 20 * (n % 2) + rng.permutation(20)[:12]).astype(np.int32) for n in range(60)]
    vectors = FACTORIZATIONS[name](playlists, 44, 4, seed=1)
    assert vectors.shape == (44, 4)
    assert vectors.dtype == np.float32
    assert not vectors[[0, 1, 2, 43]].any()
    counts = np.bincount(np.concatenate(playlists), minlength=44)
    assert counts @ np.square(vectors).sum(1) / counts.sum() == pytest.approx(1.0, rel=1e-5)
    products = vectors @ vectors.T
    assert products[3:23, 3:23].mean() > products[3:23, 23:43].mean() + 0.5
