"""Names that reports print for systems, metrics and cases."""

from types import MappingProxyType

from playlist_pipeline.evaluation.protocols import CHALLENGE

SYSTEM_NAMES = MappingProxyType(
    {
        "transformer": "transformer alone",
        "title_knn": "title-kNN",
        "item_knn": "item-kNN",
        "playlist_knn": "playlist-kNN",
        "als": "ALS",
        "bpr": "BPR",
        "skip_gram": "skip-gram",
        "sasrec": "SASRec",
        "esasrec": "eSASRec",
    }
)
METRIC_NAMES = MappingProxyType({"r_precision": "R-precision", "ndcg": "NDCG", "f1": "F1"})
# Of these metrics a lower value is better.
LOWER_IS_BETTER = frozenset({"clicks"})


def name_system(system: str) -> str:
    """Return a system's name in print; its own where it has no other."""
    return SYSTEM_NAMES.get(system, system)


def name_metric(metric: str) -> str:
    """Return a metric's name in print, such as ``NDCG@500`` of ``ndcg@500``."""
    stem, at, k = metric.partition("@")
    return METRIC_NAMES.get(stem, stem) + at + k


def name_case(protocol: str, case: str) -> str:
    """Return a case's name in print, such as ``5 seeds`` of ``first_k``'s case ``5``."""
    if protocol == CHALLENGE or not case.isdecimal():
        return case
    return f"{case} seed" if case == "1" else f"{case} seeds"
