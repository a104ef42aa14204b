"""Seeds as people write them, track URIs, links or "artist - title", to tokens of the vocabulary."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from playlist_pipeline.corpus.database import Database, TrackRow, fold_name
from playlist_pipeline.corpus.vocabulary import UNK, Vocabulary, stand_in_for
from playlist_pipeline.errors import UserError

MAX_CANDIDATES = 10
MAX_MATCHES = 500
TRACK_URI = re.compile(r"spotify:track:[0-9A-Za-z]{22}")
LINK_HOSTS = ("open.spotify.com", "play.spotify.com")
DASH = re.compile(r"\s+[-\u2010-\u2015]\s+")


class MalformedSeed(UserError):
    """A seed looks like a URI or a link, but names no track; or it is empty."""


class UnknownSeed(UserError):
    """A seed's text matches no track of the catalog."""


class AmbiguousSeed(UserError):
    """A seed's text matches several different tracks.

    Attributes:
        candidates: One track for each song, the best match first; of its versions the most frequent in training.
    """

    def __init__(self, message: str, candidates: Sequence[TrackRow]) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


@dataclass(frozen=True)
class ResolvedSeed:
    """One given track.

    Attributes:
        given: What the user wrote.
        uri: The track's URI.
        token: Its token; ``<unk>`` for a track that is not in the vocabulary.
        name: Its name, as the artist and the album None where no catalog knows the track.
        artist: Its artist's name.
        album: Its album's name.
        stand_in: Token of the most frequent track of the same artist, which the model gets in place of an unknown
            track; None if there is none.
    """

    given: str
    uri: str
    token: int
    name: str | None
    artist: str | None
    album: str | None
    stand_in: int | None = None

    @property
    def known(self) -> bool:
        """Whether the model knows the track."""
        return self.token != UNK


@dataclass(frozen=True)
class ResolvedSeeds:
    """The given tracks of one playlist, each once, in the order given.

    Attributes:
        seeds: The tracks.
        notes: Lines for the user: what was chosen among several versions, what was given twice.
    """

    seeds: tuple[ResolvedSeed, ...]
    notes: tuple[str, ...]

    @property
    def tokens(self) -> np.ndarray:
        """Their tokens as seeds, int32 ``[n]``: see ``Vocabulary.seeds_of``."""
        tokens = [
            seed.token if seed.stand_in is None else stand_in_for(np.asarray(seed.stand_in)) for seed in self.seeds
        ]
        return np.array(tokens, np.int32)

    @property
    def unknown(self) -> tuple[ResolvedSeed, ...]:
        """Those that are not in the vocabulary."""
        return tuple(seed for seed in self.seeds if not seed.known)


def resolve_seeds(
    seeds: Sequence[str], database: Database | None, vocabulary: Vocabulary, *, where: str = ""
) -> ResolvedSeeds:
    """Find the tracks that a user named.

    A seed is a track URI, a link to open.spotify.com, or a text: first "artist - title" is looked for, whatever the
    case of its letters and wherever in it the dash stands, then its words among track, artist and album names. Of
    several versions of one song (same artist and title) the most frequent in training is taken, with a note. A URI
    that is in no catalog is no error: the track is unknown to the model.

    Args:
        seeds: What the user wrote, one text for each track; none at all is allowed.
        database: The catalog; None allows no texts and gives no names.
        vocabulary: The model's.
        where: Begins each error and note, such as ``"playlist 2, "``.

    Returns:
        The tracks.

    Raises:
        MalformedSeed: A seed is empty, or a URI or a link that names no track.
        UnknownSeed: A text matches nothing; the message has the nearest names.
        AmbiguousSeed: A text matches several songs; the message has up to ten with their URIs.
        UserError: A text is given without a catalog.
    """
    notes: list[str] = []
    uris: dict[str, str] = {}
    for number, given in enumerate(seeds, start=1):
        label = f"{where}seed {number} ({quote_text(given)})"
        uri = parse_uri(given, label, vocabulary)
        if uri is None:
            uri, note = _find_track(given.strip(), label, database, vocabulary)
            notes += [note] if note else []
        if uri in uris:
            notes.append(f"{label} repeats {quote_text(uris[uri])} and is used once")
        uris.setdefault(uri, given)
    rows = {row.uri: row for row in database.tracks(list(uris))} if database else {}
    tokens = vocabulary.encode(list(uris))
    resolved = (
        _describe_seed(given, uri, int(token), rows, _find_stand_in(uri, int(token), database, vocabulary))
        for (uri, given), token in zip(uris.items(), tokens, strict=True)
    )
    return ResolvedSeeds(tuple(resolved), tuple(notes))


