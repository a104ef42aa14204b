"""Percentile bootstrap of means over playlists."""

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
    num_playlists, num_columns = values.shape
    if num_playlists == 0:
        raise ValueError("no playlists to take a mean of")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    # Deviations from the first row are exactly zero in a constant column, so that its interval has no width.
    deviations = values - values[0]
    rng = np.random.default_rng(seed)
    means = np.empty((num_samples, num_columns))
    chunk = max(1, MAX_DRAWS // num_playlists)
    for start in range(0, num_samples, chunk):
        size = min(chunk, num_samples - start)
        drawn = rng.integers(num_playlists, size=(size, num_playlists))
        drawn += np.arange(size)[:, None] * num_playlists
        counts = np.bincount(drawn.ravel(), minlength=size * num_playlists).reshape(size, num_playlists)
        means[start : start + size] = counts.astype(np.float64) @ deviations / num_playlists
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return values[0] + deviations.mean(axis=0), values[0] + low, values[0] + high
