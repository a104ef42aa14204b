"""Sampled and exact losses against the naive softmax, and the size of the sampled one's bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playlist_pipeline.model.losses import (
    average_loss,
    count_candidates,
    draw_negatives,
    exact_softmax_loss,
    sampled_softmax_loss,
)

FORMS = ["label_in_denominator", "negatives_only"]


def _make(rng, *, vocabulary_size, scale=1.0, batch=2, length=3, width=4):
    hidden = rng.normal(size=(batch, length, width)).astype(np.float32)
    table = (rng.normal(size=(vocabulary_size, width)) * scale).astype(np.float32)
    labels = rng.integers(1, vocabulary_size, (batch, length)).astype(np.int32)
    return hidden, table, labels


def _naive_exact(hidden, table, labels):
    logits = hidden.astype(np.float64) @ table.astype(np.float64).T
    log_denominator = np.log(np.exp(logits[..., 1:]).sum(-1))
    return log_denominator - np.take_along_axis(logits, labels[..., None], -1)[..., 0]


def _sampled(hidden, table, labels, negatives, *, form="label_in_denominator", correct_bias=False):
    return sampled_softmax_loss(
        hidden,
        table[labels],
        table[negatives],
        negatives == labels[..., None],
        num_candidates=count_candidates(len(table)),
        form=form,
        correct_bias=correct_bias,
    )


@pytest.mark.parametrize("chunk_size", [1, 4, 7, 23, 100])
def test_exact_loss_equals_naive_softmax_over_all_but_start(chunk_size):
    hidden, table, labels = _make(np.random.default_rng(0), vocabulary_size=23, scale=3.0)
    exact = exact_softmax_loss(hidden, table, labels, chunk_size=chunk_size)
    np.testing.assert_allclose(exact, _naive_exact(hidden, table, labels), atol=1e-5)


def test_exact_loss_stands_large_logits():
    hidden, table, labels = _make(np.random.default_rng(1), vocabulary_size=9, scale=100.0)
    exact = exact_softmax_loss(hidden, table, labels, chunk_size=2)
    np.testing.assert_allclose(exact, _naive_exact(hidden, table, labels), rtol=1e-5, atol=1e-4)


def test_negatives_are_uniform_over_all_tokens_but_start():
    drawn = np.asarray(draw_negatives(jax.random.key(0), (20_000,), 5))
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    np.testing.assert_allclose(shares, [0, 0.25, 0.25, 0.25, 0.25], atol=0.015)


@pytest.mark.parametrize("correct_bias", [False, True])
def test_label_in_denominator_by_hand(correct_bias):
    # One position, D = 1, hidden 1: a token's logit is its row. n = 5 candidates; the label, token 2, is drawn once.
    table = np.array([[9.0], [0.1], [0.7], [-0.3], [1.2], [0.4]], np.float32)
    negatives = np.array([1, 2, 4], np.int32)
    exponentials = np.exp([0.1, 1.2])
    denominator = np.exp(0.7) + 4 * exponentials.mean()
    expected = np.log(denominator) - 0.7
    if correct_bias:
        expected += 16 * exponentials.var(ddof=1) / 2 / (2 * denominator**2)
    labels = np.array([[2]], np.int32)
    loss = _sampled(np.ones((1, 1, 1), np.float32), table, labels, negatives, correct_bias=correct_bias)
    assert float(loss[0, 0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("correct_bias", [False, True])
def test_negatives_only_by_hand(correct_bias):
    table = np.array([[9.0], [0.1], [0.7], [-0.3], [1.2], [0.4]], np.float32)
    negatives = np.array([1, 2, 4], np.int32)
    exponentials = np.exp([0.1, 0.7, 1.2])
    expected = np.log(5 * exponentials.mean()) - 0.7
    if correct_bias:
        expected += exponentials.var(ddof=1) / 3 / (2 * exponentials.mean() ** 2)
    labels = np.array([[2]], np.int32)
    hidden = np.ones((1, 1, 1), np.float32)
    loss = _sampled(hidden, table, labels, negatives, form="negatives_only", correct_bias=correct_bias)
    assert float(loss[0, 0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_shared_negatives_equal_the_same_ones_at_each_position(form):
    hidden, table, labels = _make(np.random.default_rng(2), vocabulary_size=12)
    shared = np.array([1, 4, 4, 11, 7], np.int32)
    repeated = np.broadcast_to(shared, (*labels.shape, 5))
    first = _sampled(hidden, table, labels, shared, form=form, correct_bias=True)
    second = _sampled(hidden, table, labels, repeated, form=form, correct_bias=True)
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("correct_bias", [False, True])
def test_all_negatives_equal_to_the_label(correct_bias):
    hidden, table, labels = _make(np.random.default_rng(3), vocabulary_size=6)
    negatives = np.repeat(labels[..., None], 4, axis=-1)
    loss = _sampled(hidden, table, labels, negatives, correct_bias=correct_bias)
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)
    gradient = jax.grad(lambda hidden: _sampled(hidden, table, labels, negatives, correct_bias=correct_bias).sum())(
        jnp.asarray(hidden)
    )
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_large_logits_stay_finite_with_their_gradients(form):
    hidden, table, labels = _make(np.random.default_rng(4), vocabulary_size=12, scale=300.0)
    negatives = np.array([1, 2, 3, 4], np.int32)

    def total(hidden):
        return _sampled(hidden, jnp.asarray(table), labels, negatives, form=form, correct_bias=True).sum()

    loss, gradient = jax.value_and_grad(total)(jnp.asarray(hidden))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("form", FORMS)
def test_correction_brings_the_mean_loss_closer_to_the_exact_one(form):
    hidden, table, labels = _make(np.random.default_rng(5), vocabulary_size=40, scale=0.7)
    exact = _naive_exact(hidden, table, labels).mean()

    @jax.jit
    def mean_losses(key):
        negatives = draw_negatives(key, (*labels.shape, 20), len(table))
        arguments = (jnp.asarray(hidden), jnp.asarray(table), labels, negatives)
        return jnp.stack([_sampled(*arguments, form=form, correct_bias=on).mean() for on in (False, True)])

    plain, corrected = jax.lax.map(mean_losses, jax.random.split(jax.random.key(0), 4000)).mean(axis=0)
    assert plain < exact
    assert abs(corrected - exact) < 0.35 * abs(plain - exact)


def test_only_the_label_form_is_bounded_below():
    table = np.array([[0.0], [50.0], [0.0], [0.0]], np.float32)
    labels, negatives, hidden = np.array([[1]]), np.array([2, 3], np.int32), np.ones((1, 1, 1), np.float32)
    assert float(_sampled(hidden, table, labels, negatives, form="negatives_only")[0, 0]) < -40
    assert float(_sampled(hidden, table, labels, negatives)[0, 0]) == pytest.approx(0.0, abs=1e-6)


def test_unknown_form_is_refused():
    hidden, table, labels = _make(np.random.default_rng(0), vocabulary_size=5)
    with pytest.raises(ValueError, match="form must be one of label_in_denominator, negatives_only, not 'both'"):
        _sampled(hidden, table, labels, np.array([1, 2]), form="both")


def test_average_counts_masked_positions_only():
    losses = jnp.array([[1.0, 2.0, jnp.nan], [6.0, jnp.inf, jnp.inf]])
    mask = jnp.array([[True, True, False], [True, False, False]])
    assert float(average_loss(losses, mask)) == pytest.approx(3.0)
    assert float(average_loss(losses, jnp.zeros_like(mask))) == 0.0
