"""Playlists from the model: framing of prompts, ranking of continuations, and top-k sampling track by track."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from playlist_pipeline.corpus.vocabulary import EOP, START, read_stand_ins
from playlist_pipeline.generation.search import PADDING, pad_rows, round_up, top_k
from playlist_pipeline.model.transformer import Transformer

BATCH_SIZE = 16


@dataclass(frozen=True)
class Sampling:
    """How the next track is drawn.

    Attributes:
        top_k: Draw among so many most probable candidates, ``<eop>`` being one of them; 1 takes the best.
        temperature: Divides the logits, positive; small is greedy.
        eop_weight: Multiplies the probability of ``<eop>``, before the temperature; 0 never ends a playlist early.
    """

    top_k: int
    temperature: float
    eop_weight: float


End = Literal["length", "eop", "vocabulary"]


@dataclass(frozen=True)
class Continuation:
    """What the model adds to a prompt.

    Attributes:
        tokens: int32 ``[n]``, the new tracks in order.
        ended_by: ``length`` (full), ``eop`` (the model ended it) or ``vocabulary`` (no track was left).
    """

    tokens: np.ndarray
    ended_by: End


def frame_prompts(rows: Sequence[np.ndarray], context_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Put ``<start>`` before each row and keep the newest ``context_length - 1`` tracks of it.

    Args:
        rows: Tokens of the tracks of each playlist.
        context_length: Tokens that the model sees.

    Returns:
        Tokens int32 ``[B, context_length]``, filled up with ``<eop>``, and int32 ``[B]``, the last position in use.
    """
    prompts = [np.append(START, read_stand_ins(row[max(0, len(row) - context_length + 1) :])) for row in rows]
    last = np.array([len(prompt) - 1 for prompt in prompts], np.int32)
    return pad_rows(prompts, context_length, fill=EOP), last


