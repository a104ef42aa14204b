"""Nodes of the vocabulary pipeline."""

from typing import Any

import pyarrow as pa

from playlist_pipeline.config import VocabularyConfig
from playlist_pipeline.corpus.sequences import SequenceStore, encode_sequences
from playlist_pipeline.corpus.side_information import build_side_information as build_side
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.corpus.vocabulary import build_vocabulary as build


def build_vocabulary(
    memberships: pa.Table, tracks: pa.Table, splits: pa.Table, config: VocabularyConfig
) -> tuple[pa.Table, dict[str, Any]]:
    """Give each track of the training part a token.

    Args:
        memberships: Which track stands where in which playlist.
        tracks: The extracted tracks.
        splits: The part of each playlist.
        config: The least count.

    Returns:
        The vocabulary, and how many tracks it holds and leaves out.
    """
    return build(memberships, tracks, splits, config)


def build_side_information(tracks: pa.Table, albums: pa.Table, artists: pa.Table, vocabulary: pa.Table) -> pa.Table:
    """Find artist, album and duration of every token.

    Args:
        tracks: The extracted tracks.
        albums: The extracted albums.
        artists: The extracted artists.
        vocabulary: The tokens.

    Returns:
        One row for each token.
    """
    return build_side(tracks, albums, artists, Vocabulary.from_table(vocabulary))


def encode_playlists(memberships: pa.Table, tracks: pa.Table, splits: pa.Table, vocabulary: pa.Table) -> SequenceStore:
    """Turn the playlists of each part into tokens.

    Args:
        memberships: Which track stands where in which playlist.
        tracks: The extracted tracks.
        splits: The part of each playlist.
        vocabulary: The tokens.

    Returns:
        The packed sequences of each part.
    """
    tokens = Vocabulary.from_table(vocabulary)
    return SequenceStore(encode_sequences(memberships, tracks, splits, tokens), tokens.fingerprint)
