"""What a user allows and denies, as tokens of the vocabulary."""

from collections.abc import Sequence

import numpy as np

from playlist_pipeline.config import Controls
from playlist_pipeline.corpus.database import Database
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.lookup import find_versions, quote_text


def find_allowed(
    controls: Controls, vocabulary: Vocabulary, database: Database | None, side: SideInformation | None
) -> np.ndarray | None:
    """Return which tokens may be added to a playlist, bool [V], or None if all tracks may.

    Args:
        controls: The allow and deny lists count here.
        vocabulary: The model's.
        database: The catalog; None allows no texts and no artists' names.
        side: Who made the tracks; None allows no artists.

    Raises:
        UserError: An entry names no track or artist of the catalog, or several.
    """
    lists = {name: getattr(controls, name) for name in ("allow_tracks", "allow_artists", "deny_tracks", "deny_artists")}
    if not any(lists.values()):
        return None
    found = {
        name: _find_tracks(name, entries, vocabulary, database)
        if name.endswith("tracks")
        else _find_tracks_of_artists(name, entries, vocabulary, database, side)
        for name, entries in lists.items()
    }
    is_allowed = np.full(len(vocabulary), not (lists["allow_tracks"] or lists["allow_artists"]))
    is_allowed |= found["allow_tracks"] | found["allow_artists"]
    is_allowed &= ~(found["deny_tracks"] | found["deny_artists"])
    is_allowed[: len(SPECIALS)] = False
    return is_allowed


def _find_tracks(name: str, entries: Sequence[str], vocabulary: Vocabulary, database: Database | None) -> np.ndarray:
    """Return which tokens are the named tracks, bool [V]; of a text all versions."""
    chosen = np.zeros(len(vocabulary), bool)
    for number, entry in enumerate(entries, 1):
        uris = find_versions(entry, f"{name} {number} ({quote_text(entry)})", database, vocabulary)
        chosen[vocabulary.encode(uris)] = True
    return chosen


def _find_tracks_of_artists(
    name: str,
    entries: Sequence[str],
    vocabulary: Vocabulary,
    database: Database | None,
    side: SideInformation | None,
) -> np.ndarray:
    """Return which tokens are tracks of the named artists, bool [V]."""
    if not entries:
        return np.zeros(len(vocabulary), bool)
    if side is None:
        raise UserError(f"{name}: the model's folder does not say who made a track: train the model again")
    artists = [_find_artist(f"{name} {number}", entry, database) for number, entry in enumerate(entries, 1)]
    numbers = side.find_artists([uri for uris in artists for uri in uris])
    return np.isin(side.artists, numbers[numbers > 0])


def _find_artist(label: str, entry: str, database: Database | None) -> list[str]:
    """Return the URIs of the artists that an entry means: a name can belong to several."""
    text = entry.strip()
    if text.startswith("spotify:artist:"):
        return [text]
    if database is None:
        raise UserError(f"{label} ({quote_text(entry)}) is a name, which needs the catalog: give an artist's URI")
    uris = database.artists_by_name(text)
    if not uris:
        raise UserError(f"{label} ({quote_text(entry)}): no artist of the catalog has this name")
    return uris
