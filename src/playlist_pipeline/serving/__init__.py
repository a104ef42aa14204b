"""The web page and its API: a trained model behind HTTP, for people and programs on this machine."""

from playlist_pipeline.serving.server import run

__all__ = ["run"]
