"""Ranking metrics of playlist completion: one function per metric, vectorised over playlists.

Every metric takes two arrays, made once by [compute_hits][playlist_pipeline.evaluation.metrics.compute_hits]:

* ``hits``: bool [n, k]; ``hits[p, i]`` says whether entry ``i`` of playlist ``p``'s ranked list is in its truth.
  A list shorter than ``k`` is padded, and padding is never a hit.
* ``num_truth``: int [n]; how many withheld tracks the playlist has, those included that no list can hold
  because the vocabulary does not know them. It may exceed ``k``.

Those of ``ARTIST_METRICS`` take ``ArtistMatches`` as well.

Below, G is the truth, R the ranked list, and A(X) the set of the artists of X. All metrics return float64 [n] and
refuse an empty truth, for which none of them is defined.

R-precision and NDCG exist in several forms that give different figures. ``r_precision`` and ``ndcg@500`` are this
project's own; compare a published figure with the form that its source used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

PADDING = -1
LIST_LENGTH = 500
TRACKS_PER_CLICK = 10
ARTIST_CREDIT = 0.25


@dataclass(frozen=True, eq=False)
class ArtistMatches:
    """The artists of ranked lists, and whether the truth has them too.

    Attributes:
        artists: Each entry's artist, int32 [n, k], padded with -1.
        in_truth: Whether that artist is one of A(G), bool [n, k].
        num_truth: ``|A(G)|``, int [n].
    """

    artists: np.ndarray
    in_truth: np.ndarray
    num_truth: np.ndarray


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
    truth_keys = np.sort(np.repeat(np.arange(num_playlists), np.diff(truth_offsets)) * stride + truth + 1)
    keys = np.arange(num_playlists)[:, None] * stride + ranked + 1
    if not len(truth_keys):
        return np.zeros(ranked.shape, bool)
    # np.isin would hash all keys, which takes ten times as long.
    places = np.searchsorted(truth_keys, keys)
    return (truth_keys[np.minimum(places, len(truth_keys) - 1)] == keys) & (ranked != PADDING)


def count_artists(artists: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Count the different artists among some entries of each list.

    Args:
        artists: int32 [n, k].
        counted: Entries that count, bool [n, k]; padding must not be among them.

    Returns:
        int64 [n].
    """
    ordered = np.sort(np.where(counted, artists, PADDING), axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return (first & (ordered != PADDING)).sum(axis=1)


def _check(hits: np.ndarray, num_truth: np.ndarray, matches: ArtistMatches | None = None) -> None:
    if hits.ndim != 2 or num_truth.shape != hits.shape[:1]:
        raise ValueError(f"hits {hits.shape} and num_truth {num_truth.shape} do not describe the same playlists")
    if matches is not None and (matches.artists.shape != hits.shape or matches.num_truth.shape != num_truth.shape):
        raise ValueError(f"hits {hits.shape} and artists {matches.artists.shape} do not describe the same playlists")
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
    """Normalised discounted cumulative gain of the first ``k`` entries: a hit counts the more, the earlier it stands.

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
    return _sum_gains(used, discounts[: used.shape[1]]) / ideal


def r_precision_artist_credit(hits: np.ndarray, num_truth: np.ndarray, matches: ArtistMatches) -> np.ndarray:
    """R-precision with artist credit, as the winners of the RecSys Challenge 2018 computed it.

    Formula: walk the first ``m = min(|G|, 500)`` entries; a track of G adds 1, any other track adds 0.25 if its artist
    is one of A(G) and no entry before has been credited for that artist; divide the sum by m. A track of G does not
    use its artist's credit up. Bounds: 0 to 1. Empty list: 0.
    Source: layer6ai-labs/RecSys2018, EvaluatorRPrecisionArtist.java.

    Args:
        hits: bool [n, k].
        num_truth: int [n].
        matches: Artists of the same lists, by id.

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth, matches)
    cut = np.minimum(num_truth, LIST_LENGTH)
    within = np.arange(hits.shape[1]) < cut[:, None]
    credited = count_artists(matches.artists, within & ~hits & matches.in_truth)
    return ((hits & within).sum(axis=1) + ARTIST_CREDIT * credited) / cut


def r_precision_artist_share(hits: np.ndarray, num_truth: np.ndarray, matches: ArtistMatches) -> np.ndarray:
    """R-precision with the share of artists found, as the paper of Creamy Fireflies prints it.

    Formula: ``|G ∩ R[1:|G|]| / |G| + 0.25 |A(M) ∩ A(G)| / |A(G)|``, M being the entries of ``R[1:|G|]`` that are not in
    G. Bounds: 0 to less than 1.25; a perfect list has 1. Empty list: 0.
    Source: Antenucci et al. 2018, Artist-driven layering and user's behaviour impact on recommendations in a playlist
    continuation scenario, section 2.2. (The code that they published divides the credit by ``|G|``.)

    Args:
        hits: bool [n, k].
        num_truth: int [n].
        matches: Artists of the same lists, by id.

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth, matches)
    within = np.arange(hits.shape[1]) < num_truth[:, None]
    found = count_artists(matches.artists, within & ~hits & matches.in_truth)
    return r_precision(hits, num_truth) + ARTIST_CREDIT * found / matches.num_truth


def r_precision_deezer(hits: np.ndarray, num_truth: np.ndarray, matches: ArtistMatches) -> np.ndarray:
    """R-precision with artist credit over the whole list, as Deezer's evaluation computes it.

    Formula: ``(|G ∩ R[1:|G|]| + 0.25 |A(R[1:500]) ∩ A(G)|) / |G|``, artists by name. The credit looks at all 500
    entries, those in G too, so it exceeds the challenge's. Bounds: 0 to 1.25. Empty list: 0.
    Source: deezer/APC-RTA, src/evaluator.py (the paper, Bendada et al. 2023, does not say where the list is cut).

    Args:
        hits: bool [n, k].
        num_truth: int [n].
        matches: Artists of the same lists, by name.

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth, matches)
    listed = np.arange(hits.shape[1]) < LIST_LENGTH
    return (
        r_precision(hits, num_truth)
        + ARTIST_CREDIT * count_artists(matches.artists, listed & matches.in_truth) / num_truth
    )


