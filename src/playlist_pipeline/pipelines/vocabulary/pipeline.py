"""Wiring of the vocabulary pipeline."""

from kedro.pipeline import Node, Pipeline

from playlist_pipeline.pipelines.vocabulary.nodes import (
    build_side_information,
    build_vocabulary,
    encode_playlists,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline: to the vocabulary, what is known of its tracks, and the sequences."""
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
                func=build_side_information,
                inputs={"tracks": "tracks", "albums": "albums", "artists": "artists", "vocabulary": "vocabulary"},
                outputs="side_information",
                name="build_side_information_node",
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
