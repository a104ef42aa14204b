"""The project's data catalog: an artifact exists when it is there and still stands for today's inputs."""

from kedro.io import DataCatalog


class ManifestCatalog(DataCatalog):
    """A ``DataCatalog`` in which a stale artifact counts as missing.

    ``kedro run --only-missing-outputs`` asks ``exists``; Kedro itself looks at existence alone. The names in
    ``stale`` are set by :class:`playlist_pipeline.hooks.ManifestHooks` before each run.
    """

    stale: frozenset[str] = frozenset()

    def exists(self, ds_name: str) -> bool:
        """Return whether the dataset's data is there and not stale."""
        return ds_name not in self.stale and super().exists(ds_name)
