"""Wiring of the index pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.index.nodes import build_index


def create_pipeline() -> Pipeline:
    """Return the pipeline: model to search index."""
    return Pipeline(
        nodes=[
            Node(
                func=build_index,
                inputs={"model": "model", "config": "params:index"},
                outputs="search_index",
                name="build_index_node",
            )
        ]
    )
