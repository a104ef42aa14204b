"""The tune pipeline: the model's own settings, chosen on the validation part as the baselines' are."""

from playlist_pipeline.pipelines.tune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
