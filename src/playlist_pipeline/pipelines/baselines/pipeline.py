"""Wiring of the baselines pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines import evaluate
from playlist_pipeline.pipelines.baselines.nodes import (
    build_validation_cases,
    plot_tuning,
    rank_baselines,
    tune_baselines,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline: validation and test part to tuned baselines and their ranked lists."""
    test_cases = evaluate.create_pipeline().only_nodes("build_test_cases_node")
    return test_cases + Pipeline(
        nodes=[
            Node(
                func=build_validation_cases,
                inputs={
                    "playlists": "playlists",
                    "memberships": "memberships",
                    "tracks": "tracks",
                    "splits": "splits",
                    "vocabulary": "vocabulary",
                    "config": "params:evaluate",
                },
                outputs="validation_cases",
                name="build_validation_cases_node",
            ),
            Node(
                func=tune_baselines,
                inputs={
                    "sequences": "sequences@packed",
                    "vocabulary": "vocabulary",
                    "playlists": "playlists",
                    "validation_cases": "validation_cases",
                    "trial_store": "trial_store",
                    "config": "params:evaluate",
                    "baselines_config": "params:baselines",
                    "tuning_config": "params:tuning",
                },
                outputs=["tuning_trials", "tuning_report"],
                name="tune_baselines_node",
            ),
            Node(
                func=plot_tuning,
                inputs={"trials": "tuning_trials"},
                outputs="tuning_plot",
                name="plot_tuning_node",
            ),
            Node(
                func=rank_baselines,
                inputs={
                    "sequences": "sequences@packed",
                    "vocabulary": "vocabulary",
                    "playlists": "playlists",
                    "test_cases": "test_cases",
                    "tuning_report": "tuning_report",
                    "config": "params:evaluate",
                    "baselines_config": "params:baselines",
                },
                outputs="baseline_recommendations",
                name="rank_baselines_node",
            ),
        ]
    )
