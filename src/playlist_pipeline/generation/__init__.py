"""Generation: playlists and recommendations from a trained model."""

from playlist_pipeline.config import Controls
from playlist_pipeline.generation.decode import complete_rows, rank_tracks
from playlist_pipeline.generation.export import GeneratedPlaylist, PlaylistTrack, format_playlists, show_playlists
from playlist_pipeline.generation.formats import format_as, write_playlists
from playlist_pipeline.generation.frames import TrackFrame
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
from playlist_pipeline.generation.seed_files import SeedList, read_seed_file

__all__ = [
    "AmbiguousSeed",
    "Controls",
    "GeneratedPlaylist",
    "MalformedSeed",
    "PlaylistTrack",
    "Recommender",
    "ResolvedSeed",
    "ResolvedSeeds",
    "SeedList",
    "TrackFrame",
    "UnknownSeed",
    "complete_rows",
    "format_as",
    "format_playlists",
    "rank_tracks",
    "read_seed_file",
    "resolve_seeds",
    "show_playlists",
    "top_k",
    "write_playlists",
]
