"""The project's data catalog: an artifact exists when it is there and still stands for today's inputs."""

from typing import Any

from kedro.io import DataCatalog, DatasetError

from playlist_pipeline.errors import UserError, in_one_line


class ManifestCatalog(DataCatalog):
    """A ``DataCatalog`` in which a stale artifact counts as missing.

    ``kedro run --only-missing-outputs`` asks ``exists``; Kedro itself looks at existence alone. The names in
    ``stale`` are set by :class:`playlist_pipeline.hooks.ManifestHooks` before each run.
    """

    stale: frozenset[str] = frozenset()

    @classmethod
    def from_config(cls, catalog: dict[str, dict[str, Any]] | None, *args: Any, **options: Any) -> DataCatalog:
        """Make a catalog, as Kedro does.

        Raises:
            UserError: An entry is no mapping, or lacks its type.
        """
        try:
            return super().from_config(catalog, *args, **options)
        except DatasetError as error:
            raise UserError(f"conf/*/catalog*.yml: {in_one_line(error)}") from error

    def check(self, names: set[str]) -> None:
        """Make datasets, which Kedro puts off until the first node that needs them.

        Raises:
            UserError: The type of an entry does not exist, or does not take its arguments.
        """
        for name in sorted(names):
            try:
                self.get(name)
            except (DatasetError, TypeError, ValueError) as error:
                raise UserError(f"conf/*/catalog*.yml, {name}: {in_one_line(error)}") from error

    def exists(self, ds_name: str) -> bool:
        """Return whether the dataset's data is there and not stale."""
        return ds_name not in self.stale and super().exists(ds_name)
