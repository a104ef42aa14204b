"""The vocabulary pipeline: training playlists to tokens and encoded sequences."""

from playlist_pipeline.pipelines.vocabulary.pipeline import create_pipeline

__all__ = ["create_pipeline"]
