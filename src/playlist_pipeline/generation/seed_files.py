"""Seeds from files: plain text, M3U, CSV, JSON and XSPF.

A seed is a track URI, a link or "artist - title"; ``generation.lookup`` finds the track. The suffix names the format,
and what the file holds where the suffix does not:

text (.txt)
    One seed a line. A blank line ends a playlist, ``# `` begins a comment line (``#1 Crush`` does not), and the line
    ``<start>`` alone is a playlist without any seed. A comma is part of a name.
M3U (.m3u, .m3u8)
    One seed an entry: its line if that is a Spotify URI or link, else "artist - title" of the ``#EXTINF`` before it,
    else the name of an audio file without folder and suffix, else the line itself. ``#PLAYLIST`` names the playlist,
    a further ``#EXTM3U`` or ``#PLAYLIST`` begins the next one; blank lines and other comments count for nothing.
CSV (.csv, .tsv)
    One seed a row, fields separated by comma, semicolon or tab. The header names the columns: uri or link, or artist
    and title (or name); other usual names such as "Track URI" and "Artist Name(s)" do as well. Rows with the same
    playlist (column ``playlist``, ``playlist_name``, or both) belong together, wherever they stand. Without a header, a
    row is a URI or a link, or artist and title, or one text. Blank rows count for nothing.
JSON (.json)
    A list of lists of seeds; a list of seeds is one playlist. A seed may be an object with uri or link, or artist and
    name (or title), also under the MPD's names, and a playlist one with tracks or seeds and a name. Generated playlists
    and challenge sets are of this form.
XSPF (.xspf)
    One seed a track: location, identifier or info if it is a Spotify URI or link, else creator and title, else the name
    of the audio file. A document type, and with it every entity, is refused.

A playlist without seeds counts if it has a name, or is written down as such (``<start>``, ``[]``).

Text is UTF-8, or UTF-16 or UTF-32 with a byte-order mark; an M3U that is not UTF-8 is read as Windows-1252, which it
was before there was UTF-8. XML says itself what it is.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, NoReturn
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.lookup import LINK_HOSTS, quote_text
from playlist_pipeline.mpd.fields import MalformedJSONError, parse_json

MAX_BYTES = 32 * 2**20
MAX_PLAYLISTS = 10_000
MAX_SEEDS = 10_000
MAX_CHARACTERS = 1_000
MAX_PATH = 4_096

SeedFormat = Literal["text", "m3u", "csv", "json", "xspf"]
SUFFIXES: dict[str, SeedFormat] = {
    ".m3u": "m3u",
    ".m3u8": "m3u",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".xspf": "xspf",
}
START = "<start>"
# What formats.py puts before a cell that a spreadsheet would take for a formula.
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")

_SEED = "give a track URI, a link or artist - title"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_AUDIO_FILE = re.compile(r"\.(mp3|mp4|m4a|m4b|aac|flac|alac|ape|ogg|oga|opus|wav|wave|wma|aif|aiff|mka|webm)$", re.I)
_TRACK_NUMBER = re.compile(r"^(\d{1,3}(\.|\s*-)|0\d)\s+(?=.*\s-\s)")
_DIRECTIVE = re.compile(r"(#\w+)\b:?(.*)")
_AFTER_COMMA = re.compile(r'(?:[^",]++|"[^"]*+")*+,(.*)')  # possessive: nothing is kept to go back to
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins as the mark of UTF-16 does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LOOKS_LIKE: dict[SeedFormat, re.Pattern[str]] = {
    "m3u": re.compile(r"\s*#EXT(M3U|INF)\b", re.I),
    "xspf": re.compile(r"\s*<(\?xml|!DOCTYPE|!--|playlist\b)"),
    "json": re.compile(r'\s*[\[{]\s*["\[\]{}]'),
}
_COLUMNS = {
    "uri": ("uri", "trackuri", "spotifyuri", "spotifytrackuri"),
    "link": ("link", "url", "tracklink", "trackurl", "spotifylink", "spotifyurl", "spotifytrackurl"),
    "artist": ("artist", "artists", "artistname", "artistnames", "trackartist", "creator"),
    "title": ("title", "name", "track", "trackname", "tracktitle", "song", "songname", "songtitle"),
    "playlist": ("playlist",),
    "playlist_name": ("playlistname", "playlisttitle"),
}
_COLUMN_OF = {name: column for column, names in _COLUMNS.items() for name in names}
_JSON_FIELDS = {
    "uri": ("uri", "track_uri", "link"),
    "artist": ("artist", "artist_name"),
    "title": ("title", "name", "track_name"),
}


@dataclass(frozen=True)
class SeedList:
    """The seeds of one playlist.

    Attributes:
        name: The playlist's title, if the file gives one.
        seeds: Track URIs, links or "artist - title", in order; there may be none.
    """

    name: str | None
    seeds: tuple[str, ...]


def read_seed_file(path: str | Path) -> list[SeedList]:
    """Read the seeds of a file; the module says what it may be.

    Args:
        path: The file.

    Returns:
        One list of seeds for each playlist, in the order of the file.

    Raises:
        UserError: It cannot be read as seeds; the message names the file and the line, or for JSON playlist and seed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read as seeds ({error.strerror}): give a file that can be read") from error
    return parse_seeds(data, source=str(path), format=SUFFIXES.get(path.suffix.lower()))


