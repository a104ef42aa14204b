"""What ranked lists are like apart from their hits: coverage, popularity, artist diversity; and recall by popularity.

Every function takes ``ranked``, int32 [n, k], tokens best first, padded with -1; of a system and a case. Without any
recommended track all of them give 0.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.metrics import LIST_LENGTH, PADDING, compute_hits, count_artists
from playlist_pipeline.evaluation.ragged import RaggedArray

FIRST_PAGE = 10
NUM_DECILES = 10
UNKNOWN = "unknown"


def coverage(ranked: np.ndarray, facts: TrackFacts, *, k: int) -> float:
    """Share of the vocabulary that is recommended to anyone.

    Formula: ``|union over playlists of R[1:k]| / number of tracks in the vocabulary``. Bounds: 0 to
    ``min(1, n k / tracks)``; it grows with the number of playlists n, so compare equal n alone.
    Source: Ge et al. 2010, catalog coverage; Deezer's is the same with k = 500 over all tracks of the dataset.

    Args:
        ranked: int32 [n, length].
        facts: Of the vocabulary.
        k: Entries that count.
    """
    first = ranked[:, :k]
    is_recommended = np.zeros(len(facts.counts), bool)
    is_recommended[first[first != PADDING]] = True
    return float(is_recommended.sum() / (len(facts.counts) - len(SPECIALS)))


def mean_training_count(ranked: np.ndarray, facts: TrackFacts, *, k: int = LIST_LENGTH) -> float:
    """Popularity bias as the mean training count of what is recommended.

    Formula: mean over playlists of the mean count of ``R[1:k]``. Bounds: the lowest to the highest count.
    Source: Abdollahpouri et al. 2019, average recommendation popularity.

    Args:
        ranked: int32 [n, length].
        facts: Of the vocabulary.
        k: Entries that count.
    """
    return _mean_over_lists(ranked[:, :k], facts.counts)


def mean_popularity_percentile(ranked: np.ndarray, facts: TrackFacts, *, k: int = LIST_LENGTH) -> float:
    """Popularity bias as the mean place of what is recommended among all tracks by training count.

    Formula: mean over playlists of the mean over ``R[1:k]`` of ``(tracks with a lower count + half of those with the
    same) / tracks``. Bounds: 0 to 1; tracks drawn uniformly from the vocabulary give 0.5 in the mean.
    Source: percentile rank, ties by half.

    Args:
        ranked: int32 [n, length].
        facts: Of the vocabulary.
        k: Entries that count.
    """
    counts = facts.counts[len(SPECIALS) :]
    ordered = np.sort(counts)
    places = np.searchsorted(ordered, counts, "left") + np.searchsorted(ordered, counts, "right")
    percentiles = np.concatenate([np.zeros(len(SPECIALS)), places / (2 * len(counts))])
    return _mean_over_lists(ranked[:, :k], percentiles)


def popularity_deezer(ranked: np.ndarray, facts: TrackFacts, *, k: int = LIST_LENGTH) -> float:
    """Popularity bias as Deezer's evaluation computes it.

    Formula: mean over playlists of the mean over ``R[1:k]`` of ``(count - min) / (max - min)``, min and max over the
    vocabulary. Bounds: 0 to 1; 0 where all counts are equal.
    Source: deezer/APC-RTA, src/evaluator.py; its counts are of all playlists, test ones too, here of training ones.

    Args:
        ranked: int32 [n, length].
        facts: Of the vocabulary.
        k: Entries that count.
    """
    counts = facts.counts[len(SPECIALS) :]
    span = max(int(counts.max() - counts.min()), 1)
    return _mean_over_lists(ranked[:, :k], (facts.counts - counts.min()) / span)


def distinct_artists(ranked: np.ndarray, facts: TrackFacts, *, k: int) -> float:
    """Artist diversity: how many different artists a list has.

    Formula: mean over playlists of ``|A(R[1:k])|``. Bounds: 1 to k for lists that are not empty.
    Source: textbook (aggregate of distinct attribute values).

    Args:
        ranked: int32 [n, length].
        facts: Of the vocabulary.
        k: Entries that count.
    """
    first = ranked[:, :k]
    return float(np.mean(count_artists(facts.artists[first], first != PADDING))) if len(first) else 0.0


def _mean_over_lists(ranked: np.ndarray, values: np.ndarray) -> float:
    """Average ``values`` [V] over each list, then over the lists that are not empty."""
    listed = ranked != PADDING
    lengths = listed.sum(axis=1)
    sums = np.where(listed, values[ranked], 0).sum(axis=1)
    return float(np.mean(sums[lengths > 0] / lengths[lengths > 0])) if lengths.any() else 0.0


BEYOND_ACCURACY: Mapping[str, Callable[[np.ndarray, TrackFacts], float]] = MappingProxyType(
    {
        f"coverage@{FIRST_PAGE}": partial(coverage, k=FIRST_PAGE),
        f"coverage@{LIST_LENGTH}": partial(coverage, k=LIST_LENGTH),
        f"training_count@{LIST_LENGTH}": mean_training_count,
        f"popularity_percentile@{LIST_LENGTH}": mean_popularity_percentile,
        f"popularity_deezer@{LIST_LENGTH}": popularity_deezer,
        f"artists@{FIRST_PAGE}": partial(distinct_artists, k=FIRST_PAGE),
        f"artists@{LIST_LENGTH}": partial(distinct_artists, k=LIST_LENGTH),
    }
)


def compute_beyond_accuracy(ranked: np.ndarray, facts: TrackFacts) -> dict[str, float]:
    """Compute all figures of ``BEYOND_ACCURACY``."""
    return {name: figure(ranked, facts) for name, figure in BEYOND_ACCURACY.items()}


def find_deciles(counts: np.ndarray) -> np.ndarray:
    """Part tracks into ten groups of equal weight in training: group 1 has the most popular, 10 the rarest.

    Tracks in the order of falling count, ties by token, fill the groups: a track belongs to group
    ``1 + floor(10 (occurrences of the tracks before it + half its own) / all occurrences)``. So each group stands for a
    tenth of what playlists hold, and does not depend on the test part; group 1 is few tracks, group 10 most of them.

    Args:
        counts: Training counts, int64 [V].

    Returns:
        int64 [V], 0 for special tokens.
    """
    tokens = np.arange(len(SPECIALS), len(counts))
    tokens = tokens[np.argsort(-counts[tokens], kind="stable")]
    before = np.cumsum(counts[tokens]) - counts[tokens]
    deciles = np.zeros(len(counts), np.int64)
    # In whole numbers: (before + count / 2) / total * 10, rounded down.
    deciles[tokens] = 1 + (2 * before + counts[tokens]) * NUM_DECILES // (2 * max(int(counts.sum()), 1))
    return deciles


def compute_decile_recalls(
    ranked: np.ndarray, truth: RaggedArray, num_truth: np.ndarray, facts: TrackFacts, *, k: int = LIST_LENGTH
) -> dict[str, dict[str, float | int | None]]:
    """Compute the recall of the truth by the popularity of its tracks.

    Formula: of all withheld tracks of a group (see ``find_deciles``), over all playlists together, the share that
    stands in its playlist's first k entries. Bounds: 0 to 1. Without withheld tracks in a group: None.
    Withheld tracks that the vocabulary lacks are a group of their own, ``unknown``, whose recall is 0.

    Args:
        ranked: int32 [n, length], no track twice in a list.
        truth: Known truth of each playlist.
        num_truth: int [n], unknown truth included.
        facts: Of the vocabulary.
        k: Entries that count.

    Returns:
        Group, ``1`` to ``10`` and ``unknown``, to ``recall`` and ``truth``, its number of withheld tracks.
    """
    first = ranked[:, :k]
    found = first[compute_hits(first, truth.values, truth.offsets)]
    groups = find_deciles(facts.counts)
    totals = np.bincount(groups[truth.values], minlength=NUM_DECILES + 1)
    hits = np.bincount(groups[found], minlength=NUM_DECILES + 1)
    recalls: dict[str, dict[str, float | int | None]] = {
        str(group): {"recall": _divide(hits[group], totals[group]), "truth": int(totals[group])}
        for group in range(1, NUM_DECILES + 1)
    }
    num_unknown = int(num_truth.sum()) - len(truth.values)
    return recalls | {UNKNOWN: {"recall": _divide(0, num_unknown), "truth": num_unknown}}


def _divide(count: int, total: int) -> float | None:
    return float(count / total) if total else None
