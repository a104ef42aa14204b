"""Wiring of the verify pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.verify.nodes import verify_submission


def create_pipeline() -> Pipeline:
    """Return the pipeline: a submission and the challenge set that it answers, to nothing but an answer."""
    return Pipeline(
        nodes=[
            Node(
                func=verify_submission,
                inputs={"submission": "submission", "challenge_set": "challenge_set"},
                outputs=None,
                name="verify_submission_node",
            ),
        ]
    )
