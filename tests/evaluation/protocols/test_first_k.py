import logging

import numpy as np
import pytest

from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.errors import UserError


def test_seeds_and_truth_by_hand(cases):
    assert list(cases) == ["1", "2"]
    one, two = cases["1"], cases["2"]
    assert (one.protocol, one.case) == ("first_k", "1")
    assert one.playlist_ids.tolist() == [0, 1, 2]
    assert one.pids.tolist() == [1000, 1001, 1002]
    assert one.titles == ["Title 0", "Title 1", "Title 2"]
    assert [tokens.tolist() for tokens in one.seeds] == [[3], [8], [UNK]]
    assert [tokens.tolist() for tokens in one.truth] == [[4, 5, 6], [9, 10], [11, 12, 13]]
    assert one.num_truth.tolist() == [4, 2, 3]  # the unknown track 25 is part of the truth
    assert one.lengths.tolist() == [5, 3, 4]
    # Tracks 1, 2, 25, 3 by artists 0, 1, 12, 1.
    assert [artists.tolist() for artists in one.truth_artists] == [[0, 1, 12], [3], [4, 5]]
    # Playlist 1 has only one track behind two seeds.
    assert two.playlist_ids.tolist() == [0, 2]
    assert [tokens.tolist() for tokens in two.seeds] == [[3, 4], [UNK, 11]]
    assert [tokens.tolist() for tokens in two.truth] == [[5, 6], [12, 13]]
    assert two.num_truth.tolist() == [3, 2]
    assert {tokens.dtype for tokens in two.seeds} == {np.dtype(np.int32)}


@pytest.mark.parametrize(("part", "expected"), [("test", [1, 3]), ("validation", [2])])
def test_only_playlists_of_the_part_count(build, part, expected):
    parts = ["train", "test", "validation", "test"]
    cases = build([[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]], parts, part=part, num_seeds=[1])
    assert cases["1"].playlist_ids.tolist() == expected
    assert [tokens.tolist() for tokens in cases["1"].truth] == [[4 + 3 * number, 5 + 3 * number] for number in expected]


def test_two_unknown_tracks_are_two_tracks(build):
    case = build([[21, 22, 21, 0, 23, 24]], num_seeds=[2])["2"]
    assert case.seeds[0].tolist() == [UNK, UNK]
    assert (case.truth[0].tolist(), case.num_truth.tolist()) == ([3], [3])


def test_playlists_need_min_truth_unique_tracks(build_all):
    cases, counts = build_all([[0, 1, 1, 1, 1], [0, 1, 2], [0, 1, 2, 3]], num_seeds=[1], min_truth=3)
    assert cases["first_k"]["1"].playlist_ids.tolist() == [2]
    assert counts == {"first_k": {"playlists": 3, "too_short": 2}}


def test_blank_titles_are_no_titles(build):
    case = build([[0, 1, 2]] * 3, titles=["Rock", "", " "], num_seeds=[1])["1"]
    assert case.titles == ["Rock", None, None]


def test_sample_is_the_first_by_digest_and_not_swayed_by_other_playlists(build):
    playlists = [[0, 1, 2, 3]] * 40
    some = build(playlists, num_seeds=[1], max_playlists=10)["1"]
    assert len(some) == 10
    assert some.playlist_ids.tolist() == sorted(some.playlist_ids.tolist())
    fewer = build(playlists, num_seeds=[1], max_playlists=4)["1"]
    assert set(fewer.pids) < set(some.pids)
    parts = ["test" if 1000 + number in some.pids or number % 2 else "train" for number in range(40)]
    again = build(playlists, parts, num_seeds=[1], max_playlists=10)["1"]
    np.testing.assert_array_equal(again.pids, some.pids)
    assert build(playlists, num_seeds=[1], max_playlists=99)["1"].pids.tolist() == list(range(1000, 1040))


def test_number_of_seeds_that_no_playlist_allows_is_left_out(build, caplog):
    with caplog.at_level(logging.WARNING):
        cases = build([[0, 1, 2]], num_seeds=[1, 2])
    assert list(cases) == ["1"]
    assert caplog.messages == ["nothing is measured with 2 seeds: no test playlist has 2 unique tracks after them"]


def test_numbers_of_seeds_come_in_their_order(build):
    assert list(build([list(range(20))], num_seeds=[10, 2, 5])) == ["2", "5", "10"]


@pytest.mark.parametrize(("playlists", "parts"), [([[0, 1], [2]], None), ([[0, 1, 2, 3]], ["train"]), ([[]], None)])
def test_no_playlist_is_long_enough_at_all(build, playlists, parts):
    with pytest.raises(UserError, match=r"none of the \d test playlists has 3 or more different tracks; lower"):
        build(playlists, parts)
