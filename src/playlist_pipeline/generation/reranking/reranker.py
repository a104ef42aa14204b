"""The second stage at work, and its folder.

The folder holds ``config.json``, ``arrays.safetensors`` (the network, the training playlists, the tracks' artists) and
``texts.json`` (the playlists' titles, the artists' names): all that it needs beside the model. ``digests.json`` has the
digests of these files.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import nnx

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.digests import check_digests, read_json_object, write_digests
from playlist_pipeline.errors import UserError, in_one_line
from playlist_pipeline.files import write_folder
from playlist_pipeline.generation.reranking.features import FEATURES, describe_candidates
from playlist_pipeline.generation.reranking.first_stage import Artists, FirstStage
from playlist_pipeline.generation.reranking.network import RankingNetwork
from playlist_pipeline.generation.search import PADDING
from playlist_pipeline.model.arrays import load_arrays
from playlist_pipeline.model.transformer import Transformer

FORMAT = 2
ADVICE = "make it again with `kedro run --pipelines=rerank`, or take a whole copy of it"
CONFIG_FILE, ARRAYS_FILE, TEXTS_FILE = "config.json", "arrays.safetensors", "texts.json"
PLAYLISTS_AT_A_TIME = 64
SCORES_AT_A_TIME = 1 << 25  # of each scorer: 128 MB


@dataclass(frozen=True, eq=False)
class RerankerState:
    """What fitting gives, beside the transformer all that ranking needs.

    Attributes:
        network: The trained network; None where there is no second stage.
        sequences: The training playlists.
        titles: Their titles.
        artists: The tracks' artists.
        num_candidates: Tracks of each playlist that the network scores.
        vocabulary: Fingerprint of the vocabulary.
    """

    network: RankingNetwork | None
    sequences: PackedSequences
    titles: Sequence[str | None]
    artists: Artists
    num_candidates: int
    vocabulary: str


class Reranker:
    """Ranks continuations by both stages.

    Args:
        state: From fitting.
        model: The transformer, without side tables.
        batch_size: Playlists that the transformer reads at a time.

    Attributes:
        num_candidates: Tracks of each playlist that the network scores, or more where more are asked for.
    """

    def __init__(self, state: RerankerState, model: Transformer, *, batch_size: int) -> None:
        if state.network is None:
            raise ValueError("this state has no second stage")
        self._stage = FirstStage(model, state.sequences, state.titles, state.artists, batch_size=batch_size)
        self.num_candidates = state.num_candidates
        self._network = nnx.split(state.network)

    def rank(
        self,
        seeds: Sequence[np.ndarray],
        k: int,
        *,
        titles: Sequence[str | None] | None = None,
        is_allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank the best next tracks of playlists.

        Args:
            seeds: Tokens of each playlist's given tracks; ``<unk>`` allowed.
            k: How many tracks are wanted.
            titles: The playlists' titles, None where there is none; None if no playlist has one.
            is_allowed: bool [V], which tracks may be returned; None for all.

        Returns:
            Tokens int32 [n, k], best first, padded with -1, and their scores float32 [n, k], padded with -inf: log
            odds of a list, which compare within a row alone.

        Raises:
            ValueError: There are not as many titles as playlists.
        """
        given: list[str | None] = [None] * len(seeds) if titles is None else list(titles)
        if len(given) != len(seeds):
            raise ValueError(f"{len(given)} titles for {len(seeds)} playlists")
        tokens = np.full((len(seeds), k), PADDING, np.int32)
        scores = np.full((len(seeds), k), -np.inf, np.float32)
        size = max(1, min(PLAYLISTS_AT_A_TIME, SCORES_AT_A_TIME // len(self._stage.counts)))
        for start in range(0, len(seeds), size):
            rows = slice(start, start + size)
            found, values = self._rank_block(list(seeds[rows]), given[rows], k, is_allowed)
            tokens[rows, : found.shape[1]], scores[rows, : found.shape[1]] = found, values
        return tokens, scores

    def _rank_block(
        self, seeds: list[np.ndarray], titles: list[str | None], k: int, is_allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        candidates = describe_candidates(self._stage, seeds, titles, max(self.num_candidates, k), is_allowed)
        scores = np.where(candidates.is_valid, np.asarray(_score(*self._network, candidates.features)), -np.inf)
        # Candidates come by rising token, so a stable sort gives ties to the lower one.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, order, axis=1).astype(np.float32)
        tokens = np.take_along_axis(candidates.tokens, order, axis=1)
        return np.where(np.isneginf(scores), PADDING, tokens), scores


@jax.jit
def _score_features(graph: nnx.GraphDef, state: nnx.State, features: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)(features)


def _score(graph: nnx.GraphDef, state: nnx.State, features: np.ndarray) -> jax.Array:
    """Score features [n, C, F], filled up to few shapes; return float32 [n, C]."""
    count = len(features)
    filled = np.zeros((PLAYLISTS_AT_A_TIME, *features.shape[1:]), features.dtype)
    filled[:count] = features
    return _score_features(graph, state, jnp.asarray(filled))[:count]


def save_reranker(path: str | os.PathLike[str], state: RerankerState) -> None:
    """Write the folder of a second stage; it appears under its name only when it is whole.

    Raises:
        UserError: ``path`` exists and is no such folder.
    """
    arrays = {
        "sequences.tokens": np.ascontiguousarray(state.sequences.tokens),
        "sequences.offsets": np.ascontiguousarray(state.sequences.offsets),
        "sequences.playlist_ids": np.ascontiguousarray(state.sequences.playlist_ids),
        "artists.of_token": np.ascontiguousarray(state.artists.of_token),
    }
    hidden_dim = None
    if state.network is not None:
        arrays |= {f"network.{name}": np.asarray(value[...]) for name, value in _name_variables(state.network).items()}
        hidden_dim = int(state.network.hidden.out_features)
    config = {
        "format": FORMAT,
        "vocabulary_fingerprint": state.vocabulary,
        "features": list(FEATURES),
        "num_candidates": state.num_candidates,
        "hidden_dim": hidden_dim,
    }
    with write_folder(path, marker=CONFIG_FILE, kind="second stage's folder") as folder:
        safetensors.numpy.save_file(arrays, folder / ARRAYS_FILE)
        texts = {"titles": list(state.titles), "artist_names": list(state.artists.names)}
        (folder / TEXTS_FILE).write_text(json.dumps(texts, ensure_ascii=False), "utf-8")
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        write_digests(folder)


def load_reranker(path: str | os.PathLike[str]) -> RerankerState:
    """Read a folder that ``save_reranker`` wrote.

    Raises:
        UserError: A file is missing, unreadable, or not as it was written, or the files are of another version.
    """
    folder = Path(path)
    check_digests(folder, advice=ADVICE)
    config = read_json_object(folder / CONFIG_FILE, advice=ADVICE)
    if config.get("format") != FORMAT or config.get("features") != list(FEATURES):
        raise UserError(f"{folder}: its second stage is of another version of this program: {ADVICE}")
    texts = read_json_object(folder / TEXTS_FILE, advice=ADVICE)
    arrays = load_arrays(folder / ARRAYS_FILE, advice=ADVICE)
    try:
        return _build_state(config, texts, arrays)
    except KeyError as error:
        raise UserError(f"{folder}: the second stage lacks {error}: {ADVICE}") from error
    except ValueError as error:
        raise UserError(f"{folder}: cannot read the second stage ({in_one_line(error)}): {ADVICE}") from error


def _build_state(config: dict[str, Any], texts: dict[str, Any], arrays: dict[str, np.ndarray]) -> RerankerState:
    sequences = PackedSequences(*(arrays[f"sequences.{name}"] for name in ("tokens", "offsets", "playlist_ids")))
    artists = Artists(arrays["artists.of_token"], texts["artist_names"])
    titles, num_candidates, vocabulary = texts["titles"], config["num_candidates"], config["vocabulary_fingerprint"]
    _require(sequences.is_whole and (len(sequences) > 0 or config["hidden_dim"] is None), "sequences")
    _require(artists.of_token.ndim == 1 and artists.of_token.dtype == np.int32, "artists.of_token")
    _require(_is_list_of(str, artists.names) and artists.names[:1] == [""], "artist_names")
    _require_within(artists.of_token, len(artists.names), "artists.of_token")
    _require_within(sequences.tokens, len(artists.of_token), "sequences.tokens")
    _require(_is_list_of(str | None, titles) and len(titles) == len(sequences), "titles")
    _require(type(num_candidates) is int and num_candidates >= 1, "num_candidates")
    _require(isinstance(vocabulary, str), "vocabulary_fingerprint")
    network = _build_network(config["hidden_dim"], arrays)
    return RerankerState(network, sequences, titles, artists, num_candidates, vocabulary)


def _require(ok: bool, name: str) -> None:
    if not ok:
        raise ValueError(f"{name} does not fit the rest")


def _require_within(numbers: np.ndarray, stop: int, name: str) -> None:
    _require(not len(numbers) or 0 <= numbers.min() <= numbers.max() < stop, name)


def _is_list_of(types: Any, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, types) for value in values)


def _build_network(hidden_dim: Any, arrays: dict[str, np.ndarray]) -> RankingNetwork | None:
    if hidden_dim is None:
        return None
    kernel = arrays["network.hidden.kernel"]
    _require(type(hidden_dim) is int and kernel.shape == (len(FEATURES), hidden_dim) and hidden_dim > 0, "hidden_dim")
    network = RankingNetwork(
        np.zeros(len(FEATURES), np.float32),
        np.ones(len(FEATURES), np.float32),
        hidden_dim=hidden_dim,
        dropout=0.0,
        rngs=nnx.Rngs(0),
    )
    for name, variable in _name_variables(network).items():
        array = arrays[f"network.{name}"]
        is_able = array.shape == variable.shape and array.dtype == np.float32 and bool(np.isfinite(array).all())
        _require(is_able, f"network.{name}")
        variable[...] = jnp.asarray(array)
    _require(bool((network.deviation[...] > 0).all()), "network.deviation")
    return network


def _name_variables(network: RankingNetwork) -> dict[str, nnx.Variable]:
    """Return what is stored of a network by dotted path."""
    state = nnx.state(network, nnx.Any(nnx.Param, type(network.mean)))
    return {".".join(map(str, path)): value for path, value in nnx.to_flat_state(state)}
