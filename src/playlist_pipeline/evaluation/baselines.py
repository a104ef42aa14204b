"""Systems that the model is measured against: popularity and item-kNN.

A system has ``rank(seeds, k, titles=...)``: for each playlist the k best continuations, best first, without seeds or
special tokens, padded with -1.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.config import EvaluateConfig
from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.evaluation.metrics import PADDING

PLAYLISTS_PER_CHUNK = 2048  # share their seeds' similarities
PLAYLISTS_PER_PRODUCT = 128
PRODUCTS_PER_BLOCK = 1 << 22  # multiplications behind one block of co-occurrence counts: 200 MB at most


class Ranker(Protocol):
    """What evaluation asks of a system."""

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists.

        Args:
            seeds: Tokens of each playlist's given tracks, int32; any number, none too, ``<unk>`` allowed.
            k: Length of a list.
            titles: Each playlist's title, None where it is not given; None for no titles at all.

        Returns:
            int32 [n, k], best first, without seeds, special tokens or a track twice, padded with -1.
        """
        ...


class Popularity:
    """Recommends the tracks with the highest training count to everyone; ties go to the lower token.

    Args:
        vocabulary: Holds the counts.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        counts = np.asarray(vocabulary.counts)
        tracks = np.arange(len(SPECIALS), len(counts))
        self._tokens = tracks[np.argsort(-counts[tracks], kind="stable")].astype(np.int32)
        self._places = np.full(len(counts), len(counts))
        self._places[self._tokens] = np.arange(len(self._tokens))

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists.

        Args:
            seeds: Tokens of each playlist's given tracks, int32; only what not to recommend.
            k: Length of a list.
            titles: Not looked at.

        Returns:
            int32 [n, k], best first, padded with -1.
        """
        ranked = [
            self.rank_without(*_flatten_seeds(chunk), len(chunk), k) for chunk in _chunks(seeds, PLAYLISTS_PER_CHUNK)
        ]
        return np.concatenate([np.empty((0, k), np.int32), *ranked])

    def rank_without(self, rows: np.ndarray, tokens: np.ndarray, num_playlists: int, k: int) -> np.ndarray:
        """Rank the most popular tracks that a playlist does not exclude.

        Args:
            rows: Playlist of each excluded track, int [m].
            tokens: Excluded tracks, int [m]; none twice in a playlist.
            num_playlists: Lists to make.
            k: Length of a list.

        Returns:
            int32 [num_playlists, k], best first, padded with -1.
        """
        most_excluded = int(np.bincount(rows).max(initial=0))
        candidates = self._tokens[: k + most_excluded]
        excluded = np.zeros((num_playlists, len(candidates)), bool)
        places = self._places[tokens]
        reached = places < len(candidates)
        excluded[rows[reached], places[reached]] = True
        order = np.argsort(excluded, axis=1, kind="stable")[:, :k]
        ranked = np.full((num_playlists, k), PADDING, np.int32)
        ranked[:, : order.shape[1]] = np.where(np.take_along_axis(excluded, order, axis=1), PADDING, candidates[order])
        return ranked


