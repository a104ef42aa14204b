"""Wiring of the challenge pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.challenge.nodes import build_submission, check_submission, rank_challenge


def create_pipeline() -> Pipeline:
    """Return the pipeline: model and challenge set to a submission that keeps the rules."""
    return Pipeline(
        nodes=[
            Node(
                func=rank_challenge,
                inputs={"challenge_set": "challenge_set", "model": "model", "reranker": "reranker"},
                outputs="challenge_rankings",
                name="rank_challenge_node",
            ),
            Node(
                func=build_submission,
                inputs={"challenge_rankings": "challenge_rankings", "config": "params:challenge"},
                outputs="submission",
                name="build_submission_node",
            ),
            Node(
                func=check_submission,
                inputs={
                    "submission": "submission",
                    "challenge_set": "challenge_set",
                    "challenge_rankings": "challenge_rankings",
                },
                outputs="submission_report",
                name="check_submission_node",
            ),
        ]
    )
