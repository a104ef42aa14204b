"""Systems that the model is measured against, by name.

A system has ``rank(seeds, k, *, titles=None)``: for each playlist the k best continuations; see ``Ranker``.
"""

from collections.abc import Callable, Iterable
from typing import Any

from playlist_pipeline.config import BaselinesConfig
from playlist_pipeline.evaluation.baselines.factors import ALS, BPR
from playlist_pipeline.evaluation.baselines.neighbours import ItemKNN, PlaylistKNN, TitleKNN
from playlist_pipeline.evaluation.baselines.popularity import Popularity
from playlist_pipeline.evaluation.baselines.ranking import Ranker, TrainingPlaylists
from playlist_pipeline.evaluation.baselines.skip_gram import SkipGram

# Name to what makes the system of training data, settings and a seed of what is random in it.
MAKERS: dict[str, Callable[[TrainingPlaylists, Any, int], Ranker]] = {
    "popularity": lambda data, settings, seed: Popularity(data.vocabulary),
    "title_knn": lambda data, settings, seed: TitleKNN(data, settings),
    "item_knn": lambda data, settings, seed: ItemKNN(data, settings),
    "playlist_knn": lambda data, settings, seed: PlaylistKNN(data, settings),
    "als": lambda data, settings, seed: ALS(data, settings, seed=seed),
    "bpr": lambda data, settings, seed: BPR(data, settings, seed=seed),
    "skip_gram": lambda data, settings, seed: SkipGram(data, settings, seed=seed),
}


def fit_baselines(names: Iterable[str], data: TrainingPlaylists, config: BaselinesConfig) -> dict[str, Ranker]:
    """Fit systems to the training part.

    Args:
        names: Of ``MAKERS``.
        data: Training part.
        config: Settings of each system, and the seed.

    Returns:
        Name to system, in the order of ``names``.

    Raises:
        UserError: A system's package is not installed.
    """
    return {name: MAKERS[name](data, config.settings_of(name), config.seed) for name in names}


__all__ = [
    "ALS",
    "BPR",
    "MAKERS",
    "ItemKNN",
    "PlaylistKNN",
    "Popularity",
    "Ranker",
    "SkipGram",
    "TitleKNN",
    "TrainingPlaylists",
    "fit_baselines",
]