class ItemKNN:
    """Recommends the neighbours of the seeds: cosine between tracks as sets of training playlists.

    The similarity of tracks a and b is ``|P_a ∩ P_b| / sqrt(|P_a| |P_b|)``, P the training playlists that hold the
    track. A track's score is the sum of its similarities to the seeds, each of which knows its nearest tracks only.
    Ties go to the lower token. A list that neighbours do not fill is filled with the most popular tracks. Unknown
    seeds say nothing; without known seeds the list is that of popularity.

    The similarities equal those of ``implicit.nearest_neighbours.CosineRecommender`` with the same K, which counts
    the track itself as one of its neighbours. That class needs about 40 bytes for each track and neighbour (90 GB
    for the whole Million Playlist Dataset at 1,000 neighbours); here only the rows of the seeds at hand are made.

    Args:
        sequences: Training part.
        vocabulary: Vocabulary of ``sequences``.
        num_neighbours: Nearest tracks that a seed knows, itself included.

    Source: Sarwar et al. 2001, item-based collaborative filtering.
    """

    def __init__(self, sequences: PackedSequences, vocabulary: Vocabulary, *, num_neighbours: int) -> None:
        self._popularity = Popularity(vocabulary)
        self._num_neighbours = num_neighbours
        self._playlists = _build_memberships(sequences, len(vocabulary))  # [playlists, V]
        self._tracks = self._playlists.T.tocsr()  # [V, playlists]
        self._counts = np.diff(self._tracks.indptr)
        self._products = self._tracks @ np.diff(self._playlists.indptr)

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists.

        A call with many playlists is faster than many calls: it computes each seed's neighbours once for up to 2,048
        playlists. Memory does not grow with the number of playlists beyond that.

        Args:
            seeds: Tokens of each playlist's given tracks, int32; any number, ``<unk>`` allowed.
            k: Length of a list.
            titles: Not looked at.

        Returns:
            int32 [n, k], best first, padded with -1 where the vocabulary has no more tracks.
        """
        ranked = [self._rank_chunk(chunk, k) for chunk in _chunks(seeds, PLAYLISTS_PER_CHUNK)]
        return np.concatenate([np.empty((0, k), np.int32), *ranked])

    def _rank_chunk(self, seeds: Sequence[np.ndarray], k: int) -> np.ndarray:
        rows, tokens = _flatten_seeds(seeds)
        asked, columns = np.unique(tokens, return_inverse=True)
        similarity = self._similarity_rows(asked)  # [asked, V]
        picks = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(seeds), len(asked)))
        ranked = np.full((len(seeds), k), PADDING, np.int32)
        for start in range(0, len(seeds), PLAYLISTS_PER_PRODUCT):
            scores = picks[start : start + PLAYLISTS_PER_PRODUCT] @ similarity
            for row, (start_, end) in enumerate(pairwise(scores.indptr), start):
                given = asked[picks.indices[picks.indptr[row] : picks.indptr[row + 1]]]
                candidates = scores.indices[start_:end]
                values = np.where(np.isin(candidates, given), 0.0, scores.data[start_:end])
                best = _find_largest(values, candidates, k)
                best = best[np.argsort(-values[best], kind="stable")]
                best = best[values[best] > 0]
                ranked[row, : len(best)] = candidates[best]
        return self._fill(ranked, rows, tokens)

    def _fill(self, ranked: np.ndarray, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Fill lists with the most popular of the other tracks; ``tokens`` are the seeds of playlists ``rows``."""
        lengths = (ranked != PADDING).sum(axis=1)
        listed_rows, places = np.nonzero(ranked != PADDING)
        excluded_rows = np.concatenate([rows, listed_rows])
        excluded_tokens = np.concatenate([tokens, ranked[listed_rows, places]])
        k = ranked.shape[1]
        popular = self._popularity.rank_without(excluded_rows, excluded_tokens, len(ranked), k)
        behind = np.arange(k) - lengths[:, None]
        filler = np.take_along_axis(popular, np.maximum(behind, 0), axis=1)
        return np.where(behind < 0, ranked, filler)

    def _similarity_rows(self, tokens: np.ndarray) -> sp.csr_matrix:
        """Compute the rows of the similarity matrix that belong to ``tokens`` (sorted), float64 [len(tokens), V]."""
        block_of = np.cumsum(self._products[tokens]) // PRODUCTS_PER_BLOCK
        blocks = np.split(tokens, np.flatnonzero(np.diff(block_of)) + 1)
        rows = [self._similarity_block(block) for block in blocks if len(block)]
        return sp.vstack(rows, format="csr") if rows else sp.csr_matrix((0, len(self._counts)))

    def _similarity_block(self, tokens: np.ndarray) -> sp.csr_matrix:
        shared = self._tracks[tokens] @ self._playlists  # playlists that hold both, [len(tokens), V]
        sizes = np.diff(shared.indptr)
        # The root is taken of whole numbers, so that equal similarities are equal in floating point too.
        norms = np.sqrt(np.repeat(self._counts[tokens], sizes).astype(np.float64) * self._counts[shared.indices])
        values = shared.data / norms
        kept = [
            start + _find_largest(values[start:end], shared.indices[start:end], self._num_neighbours)
            for start, end in pairwise(shared.indptr)
        ]
        offsets = np.concatenate([[0], np.cumsum([len(places) for places in kept])])
        places = np.concatenate(kept)
        return sp.csr_matrix((values[places], shared.indices[places], offsets), shape=shared.shape)


def fit_baselines(sequences: PackedSequences, vocabulary: Vocabulary, config: EvaluateConfig) -> dict[str, Ranker]:
    """Fit the systems of ``config.baselines`` to the training part.

    Args:
        sequences: Training part.
        vocabulary: Vocabulary of ``sequences``.
        config: ``baselines`` and ``knn_neighbours`` count here.

    Returns:
        Name to system, in the order of ``config.baselines``.
    """
    makers: dict[str, Callable[[], Ranker]] = {
        "popularity": lambda: Popularity(vocabulary),
        "item_knn": lambda: ItemKNN(sequences, vocabulary, num_neighbours=config.knn_neighbours),
    }
    return {name: makers[name]() for name in config.baselines}


def _build_memberships(sequences: PackedSequences, vocabulary_size: int) -> sp.csr_matrix:
    """Build the matrix that says which playlist holds which known track: ones, int32 [playlists, vocabulary_size]."""
    tokens = np.asarray(sequences.tokens)
    rows = np.repeat(np.arange(len(sequences), dtype=np.int32), np.diff(sequences.offsets))
    known = tokens >= len(SPECIALS)
    ones = np.ones(int(known.sum()), np.int32)
    matrix = sp.csr_matrix((ones, (rows[known], tokens[known])), shape=(len(sequences), vocabulary_size))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _flatten_seeds(seeds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """List row and token of the known seeds, each pair once, sorted."""
    rows = np.repeat(np.arange(len(seeds)), [len(tokens) for tokens in seeds])
    tokens = np.concatenate([np.empty(0, np.int64), *seeds]).astype(np.int64)
    known = tokens >= len(SPECIALS)
    pairs = np.unique(np.stack([rows[known], tokens[known]]), axis=1)
    return pairs[0], pairs[1]


def _chunks(seeds: Sequence[np.ndarray], size: int) -> Iterator[Sequence[np.ndarray]]:
    return (seeds[start : start + size] for start in range(0, len(seeds), size))


def _find_largest(values: np.ndarray, columns: np.ndarray, k: int) -> np.ndarray:
    """Find the places of the ``k`` largest values, in rising order of column; of equal values the lower columns."""
    places = np.arange(len(values))
    if len(values) > k:
        bound = np.partition(values, len(values) - k)[len(values) - k]
        above, tied = np.flatnonzero(values > bound), np.flatnonzero(values == bound)
        # Rows are not sorted by column: sorting them whole would take as long as making them.
        places = np.concatenate([above, tied[np.argsort(columns[tied])[: k - len(above)]]])
    return places[np.argsort(columns[places])]
