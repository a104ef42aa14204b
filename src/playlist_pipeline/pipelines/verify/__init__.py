"""The verify pipeline: any submission against the rules."""

from playlist_pipeline.pipelines.verify.pipeline import create_pipeline

__all__ = ["create_pipeline"]
