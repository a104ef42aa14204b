"""From playlists to batches of tokens: crops, orders, sets of seeds, ``<unk>`` injection, framing, and Grain chains.

Shape letters: B playlists, T context_length.
"""

import hashlib
from typing import NamedTuple, SupportsIndex

import grain
import numpy as np
from jax.typing import ArrayLike

from playlist_pipeline.config import ModelConfig, TrainConfig
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import EOP, START, UNK

# Grain's endless repetition has a length that overflows where a batch is one playlist.
MANY_EPOCHS = 1 << 20
# Threads are enough for arrays of ids; worker processes of Grain 0.2.18 fail outside absl applications.
READ_OPTIONS = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)


class Batch(NamedTuple):
    """Framed playlists, or one of them.

    Attributes:
        tokens: int32 [B, T + 1]: the first T are the inputs, the last T the labels.
        num_given: int32 [B], how many first tracks are given and not asked for.
    """

    tokens: ArrayLike
    num_given: ArrayLike


class PlaylistSource:
    """A Grain random-access source over any ``Playlists``: packed sequences, the database, or a list of arrays."""

    def __init__(self, playlists: Playlists) -> None:
        self._playlists = playlists

    def __len__(self) -> int:
        return len(self._playlists)

    def __getitem__(self, index: SupportsIndex) -> np.ndarray:
        """Return the tokens of one playlist: int32[length]."""
        return self._playlists[int(index)]


def frame_playlist(tracks: np.ndarray, context_length: int) -> np.ndarray:
    """Return ``<start>``, the first ``context_length`` tracks, and ``<eop>`` up to the full length.

    Args:
        tracks: int32[length].
        context_length: T.

    Returns:
        int32[T + 1]: the first T tokens are the inputs, the last T the labels.
    """
    framed = np.full(context_length + 1, EOP, np.int32)
    framed[0] = START
    kept = tracks[:context_length]
    framed[1 : 1 + len(kept)] = kept
    return framed


def crop_randomly(tracks: np.ndarray, context_length: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return a uniformly chosen window of ``context_length`` tracks, or all of a playlist that is not longer."""
    first = rng.integers(max(len(tracks) - context_length, 0) + 1)
    return tracks[first : first + context_length]


def inject_unk(tracks: np.ndarray, rate: float, *, rng: np.random.Generator) -> np.ndarray:
    """Return a copy in which each track is ``<unk>`` with probability ``rate``."""
    return np.where(rng.random(len(tracks)) < rate, np.int32(UNK), tracks)


class FrameForTraining(grain.transforms.RandomMap):
    """Crop, shuffle, choose seeds, inject ``<unk>`` and frame.

    What is random follows from the chain's seed and the place in it.
    """

    def __init__(self, *, model_config: ModelConfig, config: TrainConfig) -> None:
        self._context_length = model_config.context_length
        self._draw_seeds = config.seed_sets or not model_config.causal
        self._config = config

    def random_map(self, element: np.ndarray, rng: np.random.Generator) -> Batch:
        """Turn tracks int32[length] into tokens int32[T + 1] and the number of given tracks."""
        if self._config.random_crop:
            element = crop_randomly(element, self._context_length, rng=rng)
        element = element[: self._context_length]
        if self._config.shuffle_tracks:
            element = rng.permutation(element)
        num_given = rng.integers(max(len(element), 1)) if self._draw_seeds else 0
        element = inject_unk(element, self._config.unk_rate, rng=rng)
        return Batch(frame_playlist(element, self._context_length), np.int32(num_given))


def frame_for_validation(tracks: np.ndarray, model_config: ModelConfig) -> Batch:
    """Frame the beginning of a playlist, without anything random.

    A causal model is asked for all tracks, another one for the second half from the first.
    """
    length = min(len(tracks), model_config.context_length)
    num_given = 0 if model_config.causal else length // 2
    return Batch(frame_playlist(tracks, model_config.context_length), np.int32(num_given))


def make_training_batches(
    playlists: Playlists, *, model_config: ModelConfig, config: TrainConfig
) -> "grain.IterDataset[Batch]":
    """Return a practically endless stream of batches.

    Each epoch is a permutation of all playlists. Batches are cut from the epochs laid end to end, so no playlist is
    dropped where B does not divide their number: one batch then holds the end of an epoch and the start of the next.
    The iterator's state is a small dictionary, and a restored iterator goes on with the same batches.
    """
    framing = FrameForTraining(model_config=model_config, config=config)
    return (
        grain.MapDataset.source(PlaylistSource(playlists))
        .seed(config.seed)
        .shuffle()
        .repeat(MANY_EPOCHS)
        .random_map(framing)
        .batch(config.batch_size)
        .to_iter_dataset(READ_OPTIONS)
    )


def make_validation_batches(
    playlists: Playlists, *, model_config: ModelConfig, config: TrainConfig
) -> "grain.MapDataset[Batch]":
    """Return batches by number, any of them at any time: shuffled, beginnings only, no ``<unk>`` added.

    Numbers have no end; they run through epochs as training does.
    """
    return (
        grain.MapDataset.source(PlaylistSource(playlists))
        .seed(config.seed)
        .shuffle()
        .repeat(MANY_EPOCHS)
        .map(lambda tracks: frame_for_validation(tracks, model_config))
        .batch(config.batch_size)
    )


def count_steps(num_playlists: int, config: TrainConfig) -> int:
    """Return how many steps ``num_epochs`` take: the last may be partly of the next epoch; ``max_steps`` caps it."""
    steps = -(-config.num_epochs * num_playlists // config.batch_size)
    return steps if config.max_steps is None else min(steps, config.max_steps)


def fingerprint_playlists(playlists: Playlists) -> str:
    """Return the SHA-256 of number, lengths and tokens, the same for every source with the same content."""
    lengths, tokens = hashlib.sha256(), hashlib.sha256()
    for index in range(len(playlists)):
        playlist = playlists[index]
        lengths.update(len(playlist).to_bytes(8, "little"))
        tokens.update(np.ascontiguousarray(playlist, "<i4").tobytes())
    return hashlib.sha256(lengths.digest() + tokens.digest()).hexdigest()
