"""``ArchiveDataset``: a handle on an archive of playlist slices."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from playlist_pipeline.mpd.archive import Archive


class ArchiveDataset(AbstractDataset[NoReturn, Archive]):
    """``ArchiveDataset`` loads a handle on a zip or a folder of slices; nothing is unpacked.

    Example usage for the YAML API:

    ```yaml
    mpd_archive:
      type: playlist_pipeline.datasets.ArchiveDataset
      filepath: data/01_raw/sample_mpd.zip
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import ArchiveDataset

    archive = ArchiveDataset(filepath="data/01_raw/sample_mpd.zip").load()
    ```
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Make the dataset.

        Args:
            filepath: The zip file, or a folder that holds slices.
            metadata: Ignored by Kedro; read by plugins.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Archive:
        """Return the handle."""
        return Archive(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: raw data is never written."""
        raise DatasetError("an archive is raw data and is never written; use playlist_pipeline.mpd.synthetic")

    def fingerprint(self) -> str:
        """Return a digest that changes with the archive's content."""
        return self.load().fingerprint

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
