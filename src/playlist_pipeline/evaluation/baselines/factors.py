"""Factor models of implicit: ALS and BPR, with a playlist that they have not seen given by its seeds.

Shape letters: n playlists to continue, P training playlists, V vocabulary, D dimensions.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.config import ALSSettings, BPRSettings
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError, in_one_line
from playlist_pipeline.evaluation.baselines.popularity import Popularity
from playlist_pipeline.evaluation.baselines.ranking import (
    TrainingPlaylists,
    build_seed_matrix,
    flatten_seeds,
    iterate_chunks,
    rank_dense_scores,
)
from playlist_pipeline.evaluation.metrics import PADDING


class VectorRanker(ABC):
    """Ranks tracks by the inner product of a playlist's vector and theirs.

    Ties go to the lower token. A list that the tracks with a vector do not fill is filled with the most popular others;
    where no seed has a vector it is that of popularity.

    Args:
        vocabulary: V tokens.
        vectors: Of each token, float32 [V, D].
        bias: Added to each token's score, float32 [V]; None for 0.
        tokens: Tracks that have a vector; None for all.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        vectors: np.ndarray,
        *,
        bias: np.ndarray | None = None,
        tokens: np.ndarray | None = None,
    ) -> None:
        self._popularity = Popularity(vocabulary)
        self._vectors = vectors
        self._bias = np.zeros(len(vocabulary), np.float32) if bias is None else bias.astype(np.float32)
        known = np.arange(len(SPECIALS), len(vocabulary)) if tokens is None else tokens
        self._has_vector = np.zeros(len(vocabulary), bool)
        self._has_vector[known] = True
        self._bias[~self._has_vector] = -np.inf

    @abstractmethod
    def embed_playlists(self, seeds: sp.csr_matrix) -> np.ndarray:
        """Return the vectors of playlists, float32 [n, D].

        Args:
            seeds: Ones where a playlist has a seed with a vector, float64 [n, V]; at least one in each row.
        """

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists; see ``Ranker.rank``. Titles say nothing.

        A block of scores takes 128 MB at most, or one playlist's row where the vocabulary is larger than that.
        """
        ranked = [self._rank_chunk(chunk, k) for chunk, _ in iterate_chunks(seeds, titles)]
        return np.concatenate([np.empty((0, k), np.int32), *ranked])

    def _rank_chunk(self, seeds: Sequence[np.ndarray], k: int) -> np.ndarray:
        rows, tokens = flatten_seeds(seeds)
        ranked = np.full((len(seeds), k), PADDING, np.int32)
        known = self._has_vector[tokens]
        told = build_seed_matrix(rows[known], tokens[known], len(seeds), len(self._vectors))
        able = np.unique(rows[known])
        if len(able):
            queries = self.embed_playlists(told[able])
            ranked[able] = rank_dense_scores(queries, self._vectors, self._bias, told[able], k)
        return self._popularity.fill(ranked, rows, tokens)


class ALS(VectorRanker):
    """implicit's alternating least squares; the seeds are folded in by one more such step.

    A playlist's vector is the solution of the least squares problem with its seeds as the tracks that it holds and the
    track vectors as they are (``recalculate_user``).

    Args:
        data: Training part.
        settings: See ``ALSSettings``.
        seed: Of the first vectors.

    Raises:
        UserError: The settings do not allow it.

    Source: Hu, Koren and Volinsky 2008.
    """

    def __init__(self, data: TrainingPlaylists, settings: ALSSettings, *, seed: int) -> None:
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415

        with threadpool_limits(1, "blas"):  # implicit runs its own threads
            self._model = AlternatingLeastSquares(
                settings.factors,
                regularization=settings.regularization,
                alpha=settings.alpha,
                iterations=settings.iterations,
                random_state=seed,
            )
            _fit(self._model, data, "als", "a larger regularization or a smaller alpha")
        super().__init__(data.vocabulary, self._model.item_factors)

    def embed_playlists(self, seeds: sp.csr_matrix) -> np.ndarray:
        """Solve for the vectors of playlists; see ``VectorRanker.embed_playlists``."""
        return self._model.recalculate_user(np.arange(seeds.shape[0]), seeds.astype(np.float32))


class BPR(VectorRanker):
    """implicit's Bayesian personalised ranking; the seeds are folded in as their mean.

    BPR has no closed form for a playlist that training has not seen. Here its vector is the mean of its seeds' vectors,
    so that a track's score is its mean inner product with the seeds, plus ``bias_weight`` times its learned bias.
    Training runs in one thread, as several would make its result depend on their timing.

    Args:
        data: Training part.
        settings: See ``BPRSettings``.
        seed: Of the first vectors and of what is drawn.

    Raises:
        UserError: The settings do not allow it.

    Source: Rendle et al. 2009.
    """

    def __init__(self, data: TrainingPlaylists, settings: BPRSettings, *, seed: int) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking  # noqa: PLC0415

        model = BayesianPersonalizedRanking(
            settings.factors,
            learning_rate=settings.learning_rate,
            regularization=settings.regularization,
            iterations=settings.iterations,
            num_threads=1,
            random_state=seed,
        )
        _fit(model, data, "bpr", "a smaller learning_rate or regularization")
        # The last column is the bias: the one of a playlist's vector is 1.
        vectors, bias = np.ascontiguousarray(model.item_factors[:, :-1]), model.item_factors[:, -1]
        super().__init__(data.vocabulary, vectors, bias=settings.bias_weight * bias)

    def embed_playlists(self, seeds: sp.csr_matrix) -> np.ndarray:
        """Average the seeds' vectors; see ``VectorRanker.embed_playlists``."""
        return average_vectors(seeds, self._vectors)


def _fit(model: Any, data: TrainingPlaylists, system: str, advice: str) -> None:
    """Fit a model of implicit, which ends with an error where settings make its vectors grow beyond all bounds."""
    from implicit.recommender_base import ModelFitError  # noqa: PLC0415

    try:
        model.fit(data.build_memberships().astype(np.float32), show_progress=False)
    except (ModelFitError, ValueError) as error:
        raise UserError(
            f"baselines.{system} cannot be fitted with these settings ({in_one_line(error)}): give {advice}"
        ) from error


def average_vectors(seeds: sp.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """Return the mean of each row's vectors, float32 [n, D].

    Args:
        seeds: Ones where a playlist has a seed, [n, V]; at least one in each row.
        vectors: Of each token, float32 [V, D].
    """
    return (seeds.astype(np.float32) @ vectors) / np.diff(seeds.indptr).astype(np.float32)[:, None]
