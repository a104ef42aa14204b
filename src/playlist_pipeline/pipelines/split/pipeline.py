"""Wiring of the split pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.split.nodes import split_playlists


def create_pipeline() -> Pipeline:
    """Return the pipeline: playlists to their parts."""
    return Pipeline(
        nodes=[
            Node(
                func=split_playlists,
                inputs={"playlists": "playlists", "config": "params:split"},
                outputs=["splits", "split_report"],
                name="split_playlists_node",
            ),
        ]
    )
