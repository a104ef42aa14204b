"""Next-track losses over a vocabulary too large for full logits, and the full softmax in chunks.

Shape letters: B playlists, T tokens, D embed_dim, V vocabulary, S negatives, n candidates, C tokens of a chunk.

The candidates are the tokens that can be labels: all but ``<start>``, so n = V - 1. Negatives are drawn from them with
replacement, with probability q_j. All losses are in nats and come per position [B, T].
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from playlist_pipeline.corpus.vocabulary import START
from playlist_pipeline.model.transformer import score_tokens

FIRST_CANDIDATE = START + 1
SOFTMAX_FORMS = ("label_in_denominator", "negatives_only")
CHUNK_SIZE = 2048


def count_candidates(vocabulary_size: int) -> int:
    """Return n, the number of tokens that can be labels."""
    return vocabulary_size - FIRST_CANDIDATE


@partial(
    jax.tree_util.register_dataclass, data_fields=["cumulative"], meta_fields=["vocabulary_size", "share", "total"]
)
@dataclass(frozen=True)
class NegativeSampler:
    """A mixture of the uniform distribution over the candidates and one by training count.

    Attributes:
        vocabulary_size: V.
        share: The second one's share, 0 to 1.
        total: The last of the running sums.
        cumulative: int32 [V], running sums of max(count, 1) over the candidates: every candidate can be drawn, or the
            estimate of the softmax would be biased. None where the share is 0.
    """

    vocabulary_size: int
    share: float
    total: int
    cumulative: jax.Array | None

    def draw(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Return int32 tokens of the given shape ([S] or [B, T, S])."""
        uniform_key, popular_key, choice_key = jax.random.split(key, 3)
        uniform = jax.random.randint(uniform_key, shape, FIRST_CANDIDATE, self.vocabulary_size)
        if self.cumulative is None:
            return uniform
        places = jax.random.randint(popular_key, shape, 0, self.total)
        popular = jnp.searchsorted(self.cumulative, places, side="right").astype(jnp.int32)
        return jnp.where(jax.random.uniform(choice_key, shape) < self.share, popular, uniform)

    def log_probabilities(self, tokens: jax.Array) -> jax.Array:
        """Return log q of candidates, float32 in the shape of ``tokens``: of the whole mixture, whichever part drew."""
        uniform = (1 - self.share) / count_candidates(self.vocabulary_size)
        if self.cumulative is None:
            return jnp.full(tokens.shape, np.log(uniform), jnp.float32)
        weights = self.cumulative[tokens] - self.cumulative[tokens - 1]
        return jnp.log(weights * (self.share / self.total) + uniform)


def make_sampler(counts: np.ndarray, popularity_share: float) -> NegativeSampler:
    """Return the sampler over a vocabulary.

    Args:
        counts: Training counts by token, int64 [V].
        popularity_share: 0 uniform, 1 by count, between them mixed.
    """
    if popularity_share == 0:
        return NegativeSampler(len(counts), 0.0, 0, None)
    # Sums must fit int32: beyond 2^30 occurrences all counts are scaled down.
    scale = max(1.0, counts.sum() / 2**30)
    weights = np.maximum((counts / scale).astype(np.int64), 1)
    weights[:FIRST_CANDIDATE] = 0
    cumulative = np.cumsum(weights).astype(np.int32)
    return NegativeSampler(len(counts), popularity_share, int(cumulative[-1]), jnp.asarray(cumulative))


def score_negatives(hidden: jax.Array, negative_rows: jax.Array) -> jax.Array:
    """Return the logits [B, T, S] of rows [S, D] (shared, one matrix product) or [B, T, S, D].

    ``hidden`` is [B, T, D], or [B, 1, D] for all positions; then shared rows give [B, 1, S].
    """
    if negative_rows.ndim == 2:
        return score_tokens(hidden, negative_rows)  # [B, T, D] @ [D, S]
    rows = negative_rows.astype(hidden.dtype)
    hidden = jnp.broadcast_to(hidden, (*rows.shape[:2], hidden.shape[-1]))
    return jnp.einsum("btd,btsd->bts", hidden, rows, preferred_element_type=jnp.float32)


def score_labels(hidden: jax.Array, label_rows: jax.Array) -> jax.Array:
    """Return the logits [B, T] of each position's own row [B, T, D], which is rounded to hidden's type as all are."""
    return jnp.sum(hidden.astype(jnp.float32) * label_rows.astype(hidden.dtype).astype(jnp.float32), axis=-1)


