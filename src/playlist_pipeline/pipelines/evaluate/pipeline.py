"""Wiring of the evaluate pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.evaluate.nodes import (
    build_test_cases,
    compute_metrics,
    measure_test_loss,
    plot_quality,
    rank_tracks,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline: model and baselines to metrics on the test part."""
    return Pipeline(
        nodes=[
            Node(
                func=build_test_cases,
                inputs={
                    "playlists": "playlists",
                    "memberships": "memberships",
                    "tracks": "tracks",
                    "splits": "splits",
                    "vocabulary": "vocabulary",
                    "config": "params:evaluate",
                },
                outputs=["test_cases", "test_cases_report"],
                name="build_test_cases_node",
            ),
            Node(
                func=rank_tracks,
                inputs={
                    "model": "model",
                    "reranker": "reranker",
                    "sequences": "sequences@packed",
                    "playlists": "playlists",
                    "test_cases": "test_cases",
                    "config": "params:evaluate",
                    "baselines_config": "params:baselines",
                },
                outputs="recommendations",
                name="rank_tracks_node",
            ),
            Node(
                func=measure_test_loss,
                inputs={"model": "model", "sequences": "sequences@packed", "config": "params:evaluate"},
                outputs="test_loss",
                name="measure_test_loss_node",
            ),
            Node(
                func=compute_metrics,
                inputs={
                    "test_cases": "test_cases",
                    "recommendations": "recommendations",
                    "test_loss": "test_loss",
                    "vocabulary": "vocabulary",
                    "side_information": "side_information",
                    "artists": "artists",
                    "config": "params:evaluate",
                },
                outputs="metrics",
                name="compute_metrics_node",
            ),
            Node(
                func=plot_quality,
                inputs={"metrics": "metrics"},
                outputs="quality_plot",
                name="plot_quality_node",
            ),
        ]
    )
