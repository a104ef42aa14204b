"""The loss on a held-out part: sampled as in training, and exact over the whole vocabulary."""

import math
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from playlist_pipeline.config import EvaluateConfig, TrainConfig
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.model.embedding import gather_rows
from playlist_pipeline.model.losses import (
    count_candidates,
    draw_negatives,
    exact_softmax_loss,
    sampled_softmax_loss,
)
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.model.weights import LoadedModel
from playlist_pipeline.training.data import frame_playlist, split_tokens


def measure_loss(loaded: LoadedModel, playlists: Playlists, config: EvaluateConfig) -> dict[str, float | int | None]:
    """Measure the model's losses on held-out playlists, framed as in training without ``<unk>`` injection.

    Args:
        loaded: The model; its ``meta["train"]`` says how training samples its loss.
        playlists: Held-out playlists of tokens.
        config: ``batch_size``, ``seed`` of the negatives, ``max_playlists``.

    Returns:
        Means in nats over all labels up to the first ``<eop>``: ``sampled`` as in training, ``exact`` by the full
        softmax, ``exact_known`` without ``<unk>`` labels; ``perplexity`` = exp(``exact``); and the numbers of
        ``labels`` and ``unk_labels``. What is not finite, or without labels, is None.
    """
    graphdef, params = nnx.split(loaded.model)
    step = jax.jit(partial(_sum_losses, graphdef=graphdef, train_config=TrainConfig(**loaded.meta["train"])))
    key = jax.random.key(config.seed)
    totals = np.zeros(5)
    count = min(len(playlists), config.max_playlists or len(playlists))
    for number, first in enumerate(range(0, count, config.batch_size)):
        chosen = range(first, min(first + config.batch_size, count))
        tokens = np.stack([frame_playlist(playlists[index], loaded.config.context_length) for index in chosen])
        # Rows of zeros fill the last batch up, so that the step is compiled once; they do not count.
        padded = np.pad(tokens, [(0, config.batch_size - len(tokens)), (0, 0)])
        totals += jax.device_get(step(params, padded, len(tokens), jax.random.fold_in(key, number)))
    sampled, exact, exact_known, labels, unk_labels = totals.tolist()
    return {
        "sampled": _divide(sampled, labels),
        "exact": _divide(exact, labels),
        "exact_known": _divide(exact_known, labels - unk_labels),
        "perplexity": _exponentiate(_divide(exact, labels)),
        "labels": int(labels),
        "unk_labels": int(unk_labels),
    }


def _divide(total: float, count: float) -> float | None:
    """Return the mean; None, which JSON can hold, if there is none or it is not finite."""
    return total / count if count and math.isfinite(total) else None


def _exponentiate(loss: float | None) -> float | None:
    return math.exp(loss) if loss is not None and loss < math.log(sys.float_info.max) else None


def _sum_losses(
    params: nnx.State,
    tokens: jax.Array,
    num_rows: jax.Array,
    key: jax.Array,
    *,
    graphdef: nnx.GraphDef,
    train_config: TrainConfig,
) -> jax.Array:
    """Return the sums of the sampled, exact and exact known losses, and the numbers of labels and ``<unk>`` labels.

    Args:
        params: The model's parameters.
        tokens: int32 [B, T + 1].
        num_rows: Rows of ``tokens`` that count.
        key: Of the negatives.
        graphdef: The model's structure.
        train_config: How training samples its loss.
    """
    model: Transformer = nnx.merge(graphdef, params)
    table = model.embedding.table[...]  # [V, D]
    inputs, labels, mask = split_tokens(tokens)
    mask &= jnp.arange(len(tokens))[:, None] < num_rows
    hidden = model(inputs)  # [B, T, D]
    shape = (
        (train_config.num_negatives,) if train_config.share_negatives else (*labels.shape, train_config.num_negatives)
    )
    negatives = draw_negatives(key, shape, table.shape[0])
    sampled = sampled_softmax_loss(
        hidden,
        gather_rows(table, labels),
        gather_rows(table, negatives),
        negatives == labels[..., None],
        num_candidates=count_candidates(table.shape[0]),
        form=train_config.loss,
        correct_bias=train_config.correct_bias,
    )
    exact = exact_softmax_loss(hidden, table, labels)
    is_unk = labels == UNK
    return jnp.stack(
        [
            jnp.sum(sampled, where=mask),
            jnp.sum(exact, where=mask),
            jnp.sum(exact, where=mask & ~is_unk),
            jnp.sum(mask),
            jnp.sum(mask & is_unk),
        ]
    )
