"""The split pipeline: playlists to train, validation and test."""

from playlist_pipeline.pipelines.split.pipeline import create_pipeline

__all__ = ["create_pipeline"]
