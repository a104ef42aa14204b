"""The train pipeline: sequences to a model."""

from playlist_pipeline.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
