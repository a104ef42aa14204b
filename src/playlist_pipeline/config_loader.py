"""Kedro's reader of ``conf/``, which names in one line the file that it cannot read."""

from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader

from playlist_pipeline.errors import UserError, in_one_line


class ProjectConfigLoader(OmegaConfigLoader):
    """An ``OmegaConfigLoader`` whose errors are a user's to mend: what it reads is written by hand."""

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the merged configuration of one kind, such as ``parameters``.

        Raises:
            UserError: A file is no YAML or has another form, or a value refers to something that does not exist.
        """
        try:
            return super().__getitem__(key)
        except (UserError, MissingConfigException, KeyError):
            raise
        # YAML, OmegaConf and Kedro raise errors of a dozen types, from ParserError to RecursionError.
        except Exception as error:
            place, reason = self._find_broken(key) or (f"{key} from {self.conf_source} and --params", error)
            raise UserError(f"{place} cannot be read ({type(reason).__name__}: {in_one_line(reason)})") from error

    def _find_broken(self, key: str) -> tuple[str, Exception] | None:
        """Return the first file that cannot be read by itself, without --params, and why."""
        given, self.runtime_params = self.runtime_params, {}
        try:
            for env in (self.env or self.default_run_env, self.base_env):
                folder = Path(self.conf_source, env)
                for path in sorted(path for pattern in self.config_patterns[key] for path in folder.glob(pattern)):
                    try:
                        self.load_and_merge_dir_config(str(folder), [str(path.relative_to(folder))], key, set())
                    except Exception as error:
                        return str(path), error
        finally:
            self.runtime_params = given
        return None
