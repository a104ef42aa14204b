"""Nearest neighbours: of the seeds among tracks, of the playlist among playlists, of its title among titles.

Shape letters: n playlists to continue, P training playlists, V vocabulary, T titles, G n-grams.
"""

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.config import ItemKNNSettings, PlaylistKNNSettings, TitleKNNSettings
from playlist_pipeline.evaluation.baselines.popularity import Popularity
from playlist_pipeline.evaluation.baselines.ranking import (
    TrainingPlaylists,
    build_seed_matrix,
    flatten_seeds,
    iterate_chunks,
    keep_largest,
    multiply_in_blocks,
    rank_sparse_scores,
)

SHORTEST_NGRAM = 2
NEIGHBOURS_PER_CHUNK = 1 << 26  # 12 bytes each


class ItemKNN:
    """Recommends the neighbours of the seeds among the tracks, each track being the set of its training playlists.

    With P_a the training playlists that hold track a, and |p| a playlist's tracks, the similarity of seed a and track
    b is ``sum over p in P_a ∩ P_b of |p|^-length_power / (|P_a|^(1 - alpha) |P_b|^alpha)``: the cosine where alpha is
    0.5 and length_power 0. A track's score is the sum over the seeds of ``similarity^similarity_power``. A seed knows
    its ``num_neighbours`` nearest tracks only, itself included. Ties go to the lower token. A list that neighbours do
    not fill is filled with the most popular tracks; without known seeds it is that of popularity.

    As cosine, with similarity_power 1, the similarities equal those of
    ``implicit.nearest_neighbours.CosineRecommender`` with the same K. That class needs about 40 bytes for each track
    and neighbour (90 GB for the whole Million Playlist Dataset at 1,000 neighbours); here only the rows of the seeds
    at hand are made.

    Args:
        data: Training part.
        settings: See ``ItemKNNSettings``.

    Source: Sarwar et al. 2001, item-based collaborative filtering; Aiolli 2013 for alpha and similarity_power.
    """

    def __init__(self, data: TrainingPlaylists, settings: ItemKNNSettings) -> None:
        self._settings = settings
        self._popularity = Popularity(data.vocabulary)
        memberships = data.build_memberships()
        self._tracks = memberships.T.tocsr()  # [V, P]
        self._counts = np.diff(self._tracks.indptr).astype(np.float64)
        self._playlists = _damp_lengths(memberships, settings.length_power)  # [P, V]

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists; see ``Ranker.rank``. Titles say nothing.

        A call with many playlists is faster than many calls: it computes each seed's neighbours once for up to 2,048
        playlists. Memory does not grow with the number of playlists beyond that; neighbours take 800 MB at most.
        """
        most_seeds = max((len(tokens) for tokens in seeds), default=0)
        size = max(1, NEIGHBOURS_PER_CHUNK // (self._settings.num_neighbours * max(1, most_seeds)))
        ranked = [self._rank_chunk(chunk, k) for chunk, _ in iterate_chunks(seeds, titles, size=size)]
        return np.concatenate([np.empty((0, k), np.int32), *ranked])

    def _rank_chunk(self, seeds: Sequence[np.ndarray], k: int) -> np.ndarray:
        rows, tokens = flatten_seeds(seeds)
        given = build_seed_matrix(rows, tokens, len(seeds), len(self._counts))
        asked, columns = np.unique(tokens, return_inverse=True)
        similarity = self._compute_similarity(asked)  # [asked, V]
        picks = build_seed_matrix(rows, columns, len(seeds), len(asked))
        ranked = rank_sparse_scores(multiply_in_blocks(picks, similarity), given, k)
        return self._popularity.fill(ranked, rows, tokens)

    def _compute_similarity(self, tokens: np.ndarray) -> sp.csr_matrix:
        """Compute the rows of the powers of similarities that belong to ``tokens``, float64 [len(tokens), V]."""
        blocks = []
        for first, shared in multiply_in_blocks(self._tracks[tokens], self._playlists):
            similarity = self._normalise(tokens[first : first + shared.shape[0]], shared)
            blocks.append(keep_largest(similarity, self._settings.num_neighbours))
        return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((0, len(self._counts)))

    def _normalise(self, tokens: np.ndarray, shared: sp.csr_matrix) -> sp.csr_matrix:
        """Turn the weighted counts of shared playlists, [len(tokens), V], into powers of similarities."""
        alpha = self._settings.alpha
        seeds = np.repeat(self._counts[tokens], np.diff(shared.indptr))
        # The root is taken last, so that equal cosines are equal in floating point too.
        norms = np.sqrt(seeds ** (2 - 2 * alpha) * self._counts[shared.indices] ** (2 * alpha))
        shared.data = (shared.data / norms) ** self._settings.similarity_power
        return shared


class PlaylistKNN:
    """Recommends what the training playlists hold that share tracks with the seeds; common tracks count for less.

    With c_t the training playlists that hold track t and |p| a playlist's tracks, the similarity of training playlist
    p is ``sum over seeds t in p of 1 / ((c_t - 1)^damping + 1) / |p|^length_power``. The ``num_neighbours`` nearest
    count, ties going to those that come first. A track's score is the sum of ``(similarity / highest
    similarity)^similarity_power`` over the neighbours that hold it. Ties go to the lower token. A list that neighbours
    do not fill is filled with the most popular tracks; without known seeds it is that of popularity.

    Args:
        data: Training part.
        settings: See ``PlaylistKNNSettings``.

    Source: the damping, the length normalisation (power 0.5) and the squares are those of team "Definitive Turtles" in
    the RecSys Challenge 2018 (Kelen et al.), which also subtracts the least similarity and weights by position.
    """

    def __init__(self, data: TrainingPlaylists, settings: PlaylistKNNSettings) -> None:
        self._settings = settings
        self._popularity = Popularity(data.vocabulary)
        self._playlists = data.build_memberships()  # [P, V]
        counts = np.bincount(self._playlists.indices, minlength=len(data.vocabulary)).astype(np.float64)
        self._seed_weights = 1 / (np.maximum(counts - 1, 0) ** settings.damping + 1)
        self._tracks = _damp_lengths(self._playlists, settings.length_power).T.tocsr()  # [V, P]

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists; see ``Ranker.rank``. Titles say nothing."""
        ranked = [self._rank_chunk(chunk, k) for chunk, _ in iterate_chunks(seeds, titles)]
        return np.concatenate([np.empty((0, k), np.int32), *ranked])

    def _rank_chunk(self, seeds: Sequence[np.ndarray], k: int) -> np.ndarray:
        rows, tokens = flatten_seeds(seeds)
        given = build_seed_matrix(rows, tokens, len(seeds), len(self._seed_weights))
        weighted = given.copy()
        weighted.data *= self._seed_weights[weighted.indices]
        ranked = rank_sparse_scores(self._compute_scores(weighted), given, k)
        return self._popularity.fill(ranked, rows, tokens)

    def _compute_scores(self, weighted: sp.csr_matrix) -> Iterator[tuple[int, sp.csr_matrix]]:
        for first, similarity in multiply_in_blocks(weighted, self._tracks):
            nearest = keep_largest(similarity, self._settings.num_neighbours)
            for start, scores in multiply_in_blocks(
                _scale_rows(nearest, self._settings.similarity_power), self._playlists
            ):
                yield first + start, scores


