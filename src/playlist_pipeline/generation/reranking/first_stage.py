"""Scores of all tracks and artists, by several scorers, for playlists to continue.

Shape letters: n playlists to continue, P training playlists, V vocabulary, A artists, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import read_stand_ins
from playlist_pipeline.evaluation.baselines.neighbours import TitleIndex, normalise_title
from playlist_pipeline.evaluation.baselines.ranking import (
    build_memberships,
    build_seed_matrix,
    flatten_seeds,
    multiply_in_blocks,
)
from playlist_pipeline.generation.decode import encode_rows
from playlist_pipeline.model.transformer import Transformer

SCORERS = ("transformer", "playlists", "title_characters", "title_words", "title_transformer")
MAX_NGRAM = {"title_characters": 4, "title_words": 1}
TITLE_NEIGHBOURS = 1000
SEED_DAMPING = 0.44  # of a seed's weight by its count, as in playlist-kNN
LENGTH_DAMPING = 0.5
TITLE_RIDGE = 3.0
RIDGE_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Artists:
    """The artists of the tracks.

    Attributes:
        of_token: int32 [V], numbered from 1; 0 is none.
        names: By number; the first is that of no artist and empty.
    """

    of_token: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class Scores:
    """What the scorers say of some playlists.

    Attributes:
        tracks: By scorer, float32 [n, V], divided by the highest of each row; not below -1.
        artists: By scorer, float32 [n, A] likewise.
        highest: By scorer, float32 [n], what the scores of tracks were divided by.
    """

    tracks: dict[str, np.ndarray]
    artists: dict[str, np.ndarray]
    highest: dict[str, np.ndarray]


class FirstStage:
    """The scorers, fitted to training playlists.

    ``transformer``: logits, standardised over the vocabulary. ``playlists``: of the playlists that hold a seed; with
    c_t the count of track t and |p| a playlist's tracks, playlist p weighs ``sum over seeds t in p of 1 / ((c_t -
    1)^0.44 + 1) / |p|^0.5`` and gives that to its tracks. ``title_characters`` and ``title_words``: of the playlists
    with similar titles, see ``TitleIndex``; they weigh similarity / |p|^0.5. ``title_transformer``: logits of the
    hidden state that a ridge regression expects of the title's n-grams, learned from the transformer's hidden states
    after the training playlists. An artist's score is that of the playlists times the root of the tracks that they hold
    of the artist; by the transformer, that of the mean of the artist's tracks.

    Attributes:
        counts: Playlists that hold each track, float32 [V].
        artists: The tracks' artists.
        artist_counts: Entries by each artist, float32 [A].
        artist_number: An artist's normalised name to its number, the most frequent of those that share it.

    Args:
        model: The transformer, without side tables.
        sequences: The training playlists.
        titles: Their titles.
        artists: The tracks' artists.
        batch_size: Playlists that the transformer reads at a time.
    """

    def __init__(
        self,
        model: Transformer,
        sequences: PackedSequences,
        titles: Sequence[str | None],
        artists: Artists,
        *,
        batch_size: int,
    ) -> None:
        self.artists, self._model, self._batch_size = artists, model, batch_size
        vocabulary_size, num_artists = len(artists.of_token), len(artists.names)
        memberships = build_memberships(sequences, vocabulary_size).astype(np.float32)  # [P, V]
        lengths = np.diff(memberships.indptr)
        by_artist = sp.csr_matrix(
            (np.ones(vocabulary_size, np.float32), artists.of_token, np.arange(vocabulary_size + 1)),
            shape=(vocabulary_size, num_artists),
        )
        held = memberships @ by_artist  # [P, A]
        self.counts = np.bincount(memberships.indices, minlength=vocabulary_size).astype(np.float32)
        self.artist_counts = np.asarray(held.sum(axis=0)).ravel()
        self.artist_number = self._number_names()
        self._seed_weights = (1 / (np.maximum(self.counts - 1, 0) ** SEED_DAMPING + 1)).astype(np.float32)
        damping = sp.diags(np.maximum(lengths, 1).astype(np.float32) ** -LENGTH_DAMPING)
        self._holders = (damping @ memberships).T.tocsr()  # [V, P]
        self._memberships, self._damped_memberships = memberships, (damping @ memberships).tocsr()
        self._held, self._damped_held = held.sqrt().tocsr(), (damping @ held.sqrt()).tocsr()
        self._titles = {name: TitleIndex(titles, max_ngram=size) for name, size in MAX_NGRAM.items()}
        playlists = [sequences[number] for number in range(len(sequences))]
        hidden = encode_rows(model, playlists, batch_size=batch_size)  # [P, D]
        self._mean_hidden = hidden.mean(axis=0)
        self._hidden_of = {
            name: solve_ridge(index.weigh_ngrams(titles), hidden - self._mean_hidden, TITLE_RIDGE)
            for name, index in self._titles.items()
        }  # [n-grams, D] each
        self._table = np.asarray(model.scoring.table[:vocabulary_size], np.float32)
        self._artist_vectors = (by_artist.T @ (self._table * self.counts[:, None])) / np.maximum(self.artist_counts, 1)[
            :, None
        ]

    def _number_names(self) -> dict[str, int]:
        number_of = {}
        for number in np.argsort(self.artist_counts, kind="stable").tolist():
            if (name := self.artists.names[number]) and self.artist_counts[number] > 0:
                number_of[name] = number
        return number_of

    def score(self, seeds: Sequence[np.ndarray], titles: Sequence[str | None]) -> Scores:
        """Score tracks and artists.

        Args:
            seeds: Tokens of each playlist's given tracks.
            titles: Their titles; None where there is none.
        """
        tracks: dict[str, np.ndarray] = {}
        artists: dict[str, np.ndarray] = {}
        hidden = {"transformer": encode_rows(self._model, seeds, batch_size=self._batch_size)}
        rows, tokens = flatten_seeds([read_stand_ins(np.asarray(given)) for given in seeds])
        given = build_seed_matrix(rows, tokens, len(seeds), len(self.counts))
        given.data *= self._seed_weights[given.indices]
        tracks["playlists"], artists["playlists"] = self._spread(
            given.astype(np.float32) @ self._holders, self._memberships, self._held
        )
        expected = np.tile(self._mean_hidden, (len(seeds), 1))
        for name, index in self._titles.items():
            blocks = [block for _, block in index.weigh_playlists(titles, TITLE_NEIGHBOURS)]
            weights = sp.vstack(blocks, format="csr").astype(np.float32)
            tracks[name], artists[name] = self._spread(weights, self._damped_memberships, self._damped_held)
            expected += index.weigh_ngrams(titles) @ self._hidden_of[name] / len(self._titles)
        hidden["title_transformer"] = expected.astype(np.float32)
        for name, states in hidden.items():
            tracks[name], artists[name] = self._multiply(states)
        highest = {name: np.maximum(scores.max(axis=1), 1e-9) for name, scores in tracks.items()}
        return Scores(
            tracks={name: np.maximum(scores / highest[name][:, None], -1) for name, scores in tracks.items()},
            artists={
                name: np.maximum(scores / np.maximum(scores.max(axis=1, keepdims=True), 1e-9), -1)
                for name, scores in artists.items()
            },
            highest=highest,
        )

    def _multiply(self, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits [n, V] and [n, A] of hidden states [n, D], standardised over the vocabulary."""
        logits = hidden @ self._table.T
        center, spread = logits.mean(axis=1, keepdims=True), np.maximum(logits.std(axis=1, keepdims=True), 1e-9)
        return (logits - center) / spread, (hidden @ self._artist_vectors.T - center) / spread

    @staticmethod
    def _spread(weights: sp.csr_matrix, tracks: sp.csr_matrix, artists: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """Give the weights of playlists [n, P] to what they hold; return float32 [n, V] and [n, A]."""
        return tuple(
            np.concatenate([block.toarray() for _, block in multiply_in_blocks(weights, held)])
            for held in (tracks, artists)
        )  # type: ignore[return-value]

    def find_artists(self, title: str | None) -> list[tuple[int, float]]:
        """Find artists whose whole name stands in a title, longer names first.

        Returns:
            Number of each artist and the share of the title's words that its name makes up.
        """
        words = normalise_title(title or "").split()
        found, free = [], [True] * len(words)
        for size in range(len(words), 0, -1):
            for start in range(len(words) - size + 1):
                number = self.artist_number.get(" ".join(words[start : start + size]))
                if number is not None and all(free[start : start + size]):
                    found.append((number, size / len(words)))
                    free[start : start + size] = [False] * size
        return found


def solve_ridge(inputs: sp.csr_matrix, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights W [G, D] that make ``|inputs W - targets|^2 + penalty |W|^2`` least, by conjugate gradients.

    Args:
        inputs: [P, G].
        targets: float [P, D].
        penalty: Positive.
    """
    inputs = inputs.astype(np.float64)
    transposed = inputs.T.tocsr()
    gram = sp.linalg.LinearOperator(
        (inputs.shape[1],) * 2, matvec=lambda w: transposed @ (inputs @ w) + penalty * w, dtype=np.float64
    )
    columns = [sp.linalg.cg(gram, right, rtol=RIDGE_TOLERANCE)[0] for right in (transposed @ targets).T]
    return np.stack(columns, axis=1)
