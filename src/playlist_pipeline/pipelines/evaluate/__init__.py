"""The evaluate pipeline: model and baselines to metrics."""

from playlist_pipeline.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
