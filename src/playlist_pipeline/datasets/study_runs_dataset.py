"""``StudyRunsDataset``: a handle on the finished runs of the study."""

from typing import Any, NoReturn

from kedro.io import DatasetError

from playlist_pipeline.datasets.path_dataset import PathDataset


class StudyRunsDataset(PathDataset[NoReturn, Any]):
    """``StudyRunsDataset`` loads a ``StudyStore``, through which the study keeps runs and finds them again.

    Example usage for the YAML API:

    ```yaml
    study_store:
      type: playlist_pipeline.datasets.StudyRunsDataset
      filepath: data/06_models/study_runs
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import StudyRunsDataset

    store = StudyRunsDataset(filepath="data/06_models/study_runs").load()
    ```
    """

    def load(self) -> Any:
        """Return the ``playlist_pipeline.evaluation.study.runs.StudyStore`` of the folder."""
        # The study stands on JAX, and Kedro imports this module on every command.
        from playlist_pipeline.evaluation.study.runs import StudyStore  # noqa: PLC0415

        return StudyStore(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: runs are saved through the handle, while the study goes on."""
        raise DatasetError("runs are saved through the handle that load() returns")

    def fingerprint(self) -> str:
        """Return a constant: runs are the study's own memory and change no result."""
        return "study runs"

    def _exists(self) -> bool:
        return self._filepath.is_dir()
