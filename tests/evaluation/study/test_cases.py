import numpy as np
import pytest
from recipes import make_study_config

from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.study.cases import build_study_cases, count_held_out

FIRST_TOKEN = 3  # of track 0; tracks from 20 on are unknown
VALIDATION = list(range(6))


@pytest.fixture
def build(make_tables, vocabulary):
    def build(playlists, parts=None, **changes):
        playlists, parts = [VALIDATION, *playlists], ["validation", *(parts or ["test"] * len(playlists))]
        return build_study_cases(*make_tables(playlists, parts), vocabulary, make_study_config(**changes))

    return build


@pytest.mark.parametrize(
    ("length", "held_out"), [(1, 5), (6, 5), (25, 5), (29, 5), (30, 6), (34, 6), (35, 7), (250, 50), (1000, 200)]
)
def test_a_fifth_rounded_down_is_held_out_but_five_at_least(length, held_out):
    assert count_held_out(np.array([length]), make_study_config()).tolist() == [held_out]


def test_the_last_unique_tracks_are_the_truth(build):
    cases, counts = build([[0, 1, 0, 2, 1, 3, 4, 5, 6]], held_out_share=0.5, min_held_out=2)
    test = cases["study"]["test"]
    assert [given.tolist() for given in test.seeds] == [[3, 4, 5, 6]]
    assert [truth.tolist() for truth in test.truth] == [[7, 8, 9]]
    assert test.titles == [None]
    assert (test.protocol, test.case, test.num_truth.tolist()) == ("study", "test", [3])
    assert counts == {part: {"playlists": 1, "too_short": 0} for part in ("validation", "test")}


def test_a_playlist_needs_one_track_besides_those_held_out(build):
    cases, counts = build([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10], [1, 1, 1, 2, 2, 2, 3]])
    test = cases["study"]["test"]
    assert test.playlist_ids.tolist() == [2]
    assert [given.tolist() for given in test.seeds] == [[5 + FIRST_TOKEN]]
    assert counts["test"] == {"playlists": 3, "too_short": 2}


def test_unknown_tracks_are_given_as_unk_and_missed_as_truth(build):
    cases, _ = build([[21, 0, 1, 2, 25, 3, 4]])
    test = cases["study"]["test"]
    assert [given.tolist() for given in test.seeds] == [[UNK, FIRST_TOKEN]]
    assert [truth.tolist() for truth in test.truth] == [[4, 5, 6, 7]]
    assert test.num_truth.tolist() == [5]


def test_the_parts_are_apart_and_training_is_none_of_them(build):
    cases, _ = build([[*range(7, 14)], [*range(1, 8)], [*range(2, 9)]], ["train", "test", "validation"])
    assert cases["study"]["validation"].playlist_ids.tolist() == [0, 3]
    assert cases["study"]["test"].playlist_ids.tolist() == [2]


def test_a_part_without_playlists_that_are_long_enough_is_refused(build):
    with pytest.raises(
        UserError, match=r"^study: none of the 1 test playlists has over 5 different tracks; lower study"
    ):
        build([[0, 1, 2]])
