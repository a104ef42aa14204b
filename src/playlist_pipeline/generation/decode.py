"""Playlists from the transformer: framing of prompts, ranking of continuations, and drawing track by track."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import compress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from playlist_pipeline.config import Controls
from playlist_pipeline.corpus.vocabulary import EOP, START, read_stand_ins
from playlist_pipeline.generation.drawing import Drawer
from playlist_pipeline.generation.search import ExactSearcher, Searcher, pad_rows, round_up
from playlist_pipeline.model.transformer import Transformer

BATCH_SIZE = 64
CANDIDATES = 1000  # that popularity and diversity choose among
SPARE_CANDIDATES = 64  # beside them, as some may not be added
MORE_CANDIDATES = 8  # times as many, where none could be added


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
    model: Transformer, rows: Sequence[np.ndarray], k: int, *, batch_size: int, searcher: Searcher | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` best next tracks of each playlist; its own tracks and special tokens are never among them.

    Args:
        model: The transformer.
        rows: int32 ``[n_i]`` tokens of each playlist, ``<unk>`` and stand-ins allowed; a stand-in is read as the track
            that it names, which may be recommended.
        k: How many tracks are wanted.
        batch_size: Playlists that the transformer reads at a time; the last batch is filled up, so that one shape is
            compiled.
        searcher: Finds the tracks; by default exactly, among all.

    Returns:
        Tokens int32 ``[n, k]``, best first, filled up with -1, and their logits float32 ``[n, k]``.
    """
    hidden = encode_rows(model, rows, batch_size=batch_size)
    searcher = searcher or ExactSearcher(model.scoring.table[...])
    logits, tokens = searcher.search(hidden, k, exclude_rows(rows))
    return tokens, logits


def exclude_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the tracks of each playlist, int32 [n, E], filled up with -1; few widths occur."""
    known = [row[row >= 0] for row in map(np.asarray, rows)]
    return pad_rows(known, round_up(max(map(len, known), default=0)))


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
    drawers: Sequence[Drawer],
    *,
    controls: Controls,
    searcher: Searcher | None = None,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Continue playlists, drawing one track after the other; the model reads each before the next.

    ``<start>``, ``<unk>`` and tracks that a playlist holds have probability zero.

    Args:
        model: The transformer.
        drawers: The playlists; they take the tracks.
        controls: ``eop_weight`` and ``top_k`` count here; the drawers know the rest.
        searcher: Finds candidates; by default exactly, among all tracks.
        batch_size: Playlists decoded at a time.
    """
    table = model.scoring.table[...]
    searcher = searcher or ExactSearcher(table)
    eop = np.asarray(table[EOP], np.float32)
    log_eop_weight = math.log(controls.eop_weight) if controls.eop_weight > 0 else -math.inf
    for first in range(0, len(drawers), batch_size):
        batch = drawers[first : first + batch_size]
        reader = Reader(model, len(batch), max(controls.length, *(len(drawer.tokens) for drawer in batch)))
        while any(is_open := [drawer.ended_by is None for drawer in batch]):
            rows = [np.array(drawer.tokens, np.int32) for drawer in batch]
            hidden = reader.read(rows)[is_open]
            open_drawers, open_rows = list(compress(batch, is_open)), list(compress(rows, is_open))
            eop_logits = hidden @ eop + log_eop_weight
            _draw_next(open_drawers, open_rows, hidden, eop_logits, searcher, controls, len(table))


class Reader:
    """Reads playlists that grow. A causal model reads each track once, as long as all of a playlist fits its context.

    Args:
        model: The transformer.
        num_rows: How many playlists there are.
        longest: Tracks of the longest once it is complete; the last one is not read.
    """

    def __init__(self, model: Transformer, num_rows: int, longest: int) -> None:
        # Sizes are rounded up, and tracks are read one of each playlist or all at once: few shapes are compiled.
        self._size = 1 << (num_rows - 1).bit_length()
        self._length = min(round_up(longest), model.cfg.context_length)
        self._model = model
        self._cache = model.make_cache(self._size, self._length)
        self._num_read = np.zeros(self._size, np.int32)
        graph, state = nnx.split(model)
        self._leaves, structure = jax.tree.flatten(state)
        self._extend = _compile_extend(graph, structure)

    def read(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """Return the hidden state after each playlist.

        Args:
            rows: int32 ``[n_i]`` tokens of each playlist, beginning with those of the last call.

        Returns:
            float32 ``[n, D]``.
        """
        longest = 1 + max(map(len, rows))  # with <start>
        if not self._model.cfg.causal or longest > self._length:
            return encode_rows(self._model, rows, batch_size=self._size)
        prompts, last = frame_prompts([*rows, *[np.empty(0, np.int32)] * (self._size - len(rows))], self._length)
        count = 1 if (last - self._num_read).max() <= 0 else self._length
        # A playlist with fewer new tracks reads its last one again.
        positions = np.minimum(self._num_read[:, None] + np.arange(count, dtype=np.int32), last[:, None])
        tokens = np.take_along_axis(prompts, positions, axis=1)
        hidden, self._cache = self._extend(self._leaves, tokens, positions, self._cache)
        self._num_read = last + 1
        return np.asarray(hidden)[: len(rows)]  # waits for the device


@lru_cache(maxsize=16)
def _compile_extend(graph: nnx.GraphDef, structure: Any) -> Callable[..., Any]:
    """Return a compiled ``Transformer.extend`` that gives the last hidden states [B, D]; it takes a state's leaves.

    Taking a state apart and hashing its graph at every call would take longer than the model does.
    """

    @partial(jax.jit, donate_argnames="cache")
    def extend(leaves: list[Array], tokens: Array, positions: Array, cache: Any) -> tuple[Array, Any]:
        hidden, cache = nnx.merge(graph, jax.tree.unflatten(structure, leaves)).extend(tokens, positions, cache)
        return hidden[:, -1].astype(jnp.float32), cache

    return extend


def _draw_next(
    drawers: Sequence[Drawer],
    rows: Sequence[np.ndarray],
    hidden: np.ndarray,
    eop_logits: np.ndarray,
    searcher: Searcher,
    controls: Controls,
    vocabulary_size: int,
) -> None:
    """Let each playlist take a track, or end; where controls leave none of the candidates, look for more."""
    waiting, count = list(range(len(drawers))), count_candidates(controls)
    exclude = exclude_rows(rows)
    while waiting:
        scores, tokens = searcher.search(hidden[waiting], min(count, vocabulary_size), exclude[waiting])
        waiting = [
            index
            for index, row, logits in zip(waiting, tokens, scores, strict=True)
            if not drawers[index].draw(row, logits, float(eop_logits[index]))
        ]
        if count >= vocabulary_size:
            for index in waiting:
                drawers[index].exhaust()
            return
        count *= MORE_CANDIDATES


def count_candidates(controls: Controls) -> int:
    """Return how many candidates a draw looks at first."""
    chooses = controls.popularity_penalty or controls.diversity
    restricts = controls.max_per_artist or controls.max_per_album or controls.unique_songs
    return max(controls.top_k, CANDIDATES if chooses else 0) + (SPARE_CANDIDATES if restricts else 0)


@partial(jax.jit, static_argnames="graph")
def _encode_batch(graph: nnx.GraphDef, state: nnx.State, prompts: Array, last: Array) -> Array:
    """Return the hidden state at ``last`` [B, D] for ``prompts`` [B, T]."""
    hidden = nnx.merge(graph, state)(prompts)  # [B, T, D]
    return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0].astype(jnp.float32)
