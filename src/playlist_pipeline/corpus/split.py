"""Deal playlists to the training, validation and test parts, independently of the order of files and rows."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.config import SplitConfig
from playlist_pipeline.corpus.pids import load_pids
from playlist_pipeline.errors import UserError

SPLITS = ("train", "validation", "test")

SPLITS_SCHEMA = pa.schema(
    [
        pa.field("playlist_id", pa.int32(), nullable=False),
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


def digest_pids(pids: np.ndarray, seed: int) -> np.ndarray:
    """Return a uniform 64-bit number for each pid: BLAKE2b of the text ``"<seed>:<pid>"``.

    The numbers are the same on every machine and with every version of NumPy.

    Args:
        pids: int[n].
        seed: Salts the digest.

    Returns:
        uint64[n].
    """
    salted = hashlib.blake2b(f"{seed}:".encode(), digest_size=8)

    def digest(pid: int) -> bytes:
        state = salted.copy()
        state.update(b"%d" % pid)
        return state.digest()

    return np.frombuffer(b"".join(map(digest, pids.tolist())), dtype=">u8").astype(np.uint64)


def _deal_exactly(digests: np.ndarray, pids: np.ndarray, config: SplitConfig) -> np.ndarray:
    """Sort playlists by digest and cut: exact sizes, each part at least one playlist."""
    total = len(pids)
    num_train = min(max(1, round(config.train_fraction * total)), total - 2)
    num_validation = min(max(1, round(config.validation_fraction * total)), total - num_train - 1)
    codes = np.full(total, 2, np.int8)
    order = np.lexsort((pids, digests))
    codes[order[:num_train]] = 0
    codes[order[num_train : num_train + num_validation]] = 1
    return codes


def _deal_by_digest(digests: np.ndarray, config: SplitConfig) -> np.ndarray:
    """Compare each digest, read as a number in [0, 1), with the fractions: other playlists play no role."""
    bounds = [config.train_fraction, config.train_fraction + config.validation_fraction]
    limits = np.array([int(bound * 2**64) for bound in bounds], np.uint64)
    return np.searchsorted(limits, digests, side="right").astype(np.int8)


def split_playlists(playlists: pa.Table, config: SplitConfig) -> tuple[pa.Table, dict[str, int]]:
    """Deal every playlist to one of the three parts.

    Rule ``permutation`` sorts the playlists by a seeded digest of their pid and cuts: ``round(train_fraction * n)``
    for training, ``round(validation_fraction * n)`` for validation (Python's ``round``: a half goes to the even
    neighbour), the rest for test, at least one playlist each. Rule ``hash`` compares the same digest, read as a
    number in [0, 1), with the fractions, so that a playlist stays where it is when others are added.

    With ``config.test_pids`` the test part is the playlists of that file, wherever the rule puts them, and no others:
    those that the rule alone puts there go to training.

    Args:
        playlists: Table with ``playlist_id`` and ``pid``.
        config: Rule, seed, fractions and ``test_pids``.

    Returns:
        The splits (``SPLITS_SCHEMA``, rows in the order of ``playlists``) and the number of playlists of each part.

    Raises:
        UserError: Fewer than three playlists, a pid that comes twice, a part that is left empty, or a file of pids that
            cannot be used.
    """
    pids = playlists["pid"].to_numpy()
    if len(pids) < len(SPLITS):
        raise UserError(f"{len(pids)} playlists cannot be split into {len(SPLITS)} parts: give an archive with more")
    unique, times = np.unique(pids, return_counts=True)
    if len(unique) < len(pids):
        raise UserError(f"playlists: pid {unique[times > 1][0]} comes more than once: remove one of them")
    digests = digest_pids(pids, config.seed)
    codes = _deal_exactly(digests, pids, config) if config.rule == "permutation" else _deal_by_digest(digests, config)
    if config.test_pids is not None:
        is_test = np.isin(pids, load_pids(config.test_pids, parameter="split.test_pids"))
        if not is_test.any():
            raise UserError(f"split.test_pids: the archive has none of the playlists of {config.test_pids}")
        codes = np.where(is_test, 2, np.where(codes == 2, 0, codes)).astype(np.int8)
    counts = dict(zip(SPLITS, np.bincount(codes, minlength=len(SPLITS)).tolist(), strict=True))
    for name, count in counts.items():
        if count == 0:
            raise UserError(
                f"split.rule = {config.rule} leaves the {name} part of {len(pids)} playlists empty: "
                "choose another split.seed, or split.rule = permutation"
            )
    names = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(SPLITS)).cast(pa.string())
    columns = [playlists["playlist_id"], playlists["pid"], names]
    return pa.table(columns, schema=SPLITS_SCHEMA), counts


def index_splits(splits: pa.Table) -> np.ndarray:
    """Return each playlist's part as an index into ``SPLITS``.

    Args:
        splits: Table of ``SPLITS_SCHEMA``, in any order.

    Returns:
        int8[n]; element i belongs to playlist_id i.

    Raises:
        UserError: The playlist ids are not 0..n-1, or a part is unknown.
    """
    ids = splits["playlist_id"].to_numpy()
    parts = pc.index_in(splits["split"], value_set=pa.array(SPLITS))
    if parts.null_count:
        unknown = pc.unique(splits["split"].filter(pc.is_null(parts))).to_pylist()[0]
        raise UserError(f"splits: {unknown!r} is none of {', '.join(SPLITS)}: run the pipeline split again")
    codes = np.full(len(ids), -1, np.int8)
    inside = (ids >= 0) & (ids < len(ids))
    codes[ids[inside]] = parts.to_numpy()[inside]
    if (codes < 0).any():
        raise UserError(f"splits: playlist_id {int(np.argmin(codes))} is missing: run the pipeline split again")
    return codes
