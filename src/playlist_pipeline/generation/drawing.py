"""The next track of a playlist, drawn from candidates under its controls."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from playlist_pipeline.config import Controls
from playlist_pipeline.corpus.vocabulary import UNK, read_stand_ins
from playlist_pipeline.generation.search import PADDING

End = Literal["length", "eop", "vocabulary"]
SMALLEST_TEMPERATURE = 1e-100  # as good as none, and quotients stay within float64


@dataclass(frozen=True, eq=False)
class TrackTraits:
    """What controls look at, by token; V tokens.

    Attributes:
        counts: int64 [V], training counts.
        vectors: float32 [V, D], the table that scores tracks.
        artists: int32 [V], number of the artist, 0 for an unknown one; None if nothing is known.
        albums: The same of albums.
        find_song: Names a token's song; tracks with the same name are versions of it. None for an unknown one.
    """

    counts: np.ndarray
    vectors: np.ndarray
    artists: np.ndarray | None = None
    albums: np.ndarray | None = None
    find_song: Callable[[int], Hashable] | None = None


@dataclass(frozen=True)
class Continuation:
    """What is added to a playlist.

    Attributes:
        tokens: int32 ``[n]``, the new tracks in order.
        ended_by: ``length`` (full), ``eop`` (the model ended it) or ``vocabulary`` (no track was left).
    """

    tokens: np.ndarray
    ended_by: End


class Drawer:
    """Draws track after track of one playlist; no track twice. A longer playlist begins like a shorter one.

    Args:
        given: int32 [n], the seeds' tokens; ``<unk>`` and stand-ins allowed.
        controls: What the user asks.
        traits: What is known of tracks.
        seed: Of the drawing.
        songs: The seeds' songs, as ``traits`` names them.

    Attributes:
        tokens: The tracks of the playlist so far, the given ones first.
        ended_by: None as long as another track is wanted.
    """

    def __init__(
        self, given: np.ndarray, controls: Controls, traits: TrackTraits, *, seed: int, songs: Iterable[Hashable] = ()
    ) -> None:
        self.tokens = [int(token) for token in given]
        self.ended_by: End | None = "length" if len(given) >= controls.length else None
        self._num_given = len(given)
        self._controls, self._traits = controls, traits
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._limits = [
            (numbers, limit, Counter[int]())
            for numbers, limit in ((traits.artists, controls.max_per_artist), (traits.albums, controls.max_per_album))
            if numbers is not None and limit is not None
        ]
        self._songs: set[Hashable] = set(songs)
        known = read_stand_ins(np.asarray(given, np.int64))
        self._rejected: set[int] = {int(token) for token in given if token >= 0}
        self._newly_rejected: list[int] = []
        self._candidates: np.ndarray | None = None
        self._is_rejected = np.empty(0, bool)
        for token in known[known != UNK]:
            self._count(int(token))

    @property
    def continuation(self) -> Continuation:
        """What was drawn so far."""
        return Continuation(np.array(self.tokens[self._num_given :], np.int32), self.ended_by or "length")

    def draw(self, tokens: np.ndarray, scores: np.ndarray, eop_logit: float = -np.inf) -> bool:
        """Add one track, or end the playlist.

        Args:
            tokens: int32 [n], candidates, best first; what the playlist holds already and -1 are passed over.
            scores: float32 [n], their logits.
            eop_logit: Logit of the playlist's end, which is one more candidate.

        Returns:
            False if no candidate was left: give more of them, or call :meth:`exhaust`.
        """
        logits = self._adjust(tokens, scores)
        while True:
            best = np.argsort(-logits, kind="stable")[: self._controls.top_k]
            best = best[np.isfinite(logits[best])]
            if not len(best):
                return False
            place = self._choose(np.append(logits[best], eop_logit))
            if place == len(best):
                self.ended_by = "eop"
                return True
            token = int(tokens[best[place]])
            if not self._repeats_song(token):
                self._add(token)
                return True
            logits[best[place]] = -np.inf

    def exhaust(self) -> None:
        """End the playlist as there are no more tracks."""
        self.ended_by = "vocabulary"

    def _choose(self, logits: np.ndarray) -> int:
        """Return a place, drawn by the softmax of the ``top_k`` best logits."""
        best = np.argsort(-logits, kind="stable")[: self._controls.top_k]
        best = best[np.isfinite(logits[best])]
        weights = np.exp((logits[best] - logits[best[0]]) / max(self._controls.temperature, SMALLEST_TEMPERATURE))
        ends = weights.cumsum()
        return int(best[ends[:-1].searchsorted(self._random.random() * ends[-1], side="right")])

    def _adjust(self, tokens: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Return the logits under penalty and diversity, -inf for tracks that may not be added."""
        is_open = np.isfinite(scores) & (tokens != PADDING) & ~self._find_rejected(tokens)
        for numbers, limit, counts in self._limits:
            full = [number for number, count in counts.items() if number and count >= limit]
            is_open &= ~np.isin(numbers[tokens], full)
        logits = scores.astype(np.float64)
        if self._controls.popularity_penalty:
            logits -= self._controls.popularity_penalty * np.log1p(self._traits.counts[tokens])
        if self._controls.diversity and is_open.any():
            logits[is_open] = self._diversify(logits[is_open], tokens[is_open])
        return np.where(is_open, logits, -np.inf)

    def _find_rejected(self, tokens: np.ndarray) -> np.ndarray:
        """Return which candidates may not be drawn; for the same candidates again, only what is new is looked up."""
        if tokens is not self._candidates:
            self._candidates = tokens
            # For so few, quicker than np.isin.
            self._is_rejected = np.fromiter(map(self._rejected.__contains__, tokens.tolist()), bool, len(tokens))
        else:
            for token in self._newly_rejected:
                self._is_rejected |= tokens == token
        self._newly_rejected.clear()
        return self._is_rejected

    def _reject(self, token: int) -> None:
        """Let a track not be drawn again."""
        self._rejected.add(token)
        self._newly_rejected.append(token)

    def _diversify(self, logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Mix logits with unlikeness to the playlist, both in units of their deviation: maximal marginal relevance.

        Source: Carbonell and Goldstein, SIGIR 1998.
        """
        own = read_stand_ins(np.array(self.tokens, np.int64))
        own = own[own != UNK]
        if not len(own):
            return logits
        likeness = (_normalise(self._traits.vectors[tokens]) @ _normalise(self._traits.vectors[own]).T).max(axis=1)
        share, deviation = self._controls.diversity, logits.std() or 1.0
        unlikeness = (likeness.mean() - likeness) / (likeness.std() or 1.0)
        return (1 - share) * logits + share * deviation * unlikeness

    def _repeats_song(self, token: int) -> bool:
        """Return whether a version of the song is in the playlist; if so, the track is not asked about again."""
        if not self._controls.unique_songs or self._traits.find_song is None:
            return False
        song = self._traits.find_song(token)
        if song in self._songs:
            self._reject(token)
            return True
        self._songs |= {song} - {None}
        return False

    def _add(self, token: int) -> None:
        self.tokens.append(token)
        self._reject(token)
        self._count(token)
        if len(self.tokens) >= self._controls.length:
            self.ended_by = "length"

    def _count(self, token: int) -> None:
        for numbers, _, counts in self._limits:
            counts[int(numbers[token])] += 1


def arrange_by_likeness(vectors: np.ndarray) -> list[int]:
    """Order tracks so that each is followed by the one most like it among those left, from the first on.

    Args:
        vectors: float32 [n, D].

    Returns:
        Their places in the new order.
    """
    likeness = _normalise(vectors) @ _normalise(vectors).T
    order, left = [0] if len(vectors) else [], list(range(1, len(vectors)))
    while left:
        order.append(left.pop(int(np.argmax(likeness[order[-1], left]))))
    return order


def _normalise(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [n, D] of length 1; zeros stay zeros."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