def sampled_softmax_loss(
    label_scores: jax.Array,
    scores: jax.Array,
    is_label: jax.Array,
    *,
    log_q: jax.Array,
    label_log_q: jax.Array,
    form: str,
    correct_bias: bool,
) -> jax.Array:
    """Estimate the softmax cross-entropy from the logits of the label and of negatives: log X - s.

    s is the label's logit, s_j that of negative j, q_j the probability with which it was drawn, and X estimates the
    softmax's denominator Z without bias, by importance weights (Bengio & Senecal 2008; "logQ correction").

    ``negatives_only`` (published by trecs, there with q = 1/n): X = 1/|S| sum over S of exp(s_j) / q_j. Negatives equal
    to the label stay in. Unbounded below: nothing but the negatives holds s down.

    ``label_in_denominator``: X = exp(s) + 1/|S'| sum over S' of exp(s_j) (1 - q) / q_j, S' the negatives that are not
    the label, q the label's probability; with uniform negatives (1 - q) / q_j = n - 1. Where S' is empty, X = exp(s)
    and the loss is 0. Its gradient is that of the corrected logQ loss of Khrylchenko et al. (RecSys 2025).

    By Taylor's theorem E[log X] = log Z - Var X / (2 Z^2) + ..., so the mean loss is too low by about
    Var X / (2 Z^2). The correction adds an estimate of it from the same sample: Var X = v / m for m negatives, v the
    sample variance (divisor m-1) of their weighted exponentials; so v / (2 m X^2). With fewer than two negatives there
    is no v and no correction.

    Args:
        label_scores: float32 [B, T].
        scores: float32 [B, T, S], or [B, 1, S] for all positions.
        is_label: bool [B, T, S], ``negatives == labels[..., None]``.
        log_q: float32 [S] or [B, T, S], of the negatives.
        label_log_q: float32 [B, T], of the labels.
        form: ``label_in_denominator`` or ``negatives_only``.
        correct_bias: Add the correction; gradients flow through it.

    Returns:
        float32 [B, T].

    Raises:
        ValueError: Another ``form``.
    """
    if form not in SOFTMAX_FORMS:
        raise ValueError(f"form must be one of {', '.join(SOFTMAX_FORMS)}, not {form!r}")
    has_label = form == "label_in_denominator"
    # log of exp(s_j) / q_j, or of exp(s_j) (1 - q) / q_j
    weighted = scores - log_q
    if has_label:
        weighted += jnp.log1p(-jnp.exp(label_log_q))[..., None]
    kept = jnp.where(is_label & has_label, 0.0, 1.0)  # [B, T, S]
    count = jnp.sum(kept, axis=-1)  # [B, T]

    # All exponentials are at most 1, and one that matters is 1; the shift leaves the result as it is.
    largest = jnp.max(weighted, axis=-1)
    shift = jax.lax.stop_gradient(jnp.maximum(largest, label_scores) if has_label else largest)  # [B, T]
    exponentials = jnp.exp(weighted - shift[..., None]) * kept  # [B, T, S]
    mean = jnp.sum(exponentials, axis=-1) / jnp.maximum(count, 1.0)
    denominator = mean + (jnp.exp(label_scores - shift) if has_label else 0.0)  # X exp(-shift)
    losses = jnp.log(denominator) + shift - label_scores
    if correct_bias:
        squares = jnp.sum(jnp.square(exponentials - mean[..., None]) * kept, axis=-1)
        variance = squares / jnp.maximum(count - 1.0, 1.0)
        losses += variance / (2.0 * jnp.maximum(count, 1.0) * jnp.square(denominator))
    return losses


def find_gbce_beta(num_negatives: int, num_candidates: int, calibration: float) -> float:
    """Return beta = alpha (t (1 - 1/alpha) + 1/alpha), alpha = k / (n - 1), of k negatives and calibration t.

    With t = 0 it is 1, plain binary cross-entropy; with t = 1 it is alpha, and the predicted probabilities are
    calibrated. Source: Petrov & Macdonald, gSASRec, RecSys 2023.
    """
    alpha = min(num_negatives / max(num_candidates - 1, 1), 1.0)
    return 1.0 - calibration * (1.0 - alpha)


def gbce_loss(
    label_scores: jax.Array, scores: jax.Array, is_label: jax.Array, *, beta: float, shift: float = 0.0
) -> jax.Array:
    """Return the generalised binary cross-entropy of gSASRec (Petrov & Macdonald, RecSys 2023).

    -1/(k+1) [log sigma(s)^beta + sum over k negatives of log(1 - sigma(s_j))]. As log sigma^beta = beta log sigma, it
    is binary cross-entropy whose positive counts beta times. Negatives that are the label are left out of sum and k.

    All logits are shifted by a constant first, which changes no ranking. At a label probability p and uniform
    negatives among n candidates the loss is smallest at s + shift = log(beta n p / k): with shift = log(beta / k) that
    is s = log(n p), a logit of the softmax. Without the shift, logits that start around zero make all negatives
    likely, and the first steps do little but push all tracks away.

    Args:
        label_scores: float32 [B, T].
        scores: float32 [B, T, S].
        is_label: bool [B, T, S], ``negatives == labels[..., None]``.
        beta: From ``find_gbce_beta``, or given.
        shift: Added to all logits; 0 as published.

    Returns:
        float32 [B, T].
    """
    negatives = jnp.sum(jax.nn.softplus(scores + shift), axis=-1, where=~is_label)  # softplus(s) = -log(1 - sigma(s))
    count = jnp.sum(~is_label, axis=-1)
    return (beta * jax.nn.softplus(-label_scores - shift) + negatives) / (count + 1.0)


