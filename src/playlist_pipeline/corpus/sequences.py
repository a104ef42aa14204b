"""Playlists as sequences of tokens, packed one after the other in a few memory-mapped arrays."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from playlist_pipeline.corpus.split import SPLITS, index_splits
from playlist_pipeline.corpus.vocabulary import UNK, Vocabulary, iter_memberships
from playlist_pipeline.digests import check_digests, read_json_object, write_digests
from playlist_pipeline.errors import UserError, in_one_line
from playlist_pipeline.files import write_folder, write_json

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2
ADVICE = "make it with `kedro run --pipelines=vocabulary`"
META_NAME = "meta.json"
ARRAY_TYPES = {"tokens": np.int32, "offsets": np.int64, "playlist_ids": np.int32}


class Playlists(Protocol):
    """Playlists by number, from arrays, the database or a list: element i is int32[length], whole and unframed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


class PackedSequences:
    """The playlists of one part; element i is the i-th playlist by rising playlist_id.

    A playlist is whole and in its own order: duplicates stay, unknown tracks are ``UNK``, nothing is added.

    Attributes:
        tokens: int32[n], all playlists one after the other; may be memory-mapped. Read-only.
        offsets: int64[p + 1]; playlist i is ``tokens[offsets[i]:offsets[i + 1]]``. Read-only.
        playlist_ids: int32[p], rising. Read-only.
    """

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, playlist_ids: np.ndarray) -> None:
        """Wrap arrays.

        Args:
            tokens: int32[n].
            offsets: int64[p + 1].
            playlist_ids: int32[p].
        """
        self.tokens, self.offsets, self.playlist_ids = (_view_only(array) for array in (tokens, offsets, playlist_ids))

    def __len__(self) -> int:
        return len(self.playlist_ids)

    @property
    def is_whole(self) -> bool:
        """Whether the arrays have their types and fit together."""
        for name, dtype in ARRAY_TYPES.items():
            if getattr(self, name).ndim != 1 or getattr(self, name).dtype != dtype:
                return False
        ends, ids = self.offsets, self.playlist_ids
        if len(ends) != len(ids) + 1 or ends[0] != 0 or ends[-1] != len(self.tokens):
            return False
        return bool((ends[1:] >= ends[:-1]).all() and (ids[1:] > ids[:-1]).all())

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the tokens of playlist ``index``: int32[length], read-only."""
        index = resolve_index(index, len(self))
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


def _view_only(array: np.ndarray) -> np.ndarray:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def resolve_index(index: int, length: int) -> int:
    """Return ``index`` counted from the front.

    Raises:
        IndexError: It lies outside.
    """
    if not -length <= index < length:
        raise IndexError(f"index {index} is outside of {length} playlists")
    return int(index) % length


def encode_sequences(
    memberships: pa.Table, tracks: pa.Table, splits: pa.Table, vocabulary: Vocabulary
) -> dict[str, PackedSequences]:
    """Encode every playlist and pack each part.

    Args:
        memberships: ``playlist_id``, ``position`` and ``track_id``, sorted by the first two.
        tracks: Table with ``uri``; row i is track_id i.
        splits: The split.
        vocabulary: Gives the tokens.

    Returns:
        One ``PackedSequences`` for each of ``SPLITS``.

    Raises:
        UserError: The tables do not belong together, or the memberships are not sorted.
    """
    part_of = index_splits(splits)
    token_of = vocabulary.tokens_of(tracks)
    lengths = _count_lengths(memberships, len(part_of), len(token_of))
    playlist_ids = [np.flatnonzero(part_of == part).astype(np.int32) for part in range(len(SPLITS))]
    offsets = [np.concatenate([[0], np.cumsum(lengths[ids])]).astype(np.int64) for ids in playlist_ids]
    tokens = [np.empty(ends[-1], np.int32) for ends in offsets]
    filled = [0] * len(SPLITS)
    for ids, _, track_ids in iter_memberships(memberships, len(part_of), len(token_of)):
        encoded, parts = token_of[track_ids], part_of[ids]
        for part in range(len(SPLITS)):
            chosen = encoded[parts == part]
            tokens[part][filled[part] : filled[part] + len(chosen)] = chosen
            filled[part] += len(chosen)
    return {name: PackedSequences(tokens[part], offsets[part], playlist_ids[part]) for part, name in enumerate(SPLITS)}


def _count_lengths(memberships: pa.Table, num_playlists: int, num_tracks: int) -> np.ndarray:
    """Return int64[num_playlists], the playlists' lengths, after a look at ids and order."""
    lengths = np.zeros(num_playlists, np.int64)
    last = -1
    for ids, positions, _ in iter_memberships(memberships, num_playlists, num_tracks):
        keys = (ids.astype(np.int64) << 32) | positions
        if keys[0] <= last or (np.diff(keys) <= 0).any():
            raise UserError("memberships: rows are not sorted by playlist and position: run the pipeline extract again")
        last = keys[-1]
        lengths += np.bincount(ids, minlength=num_playlists)
    return lengths


