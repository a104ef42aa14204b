"""Track vectors learned by skip-gram, with playlists as sentences: the neural item-item model.

Shape letters: n playlists to continue, V vocabulary, D dimensions.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from playlist_pipeline.config import SkipGramSettings
from playlist_pipeline.corpus.sequences import Playlists
from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.baselines.factors import VectorRanker, average_vectors
from playlist_pipeline.evaluation.baselines.ranking import TrainingPlaylists


class SkipGram(VectorRanker):
    """gensim's skip-gram with negative sampling; next tracks are the nearest to the mean of the seeds.

    A playlist is a sentence, its known tracks in their order are the words. Tracks that occur less than ``min_count``
    times have no vector: they say nothing, and are recommended only where a list needs filling. A track's score is the
    inner product of the mean of the seeds' vectors and its own. Which vectors says ``similarity``: ``cosine``, the
    input vectors of both at length 1; ``dot``, the input vectors of both as they are; ``in_out``, the input vectors of
    the seeds and the output vector of the track, whose product skip-gram learns. Training runs in one thread, as
    several would make its result depend on their timing.

    Args:
        data: Training part.
        settings: See ``SkipGramSettings``.
        seed: Of the first vectors and of what is drawn.

    Raises:
        UserError: gensim is not installed, or no track is frequent enough.

    Source: Mikolov et al. 2013; Barkan and Koenigstein 2016 (item2vec).
    """

    def __init__(self, data: TrainingPlaylists, settings: SkipGramSettings, *, seed: int) -> None:
        try:
            from gensim.models import Word2Vec  # noqa: PLC0415
        except ImportError as error:
            raise UserError(
                "the baseline skip_gram needs the package gensim: install playlist_pipeline[baselines]"
            ) from error
        if (highest := int(data.vocabulary.counts.max())) < settings.min_count:
            raise UserError(
                f"baselines.skip_gram.min_count = {settings.min_count} leaves no track: the most frequent one occurs "
                f"{highest} times in the training part; give a smaller min_count"
            )
        model = Word2Vec(
            _Sentences(data.sequences),
            sg=1,
            min_count=settings.min_count,
            vector_size=settings.vector_size,
            window=settings.window,
            negative=settings.negative,
            ns_exponent=settings.ns_exponent,
            sample=0,
            alpha=settings.learning_rate,
            epochs=settings.epochs,
            workers=1,
            seed=seed,
        )
        tokens = np.array([int(word) for word in model.wv.index_to_key])
        inputs = np.zeros((len(data.vocabulary), settings.vector_size), np.float32)
        inputs[tokens] = model.wv.vectors
        if settings.similarity == "cosine":
            inputs[tokens] /= np.linalg.norm(inputs[tokens], axis=1, keepdims=True)
        outputs = inputs
        if settings.similarity == "in_out":
            outputs = np.zeros_like(inputs)
            outputs[tokens] = model.syn1neg
        self._inputs = inputs
        super().__init__(data.vocabulary, outputs, tokens=tokens)

    def embed_playlists(self, seeds: sp.csr_matrix) -> np.ndarray:
        """Average the seeds' input vectors; see ``VectorRanker.embed_playlists``."""
        return average_vectors(seeds, self._inputs)


class _Sentences:
    """Playlists as gensim reads them, again and again: lists of words, a track's word being its token's digits."""

    def __init__(self, playlists: Playlists) -> None:
        self._playlists = playlists

    def __iter__(self) -> Iterator[list[str]]:
        for index in range(len(self._playlists)):
            tokens = self._playlists[index]
            yield [str(token) for token in tokens[tokens >= len(SPECIALS)].tolist()]
