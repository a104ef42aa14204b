"""The command ``playlist``: complete, search, similar, explain and serve from the terminal.

JAX, pandas and the model are imported when a command needs them, so that help and completion answer at once.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from playlist_pipeline.errors import PLACE_ERRORS, UserError

if TYPE_CHECKING:
    from playlist_pipeline.generation.export import GeneratedPlaylist
    from playlist_pipeline.generation.frames import TrackFrame
    from playlist_pipeline.generation.recommender import Recommender
    from playlist_pipeline.generation.seed_files import SeedList

STDIN = "-"
EXIT_ERROR = 1
EXIT_BROKEN_PIPE = 128 + 13  # as a shell reports SIGPIPE


class Output(StrEnum):
    """How playlists are written."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    CSV = "csv"
    M3U8 = "m3u8"
    XSPF = "xspf"
    URIS = "uris"


class FrameOutput(StrEnum):
    """How tracks that were found are written."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"


class Order(StrEnum):
    """How a completed playlist is ordered."""

    FIXED = "fixed"
    SIMILAR = "similar"


class Commands(TyperGroup):
    """Tells in one line what a user can mend."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; status 1 after an error that a user can mend."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            line = str(error)
        except OSError as error:
            if error.errno == errno.EPIPE:
                # The interpreter flushes standard output once more when it ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(EXIT_BROKEN_PIPE) from None
            if error.errno not in PLACE_ERRORS:
                raise
            line = f"{error.filename or 'standard output'}: {error.strerror}"
        typer.echo(f"Error: {line}", err=True)
        raise typer.Exit(EXIT_ERROR)


app = typer.Typer(
    cls=Commands,
    name="playlist",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command has its own help: playlist complete --help",
)

ModelOption = Annotated[
    Path,
    typer.Option(
        "--model",
        "-m",
        envvar="PLAYLIST_PIPELINE_MODEL",
        metavar="FOLDER",
        help="A workspace, the folder that the pipeline wrote to, or the folder of a model.",
    ),
]
FrameFormatOption = Annotated[
    FrameOutput | None,
    typer.Option("--format", help="How to show the tracks; by default a table on a terminal, tsv in a pipe."),
]
TrackArgument = Annotated[str, typer.Argument(metavar="TRACK", help='A URI, a link, or "artist - title".')]


@app.callback()
def start() -> None:
    """Complete playlists, and look around in a trained model.

    \b
    playlist search first love
    playlist complete "Queen - Jealousy" "Björk - Jóga" --length 40
    playlist complete --file road-trip.m3u8 --output longer.m3u8
    """  # noqa: D301
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that does not know a letter shows another


