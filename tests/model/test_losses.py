"""Losses and their gradients against float64 references in numpy, the draws of negatives, and the bias of estimates."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from playlist_pipeline.model.losses import (
    FIRST_CANDIDATE,
    count_candidates,
    find_gbce_beta,
    full_softmax_loss,
    gbce_loss,
    make_sampler,
    sampled_softmax_loss,
    score_labels,
    score_negatives,
)

FORMS = ["label_in_denominator", "negatives_only"]
SHARES = [0.0, 0.5, 1.0]


def _make(rng, *, vocabulary_size, scale=1.0, batch=2, length=3, width=4):
    hidden = rng.normal(size=(batch, length, width)).astype(np.float32)
    table = (rng.normal(size=(vocabulary_size, width)) * scale).astype(np.float32)
    labels = rng.integers(FIRST_CANDIDATE, vocabulary_size, (batch, length)).astype(np.int32)
    return hidden, table, labels


def _make_counts(vocabulary_size):
    # <start> has a count too, which must not matter, and some candidates have none.
    return np.array([1000, 60, 0, *range(25, 25 - vocabulary_size + 3, -1)], np.int64).clip(0)


def _softmax(logits):
    """Return log Z and the softmax over all tokens but <start>, float64."""
    log_denominator = np.logaddexp.reduce(logits[..., 1:], axis=-1)
    probabilities = np.exp(logits - log_denominator[..., None])
    probabilities[..., 0] = 0
    return log_denominator, probabilities


def _naive_exact(hidden, table, labels):
    logits = np.broadcast_to(hidden.astype(np.float64) @ table.astype(np.float64).T, (*labels.shape, len(table)))
    return _softmax(logits)[0] - np.take_along_axis(logits, labels[..., None], -1)[..., 0]


def _exact(hidden, table, labels, vocabulary_size):
    return full_softmax_loss(hidden, score_labels(hidden, table[labels]), table, vocabulary_size=vocabulary_size)


def _sampled(hidden, table, labels, negatives, *, sampler=None, form="label_in_denominator", correct_bias=False):
    sampler = sampler or make_sampler(np.ones(len(table), np.int64), 0.0)
    return sampled_softmax_loss(
        score_labels(hidden, table[labels]),
        score_negatives(hidden, table[negatives]),
        negatives == labels[..., None],
        log_q=sampler.log_probabilities(negatives),
        label_log_q=sampler.log_probabilities(labels),
        form=form,
        correct_bias=correct_bias,
    )


def _naive_sampled(label_scores, scores, is_label, *, log_q, label_log_q, form, correct_bias):
    """Return the loss of each position as it is defined, with none of the care for large exponentials."""
    losses = np.empty(is_label.shape[:-1])
    scores, log_q = np.broadcast_to(scores, is_label.shape), np.broadcast_to(log_q, is_label.shape)
    for place in np.ndindex(losses.shape):
        weighted = np.exp(scores[place] - log_q[place])
        others = 0.0
        if form == "label_in_denominator":
            weighted = weighted[~is_label[place]] * (1 - np.exp(label_log_q[place]))
            others = np.exp(label_scores[place])
        denominator = others + (weighted.mean() if len(weighted) else 0.0)
        losses[place] = np.log(denominator) - label_scores[place]
        if correct_bias and len(weighted) > 1:
            losses[place] += weighted.var(ddof=1) / len(weighted) / (2 * denominator**2)
    return losses


def _differentiate(function, array):
    """Return the gradient of a scalar function of a float64 array, by central differences."""
    gradient = np.empty_like(array)
    for place in np.ndindex(array.shape):
        step = np.zeros_like(array)
        step[place] = 1e-5
        gradient[place] = (function(array + step) - function(array - step)) / 2e-5
    return gradient


def _make_scores(rng, *, vocabulary_size=9, num_negatives=6, share=0.5):
    """Return label scores, scores, is_label, log q and the labels' log q; some negatives are the label."""
    sampler = make_sampler(_make_counts(vocabulary_size), share)
    hidden, table, labels = _make(rng, vocabulary_size=vocabulary_size)
    negatives = rng.integers(FIRST_CANDIDATE, vocabulary_size, (*labels.shape, num_negatives)).astype(np.int32)
    negatives[..., 0] = labels
    scored = score_labels(hidden, table[labels]), score_negatives(hidden, table[negatives])
    log_q = sampler.log_probabilities(jnp.asarray(negatives)), sampler.log_probabilities(jnp.asarray(labels))
    return *(np.asarray(array, np.float64) for array in scored), negatives == labels[..., None], *map(np.asarray, log_q)