def parse_seeds(data: bytes, *, source: str, format: SeedFormat | None = None) -> list[SeedList]:
    """Read seeds from a file's bytes.

    Args:
        data: All of the file, at most 32 MiB with 10,000 playlists of 10,000 seeds of 1,000 characters.
        source: Begins each error.
        format: Found by what the bytes hold if None.

    Returns:
        One list of seeds for each playlist, in the order of the file.

    Raises:
        UserError: They cannot be read as seeds.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"{source} has more than {MAX_BYTES // 2**20} MiB, which is the most: give a part of it")
    found = _Playlists(source)
    format = format or _guess_format(data)
    if format == "xspf":
        _parse_xspf(data, found)
    else:
        parse = {"text": _parse_text, "m3u": _parse_m3u, "csv": _parse_csv, "json": _parse_json}[format]
        parse(_decode(data, source, allow_windows=format == "m3u"), found)
    return found.collect()


class _Playlists:
    """The playlists that a reader has found so far; refuses what is too much."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lists: list[tuple[str | None, list[str]]] = []
        self._is_empty_meant: list[bool] = []

    def refuse(self, where: int | str, what: str) -> NoReturn:
        """Raise the error on a line, by its number, or on another place."""
        raise UserError(f"{self._source}, {f'line {where}' if isinstance(where, int) else where}: {what}")

    def refuse_file(self, what: str) -> NoReturn:
        """Raise the error on the file as a whole."""
        raise UserError(f"{self._source} cannot be read as seeds ({what}): save it anew")

    def begin(self, name: str | None, where: int | str, *, is_empty_meant: bool = False) -> int:
        """Begin a playlist; return its number, which ``add`` takes."""
        name = (name or "").strip() or None
        if len(self._lists) == MAX_PLAYLISTS:
            self.refuse(where, f"more than {MAX_PLAYLISTS:,} playlists: give several files")
        if len(name or "") > MAX_CHARACTERS:
            self.refuse(where, f"a playlist's name has more than {MAX_CHARACTERS:,} characters: shorten it")
        self._lists.append((name, []))
        self._is_empty_meant.append(is_empty_meant)
        return len(self._lists) - 1

    def add(self, playlist: int, seed: str, where: int | str) -> None:
        """Add a seed to a playlist."""
        seeds = self._lists[playlist][1]
        if len(seed) > MAX_CHARACTERS:
            self.refuse(where, f"a seed has {len(seed):,} characters, {MAX_CHARACTERS:,} are the most: {_SEED}")
        if len(seeds) == MAX_SEEDS:
            self.refuse(where, f"the playlist has more than {MAX_SEEDS:,} seeds: give fewer")
        seeds.append(seed)

    def collect(self) -> list[SeedList]:
        """Return the playlists, without those that have neither seeds nor a name nor are meant to have none."""
        return [
            SeedList(name, tuple(seeds))
            for (name, seeds), is_empty_meant in zip(self._lists, self._is_empty_meant, strict=True)
            if seeds or name or is_empty_meant
        ]


