"""The challenge pipeline: model and challenge set to a submission."""

from playlist_pipeline.pipelines.challenge.pipeline import create_pipeline

__all__ = ["create_pipeline"]