def _iterate_shapes(jaxpr):
    """Yield the shapes of all that is computed, inner functions and loops included."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.shape for variable in equation.outvars)
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _iterate_shapes(inner)


# Scores


@pytest.mark.parametrize("one_hidden", [False, True])
def test_scores_are_products_with_shared_and_with_own_rows(one_hidden):
    hidden, table, labels = _make(np.random.default_rng(0), vocabulary_size=12)
    hidden = hidden[:, :1] if one_hidden else hidden
    shared = np.array([1, 4, 4, 11, 7])
    own = np.random.default_rng(1).integers(1, 12, (*labels.shape, 5))
    rows = table.astype(np.float64)
    np.testing.assert_allclose(score_labels(hidden, table[labels]), (hidden * rows[labels]).sum(-1), atol=1e-6)
    np.testing.assert_allclose(score_negatives(hidden, table[shared]), hidden @ rows[shared].T, atol=1e-6)
    expected = (hidden[:, :, None] * rows[own]).sum(-1)
    np.testing.assert_allclose(score_negatives(hidden, table[own]), expected, atol=1e-6)


# The full softmax


@pytest.mark.parametrize("one_hidden", [False, True])
@pytest.mark.parametrize("vocabulary_size", [23, 19, 15])
@pytest.mark.parametrize("chunk_size", [1, 4, 7, 23, 100])
def test_full_softmax_and_its_gradients_leave_out_start_and_padding(
    monkeypatch, chunk_size, vocabulary_size, one_hidden
):
    monkeypatch.setattr("playlist_pipeline.model.losses.CHUNK_SIZE", chunk_size)
    rng = np.random.default_rng(0)
    hidden, table, labels = _make(rng, vocabulary_size=23, scale=2.0)
    labels %= vocabulary_size - 1
    labels += 1
    hidden = hidden[:, :1] if one_hidden else hidden
    weights = rng.normal(size=labels.shape)

    @jax.jit
    def compute(hidden, table):
        losses, pull = jax.vjp(lambda *arrays: _exact(*arrays, labels, vocabulary_size), hidden, table)
        return losses, pull(jnp.asarray(weights, jnp.float32))

    losses, (by_hidden, by_table) = compute(hidden, table)
    used, wide = table[:vocabulary_size].astype(np.float64), hidden.astype(np.float64)
    np.testing.assert_allclose(losses, _naive_exact(hidden, used, labels), atol=1e-5)

    by_logits = _softmax(np.broadcast_to(wide @ used.T, (*labels.shape, vocabulary_size)))[1]
    by_logits = (by_logits - np.eye(vocabulary_size)[labels]) * weights[..., None]
    expected = by_logits @ used
    np.testing.assert_allclose(by_hidden, expected.sum(1, keepdims=True) if one_hidden else expected, atol=1e-5)
    expected = np.einsum("btv,btd->vd", by_logits, np.broadcast_to(wide, (*labels.shape, 4)))
    np.testing.assert_allclose(by_table[:vocabulary_size], expected, atol=1e-5)
    np.testing.assert_array_equal(by_table[vocabulary_size:], 0.0)
    np.testing.assert_array_equal(by_table[0], 0.0)


def test_full_softmax_does_not_see_what_start_and_padding_hold(monkeypatch):
    monkeypatch.setattr("playlist_pipeline.model.losses.CHUNK_SIZE", 4)
    hidden, table, labels = _make(np.random.default_rng(0), vocabulary_size=10)
    padded = np.concatenate([table, np.full((3, 4), 1e30, np.float32)])
    padded[0] = 1e30
    losses = _exact(jnp.asarray(hidden), jnp.asarray(padded), labels, 10)
    np.testing.assert_allclose(losses, _naive_exact(hidden, table, labels), atol=1e-5)


def test_full_softmax_stands_large_logits(monkeypatch):
    monkeypatch.setattr("playlist_pipeline.model.losses.CHUNK_SIZE", 2)
    hidden, table, labels = _make(np.random.default_rng(1), vocabulary_size=9, scale=100.0)
    total = jax.value_and_grad(lambda *arrays: _exact(*arrays, labels, 9).sum(), (0, 1))
    loss, gradients = total(jnp.asarray(hidden), jnp.asarray(table))
    np.testing.assert_allclose(loss, _naive_exact(hidden, table, labels).sum(), rtol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_full_softmax_in_bfloat16_is_the_loss_of_one_set_of_logits():
    """The label's logit is rounded as it is in the denominator: with one candidate left the loss is exactly zero."""
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(size=(4, 5, 32)), jnp.bfloat16)
    table = jnp.asarray(rng.normal(size=(2, 32)), jnp.float32)
    labels = jnp.ones((4, 5), jnp.int32)
    losses = full_softmax_loss(hidden, score_labels(hidden, table[labels]), table, vocabulary_size=2)
    np.testing.assert_allclose(losses, 0.0, atol=1e-5)


