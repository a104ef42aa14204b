"""``RunManifestDataset``: a handle on the run manifest."""

from playlist_pipeline.datasets.path_dataset import PathDataset
from playlist_pipeline.manifest import RunManifest


class RunManifestDataset(PathDataset[RunManifest, RunManifest]):
    """``RunManifestDataset`` loads the manifest of a workspace, an empty one if there is none yet.

    Example usage for the YAML API:

    ```yaml
    run_manifest:
      type: playlist_pipeline.datasets.RunManifestDataset
      filepath: data/08_reporting/run_manifest.json
    ```

    Example usage for the Python API:

    ```python
    from playlist_pipeline.datasets import RunManifestDataset

    manifest = RunManifestDataset(filepath="data/08_reporting/run_manifest.json").load()
    ```
    """

    def load(self) -> RunManifest:
        """Return the manifest."""
        return RunManifest(self._filepath)

    def save(self, data: RunManifest) -> None:
        """Write the manifest to its own file."""
        data.save()

    def _exists(self) -> bool:
        return self._filepath.is_file()
