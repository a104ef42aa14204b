"""What all baselines share: the interface of a system, and the way from scores to ranked lists.

Shape letters: n playlists to continue, P training playlists, V vocabulary, D dimensions.
"""

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.evaluation.metrics import PADDING

PLAYLISTS_PER_CHUNK = 2048
PRODUCTS_PER_BLOCK = 1 << 22  # multiplications behind one block of a sparse product: 200 MB at most
SCORES_PER_BLOCK = 1 << 25  # of a dense block of playlists and tracks: 128 MB


class Ranker(Protocol):
    """What evaluation asks of a system."""

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists.

        Args:
            seeds: Tokens of each playlist's given tracks, int32; any number, ``<unk>`` allowed.
            k: Length of a list.
            titles: The playlists' titles, None where there is none; None if no playlist has one.

        Returns:
            int32 [n, k], best first, padded with -1; no seed, no special token, nothing twice.
        """
        ...


@dataclass(frozen=True, eq=False)
class TrainingPlaylists:
    """What baselines learn from.

    Attributes:
        sequences: The training part, P playlists.
        vocabulary: Vocabulary of ``sequences``, V tokens.
        titles: P titles; None where they are not known.
    """

    sequences: PackedSequences
    vocabulary: Vocabulary
    titles: Sequence[str | None] | None = None

    @classmethod
    def read(cls, sequences: PackedSequences, vocabulary: Vocabulary, playlists: pa.Table) -> "TrainingPlaylists":
        """Find the titles of the training part.

        Args:
            sequences: The training part.
            vocabulary: Vocabulary of ``sequences``.
            playlists: ``PLAYLISTS_SCHEMA``; row i is playlist_id i.
        """
        return cls(sequences, vocabulary, playlists["name"].take(pa.array(sequences.playlist_ids)).to_pylist())

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content, as hexadecimal text."""
        digest = hashlib.sha256(self.vocabulary.fingerprint.encode())
        for array in (self.sequences.tokens, self.sequences.offsets):
            digest.update(np.ascontiguousarray(array).data)
        digest.update(json.dumps(None if self.titles is None else list(self.titles)).encode())
        return digest.hexdigest()

    def build_memberships(self) -> sp.csr_matrix:
        """Build the matrix that says which playlist holds which known track: ones, float64 [P, V]."""
        return build_memberships(self.sequences, len(self.vocabulary))


