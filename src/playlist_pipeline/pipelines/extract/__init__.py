"""The extract pipeline: archive to tables."""

from playlist_pipeline.pipelines.extract.pipeline import create_pipeline

__all__ = ["create_pipeline"]
