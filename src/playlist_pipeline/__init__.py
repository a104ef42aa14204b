"""Complete playlists: from an archive in the format of the Million Playlist Dataset to generated playlists."""

__version__ = "0.1.0"
