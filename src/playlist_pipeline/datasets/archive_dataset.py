"""``ArchiveDataset``: a handle on an archive of playlist slices."""

from typing import NoReturn

from kedro.io import DatasetError

from playlist_pipeline.datasets.path_dataset import PathDataset
from playlist_pipeline.mpd.archive import Archive


class ArchiveDataset(PathDataset[NoReturn, Archive]):
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
