"""The baselines pipeline: settings tuned on the validation part, ranked lists for the test part."""

from playlist_pipeline.pipelines.baselines.pipeline import create_pipeline

__all__ = ["create_pipeline"]