def test_full_softmax_in_bfloat16_returns_gradients_in_the_types_of_its_arguments():
    hidden, table, labels = _make(np.random.default_rng(2), vocabulary_size=23)
    half = jnp.asarray(hidden, jnp.bfloat16)
    total = jax.value_and_grad(lambda *arrays: _exact(*arrays, labels, 23).sum(), (0, 1))
    loss, (by_hidden, by_table) = total(half, jnp.asarray(table))
    assert (by_hidden.dtype, by_table.dtype) == (jnp.bfloat16, jnp.float32)
    exact_loss, (_, exact_by_table) = total(half.astype(jnp.float32), jnp.asarray(table))
    np.testing.assert_allclose(loss, exact_loss, rtol=0.01)
    np.testing.assert_allclose(by_table, exact_by_table, atol=0.03)


def test_full_softmax_never_holds_all_logits(monkeypatch):
    monkeypatch.setattr("playlist_pipeline.model.losses.CHUNK_SIZE", 16)
    batch, length, vocabulary_size, width = 8, 8, 100, 4
    hidden, table, labels = _make(
        np.random.default_rng(0), vocabulary_size=vocabulary_size, batch=batch, length=length, width=width
    )
    gradient = jax.grad(lambda *arrays: _exact(*arrays, labels, vocabulary_size).sum(), (0, 1))
    shapes = set(_iterate_shapes(jax.make_jaxpr(gradient)(hidden, table).jaxpr))
    assert (batch * length, 16) in shapes  # the logits of a chunk: loops are looked into
    assert max(map(np.prod, shapes)) == batch * length * 16


# Negatives


def _naive_probabilities(counts, share):
    weights = np.maximum(counts, 1).astype(np.float64)
    weights[0] = 0
    uniform = np.full(len(counts), 1 / (len(counts) - 1))
    uniform[0] = 0
    return share * weights / weights.sum() + (1 - share) * uniform


