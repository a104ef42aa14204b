"""The model: a causal transformer over tracks, its losses, and its weights on disk."""

from playlist_pipeline.model.embedding import TrackEmbedding, gather_rows
from playlist_pipeline.model.transformer import Transformer
from playlist_pipeline.model.weights import LoadedModel, load_model, save_model

__all__ = ["LoadedModel", "TrackEmbedding", "Transformer", "gather_rows", "load_model", "save_model"]
