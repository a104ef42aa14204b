"""Track vectors from co-occurrence alone: a truncated SVD of the matrix of playlists and tracks.

Shape letters: P playlists, V vocabulary, D dimensions.
"""

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import SPECIALS

OVERSAMPLING = 32
POWER_ITERATIONS = 4
RANK_TOLERANCE = 1e-6  # squared singular values below this share of the largest are noise in float32
# Exponents of a playlist's length and a track's count that divide an entry: long playlists and common tracks say less.
LENGTH_DAMPING = 0.5
COUNT_DAMPING = 0.25


def factorize_playlists(playlists: Playlists, vocabulary_size: int, dim: int, *, seed: int) -> np.ndarray:
    """Return vectors whose inner products say which tracks share playlists.

    With M the binary matrix [P, V] divided by length^0.5 and count^0.25, and M = U S W^T its truncated SVD, the
    vectors are W S^0.5. The method is the randomised subspace iteration of Halko, Martinsson and Tropp (2011). Vectors
    of common tracks are longer, so that inner products rank by popularity too.

    Args:
        playlists: int32 tokens each; special tokens are left out.
        vocabulary_size: V.
        dim: D.
        seed: Of the random start.

    Returns:
        float32 [V, D], scaled so that the mean squared norm over all occurrences is 1; zero where a token does not
        occur, and in the last columns if the matrix has a rank below D.
    """
    matrix = _weigh(_build_matrix(playlists, vocabulary_size))
    if matrix.nnz == 0:
        return np.zeros((vocabulary_size, dim), np.float32)
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
    vectors = np.zeros((vocabulary_size, dim), np.float32)
    vectors[:, : len(squares)] = basis @ weights[:, :dim].astype(np.float32)
    occurrences = np.bincount(matrix.indices, minlength=vocabulary_size)
    mean_square = occurrences @ np.square(vectors).sum(axis=1) / max(occurrences.sum(), 1)
    return vectors / np.float32(np.sqrt(mean_square) or 1.0)


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
