import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from playlist_pipeline.generation.reranking.network import LIMIT, RankingNetwork, compute_ranking_loss


def compute_loss(scores, is_truth, is_valid=None, num_truth=1):
    return float(
        compute_ranking_loss(
            jnp.asarray([scores], jnp.float32),
            jnp.asarray([is_truth], bool),
            jnp.asarray([is_valid or [True] * len(scores)], bool),
            jnp.asarray([num_truth]),
        )
    )


def test_the_loss_by_hand():
    one = compute_loss([2.0, 1.0, 0.0], [True, False, False])
    assert one == pytest.approx(np.log(1 + np.exp(-1) + np.exp(-2)), rel=1e-6)
    # Two true ones, each against the false one; half of the truth is no candidate.
    two = compute_loss([2.0, 1.0, 0.0], [True, True, False], num_truth=4)
    assert two == pytest.approx((np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1))) / 4, rel=1e-6)


def test_what_only_fills_a_list_does_not_count():
    filled = compute_loss([2.0, 1.0, 50.0], [True, False, False], [True, True, False])
    assert filled == pytest.approx(compute_loss([2.0, 1.0], [True, False]), rel=1e-6)


def test_a_list_without_truth_teaches_nothing():
    assert compute_loss([2.0, 1.0], [False, False], num_truth=3) == 0
    assert compute_loss([2.0, 1.0], [False, False], num_truth=0) == 0


def test_a_list_of_truth_alone_teaches_nothing():
    truth = jnp.ones((1, 2), bool)
    loss, gradient = jax.value_and_grad(compute_ranking_loss)(jnp.array([[1.0, 2.0]]), truth, truth, jnp.array([2]))
    assert loss == 0
    assert gradient.tolist() == [[0, 0]]


def test_the_loss_is_the_mean_over_lists_and_falls_as_truth_rises():
    scores = jnp.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    is_truth = jnp.array([[True, False, False], [False, False, True]])
    arguments = (is_truth, jnp.ones_like(is_truth), jnp.array([1, 1]))
    loss, gradient = jax.value_and_grad(compute_ranking_loss)(scores, *arguments)
    each = [compute_loss(row, truth) for row, truth in zip(scores.tolist(), is_truth.tolist(), strict=True)]
    assert float(loss) == pytest.approx(np.mean(each), rel=1e-6)
    assert ((gradient < 0) == is_truth).all()
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-6)


@pytest.fixture
def network():
    network = RankingNetwork(
        np.array([1.0, 0.0], np.float32),
        np.array([2.0, 0.5], np.float32),
        hidden_dim=3,
        dropout=0.5,
        rngs=nnx.Rngs(0),
    )
    network.linear.kernel[...] = jnp.array([[1.0], [10.0]])
    return network


def test_features_are_standardised_and_bounded(network):
    network.output.kernel[...] = jnp.zeros((3, 1))
    scores = network(jnp.array([[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1e4, 0.0], [0.0, -1e4]], jnp.float16))
    np.testing.assert_allclose(scores, [0, 1, 1 + 20, LIMIT, -0.5 - 10 * LIMIT], rtol=1e-5)


def test_dropout_acts_in_training_alone(network):
    features = jnp.ones((4, 5, 2))
    still = network(features)
    assert still.shape == (4, 5)
    np.testing.assert_array_equal(still, network(features))
    rngs = nnx.Rngs(dropout=1)
    assert (network(features, rngs=rngs) != network(features, rngs=rngs)).any()


def test_means_and_deviations_are_not_trained(network):
    names = {".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(network, nnx.Param))}
    assert names == {"hidden.kernel", "hidden.bias", "output.kernel", "linear.kernel"}
