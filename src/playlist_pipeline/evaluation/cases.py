"""Test cases: playlists to be continued from given tracks and a title, and the continuation that was withheld."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.evaluation.metrics import LIST_LENGTH
from playlist_pipeline.evaluation.ragged import RaggedArray

TEST_CASES_SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("case", pa.string(), nullable=False),
        pa.field("playlist_id", pa.int32(), nullable=False),
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("seeds", pa.list_(pa.int32()), nullable=False),
        pa.field("truth", pa.list_(pa.int32()), nullable=False),
        pa.field("num_truth", pa.int32(), nullable=False),
        pa.field("truth_artists", pa.list_(pa.int32()), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class TestCases:
    """The playlists of one case of a protocol, n of them.

    Attributes:
        protocol: Such as ``first_k``.
        case: What is given, by the protocol's name for it; for ``first_k`` the number of seeds.
        playlist_ids: int32 [n], rising.
        pids: int32 [n].
        titles: n titles, None where it is not given.
        seeds: Tokens of the given tracks, in the order of the playlist; where the vocabulary lacks one, ``<unk>`` or a
            stand-in, see ``Vocabulary.seeds_of``.
        truth: Tokens of the known withheld tracks, in the order of the playlist.
        num_truth: Withheld tracks, unknown ones included, int32 [n].
        truth_artists: Artist ids of all withheld tracks, unknown ones included, each artist once, rising.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    protocol: str
    case: str
    playlist_ids: np.ndarray
    pids: np.ndarray
    titles: list[str | None]
    seeds: RaggedArray
    truth: RaggedArray
    num_truth: np.ndarray
    truth_artists: RaggedArray

    def __len__(self) -> int:
        return len(self.playlist_ids)

    @property
    def lengths(self) -> np.ndarray:
        """Unique tracks of each playlist, int64 [n]: seeds and truth together."""
        return self.seeds.lengths + self.num_truth

    def to_table(self) -> pa.Table:
        """Return the cases as a table of ``TEST_CASES_SCHEMA``."""
        columns = {
            "protocol": pa.repeat(self.protocol, len(self)),
            "case": pa.repeat(self.case, len(self)),
            "playlist_id": self.playlist_ids,
            "pid": self.pids,
            "title": pa.array(self.titles, pa.string()),
            "seeds": self.seeds.to_arrow(),
            "truth": self.truth.to_arrow(),
            "num_truth": self.num_truth,
            "truth_artists": self.truth_artists.to_arrow(),
        }
        return pa.Table.from_pydict(columns, schema=TEST_CASES_SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> "TestCases":
        """Read one case from a table of ``TEST_CASES_SCHEMA``.

        Args:
            table: One row or more, all of the same protocol and case.

        Raises:
            ValueError: The rows are of several cases, or there is none.
        """
        names = table.select(["protocol", "case"]).group_by(["protocol", "case"]).aggregate([]).to_pylist()
        if len(names) != 1:
            raise ValueError(f"a table of {len(names)} cases, where one is wanted")
        return cls(
            **names[0],
            playlist_ids=table["playlist_id"].to_numpy(),
            pids=table["pid"].to_numpy(),
            titles=table["title"].to_pylist(),
            seeds=RaggedArray.from_arrow(table["seeds"]),
            truth=RaggedArray.from_arrow(table["truth"]),
            num_truth=table["num_truth"].to_numpy(),
            truth_artists=RaggedArray.from_arrow(table["truth_artists"]),
        )


CasesByProtocol = Mapping[str, Mapping[str, TestCases]]


def cases_to_table(cases: CasesByProtocol) -> pa.Table:
    """Put all cases into one table of ``TEST_CASES_SCHEMA``."""
    return pa.concat_tables([part.to_table() for parts in cases.values() for part in parts.values()])


def cases_from_table(table: pa.Table) -> dict[str, dict[str, TestCases]]:
    """Undo ``cases_to_table``: protocol, then case, in the order of the table, for those that have playlists."""
    cases: dict[str, dict[str, TestCases]] = {}
    for protocol in table["protocol"].unique().to_pylist():
        rows = table.filter(pc.field("protocol") == protocol)
        cases[protocol] = {
            case: TestCases.from_table(rows.filter(pc.field("case") == case))
            for case in rows["case"].unique().to_pylist()
        }
    return cases


def pool_cases(cases: Mapping[str, TestCases], name: str) -> TestCases | None:
    """Join the cases of a protocol in their order; None if a playlist stands in two of them or there is one case.

    The playlist ids of the result are those of the cases one after the other, so they do not rise.
    """
    parts = list(cases.values())
    playlist_ids = np.concatenate([part.playlist_ids for part in parts])
    if len(parts) == 1 or len(np.unique(playlist_ids)) < len(playlist_ids):
        return None
    return TestCases(
        protocol=parts[0].protocol,
        case=name,
        playlist_ids=playlist_ids,
        pids=np.concatenate([part.pids for part in parts]),
        titles=[title for part in parts for title in part.titles],
        seeds=RaggedArray.concatenate([part.seeds for part in parts]),
        truth=RaggedArray.concatenate([part.truth for part in parts]),
        num_truth=np.concatenate([part.num_truth for part in parts]),
        truth_artists=RaggedArray.concatenate([part.truth_artists for part in parts]),
    )


def compute_ceiling(cases: TestCases, *, k: int = LIST_LENGTH) -> float:
    """Compute the best mean recall that lists of ``k`` tracks of the vocabulary can reach.

    Formula: mean over playlists of ``min(known truth, k) / |G|``. Bounds: 0 to 1.

    Args:
        cases: At least one playlist.
        k: Length of a list.
    """
    return float(np.mean(np.minimum(cases.truth.lengths, k) / cases.num_truth))
