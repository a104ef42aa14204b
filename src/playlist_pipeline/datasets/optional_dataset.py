"""``OptionalDataset``: another dataset's file, which need not be there."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset


class OptionalDataset(AbstractDataset[Any, Any]):
    """``OptionalDataset`` saves and loads as another dataset does, and loads None where its file is missing.

    It is for what a pipeline uses if another one has made it. A preview is that of the other dataset.

    Example usage for the YAML API:

    ```yaml
    tuning_report:
      type: playlist_pipeline.datasets.OptionalDataset
      filepath: data/08_reporting/tuning_report.json
      dataset:
        type: json.JSONDataset
        save_args:
          indent: 2
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import OptionalDataset

    dataset = OptionalDataset(filepath="/tmp/report.json", dataset="json.JSONDataset")
    assert dataset.load() is None
    dataset.save({"a": 1})
    assert dataset.load() == {"a": 1}
    ```
    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: str | dict[str, Any] = "json.JSONDataset",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Make the dataset.

        Args:
            filepath: The file.
            dataset: The other dataset's type, or its type and arguments; ``filepath`` is given to it.
            metadata: Ignored by Kedro; read by plugins.
        """
        self._filepath = Path(filepath)
        config = {"type": dataset} if isinstance(dataset, str) else dataset
        self._dataset: Any = AbstractDataset.from_config("optional", {**config, "filepath": filepath})
        self.metadata = metadata
        if hasattr(self._dataset, "preview"):
            self.preview = self._dataset.preview

    def load(self) -> Any:
        """Return what the other dataset loads, or None if the file is missing."""
        return self._dataset.load() if self._filepath.exists() else None

    def save(self, data: Any) -> None:
        """Save as the other dataset does."""
        self._dataset.save(data)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "dataset": str(self._dataset)}
