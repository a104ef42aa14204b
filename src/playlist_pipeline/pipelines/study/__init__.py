"""The study pipeline: causal mask, positions and loss compared with equal budgets."""

from playlist_pipeline.pipelines.study.pipeline import create_pipeline

__all__ = ["create_pipeline"]
