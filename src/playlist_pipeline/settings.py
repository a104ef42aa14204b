"""Kedro's settings of this project; see https://docs.kedro.org/en/stable/configure/configuration_basics/."""

from playlist_pipeline.config_loader import ProjectConfigLoader
from playlist_pipeline.data_catalog import ManifestCatalog
from playlist_pipeline.hooks import ManifestHooks, ParameterHooks

HOOKS = (ParameterHooks(), ManifestHooks())
DATA_CATALOG_CLASS = ManifestCatalog
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An overlay changes the keys that it names and keeps the others.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
