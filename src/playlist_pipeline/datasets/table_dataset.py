"""``TableDataset``: an Arrow table in one Parquet file."""

from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset

from playlist_pipeline.files import write_file


class TableDataset(AbstractDataset[pa.Table, pa.Table]):
    """``TableDataset`` saves a ``pyarrow.Table`` as Parquet, whole or not at all, and loads it again.

    It has no preview on purpose: Kedro-Viz would read the whole file for it.

    Example usage for the YAML API:

    ```yaml
    tracks:
      type: playlist_pipeline.datasets.TableDataset
      filepath: data/02_intermediate/tracks.parquet
      save_args:
        compression: zstd
    ```

    Example usage for the Python API:

    ```python
    import pyarrow as pa
    from playlist_pipeline.datasets import TableDataset

    dataset = TableDataset(filepath="/tmp/table.parquet")
    dataset.save(pa.table({"a": [1, 2]}))
    assert dataset.load().num_rows == 2
    ```
    """

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {"compression": "zstd"}

    def __init__(
        self, *, filepath: str, save_args: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Make the dataset.

        Args:
            filepath: The Parquet file.
            save_args: Given to ``pyarrow.parquet.write_table``.
            metadata: Ignored by Kedro; read by plugins.
        """
        self._filepath = Path(filepath)
        self._save_args = self.DEFAULT_SAVE_ARGS | (save_args or {})
        self.metadata = metadata

    def load(self) -> pa.Table:
        """Return the table."""
        return pq.read_table(self._filepath)

    def save(self, data: pa.Table) -> None:
        """Write the table beside the file and move it into its place."""
        with write_file(self._filepath) as written:
            pq.write_table(data, written, **self._save_args)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "save_args": self._save_args}
