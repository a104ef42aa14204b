"""``ModelDataset``: a trained model with its configuration and vocabulary."""

from typing import Any

from playlist_pipeline.datasets.path_dataset import PathDataset


class ModelDataset(PathDataset[Any, Any]):
    """``ModelDataset`` saves and loads a model folder: configuration, weights (safetensors) and vocabulary.

    Example usage for the YAML API:

    ```yaml
    model:
      type: playlist_pipeline.datasets.ModelDataset
      filepath: data/06_models/model
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import ModelDataset

    model = ModelDataset(filepath="data/06_models/model").load().model
    ```
    """

    # Flax takes seconds to import, and Kedro imports this module on every command.
    def load(self) -> Any:
        """Return a ``playlist_pipeline.model.weights.LoadedModel``.

        Raises:
            UserError: A file is missing or the files do not belong together.
        """
        from playlist_pipeline.model.weights import load_model  # noqa: PLC0415

        return load_model(self._filepath)

    def save(self, data: Any) -> None:
        """Write a ``LoadedModel``; its ``meta`` is kept beside the configuration."""
        from playlist_pipeline.model.weights import save_model  # noqa: PLC0415

        save_model(self._filepath, data)

    def _exists(self) -> bool:
        return (self._filepath / "config.json").is_file()