def full_softmax_loss(
    hidden: jax.Array, label_scores: jax.Array, table: jax.Array, *, vocabulary_size: int
) -> jax.Array:
    """Return the softmax cross-entropy over all candidates, log Z - s, without ever holding all logits.

    Forward and backward go over the vocabulary in chunks of ``CHUNK_SIZE`` tokens: the forward pass keeps the running
    log Z, the backward pass computes the logits again (as in Cut Cross-Entropy, Wijmans et al. 2025). The gradient by
    the table is dense.

    Args:
        hidden: [B, T, D], or [B, 1, D] for all positions; the products are computed in its type.
        label_scores: float32 [B, T], from ``score_labels``.
        table: float32 [V', D].
        vocabulary_size: V; rows of the table from there on are padding.

    Returns:
        float32 [B, T]; the exponential of its mean is the perplexity.
    """
    flat = hidden.reshape(-1, hidden.shape[-1])  # [B T, D]
    return _log_denominator(flat, table, vocabulary_size).reshape(hidden.shape[:-1]) - label_scores


def _iterate_chunks(table: jax.Array, vocabulary_size: int) -> tuple[jax.Array, int]:
    size = min(CHUNK_SIZE, table.shape[0])
    return jnp.arange(0, vocabulary_size, size), size


def _score_chunk(
    hidden: jax.Array, table: jax.Array, first: jax.Array, size: int, vocabulary_size: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the chunk's first row, its rows [C, D] and its logits [N, C], -inf where a token must not count."""
    # The last chunk starts early to fit into the table; rows that were counted already are left out.
    start = jnp.minimum(first, table.shape[0] - size)
    rows = jax.lax.dynamic_slice_in_dim(table, start, size).astype(hidden.dtype)
    token = start + jnp.arange(size)
    counts = (token >= jnp.maximum(first, FIRST_CANDIDATE)) & (token < vocabulary_size)
    return start, rows, jnp.where(counts, score_tokens(hidden, rows), -jnp.inf)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _log_denominator(hidden: jax.Array, table: jax.Array, vocabulary_size: int) -> jax.Array:
    """Return log Z, float32 [N], of ``hidden`` [N, D] over the candidates of ``table`` [V', D]."""
    firsts, size = _iterate_chunks(table, vocabulary_size)

    def add_chunk(running: jax.Array, first: jax.Array) -> tuple[jax.Array, None]:
        logits = _score_chunk(hidden, table, first, size, vocabulary_size)[2]
        return jnp.logaddexp(running, jax.nn.logsumexp(logits, axis=-1)), None

    return jax.lax.scan(add_chunk, jnp.full(len(hidden), -jnp.inf, jnp.float32), firsts)[0]


def _log_denominator_forward(
    hidden: jax.Array, table: jax.Array, vocabulary_size: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    result = _log_denominator(hidden, table, vocabulary_size)
    return result, (hidden, table, result)


def _log_denominator_backward(
    vocabulary_size: int, kept: tuple[jax.Array, jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    hidden, table, log_denominator = kept
    firsts, size = _iterate_chunks(table, vocabulary_size)

    def add_chunk(running: tuple[jax.Array, jax.Array], first: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        by_hidden, by_table = running
        start, rows, logits = _score_chunk(hidden, table, first, size, vocabulary_size)
        # d log Z / d logit = softmax
        weights = (jnp.exp(logits - log_denominator[:, None]) * gradient[:, None]).astype(hidden.dtype)  # [N, C]
        by_hidden += jnp.matmul(weights, rows, preferred_element_type=jnp.float32)
        by_rows = jnp.matmul(weights.T, hidden, preferred_element_type=jnp.float32)  # [C, D]
        # Added, not set: the last chunk overlaps the one before it.
        by_rows += jax.lax.dynamic_slice_in_dim(by_table, start, size)
        return (by_hidden, jax.lax.dynamic_update_slice_in_dim(by_table, by_rows, start, 0)), None

    nothing = (jnp.zeros(hidden.shape, jnp.float32), jnp.zeros(table.shape, jnp.float32))
    (by_hidden, by_table), _ = jax.lax.scan(add_chunk, nothing, firsts)
    return by_hidden.astype(hidden.dtype), by_table.astype(table.dtype)


_log_denominator.defvjp(_log_denominator_forward, _log_denominator_backward)