def ndcg_rules(hits: np.ndarray, num_truth: np.ndarray) -> np.ndarray:
    """NDCG as the rules page of the RecSys Challenge 2018 prints it: it judges the order of the hits alone.

    Formula: ``DCG / IDCG`` over the first 500 entries, with ``DCG = hit_1 + Σ_{i≥2} hit_i / log2(i)``, and IDCG the
    same sum with all hits in front. Bounds: 0 to 1 (1 where the hits lead the list, however few). No hit: 0.
    Source: rules of the RecSys Challenge 2018.

    Args:
        hits: bool [n, k].
        num_truth: int [n].

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth)
    used = hits[:, :LIST_LENGTH]
    discounts = 1 / np.maximum(np.log2(np.arange(1, used.shape[1] + 1)), 1)
    found = used.sum(axis=1)
    ideals = np.concatenate([[1.0], np.cumsum(discounts)])  # by the number of hits; without any, DCG is 0 anyway
    return _sum_gains(used, discounts) / ideals[found]


def ndcg_deezer(hits: np.ndarray, num_truth: np.ndarray) -> np.ndarray:
    """NDCG as Deezer's evaluation computes it: its ideal is not cut at the length of the list.

    Formula: as ``ndcg`` over the first 500 entries, but IDCG sums over ranks ``1..|G|``. Bounds: 0 to 1 (1 only if
    ``|G|`` is at most 500). Empty list: 0. Source: deezer/APC-RTA, src/evaluator.py.

    Args:
        hits: bool [n, k].
        num_truth: int [n].

    Returns:
        float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    _check(hits, num_truth)
    used = hits[:, :LIST_LENGTH]
    ideals = np.cumsum(1 / np.log2(np.arange(2, max(num_truth.max(initial=0), LIST_LENGTH) + 2)))
    return _sum_gains(used, 1 / np.log2(np.arange(2, used.shape[1] + 2))) / ideals[num_truth - 1]


def _sum_gains(hits: np.ndarray, discounts: np.ndarray) -> np.ndarray:
    """Sum the discounts of the hits in the order of the list, so that a perfect list equals its ideal exactly."""
    gains = np.cumsum(np.where(hits, discounts, 0.0), axis=1)
    return gains[:, -1] if gains.shape[1] else np.zeros(len(hits))


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


def precision(hits: np.ndarray, num_truth: np.ndarray, *, k: int) -> np.ndarray:
    """Share of the first ``k`` entries that is in the truth.

    Formula: ``|G ∩ R[1:k]| / k``. A list shorter than ``k`` still counts as ``k`` entries. Bounds: 0 to
    ``min(1, |G| / k)``. Empty list: 0. Source: textbook; with k = 500 also Deezer's.

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
    return hits[:, :k].sum(axis=1) / k


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


MAIN_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "r_precision": r_precision,
        f"ndcg@{LIST_LENGTH}": ndcg,
        "clicks": clicks,
        f"recall@{LIST_LENGTH}": recall,
        **{f"f1@{k}": partial(f1, k=k) for k in (10, 50, 100, 200)},
    }
)
METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        **MAIN_METRICS,
        **{f"recall@{k}": partial(recall, k=k) for k in (10, 100)},
        **{f"precision@{k}": partial(precision, k=k) for k in (10, 100, LIST_LENGTH)},
        f"ndcg_rules@{LIST_LENGTH}": ndcg_rules,
        f"ndcg_deezer@{LIST_LENGTH}": ndcg_deezer,
    }
)
# What reports show first.
HEADLINE_METRICS = (f"ndcg@{LIST_LENGTH}", "r_precision")
ARTIST_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray, ArtistMatches], np.ndarray]] = MappingProxyType(
    {"r_precision_artist_credit": r_precision_artist_credit, "r_precision_artist_share": r_precision_artist_share}
)
ARTIST_NAME_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray, ArtistMatches], np.ndarray]] = MappingProxyType(
    {"r_precision_deezer": r_precision_deezer}
)


def compute_metrics(
    hits: np.ndarray,
    num_truth: np.ndarray,
    *,
    artists: ArtistMatches | None = None,
    artist_names: ArtistMatches | None = None,
) -> dict[str, np.ndarray]:
    """Compute all metrics for each playlist.

    Args:
        hits: bool [n, k].
        num_truth: int [n].
        artists: By id; without them ``ARTIST_METRICS`` are left out.
        artist_names: By name; without them ``ARTIST_NAME_METRICS`` are left out.

    Returns:
        Name of the metric to float64 [n].

    Raises:
        ValueError: Shapes differ, or a truth is empty.
    """
    values = {name: metric(hits, num_truth) for name, metric in METRICS.items()}
    if artists is not None:
        values |= {name: metric(hits, num_truth, artists) for name, metric in ARTIST_METRICS.items()}
    if artist_names is not None:
        values |= {name: metric(hits, num_truth, artist_names) for name, metric in ARTIST_NAME_METRICS.items()}
    return values
