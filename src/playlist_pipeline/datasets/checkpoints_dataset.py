"""``CheckpointsDataset``: a handle on the folder of all training runs' checkpoints."""

from typing import Any, NoReturn

from kedro.io import DatasetError

from playlist_pipeline.datasets.path_dataset import PathDataset


class CheckpointsDataset(PathDataset[NoReturn, Any]):
    """``CheckpointsDataset`` loads a ``CheckpointStore``, through which training saves and resumes as it goes.

    Example usage for the YAML API:

    ```yaml
    checkpoints:
      type: playlist_pipeline.datasets.CheckpointsDataset
      filepath: data/06_models/checkpoints
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import CheckpointsDataset

    store = CheckpointsDataset(filepath="data/06_models/checkpoints").load()
    ```
    """

    def load(self) -> Any:
        """Return the ``playlist_pipeline.training.checkpoints.CheckpointStore`` of the folder."""
        # Orbax takes seconds to import, and Kedro imports this module on every command.
        from playlist_pipeline.training.checkpoints import CheckpointStore  # noqa: PLC0415

        return CheckpointStore(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: checkpoints are saved through the handle, while training runs."""
        raise DatasetError("checkpoints are saved through the handle that load() returns")

    def fingerprint(self) -> str:
        """Return a constant: checkpoints are training's own memory and change no result."""
        return "checkpoints"

    def _exists(self) -> bool:
        return self._filepath.is_dir()
