import numpy as np
import pytest

from playlist_pipeline.errors import UserError

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


@pytest.mark.parametrize("count", [12, 9])
def test_the_number_of_playlists_is_a_multiple_of_ten(build_deezer, count):
    message = rf"^evaluate.deezer_pids: .*pids.npy: {count} playlist ids instead of a multiple of 10$"
    with pytest.raises(UserError, match=message):
        build_deezer([LONG] * count, range(1000, 1000 + count))


def test_errors_of_the_file_name_the_parameter(build_all):
    with pytest.raises(UserError, match=r"^evaluate.deezer_pids: nothing.npy: there is no such file$"):
        build_all([LONG], protocols=["deezer"], deezer_pids="nothing.npy")