def _guess_format(data: bytes) -> SeedFormat:
    """Return the format that a file's beginning shows; text if none."""
    text = data[:8192].decode(_find_encoding(data), "ignore")
    for format, pattern in _LOOKS_LIKE.items():
        if pattern.match(text):
            return format
    first = next((line for line in _LINE_BREAK.split(text) if line.strip()), "")
    delimiter = _find_delimiter(first)
    is_table = delimiter in first and _is_header(_find_columns(next(csv.reader([first], delimiter=delimiter))))
    return "csv" if is_table else "text"


def _find_encoding(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    # No seed begins with a null character: one of the first two bytes being null is half of a UTF-16 character.
    if len(data) > 1 and 0 in data[:2]:
        return "utf-16-be" if data[0] == 0 else "utf-16-le"
    return "utf-8"


def _decode(data: bytes, source: str, *, allow_windows: bool) -> str:
    """Return a file's text; what is not UTF-8 may be Windows-1252 if ``allow_windows``."""
    encoding = _find_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if allow_windows and encoding == "utf-8":
            return data.decode("cp1252", "replace")
        line = 1 + error.object[: error.start].decode(encoding, "ignore").count("\n")
        name = encoding.removesuffix("-sig").upper()
        raise UserError(f"{source} cannot be read as seeds (line {line} is not {name}): save it as UTF-8") from None


def _list_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number of each line, from 1, and the line without blanks around it."""
    for number, line in enumerate(_LINE_BREAK.split(text), start=1):
        yield number, line.strip()


def _is_spotify(text: str) -> bool:
    """Return whether a text is a Spotify URI or a link to Spotify, be it to a track or not."""
    text = text.casefold()
    if text.startswith("spotify:"):
        return True
    text = text.removeprefix("https://").removeprefix("http://")
    return any(text == host or text.startswith(f"{host}/") for host in LINK_HOSTS)


def _join_names(artist: str, title: str) -> str:
    return f"{artist} - {title}" if artist and title else artist or title


def _read_file_name(location: str) -> str | None:
    """Return the name of an audio file, of its path or URL, without suffix and track number; None if it is none."""
    if "://" in location:
        try:
            location = unquote(urlsplit(location).path)
        except ValueError:
            return None
    if len(location) > MAX_PATH or not _AUDIO_FILE.search(location):
        return None
    name = _AUDIO_FILE.sub("", PureWindowsPath(location).name).strip()
    return _TRACK_NUMBER.sub("", name).strip() or None


def _choose_seed(locations: Sequence[str], text: str) -> str | None:
    """Return the first Spotify URI or link, else the text, else the name of the first audio file."""
    spotify = filter(_is_spotify, locations)
    files = filter(None, map(_read_file_name, locations))
    return next(spotify, None) or text or next(files, None)


def _parse_text(text: str, found: _Playlists) -> None:
    current: int | None = None
    for number, line in _list_lines(text):
        if f"{line} ".startswith("# "):
            continue
        if not line:
            current = None
            continue
        if current is None:
            current = found.begin(None, number, is_empty_meant=True)
        if line != START:
            found.add(current, line, number)


def _parse_m3u(text: str, found: _Playlists) -> None:
    current: int | None = None
    for number, directive, value in _list_entries(text, found):
        if directive == "#EXTM3U":
            current = None
        elif directive == "#PLAYLIST":
            current = found.begin(value, number)
        else:
            current = found.begin(None, number) if current is None else current
            found.add(current, value, number)


def _list_entries(text: str, found: _Playlists) -> Iterator[tuple[int, str, str]]:
    """Yield line, directive and value of what counts in an M3U; an entry has no directive."""
    title, title_line = "", 0
    for number, line in _list_lines(text):
        match = _DIRECTIVE.match(line)
        directive, value = (match[1].upper(), match[2]) if match else ("", "")
        if directive in ("#EXTM3U", "#PLAYLIST", "#EXTINF"):
            if title:  # it was not followed by a line of its own
                yield title_line, "", title
            title = ""
            if directive == "#EXTINF":
                named = _AFTER_COMMA.match(value)
                title, title_line = (named[1] if named else value.partition(",")[2]).strip(), number
            else:
                yield number, directive, value
        elif line and not line.startswith("#"):
            seed = _choose_seed([line], title)
            if seed is None and "://" in line:
                found.refuse(number, f"{quote_text(line[:MAX_CHARACTERS])} names no track: {_SEED}")
            yield number, "", seed or line
            title = ""
    if title:
        yield title_line, "", title


def _parse_csv(text: str, found: _Playlists) -> None:
    first = next((line for _, line in _list_lines(text) if line), "")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_find_delimiter(first), strict=True)
    columns: dict[str, int] | None = None
    playlists: dict[tuple[str, str], int] = {}
    line = 1
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if any(cells):
                if columns is None:
                    columns = _read_header(cells, line, found)
                    cells = [] if columns else cells
                if cells:
                    _add_row(cells, columns, playlists, line, found)
            line = rows.line_num + 1
    except csv.Error as error:
        found.refuse(line, f"no CSV that can be read ({error}): save it anew")


def _find_delimiter(line: str) -> str:
    """Return which of comma, semicolon and tab a line has most often outside quotes."""
    unquoted = re.sub(r'"[^"]*"', "", line)
    return max(",;\t", key=unquoted.count)


def _find_columns(cells: Sequence[str]) -> dict[str, int]:
    """Return where a header has the columns that are known; the first of equals counts."""
    columns: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = re.sub(r"\(s\)|[\W_]", "", cell.casefold())
        if name in _COLUMN_OF:
            columns.setdefault(_COLUMN_OF[name], index)
    return columns


def _is_header(columns: Mapping[str, int]) -> bool:
    return "uri" in columns or "link" in columns or {"artist", "title"} <= set(columns)


def _read_header(cells: Sequence[str], line: int, found: _Playlists) -> dict[str, int]:
    """Return the columns that the first row names; none if it is no header."""
    columns = _find_columns(cells)
    if _is_header(columns):
        return columns
    if len(columns) < len([cell for cell in cells if cell]):
        return {}
    if "title" in columns:
        return columns
    found.refuse(line, f"the header has {', '.join(columns)}: it needs uri or link, or artist and title")


def _add_row(
    cells: Sequence[str],
    columns: Mapping[str, int],
    playlists: dict[tuple[str, str], int],
    line: int,
    found: _Playlists,
) -> None:
    """Add a row's seed to its playlist, which is begun with its first row."""
    given = {column: cells[index] if index < len(cells) else "" for column, index in columns.items()}
    key = (given.get("playlist", ""), given.get("playlist_name", ""))
    seed = _read_row(cells, given, line, found)
    if key not in playlists:
        name = given.get("playlist_name" if "playlist_name" in given else "playlist", "")
        playlists[key] = found.begin(_strip_apostrophe(name), line, is_empty_meant=True)
    if seed:
        found.add(playlists[key], seed, line)


def _read_row(cells: Sequence[str], given: Mapping[str, str], line: int, found: _Playlists) -> str | None:
    """Return a row's seed; None if it holds nothing but the name of a playlist."""
    filled = [cell for cell in cells if cell]
    if not given:
        spotify = next(filter(_is_spotify, filled), None)
        if spotify is None and len(filled) > 2:
            found.refuse(line, f"{len(filled)} fields without a header: begin with one, such as artist,title")
        return spotify or _join_names(*filled, *[""] * (2 - len(filled)))
    title = _strip_apostrophe(given.get("title", ""))
    text = _join_names(_strip_apostrophe(given.get("artist", "")), title) if title else ""
    seed = given.get("uri") or given.get("link") or text
    if not seed and len(filled) > sum(bool(given.get(column)) for column in ("playlist", "playlist_name")):
        found.refuse(line, "neither uri nor link nor title: give one of them")
    return seed or None


def _strip_apostrophe(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _parse_json(text: str, found: _Playlists) -> None:
    try:
        content = parse_json(text.encode("utf-8", "surrogatepass"))
    except MalformedJSONError as error:
        found.refuse_file(str(error))
    if isinstance(content, dict):
        content = content.get("playlists", [content])
    if not isinstance(content, list):
        found.refuse_file("no list of playlists")
    if content and all(map(_is_json_seed, content)):
        content = [content]
    for number, playlist in enumerate(content, start=1):
        _add_json_playlist(playlist, f"playlist {number}", found)


def _is_json_seed(item: Any) -> bool:
    return isinstance(item, str) or (isinstance(item, dict) and not {"tracks", "seeds"} & set(item))


def _add_json_playlist(playlist: Any, where: str, found: _Playlists) -> None:
    name = None
    if isinstance(playlist, dict):
        name = playlist.get("name")
        playlist = playlist.get("tracks", playlist.get("seeds"))
    if not isinstance(playlist, list) or not isinstance(name, str | None):
        found.refuse(where, "give a list of seeds, or an object with a name, which is text, and such a list as tracks")
    current = found.begin(name, where, is_empty_meant=True)
    for number, item in enumerate(playlist, start=1):
        place = f"{where}, seed {number}"
        seed = _read_json_seed(item)
        if not seed:
            found.refuse(place, "no text, and no object with uri, link or name: give one of them")
        found.add(current, seed, place)


def _read_json_seed(item: Any) -> str:
    """Return a seed, empty if there is none."""
    if not isinstance(item, dict):
        return item.strip() if isinstance(item, str) else ""
    given = {
        field: next((item[name].strip() for name in names if isinstance(item.get(name), str)), "")
        for field, names in _JSON_FIELDS.items()
    }
    return given["uri"] or (_join_names(given["artist"], given["title"]) if given["title"] else "")


def _parse_xspf(data: bytes, found: _Playlists) -> None:
    """Parse with expat as it is: it gives lines, and refusing the document type leaves no entity to expand."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    reader = _XSPFReader(parser, found)
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        found.refuse(error.lineno, f"no XML that can be read ({expat.ErrorString(error.code)}): save it anew")
    except UserError:
        raise
    except (LookupError, ValueError) as error:  # an encoding that the parser does not know
        found.refuse(1, f"no XML that can be read ({error}): save it as UTF-8")
    reader.finish()


class _XSPFReader:
    """Takes what the parser finds: the playlist's title, and of each track location, identifier, info and names."""

    MAX_DEPTH = 50
    PLAYLIST = ("playlist",)
    TRACK = ("playlist", "trackList", "track")
    TRACK_FIELDS = ("location", "identifier", "info", "creator", "title")

    def __init__(self, parser: expat.XMLParserType, found: _Playlists) -> None:
        self._parser, self._found = parser, found
        self._path: tuple[str, ...] = ()
        self._text: list[str] = []
        self._title = ""
        self._track: dict[str, list[str]] = {}
        self._track_line = 1
        self._seeds: list[tuple[str, int]] = []
        parser.StartDoctypeDeclHandler = self._refuse_document_type
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.CharacterDataHandler = self._text.append

    def finish(self) -> None:
        """Hand over the playlist, whose title may stand behind its tracks."""
        current = self._found.begin(self._title, 1)
        for seed, line in self._seeds:
            self._found.add(current, seed, line)

    def _refuse_document_type(self, *_: object) -> None:
        self._found.refuse(self._parser.CurrentLineNumber, "a document type is not allowed: leave <!DOCTYPE ...> out")

    def _start_element(self, name: str, _: dict[str, str]) -> None:
        self._path += (name.rpartition(" ")[2],)
        line = self._parser.CurrentLineNumber
        if self._path[0] != "playlist":
            self._found.refuse(
                line, f"no XSPF: it begins with <{quote_text(self._path[0][:MAX_CHARACTERS])[1:-1]}>, not <playlist>"
            )
        if len(self._path) > self.MAX_DEPTH:
            self._found.refuse(line, f"more than {self.MAX_DEPTH} elements in each other: save it anew")
        if self._path == self.TRACK:
            self._track, self._track_line = {field: [] for field in self.TRACK_FIELDS}, line
        self._text.clear()

    def _end_element(self, _: str) -> None:
        *parent, name = self._path
        text = "".join(self._text).strip()
        if tuple(parent) == self.PLAYLIST and name == "title":
            self._title = text
        elif tuple(parent) == self.TRACK and name in self.TRACK_FIELDS and text:
            self._track[name].append(text)
        elif self._path == self.TRACK:
            self._add_track()
        self._path = tuple(parent)
        self._text.clear()

    def _add_track(self) -> None:
        creator, title = (next(iter(self._track[field]), "") for field in ("creator", "title"))
        locations = [*self._track["location"], *self._track["identifier"], *self._track["info"]]
        seed = _choose_seed(locations, _join_names(creator, title) if title else "")
        if seed is None:
            self._found.refuse(self._track_line, f"the track has neither a title nor a place on Spotify: {_SEED}")
        self._seeds.append((seed, self._track_line))
