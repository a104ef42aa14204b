"""``RerankerDataset``: the fitted second stage."""

from typing import Any

from playlist_pipeline.datasets.path_dataset import PathDataset


class RerankerDataset(PathDataset[Any, Any]):
    """``RerankerDataset`` saves and loads the folder of a second stage, see ``generation.reranking.reranker``.

    Example usage for the YAML API:

    ```yaml
    reranker:
      type: playlist_pipeline.datasets.RerankerDataset
      filepath: data/06_models/reranker
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import RerankerDataset

    state = RerankerDataset(filepath="data/06_models/reranker").load()
    ```
    """

    # Flax takes seconds to import, and Kedro imports this module on every command.
    def load(self) -> Any:
        """Return a ``playlist_pipeline.generation.reranking.reranker.RerankerState``.

        Raises:
            UserError: A file is missing or the files do not belong together.
        """
        from playlist_pipeline.generation.reranking.reranker import load_reranker  # noqa: PLC0415

        return load_reranker(self._filepath)

    def save(self, data: Any) -> None:
        """Write a ``RerankerState``."""
        from playlist_pipeline.generation.reranking.reranker import save_reranker  # noqa: PLC0415

        save_reranker(self._filepath, data)

    def _exists(self) -> bool:
        return (self._filepath / "config.json").is_file()
