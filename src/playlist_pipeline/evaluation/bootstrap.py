"""Percentile bootstrap of means over playlists, and of their ratios."""

import numpy as np

MAX_DRAWS = 1 << 22  # drawn at a time: 32 MiB of indices, whatever the number of playlists or resamples


def bootstrap_means(
    values: np.ndarray, *, num_samples: int, confidence: float, seed: int | tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the mean of each column and its percentile bootstrap interval.

    A resample draws n playlists with replacement and is shared by all columns: systems and metrics that stand side
    by side are compared on the same playlists (paired). Time is proportional to ``n * num_samples``; beside
    ``values``, memory is bounded by the larger of ``n`` and 4 million draws.

    Args:
        values: Figures of n playlists in m columns, float64 [n, m].
        num_samples: Resamples.
        confidence: Level of the interval, for instance 0.95.
        seed: Of the resamples; equal seeds and n give equal resamples.

    Returns:
        Mean, lower and upper end, float64 [m] each. One playlist, or a constant column, gives an interval of no width.

    Raises:
        ValueError: There is no playlist, or a value is not finite.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    # Deviations from the first row are exactly zero in a constant column, so that its interval has no width.
    deviations = values - values[:1]
    means = resample_means(deviations, num_samples=num_samples, seed=seed)
    low, high = _find_ends(means, confidence)
    return values[0] + deviations.mean(axis=0), values[0] + low, values[0] + high


def bootstrap_ratios(
    values: np.ndarray, references: np.ndarray, *, num_samples: int, confidence: float, seed: int | tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the ratio of two means for each column and its percentile bootstrap interval.

    The resamples are those of ``bootstrap_means`` and shared by values and references (paired).

    Args:
        values: Figures of n playlists in m columns, float64 [n, m].
        references: What they are divided by, float64 [n, m], none negative.
        num_samples: Resamples.
        confidence: Level of the interval, for instance 0.95.
        seed: Of the resamples.

    Returns:
        Ratio, lower and upper end, float64 [m] each. The ratio is NaN where the references' mean is 0, and so are the
        ends where it is 0 in a resample.

    Raises:
        ValueError: There is no playlist, or a value is not finite.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    num_columns = values.shape[1]
    both = np.concatenate([values, references], axis=1)
    resampled = resample_means(both, num_samples=num_samples, seed=seed)
    means = np.concatenate([both.mean(axis=0, keepdims=True), resampled])
    below = means[:, num_columns:]
    ratios = means[:, :num_columns] / np.where(below == 0, np.nan, below)
    return ratios[0], *_find_ends(ratios[1:], confidence)


def resample_means(values: np.ndarray, *, num_samples: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """Return the means of the columns in each resample of the rows, float64 [num_samples, m]; see ``bootstrap_means``.

    Raises:
        ValueError: There is no row, or a value is not finite.
    """
    num_playlists, num_columns = values.shape
    if num_playlists == 0:
        raise ValueError("no playlists to take a mean of")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    rng = np.random.default_rng(seed)
    means = np.empty((num_samples, num_columns))
    chunk = max(1, MAX_DRAWS // num_playlists)
    for start in range(0, num_samples, chunk):
        size = min(chunk, num_samples - start)
        drawn = rng.integers(num_playlists, size=(size, num_playlists))
        drawn += np.arange(size)[:, None] * num_playlists
        counts = np.bincount(drawn.ravel(), minlength=size * num_playlists).reshape(size, num_playlists)
        means[start : start + size] = counts.astype(np.float64) @ values / num_playlists
    return means


def _find_ends(means: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper percentiles of resamples [num_samples, m], float64 [m] each."""
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high
