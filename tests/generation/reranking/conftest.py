"""A tiny first stage whose scores can be worked out by hand, and data to fit a second one to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flax import nnx
from recipes import make_model_config, make_rerank_config

from playlist_pipeline.config import RerankConfig
from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary
from playlist_pipeline.evaluation.baselines import TrainingPlaylists
from playlist_pipeline.generation.reranking.features import FEATURES
from playlist_pipeline.generation.reranking.first_stage import Artists, FirstStage
from playlist_pipeline.generation.reranking.network import RankingNetwork
from playlist_pipeline.generation.reranking.reranker import RerankerState
from playlist_pipeline.model import Transformer

# Tracks are the tokens 3 to 10; no playlist holds 10.
PLAYLISTS = [[3, 4, 5], [3, 4, 6, 7], [8, 9], [3, UNK, 3]]
TITLES = ["Rock", "rock songs", "Jazz", None]
ARTISTS = Artists(np.array([0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 1], np.int32), ["", "alpha", "beta band", "gamma", "jazz"])
NUM_TOKENS = 11


def _pack(playlists: list[Any]) -> PackedSequences:
    offsets = np.cumsum([0, *map(len, playlists)]).astype(np.int64)
    tokens = np.concatenate([np.asarray(playlist, np.int32) for playlist in playlists])
    return PackedSequences(tokens, offsets, np.arange(len(playlists), dtype=np.int32))


def _make_model(num_tokens: int) -> Transformer:
    config = make_model_config(context_length=8, num_layers=1, num_heads=1, embed_dim=4, feedforward_dim=4, dropout=0.0)
    model = Transformer(config, vocabulary_size=num_tokens, rngs=nnx.Rngs(0))
    model.embedding.table[...] = model.embedding.table[...] * 30  # so that the logits differ clearly
    return model


@pytest.fixture(scope="session")
def model() -> Transformer:
    """Random weights over ``NUM_TOKENS`` tokens."""
    return _make_model(NUM_TOKENS)


@pytest.fixture(scope="session")
def stage(model: Transformer) -> FirstStage:
    """The first stage of ``PLAYLISTS``."""
    return FirstStage(model, _pack(PLAYLISTS), TITLES, ARTISTS, batch_size=4)


@pytest.fixture(scope="session")
def state() -> RerankerState:
    """A second stage of ``PLAYLISTS`` whose network has random weights."""
    rngs = nnx.Rngs(1)
    width = len(FEATURES)
    network = RankingNetwork(
        np.zeros(width, np.float32), np.ones(width, np.float32), hidden_dim=5, dropout=0.5, rngs=rngs
    )
    network.linear.kernel[...] = 0.1 * nnx.initializers.normal(1.0)(rngs.params(), network.linear.kernel.shape)
    return RerankerState(network, _pack(PLAYLISTS), TITLES, ARTISTS, num_candidates=NUM_TOKENS, vocabulary="v" * 64)


@pytest.fixture(scope="session")
def seeds_of() -> Callable[..., list[np.ndarray]]:
    """Give ``seeds_of(*playlists)``: their tokens as arrays."""
    return lambda *playlists: [np.array(playlist, np.int32) for playlist in playlists]


@pytest.fixture(scope="session")
def make_config() -> Callable[..., RerankConfig]:
    """Give ``make_config(**changes)``: a recipe that takes seconds."""
    quick = {"num_folds": 3, "num_candidates": 30, "hidden_dim": 4, "num_epochs": 3, "batch_size": 8, "title_rate": 1.0}
    return lambda **changes: make_rerank_config(**quick | changes)


@pytest.fixture(scope="session")
def data() -> TrainingPlaylists:
    """24 playlists of 14 tracks, of the tokens 3 to 22 and of 23 to 42 in turn; each has a title of its own."""
    rng = np.random.default_rng(0)
    playlists = [3 + 20 * (number % 2) + rng.permutation(20)[:14] for number in range(24)]
    counts = np.bincount(np.concatenate(playlists), minlength=43)
    uris = [*SPECIALS, *(f"spotify:track:{number:022d}" for number in range(40))]
    titles = [f"group {number % 2} number {number}" for number in range(24)]
    return TrainingPlaylists(_pack(playlists), Vocabulary(pa.array(uris), counts), titles)


@pytest.fixture(scope="session")
def artists() -> Artists:
    """Two tracks of ``data`` share an artist."""
    of_token = np.concatenate([[0, 0, 0], 1 + np.arange(40) // 2]).astype(np.int32)
    return Artists(of_token, ["", *(f"artist {number}" for number in range(20))])


@pytest.fixture(scope="session")
def make_model() -> Callable[[PackedSequences], Transformer]:
    """Give the same random weights for all playlists of ``data``."""
    model = _make_model(43)
    return lambda sequences: model
