"""``kedro run`` as Kedro has it, except that what a user can mend is told in one line."""

import errno
import traceback
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.validation.exceptions import ParameterValidationError

from playlist_pipeline.errors import UserError

PLACE_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EISDIR)


@click.group(name="playlist_pipeline")
def cli() -> None:
    """Commands of this project."""


def explain(error: BaseException | None) -> str | None:
    """Return the line that tells a user what to mend, or None if the error is a bug."""
    while error is not None:
        if isinstance(error, UserError | ParameterValidationError | MissingConfigException):
            return str(error)
        if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
            return f"{error.filename}: {error.strerror}"
        if isinstance(error, ValueError) and _raised_by_kedro(error):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _raised_by_kedro(error: BaseException) -> bool:
    """Kedro answers a wrong pipeline, node or dataset name with a bare ValueError."""
    frames = list(traceback.walk_tb(error.__traceback__))
    module = frames[-1][0].f_globals.get("__name__", "") if frames else ""
    return module.startswith(("kedro.framework.session", "kedro.pipeline.pipeline", "kedro.runner"))


def _run(pipeline: str, pipelines: list[str], **options: Any) -> Any:
    """Run pipelines; ``--pipeline`` is the older spelling of ``--pipelines``."""
    if pipeline and not pipelines:
        pipeline, pipelines = "", [pipeline]
    if (options["runner"] or "").endswith("ParallelRunner"):
        raise click.ClickException("--runner=ParallelRunner runs no hooks, which keep the run manifest; leave it out")
    try:
        return kedro_run.callback(pipeline=pipeline, pipelines=pipelines, **options)  # type: ignore[misc]
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        raise click.ClickException(line) from error


run = click.Command(name="run", params=kedro_run.params, help=kedro_run.help, callback=_run)
cli.add_command(run)
