import numpy as np
import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.protocols.challenge import SCENARIOS

# Number of seeds and whether a title is given, as the challenge's README lists the ten.
PUBLISHED = [(0, 1), (1, 1), (5, 1), (5, 0), (10, 1), (10, 0), (25, 1), (25, 1), (100, 1), (100, 1)]
LONG = list(range(130))


@pytest.fixture(scope="module")
def build_challenge(build_all):
    """130 tracks, of which the vocabulary knows 20; one training playlist has them all."""

    def build(playlists, **changes):
        parts = ["train"] + ["test"] * len(playlists)
        titles = changes.pop("titles", [f"Title {number}" for number in range(len(parts))])
        return build_all([LONG, *playlists], parts, titles, num_tracks=140, protocols=["challenge"], **changes)

    return build


@pytest.fixture(scope="module")
def everywhere(build_challenge):
    """Two long playlists in all ten scenarios."""
    cases, _ = build_challenge([LONG, LONG[::-1]], challenge_reuse=True)
    return cases["challenge"]


def test_scenarios_are_the_published_ones():
    assert [(scenario.num_seeds, scenario.title) for scenario in SCENARIOS] == PUBLISHED
    assert [scenario.case for scenario in SCENARIOS if scenario.order == "random"] == [
        "title_random_25",
        "title_random_100",
    ]


def test_each_scenario_gives_its_seeds_and_title(everywhere):
    assert list(everywhere) == [scenario.case for scenario in SCENARIOS]
    for scenario in SCENARIOS:
        case = everywhere[scenario.case]
        assert case.playlist_ids.tolist() == [1, 2]
        assert case.seeds.lengths.tolist() == [scenario.num_seeds] * 2
        assert case.num_truth.tolist() == [130 - scenario.num_seeds] * 2
        assert case.titles == (["Title 1", "Title 2"] if scenario.title else [None, None])


def test_first_seeds_are_the_first_and_random_ones_are_not(everywhere):
    assert everywhere["title_first_10"].seeds[0].tolist() == list(range(3, 13))
    assert everywhere["title_first_10"].truth[0].tolist() == list(range(13, 23))
    first, random = everywhere["title_first_25"], everywhere["title_random_25"]
    assert first.seeds[1].tolist() == [2] * 25  # the last tracks are unknown
    assert random.seeds[0].tolist() != first.seeds[0].tolist()
    known = random.seeds[0][random.seeds[0] > 2]
    assert known.tolist() == sorted(known)  # the order of the playlist
    found = np.concatenate([known, random.truth[0]])
    assert sorted(found) == list(range(3, 23))


def test_random_seeds_follow_from_the_pid_alone(build_challenge):
    alone = build_challenge([LONG], challenge_reuse=True)[0]["challenge"]["title_random_100"]
    among = build_challenge([LONG, LONG[:40], LONG], challenge_reuse=True)[0]["challenge"]["title_random_100"]
    np.testing.assert_array_equal(alone.seeds[0], among.seeds[0])
    assert among.pids.tolist() == [1001, 1003]
    assert among.seeds[0].tolist() != among.seeds[1].tolist()  # the same tracks under another pid


def test_random_seeds_are_uniform(build_challenge):
    case = build_challenge([LONG[:30]] * 400, challenge_reuse=True, min_truth=5)[0]["challenge"]["title_random_25"]
    given = np.bincount(case.seeds.values, minlength=23)[3:]  # of the known tracks, each 25/30 of 400 times
    assert (np.abs(given - 400 * 25 / 30) < 4 * np.sqrt(400 * 25 / 30 * 5 / 30)).all()


def test_a_playlist_goes_to_one_scenario_that_it_fits(build_challenge):
    playlists = [LONG, LONG[:12], LONG[:60], LONG[:4]] * 50
    cases, counts = build_challenge(playlists, min_truth=2)
    dealt = {name: case.playlist_ids.tolist() for name, case in cases["challenge"].items()}
    assert sorted(number for ids in dealt.values() for number in ids) == list(range(1, 201))
    for scenario in SCENARIOS:
        for playlist_id in dealt[scenario.case]:
            assert len(playlists[playlist_id - 1]) >= scenario.num_seeds + 2
    assert counts == {"challenge": {"playlists": 200, "unseen_tracks": 0, "too_short": 0}}
    # Long playlists are spread over all ten: each gets 5 of 50 in the mean.
    long_ones = {name: sum(number % 4 == 1 for number in ids) for name, ids in dealt.items()}
    assert min(long_ones.values()) >= 1
    # Another playlist does not move one.
    fewer, _ = build_challenge(playlists[:100], min_truth=2)
    for name, case in fewer["challenge"].items():
        assert case.playlist_ids.tolist() == [number for number in dealt[name] if number <= 100]


def test_playlists_with_unseen_tracks_are_left_out_unless_asked_for(build_challenge, caplog):
    playlists = [LONG[:8], [*LONG[:8], 135]]
    cases, counts = build_challenge(playlists, challenge_reuse=True)
    assert cases["challenge"]["title_only"].playlist_ids.tolist() == [1]
    assert counts["challenge"]["unseen_tracks"] == 1
    assert caplog.messages == [
        "challenge: 1 of 2 test playlists are left out, as training lacks a track of theirs (challenge_closed)"
    ]
    cases, counts = build_challenge(playlists, challenge_reuse=True, challenge_closed=False)
    case = cases["challenge"]["title_only"]
    assert case.playlist_ids.tolist() == [1, 2]
    assert case.num_truth.tolist() == [8, 9]
    assert counts["challenge"]["unseen_tracks"] == 0


def test_a_playlist_without_a_title_fits_two_scenarios(build_challenge):
    cases, _ = build_challenge([LONG], titles=["", " "], challenge_reuse=True)
    assert list(cases["challenge"]) == ["first_5", "first_10"]


def test_lengths_and_limits(build_challenge):
    cases, counts = build_challenge([LONG[:7], LONG[:6], [0]], challenge_reuse=True, max_playlists=1)
    assert {name: len(case) for name, case in cases["challenge"].items()} == {
        "title_only": 1,
        "title_first_1": 1,
        "title_first_5": 1,
        "first_5": 1,
    }
    assert cases["challenge"]["first_5"].playlist_ids.tolist() == [1]
    assert counts["challenge"]["too_short"] == 1


def test_no_playlist_fits(build_challenge):
    with pytest.raises(UserError, match=r"^evaluate: none of the 2 test playlists fits a scenario .*challenge_closed"):
        build_challenge([[0], [135, 136, 137]])
