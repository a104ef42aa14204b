"""Generated playlists for people and programs: a dictionary that JSON holds, a table on the terminal, a frame.

The dictionary of a playlist::

    name           text or null
    seeds          [{given, uri, known, name, artist, album}]   names are null where no catalog knows the track
    unknown_seeds  [uri]                                        seeds that the model does not know
    tracks         [{position, uri, name, artist, album, seed, link}]
                                                                position from 1; seed: true for a given track; link:
                                                                its web page, null where the URI is none of Spotify's
    ended_by       "length" (full), "eop" (the model ended it) or "vocabulary" (no track was left)
    notes          [text]                                       what the user should know about this playlist
    settings       {length, top_k, temperature, eop_weight}, and other controls that were set
    seed           the random seed
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from playlist_pipeline.generation.drawing import End
from playlist_pipeline.generation.frames import TrackFrame, link_text, render_html
from playlist_pipeline.generation.lookup import ResolvedSeed, make_link, make_printable

TABLE_WIDTH = 100
FRAME_WIDTH = 16  # the column of numbers, borders and padding
COLUMN_SHARES = {"track": 0.43, "artist": 0.285, "album": 0.285}
UNNAMED = "Playlist"


@dataclass(frozen=True)
class PlaylistTrack:
    """A track of a generated playlist.

    Attributes:
        position: Its place, from 1.
        uri: Its URI.
        name: Its name, as the artist and the album None where no catalog knows the track.
        artist: Its artist's name.
        album: Its album's name.
        seed: Whether it was given.
    """

    position: int
    uri: str
    name: str | None
    artist: str | None
    album: str | None
    seed: bool

    @property
    def link(self) -> str | None:
        """Its web page, None if its URI is none of Spotify's."""
        return make_link(self.uri)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes and the link."""
        return asdict(self) | {"link": self.link}


@dataclass(frozen=True)
class GeneratedPlaylist:
    """A completed playlist; as text it is a table.

    Attributes:
        name: Its title, if it has one.
        seeds: The given tracks.
        tracks: All tracks, the given ones first.
        ended_by: ``length``, ``eop`` or ``vocabulary``.
        notes: Lines for the user.
        settings: ``length``, ``top_k``, ``temperature`` and ``eop_weight``, and other controls that were set.
        seed: The random seed.
    """

    name: str | None
    seeds: tuple[ResolvedSeed, ...]
    tracks: tuple[PlaylistTrack, ...]
    ended_by: End
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return the dictionary that the module's docstring describes."""
        return {
            "name": self.name,
            "seeds": [
                {
                    "given": seed.given,
                    "uri": seed.uri,
                    "known": seed.known,
                    "name": seed.name,
                    "artist": seed.artist,
                    "album": seed.album,
                }
                for seed in self.seeds
            ],
            "unknown_seeds": [seed.uri for seed in self.seeds if not seed.known],
            "tracks": [track.to_dict() for track in self.tracks],
            "ended_by": self.ended_by,
            "notes": list(self.notes),
            "settings": dict(self.settings),
            "seed": self.seed,
        }

    def to_frame(self) -> TrackFrame:
        """Return one row for each track: position, uri, name, artist, album, seed, link."""
        columns = [*PlaylistTrack.__dataclass_fields__, "link"]
        return TrackFrame([track.to_dict() for track in self.tracks], columns=columns)

    def __str__(self) -> str:
        return format_playlist(self.to_dict())

    def _repr_html_(self) -> str:
        numbers = [f"*{track.position}" if track.seed else str(track.position) for track in self.tracks]
        frame = self.to_frame()[["name", "artist", "album", "uri", "link"]]
        frame.insert(0, "#", numbers)
        return render_html(frame, title=self.name or UNNAMED, remarks=list_remarks(self.to_dict()))


def render_playlist(playlist: Mapping[str, Any], *, unnamed: str = UNNAMED, width: int = TABLE_WIDTH) -> Group:
    """Return a playlist's dictionary as a table for rich: number, track, artist, album; ``*`` marks given tracks.

    Nothing in a name is taken for markup, and control characters are made visible.

    Args:
        playlist: What ``GeneratedPlaylist.to_dict`` gives.
        unnamed: The title of a playlist without a name.
        width: Columns of the terminal; the table takes 100 of them at most.

    Returns:
        Title, table and remarks.
    """
    table = Table(header_style="bold cyan")
    table.add_column("#", justify="right", no_wrap=True, min_width=3)
    space = max(min(width, TABLE_WIDTH) - FRAME_WIDTH, 0)
    for column, share in COLUMN_SHARES.items():
        table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=int(space * share))
    for track in playlist["tracks"]:
        number = f"*{track['position']}" if track["seed"] else str(track["position"])
        name = track["uri"] if track["name"] is None else track["name"]
        cells = [Text(make_printable(text or "")) for text in (track["artist"], track["album"])]
        table.add_row(number, link_text(name, make_link(track["uri"])), *cells, style="bold" if track["seed"] else None)
    title = Text(make_printable(playlist["name"] or unnamed), style="bold")
    return Group(title, table, *(Text(make_printable(remark), style="dim") for remark in list_remarks(playlist)))


def list_remarks(playlist: Mapping[str, Any]) -> list[str]:
    """Return the lines below a playlist's table: settings, unknown seeds, notes."""
    settings = ", ".join(f"{key} {_format_setting(value)}" for key, value in playlist["settings"].items())
    return [f"{'* given; ' if playlist['seeds'] else ''}{settings}, seed {playlist['seed']}", *list_notes(playlist)]


def list_notes(playlist: Mapping[str, Any]) -> list[str]:
    """Return what the user should know about a playlist: unknown seeds, notes."""
    remarks = []
    for seed in playlist["seeds"]:
        if not seed["known"]:
            named = "" if seed["name"] is None else f" ({seed['artist']} - {seed['name']})"
            remarks.append(f"unknown to the model: {seed['uri']}{named}")
    return remarks + list(playlist["notes"])


def _format_setting(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "; ".join(value) if isinstance(value, list | tuple) else str(value)


def format_playlist(playlist: Mapping[str, Any], *, width: int = TABLE_WIDTH) -> str:
    """Return a playlist's dictionary as a plain text table, ``width`` columns wide at most."""
    return format_playlists([playlist], width=width)


def format_playlists(playlists: Sequence[Mapping[str, Any]], *, width: int = TABLE_WIDTH) -> str:
    """Return the tables of several playlists as plain text."""
    buffer = StringIO()
    show_playlists(playlists, console=Console(file=buffer, width=width, color_system=None, legacy_windows=False))
    return buffer.getvalue()


def show_playlists(playlists: Sequence[Mapping[str, Any]], *, console: Console | None = None) -> None:
    """Write the tables of several playlists to standard output, or to ``console``."""
    console = console or Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    for number, playlist in enumerate(playlists, start=1):
        if number > 1:
            console.line()
        unnamed = f"{UNNAMED} {number}" if len(playlists) > 1 else UNNAMED
        console.print(render_playlist(playlist, unnamed=unnamed, width=console.width))