def save_sequences(
    path: str | Path, sequences: Mapping[str, PackedSequences], vocabulary_fingerprint: str
) -> dict[str, dict[str, int]]:
    """Write sequences as a folder that ``load_sequences`` maps into memory.

    Args:
        path: The folder.
        sequences: One entry for each of ``SPLITS``.
        vocabulary_fingerprint: Of the vocabulary that the tokens belong to.

    Returns:
        For each part the numbers of ``playlists``, ``tokens`` and ``unk`` tokens, as written to ``meta.json`` too.
    """
    counts = {}
    with write_folder(path, marker=META_NAME, kind="folder of sequences") as folder:
        for name in SPLITS:
            part = sequences[name]
            (folder / name).mkdir()
            for array_name, dtype in ARRAY_TYPES.items():
                array = np.ascontiguousarray(getattr(part, array_name), dtype)
                np.save(folder / name / f"{array_name}.npy", array, allow_pickle=False)
            counts[name] = {"playlists": len(part), "tokens": len(part.tokens), "unk": int((part.tokens == UNK).sum())}
        meta = {"format_version": FORMAT_VERSION, "vocabulary_fingerprint": vocabulary_fingerprint, "parts": counts}
        write_json(folder / META_NAME, meta)
        write_digests(folder)
    return counts


class SequenceStore:
    """The packed sequences of all parts.

    Attributes:
        parts: One entry for each of ``SPLITS``.
        vocabulary_fingerprint: Of the vocabulary that the tokens belong to.
    """

    def __init__(self, parts: Mapping[str, PackedSequences], vocabulary_fingerprint: str) -> None:
        self.parts = dict(parts)
        self.vocabulary_fingerprint = vocabulary_fingerprint

    def source(self, split: str, vocabulary: Vocabulary) -> PackedSequences:
        """Return the playlists of one of ``SPLITS``.

        Raises:
            UserError: The sequences were encoded with another vocabulary, or there is no such part.
        """
        if split not in self.parts:
            raise UserError(f"sequences: no part is named {split!r}: give one of {', '.join(SPLITS)}")
        if vocabulary.fingerprint != self.vocabulary_fingerprint:
            raise UserError(
                f"sequences were encoded with vocabulary {self.vocabulary_fingerprint[:12]}, not "
                f"{vocabulary.fingerprint[:12]}: run the pipeline vocabulary again"
            )
        return self.parts[split]


def load_sequences(path: str | Path) -> SequenceStore:
    """Map a folder of ``save_sequences`` into memory, read-only.

    Raises:
        UserError: The folder is missing, of another format, or a file of it is not as it was written.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no sequences here: {ADVICE}")
    check_digests(path, advice=ADVICE)
    meta = read_json_object(path / META_NAME, advice=ADVICE)
    version = meta.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(f"{path}: format version {version!r}, this version reads {FORMAT_VERSION}: {ADVICE}")
    try:
        fingerprint, lengths = str(meta["vocabulary_fingerprint"]), {name: meta["parts"][name] for name in SPLITS}
        expected = {name: (int(part["playlists"]), int(part["tokens"])) for name, part in lengths.items()}
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"{path / META_NAME}: fields are missing: {ADVICE}") from None
    parts = {name: _load_part(path / name) for name in SPLITS}
    for name, part in parts.items():
        if (len(part), len(part.tokens)) != expected[name]:
            raise UserError(f"{path / name}: the arrays' lengths are not those of {META_NAME}: {ADVICE}")
    return SequenceStore(parts, fingerprint)


def _load_part(path: Path) -> PackedSequences:
    part = PackedSequences(**{name: _load_array(path / f"{name}.npy") for name in ARRAY_TYPES})
    if not part.is_whole:
        raise UserError(f"{path}: the arrays do not fit together: {ADVICE}")
    return part


def _load_array(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged or cut off ({in_one_line(error)}): {ADVICE}") from error