class TitleKNN:
    """Recommends what the training playlists with a similar title hold.

    A title counts as the character n-grams of its words (see ``normalise_title`` and ``list_ngrams``), weighted by
    their inverse document frequency ``1 + ln((1 + T) / (1 + titles with the n-gram))`` among the T different training
    titles. The similarity of two titles is the cosine. The ``num_neighbours`` nearest titles count, ties going to
    those that come first in the alphabet, with all playlists that bear them. A track's score is the sum of
    ``similarity^similarity_power / |p|^length_power`` over those playlists p that hold it. Ties go to the lower token.
    A list that neighbours do not fill is filled with the most popular tracks; without a title it is that of popularity.

    Args:
        data: Training part, with titles.
        settings: See ``TitleKNNSettings``.

    Raises:
        ValueError: The training part has no titles, or not one for each playlist.
    """

    def __init__(self, data: TrainingPlaylists, settings: TitleKNNSettings) -> None:
        if data.titles is None or len(data.titles) != len(data.sequences):
            raise ValueError(f"{len(data.titles or ())} titles for {len(data.sequences)} training playlists")
        self._settings = settings
        self._popularity = Popularity(data.vocabulary)
        self._playlists = _damp_lengths(data.build_memberships(), settings.length_power)  # [P, V]
        self._index = TitleIndex(data.titles, max_ngram=settings.max_ngram)

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank continuations of playlists; see ``Ranker.rank``. Seeds only say what not to recommend."""
        ranked = [self._rank_chunk(chunk, some, k) for chunk, some in iterate_chunks(seeds, titles)]
        return np.concatenate([np.empty((0, k), np.int32), *ranked])

    def _rank_chunk(self, seeds: Sequence[np.ndarray], titles: Sequence[str | None], k: int) -> np.ndarray:
        rows, tokens = flatten_seeds(seeds)
        given = build_seed_matrix(rows, tokens, len(seeds), self._playlists.shape[1])
        ranked = rank_sparse_scores(self._compute_scores(titles), given, k)
        return self._popularity.fill(ranked, rows, tokens)

    def _compute_scores(self, titles: Sequence[str | None]) -> Iterator[tuple[int, sp.csr_matrix]]:
        for first, weights in self._index.weigh_playlists(
            titles, self._settings.num_neighbours, power=self._settings.similarity_power
        ):
            for start, scores in multiply_in_blocks(weights, self._playlists):
                yield first + start, scores


class TitleIndex:
    """Finds similar titles: cosines of their n-grams, weighted as ``TitleKNN`` says.

    Args:
        titles: P titles; None where one is not known.
        max_ngram: Characters of the longest n-grams; with 1 there are whole words alone.
    """

    def __init__(self, titles: Sequence[str | None], *, max_ngram: int) -> None:
        self._max_ngram = max_ngram
        forms = {title: normalise_title(title or "") for title in set(titles)}
        normalised = [forms[title] for title in titles]
        known = sorted(set(normalised) - {""})
        self._playlists_of = _group_by_title(normalised, known)  # [T, P]
        ngrams = sorted({ngram for title in known for ngram in list_ngrams(title, max_ngram)})
        self._columns = {ngram: column for column, ngram in enumerate(ngrams)}
        counts = self._count_ngrams(known)  # [T, G]
        documents = np.bincount(counts.indices, minlength=len(self._columns))
        self._ngram_weights = 1 + np.log((1 + len(known)) / (1 + documents))
        self._titles = self._weigh(counts).T.tocsr()  # [G, T]

    def weigh_playlists(
        self, titles: Sequence[str | None], num_neighbours: int, *, power: float = 1.0
    ) -> Iterator[tuple[int, sp.csr_matrix]]:
        """Weigh playlists by how similar their titles are to each of n titles.

        Args:
            titles: None or blank gives a row without weights.
            num_neighbours: Nearest different titles that count, ties going to those that come first in the alphabet.
            power: Of the similarity.

        Yields:
            First row and the next rows' weights, float64 [some, P].
        """
        for first, similarity in multiply_in_blocks(self.weigh_ngrams(titles), self._titles):
            nearest = keep_largest(similarity, num_neighbours)
            nearest.data **= power
            for middle, weights in multiply_in_blocks(nearest, self._playlists_of):
                yield first + middle, weights

    def weigh_ngrams(self, titles: Sequence[str | None]) -> sp.csr_matrix:
        """Return the weights of the n-grams of titles, float64 [n, G]: rows of length 1, or empty."""
        return self._weigh(self._count_ngrams([normalise_title(title or "") for title in titles]))

    def _count_ngrams(self, titles: Sequence[str]) -> sp.csr_matrix:
        """Count the known n-grams of normalised titles, float64 [len(titles), G]."""
        columns = [
            [self._columns[ngram] for ngram in list_ngrams(title, self._max_ngram) if ngram in self._columns]
            for title in titles
        ]
        rows = np.repeat(np.arange(len(titles)), [len(places) for places in columns])
        places = np.array([place for row in columns for place in row], np.int64)
        counts = sp.csr_matrix((np.ones(len(rows)), (rows, places)), shape=(len(titles), len(self._columns)))
        counts.sum_duplicates()
        return counts

    def _weigh(self, counts: sp.csr_matrix) -> sp.csr_matrix:
        """Multiply counts [m, G] by the n-grams' weights and bring rows to length 1; empty rows stay empty."""
        weighted = counts.copy()
        weighted.data *= self._ngram_weights[weighted.indices]
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        lengths = np.sqrt(np.bincount(rows, np.square(weighted.data), counts.shape[0]))
        weighted.data /= lengths[rows]
        return weighted


