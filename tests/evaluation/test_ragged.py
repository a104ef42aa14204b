import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.evaluation.ragged import RaggedArray

LISTS = RaggedArray.from_lists([np.array([1, 2]), np.array([], int), np.array([3])])


def test_lists():
    assert [part.tolist() for part in LISTS] == [[1, 2], [], [3]]
    assert LISTS.lengths.tolist() == [2, 0, 1]
    assert LISTS.rows.tolist() == [0, 0, 2]
    assert LISTS.pad(-1).tolist() == [[1, 2], [-1, -1], [3, -1]]


def test_parts():
    assert [part.tolist() for part in LISTS.slice(1, 3)] == [[], [3]]
    assert [part.tolist() for part in LISTS.take(np.array([2, 0, 2]))] == [[3], [1, 2], [3]]
    joined = RaggedArray.concatenate([LISTS, LISTS.slice(0, 1)])
    assert [part.tolist() for part in joined] == [[1, 2], [], [3], [1, 2]]


def test_no_lists():
    empty = RaggedArray.from_lists([])
    assert (len(empty), list(empty), empty.pad(0).shape) == (0, [], (0, 0))


def test_arrow_and_back():
    column = LISTS.to_arrow()
    assert column.type == pa.list_(pa.int32())
    for copy in (column, pa.chunked_array([column.slice(0, 1), column.slice(1)])):
        assert [part.tolist() for part in RaggedArray.from_arrow(copy)] == [[1, 2], [], [3]]


@pytest.mark.parametrize("offsets", [[0, 2], [1, 3], [0, 2, 1, 3]])
def test_offsets_must_rise_to_the_number_of_values(offsets):
    with pytest.raises(ValueError, match="offsets do not rise from 0 to 3"):
        RaggedArray(np.arange(3), np.array(offsets))