def find_versions(given: str, label: str, database: Database | None, vocabulary: Vocabulary) -> list[str]:
    """Return the URI that is given, or those of all versions of the song that a text means.

    Raises:
        MalformedSeed: As :func:`resolve_seeds`, as are the other errors; ``label`` begins the message.
        UnknownSeed: See there.
        AmbiguousSeed: See there.
        UserError: See there.
    """
    uri = parse_uri(given, label, vocabulary)
    if uri is not None:
        return [uri]
    uri, _ = _find_track(given.strip(), label, database, vocabulary)
    (row,) = database.tracks([uri]) if database else []
    versions = database.tracks_by_artist_title(row.artist, row.name, MAX_MATCHES) if database else []
    return [version.uri for version in versions]


def make_link(uri: str) -> str | None:
    """Return the web page of a track, or None if its URI is not of the form that has one."""
    return f"https://open.spotify.com/track/{uri.rsplit(':', 1)[1]}" if TRACK_URI.fullmatch(uri) else None


def _find_stand_in(uri: str, token: int, database: Database | None, vocabulary: Vocabulary) -> int | None:
    """Return the token of the most frequent track of an unknown track's artist, if there is one."""
    if token != UNK or database is None:
        return None
    tokens = vocabulary.encode([row.uri for row in database.tracks_by_artist_of(uri, limit=1)])
    return int(tokens[0]) if len(tokens) and tokens[0] != UNK else None


def _describe_seed(given: str, uri: str, token: int, rows: dict[str, TrackRow], stand_in: int | None) -> ResolvedSeed:
    row = rows.get(uri)
    if row is None:
        return ResolvedSeed(given, uri, token, None, None, None)
    return ResolvedSeed(given, uri, token, row.name, row.artist, row.album, stand_in)


def parse_uri(given: str, label: str, vocabulary: Vocabulary) -> str | None:
    """Return the track URI that a URI or a link names, or None if ``given`` is neither but a text.

    Raises:
        MalformedSeed: It is empty, or looks like a URI or a link, but names no track.
    """
    text = given.strip()
    if not text:
        raise MalformedSeed(f"{label} is empty: give a track URI or artist - title, or leave it out")
    if not text.casefold().startswith(("spotify:", "http://", "https://", *(f"{host}/" for host in LINK_HOSTS))):
        return None
    uri = text if text.startswith("spotify:") else _convert_link(text)
    if TRACK_URI.fullmatch(uri) or vocabulary.encode([uri])[0] != UNK:
        return uri
    raise MalformedSeed(
        f"{label} names no track: give spotify:track: or https://open.spotify.com/track/ and an id of 22 letters and "
        "digits, or artist - title"
    )


