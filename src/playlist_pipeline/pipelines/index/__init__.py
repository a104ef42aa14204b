"""The index pipeline: model to the index that its tracks are searched with."""

from playlist_pipeline.pipelines.index.pipeline import create_pipeline

__all__ = ["create_pipeline"]
