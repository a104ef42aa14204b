"""Track vectors from co-occurrence alone: truncated SVDs, of playlists and tracks or of the tracks' PMI, and ALS.

Shape letters: P playlists, V vocabulary, D dimensions.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.errors import UserError

OVERSAMPLING = 32
POWER_ITERATIONS = 4
RANK_TOLERANCE = 1e-6  # squared singular values below this share of the largest are noise in float32
# Exponents of a playlist's length and a track's count that divide an entry: long playlists and common tracks say less.
LENGTH_DAMPING = 0.5
COUNT_DAMPING = 0.25
MAX_PAIRS = 100_000_000  # of PMI; each takes some 50 bytes
# As tuned on real playlists for the baseline ALS. With a weak regularisation rare tracks keep vectors of noise.
ALS_SETTINGS = {"regularization": 125.0, "alpha": 40.0, "iterations": 15}


def factorize_playlists(playlists: Playlists, vocabulary_size: int, dim: int, *, seed: int) -> np.ndarray:
    """Return vectors whose inner products say which tracks share playlists.

    With M the binary matrix [P, V] divided by length^0.5 and count^0.25, and M = U S W^T its truncated SVD, the
    vectors are W S^0.5. Vectors of common tracks are longer, so that inner products rank by popularity too.

    Args:
        playlists: int32 tokens each; special tokens are left out.
        vocabulary_size: V.
        dim: D.
        seed: Of the random start.

    Returns:
        float32 [V, D], scaled so that the mean squared norm over all occurrences is 1; zero where a token does not
        occur, and in the last columns if the matrix has a rank below D.
    """
    matrix = _build_matrix(playlists, vocabulary_size)
    return _scale(_decompose(_weigh(matrix), dim, seed=seed), matrix)


def factorize_pmi(playlists: Playlists, vocabulary_size: int, dim: int, *, seed: int) -> np.ndarray:
    """Return vectors from the truncated SVD of the tracks' positive pointwise mutual information.

    A playlist of length l gives every pair of its tracks the weight 1 / (l - 1), so that each occurrence weighs 1.
    With w the weights of pairs, of tracks and of all, PMI = log(w_ij w / (w_i w_j)), kept where positive and i != j
    (Levy & Goldberg 2014). Arguments and result are those of ``factorize_playlists``.

    Raises:
        UserError: The playlists have more pairs of tracks than memory should hold.
    """
    matrix = _build_matrix(playlists, vocabulary_size)
    lengths = np.diff(matrix.indptr).astype(np.int64)
    if (pairs := int(np.square(lengths).sum())) > MAX_PAIRS:
        raise UserError(
            f"train.embedding_init = 'pmi' would count {pairs:,} pairs of tracks, more than {MAX_PAIRS:,}: "
            "use cooccurrence or als"
        )
    weighted = sp.diags(1 / np.maximum(lengths - 1, 1).astype(np.float32)) @ matrix
    pairs_of = (matrix.T @ weighted).tocoo()
    row, column, weight = (array[pairs_of.row != pairs_of.col] for array in (pairs_of.row, pairs_of.col, pairs_of.data))
    of_track = np.bincount(row, weight, vocabulary_size)
    information = np.log(weight * (of_track.sum() / of_track[row] / of_track[column]))
    kept = information > 0
    values = (information[kept].astype(np.float32), (row[kept], column[kept]))
    return _scale(_decompose(sp.csr_matrix(values, shape=pairs_of.shape), dim, seed=seed), matrix)


def factorize_als(playlists: Playlists, vocabulary_size: int, dim: int, *, seed: int) -> np.ndarray:
    """Return the track factors of implicit's ALS (Hu, Koren & Volinsky 2008).

    Arguments and result are those of ``factorize_playlists``.

    Raises:
        UserError: implicit is not installed.
    """
    try:
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            "train.embedding_init = 'als' needs the package implicit: install playlist_pipeline[als], or give pmi"
        ) from error
    matrix = _build_matrix(playlists, vocabulary_size)
    with threadpool_limits(1, "blas"):  # implicit runs its own threads
        als = AlternatingLeastSquares(dim, random_state=seed, **ALS_SETTINGS)
        als.fit(matrix, show_progress=False)
    vectors = als.item_factors.copy()
    vectors[np.bincount(matrix.indices, minlength=vocabulary_size) == 0] = 0
    return _scale(vectors, matrix)


FACTORIZATIONS: dict[str, Callable[..., np.ndarray]] = {
    "cooccurrence": factorize_playlists,
    "pmi": factorize_pmi,
    "als": factorize_als,
}


def _scale(vectors: np.ndarray, matrix: sp.csr_matrix) -> np.ndarray:
    """Scale vectors [V, D] so that their mean squared norm over all occurrences in ``matrix`` [P, V] is 1."""
    occurrences = np.bincount(matrix.indices, minlength=len(vectors))
    mean_square = occurrences @ np.square(vectors).sum(axis=1) / max(occurrences.sum(), 1)
    return vectors / np.float32(np.sqrt(mean_square) or 1.0)


def _decompose(matrix: sp.csr_matrix, dim: int, *, seed: int) -> np.ndarray:
    """Return W S^0.5, float32 [V, D], of the truncated SVD U S W^T of ``matrix`` [n, V].

    The method is the randomised subspace iteration of Halko, Martinsson and Tropp (2011).
    """
    vectors = np.zeros((matrix.shape[1], dim), np.float32)
    if matrix.nnz == 0:
        return vectors
    width = min(dim + OVERSAMPLING, *matrix.shape)
    basis = np.random.Generator(np.random.PCG64(seed)).standard_normal((matrix.shape[1], width), np.float32)
    for _ in range(POWER_ITERATIONS):
        image = matrix.T @ (matrix @ basis)  # [V, width]
        squares, rotation = _decompose_gram(image)
        kept = squares > RANK_TOLERANCE * squares[0]
        basis = image @ (rotation[:, kept] / np.sqrt(squares[kept])).astype(np.float32)  # orthonormal columns
    # Within the span of the basis, the right singular vectors are the eigenvectors of (M basis)^T (M basis).
    squares, rotation = _decompose_gram(matrix @ basis)
    weights = rotation * np.maximum(squares, 0) ** 0.25  # S^0.5
    vectors[:, : len(squares)] = basis @ weights[:, :dim].astype(np.float32)
    return vectors


def _decompose_gram(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, falling, and eigenvectors of ``columns.T @ columns``; cheaper than a QR of tall columns."""
    values, vectors = np.linalg.eigh((columns.T @ columns).astype(np.float64))
    return values[::-1], vectors[:, ::-1]


def _build_matrix(playlists: Playlists, vocabulary_size: int) -> sp.csr_matrix:
    """Return the binary matrix [P, V], float32."""
    unique = [np.unique(playlists[index]) for index in range(len(playlists))]
    rows = [tokens[tokens >= len(SPECIALS)] for tokens in unique]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    values = np.ones(len(indices), np.float32)
    return sp.csr_matrix((values, indices, offsets), shape=(len(rows), vocabulary_size))


def _weigh(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Divide each entry by the damped length of its playlist and count of its track."""
    lengths = np.diff(matrix.indptr).astype(np.float32)
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float32)
    row_weights = np.repeat(np.maximum(lengths, 1) ** -LENGTH_DAMPING, np.diff(matrix.indptr))
    weights = row_weights * counts[matrix.indices] ** -COUNT_DAMPING
    return sp.csr_matrix((weights.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
