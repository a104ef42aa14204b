"""Wiring of the tune pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines import baselines
from playlist_pipeline.pipelines.tune.nodes import plot_model_tuning, tune_model


def create_pipeline() -> Pipeline:
    """Return the pipeline: validation part to the model's trials, and the settings that were best."""
    validation_cases = baselines.create_pipeline().only_nodes("build_validation_cases_node")
    return validation_cases + Pipeline(
        nodes=[
            Node(
                func=tune_model,
                inputs={
                    "sequences": "sequences@packed",
                    "vocabulary": "vocabulary",
                    "side_information": "side_information",
                    "artists": "artists",
                    "playlists": "playlists",
                    "validation_cases": "validation_cases",
                    "trial_store": "trial_store",
                    "model_config": "params:model",
                    "train_config": "params:train",
                    "rerank_config": "params:rerank",
                    "config": "params:evaluate",
                    "tuning_config": "params:tuning",
                },
                outputs=["model_tuning_trials", "model_tuning_report"],
                name="tune_model_node",
            ),
            Node(
                func=plot_model_tuning,
                inputs={"trials": "model_tuning_trials"},
                outputs="model_tuning_plot",
                name="plot_model_tuning_node",
            ),
        ]
    )
