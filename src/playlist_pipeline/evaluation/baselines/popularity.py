"""Popularity: the same tracks for everyone, and what fills the lists of other systems."""

from collections.abc import Sequence

import numpy as np

from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.evaluation.baselines.ranking import flatten_seeds, iterate_chunks
from playlist_pipeline.evaluation.metrics import PADDING


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
        """Rank continuations of playlists; see ``Ranker.rank``. Seeds only say what not to recommend."""
        ranked = [self.rank_without(*flatten_seeds(chunk), len(chunk), k) for chunk, _ in iterate_chunks(seeds, titles)]
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

    def fill(self, ranked: np.ndarray, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Fill up lists with the most popular of the other tracks.

        Args:
            ranked: Lists, int32 [n, k], each padded with -1 at its end.
            rows: Playlist of each seed, int [m].
            tokens: The seeds, int [m]; none twice in a playlist, none in its list.

        Returns:
            int32 [n, k], padded with -1 only where the vocabulary has no more tracks.
        """
        lengths = (ranked != PADDING).sum(axis=1)
        listed_rows, places = np.nonzero(ranked != PADDING)
        excluded_rows = np.concatenate([rows, listed_rows])
        excluded_tokens = np.concatenate([tokens, ranked[listed_rows, places]])
        k = ranked.shape[1]
        popular = self.rank_without(excluded_rows, excluded_tokens, len(ranked), k)
        behind = np.arange(k) - lengths[:, None]
        filler = np.take_along_axis(popular, np.maximum(behind, 0), axis=1)
        return np.where(behind < 0, ranked, filler)