def build_memberships(sequences: PackedSequences, vocabulary_size: int) -> sp.csr_matrix:
    """Build the matrix that says which of P playlists holds which known track: ones, float64 [P, V]."""
    tokens = np.asarray(sequences.tokens)
    rows = np.repeat(np.arange(len(sequences), dtype=np.int32), np.diff(sequences.offsets))
    known = tokens >= len(SPECIALS)
    shape = (len(sequences), vocabulary_size)
    matrix = sp.csr_matrix((np.ones(int(known.sum())), (rows[known], tokens[known])), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def flatten_seeds(seeds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """List row and token of the known seeds, each pair once, sorted; int64 [m] each."""
    rows = np.repeat(np.arange(len(seeds)), [len(tokens) for tokens in seeds])
    tokens = np.concatenate([np.empty(0, np.int64), *seeds]).astype(np.int64)
    known = tokens >= len(SPECIALS)
    pairs = np.unique(np.stack([rows[known], tokens[known]]), axis=1)
    return pairs[0], pairs[1]


def build_seed_matrix(rows: np.ndarray, tokens: np.ndarray, num_playlists: int, vocabulary_size: int) -> sp.csr_matrix:
    """Build the matrix of ones where a playlist has a seed, float64 [num_playlists, vocabulary_size]."""
    return sp.csr_matrix((np.ones(len(rows)), (rows, tokens)), shape=(num_playlists, vocabulary_size))


def find_largest(values: np.ndarray, columns: np.ndarray, k: int) -> np.ndarray:
    """Find the places of the ``k`` largest values, in rising order of column; of equal values the lower columns."""
    places = np.arange(len(values))
    if len(values) > k:
        bound = np.partition(values, len(values) - k)[len(values) - k]
        above, tied = np.flatnonzero(values > bound), np.flatnonzero(values == bound)
        # Rows are not sorted by column: sorting them whole would take as long as making them.
        places = np.concatenate([above, tied[np.argsort(columns[tied])[: k - len(above)]]])
    return places[np.argsort(columns[places])]


def keep_largest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Keep the ``k`` largest stored values of each row; of equal values the lower columns."""
    kept = [
        start + find_largest(matrix.data[start:end], matrix.indices[start:end], k)
        for start, end in pairwise(matrix.indptr)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(places) for places in kept])])
    places = np.concatenate([np.empty(0, np.int64), *kept])
    return sp.csr_matrix((matrix.data[places], matrix.indices[places], offsets), shape=matrix.shape)


def multiply_in_blocks(left: sp.csr_matrix, right: sp.csr_matrix) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Multiply sparse matrices, some rows at a time, so that memory does not grow with the number of rows.

    Args:
        left: [n, m].
        right: [m, q].

    Yields:
        First row and the product's next rows, [some, q].
    """
    sizes = np.diff(right.indptr)
    products = np.concatenate([[0], np.cumsum(sizes[left.indices])])[left.indptr]  # before each row
    block_of = products[1:] // PRODUCTS_PER_BLOCK
    edges = [0, *(np.flatnonzero(np.diff(block_of)) + 1).tolist(), left.shape[0]]
    for start, end in pairwise(edges):
        if end > start:
            yield start, left[start:end] @ right


def rank_sparse_scores(blocks: Iterator[tuple[int, sp.csr_matrix]], seeds: sp.csr_matrix, k: int) -> np.ndarray:
    """Rank the tracks with positive scores that are no seeds; ties go to the lower token.

    Args:
        blocks: First row and scores of the next playlists, [some, V]; all n rows in their order.
        seeds: Where a playlist has a seed, [n, V].
        k: Length of a list.

    Returns:
        int32 [n, k], best first, padded with -1.
    """
    ranked = np.full((seeds.shape[0], k), PADDING, np.int32)
    for first, scores in blocks:
        for row, (start, end) in enumerate(pairwise(scores.indptr), first):
            given = seeds.indices[seeds.indptr[row] : seeds.indptr[row + 1]]
            candidates = scores.indices[start:end]
            values = np.where(np.isin(candidates, given), 0.0, scores.data[start:end])
            best = find_largest(values, candidates, k)
            best = best[np.argsort(-values[best], kind="stable")]
            best = best[values[best] > 0]
            ranked[row, : len(best)] = candidates[best]
    return ranked


def rank_dense_scores(
    queries: np.ndarray, vectors: np.ndarray, bias: np.ndarray, seeds: sp.csr_matrix, k: int
) -> np.ndarray:
    """Rank all tracks that are no seeds by inner product; ties go to the lower token.

    Args:
        queries: One vector for each playlist, float32 [n, D].
        vectors: One for each token, float32 [V, D].
        bias: Added to each token's score, float32 [V]; minus infinity keeps a token out of all lists.
        seeds: Where a playlist has a seed, [n, V].
        k: Length of a list.

    Returns:
        int32 [n, k], best first, padded with -1.
    """
    ranked = np.full((len(queries), k), PADDING, np.int32)
    tokens = np.arange(len(vectors))
    size = max(1, SCORES_PER_BLOCK // len(vectors))
    for start in range(0, len(queries), size):
        scores = queries[start : start + size] @ vectors.T  # [size, V]
        scores += bias
        for row, values in enumerate(scores, start):
            values[seeds.indices[seeds.indptr[row] : seeds.indptr[row + 1]]] = -np.inf
            best = find_largest(values, tokens, k)
            best = best[np.argsort(-values[best], kind="stable")]
            best = best[values[best] > -np.inf]
            ranked[row, : len(best)] = best
    return ranked


def iterate_chunks(
    seeds: Sequence[np.ndarray], titles: Sequence[str | None] | None, *, size: int | None = None
) -> Iterator[tuple[Sequence[np.ndarray], Sequence[str | None]]]:
    """Yield seeds and titles of ``size`` playlists at a time, ``PLAYLISTS_PER_CHUNK`` if that is None or more.

    A title that is not given is None.

    Raises:
        ValueError: There are not as many titles as playlists.
    """
    if titles is not None and len(titles) != len(seeds):
        raise ValueError(f"{len(titles)} titles for {len(seeds)} playlists")
    size = PLAYLISTS_PER_CHUNK if size is None else min(size, PLAYLISTS_PER_CHUNK)
    for start in range(0, len(seeds), size):
        chunk = seeds[start : start + size]
        yield chunk, [None] * len(chunk) if titles is None else titles[start : start + size]
