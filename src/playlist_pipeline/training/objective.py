"""What a batch asks of the model: which tokens it sees, which it must predict, and at what loss.

Shape letters: B playlists, T context_length, D embed_dim, S negatives.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from playlist_pipeline.config import TrainConfig
from playlist_pipeline.corpus.vocabulary import EOP, SPECIALS
from playlist_pipeline.model.losses import (
    NegativeSampler,
    count_candidates,
    find_gbce_beta,
    full_softmax_loss,
    gbce_loss,
    sampled_softmax_loss,
    score_labels,
    score_negatives,
)
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.training.data import Batch


class Questions(NamedTuple):
    """What a batch asks.

    Attributes:
        inputs: int32 [B, T].
        visible: bool [B, T], what a model that is not causal may see of them.
        num_given: int32 [B], the place from which such a model predicts.
        labels: int32 [B, T].
        mask: bool [B, T], the labels that count.
    """

    inputs: jax.Array
    visible: jax.Array
    num_given: jax.Array
    labels: jax.Array
    mask: jax.Array


class Negatives(NamedTuple):
    """What labels are compared with.

    Attributes:
        tokens: int32 [S], shared by all positions, or [B, T, S].
        log_q: float32 in the same shape, the log probability of their draw.
        label_log_q: float32 [B, T], that of the labels.
    """

    tokens: jax.Array
    log_q: jax.Array
    label_log_q: jax.Array


def ask(batch: Batch, *, causal: bool) -> Questions:
    """Return the questions of a batch.

    Position t is to predict token t + 1. It counts up to and including the first ``<eop>`` label, and from
    ``num_given`` on: the given tracks themselves are not asked for. Without a causal mask a track that is given, and
    comes again, is not asked for either, as its predictor sees it.
    """
    tokens, num_given = jnp.asarray(batch.tokens), jnp.asarray(batch.num_given)
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    is_end = (labels == EOP).astype(jnp.int32)
    place = jnp.arange(inputs.shape[1])
    given = num_given[:, None]
    mask = (jnp.cumsum(is_end, axis=1) - is_end == 0) & (place >= given)
    visible = place <= given
    if not causal:
        seen = jnp.where(visible, inputs, -1)[:, None, :]  # [B, 1, T]
        comes_again = jnp.any(labels[:, :, None] == seen, axis=-1)
        mask &= ~comes_again | (labels < len(SPECIALS))
    return Questions(inputs, visible, num_given, labels, mask)


def find_gbce_shift(config: TrainConfig, beta: float) -> float:
    """Return what ``gbce_loss`` adds to the logits: ``gbce_shift``, or log(beta / num_negatives) if it is null."""
    return math.log(beta / config.num_negatives) if config.gbce_shift is None else config.gbce_shift


def draw_negatives(
    key: jax.Array, labels: jax.Array, sampler: NegativeSampler, *, num_negatives: int, share: bool
) -> Negatives:
    """Draw the negatives of a batch with ``labels`` [B, T]: once for all positions if ``share`` is set."""
    tokens = sampler.draw(key, (num_negatives,) if share else (*labels.shape, num_negatives))
    return Negatives(tokens, sampler.log_probabilities(tokens), sampler.log_probabilities(labels))


def predict(model: Transformer, questions: Questions, *, rngs: nnx.Rngs | None = None) -> jax.Array:
    """Return the hidden states that predict the labels: [B, T, D], or [B, 1, D] if one predicts all of a playlist's.

    Without a causal mask the visible tokens see each other, and the last of them predicts all others: none of these
    is visible to it.

    Args:
        model: The transformer.
        questions: What is asked.
        rngs: Of dropout; None leaves it out.
    """
    hidden = model(questions.inputs, questions.visible, rngs=rngs, deterministic=rngs is None)  # [B, T, D]
    if model.cfg.causal:
        return hidden
    return jnp.take_along_axis(hidden, questions.num_given[:, None, None], axis=1)  # [B, 1, D]


def compute_losses(
    model: Transformer,
    hidden: jax.Array,
    labels: jax.Array,
    negatives: Negatives | None,
    *,
    config: TrainConfig,
    vocabulary_size: int,
    table: jax.Array | None = None,
) -> jax.Array:
    """Return the configured loss of each label, float32 [B, T].

    Args:
        model: Its scoring vectors are used.
        hidden: From ``predict``.
        labels: int32 [B, T], tokens of the model.
        negatives: Tokens of the model too; None for the full softmax.
        config: Which loss.
        vocabulary_size: V, of the whole vocabulary.
        table: For the full softmax the scoring vectors of the whole vocabulary, [V', D].
    """
    if negatives is None:
        if table is None:
            raise ValueError("the full softmax needs the scoring vectors of all tokens")
        label_scores = score_labels(hidden, model.scoring(labels))
        return full_softmax_loss(hidden, label_scores, table, vocabulary_size=vocabulary_size)
    # One lookup of all rows makes one scatter of all gradients.
    rows = model.scoring(jnp.concatenate([labels.ravel(), negatives.tokens.ravel()]))
    label_rows = rows[: labels.size].reshape(*labels.shape, -1)  # [B, T, D]
    negative_rows = rows[labels.size :].reshape(*negatives.tokens.shape, -1)  # [S, D] or [B, T, S, D]
    label_scores = score_labels(hidden, label_rows)
    scores = score_negatives(hidden, negative_rows)
    is_label = negatives.tokens == labels[..., None]  # [B, T, S]
    if config.loss == "gbce":
        candidates = count_candidates(vocabulary_size)
        beta = config.gbce_beta or find_gbce_beta(config.num_negatives, candidates, config.gbce_calibration)
        return gbce_loss(label_scores, scores, is_label, beta=beta, shift=find_gbce_shift(config, beta))
    return sampled_softmax_loss(
        label_scores,
        scores,
        is_label,
        log_q=negatives.log_q,
        label_log_q=negatives.label_log_q,
        form=config.loss,
        correct_bias=config.correct_bias,
    )
