"""Nodes of the split pipeline."""

from typing import Any

import pyarrow as pa

from playlist_pipeline.config import SplitConfig


def split_playlists(playlists: pa.Table, config: SplitConfig) -> tuple[pa.Table, dict[str, Any]]:
    """Deal the playlists to the training, validation and test part.

    Args:
        playlists: The extracted playlists.
        config: The rule, its seed and the shares.

    Returns:
        The part of each playlist, and the number of playlists in each part.
    """
    from playlist_pipeline.corpus.split import split_playlists as split  # noqa: PLC0415

    return split(playlists, config)
