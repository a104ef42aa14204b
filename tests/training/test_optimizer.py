"""A step that is not finite changes nothing and is counted."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from playlist_pipeline.training.optimizer import make_optimizer, skip_nonfinite

PARAMS = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}
GRADIENTS = {"a": jnp.array([0.5, 0.1]), "b": jnp.array(-1.0)}


def _step(optimizer, params, state, *, gradients=GRADIENTS, loss=1.0):
    updates, state = optimizer.update(gradients, state, params, loss=jnp.float32(loss))
    return optax.apply_updates(params, updates), state


def test_finite_steps_equal_the_wrapped_optimizer():
    plain, wrapped = optax.adamw(0.1), skip_nonfinite(optax.adamw(0.1))
    params, state = PARAMS, wrapped.init(PARAMS)
    plain_params, plain_state = PARAMS, plain.init(PARAMS)
    for _ in range(3):
        params, state = _step(wrapped, params, state)
        updates, plain_state = plain.update(GRADIENTS, plain_state, plain_params)
        plain_params = optax.apply_updates(plain_params, updates)
    jax.tree.map(np.testing.assert_array_equal, params, plain_params)
    jax.tree.map(np.testing.assert_array_equal, state.inner, plain_state)
    assert int(state.skipped) == 0


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(bad, where, make_train_config):
    optimizer = make_optimizer(make_train_config())
    params, state = _step(optimizer, PARAMS, optimizer.init(PARAMS))
    if where == "loss":
        after, after_state = _step(optimizer, params, state, loss=bad)
    else:
        after, after_state = _step(optimizer, params, state, gradients=GRADIENTS | {"a": jnp.array([0.5, bad])})
    jax.tree.map(np.testing.assert_array_equal, after, params)
    jax.tree.map(np.testing.assert_array_equal, after_state.inner, state.inner)
    assert int(after_state.skipped) == 1
    _, after_state = _step(optimizer, after, after_state)
    assert int(after_state.skipped) == 1


def test_decay_is_decoupled_and_reaches_all_parameters(make_train_config):
    optimizer = make_optimizer(make_train_config(learning_rate=0.1, weight_decay=0.5))
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    params, _ = _step(optimizer, PARAMS, optimizer.init(PARAMS), gradients=zeros)
    jax.tree.map(lambda new, old: np.testing.assert_allclose(new, old * 0.95, rtol=1e-6), params, PARAMS)
