"""Wiring of the rerank pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.rerank.nodes import fit_reranker


def create_pipeline() -> Pipeline:
    """Return the pipeline: training playlists to the second stage."""
    return Pipeline(
        nodes=[
            Node(
                func=fit_reranker,
                inputs={
                    "sequences": "sequences@packed",
                    "vocabulary": "vocabulary",
                    "side_information": "side_information",
                    "artists": "artists",
                    "playlists": "playlists",
                    "model_config": "params:model",
                    "train_config": "params:train",
                    "config": "params:rerank",
                },
                outputs=["reranker", "reranking_history"],
                name="fit_reranker_node",
            )
        ]
    )