@pytest.mark.parametrize("shape", [(40_000,), (20, 10, 200)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_negatives_are_drawn_with_the_probabilities_that_are_said(share, shape):
    counts = _make_counts(9)
    sampler = make_sampler(counts, share)
    expected = _naive_probabilities(counts, share)
    log_probabilities = np.asarray(sampler.log_probabilities(jnp.arange(1, 9)))
    np.testing.assert_allclose(np.exp(log_probabilities), expected[1:], rtol=1e-5)
    assert np.exp(log_probabilities).sum() == pytest.approx(1.0, abs=1e-6)

    drawn = np.asarray(jax.jit(lambda sampler, key: sampler.draw(key, shape))(sampler, jax.random.key(0)))
    assert (drawn.shape, drawn.dtype) == (shape, np.int32)
    shares = np.bincount(drawn.ravel(), minlength=9) / drawn.size
    assert shares[0] == 0
    deviation = np.sqrt(expected * (1 - expected) / drawn.size)
    assert (np.abs(shares - expected) <= 4 * deviation).all()


def test_draws_differ_by_key_and_are_the_same_for_one():
    sampler = make_sampler(_make_counts(9), 0.5)
    first, again, other = (sampler.draw(jax.random.key(seed), (50,)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_probabilities_keep_the_shape_of_the_tokens():
    tokens = jnp.ones((2, 3, 4), jnp.int32)
    for share in SHARES:
        found = make_sampler(_make_counts(9), share).log_probabilities(tokens)
        assert (found.shape, found.dtype) == (tokens.shape, jnp.float32)


def test_counts_beyond_int32_are_drawn_in_proportion():
    counts = np.array([0, 3 << 33, 1 << 33, 0, 1, 2 << 33], np.int64)
    sampler = make_sampler(counts, 1.0)
    expected = np.array([3, 1, 0, 0, 2]) / 6
    probabilities = np.exp(sampler.log_probabilities(jnp.arange(1, 6)))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert (probabilities > 0).all()
    shares = np.bincount(np.asarray(sampler.draw(jax.random.key(0), (20_000,))), minlength=6) / 20_000
    np.testing.assert_allclose(shares, [0, *expected], atol=0.015)


# The sampled softmax


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


@pytest.mark.parametrize("correct_bias", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", SHARES)
def test_sampled_softmax_and_its_gradients_equal_the_reference(share, form, correct_bias):
    label_scores, scores, is_label, log_q, label_log_q = _make_scores(np.random.default_rng(3), share=share)
    settings = {"log_q": log_q, "label_log_q": label_log_q, "form": form, "correct_bias": correct_bias}

    @jax.jit
    def compute(label_scores, scores):
        losses = sampled_softmax_loss(label_scores, scores, is_label, **settings)
        total = jax.grad(lambda *given: sampled_softmax_loss(*given, is_label, **settings).sum(), (0, 1))
        return losses, *total(label_scores, scores)

    losses, by_label, by_scores = compute(label_scores.astype(np.float32), scores.astype(np.float32))
    settings = {name: np.float64(value) if name.endswith("log_q") else value for name, value in settings.items()}
    np.testing.assert_allclose(losses, _naive_sampled(label_scores, scores, is_label, **settings), atol=1e-5)
    expected = _differentiate(lambda given: _naive_sampled(given, scores, is_label, **settings).sum(), label_scores)
    np.testing.assert_allclose(by_label, expected, atol=1e-5)
    expected = _differentiate(lambda given: _naive_sampled(label_scores, given, is_label, **settings).sum(), scores)
    np.testing.assert_allclose(by_scores, expected, atol=1e-5)


def test_gradient_with_the_label_is_that_of_the_corrected_log_q_loss():
    # (1 - P) times that of the softmax of s_j - log q_j over the negatives, P = exp(s) / X the label's probability.
    label_scores, scores, is_label, log_q, label_log_q = _make_scores(np.random.default_rng(4))

    def total(label_scores, scores):
        losses = sampled_softmax_loss(
            label_scores,
            scores,
            is_label,
            log_q=log_q,
            label_log_q=label_log_q,
            form="label_in_denominator",
            correct_bias=False,
        )
        return losses.sum(), losses

    arguments = jnp.asarray(label_scores, jnp.float32), jnp.asarray(scores, jnp.float32)
    (by_label, by_scores), losses = jax.grad(total, (0, 1), has_aux=True)(*arguments)
    missed = 1 - np.exp(-np.asarray(losses, np.float64))  # 1 - P
    weights = np.exp(scores - log_q) * ~is_label
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(by_label, -missed, atol=1e-5)
    np.testing.assert_allclose(by_scores, missed[..., None] * weights, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", SHARES)
def test_estimate_of_the_denominator_has_no_bias(share, form):
    # The expectation over one negative is a sum over all candidates, by the probability of each draw.
    counts = _make_counts(12)
    hidden, table, labels = _make(np.random.default_rng(5), vocabulary_size=12)
    candidates = np.arange(1, 12, dtype=np.int32)
    q = _naive_probabilities(counts, share)
    label_scores = np.asarray(score_labels(hidden, table[labels]), np.float64)
    log_denominator = _naive_exact(hidden, table, labels) + label_scores
    expectation = 0.0
    for token in candidates:
        losses = _sampled(hidden, table, labels, jnp.array([token]), sampler=make_sampler(counts, share), form=form)
        chance = np.full(labels.shape, q[token])
        if form == "label_in_denominator":  # given that the negative is not the label
            chance = np.where(labels == token, 0.0, chance / (1 - q[labels]))
        expectation += chance * np.exp(losses + label_scores)
    np.testing.assert_allclose(np.log(expectation), log_denominator, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", SHARES)
def test_very_many_negatives_give_the_exact_loss(share, form):
    hidden, table, labels = _make(np.random.default_rng(6), vocabulary_size=20)
    sampler = make_sampler(_make_counts(20), share)
    negatives = sampler.draw(jax.random.key(0), (200_000,))
    losses = _sampled(hidden, table, labels, negatives, sampler=sampler, form=form)
    np.testing.assert_allclose(losses, _naive_exact(hidden, table, labels), atol=0.02)


@pytest.mark.parametrize("one_hidden", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_shared_negatives_equal_the_same_ones_at_each_position(form, one_hidden):
    hidden, table, labels = _make(np.random.default_rng(2), vocabulary_size=12)
    hidden = hidden[:, :1] if one_hidden else hidden
    sampler = make_sampler(_make_counts(12), 0.5)
    shared = np.array([1, 4, 4, 11, 7], np.int32)
    repeated = np.broadcast_to(shared, (*labels.shape, 5))
    first, second = (
        _sampled(hidden, table, labels, jnp.asarray(negatives), sampler=sampler, form=form, correct_bias=True)
        for negatives in (shared, repeated)
    )
    assert first.shape == labels.shape
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
def test_one_negative_gets_no_correction(form):
    hidden, table, labels = _make(np.random.default_rng(3), vocabulary_size=6)
    negatives = labels[..., None] % 5 + 1
    plain, corrected = (_sampled(hidden, table, labels, negatives, form=form, correct_bias=on) for on in (False, True))
    np.testing.assert_array_equal(plain, corrected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_large_logits_stay_finite_with_their_gradients(form, share):
    hidden, table, labels = _make(np.random.default_rng(4), vocabulary_size=12, scale=300.0)
    sampler = make_sampler(_make_counts(12), share)
    negatives = np.array([1, 2, 3, 4], np.int32)

    def total(hidden):
        arguments = hidden, jnp.asarray(table), labels, negatives
        return _sampled(*arguments, sampler=sampler, form=form, correct_bias=True).sum()

    loss, gradient = jax.value_and_grad(total)(jnp.asarray(hidden))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_correction_brings_the_mean_loss_closer_to_the_exact_one(form, share):
    hidden, table, labels = _make(np.random.default_rng(5), vocabulary_size=40, scale=0.7)
    sampler = make_sampler(_make_counts(40), share)
    logits = hidden.reshape(6, 4) @ table.T
    negatives = sampler.draw(jax.random.key(0), (3000, 6, 20))
    scores = logits[np.arange(6)[:, None], negatives]
    label_scores = np.broadcast_to(logits[np.arange(6), labels.ravel()], (3000, 6))
    plain, corrected = (
        sampled_softmax_loss(
            label_scores,
            scores,
            negatives == labels.ravel()[:, None],
            log_q=sampler.log_probabilities(negatives),
            label_log_q=jnp.broadcast_to(sampler.log_probabilities(labels.ravel()), (3000, 6)),
            form=form,
            correct_bias=on,
        ).mean()
        for on in (False, True)
    )
    exact = _naive_exact(hidden, table, labels).mean()
    assert plain < exact
    assert abs(corrected - exact) < 0.5 * abs(plain - exact)


def test_only_the_label_form_is_bounded_below():
    table = np.array([[0.0], [50.0], [0.0], [0.0]], np.float32)
    labels, negatives, hidden = np.array([[1]]), np.array([2, 3], np.int32), np.ones((1, 1, 1), np.float32)
    assert float(_sampled(hidden, table, labels, negatives, form="negatives_only")[0, 0]) < -40
    assert float(_sampled(hidden, table, labels, negatives)[0, 0]) == pytest.approx(0.0, abs=1e-6)


def test_unknown_form_is_refused():
    hidden, table, labels = _make(np.random.default_rng(0), vocabulary_size=5)
    with pytest.raises(ValueError, match="form must be one of label_in_denominator, negatives_only, not 'both'"):
        _sampled(hidden, table, labels, np.array([1, 2]), form="both")


# gBCE and accidental hits


def _naive_gbce(label_scores, scores, is_label, *, beta):
    positive = -beta * np.log(1 / (1 + np.exp(-label_scores)))
    negative = -np.log(1 - 1 / (1 + np.exp(-scores))) * ~is_label
    return (positive + negative.sum(-1)) / ((~is_label).sum(-1) + 1)


@pytest.mark.parametrize("calibration", [0.0, 0.25, 0.75, 1.0])
@pytest.mark.parametrize(("num_negatives", "num_candidates"), [(1, 100), (20, 2_000_000), (256, 1000)])
def test_beta_of_gsasrec(num_negatives, num_candidates, calibration):
    alpha = num_negatives / (num_candidates - 1)
    beta = find_gbce_beta(num_negatives, num_candidates, calibration)
    assert beta == pytest.approx(alpha * (calibration * (1 - 1 / alpha) + 1 / alpha))
    if calibration in {0.0, 1.0}:
        assert beta == pytest.approx({0.0: 1.0, 1.0: alpha}[calibration])


@pytest.mark.parametrize("calibration", [0.0, 0.5, 1.0])
def test_beta_is_one_if_all_candidates_are_negatives(calibration):
    assert find_gbce_beta(9, count_candidates(11), calibration) == 1.0
    assert find_gbce_beta(500, count_candidates(11), calibration) == 1.0


@pytest.mark.parametrize("beta", [1.0, 0.3, 1e-5])
def test_gbce_and_its_gradients_equal_the_reference(beta):
    label_scores, scores, is_label, *_ = _make_scores(np.random.default_rng(7))
    arguments = jnp.asarray(label_scores, jnp.float32), jnp.asarray(scores, jnp.float32)
    losses = gbce_loss(*arguments, is_label, beta=beta)
    np.testing.assert_allclose(losses, _naive_gbce(label_scores, scores, is_label, beta=beta), atol=1e-6)
    total = jax.grad(lambda *given: gbce_loss(*given, is_label, beta=beta).sum(), (0, 1))
    by_label, by_scores = total(*arguments)
    count = (~is_label).sum(-1) + 1
    np.testing.assert_allclose(by_label, -beta / (1 + np.exp(label_scores)) / count, atol=1e-6)
    np.testing.assert_allclose(by_scores, ~is_label / (1 + np.exp(-scores)) / count[..., None], atol=1e-6)


def test_gbce_by_hand():
    # Two negatives count, the third is the label.
    loss = gbce_loss(
        jnp.array([[0.7]]), jnp.array([[[0.1, -0.4, 0.7]]]), jnp.array([[[False, False, True]]]), beta=0.25
    )
    expected = (0.25 * np.log(1 + np.exp(-0.7)) + np.log(1 + np.exp(0.1)) + np.log(1 + np.exp(-0.4))) / 3
    assert float(loss[0, 0]) == pytest.approx(expected, abs=1e-6)


def test_gbce_shifts_all_logits():
    label_scores, scores, is_label, *_ = _make_scores(np.random.default_rng(8))
    found = gbce_loss(jnp.asarray(label_scores), jnp.asarray(scores), is_label, beta=0.3, shift=-2.5)
    expected = gbce_loss(jnp.asarray(label_scores - 2.5), jnp.asarray(scores - 2.5), is_label, beta=0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_with_the_shift_the_best_logits_of_gbce_are_those_of_the_softmax():
    """The expected loss over labels and uniform negatives is level at s = log(n p)."""
    probabilities, num_negatives, beta = np.array([0.5, 0.3, 0.15, 0.05]), 2, 0.4
    shift = np.log(beta / num_negatives)
    draws = list(itertools.product(range(4), repeat=num_negatives + 1))  # label, negatives

    def expected_loss(logits):
        label, negatives = np.array(draws)[:, 0], np.array(draws)[:, 1:]
        # Negatives that are the label count here, as where there are many candidates: none is left out.
        losses = gbce_loss(
            logits[label][:, None],
            logits[negatives][:, None],
            np.zeros((len(draws), 1, 2), bool),
            beta=beta,
            shift=shift,
        )
        return jnp.sum(losses[:, 0] * probabilities[label] / 4**num_negatives)

    np.testing.assert_allclose(jax.grad(expected_loss)(jnp.log(4 * probabilities)), 0, atol=1e-7)


def test_gbce_is_binary_cross_entropy_at_beta_1():
    label_scores, scores, is_label, *_ = _make_scores(np.random.default_rng(8))
    found = gbce_loss(jnp.asarray(label_scores), jnp.asarray(scores), is_label, beta=1.0)
    for place in itertools.product(range(2), range(3)):
        logits = np.array([label_scores[place], *scores[place][~is_label[place]]])
        probabilities = 1 / (1 + np.exp(-logits))
        expected = -np.mean(np.log([probabilities[0], *(1 - probabilities[1:])]))
        assert float(found[place]) == pytest.approx(expected, abs=1e-6)


def test_gbce_takes_shared_scores_for_all_positions_of_a_playlist():
    hidden, table, labels = _make(np.random.default_rng(9), vocabulary_size=12)
    negatives = np.array([1, 4, 4, 11, 7], np.int32)
    scores = score_negatives(hidden[:, :1], table[negatives])
    arguments = score_labels(hidden[:, :1], table[labels]), negatives == labels[..., None]
    found = gbce_loss(arguments[0], scores, arguments[1], beta=0.5)
    expected = gbce_loss(arguments[0], jnp.broadcast_to(scores, (2, 3, 5)), arguments[1], beta=0.5)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_gbce_stands_large_logits():
    scores = jnp.array([[[1e4, -1e4]]])
    total = jax.value_and_grad(lambda *given: gbce_loss(*given, jnp.zeros((1, 1, 2), bool), beta=0.1).sum(), (0, 1))
    loss, gradients = total(jnp.array([[-1e4]]), scores)
    assert float(loss) == pytest.approx((0.1 * 1e4 + 1e4) / 3)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("loss", [*FORMS, "gbce"])
def test_only_negatives_only_counts_negatives_that_are_the_label(loss):
    label_scores, scores, is_label, log_q, label_log_q = _make_scores(np.random.default_rng(10))

    def total(scores):
        if loss == "gbce":
            return gbce_loss(label_scores, scores, is_label, beta=0.5).sum()
        settings = {"log_q": log_q, "label_log_q": label_log_q, "form": loss, "correct_bias": True}
        return sampled_softmax_loss(label_scores, scores, is_label, **settings).sum()

    scores = jnp.asarray(scores, jnp.float32)
    before, gradient = jax.value_and_grad(total)(scores)
    after = total(scores + 3.0 * is_label)
    counted = loss == "negatives_only"
    assert (abs(float(after - before)) > 0.1) == counted
    assert bool((gradient[is_label] != 0).any()) == counted
    assert (gradient[~is_label] != 0).all()