@app.command()
def complete(
    seeds: Annotated[
        list[str] | None,
        typer.Argument(metavar="SEED", help='Tracks to begin with: URIs, links, or "artist - title".'),
    ] = None,
    model: ModelOption = Path("data"),
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Take the seeds from a text file, M3U, CSV, JSON or XSPF, one playlist or many; - is standard input.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The playlist's title, which the model takes in.")] = None,
    format: Annotated[
        Output | None,
        typer.Option("--format", help="How to write the playlists; by default a table on a terminal, tsv in a pipe."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write into a file, whose suffix names the format: .json, .csv, .m3u8, .xspf, or .txt for URIs.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="The same number draws the same playlist, another one another.")
    ] = 0,
    length: Annotated[
        int | None,
        typer.Option("--length", "-n", help="Tracks of the finished playlist, seeds included (default 30)."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            help="Draw each track among so many best (default 50); 1 takes the best, more gives more surprise."
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Small keeps to the best of them, large takes them all alike (default 1)."),
    ] = None,
    eop_weight: Annotated[
        float | None,
        typer.Option(
            help="Above 0 the model may end the playlist before its length, the larger the sooner (default 0)."
        ),
    ] = None,
    max_per_artist: Annotated[
        int | None, typer.Option(help="No artist gets more tracks than this, seeds included.")
    ] = None,
    max_per_album: Annotated[
        int | None, typer.Option(help="No album gets more tracks than this, seeds included.")
    ] = None,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="Let further versions of a song in, which are left out otherwise.")
    ] = False,
    popularity_penalty: Annotated[
        float | None, typer.Option(help="Above 0 rare tracks move up, the larger the rarer (default 0).")
    ] = None,
    diversity: Annotated[
        float | None,
        typer.Option(help="0 to 1: the larger, the less alike the tracks of the playlist are (default 0)."),
    ] = None,
    allow_tracks: Annotated[
        list[str] | None,
        typer.Option("--allow-track", metavar="TRACK", help="Add only this track; give it again for others."),
    ] = None,
    allow_artists: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-artist", metavar="ARTIST", help="Add only tracks of this artist, a name or URI; likewise."
        ),
    ] = None,
    deny_tracks: Annotated[
        list[str] | None, typer.Option("--deny-track", metavar="TRACK", help="Never add this track; likewise.")
    ] = None,
    deny_artists: Annotated[
        list[str] | None,
        typer.Option("--deny-artist", metavar="ARTIST", help="Never add tracks of this artist; likewise."),
    ] = None,
    order: Annotated[
        Order | None,
        typer.Option(
            help="fixed puts the seeds first, as given (default); similar puts each track beside one like it."
        ),
    ] = None,
) -> None:
    """Complete a playlist, or many from a file.

    Without any seed the model begins by itself. A pipe gets a line for each track: playlist, position, URI, title,
    artist, album, whether it was given, and link, separated by tabs. What is to be known about the result, such as
    seeds that the model does not know, stands on standard error.

    \b
    playlist complete "Queen - Jealousy" https://open.spotify.com/track/...
    playlist complete --name "road trip" --max-per-artist 2 --diversity 0.5
    playlist complete --file seeds.csv --output playlists.json
    """  # noqa: D301
    if seeds and file is not None:
        raise typer.BadParameter("give seeds or --file, not both", param_hint="--file")
    if output is not None and format in (Output.TABLE, Output.TSV):
        raise typer.BadParameter(f"{format.value} is for the terminal and pipes", param_hint="--format")
    controls: dict[str, Any] = {
        "length": length,
        "top_k": top_k,
        "temperature": temperature,
        "eop_weight": eop_weight,
        "max_per_artist": max_per_artist,
        "max_per_album": max_per_album,
        "unique_songs": False if all_versions else None,
        "popularity_penalty": popularity_penalty,
        "diversity": diversity,
        "allow_tracks": allow_tracks,
        "allow_artists": allow_artists,
        "deny_tracks": deny_tracks,
        "deny_artists": deny_artists,
        "order": order.value if order else None,
    }
    chosen = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in controls.items()
        if value not in (None, [])
    }
    given = _read_seeds(seeds or (), file, name)
    _check_format(output, format, len(given))
    playlists = _load_recommender(model).complete_many(
        [one.seeds for one in given], names=[one.name for one in given], seed=seed, **chosen
    )
    _show_playlists(playlists, format, output)


@app.command()
def search(
    text: Annotated[list[str], typer.Argument(help="Words of title, artist or album; or a URI or a link.")],
    model: ModelOption = Path("data"),
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many tracks at most.")] = 10,
    format: FrameFormatOption = None,
) -> None:
    """Find tracks by words.

    A pipe gets a line for each track: URI, title, artist, album, how often it stands in training playlists, whether the
    model knows it, and link, separated by tabs.

    \b
    playlist search bohemian rhapsody
    playlist search bohemian rhapsody | cut -f 1
    """  # noqa: D301
    words = " ".join(text)
    frame = _load_recommender(model).search(words, limit=limit)
    if frame.empty:
        from playlist_pipeline.generation.lookup import quote_text  # noqa: PLC0415

        raise UserError(f"no track matches {quote_text(words)}: give fewer words, or other ones")
    _show_frame(frame, format)


@app.command()
def similar(
    track: TrackArgument,
    model: ModelOption = Path("data"),
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many tracks.")] = 10,
    format: FrameFormatOption = None,
) -> None:
    """Find the tracks that the model holds most alike.

    A pipe gets a line for each track: rank, URI, title, artist, album, score and link, separated by tabs.

    playlist similar "Queen - Jealousy"
    """
    _show_frame(_load_recommender(model).similar(track, k=limit), format)


@app.command()
def explain(
    track: TrackArgument,
    seeds: Annotated[list[str], typer.Argument(metavar="SEED", help="The tracks that were given.")],
    model: ModelOption = Path("data"),
    format: FrameFormatOption = None,
) -> None:
    """Show what a track has to do with the seeds, the nearest first.

    A pipe gets a line for each seed: URI, title, artist, similarity by the model's vectors (cosine), training playlists
    that hold both, training playlists that hold the seed, and link, separated by tabs.

    playlist explain "Queen - Innuendo" "Queen - Jealousy" "Björk - Jóga"
    """
    _show_frame(_load_recommender(model).explain(track, seeds), format)


