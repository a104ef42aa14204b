"""The tracks that have a token, found in the training part alone."""

import functools
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.config import VocabularyConfig
from playlist_pipeline.corpus.split import index_splits
from playlist_pipeline.errors import UserError, in_one_line

START, EOP, UNK = 0, 1, 2
SPECIALS = ("<start>", "<eop>", "<unk>")

VOCABULARY_SCHEMA = pa.schema(
    [
        pa.field("token", pa.int32(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)

ROWS_AT_A_TIME = 1 << 22
FIRST_STAND_IN = -2  # -1 is padding


def iter_memberships(
    memberships: pa.Table, num_playlists: int, num_tracks: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield playlist ids, positions and track ids, int32 each, a few million rows at a time, whatever the chunks.

    Raises:
        UserError: An id that does not exist; it names the row.
    """
    totals = {"playlist_id": num_playlists, "track_id": num_tracks}
    for start in range(0, memberships.num_rows, ROWS_AT_A_TIME):
        part = memberships.slice(start, ROWS_AT_A_TIME)
        columns = {name: part[name].to_numpy() for name in ("playlist_id", "position", "track_id")}
        for name, total in totals.items():
            ids = columns[name]
            if ids.min() < 0 or ids.max() >= total:
                row = int(np.argmax((ids < 0) | (ids >= total)))
                raise UserError(
                    f"memberships, row {start + row}: {name} {ids[row]} does not exist (there are {total}): "
                    "the tables come from different runs; run the pipelines extract and split again"
                )
        yield columns["playlist_id"], columns["position"], columns["track_id"]


def count_training_tracks(memberships: pa.Table, num_tracks: int, splits: pa.Table) -> np.ndarray:
    """Count how often each track occurs in the training part; a playlist that has it twice counts twice.

    Args:
        memberships: Table with ``playlist_id``, ``position`` and ``track_id``.
        num_tracks: Track ids are below this.
        splits: The split.

    Returns:
        int64[num_tracks].

    Raises:
        UserError: A membership of a playlist that the split does not know, or of an unknown track.
    """
    in_training = index_splits(splits) == 0
    counts = np.zeros(num_tracks, np.int64)
    for playlist_ids, _, track_ids in iter_memberships(memberships, len(in_training), num_tracks):
        counts += np.bincount(track_ids[in_training[playlist_ids]], minlength=num_tracks)
    return counts


def build_vocabulary(
    memberships: pa.Table, tracks: pa.Table, splits: pa.Table, config: VocabularyConfig
) -> tuple[pa.Table, dict[str, int]]:
    """Choose the tracks that get a token, from the training part alone.

    Args:
        memberships: Table with ``playlist_id``, ``position`` and ``track_id``.
        tracks: Table with ``uri``; row i is track_id i.
        splits: The split.
        config: ``min_count``.

    Returns:
        The vocabulary (``VOCABULARY_SCHEMA``): the three special tokens with count 0, then tracks by falling training
        count, ties by URI. And counts: ``tracks`` of the archive, ``kept``, ``dropped`` (in training, but rarer than
        ``min_count``), ``unseen`` (not in training), ``train_memberships``, and how many of those are ``train_unk``.

    Raises:
        UserError: No track is frequent enough.
    """
    counts = count_training_tracks(memberships, tracks.num_rows, splits)
    frequent = counts >= config.min_count
    if not frequent.any():
        highest = int(counts.max(initial=0))
        raise UserError(
            f"vocabulary.min_count = {config.min_count} leaves no track: the most frequent one occurs {highest} times "
            "in the training part; give a smaller min_count"
        )
    kept = pa.table({"uri": tracks["uri"].filter(pa.array(frequent)), "count": pa.array(counts[frequent], pa.int64())})
    kept = kept.take(pc.sort_indices(kept, sort_keys=[("count", "descending"), ("uri", "ascending")]))
    uris = pa.chunked_array([pa.array(SPECIALS, pa.string()), *kept["uri"].chunks])
    all_counts = pa.chunked_array([pa.array([0] * len(SPECIALS), pa.int64()), *kept["count"].chunks])
    tokens = pa.array(np.arange(len(uris), dtype=np.int32))
    table = pa.table([tokens, uris, all_counts], schema=VOCABULARY_SCHEMA).combine_chunks()
    return table, {
        "tracks": len(counts),
        "kept": int(frequent.sum()),
        "dropped": int(((counts > 0) & ~frequent).sum()),
        "unseen": int((counts == 0).sum()),
        "train_memberships": int(counts.sum()),
        "train_unk": int(counts[~frequent].sum()),
    }


class Vocabulary:
    """Tracks and their tokens, V in all with the three special ones.

    Attributes:
        counts: int64[V], occurrences in the training part; 0 for special tokens. Read-only.
    """

    def __init__(self, uris: pa.Array, counts: np.ndarray) -> None:
        self._uris = uris
        self.counts = np.array(counts, np.int64)
        self.counts.flags.writeable = False

    @classmethod
    def from_table(cls, table: pa.Table) -> "Vocabulary":
        """Make a vocabulary of a table of ``VOCABULARY_SCHEMA``.

        Raises:
            UserError: The table is no vocabulary.
        """
        if not set(VOCABULARY_SCHEMA.names) <= set(table.column_names):
            raise UserError(
                f"vocabulary: columns {in_one_line(', '.join(table.column_names))} instead of "
                f"{', '.join(VOCABULARY_SCHEMA.names)}: run the pipeline vocabulary again"
            )
        try:
            table.validate(full=True)
            table = table.select(VOCABULARY_SCHEMA.names).cast(VOCABULARY_SCHEMA).combine_chunks()
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise UserError(
                f"vocabulary: values that do not fit ({in_one_line(error)}): run the pipeline vocabulary again"
            ) from error
        uris = pa.concat_arrays(table["uri"].chunks) if table.num_rows else pa.array([], pa.string())
        in_order = np.array_equal(table["token"].to_numpy(), np.arange(len(uris)))
        if not in_order or tuple(uris[: len(SPECIALS)].to_pylist()) != SPECIALS:
            raise UserError(
                f"vocabulary: tokens must run from 0 and begin with {', '.join(SPECIALS)}: "
                "run the pipeline vocabulary again"
            )
        if pc.count_distinct(uris).as_py() != len(uris):
            raise UserError("vocabulary: a URI has two tokens: run the pipeline vocabulary again")
        if pc.min(table["count"]).as_py() < 0:
            raise UserError("vocabulary: a count is below 0: run the pipeline vocabulary again")
        return cls(uris, table["count"].to_numpy())

    def to_table(self) -> pa.Table:
        """Return the table of ``VOCABULARY_SCHEMA`` that ``from_table`` reads."""
        tokens = pa.array(np.arange(len(self), dtype=np.int32))
        return pa.table([tokens, self._uris, pa.array(self.counts)], schema=VOCABULARY_SCHEMA)

    def __len__(self) -> int:
        return len(self._uris)

    @functools.cached_property
    def uris(self) -> list[str]:
        """URIs by token; the first three are the names of the special tokens."""
        return self._uris.to_numpy(zero_copy_only=False).tolist()

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content, as hexadecimal text: equal exactly if URIs, their order and counts are equal."""
        digest = hashlib.sha256(b"vocabulary 1\n")
        digest.update(pc.binary_length(self._uris).to_numpy().astype("<i4").tobytes())
        digest.update("".join(self.uris).encode())
        digest.update(self.counts.astype("<i8").tobytes())
        return digest.hexdigest()

    @functools.cached_property
    def _token_of(self) -> dict[str, int]:
        return {uri: token for token, uri in enumerate(self.uris) if token >= len(SPECIALS)}

    def encode(self, uris: Sequence[str]) -> np.ndarray:
        """Return the tokens of some URIs: int32[n], ``UNK`` for what is not known (a special token's name too)."""
        token_of = self._token_of
        return np.fromiter((token_of.get(uri, UNK) for uri in uris), np.int32, len(uris))

    def decode(self, tokens: Sequence[int] | np.ndarray) -> list[str]:
        """Return the URIs of some tokens.

        Raises:
            IndexError: A token is below 0 or not below V.
        """
        uris = self.uris
        indices = np.asarray(tokens, np.int64).tolist()
        if indices and (min(indices) < 0 or max(indices) >= len(uris)):
            raise IndexError(f"tokens must be in 0..{len(uris) - 1}, got {min(indices)}..{max(indices)}")
        return [uris[token] for token in indices]

    def tokens_of(self, tracks: pa.Table) -> np.ndarray:
        """Return each track's token: int32[num_tracks], ``UNK`` where it has none.

        Args:
            tracks: Table with ``uri``; row i is track_id i.
        """
        found = pc.index_in(tracks["uri"], value_set=self._uris.slice(len(SPECIALS)))
        return (pc.fill_null(found, UNK - len(SPECIALS)).to_numpy() + len(SPECIALS)).astype(np.int32)

    def seeds_of(self, tracks: pa.Table) -> np.ndarray:
        """Return each track's token as a seed: int32[num_tracks].

        That of a track without a token is ``stand_in_for`` the most frequent track of its artist, or ``UNK`` if the
        artist has none. To what looks only for tokens from ``SPECIALS`` on, both are unknown tracks.

        Args:
            tracks: Table with ``uri`` and ``artist_id``; row i is track_id i.
        """
        tokens, artists = self.tokens_of(tracks), tracks["artist_id"].to_numpy()
        known = tokens != UNK
        # Tokens are in the order of falling count.
        best = np.full(int(artists.max(initial=0)) + 1, len(self), np.int32)
        np.minimum.at(best, artists[known], tokens[known])
        stand_ins = best[artists]
        return np.where(known, tokens, np.where(stand_ins < len(self), stand_in_for(stand_ins), UNK)).astype(np.int32)


def stand_in_for(tokens: np.ndarray) -> np.ndarray:
    """Return the seed tokens, -2 and below, of unknown tracks that the tracks ``tokens`` of their artists stand for."""
    return FIRST_STAND_IN - tokens


def read_stand_ins(seeds: np.ndarray) -> np.ndarray:
    """Return seed tokens with the tracks that stand in for unknown ones in their place."""
    return np.where(seeds <= FIRST_STAND_IN, FIRST_STAND_IN - seeds, seeds)
