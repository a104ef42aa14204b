"""``PartsDataset``: a handle on the slices that an unfinished extraction has read."""

from typing import NoReturn

from kedro.io import DatasetError

from playlist_pipeline.datasets.path_dataset import PathDataset
from playlist_pipeline.fingerprint import code_fingerprint
from playlist_pipeline.mpd.parts import PartStore


class PartsDataset(PathDataset[NoReturn, PartStore]):
    """``PartsDataset`` loads a ``PartStore``, through which an extraction keeps slices and finds them again.

    Example usage for the YAML API:

    ```yaml
    extraction_parts:
      type: playlist_pipeline.datasets.PartsDataset
      filepath: data/02_intermediate/extraction_parts
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import PartsDataset

    store = PartsDataset(filepath="data/02_intermediate/extraction_parts").load()
    ```
    """

    def load(self) -> PartStore:
        """Return the handle; parts that other code has read are not used."""
        return PartStore(self._filepath, code_fingerprint("playlist_pipeline.mpd.slices"))

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: parts are saved through the handle, while an extraction runs."""
        raise DatasetError("parts are saved through the handle that load() returns")

    def clear(self) -> None:
        """Remove the parts; called once everything that was made from them is saved."""
        self.load().clear()

    def fingerprint(self) -> str:
        """Return a constant: parts are extraction's own memory and change no result."""
        return "parts"

    def _exists(self) -> bool:
        return self._filepath.is_dir()
