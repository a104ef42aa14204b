"""Tiny training parts. Tracks are the tokens from 3 on."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary
from playlist_pipeline.evaluation.baselines import TrainingPlaylists


def _make_vocabulary(counts: Iterable[int]) -> Vocabulary:
    """Vocabulary of tracks with these counts; the first has token 3."""
    counts = list(counts)
    uris = [*SPECIALS, *(f"spotify:track:{number:022d}" for number in range(len(counts)))]
    table = {
        "token": pa.array(range(len(uris)), pa.int32()),
        "uri": uris,
        "count": pa.array([0, 0, 0, *counts], pa.int64()),
    }
    return Vocabulary.from_table(pa.table(table))


def _make_data(playlists: list[Any], *, num_tracks: int, titles: list[str | None] | None = None) -> TrainingPlaylists:
    """Training part of these playlists of tokens, with the counts that they have there."""
    offsets = np.cumsum([0, *(len(playlist) for playlist in playlists)]).astype(np.int64)
    tokens = np.array([token for playlist in playlists for token in playlist], np.int32)
    vocabulary = _make_vocabulary(np.bincount(tokens[tokens > UNK] - len(SPECIALS), minlength=num_tracks))
    sequences = PackedSequences(tokens, offsets, np.arange(len(playlists), dtype=np.int32))
    return TrainingPlaylists(sequences, vocabulary, titles)


def _seeds_of(*playlists: Iterable[int]) -> list[np.ndarray]:
    return [np.array(list(playlist), np.int32) for playlist in playlists]


@pytest.fixture(scope="session")
def make_vocabulary() -> Callable[..., Vocabulary]:
    """Give ``make_vocabulary(counts)``."""
    return _make_vocabulary


@pytest.fixture(scope="session")
def make_data() -> Callable[..., TrainingPlaylists]:
    """Give ``make_data(playlists, *, num_tracks, titles=None)``."""
    return _make_data


@pytest.fixture(scope="session")
def seeds_of() -> Callable[..., list[np.ndarray]]:
    """Give ``seeds_of(*playlists)``."""
    return _seeds_of


@pytest.fixture(scope="session")
def random_playlists() -> list[np.ndarray]:
    """Give 60 playlists of 3 to 15 entries over 40 tracks."""
    rng = np.random.default_rng(0)
    return [3 + rng.choice(40, size=rng.integers(3, 16)) for _ in range(60)]


@pytest.fixture(scope="session")
def random_data(random_playlists: list[np.ndarray]) -> TrainingPlaylists:
    """Give a training part of ``random_playlists``, of seven titles."""
    titles = [f"Mood {number % 7}" for number in range(len(random_playlists))]
    return _make_data(random_playlists, num_tracks=40, titles=titles)


@pytest.fixture(scope="session")
def grouped_data() -> TrainingPlaylists:
    """Give 40 playlists of six tracks, from the tokens 3 to 12 and from 13 to 22 in turn."""
    rng = np.random.default_rng(1)
    playlists = [3 + 10 * (number % 2) + rng.permutation(10)[:6] for number in range(40)]
    return _make_data(playlists, num_tracks=20)
