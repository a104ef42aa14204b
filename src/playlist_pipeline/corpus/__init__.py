"""The corpus: the catalog database, the split, the vocabulary and the encoded playlists."""

from playlist_pipeline.corpus.database import (
    Database,
    DatabaseSequences,
    PlaylistRow,
    TrackRow,
    fold_name,
)
from playlist_pipeline.corpus.database_build import build_database
from playlist_pipeline.corpus.sequences import (
    PackedSequences,
    SequenceStore,
    encode_sequences,
    load_sequences,
    save_sequences,
)
from playlist_pipeline.corpus.split import SPLITS, SPLITS_SCHEMA, split_playlists
from playlist_pipeline.corpus.vocabulary import (
    EOP,
    SPECIALS,
    START,
    UNK,
    VOCABULARY_SCHEMA,
    Vocabulary,
    build_vocabulary,
)

__all__ = [
    "EOP",
    "SPECIALS",
    "SPLITS",
    "SPLITS_SCHEMA",
    "START",
    "UNK",
    "VOCABULARY_SCHEMA",
    "Database",
    "DatabaseSequences",
    "PackedSequences",
    "PlaylistRow",
    "SequenceStore",
    "TrackRow",
    "Vocabulary",
    "build_database",
    "build_vocabulary",
    "encode_sequences",
    "fold_name",
    "load_sequences",
    "save_sequences",
    "split_playlists",
]
