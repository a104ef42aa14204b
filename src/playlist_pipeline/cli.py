"""``kedro run`` as Kedro has it, except that what a user can mend is told in one line, and ``kedro results``."""

import copy
import traceback
from pathlib import Path
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.validation.exceptions import ParameterValidationError

from playlist_pipeline.config import show_name
from playlist_pipeline.errors import PLACE_ERRORS, UserError, in_one_line


@click.group(name="playlist_pipeline")
def cli() -> None:
    """Commands of this project."""


def explain(error: BaseException | None) -> str | None:
    """Return the line that tells a user what to mend, or None if the error is a bug."""
    while error is not None:
        if isinstance(error, UserError | ParameterValidationError | MissingConfigException):
            return str(error)
        if isinstance(error, OSError) and error.errno in PLACE_ERRORS:
            return f"{error.filename or 'standard output or a file without a name'}: {error.strerror}"
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


_read_as_kedro_does: Any = next(option.callback for option in kedro_run.params if option.name == "params")


def _read_params(context: click.Context, option: click.Parameter, value: Any) -> dict[str, Any]:
    """Read ``--params`` as Kedro does.

    Raises:
        click.ClickException: It has another form, or names something twice.
    """
    parts = value.split(",") if isinstance(value, str) else []
    names = [part.partition("=")[0].strip() for part in parts if "=" in part]
    for name in names:
        if names.count(name) > 1:
            raise click.ClickException(f"--params gives {show_name(name)} twice: leave one out")
    try:
        return _read_as_kedro_does(context, option, value)
    except click.UsageError as error:
        raise click.ClickException(in_one_line(error.format_message())) from error
    except Exception as error:  # of YAML and OmegaConf, of a dozen types
        raise click.ClickException(
            f"--params cannot be read ({in_one_line(error)}): give NAME=VALUE, separated by commas"
        ) from error


class RunCommand(click.Command):
    """``kedro run``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse a second ``--params``: of two, click takes the last alone."""
        if sum(arg.partition("=")[0] == "--params" for arg in args) > 1:
            raise click.ClickException("--params is given twice: give it once, its parts separated by commas")
        return super().parse_args(ctx, args)


def _take_options() -> list[click.Parameter]:
    """Return Kedro's options, ``--params`` with our reader."""
    options = [copy.copy(option) for option in kedro_run.params]
    for option in options:
        if option.name == "params":
            option.callback = _read_params
    return options


run = RunCommand(name="run", params=_take_options(), help=kedro_run.help, callback=_run)
cli.add_command(run)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name in the markers <!-- results:NAME --> and <!-- /results:NAME -->.")
@click.option(
    "--metrics",
    type=click.Path(path_type=Path),
    default=Path("data/08_reporting/metrics.json"),
    show_default=True,
    help="Where the figures come from.",
)
@click.option(
    "--study",
    type=click.Path(path_type=Path),
    help="Write the study's tables instead, from study_overall.csv and study_by_history.csv in this folder.",
)
@click.option("--command", default="uv run kedro run", show_default=True, help="Named as what made them.")
@click.option("--commit", help="Named as the commit that made them.")
def results(file: Path, name: str, metrics: Path, study: Path | None, command: str, commit: str | None) -> None:
    """Write the results of protocol first_k, or of the study, into FILE, as tables between two markers."""
    # It stands on plotly, and Kedro imports this module on every command.
    from playlist_pipeline.evaluation.report.markdown import write_results, write_study  # noqa: PLC0415

    try:
        if study is None:
            write_results(file, metrics, name=name, command=command, commit=commit)
        else:
            write_study(file, study, name=name, command=command, commit=commit)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{file}: results:{name} written from {study or metrics}")
