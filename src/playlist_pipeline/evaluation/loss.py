"""The loss on a held-out part: sampled as in training, and exact over the whole vocabulary."""

import math
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from playlist_pipeline.config import ConfigError, EvaluateConfig, TrainConfig
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.errors import UserError, in_one_line
from playlist_pipeline.model.losses import NegativeSampler, full_softmax_loss, make_sampler, score_labels
from playlist_pipeline.model.transformer import Transformer, fold_side_information
from playlist_pipeline.model.weights import LoadedModel
from playlist_pipeline.training.data import Batch, frame_for_validation
from playlist_pipeline.training.objective import ask, compute_losses, draw_negatives, predict


def _read_recipe(loaded: LoadedModel) -> TrainConfig:
    try:
        return TrainConfig(**loaded.meta["train"])
    except (ConfigError, KeyError, TypeError) as error:
        raise UserError(
            f"the model does not say how it was trained ({in_one_line(error)}): make it again with "
            "`kedro run --pipelines=train`"
        ) from error


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

    Raises:
        UserError: The model does not say how it was trained.
    """
    graphdef, params = nnx.split(fold_side_information(loaded.model))
    config_of_training = _read_recipe(loaded)
    sampler = make_sampler(loaded.vocabulary.counts, config_of_training.popularity_share)
    step = jax.jit(partial(_sum_losses, graphdef=graphdef, config=config_of_training))
    key = jax.random.key(config.seed)
    totals = np.zeros(5)
    count = min(len(playlists), config.max_playlists or len(playlists))
    for number, first in enumerate(range(0, count, config.batch_size)):
        chosen = range(first, min(first + config.batch_size, count))
        framed = [frame_for_validation(playlists[index], loaded.config) for index in chosen]
        # Empty playlists fill the last batch up, so that the step is compiled once; they do not count.
        framed += [frame_for_validation(np.zeros(0, np.int32), loaded.config)] * (config.batch_size - len(chosen))
        batch = jax.tree.map(lambda *rows: np.stack(rows), *framed)
        totals += jax.device_get(step(params, batch, len(chosen), sampler, jax.random.fold_in(key, number)))
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
    batch: Batch,
    num_rows: jax.Array,
    sampler: NegativeSampler,
    key: jax.Array,
    *,
    graphdef: nnx.GraphDef,
    config: TrainConfig,
) -> jax.Array:
    """Return the sums of the sampled, exact and exact known losses, and the numbers of labels and ``<unk>`` labels.

    Args:
        params: The model's parameters.
        batch: Framed playlists.
        num_rows: So many of them count.
        sampler: Draws the negatives.
        key: Of the negatives.
        graphdef: The model's structure.
        config: How training samples its loss.
    """
    model: Transformer = nnx.merge(graphdef, params)
    questions = ask(batch, causal=model.cfg.causal)
    labels = questions.labels
    mask = questions.mask & (jnp.arange(len(labels))[:, None] < num_rows)
    hidden = predict(model, questions)
    label_scores = score_labels(hidden, model.scoring(labels))
    vocabulary_size = sampler.vocabulary_size
    exact = full_softmax_loss(hidden, label_scores, model.scoring.table[...], vocabulary_size=vocabulary_size)
    sampled = exact
    if config.loss != "full_softmax":
        negatives = draw_negatives(
            key, labels, sampler, num_negatives=config.num_negatives, share=config.share_negatives
        )
        sampled = compute_losses(model, hidden, labels, negatives, config=config, vocabulary_size=vocabulary_size)
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
