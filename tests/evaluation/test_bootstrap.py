import numpy as np
import pytest

from playlist_pipeline.evaluation import bootstrap
from playlist_pipeline.evaluation.bootstrap import bootstrap_means, bootstrap_ratios

SETTINGS = {"num_samples": 1000, "confidence": 0.95, "seed": 1}


def test_interval_of_a_normal_sample_is_the_textbook_one():
    values = np.random.default_rng(0).normal(3, 2, size=(2000, 1))
    mean, low, high = bootstrap_means(values, **SETTINGS | {"num_samples": 4000})
    half = 1.96 * values.std() / np.sqrt(len(values))
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose([low[0], high[0]], [mean[0] - half, mean[0] + half], atol=0.1 * half)


def test_two_playlists_by_hand():
    # A resample of {0, 1} has the mean 0, 0.5 or 1 with chances 1/4, 1/2, 1/4.
    _, low, high = bootstrap_means(np.array([[0.0], [1.0]]), **SETTINGS)
    assert (low, high) == (0, 1)
    _, low, high = bootstrap_means(np.array([[0.0], [1.0]]), **SETTINGS | {"confidence": 0.4})
    assert (low, high) == (0.5, 0.5)


@pytest.mark.parametrize("num_playlists", [1, 7, 1000])
def test_constant_column_has_no_width(num_playlists):
    mean, low, high = bootstrap_means(np.full((num_playlists, 2), [0.1, 51.0]), **SETTINGS)
    for end in (mean, low, high):
        assert end.tolist() == [0.1, 51.0]


def test_columns_share_their_resamples():
    values = np.random.default_rng(0).random((50, 1))
    both = bootstrap_means(np.hstack([values, values + 1]), **SETTINGS)
    for end in both:
        assert end[1] == pytest.approx(end[0] + 1, abs=1e-12)


def test_seed_decides():
    values = np.random.default_rng(0).random((50, 3))
    first, again, other = (bootstrap_means(values, **SETTINGS | {"seed": seed}) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[1], other[1])


def test_resamples_do_not_depend_on_the_chunk(monkeypatch):
    values = np.random.default_rng(0).integers(0, 9, (40, 2)).astype(float)
    whole = bootstrap_means(values, **SETTINGS)
    monkeypatch.setattr(bootstrap, "MAX_DRAWS", 130)
    np.testing.assert_array_equal(bootstrap_means(values, **SETTINGS), whole)


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.zeros((0, 3)), "no playlists"), (np.array([[1.0], [np.nan]]), "not finite")],
)
def test_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_means(values, **SETTINGS)


def test_ratio_of_two_playlists_by_hand():
    # A resample has the first playlist 2, 1 or 0 times: ratios 1/4, (1 + 6) / (4 + 2) and 6/2.
    ratio, low, high = bootstrap_ratios(np.array([[1.0], [6.0]]), np.array([[4.0], [2.0]]), **SETTINGS)
    assert (ratio[0], low[0], high[0]) == pytest.approx((7 / 6, 1 / 4, 3))


def test_ratio_of_proportional_columns_has_no_width():
    references = np.random.default_rng(0).random((30, 2)) + 0.1
    for end in bootstrap_ratios(references * [1.0, 1.5], references, **SETTINGS):
        np.testing.assert_allclose(end, [1.0, 1.5], rtol=1e-12)


def test_ratios_share_their_resamples_with_means():
    values = np.random.default_rng(0).random((50, 1))
    means = bootstrap_means(values, **SETTINGS)
    ratios = bootstrap_ratios(values, np.ones((50, 1)), **SETTINGS)
    np.testing.assert_allclose(ratios, means, rtol=1e-12)


def test_ratio_to_nothing_is_nan():
    for end in bootstrap_ratios(np.ones((5, 1)), np.zeros((5, 1)), **SETTINGS):
        assert np.isnan(end).all()
    ratio, *ends = bootstrap_ratios(np.ones((2, 1)), np.array([[1.0], [0.0]]), **SETTINGS)
    assert ratio[0] == 2
    assert np.isnan(ends).all()
