"""The catalog pipeline: tables to the sqlite catalog."""

from playlist_pipeline.pipelines.catalog.pipeline import create_pipeline

__all__ = ["create_pipeline"]
