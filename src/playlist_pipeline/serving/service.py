"""What the API does, between requests and the recommender."""

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import pandas as pd

from playlist_pipeline.config import Controls
from playlist_pipeline.corpus.vocabulary import SPECIALS
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.lookup import make_link, parse_uri, quote_text, resolve_seeds
from playlist_pipeline.generation.recommender import Recommender
from playlist_pipeline.serving import schemas
from playlist_pipeline.serving.completions import Completion, CompletionQueue, place_locked
from playlist_pipeline.serving.exports import FORMATS, find_suffix
from playlist_pipeline.serving.settings import ServerSettings

Rows = list[dict[str, Any]]
PASSED_OVER = re.compile(r"\s*(#EXT.*|#PLAYLIST:.*)?$", re.DOTALL)


class Service:
    """One recommender for many requests.

    Searches, completions, and all other questions to the model have threads of their own: none waits behind another.

    Args:
        recommender: The model with its catalog.
        settings: How many threads, and how many may wait.
    """

    def __init__(self, recommender: Recommender, settings: ServerSettings) -> None:
        self._recommender = recommender
        self._completions = CompletionQueue(recommender, max_batch=settings.max_batch, max_waiting=settings.max_waiting)
        self._searches = ThreadPoolExecutor(settings.search_threads, thread_name_prefix="searches")
        self._queries = ThreadPoolExecutor(settings.query_threads, thread_name_prefix="queries")

    def close(self) -> None:
        """Finish what is at work and take nothing more."""
        self._completions.close()
        for executor in (self._searches, self._queries):
            executor.shutdown(cancel_futures=True)

    async def search(self, text: str, limit: int) -> Rows:
        """Look for tracks by text."""
        return await self._search(lambda: self._recommender.find_tracks(text, limit))

    async def resolve(self, lines: Sequence[str]) -> dict[str, Rows]:
        """Find the tracks that lines name, each by itself; blank lines and the notes of an M3U are passed over."""
        numbered = [(number, line) for number, line in enumerate(lines, start=1) if not PASSED_OVER.match(line)]
        found = await self._search(lambda: [self._resolve_line(number, line) for number, line in numbered])
        return {
            "tracks": [line for line in found if "uri" in line],
            "refused": [line for line in found if "uri" not in line],
        }

    async def complete(self, request: schemas.CompletionRequest) -> dict[str, Any]:
        """Complete a playlist; locked tracks keep their places."""
        locked = {track.position: self._read_uri(track.uri, "locked") for track in request.locked}
        settings = request.controls.model_dump()
        settings["deny_tracks"] += [self._read_uri(uri, "avoid") for uri in request.avoid]
        given = dict.fromkeys([*request.seeds, *(uri for _, uri in sorted(locked.items()))])
        playlist = await self._completions.complete(
            Completion(tuple(given), request.name or None, request.seed, _make_controls(settings))
        )
        content = place_locked(playlist.to_dict(), locked, request.seeds)
        # What was avoided is part of the request, not of the playlist.
        content["settings"] = {name: value for name, value in content["settings"].items() if name != "deny_tracks"} | (
            {"deny_tracks": request.controls.deny_tracks} if request.controls.deny_tracks else {}
        )
        for track in content["tracks"]:
            track["link"] = make_link(track["uri"])
        return content

    async def recommend(self, request: schemas.RecommendationRequest) -> Rows:
        """Recommend tracks after seeds."""
        controls = vars(_make_controls(request.controls.model_dump()))
        return await self._query(
            lambda: _list_rows(
                self._recommender.recommend(request.seeds, request.k, name=request.name or None, **controls)
            )
        )

    async def similar(self, track: str, k: int) -> Rows:
        """Return the tracks most similar to one."""
        return await self._query(lambda: _list_rows(self._recommender.similar(track, k)))

    async def explain(self, track: str, seeds: Sequence[str]) -> Rows:
        """Say how a track stands to each seed."""
        return await self._query(lambda: _list_rows(self._recommender.explain(track, seeds)))

    def describe(self) -> dict[str, Any]:
        """Return what is served, and what is allowed."""
        return {
            "version": version("playlist_pipeline"),
            "tracks": len(self._recommender.vocabulary) - len(SPECIALS),
            "has_catalog": self._recommender.database is not None,
            "has_second_stage": self._recommender.reranker is not None,
            "seeds": schemas.TRACK,
            "formats": [{"name": name, "suffix": find_suffix(name), **vars(known)} for name, known in FORMATS.items()],
            "max_seeds": schemas.MAX_SEEDS,
            "max_lines": schemas.MAX_LINES,
            "max_text": schemas.MAX_TEXT,
            "max_avoid": schemas.MAX_AVOID,
            "max_random_seed": schemas.MAX_SEED,
            "controls": schemas.describe_controls(),
        }

    async def _search(self, ask: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._searches, ask)

    async def _query(self, ask: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._queries, ask)

    def _resolve_line(self, number: int, line: str) -> dict[str, Any]:
        # Errors and notes begin with the seed's number and text; of these there is one alone.
        label, quoted = f"seed 1 ({quote_text(line)})", quote_text(line)
        try:
            resolved = resolve_seeds([line], self._recommender.database, self._recommender.vocabulary)
        except UserError as error:
            return {"line": number, "given": line, "what": str(error).replace(label, quoted, 1)}
        (seed,) = resolved.seeds
        return {
            "line": number,
            "given": line,
            **{name: getattr(seed, name) for name in ("uri", "name", "artist", "album", "known")},
            "notes": [note.replace(label, quoted, 1) for note in resolved.notes],
            "link": make_link(seed.uri),
        }

    def _read_uri(self, given: str, where: str) -> str:
        uri = parse_uri(given, f"{where} ({quote_text(given)})", self._recommender.vocabulary)
        if uri is None:
            raise UserError(f"{where} ({quote_text(given)}) is no track URI: give the uri of a track in an answer")
        return uri


def _make_controls(settings: dict[str, Any]) -> Controls:
    """Return controls that compare and hash."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    return Controls(**values)


def _list_rows(frame: pd.DataFrame) -> Rows:
    """Return a frame's rows as dictionaries; what is missing is None."""
    columns = [frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame.columns]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]
