"""Run the installed package without a Kedro command line: ``python -m playlist_pipeline``."""

import sys
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project's ``run`` command; keeps the interpreter alive in an interactive session."""
    package_name = __name__.partition(".")[0] if __name__ != "__main__" else "playlist_pipeline"
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
