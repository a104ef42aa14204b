"""Wiring of the train pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.train.nodes import plot_training, train_model


def create_pipeline() -> Pipeline:
    """Return the pipeline: sequences to a model and its training curve."""
    return Pipeline(
        nodes=[
            Node(
                func=train_model,
                inputs={
                    "sequences": "sequences@source",
                    "vocabulary": "vocabulary",
                    "side_information": "side_information",
                    "checkpoints": "checkpoints",
                    "model_config": "params:model",
                    "train_config": "params:train",
                },
                outputs=["model", "training_history", "training_report"],
                name="train_model_node",
            ),
            Node(
                func=plot_training,
                inputs={"history": "training_history"},
                outputs="training_plot",
                name="plot_training_node",
            ),
        ]
    )
