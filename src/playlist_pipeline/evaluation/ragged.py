"""Lists of different lengths in two arrays."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class RaggedArray:
    """Lists of int32, one after the other; element i is list i, a view.

    Attributes:
        values: int32 [m].
        offsets: int64 [n + 1]; list i is ``values[offsets[i]:offsets[i + 1]]``.
    """

    def __init__(self, values: np.ndarray, offsets: np.ndarray) -> None:
        """Wrap arrays.

        Raises:
            ValueError: The offsets do not rise from 0 to the number of values.
        """
        self.values, self.offsets = np.asarray(values, np.int32), np.asarray(offsets, np.int64)
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.values) or (np.diff(self.offsets) < 0).any():
            raise ValueError(f"offsets do not rise from 0 to {len(self.values)}")

    @classmethod
    def from_lengths(cls, values: np.ndarray, lengths: np.ndarray) -> "RaggedArray":
        """Cut ``values`` into lists of these lengths."""
        return cls(values, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

    @classmethod
    def from_lists(cls, lists: Iterable[np.ndarray]) -> "RaggedArray":
        """Put lists one after the other."""
        arrays = list(lists)
        return cls.from_lengths(
            np.concatenate([np.empty(0, np.int32), *arrays]), np.array([len(a) for a in arrays], int)
        )

    @classmethod
    def concatenate(cls, parts: Sequence["RaggedArray"]) -> "RaggedArray":
        """Put the lists of several arrays one after the other."""
        values, lengths = zip(*((part.values, part.lengths) for part in parts), strict=True)
        return cls.from_lengths(np.concatenate(values), np.concatenate(lengths))

    @classmethod
    def from_arrow(cls, column: pa.ChunkedArray | pa.Array) -> "RaggedArray":
        """Read a list column without nulls."""
        return cls.from_lengths(pc.list_flatten(column).to_numpy(), pc.list_value_length(column).to_numpy())

    def to_arrow(self) -> pa.Array:
        """Return the lists as a list column."""
        return pa.LargeListArray.from_arrays(self.offsets, self.values).cast(pa.list_(pa.int32()))

    @property
    def lengths(self) -> np.ndarray:
        """Length of each list, int64 [n]."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """Which list each value belongs to, int64 [m]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def slice(self, start: int, end: int) -> "RaggedArray":
        """Return lists ``start`` to ``end``, the last excluded."""
        offsets = self.offsets[start : end + 1]
        return RaggedArray(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def take(self, indices: np.ndarray) -> "RaggedArray":
        """Return the lists at ``indices``, in that order."""
        lengths = self.lengths[indices]
        starts = self.offsets[indices] - (np.cumsum(lengths) - lengths)
        return RaggedArray.from_lengths(self.values[np.arange(lengths.sum()) + np.repeat(starts, lengths)], lengths)

    def pad(self, fill: int) -> np.ndarray:
        """Return int32 [n, longest], filled up on the right."""
        listed = np.arange(self.lengths.max(initial=0)) < self.lengths[:, None]
        padded = np.full(listed.shape, fill, np.int32)
        padded[listed] = self.values
        return padded
