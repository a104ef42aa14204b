import re

import numpy as np
import pytest

from playlist_pipeline.corpus.pids import load_pids
from playlist_pipeline.errors import UserError


def save(path, pids):
    np.save(path, np.asarray(pids), allow_pickle=True)
    return str(path)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16])
def test_pids_keep_their_order(tmp_path, dtype):
    pids = load_pids(save(tmp_path / "pids.npy", np.array([7, 3, 9], dtype)), parameter="a.b")
    assert (pids.tolist(), pids.dtype) == ([7, 3, 9], np.int64)


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        (np.arange(0), "int64[0] instead of a list of whole numbers"),
        (np.arange(10) // 2, "playlist id 0 comes more than once"),
        (np.arange(10.0), "float64[10] instead of a list of whole numbers"),
        (np.zeros((10, 2), int), "int64[10, 2] instead of a list of whole numbers"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, pids, message):
    path = save(tmp_path / "pids.npy", pids)
    with pytest.raises(UserError, match=f"^a.b: {re.escape(path)}: {re.escape(message)}$"):
        load_pids(path, parameter="a.b")


def test_a_pickle_is_not_read(tmp_path):
    path = save(tmp_path / "pids.npy", np.array([{"code": "runs"}], object))
    with pytest.raises(
        UserError, match=r"cannot be read as an array of numbers \(.*allow_pickle.*\); give a .npy file"
    ):
        load_pids(path, parameter="a.b")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        load_pids(tmp_path / "nothing.npy", parameter="a.b")
    for content in (b"", b"not an array", b"PK\x03\x04"):
        (tmp_path / "bad.npy").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as an array of numbers"):
            load_pids(tmp_path / "bad.npy", parameter="a.b")
