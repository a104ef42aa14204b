"""Wiring of the generate pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.generate.nodes import choose_seeds, complete_playlists, show_playlists


def create_pipeline() -> Pipeline:
    """Return the pipeline: model and seeds to playlists."""
    return Pipeline(
        nodes=[
            Node(
                func=choose_seeds,
                inputs={
                    "seeds": "seeds",
                    "model": "model",
                    "sequences": "sequences@packed",
                    "config": "params:generate",
                },
                outputs="chosen_seeds",
                name="choose_seeds_node",
            ),
            Node(
                func=complete_playlists,
                inputs={
                    "seeds": "chosen_seeds",
                    "model": "model",
                    "reranker": "reranker",
                    "search_index": "search_index",
                    "database": "catalog_db",
                    "config": "params:generate",
                },
                outputs="generated_playlists",
                name="complete_playlists_node",
            ),
            Node(
                func=show_playlists,
                inputs={"playlists": "generated_playlists"},
                outputs=None,
                name="show_playlists_node",
            ),
        ]
    )
