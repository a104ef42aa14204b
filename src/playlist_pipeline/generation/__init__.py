"""Generation: playlists and recommendations from a trained model."""

from playlist_pipeline.config import Controls
from playlist_pipeline.generation.decode import complete_rows, rank_tracks
from playlist_pipeline.generation.export import GeneratedPlaylist, PlaylistTrack, format_playlists, show_playlists
from playlist_pipeline.generation.lookup import (
    AmbiguousSeed,
    MalformedSeed,
    ResolvedSeed,
    ResolvedSeeds,
    UnknownSeed,
    resolve_seeds,
)
from playlist_pipeline.generation.recommender import Recommender
from playlist_pipeline.generation.search import top_k

__all__ = [
    "AmbiguousSeed",
    "Controls",
    "GeneratedPlaylist",
    "MalformedSeed",
    "PlaylistTrack",
    "Recommender",
    "ResolvedSeed",
    "ResolvedSeeds",
    "UnknownSeed",
    "complete_rows",
    "format_playlists",
    "rank_tracks",
    "resolve_seeds",
    "show_playlists",
    "top_k",
]
