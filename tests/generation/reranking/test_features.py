"""Features of candidates by name, worked out by hand for the playlists of ``conftest.py``."""

import numpy as np
import pytest

from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.generation.reranking.features import FEATURES, describe_candidates
from playlist_pipeline.generation.reranking.first_stage import SCORERS

ALL = 11  # candidates: the whole vocabulary


@pytest.fixture
def describe(stage, seeds_of):
    """Give ``describe(seeds, title=None)``: token of each valid candidate to its features by name."""

    def describe(seeds, title=None):
        found = describe_candidates(stage, seeds_of(seeds), [title], ALL)
        return {
            token: dict(zip(FEATURES, values.astype(float).tolist(), strict=True))
            for token, values, valid in zip(found.tokens[0].tolist(), found.features[0], found.is_valid[0], strict=True)
            if valid
        }

    return describe


def test_every_feature_has_a_name_and_a_column(stage, seeds_of):
    found = describe_candidates(stage, seeds_of([3], [8, UNK]), ["rock", None], 5)
    assert found.features.shape == (2, 5, len(FEATURES))
    assert (found.tokens.dtype, found.features.dtype, found.is_valid.dtype) == (np.int32, np.float16, bool)
    assert len(set(FEATURES)) == len(FEATURES)
    assert np.isfinite(found.features).all()


def test_candidates_are_tracks_of_the_playlists_that_are_no_seeds(describe):
    assert list(describe([4, UNK])) == [3, 5, 6, 7, 8, 9]
    assert list(describe([])) == [3, 4, 5, 6, 7, 8, 9]


def test_the_best_candidates_are_kept_by_rising_token(stage, seeds_of):
    found = describe_candidates(stage, seeds_of([8]), ["jazz"], 1)
    assert found.tokens.tolist() == [[9]]  # the same playlist, title and artist
    few = describe_candidates(stage, seeds_of([8], [3]), ["jazz", None], 4)
    assert (np.diff(few.tokens, axis=1) > 0).all()
    assert few.is_valid.all()


def test_scores_are_told_as_they_are_and_as_logarithms(stage, seeds_of, describe):
    scores = stage.score(seeds_of([3, 7]), ["rock"])
    found = describe([3, 7], "rock")
    for name in SCORERS:
        for token, features in found.items():
            of_track = scores.tracks[name][0, token]
            of_artist = scores.artists[name][0, stage.artists.of_token[token]]
            for prefix, value in (("", of_track), ("artist_", of_artist)):
                assert features[f"{prefix}{name}"] == pytest.approx(value, rel=1e-3, abs=1e-6)
                logarithm = np.log(max(value, 0) + 1e-3)
                assert features[f"{prefix}log_{name}"] == pytest.approx(logarithm, rel=1e-3)
        highest = np.log(scores.highest[name][0] + 1e-6)
        assert features[f"log_highest_{name}"] == pytest.approx(highest, rel=1e-3, abs=1e-3)


def test_counts_of_track_and_artist(describe):
    track = describe([8])[3]
    assert track["log_count"] == pytest.approx(np.log(3), rel=1e-3)
    assert track["log_artist_count"] == pytest.approx(np.log(5), rel=1e-3)  # 3, 4, 3, 4 and 3
    assert track["share_of_artist"] == pytest.approx(3 / 5, rel=1e-3)


def test_the_seeds_artists(describe):
    found = describe([3, 5, UNK])
    for token, same, last in ((4, 1, False), (6, 1, False), (7, 0, False), (8, 0, False)):
        assert found[token]["log_same_artist"] == pytest.approx(np.log1p(same), rel=1e-3)
        assert found[token]["share_same_artist"] == pytest.approx(same / 3, rel=1e-3)
        assert found[token]["is_same_artist"] == (same > 0)
        assert found[token]["is_last_artist"] == last  # nothing is known of the last seed
    found = describe([3, 5])
    assert [found[token]["is_last_artist"] for token in (4, 6, 7)] == [0, 1, 0]


def test_artists_in_the_title(describe):
    found = describe([], "Gamma hits")
    assert {token: features["artist_in_title"] for token, features in found.items()} == {
        token: 0.5 if token == 7 else 0.0 for token in found
    }


def test_what_is_known_of_the_playlist(describe):
    found = describe([3, 4, 5, UNK])
    features = found[8]
    assert features["log_seeds"] == found[6]["log_seeds"]  # the same for all candidates
    assert features["log_seeds"] == pytest.approx(np.log1p(4), rel=1e-3)
    assert features["log_known_seeds"] == pytest.approx(np.log1p(3), rel=1e-3)
    assert features["share_known_seeds"] == 0.75
    assert features["artists_per_seed"] == 0.5
    assert features["share_of_main_artist"] == 0.5
    assert features["seed_log_count"] == pytest.approx(np.log([3, 2, 1]).mean(), rel=1e-3)
    nothing = describe([])[8]
    for name in ("log_seeds", "share_known_seeds", "artists_per_seed", "share_of_main_artist", "seed_log_count"):
        assert nothing[name] == 0
