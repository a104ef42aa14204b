"""Nodes of the generate pipeline.

JAX is imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

from playlist_pipeline.config import GenerateConfig
from playlist_pipeline.corpus.database import Database
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.vocabulary import SPECIALS


def choose_seeds(seeds: list[list[str]], model: Any, sequences: SequenceStore, config: GenerateConfig) -> list[Any]:
    """Take the seeds from the parameters, else from the seeds file, else from test playlists.

    Args:
        seeds: What the seeds file holds.
        model: The trained ``LoadedModel``.
        sequences: The packed sequences, whose test part gives the examples.
        config: May name seeds itself.

    Returns:
        One list of seeds for each playlist to complete.
    """
    if config.seeds or seeds:
        return [list(given) for given in config.seeds or seeds]
    test = sequences.source("test", model.vocabulary)
    examples = [test[index] for index in range(min(config.num_examples, len(test)))]
    known = [tokens[tokens >= len(SPECIALS)][: config.num_example_seeds] for tokens in examples]
    return [*(model.vocabulary.decode(tokens) for tokens in known), []]


def complete_playlists(
    seeds: list[list[str]], model: Any, reranker: Any, database: Database, config: GenerateConfig
) -> list[dict[str, Any]]:
    """Complete a playlist from each list of seeds.

    Args:
        seeds: Track URIs or texts.
        model: The trained ``LoadedModel``.
        reranker: The ``RerankerState`` of the second stage.
        database: The catalog, for names.
        config: Titles, random seed and controls.

    Returns:
        The playlists with the names of their tracks.
    """
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    recommender = Recommender(model, reranker=reranker, database=database)
    names = [*config.names, *[None] * len(seeds)][: len(seeds)]
    playlists = recommender.complete_many(seeds, names=names, seed=config.seed, **config.controls.to_dict())
    return [playlist.to_dict() for playlist in playlists]


def show_playlists(playlists: list[dict[str, Any]]) -> None:
    """Print the playlists as tables.

    Args:
        playlists: What ``complete_playlists`` returned.
    """
    from playlist_pipeline.generation.export import show_playlists as show  # noqa: PLC0415

    show(playlists)
