"""The generate pipeline: model and seeds to playlists."""

from playlist_pipeline.pipelines.generate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
