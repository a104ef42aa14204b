"""``DatabaseDataset``: a handle on the catalog database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playlist_pipeline.corpus.database import Database
from playlist_pipeline.datasets.path_dataset import PathDataset

DatabaseWriter = Callable[[Path], Any]


class DatabaseDataset(PathDataset[DatabaseWriter, Database]):
    """``DatabaseDataset`` loads a read-only handle on the sqlite catalog; it saves by calling what it is given.

    As with the lazy saving of ``PartitionedDataset``, a node returns a function, which is called with the path.
    The handle can also stand for the packed sequences in training: see ``sequences@source`` in the catalog.

    Example usage for the YAML API:

    ```yaml
    catalog_db:
      type: playlist_pipeline.datasets.DatabaseDataset
      filepath: data/03_primary/catalog.db
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import DatabaseDataset

    database = DatabaseDataset(filepath="data/03_primary/catalog.db").load()
    ```
    """

    def load(self) -> Database:
        """Return the handle.

        Raises:
            UserError: There is no such database.
        """
        return Database(self._filepath)

    def save(self, data: DatabaseWriter) -> None:
        """Call ``data`` with the path; it writes the database whole or not at all."""
        data(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.is_file()
