"""``TrialsDataset``: a handle on the finished trials of the tuning."""

from typing import Any, NoReturn

from kedro.io import DatasetError

from playlist_pipeline.datasets.path_dataset import PathDataset


class TrialsDataset(PathDataset[NoReturn, Any]):
    """``TrialsDataset`` loads a ``TrialStore``, through which tuning keeps trials and finds them again.

    Example usage for the YAML API:

    ```yaml
    trial_store:
      type: playlist_pipeline.datasets.TrialsDataset
      filepath: data/06_models/tuning_trials
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import TrialsDataset

    store = TrialsDataset(filepath="data/06_models/tuning_trials").load()
    ```
    """

    def load(self) -> Any:
        """Return the ``playlist_pipeline.evaluation.tuning.TrialStore`` of the folder."""
        # Tuning stands on SciPy, and Kedro imports this module on every command.
        from playlist_pipeline.evaluation.tuning import TrialStore  # noqa: PLC0415

        return TrialStore(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: trials are saved through the handle, while tuning runs."""
        raise DatasetError("trials are saved through the handle that load() returns")

    def fingerprint(self) -> str:
        """Return a constant: trials are tuning's own memory and change no result."""
        return "trials"

    def _exists(self) -> bool:
        return self._filepath.is_dir()
