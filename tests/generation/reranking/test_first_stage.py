"""Scores by hand, after the formulas of ``FirstStage``."""

import numpy as np
import pytest
import scipy.sparse as sp

from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.vocabulary import START, UNK
from playlist_pipeline.evaluation.baselines.ranking import build_memberships
from playlist_pipeline.generation.reranking.first_stage import SCORERS, solve_ridge

WEIGHT_OF_3 = 1 / (2**0.44 + 1)  # three playlists hold it
WEIGHT_OF_7 = 1 / (0**0.44 + 1)  # one does


def divide_by_highest(scores, num):
    values = np.zeros(num)
    for place, score in scores.items():
        values[place] = score
    return values / values.max()


def test_counts(stage):
    assert stage.counts.tolist() == [0, 0, 0, 3, 2, 1, 1, 1, 1, 1, 0]
    assert stage.artist_counts.tolist() == [0, 5, 2, 1, 2]


def test_memberships_are_of_known_tracks_and_once():
    sequences = PackedSequences(np.array([3, 5, 3, UNK], np.int32), np.array([0, 2, 4]), np.array([0, 1], np.int32))
    assert build_memberships(sequences, 6).toarray().tolist() == [[0, 0, 0, 1, 0, 1], [0, 0, 0, 1, 0, 0]]


def test_playlists_that_hold_the_seeds(stage, seeds_of):
    scores = stage.score(seeds_of([3, 7, UNK]), [None])
    weights = np.array([WEIGHT_OF_3 / 3**0.5, (WEIGHT_OF_3 + WEIGHT_OF_7) / 4**0.5, 0, WEIGHT_OF_3])
    tracks = {3: weights.sum(), 4: weights[0] + weights[1], 5: weights[0], 6: weights[1], 7: weights[1]}
    np.testing.assert_allclose(scores.tracks["playlists"][0], divide_by_highest(tracks, 11), rtol=1e-5)
    artists = {1: 2**0.5 * (weights[0] + weights[1]) + weights[3], 2: weights[0] + weights[1], 3: weights[1]}
    np.testing.assert_allclose(scores.artists["playlists"][0], divide_by_highest(artists, 5), rtol=1e-5)
    assert scores.highest["playlists"][0] == pytest.approx(weights.sum())


def test_playlists_with_similar_titles(stage, seeds_of):
    scores = stage.score(seeds_of([]), ["ROCK!"])
    # The three titles are rock, rock songs and jazz; of a word in m of them the weight is 1 + ln(4 / (1 + m)).
    rock, songs = 1 + np.log(4 / 3), 1 + np.log(4 / 2)
    similarity = rock / np.hypot(rock, songs)
    weights = np.array([1 / 3**0.5, similarity / 4**0.5])
    tracks = {3: weights.sum(), 4: weights.sum(), 5: weights[0], 6: weights[1], 7: weights[1]}
    np.testing.assert_allclose(scores.tracks["title_words"][0], divide_by_highest(tracks, 11), rtol=1e-5)
    artists = {1: 2**0.5 * weights.sum(), 2: weights.sum(), 3: weights[1]}
    np.testing.assert_allclose(scores.artists["title_words"][0], divide_by_highest(artists, 5), rtol=1e-5)


def test_characters_find_what_words_do_not(stage, seeds_of):
    scores = stage.score(seeds_of([]), ["rocks"])
    assert not scores.tracks["title_words"].any()
    assert scores.tracks["title_characters"][0].argmax() in (3, 4)
    assert not scores.tracks["title_characters"][0, [8, 9, 10]].any()


def test_the_transformer_gives_standardised_logits(stage, model, seeds_of):
    scores = stage.score(seeds_of([3, 7]), [None])
    table = np.asarray(model.embedding.table[...])
    logits = table @ np.asarray(model(np.array([[START, 3, 7]])))[0, -1]
    standardised = (logits - logits.mean()) / logits.std()
    expected = np.maximum(standardised / standardised.max(), -1)
    np.testing.assert_allclose(scores.tracks["transformer"][0], expected, rtol=1e-4, atol=1e-5)
    assert scores.highest["transformer"][0] == pytest.approx(standardised.max(), rel=1e-4)
    # An artist's vector is the mean over the entries by it; nobody's is zero.
    by_artist = np.array([0, logits[[3, 4]] @ [3, 2] / 5, logits[[5, 6]].mean(), logits[7], logits[[8, 9]].mean()])
    of_artists = (by_artist - logits.mean()) / logits.std()
    expected = np.maximum(of_artists / of_artists.max(), -1)
    np.testing.assert_allclose(scores.artists["transformer"][0], expected, rtol=1e-3, atol=1e-4)


def test_all_scorers_answer_without_seeds_and_title(stage, seeds_of):
    scores = stage.score(seeds_of([]), [None])
    for name in SCORERS:
        assert scores.tracks[name].shape == (1, 11)
        assert scores.artists[name].shape == (1, 5)
        assert np.isfinite(scores.tracks[name]).all()
        assert np.isfinite(scores.artists[name]).all()
        assert scores.tracks[name].max() <= 1
        assert scores.tracks[name].min() >= -1


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("Gamma", [(3, 1.0)]),
        ("the Beta Band, live", [(2, 0.5)]),
        ("gamma & alpha & gamma", [(3, 1 / 3), (1, 1 / 3), (3, 1 / 3)]),
        ("beta", []),
        ("gammas", []),
        ("", []),
        (None, []),
    ],
)
def test_artists_whose_whole_name_stands_in_a_title(stage, title, found):
    assert stage.find_artists(title) == [(number, pytest.approx(share)) for number, share in found]


def test_ridge_regression_is_that_of_the_normal_equations():
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(30, 8)), generator.normal(size=(30, 3))
    expected = np.linalg.solve(inputs.T @ inputs + 0.5 * np.eye(8), inputs.T @ targets)
    np.testing.assert_allclose(solve_ridge(sp.csr_matrix(inputs), targets, 0.5), expected, atol=1e-3)