def _convert_link(text: str) -> str:
    """Return ``spotify:track:<id>`` for a link such as ``https://open.spotify.com/intl-de/track/<id>?si=...``."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        path = [part for part in parts.path.split("/") if part]
    except ValueError:
        return ""
    if path and (path[0] == "embed" or path[0].startswith("intl-")):
        path = path[1:]
    if parts.hostname not in LINK_HOSTS or len(path) != 2 or path[0] != "track":
        return ""
    return f"spotify:track:{path[1]}"


def _find_track(text: str, label: str, database: Database | None, vocabulary: Vocabulary) -> tuple[str, str | None]:
    """Return the URI of the one song that ``text`` means, and a note if there was something to decide."""
    if database is None:
        raise UserError(f"{label} is a text, which needs the catalog: give database=, or a track URI")
    exact = _match_exactly(text, database)
    rows = exact or list(database.search(text, MAX_MATCHES))
    if not rows:
        names = "; ".join(quote_text(name) for name in database.nearest_names(text))
        hint = f"the nearest names are {names}" if names else "no name in it is near"
        raise UnknownSeed(f"{label} is not in the catalog: {hint}; give one of its names or a track URI")
    songs: dict[tuple[str, str], list[TrackRow]] = {}
    for row in rows:
        songs.setdefault((fold_name(row.artist), fold_name(row.name)), []).append(row)
    versions = [_sort_by_count(song, vocabulary) for song in songs.values()]
    if len(versions) > 1:
        candidates = [song[0] for song in versions]
        raise AmbiguousSeed(_list_candidates(label, candidates, cut=len(rows) >= MAX_MATCHES), candidates)
    chosen, *others = versions[0]
    if others:
        listed = ", ".join(row.uri for row in others[:MAX_CANDIDATES])
        more = f" and {len(others) - MAX_CANDIDATES} more" if len(others) > MAX_CANDIDATES else ""
        return chosen.uri, (
            f"{label} is {describe_track(chosen)}, the version most frequent in training; others: {listed}{more}"
        )
    return chosen.uri, None if exact else f"{label} is taken as {describe_track(chosen)}"


def _match_exactly(text: str, database: Database) -> list[TrackRow]:
    """Return the tracks whose artist and title are the two sides of one of the dashes in ``text``."""
    found: dict[str, TrackRow] = {}
    for dash in DASH.finditer(text):
        for row in database.tracks_by_artist_title(text[: dash.start()], text[dash.end() :]):
            found.setdefault(row.uri, row)
    return list(found.values())


def _sort_by_count(rows: Sequence[TrackRow], vocabulary: Vocabulary) -> list[TrackRow]:
    """Return the tracks by falling count in the model's training, then URI."""
    tokens = vocabulary.encode([row.uri for row in rows])
    counts = np.where(tokens == UNK, 0, vocabulary.counts[tokens])
    order = sorted(range(len(rows)), key=lambda index: (-counts[index], rows[index].uri))
    return [rows[index] for index in order]


def _list_candidates(label: str, candidates: Sequence[TrackRow], *, cut: bool) -> str:
    """Return the line that names up to ten songs; ``cut`` if there may be more than the candidates."""
    or_more = " or more" if cut else ""
    listed = "; ".join(describe_track(row) for row in candidates[:MAX_CANDIDATES])
    rest = len(candidates) - MAX_CANDIDATES
    more = f"; and {rest}{or_more} others" if rest > 0 else ""
    return f"{label} matches {len(candidates)}{or_more} songs, give the URI of one: {listed}{more}"


def describe_track(row: TrackRow) -> str:
    """Return ``artist - title (album) uri`` on one line."""
    return make_printable(f"{row.artist} - {row.name} ({row.album}) {row.uri}")


def quote_text(text: str) -> str:
    """Return ``text`` in quotes, on one line, at most 80 characters of it."""
    text = make_printable(text)
    return f'"{text}"' if len(text) <= 80 else f'"{text[:79]}…"'


def make_printable(text: str) -> str:
    """Replace what would break a line or a table: control characters, line separators, changes of direction.

    Control characters below U+0020 become their pictures (U+2400 and up), the rest U+FFFD. Joiners, which emoji and
    several scripts need, stay.
    """
    if text.isprintable():  # few names are not
        return text
    return "".join(_replace_character(character) for character in text)


def _replace_character(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    unprintable = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    turns_direction = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return "\ufffd" if unprintable or turns_direction else character
