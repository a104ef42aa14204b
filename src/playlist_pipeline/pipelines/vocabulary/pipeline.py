"""Wiring of the vocabulary pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.vocabulary.nodes import build_vocabulary, encode_playlists


def create_pipeline() -> Pipeline:
    """Return the pipeline: training playlists to the vocabulary, all playlists to sequences."""
    return Pipeline(
        nodes=[
            Node(
                func=build_vocabulary,
                inputs={
                    "memberships": "memberships",
                    "tracks": "tracks",
                    "splits": "splits",
                    "config": "params:vocabulary",
                },
                outputs=["vocabulary", "vocabulary_report"],
                name="build_vocabulary_node",
            ),
            Node(
                func=encode_playlists,
                inputs={
                    "memberships": "memberships",
                    "tracks": "tracks",
                    "splits": "splits",
                    "vocabulary": "vocabulary",
                },
                outputs="sequences@packed",
                name="encode_playlists_node",
            ),
        ]
    )
