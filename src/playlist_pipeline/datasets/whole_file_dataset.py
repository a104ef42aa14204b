"""``WholeFileDataset``: another dataset's file, written whole or not at all."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from playlist_pipeline.files import write_file


class WholeFileDataset(AbstractDataset[Any, Any]):
    """``WholeFileDataset`` saves and loads as another dataset does, and replaces the file only once it is written.

    The datasets of kedro-datasets write into the file itself: a full disk or a killed run would cost the older one.
    A preview is that of the other dataset.

    Example usage for the YAML API:

    ```yaml
    tuning_report:
      type: playlist_pipeline.datasets.WholeFileDataset
      filepath: data/08_reporting/tuning_report.json
      dataset:
        type: json.JSONDataset
        save_args:
          indent: 2
      optional: true
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import WholeFileDataset

    dataset = WholeFileDataset(filepath="/tmp/report.json", dataset="json.JSONDataset", optional=True)
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
        optional: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Make the dataset.

        Args:
            filepath: The file.
            dataset: The other dataset's type, or its type and arguments; ``filepath`` is given to it.
            optional: A missing file loads as None: for what a pipeline uses if another one has made it.
            metadata: Ignored by Kedro; read by plugins.
        """
        self._filepath = Path(filepath)
        self._config = {"type": dataset} if isinstance(dataset, str) else dataset
        self._optional = optional
        self._dataset = self._make_dataset(self._filepath)
        self.metadata = metadata
        if hasattr(self._dataset, "preview"):
            self.preview = self._dataset.preview

    def _make_dataset(self, path: Path) -> Any:
        return AbstractDataset.from_config(path.name, {**self._config, "filepath": str(path)})

    def load(self) -> Any:
        """Return what the other dataset loads; None if the file is missing and optional."""
        return None if self._optional and not self._filepath.exists() else self._dataset.load()

    def save(self, data: Any) -> None:
        """Save as the other dataset does, beside the file, and move that into its place.

        Raises:
            UserError: The disk is full, or the place cannot be written.
        """
        with write_file(self._filepath) as written:
            self._make_dataset(written).save(data)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "dataset": self._config, "optional": self._optional}
