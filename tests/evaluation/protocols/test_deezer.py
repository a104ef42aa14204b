import re
from pathlib import Path

import numpy as np
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.protocols.deezer import load_pids

LONG = list(range(20))


@pytest.fixture
def save(tmp_path):
    def save(pids):
        path = tmp_path / "pids.npy"
        np.save(path, np.asarray(pids))
        return str(path)

    return save


@pytest.fixture
def build_deezer(build_all, save):
    def build(playlists, pids, parts=None, **changes):
        return build_all(playlists, parts, protocols=["deezer"], deezer_pids=save(pids), **changes)

    return build


def test_the_place_in_the_file_gives_the_number_of_seeds(build_deezer):
    order = [1003, 1000, 1019, *[pid for pid in range(1000, 1020) if pid not in (1003, 1000, 1019)]]
    cases, counts = build_deezer([LONG] * 20, order)
    assert list(cases["deezer"]) == [str(number) for number in range(1, 11)]
    assert cases["deezer"]["1"].pids.tolist() == [1000, 1003]
    assert cases["deezer"]["2"].pids.tolist() == [1001, 1019]
    for number, case in enumerate(cases["deezer"].values(), 1):
        assert [tokens.tolist() for tokens in case.seeds] == [list(range(3, 3 + number))] * 2
        assert [tokens.tolist() for tokens in case.truth] == [list(range(3 + number, 23))] * 2
        assert case.titles == [None, None]
    assert counts == {"deezer": {"playlists": 20, "missing": 0, "too_short": 0}}


def test_what_cannot_be_used_is_counted_and_does_not_move_the_others(build_deezer, caplog):
    playlists = [LONG, LONG, LONG, [0, 1, 2, 3], [0, 1, 2, 3, 4], LONG, LONG]
    parts = ["test", "train", "validation", "test", "test", "train", "test"]
    # Places 0 to 9: one seed, two, and so on. 5000 does not exist; 1006 is not listed.
    pids = [1000, 1001, 1002, 1003, 5000, 1004, 1005, 5001, 5002, 5003]
    cases, counts = build_deezer(playlists, pids, parts)
    assert {name: case.pids.tolist() for name, case in cases["deezer"].items()} == {"1": [1000]}
    expected = {"playlists": 10, "missing": 4, "in_train": 2, "in_validation": 1, "too_short": 2}
    assert counts == {"deezer": expected}
    said = "1 of 10 playlists are used: 4 missing, 2 in_train, 1 in_validation, 2 too_short"
    assert [message.partition(": ")[2] for message in caplog.messages] == [said]


def test_one_withheld_track_is_enough(build_deezer):
    cases, _ = build_deezer([[0, 1], [0, 1]], [1000, 1001, *range(8)])
    assert {name: case.pids.tolist() for name, case in cases["deezer"].items()} == {"1": [1000]}


def test_max_playlists_keeps_the_first_of_each_number_of_seeds(build_deezer):
    cases, _ = build_deezer([LONG] * 30, range(1000, 1030), max_playlists=2)
    assert cases["deezer"]["2"].pids.tolist() == [1003, 1004]


def test_the_validation_part(build_deezer):
    parts = ["test"] * 5 + ["validation"] * 5
    cases, counts = build_deezer([LONG] * 10, range(1000, 1010), parts, part="validation")
    assert list(cases["deezer"]) == ["6", "7", "8", "9", "10"]
    assert counts["deezer"]["in_test"] == 5


def test_no_playlist_can_be_used(build_deezer):
    message = r"none of the 10 playlists of .*pids.npy can be used: 9 missing, 1 in_train; they must stand in the test"
    with pytest.raises(UserError, match=message):
        build_deezer([LONG, LONG], [1000, *range(9)], ["train", "test"])


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        (np.arange(12), "12 playlist ids instead of a multiple of 10"),
        (np.arange(0), "0 playlist ids instead of a multiple of 10"),
        (np.arange(10) // 2, "playlist id 0 comes more than once"),
        (np.arange(10.0), "float64[10] instead of a list of whole numbers"),
        (np.zeros((10, 2), int), "int64[10, 2] instead of a list of whole numbers"),
    ],
)
def test_files_that_hold_something_else_are_refused(save, pids, message):
    path = save(pids)
    with pytest.raises(UserError, match=f"^evaluate.deezer_pids: {re.escape(path)}: {re.escape(message)}$"):
        load_pids(Path(path))


def test_a_pickle_is_not_read(tmp_path):
    path = tmp_path / "pids.npy"
    np.save(path, np.array([{"code": "runs"}], object), allow_pickle=True)
    with pytest.raises(
        UserError, match=r"cannot be read as an array of numbers \(.*allow_pickle.*\); give a .npy file"
    ):
        load_pids(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        load_pids(tmp_path / "nothing.npy")
    for content in (b"", b"not an array", b"PK\x03\x04"):
        (tmp_path / "bad.npy").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as an array of numbers"):
            load_pids(tmp_path / "bad.npy")
