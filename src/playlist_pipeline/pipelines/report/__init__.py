"""The report pipeline: metrics to tables, plots and one page."""

from playlist_pipeline.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
