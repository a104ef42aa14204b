"""Next-track losses over a vocabulary too large for full logits: sampled softmax, and the exact loss in chunks.

Shape letters: B playlists, T tokens, D embed_dim, V vocabulary, S negatives, n candidates.

The candidates are the tokens that can be labels: all but ``<start>``, so n = V - 1. Negatives are drawn from them
uniformly, with replacement. All losses are in nats and come per position [B, T]; ``average_loss`` averages them.
"""

import jax
import jax.numpy as jnp

from playlist_pipeline.corpus.vocabulary import START
from playlist_pipeline.model.embedding import gather_rows

FIRST_CANDIDATE = START + 1
FORMS = ("label_in_denominator", "negatives_only")


def count_candidates(vocabulary_size: int) -> int:
    """Return n, the number of tokens that can be labels."""
    return vocabulary_size - FIRST_CANDIDATE


def draw_negatives(key: jax.Array, shape: tuple[int, ...], vocabulary_size: int) -> jax.Array:
    """Draw tokens uniformly from the candidates: int32 of the given shape, ([S] or [B, T, S])."""
    return jax.random.randint(key, shape, FIRST_CANDIDATE, vocabulary_size)


def score_negatives(hidden: jax.Array, negative_rows: jax.Array) -> jax.Array:
    """Return the logits [B, T, S] of rows [S, D] (shared, one matrix product) or [B, T, S, D]."""
    if negative_rows.ndim == 2:
        return hidden @ negative_rows.T  # [B, T, D] @ [D, S]
    return jnp.einsum("btd,btsd->bts", hidden, negative_rows)


def sampled_softmax_loss(
    hidden: jax.Array,
    label_rows: jax.Array,
    negative_rows: jax.Array,
    is_label: jax.Array,
    *,
    num_candidates: int,
    form: str,
    correct_bias: bool,
) -> jax.Array:
    """Estimate the softmax cross-entropy from the logits of the label and of uniform negatives: log X - s.

    s is the label's logit, s_j that of negative j, and X estimates the softmax's denominator Z without bias. Only
    gathered rows of the table come in, so no other logit is ever computed.

    ``negatives_only`` (published by trecs): X = n/|S| sum over S of exp(s_j). Negatives equal to the label stay in.
    Unbounded below: nothing but the negatives holds s down.

    ``label_in_denominator``: X = exp(s) + (n-1)/|S'| sum over S' of exp(s_j), S' the negatives that are not the label.
    Where S' is empty, X = exp(s) and the loss is 0.

    By Taylor's theorem E[log X] = log Z - Var X / (2 Z^2) + ..., so the mean loss is too low by about
    Var X / (2 Z^2). The correction adds an estimate of it from the same sample: Var X = c^2 v / m for m negatives
    with weight c (n, or n-1) on their mean, v the sample variance (divisor m-1) of exp(s_j); so c^2 v / (2 m X^2).
    With fewer than two negatives there is no v and no correction.

    Args:
        hidden: float32 [B, T, D].
        label_rows: The table's rows at the labels, float32 [B, T, D].
        negative_rows: Its rows at the negatives, float32 [B, T, S, D], or [S, D] to share them among all positions.
        is_label: bool [B, T, S], ``negatives == labels[..., None]``.
        num_candidates: n, from ``count_candidates``.
        form: ``label_in_denominator`` or ``negatives_only``.
        correct_bias: Add the correction; gradients flow through it.

    Returns:
        float32 [B, T].

    Raises:
        ValueError: Another ``form``.
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, not {form!r}")
    has_label = form == "label_in_denominator"
    scores = score_negatives(hidden, negative_rows)  # [B, T, S]
    label_scores = jnp.sum(hidden * label_rows, axis=-1)  # [B, T]
    kept = jnp.where(is_label, 0.0, 1.0) if has_label else jnp.ones_like(scores)  # [B, T, S]
    count = jnp.sum(kept, axis=-1)  # [B, T]

    # All exponentials are at most 1, and one that matters is 1; the shift leaves the result as it is.
    largest = jnp.max(scores, axis=-1)
    shift = jax.lax.stop_gradient(jnp.maximum(largest, label_scores) if has_label else largest)  # [B, T]
    exponentials = jnp.exp(scores - shift[..., None]) * kept  # [B, T, S]
    mean = jnp.sum(exponentials, axis=-1) / jnp.maximum(count, 1.0)
    weight = num_candidates - 1 if has_label else num_candidates
    denominator = weight * mean + (jnp.exp(label_scores - shift) if has_label else 0.0)  # X exp(-shift)
    losses = jnp.log(denominator) + shift - label_scores
    if correct_bias:
        squares = jnp.sum(jnp.square(exponentials - mean[..., None]) * kept, axis=-1)
        variance = squares / jnp.maximum(count - 1.0, 1.0)
        losses += jnp.square(weight / denominator) * variance / (2.0 * jnp.maximum(count, 1.0))
    return losses


def exact_softmax_loss(hidden: jax.Array, table: jax.Array, labels: jax.Array, *, chunk_size: int = 2048) -> jax.Array:
    """Return the softmax cross-entropy over all candidates, in chunks of the vocabulary.

    A scan keeps the running log of the denominator, so that at most B * T * ``chunk_size`` logits exist at once.

    Args:
        hidden: float32 [B, T, D].
        table: float32 [V, D].
        labels: int32 [B, T], candidates.
        chunk_size: Logits of each position in one chunk.

    Returns:
        float32 [B, T]; the exponential of its mean is the perplexity.
    """
    vocabulary_size = table.shape[0]
    size = min(chunk_size, vocabulary_size)

    def add_chunk(running: jax.Array, first: jax.Array) -> tuple[jax.Array, None]:
        # The last chunk is moved back to fit into the table; rows that were counted already are left out.
        start = jnp.minimum(first, vocabulary_size - size)
        logits = hidden @ jax.lax.dynamic_slice_in_dim(table, start, size).T  # [B, T, chunk]
        is_new = start + jnp.arange(size) >= jnp.maximum(first, FIRST_CANDIDATE)
        chunk = jax.nn.logsumexp(logits, axis=-1, where=is_new)
        return jnp.logaddexp(running, chunk), None

    nothing = jnp.full(labels.shape, -jnp.inf, hidden.dtype)
    log_denominator, _ = jax.lax.scan(add_chunk, nothing, jnp.arange(0, vocabulary_size, size))
    return log_denominator - jnp.sum(hidden * gather_rows(table, labels), axis=-1)


def average_loss(losses: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the mean of ``losses`` [B, T] where ``mask`` [B, T] holds; 0 if it holds nowhere."""
    return jnp.sum(losses, where=mask) / jnp.maximum(jnp.sum(mask), 1)
