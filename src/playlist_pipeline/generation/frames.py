"""Frames of tracks for people and programs: names as links in a notebook, a table on the terminal, lines for a pipe."""

import json
from collections.abc import Callable, Sequence
from html import escape
from io import StringIO
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from playlist_pipeline.generation.lookup import make_printable

TABLE_WIDTH = 100
MAX_WIDTH = 150
URI_FROM_WIDTH = 120  # below it, the names are worth more than the URI
COLUMN_SHARES = {"name": 0.43, "artist": 0.285, "album": 0.285}
LINK_START = "https://open.spotify.com/"


class TrackFrame(pd.DataFrame):
    """A DataFrame of tracks, with ``uri``, ``name`` and ``link`` among its columns.

    In a notebook the names are links; as text it is a table. Nothing in a name is taken for markup, and control
    characters are made visible. A part without these columns looks as pandas shows it.
    """

    @property
    def _constructor(self) -> Callable[..., "TrackFrame"]:
        return TrackFrame

    @property
    def _holds_tracks(self) -> bool:
        return self.columns.is_unique and {"uri", "name", "link"} <= set(self.columns)

    def __repr__(self) -> str:
        return format_frame(self).rstrip("\n") if self._holds_tracks else super().__repr__()

    def _repr_html_(self) -> str | None:
        return render_html(self) if self._holds_tracks else super()._repr_html_()  # type: ignore[misc]

    def to_lines(self) -> str:
        """Return a line for each track, columns separated by tabs, without a header.

        A control character in a name is made visible, so that it ends neither column nor line.
        """
        rows = self.itertuples(index=False, name=None)
        return "".join("\t".join(map(_format_cell, row)) + "\n" for row in rows)

    def to_objects(self) -> str:
        """Return a list of objects as JSON, null where a value is missing."""
        # pandas escapes every slash, which no link should have.
        return json.dumps(json.loads(self.to_json(orient="records")), indent=2, ensure_ascii=False) + "\n"


def render_html(frame: pd.DataFrame, *, title: str | None = None, remarks: Sequence[str] = ()) -> str:
    """Return a frame of tracks as an HTML table; ``name`` links to ``link``, which is no column of its own.

    Args:
        frame: Columns ``uri``, ``name`` and ``link``, and any others.
        title: Stands above the table.
        remarks: Lines below it.

    Returns:
        A table of as many rows as pandas shows (``display.max_rows``).
    """
    columns = [column for column in frame.columns if column != "link"]
    head = "".join(f"<th>{escape(str(column))}</th>" for column in columns)
    shown = frame.head(pd.get_option("display.max_rows") or len(frame))
    rows = "".join(
        "<tr>" + "".join(f'<td dir="auto">{_render_cell(column, row)}</td>' for column in columns) + "</tr>"
        for row in shown.to_dict("records")
    )
    rest = len(frame) - len(shown)
    lines = [*([f"and {rest} more"] if rest else []), *remarks]
    return (
        (f"<h4>{escape(make_printable(title))}</h4>" if title else "")
        + f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        + "".join(f"<p>{escape(make_printable(line))}</p>" for line in lines)
    )


def _render_cell(column: Any, row: dict[Any, Any]) -> str:
    text = escape(_format_cell(row[column]))
    if column != "name":
        return text
    text = text or escape(_format_cell(row["uri"]))
    link = row["link"]
    if not isinstance(link, str) or not link.startswith(LINK_START):
        return text
    return f'<a href="{escape(link)}" target="_blank" rel="noopener">{text}</a>'


def render_frame(frame: pd.DataFrame, *, width: int = TABLE_WIDTH) -> Table:
    """Return a frame of tracks as a table for rich, in which names are links where the terminal knows them.

    Args:
        frame: Columns ``uri``, ``name`` and ``link``, and any others.
        width: Columns of the terminal; the table takes 150 of them at most.

    Returns:
        All columns but ``link``, and ``uri`` only where there are 120 columns or more.
    """
    columns = [name for name in frame.columns if name != "link" and (name != "uri" or width >= URI_FROM_WIDTH)]
    cells = {column: [_format_cell(value) for value in frame[column]] for column in columns}
    cells["name"] = [name or _format_cell(uri) for name, uri in zip(cells["name"], frame["uri"], strict=True)]
    widths = {column: max(map(cell_len, [str(column), *cells[column]])) for column in columns}
    widths = _fit_widths(widths, min(width, MAX_WIDTH) - 3 * len(columns) - 1)
    table = Table(header_style="bold cyan")
    for column in columns:
        justify: Literal["left", "right"] = "right" if frame[column].dtype.kind in "iuf" else "left"
        table.add_column(column, justify=justify, no_wrap=True, overflow="ellipsis", max_width=widths[column])
    for index, link in enumerate(frame["link"]):
        row = {column: Text(cells[column][index]) for column in columns}
        row["name"] = link_text(cells["name"][index], link)
        table.add_row(*row.values())
    return table


def _fit_widths(widths: dict[Any, int], space: int) -> dict[Any, int]:
    """Narrow the columns of names, by their shares of what the others leave, until all fit into ``space``."""
    left = space - sum(width for column, width in widths.items() if column not in COLUMN_SHARES)
    names = sorted(set(widths) & set(COLUMN_SHARES), key=lambda column: widths[column] / COLUMN_SHARES[column])
    fitted = dict(widths)
    # A column that needs less than its share leaves the rest to those after it.
    for place, column in enumerate(names):
        share = COLUMN_SHARES[column] / sum(COLUMN_SHARES[name] for name in names[place:])
        fitted[column] = min(widths[column], max(int(left * share), 0))
        left -= fitted[column]
    return fitted


def link_text(text: str, link: object) -> Text:
    """Return text for rich, control characters made visible, that links to Spotify if ``link`` does."""
    style = Style(link=link) if isinstance(link, str) and link.startswith(LINK_START) else ""
    return Text(make_printable(text), style=style)


def format_frame(frame: pd.DataFrame, *, width: int = TABLE_WIDTH) -> str:
    """Return a frame of tracks as a plain text table of as many rows as pandas shows and ``width`` columns."""
    shown = frame.head(pd.get_option("display.max_rows") or len(frame))
    buffer = StringIO()
    console = Console(file=buffer, width=width, color_system=None, legacy_windows=False)
    console.print(render_frame(shown, width=width))
    rest = len(frame) - len(shown)
    return buffer.getvalue() + (f"and {rest} more\n" if rest else "")


def _format_cell(value: Any) -> str:
    """Return a value on one line: nothing for a missing one, four digits of a fraction."""
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
    return make_printable(str(value))