def rank_tracks(
    model: Transformer, rows: Sequence[np.ndarray], k: int, *, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` best next tracks of each playlist; its own tracks and special tokens are never among them.

    Args:
        model: The transformer.
        rows: int32 ``[n_i]`` tokens of each playlist, ``<unk>`` and stand-ins allowed; a stand-in is read as the track
            that it names, which may be recommended.
        k: How many tracks are wanted.
        batch_size: Playlists that the transformer reads at a time; the last batch is filled up, so that one shape is
            compiled.

    Returns:
        Tokens int32 ``[n, k]``, best first, filled up with -1, and their logits float32 ``[n, k]``.
    """
    hidden = encode_rows(model, rows, batch_size=batch_size)
    known = [row[row >= 0] for row in map(np.asarray, rows)]
    exclude = pad_rows(known, round_up(max(map(len, known), default=0)))
    logits, tokens = top_k(hidden, model.scoring.table[...], k, exclude)
    return np.asarray(tokens), np.asarray(logits)


def encode_rows(model: Transformer, rows: Sequence[np.ndarray], *, batch_size: int) -> np.ndarray:
    """Return the hidden state after each playlist, float32 ``[n, D]``."""
    graph, state = nnx.split(model)
    hidden = np.empty((len(rows), model.cfg.embed_dim), np.float32)
    # No more positions than the longest playlist needs.
    length = min(round_up(1 + max(map(len, rows), default=0)), model.cfg.context_length)
    for first in range(0, len(rows), batch_size):
        batch = list(rows[first : first + batch_size])
        prompts, last = frame_prompts(batch + [np.empty(0, np.int32)] * (batch_size - len(batch)), length)
        hidden[first : first + len(batch)] = _encode_batch(graph, state, prompts, last)[: len(batch)]
    return hidden


def complete_rows(
    model: Transformer,
    rows: Sequence[np.ndarray],
    *,
    length: int,
    sampling: Sampling,
    seeds: Sequence[int],
    batch_size: int = BATCH_SIZE,
) -> list[Continuation]:
    """Continue each playlist to ``length`` tracks, drawing one track after the other.

    A track that the playlist holds already, ``<start>`` and ``<unk>`` have probability zero. The random numbers
    behind a track follow from the playlist's own seed and from how many tracks were drawn before it, nothing else.

    Args:
        model: The transformer.
        rows: int32 ``[n_i]`` tokens of the given tracks, ``<unk>`` for unknown ones; a row may be empty.
        length: Tracks of a finished playlist, given ones included.
        sampling: How tracks are drawn.
        seeds: A random seed for each playlist, at least 0 and less than 2**32.
        batch_size: Playlists decoded at a time.

    Returns:
        One continuation for each row; empty where the row has ``length`` tracks already.
    """
    graph, state = nnx.split(model)
    draw_next = partial(
        _draw_next,
        graph,
        state,
        k=min(sampling.top_k, model.embedding.table.shape[0]),
        # A temperature that float32 cannot hold would divide by zero.
        temperature=max(np.float32(sampling.temperature), np.finfo(np.float32).tiny),
        log_eop_weight=np.float32(math.log(sampling.eop_weight) if sampling.eop_weight > 0 else -math.inf),
    )
    continuations: list[Continuation] = []
    for first in range(0, len(rows), batch_size):
        batch = slice(first, first + batch_size)
        continuations += _complete_batch(draw_next, rows[batch], seeds[batch], length, model.cfg.context_length)
    return continuations


def draw_tracks(tokens: np.ndarray, scores: np.ndarray, count: int, *, sampling: Sampling, seed: int) -> np.ndarray:
    """Draw tracks from a ranked list, none twice.

    Each is drawn among the ``sampling.top_k`` best that are left, by the softmax of their scores.

    Args:
        tokens: int32 [n], best first, padded with -1.
        scores: float32 [n], falling.
        count: How many are wanted.
        sampling: ``top_k`` and ``temperature`` count here.
        seed: Of the drawing.

    Returns:
        int32 [count], less if the list is shorter.
    """
    left = list(range(int((tokens != PADDING).sum())))
    # A temperature that float64 cannot hold would divide by zero.
    logits = scores.astype(np.float64) / max(sampling.temperature, float(np.finfo(np.float32).tiny))
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = []
    for _ in range(min(count, len(left))):
        some = logits[left[: sampling.top_k]]
        weights = np.exp(some - some.max())
        drawn.append(left.pop(int(generator.choice(len(some), p=weights / weights.sum()))))
    return tokens[drawn].astype(np.int32)


def _complete_batch(
    draw_next: Callable[..., Array],
    given: Sequence[np.ndarray],
    seeds: Sequence[int],
    length: int,
    context_length: int,
) -> list[Continuation]:
    """Decode one batch; its size is rounded up with empty rows, so that few shapes are compiled."""
    spare = (1 << (len(given) - 1).bit_length()) - len(given)
    rows = [np.asarray(row, np.int32) for row in given] + [np.empty(0, np.int32)] * spare
    row_seeds = np.array([*seeds, *[0] * spare], np.uint32)
    ends: list[End | None] = [None if len(row) < length else "length" for row in given]
    width = round_up(max(length, *map(len, rows)))
    for step in range(length):
        if None not in ends:
            break
        prompts, last = frame_prompts(rows, context_length)
        present = pad_rows(rows, width)
        drawn = draw_next(prompts=prompts, last=last, present=present, seeds=row_seeds, step=np.uint32(step))
        for index, token in enumerate(np.asarray(drawn)[: len(given)]):  # waits for the device
            if ends[index] is None:
                rows[index], ends[index] = _extend_row(rows[index], token, length)
    return [
        Continuation(row[len(prompt) :], end or "length") for row, prompt, end in zip(rows, given, ends, strict=False)
    ]


def _extend_row(row: np.ndarray, token: int, length: int) -> tuple[np.ndarray, End | None]:
    """Return the row with what was drawn for it, and how the row ended, if it did."""
    if token == EOP:
        return row, "eop"
    if token == PADDING:
        return row, "vocabulary"
    row = np.append(row, token)
    return row, None if len(row) < length else "length"


def _encode_last(graph: nnx.GraphDef, state: nnx.State, prompts: Array, last: Array) -> tuple[Array, Array]:
    """Return the hidden state at ``last`` [B, D] for ``prompts`` [B, T], and the table [V, D]."""
    model = nnx.merge(graph, state)
    hidden = model(prompts)  # [B, T, D]
    return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0].astype(jnp.float32), model.scoring.table[...]


@partial(jax.jit, static_argnames="graph")
def _encode_batch(graph: nnx.GraphDef, state: nnx.State, prompts: Array, last: Array) -> Array:
    return _encode_last(graph, state, prompts, last)[0]


@partial(jax.jit, static_argnames=("graph", "k"))
def _draw_next(
    graph: nnx.GraphDef,
    state: nnx.State,
    *,
    prompts: Array,
    last: Array,
    present: Array,
    seeds: Array,
    step: Array,
    temperature: Array,
    log_eop_weight: Array,
    k: int,
) -> Array:
    """Draw the next token of each row [B]: a track, ``<eop>``, or ``PADDING`` where nothing is left."""
    hidden, table = _encode_last(graph, state, prompts, last)
    logits, tracks = top_k(hidden, table, k, present)  # [B, k]
    eop_logit = hidden @ table[EOP] + log_eop_weight  # [B]
    logits = jnp.concatenate([eop_logit[:, None], logits], axis=1)  # [B, 1 + k]
    tokens = jnp.concatenate([jnp.full_like(tracks[:, :1], EOP), tracks], axis=1)
    logits, columns = lax.top_k(logits, k)
    tokens = jnp.take_along_axis(tokens, columns, axis=1)

    # Gumbel-max: the argmax of logits plus Gumbel noise is a draw from their softmax.
    noise = jax.vmap(lambda seed: jax.random.gumbel(jax.random.fold_in(jax.random.key(seed), step), (k,)))(seeds)
    scaled = jnp.where(jnp.isneginf(logits), -jnp.inf, (logits - logits[:, :1]) / temperature)
    choice = jnp.argmax(scaled + noise, axis=1, keepdims=True)
    chosen = jnp.take_along_axis(tokens, choice, axis=1)[:, 0]
    return jnp.where(jnp.isneginf(logits[:, 0]), PADDING, chosen)
