"""Nodes of the generate pipeline.

JAX is imported inside the functions: Kedro imports this module on every command.
"""

from typing import Any

from playlist_pipeline.config import GenerateConfig
from playlist_pipeline.corpus.database import Database
from playlist_pipeline.corpus.sequences import SequenceStore
from playlist_pipeline.corpus.vocabulary import SPECIALS


def choose_seeds(
    seeds: list[Any], model: Any, sequences: SequenceStore, config: GenerateConfig
) -> list[dict[str, Any]]:
    """Take the seeds from the parameters, else from the seeds file, else from test playlists.

    Args:
        seeds: The ``SeedList`` of each playlist of the seeds file.
        model: The trained ``LoadedModel``.
        sequences: The packed sequences, whose test part gives the examples.
        config: May name seeds and titles itself.

    Returns:
        For each playlist to complete its ``name``, None where there is none, and its ``seeds``.
    """
    if config.seeds:
        names = [*config.names, *[None] * len(config.seeds)]
        return [{"name": name, "seeds": list(given)} for name, given in zip(names, config.seeds, strict=False)]
    if seeds:
        return [{"name": given.name, "seeds": list(given.seeds)} for given in seeds]
    test = sequences.source("test", model.vocabulary)
    examples = [test[index] for index in range(min(config.num_examples, len(test)))]
    known = [tokens[tokens >= len(SPECIALS)][: config.num_example_seeds] for tokens in examples]
    chosen = [*(model.vocabulary.decode(tokens) for tokens in known), []]
    return [{"name": None, "seeds": given} for given in chosen]


def complete_playlists(
    seeds: list[dict[str, Any]],
    model: Any,
    reranker: Any,
    search_index: Any,
    database: Database,
    config: GenerateConfig,
) -> list[dict[str, Any]]:
    """Complete a playlist from each list of seeds.

    Args:
        seeds: Names and seeds, which are track URIs, links or texts.
        model: The trained ``LoadedModel``.
        reranker: The ``RerankerState`` of the second stage.
        search_index: The ``SearchIndex``.
        database: The catalog, for names.
        config: Random seed and controls.

    Returns:
        The playlists with the names of their tracks.
    """
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    recommender = Recommender(model, reranker=reranker, index=search_index, database=database)
    playlists = recommender.complete_many(
        [given["seeds"] for given in seeds],
        names=[given["name"] for given in seeds],
        seed=config.seed,
        **config.controls.to_dict(),
    )
    return [playlist.to_dict() for playlist in playlists]


def show_playlists(playlists: list[dict[str, Any]]) -> None:
    """Print the playlists as tables.

    Args:
        playlists: What ``complete_playlists`` returned.
    """
    from playlist_pipeline.generation.export import show_playlists as show  # noqa: PLC0415

    show(playlists)
