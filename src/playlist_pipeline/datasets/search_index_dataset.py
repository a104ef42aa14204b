"""``SearchIndexDataset``: how the tracks are searched."""

from typing import Any

from playlist_pipeline.datasets.path_dataset import PathDataset


class SearchIndexDataset(PathDataset[Any, Any]):
    """``SearchIndexDataset`` saves and loads the folder of a search index, see ``generation.index``.

    Example usage for the YAML API:

    ```yaml
    search_index:
      type: playlist_pipeline.datasets.SearchIndexDataset
      filepath: data/06_models/search_index
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import SearchIndexDataset

    index = SearchIndexDataset(filepath="data/06_models/search_index").load()
    ```
    """

    # JAX takes seconds to import, and Kedro imports this module on every command.
    def load(self) -> Any:
        """Return a ``playlist_pipeline.generation.index.SearchIndex``; one that cannot be read names its problem."""
        from playlist_pipeline.generation.index import load_index  # noqa: PLC0415

        return load_index(self._filepath)

    def save(self, data: Any) -> None:
        """Write a ``SearchIndex``."""
        from playlist_pipeline.generation.index import save_index  # noqa: PLC0415

        save_index(self._filepath, data)

    def _exists(self) -> bool:
        return (self._filepath / "config.json").is_file()
