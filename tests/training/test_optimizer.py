"""Row rules against dense AdamW, schedules, clipping, and stochastic rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from playlist_pipeline.model.embedding import gather_rows, scatter_rows
from playlist_pipeline.training.optimizer import (
    RowAdagrad,
    RowAdamW,
    clip_gradients,
    is_finite,
    load_moments,
    make_schedule,
    round_stochastically,
)

ROWS, WIDTH, STEPS = 40, 6, 400


def _draw_steps(seed=0):
    """Rows and their gradients at each step; most rows wait for long, some are never read."""
    rng = np.random.default_rng(seed)
    often = 1 / np.arange(1, ROWS + 1)
    often[-3:] = 0
    for _ in range(STEPS):
        ids = np.sort(rng.choice(ROWS, 5, replace=False, p=often / often.sum()))
        yield ids, rng.normal(size=(5, WIDTH)).astype(np.float32) * rng.choice([1e-3, 1.0, 30.0])


def _run_rows(rule, table):
    """Return the table after all steps, all rows caught up, and its state."""

    @jax.jit
    def take(table, slots, ids, gradients, step):
        rows, own = rule.catch_up(gather_rows(table, ids), jax.tree.map(lambda x: gather_rows(x, ids), slots), step - 1)
        rows, own = rule.update(rows, own, gradients, step, jax.random.key(step))
        return scatter_rows(table, ids, rows), jax.tree.map(lambda x, new: scatter_rows(x, ids, new), slots, own)

    slots = rule.init(table)
    for step, (ids, gradients) in enumerate(_draw_steps(), start=1):
        table, slots = take(table, slots, ids, gradients, jnp.int32(step))
    return rule.catch_up(table, slots, jnp.int32(STEPS))


def _run_dense(table, rates, weight_decay):
    optimizer = optax.adamw(lambda count: jnp.asarray(rates, jnp.float32)[count], weight_decay=weight_decay)

    @jax.jit
    def take(table, state, gradients):
        updates, state = optimizer.update(gradients, state, table)
        return optax.apply_updates(table, updates), state

    state = optimizer.init(table)
    for ids, gradients in _draw_steps():
        table, state = take(table, state, jnp.zeros_like(table).at[ids].set(gradients))
    return table


def _rates(name):
    steps = np.arange(STEPS + 1)
    return {
        "constant": np.full(STEPS + 1, 0.01),
        "cosine": 0.01 * (1 + np.cos(np.pi * steps / (STEPS + 1))) / 2,
        "warm-up": 0.01 * np.minimum((steps + 1) / 100, 1),
    }[name]


@pytest.fixture
def table():
    return jnp.asarray(np.random.default_rng(1).normal(size=(ROWS, WIDTH)), jnp.float32)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "warm-up"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_row_adamw_equals_dense_adamw_on_the_whole_table(schedule, weight_decay, table):
    rates = _rates(schedule)
    rows, _ = _run_rows(RowAdamW(rates, weight_decay), table)
    dense = _run_dense(table, rates, weight_decay)
    moved = np.abs(np.asarray(dense - table)).max(axis=1)
    assert (moved[:-3] > 0.01).all()
    np.testing.assert_allclose(rows, dense, rtol=2e-5, atol=2e-5)
    # Rows that no step reads only decay.
    np.testing.assert_allclose(rows[-3:], table[-3:] * np.prod(1 - rates[:STEPS] * weight_decay), rtol=1e-5)


def test_catching_up_twice_is_catching_up_once(table):
    rule = RowAdamW(_rates("cosine"), 0.1)
    rows, slots = rule.update(table, rule.init(table), jnp.ones_like(table), jnp.int32(1), None)
    once, _ = rule.catch_up(rows, slots, jnp.int32(300))
    middle = rule.catch_up(rows, slots, jnp.int32(7))
    twice, _ = rule.catch_up(*middle, jnp.int32(300))
    np.testing.assert_allclose(once, twice, rtol=1e-5, atol=1e-6)
    again, _ = rule.catch_up(rows, slots, jnp.int32(1))
    np.testing.assert_array_equal(again, rows)


def test_epsilon_is_carried_along(table):
    """Gradients far below epsilon, late in a training: without it waiting rows would move ten times too far."""
    before = 5000
    rule, gradients = RowAdamW(np.full(before + 51, 0.01), 0.0), jnp.full((ROWS, WIDTH), 3e-8)
    rows, slots = rule.catch_up(table, rule.init(table), jnp.int32(before))
    rows, slots = rule.update(rows, slots, gradients, jnp.int32(before + 1), None)
    rows, _ = rule.catch_up(rows, slots, jnp.int32(before + 50))
    optimizer = optax.adamw(0.01, weight_decay=0.0)
    dense, state = table, optax.tree.set(optimizer.init(table), count=jnp.int32(before))
    for step in range(50):
        updates, state = optimizer.update(gradients * (step == 0), state, dense)
        dense = optax.apply_updates(dense, updates)
    moved = np.abs(np.asarray(dense - table)).mean()
    assert moved > 1e-3
    np.testing.assert_allclose(rows, dense, atol=0.02 * moved)


def test_the_lazy_rule_lets_rows_stand_still(table):
    rows, slots = _run_rows(RowAdamW(_rates("constant"), 0.1, lazy=True), table)
    np.testing.assert_array_equal(rows[-3:], table[-3:])
    assert not np.allclose(rows, _run_dense(table, _rates("constant"), 0.1), atol=1e-3)
    assert not np.asarray(slots.mean[-3:]).any()


def test_bfloat16_moments_stay_close_to_float32_ones(table):
    rates = _rates("constant")
    rows, slots = _run_rows(RowAdamW(rates, 0.1, moment_dtype="bfloat16"), table)
    exact, _ = _run_rows(RowAdamW(rates, 0.1), table)
    assert slots.mean.dtype == jnp.float32  # caught up; the table itself keeps bits
    kept = RowAdamW(rates, 0.1, moment_dtype="bfloat16").init(table)
    assert kept.mean.dtype == kept.square.dtype == jnp.uint16
    moved = np.abs(np.asarray(exact - table)).mean()
    assert np.abs(np.asarray(rows - exact)).mean() < 0.05 * moved


def test_the_second_moment_decays_in_bfloat16():
    """0.999 of a number rounds to the number itself: only random rounding lets it fall, here to 0.999^1000."""
    square = jnp.full((2000, 1), 0.5)
    for step in range(1000):
        square = round_stochastically(square * 0.999, jax.random.key(step)).astype(jnp.float32)
    assert float(square.mean()) == pytest.approx(0.5 * 0.999**1000, rel=0.03)
    assert float(jnp.float32(jnp.bfloat16(0.5 * 0.999))) == 0.5


def test_stochastic_rounding_is_right_on_average_and_leaves_bfloat16_alone():
    values = jnp.array([1.001, 0.3337, 1e-30, 123.456, 0.0])
    rounded = jax.vmap(lambda key: round_stochastically(values, key))(jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose(rounded.astype(jnp.float32).mean(0), values, rtol=2e-4)
    exact = values.astype(jnp.bfloat16)
    np.testing.assert_array_equal(round_stochastically(exact.astype(jnp.float32), jax.random.key(1)), exact)
    bits = jax.lax.bitcast_convert_type(exact, jnp.uint16)
    np.testing.assert_array_equal(load_moments(bits), exact.astype(jnp.float32))


def test_adagrad_by_hand(table):
    rule = RowAdagrad(np.array([0.5, 0.25]))
    first = jnp.tile(jnp.array([3.0, -1.0, 0, 0, 0, 0]), (ROWS, 1))
    rows, slots = rule.update(table, rule.init(table), first, jnp.int32(1), None)
    np.testing.assert_allclose(slots, 10 / 6, rtol=1e-6)
    np.testing.assert_allclose(rows, table - 0.5 * first / np.sqrt(10 / 6), rtol=1e-5, atol=1e-6)
    later, slots = rule.update(rows, slots, first, jnp.int32(2), None)
    np.testing.assert_allclose(later, rows - 0.25 * first / np.sqrt(20 / 6), rtol=1e-5, atol=1e-6)
    caught, same = rule.catch_up(later, slots, jnp.int32(2))
    assert caught is later
    assert same is slots


@pytest.mark.parametrize("rule", [RowAdamW(np.full(9, 0.1), 0.1), RowAdagrad(np.full(9, 0.1))])
def test_a_closed_gate_changes_nothing(rule, table):
    rows, slots = rule.update(table, rule.init(table), jnp.ones_like(table), jnp.int32(1), None)
    after = rule.update(rows, slots, jnp.zeros_like(table), jnp.int32(2), None, gate=jnp.float32(0))
    jax.tree.map(np.testing.assert_array_equal, after, (rows, slots))


def test_clipping_scales_all_gradients_by_one_factor():
    gradients = {"a": jnp.array([3.0]), "b": jnp.array([[4.0, 0.0]])}
    clipped = clip_gradients(gradients, 2.5)
    np.testing.assert_allclose(clipped["a"], [1.5])
    np.testing.assert_allclose(clipped["b"], [[2.0, 0.0]])
    jax.tree.map(np.testing.assert_array_equal, clip_gradients(gradients, 6.0), gradients)
    assert clip_gradients(gradients, None) is gradients
    zeros = jax.tree.map(jnp.zeros_like, gradients)
    jax.tree.map(np.testing.assert_array_equal, clip_gradients(zeros, 1.0), zeros)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_is_found_anywhere(bad):
    fine, broken = {"a": jnp.ones(3), "b": jnp.ones((2, 2))}, {"a": jnp.ones(3), "b": jnp.array([[1.0, bad]])}
    assert is_finite(jnp.float32(1), fine, fine)
    assert not is_finite(jnp.float32(bad), fine, fine)
    assert not is_finite(jnp.float32(1), broken, fine)
    assert not is_finite(jnp.float32(1), fine, broken)


def test_schedules(make_train_config):
    constant = make_schedule(make_train_config(learning_rate=0.3), 100)
    assert [float(constant(step)) for step in (0, 50, 200)] == pytest.approx([0.3] * 3)
    config = make_train_config(learning_rate=0.3, schedule="cosine", warmup_steps=10)
    cosine = make_schedule(config, 110)
    assert float(cosine(0)) == pytest.approx(0.3 / 11)
    assert float(cosine(10)) == pytest.approx(0.3)
    assert float(cosine(60)) == pytest.approx(0.15)
    assert float(cosine(110)) == pytest.approx(0.0, abs=1e-8)
    assert float(make_schedule(config, 110, peak=0.1)(10)) == pytest.approx(0.1)
    assert float(make_schedule(make_train_config(schedule="cosine", warmup_steps=50), 5)(5)) <= 0.01
