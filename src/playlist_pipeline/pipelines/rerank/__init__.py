"""The rerank pipeline: model and training playlists to the second stage."""

from playlist_pipeline.pipelines.rerank.pipeline import create_pipeline

__all__ = ["create_pipeline"]
