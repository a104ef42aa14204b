"""Ranking metrics of playlist completion: one function per metric, vectorised over playlists.

Every metric takes two arrays, made once by [compute_hits][playlist_pipeline.evaluation.metrics.compute_hits]:

* ``hits``: bool [n, k]; ``hits[p, i]`` says whether entry ``i`` of playlist ``p``'s ranked list is in its truth.
  A list shorter than ``k`` is padded, and padding is never a hit.
* ``num_truth``: int [n]; how many withheld tracks the playlist has, those included that no list can hold
  because the vocabulary does not know them. It may exceed ``k``.

Below, G is the truth and R the ranked list. All metrics return float64 [n] and refuse an empty truth, for which
none of them is defined.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

PADDING = -1
LIST_LENGTH = 500
TRACKS_PER_CLICK = 10


def compute_hits(ranked: np.ndarray, truth_tokens: np.ndarray, truth_offsets: np.ndarray) -> np.ndarray:
    """Mark the entries of ranked lists that are in their playlist's truth.

    Args:
        ranked: Tokens, int32 [n, k], best first, padded with -1.
        truth_tokens: Known truth of all playlists, one after the other, int32 [m].
        truth_offsets: Playlist ``p`` owns ``truth_tokens[truth_offsets[p]:truth_offsets[p + 1]]``, int64 [n + 1].

    Returns:
        bool [n, k].

    Raises:
        ValueError: The number of playlists differs.
    """
    num_playlists = len(ranked)
    if len(truth_offsets) != num_playlists + 1:
        raise ValueError(f"{num_playlists} ranked lists for the truth of {len(truth_offsets) - 1} playlists")
    truth = truth_tokens[truth_offsets[0] : truth_offsets[-1]].astype(np.int64)
    # One number names a pair of playlist and token; token + 1 keeps the padding in range.
    stride = int(max(ranked.max(initial=0), truth.max(initial=0))) + 2
    truth_keys = np.repeat(np.arange(num_playlists), np.diff(truth_offsets)) * stride + truth + 1
    keys = np.arange(num_playlists)[:, None] * stride + ranked + 1
    return np.isin(keys, truth_keys) & (ranked != PADDING)


def _check(hits: np.ndarray, num_truth: np.ndarray) -> None:
    if hits.ndim != 2 or num_truth.shape != hits.shape[:1]:
        raise ValueError(f"hits {hits.shape} and num_truth {num_truth.shape} do not describe the same playlists")
    if (num_truth < 1).any():
        raise ValueError("a playlist without truth cannot be measured")


def r_precision(hits: np.ndarray, num_truth: np.ndarray) -> np.ndarray:
    """R-precision on tracks alone: the share of the truth among as many first entries.

    Formula: ``|G ∩ R[1:|G|]| / |G|``. A list shorter than ``|G|`` misses what it lacks.
    Bounds: 0 to 1 (1 only if the list has ``|G|`` entries or more). Empty list: 0.
    Source: rules of the RecSys Challenge 2018, without the artist credit.

    Args:
        hits: bool [n, k].
        num_truth: int [n].

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth)
    within = np.arange(hits.shape[1]) < num_truth[:, None]
    return (hits & within).sum(axis=1) / num_truth


def ndcg(hits: np.ndarray, num_truth: np.ndarray, *, k: int = LIST_LENGTH) -> np.ndarray:
    """Normalised discounted cumulative gain of the first ``k`` entries.

    Formula: ``DCG / IDCG`` with ``DCG = Σ_i hit_i / log2(i + 1)`` over ranks ``i = 1..k``, and IDCG the same sum over
    ranks ``1..min(|G|, k)``. Bounds: 0 to 1. Empty list: 0.
    Source: Järvelin and Kekäläinen 2002; the standard form, which the winners of the RecSys Challenge 2018 used (its
    rules page prints another one, with the ideal over the hits only).

    Args:
        hits: bool [n, length].
        num_truth: int [n].
        k: Entries that count.

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(num_truth, k) - 1]
    used = hits[:, :k]
    # Summed in the same order as the ideal, so that a perfect list gives exactly 1.
    gains = np.cumsum(np.where(used, discounts[: used.shape[1]], 0.0), axis=1)
    dcg = gains[:, -1] if gains.shape[1] else np.zeros(len(hits))
    return dcg / ideal


def clicks(hits: np.ndarray, num_truth: np.ndarray) -> np.ndarray:
    """How often a listener asks for ten more tracks before the first hit; lower is better.

    Formula: ``floor((rank of the first hit - 1) / 10)`` within 500 entries, and 51 if there is none.
    Bounds: 0 to 49, or 51. Empty list: 51. Source: rules of the RecSys Challenge 2018.

    Args:
        hits: bool [n, k].
        num_truth: int [n].

    Returns:
        float64 [n], whole numbers.

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth)
    used = hits[:, :LIST_LENGTH]
    if not used.shape[1]:
        return np.full(len(hits), LIST_LENGTH // TRACKS_PER_CLICK + 1.0)
    pages = used.argmax(axis=1) // TRACKS_PER_CLICK
    return np.where(used.any(axis=1), pages, LIST_LENGTH // TRACKS_PER_CLICK + 1).astype(np.float64)


def recall(hits: np.ndarray, num_truth: np.ndarray, *, k: int = LIST_LENGTH) -> np.ndarray:
    """Share of the truth among the first ``k`` entries.

    Formula: ``|G ∩ R[1:k]| / |G|``. Bounds: 0 to ``min(1, k / |G|)``. Empty list: 0. Source: textbook.

    Args:
        hits: bool [n, length].
        num_truth: int [n].
        k: Entries that count.

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth)
    return hits[:, :k].sum(axis=1) / num_truth


def f1(hits: np.ndarray, num_truth: np.ndarray, *, k: int) -> np.ndarray:
    """Harmonic mean of precision and recall at ``k``.

    Formula: with ``h = |G ∩ R[1:k]|``, the harmonic mean of ``h / k`` and ``h / |G|``, which is ``2h / (k + |G|)``.
    A list shorter than ``k`` still counts as ``k`` entries. Bounds: 0 to ``2 min(k, |G|) / (k + |G|)``, so 1 only
    where ``|G| = k``. No hit or empty list: 0. Source: van Rijsbergen 1979.

    Args:
        hits: bool [n, length].
        num_truth: int [n].
        k: Entries that count.

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth)
    return 2 * hits[:, :k].sum(axis=1) / (k + num_truth)


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "r_precision": r_precision,
        f"ndcg@{LIST_LENGTH}": ndcg,
        "clicks": clicks,
        f"recall@{LIST_LENGTH}": recall,
        **{f"f1@{k}": partial(f1, k=k) for k in (10, 50, 100, 200)},
    }
)


def compute_metrics(hits: np.ndarray, num_truth: np.ndarray) -> dict[str, np.ndarray]:
    """Compute all metrics of ``METRICS`` for each playlist.

    Args:
        hits: bool [n, k].
        num_truth: int [n].

    Returns:
        Name of the metric to float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    return {name: metric(hits, num_truth) for name, metric in METRICS.items()}
