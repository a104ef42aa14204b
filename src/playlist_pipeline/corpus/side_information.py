"""What is known of tracks beside the playlists: artist, album and duration, by token."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary
from playlist_pipeline.errors import UserError, in_one_line

SIDE_SCHEMA = pa.schema(
    [
        pa.field("token", pa.int32(), nullable=False),
        pa.field("artist_uri", pa.dictionary(pa.int32(), pa.string())),
        pa.field("album_uri", pa.dictionary(pa.int32(), pa.string())),
        pa.field("duration_ms", pa.int32()),
    ]
)
VOCABULARY_KEY = "vocabulary"
DURATION_STEP_MS = 30_000


def build_side_information(tracks: pa.Table, albums: pa.Table, artists: pa.Table, vocabulary: Vocabulary) -> pa.Table:
    """Return artist, album and duration of every token (``SIDE_SCHEMA``), null for special tokens.

    The schema's metadata name the vocabulary's fingerprint.

    Args:
        tracks: ``uri``, ``artist_id``, ``album_id``, ``duration_ms``; row i is track_id i.
        albums: ``uri``; row i is album_id i.
        artists: ``uri``; row i is artist_id i.
        vocabulary: The tokens.
    """
    token_of = vocabulary.tokens_of(tracks)
    track_of = np.full(len(vocabulary), -1, np.int64)
    track_of[token_of] = np.arange(len(token_of))
    track_of[UNK] = -1
    if (track_of[len(SPECIALS) :] < 0).any():
        token = int(np.argmax(track_of[len(SPECIALS) :] < 0)) + len(SPECIALS)
        raise UserError(
            f"tracks: {vocabulary.decode([token])[0]} of the vocabulary is missing: the tables come from different "
            "runs; run the pipelines extract, split and vocabulary again"
        )
    rows = tracks.take(pa.array(track_of, mask=track_of < 0))
    columns = {
        "token": pa.array(np.arange(len(vocabulary), dtype=np.int32)),
        "artist_uri": pc.dictionary_encode(artists["uri"].take(rows["artist_id"])),
        "album_uri": pc.dictionary_encode(albums["uri"].take(rows["album_id"])),
        "duration_ms": rows["duration_ms"],
    }
    table = pa.table(columns).unify_dictionaries().cast(SIDE_SCHEMA)
    return table.replace_schema_metadata({VOCABULARY_KEY: vocabulary.fingerprint})


class SideInformation:
    """Side information by token; artists and albums are numbered from 1, 0 is an unknown one.

    Attributes:
        vocabulary: The fingerprint of the vocabulary that it belongs to.
        artists: int32 [V], each token's artist.
        albums: int32 [V], its album.
        durations: int32 [V], its duration in ms, 0 for special tokens.
    """

    def __init__(self, table: pa.Table) -> None:
        """Take a table of ``SIDE_SCHEMA``.

        Raises:
            UserError: The columns or tokens are others.
        """
        if table.schema.names != SIDE_SCHEMA.names:
            raise UserError(
                f"side_information: columns {in_one_line(', '.join(table.schema.names))} instead of "
                f"{', '.join(SIDE_SCHEMA.names)}: run the pipeline vocabulary again"
            )
        metadata = table.schema.metadata or {}
        self.vocabulary = metadata.get(VOCABULARY_KEY.encode(), b"").decode(errors="replace")
        try:
            table.validate(full=True)
            table = table.cast(SIDE_SCHEMA.with_metadata(metadata)).unify_dictionaries().combine_chunks()
        except (pa.ArrowException, ValueError) as error:
            raise UserError(
                f"side_information: values that do not fit ({in_one_line(error)}): run the pipeline vocabulary again"
            ) from error
        if not np.array_equal(table["token"].to_numpy(), np.arange(table.num_rows)):
            raise UserError("side_information: tokens must run from 0: run the pipeline vocabulary again")
        self.table = table
        self.artists, self._artist_uris = _number(table["artist_uri"])
        self.albums, self._album_uris = _number(table["album_uri"])
        self.durations = pc.fill_null(table["duration_ms"], 0).to_numpy()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content, as hexadecimal text."""
        digest = hashlib.sha256(b"side information 1\n")
        for array in (self.artists, self.albums, self.durations):
            digest.update(array.astype("<i4").tobytes())
        for uris in (self._artist_uris, self._album_uris):
            digest.update("\n".join(uris.to_pylist()).encode())
        return digest.hexdigest()

    @property
    def num_artists(self) -> int:
        """Artists, the unknown one included."""
        return len(self._artist_uris) + 1

    @property
    def num_albums(self) -> int:
        """Albums, the unknown one included."""
        return len(self._album_uris) + 1

    @property
    def artist_uris(self) -> pa.Array:
        """URI of each artist but the unknown one: that of number i is at i - 1."""
        return self._artist_uris

    def find_artists(self, uris: Sequence[str]) -> np.ndarray:
        """Return the artists' numbers, int32 [n]; 0 where one is unknown."""
        return _find(uris, self._artist_uris)

    def find_albums(self, uris: Sequence[str]) -> np.ndarray:
        """Return the albums' numbers, int32 [n]; 0 where one is unknown."""
        return _find(uris, self._album_uris)


def _number(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    encoded = column.combine_chunks()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    return pc.fill_null(pc.add(encoded.indices, 1), 0).to_numpy().astype(np.int32), encoded.dictionary


def _find(uris: Sequence[str], known: pa.Array) -> np.ndarray:
    found = pc.index_in(pa.array(uris, pa.string()), value_set=known)
    return (pc.fill_null(found, -1).to_numpy() + 1).astype(np.int32)


def bucket_popularity(counts: np.ndarray, num_buckets: int) -> np.ndarray:
    """Return int32 [n]: 0 for a count of 0, then logarithmic steps up to ``num_buckets - 1`` for the highest count.

    Args:
        counts: Training counts, [n].
        num_buckets: 1 or more.
    """
    highest = np.log1p(max(counts.max(initial=0), 1))
    return np.minimum(np.ceil(np.log1p(counts) / highest * (num_buckets - 1)), num_buckets - 1).astype(np.int32)


def bucket_durations(durations: np.ndarray, num_buckets: int) -> np.ndarray:
    """Return int32 [n], steps of 30 s from 0 on, the last for all longer ones; what is below 0 counts as 0."""
    return np.clip(durations // DURATION_STEP_MS, 0, num_buckets - 1).astype(np.int32)