def normalise_title(title: str) -> str:
    """Bring a title into the form in which titles are compared.

    Compatibility forms are resolved (NFKC) and case is folded. Letters and digits, with the marks on them, make up the
    words. A symbol, such as an emoji, is a word of its own, without what varies its colour. All else parts words.

    Args:
        title: Any text.

    Returns:
        Words parted by single spaces; empty if there is none.
    """
    parts = []
    for character in unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", title).casefold()):
        kind = unicodedata.category(character)
        if kind[0] in "LN" or kind in ("Mn", "Mc"):
            parts.append("" if _is_variation_selector(character) else character)
        elif kind == "So":
            parts.append(f" {character} ")
        elif kind not in ("Cf", "Sk"):  # joiners and skin tones belong to an emoji; apostrophes to their word
            parts.append("" if character in "'\u2019" else " ")
    return " ".join("".join(parts).split())


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f"


def list_ngrams(title: str, max_ngram: int) -> list[str]:
    """List the n-grams of a normalised title: of each word with a space on both sides, 2 to ``max_ngram`` characters.

    A word that is longer than that counts once more as a whole.

    Args:
        title: From ``normalise_title``.
        max_ngram: 2 or more.
    """
    ngrams = []
    for word in title.split():
        padded = f" {word} "
        for size in range(SHORTEST_NGRAM, max_ngram + 1):
            ngrams += [padded[start : start + size] for start in range(len(padded) - size + 1)]
        if len(padded) > max_ngram:
            ngrams.append(padded)
    return ngrams


def _group_by_title(normalised: Sequence[str], known: Sequence[str]) -> sp.csr_matrix:
    """Build the matrix of ones where a playlist bears a known title, float64 [T, P]."""
    row_of = {title: row for row, title in enumerate(known)}
    titled = [place for place, title in enumerate(normalised) if title]
    rows = [row_of[normalised[place]] for place in titled]
    return sp.csr_matrix((np.ones(len(rows)), (rows, titled)), shape=(len(known), len(normalised)))


def _damp_lengths(memberships: sp.csr_matrix, power: float) -> sp.csr_matrix:
    """Divide each playlist's row [P, V] by the ``power`` of its number of tracks."""
    lengths = np.diff(memberships.indptr).astype(np.float64)
    damped = np.repeat(np.maximum(lengths, 1) ** -power, np.diff(memberships.indptr))
    return sp.csr_matrix((damped, memberships.indices, memberships.indptr), shape=memberships.shape)


def _scale_rows(matrix: sp.csr_matrix, power: float) -> sp.csr_matrix:
    """Divide positive values by the highest of their row and raise them to ``power``."""
    highest = matrix.max(axis=1).toarray().ravel()
    values = (matrix.data / np.repeat(highest, np.diff(matrix.indptr))) ** power
    return sp.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
