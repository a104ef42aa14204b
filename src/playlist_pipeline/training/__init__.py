"""Training: batches, optimizer, steps, checkpoints, and the loop that joins them."""

from playlist_pipeline.training.checkpoints import CheckpointStore, TrainingRun
from playlist_pipeline.training.loop import TrainingInterrupted, TrainResult, train_model

__all__ = ["CheckpointStore", "TrainResult", "TrainingInterrupted", "TrainingRun", "train_model"]