@app.command()
def pack(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="To be made.")],
    model: ModelOption = Path("data"),
) -> None:
    """Copy what the other commands need of a workspace into a folder of its own.

    Model, second stage, search index and catalog: all that --model asks for, to be moved to another machine.
    """
    from playlist_pipeline.generation.packing import pack_model  # noqa: PLC0415

    size = pack_model(model, target)
    typer.echo(f"{target}: {size / 1e6:.1f} MB")


@app.command()
def serve(
    model: ModelOption = Path("data"),
    host: Annotated[
        str, typer.Option("--host", help="The address to listen at; the default is reached from this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the web page and its API until Ctrl-C.

    playlist serve --port 8080
    """
    try:
        importlib.import_module("playlist_pipeline.serving").run(model, host=host, port=port)
    except ModuleNotFoundError as error:
        raise UserError(
            f"serve needs {error.name}, which is not installed: pip install 'playlist_pipeline[serve]'"
        ) from error


def _load_recommender(model: Path) -> "Recommender":
    from playlist_pipeline.generation.recommender import Recommender  # noqa: PLC0415

    return Recommender.load(model)


def _read_seeds(seeds: Sequence[str], file: str | None, name: str | None) -> "list[SeedList]":
    """Return the seeds of each playlist; a title that is given goes before that of the file."""
    from playlist_pipeline.generation.seed_files import (  # noqa: PLC0415
        MAX_BYTES,
        SeedList,
        parse_seeds,
        read_seed_file,
    )

    if file is None:
        return [SeedList(name, tuple(seeds))]
    if file == STDIN:
        file = "standard input"
        given = parse_seeds(sys.stdin.buffer.read(MAX_BYTES + 1), source=file)
    else:
        given = read_seed_file(file)
    if not given:
        raise UserError(f"{file} names no seed: give one a line, or one of the other formats")
    if name is None:
        return given
    if len(given) > 1:
        raise UserError(
            f"--name names one playlist, but {file} has {len(given)}: leave it out, or name them in the file"
        )
    return [SeedList(name, given[0].seeds)]


def _check_format(output: Path | None, format: Output | None, num_playlists: int) -> None:
    """Refuse what cannot be written before anything is computed."""
    from playlist_pipeline.generation.formats import find_format, require_fit  # noqa: PLC0415

    if output is not None:
        find_format(output, format and format.value)
    elif format not in (None, Output.TABLE, Output.TSV):
        require_fit(format.value, num_playlists)


def _show_playlists(playlists: "Sequence[GeneratedPlaylist]", format: Output | None, output: Path | None) -> None:
    from playlist_pipeline.generation.export import list_notes, show_playlists  # noqa: PLC0415
    from playlist_pipeline.generation.formats import format_as, write_playlists  # noqa: PLC0415

    if output is None and (format or _choose_default()) == Output.TABLE:
        show_playlists([playlist.to_dict() for playlist in playlists])
        return
    if output is not None:
        for path in write_playlists(output, playlists, format and format.value):
            typer.echo(f"written: {path}", err=True)
    elif format in (None, Output.TSV):
        for number, playlist in enumerate(playlists, start=1):
            frame = playlist.to_frame()
            frame.insert(0, "playlist", number)
            _write(frame.to_lines())
    else:
        _write(format_as(playlists, format.value))
    for number, playlist in enumerate(playlists, start=1):
        for note in list_notes(playlist.to_dict()):
            typer.echo(f"playlist {number}: {note}" if len(playlists) > 1 else note, err=True)


def _show_frame(frame: "TrackFrame", format: FrameOutput | None) -> None:
    from rich.console import Console  # noqa: PLC0415

    from playlist_pipeline.generation.frames import TABLE_WIDTH, render_frame  # noqa: PLC0415

    format = format or FrameOutput(_choose_default())
    if format == FrameOutput.TABLE:
        console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
        console.print(render_frame(frame, width=console.width))
    else:
        _write(frame.to_lines() if format == FrameOutput.TSV else frame.to_objects())


def _choose_default() -> Output:
    return Output.TABLE if sys.stdout.isatty() else Output.TSV


def _write(text: str) -> None:
    """Write to standard output, in UTF-8 whatever the locale, and notice now if nobody reads it."""
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
