"""The front door to a trained model: rank continuations, recommend tracks, complete playlists."""

import os
from collections.abc import Hashable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from playlist_pipeline.config import Controls
from playlist_pipeline.corpus.database import Database, TrackRow, fold_name
from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, Vocabulary, read_stand_ins
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.controls import find_allowed
from playlist_pipeline.generation.decode import (
    CANDIDATES,
    MORE_CANDIDATES,
    complete_rows,
    count_candidates,
    rank_tracks,
)
from playlist_pipeline.generation.drawing import Continuation, Drawer, TrackTraits, arrange_by_likeness
from playlist_pipeline.generation.export import GeneratedPlaylist, PlaylistTrack
from playlist_pipeline.generation.frames import TrackFrame
from playlist_pipeline.generation.index import SearchIndex, ensure_index, load_index, make_searcher
from playlist_pipeline.generation.lookup import (
    MalformedSeed,
    ResolvedSeed,
    ResolvedSeeds,
    make_link,
    parse_uri,
    quote_text,
    resolve_seeds,
)
from playlist_pipeline.generation.reranking.reranker import Reranker, RerankerState, load_reranker
from playlist_pipeline.generation.search import Searcher, SubsetSearcher
from playlist_pipeline.model.transformer import fold_side_information
from playlist_pipeline.model.weights import LoadedModel, load_model

MODEL_FILE = "config.json"
MODEL_FOLDER = Path("06_models/model")
RERANKER_FOLDER = Path("06_models/reranker")
INDEX_FOLDER = Path("06_models/search_index")
DATABASE_FILE = Path("03_primary/catalog.db")
MAX_SEED = 2**32 - 1
DEFAULTS = Controls().to_dict()
MAIN = ("length", "top_k", "temperature", "eop_weight")  # controls that are always named
CHECKED_TRACKS = 1000
FOUND = ("uri", "name", "artist", "album", "count", "known", "link")  # columns of a search
SONGS_KEPT = 1 << 16
SMALLEST_LENGTH = 1e-12  # of two vectors' lengths multiplied


class Recommender:
    """Completes playlists with a trained model.

    Example:
        ```python
        recommender = Recommender.load("data")
        print(recommender.complete(["Artist - Title"], length=20, seed=1))
        ```

    Attributes:
        model: The transformer, side information folded into its table.
        reranker: The second stage, or None.
        vocabulary: What its tokens mean.
        index: How the transformer's tracks are searched, or None.
        database: The catalog that texts are looked up in and names come from, or None.
        batch_size: Playlists that the model reads at a time.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        reranker: RerankerState | None = None,
        index: SearchIndex | None = None,
        database: Database | None = None,
        batch_size: int = 32,
    ) -> None:
        """Take a loaded model; see :meth:`load` for a folder.

        Args:
            loaded: The model with its vocabulary.
            reranker: The second stage; without it, or if it is empty, the transformer ranks alone.
            index: How the transformer's tracks are searched; without it exactly. One that is damaged or belongs to
                another model is built anew.
            database: The catalog; without it, seeds are URIs and tracks have no names.
            batch_size: Playlists that the model reads at a time in ``rank``; the result does not depend on it.

        Raises:
            UserError: The second stage or the catalog belongs to another vocabulary, or the index cannot be built.
        """
        if database is not None:
            _check_catalog(database, loaded.vocabulary)
        self.model = fold_side_information(loaded.model)
        self.vocabulary = loaded.vocabulary
        if reranker is not None and not _is_of(reranker, loaded.vocabulary):
            raise UserError(
                "the second stage belongs to another vocabulary than the model: make it again with "
                "`kedro run --pipelines=rerank`"
            )
        self.reranker = (
            Reranker(reranker, self.model, batch_size=batch_size) if reranker is not None and reranker.network else None
        )
        self.database = database
        self.batch_size = batch_size
        self.side_information = loaded.side_information
        # Songs are asked for while tracks are drawn, one by one: without the cache each costs a query.
        self._find_song = lru_cache(maxsize=SONGS_KEPT)(self._read_song)
        table = self.model.scoring.table[...]
        self.index = None if index is None else ensure_index(table, index)
        self.searcher = make_searcher(table, self.index)
        self.traits = TrackTraits(
            counts=self.vocabulary.counts,
            vectors=np.asarray(table),
            artists=None if self.side_information is None else self.side_information.artists,
            albums=None if self.side_information is None else self.side_information.albums,
            find_song=self._find_song if database is not None else None,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], database: Database | str | os.PathLike[str] | None = None) -> Self:
        """Load a trained model.

        Args:
            path: A workspace: the folder with ``06_models/model``, ``06_models/reranker``,
                ``06_models/search_index`` and ``03_primary/catalog.db``, such as the project's ``data``. Or a model's
                folder, for the transformer alone.
            database: The catalog or its file; for a workspace its own is the default.

        Raises:
            UserError: There is no model, or a file of it or the catalog cannot be read.
        """
        folder = Path(path)
        reranker = index = None
        if not (folder / MODEL_FILE).is_file():
            workspace, folder = folder, folder / MODEL_FOLDER
            if not (folder / MODEL_FILE).is_file():
                raise UserError(
                    f"{workspace} holds no trained model, neither {MODEL_FILE} nor {MODEL_FOLDER / MODEL_FILE}: "
                    "make one with `kedro run`, or with `kedro run --pipeline=train` if the data is prepared"
                )
            if database is None and (workspace / DATABASE_FILE).is_file():
                database = workspace / DATABASE_FILE
            if (workspace / RERANKER_FOLDER).is_dir():
                reranker = load_reranker(workspace / RERANKER_FOLDER)
            if (workspace / INDEX_FOLDER).is_dir():
                index = load_index(workspace / INDEX_FOLDER)
        if database is not None and not isinstance(database, Database):
            database = Database(Path(database))
        return cls(load_model(folder), reranker=reranker, index=index, database=database)

    def rank(self, seeds: Sequence[np.ndarray], k: int, *, titles: Sequence[str | None] | None = None) -> np.ndarray:
        """Rank the best next tracks of playlists.

        Args:
            seeds: For each playlist, the tokens of its tracks, int32 ``[n_i]``, ``<unk>`` allowed.
            k: How many tracks are wanted.
            titles: The playlists' titles, None where there is none; the transformer alone does not look at them.

        Returns:
            Tokens int32 ``[n, k]``, best first; the playlist's own tracks and special tokens are never among them.
            Rows with fewer than ``k`` tracks left are filled up with -1.
        """
        return self._rank(seeds, k, titles)[0]

    def _rank(
        self,
        seeds: Sequence[np.ndarray],
        k: int,
        titles: Sequence[str | None] | None,
        is_allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and scores [n, k]."""
        if self.reranker is not None:
            return self.reranker.rank(seeds, k, titles=titles, is_allowed=is_allowed)
        searcher = self._make_searcher(is_allowed)
        return rank_tracks(self.model, seeds, k, batch_size=self.batch_size, searcher=searcher)

    def _make_searcher(self, is_allowed: np.ndarray | None) -> Searcher:
        """Return what finds allowed tracks."""
        return self.searcher if is_allowed is None else SubsetSearcher(self.model.scoring.table[...], is_allowed)

    def recommend(
        self, seeds: Sequence[str] = (), k: int = 10, *, name: str | None = None, **controls: Any
    ) -> TrackFrame:
        """Return the ``k`` tracks that fit best after the seeds.

        Args:
            seeds: Track URIs, links or "artist - title"; there may be none.
            k: How many tracks are wanted.
            name: The playlist's title, which the second stage takes in.
            controls: Fields of :class:`~playlist_pipeline.config.Controls` that say which tracks are wanted; those of
                sampling, length and order have no say here. The best is always taken.

        Returns:
            One row for each track, best first: rank (from 1), uri, name, artist, album, score (the model's own,
            comparable within one result alone), link.

        Raises:
            UserError: A seed or a control cannot be used; see
                :func:`~playlist_pipeline.generation.lookup.resolve_seeds`.
        """
        resolved = resolve_seeds(seeds, self.database, self.vocabulary)
        wanted = Controls(**controls | {"length": len(resolved.seeds) + k, "top_k": 1, "eop_weight": 0.0})
        (drawer,), scores = self._draw([resolved], [name], wanted, [0], one_by_one=False)
        tokens = drawer.continuation.tokens
        return self._tabulate(tokens, score=[scores[0][int(token)] for token in tokens])

    def search(self, text: str, limit: int = 10) -> TrackFrame:
        """Look for tracks by title, artist, album, URI or link.

        Args:
            text: Anything; see :meth:`~playlist_pipeline.corpus.database.Database.search`.
            limit: Most tracks to return.

        Returns:
            One row for each track, the best match first: uri, name, artist, album, count (in training), known (whether
            the model knows it), link.

        Raises:
            UserError: There is no catalog.
        """
        return TrackFrame(self.find_tracks(text, limit), columns=list(FOUND))

    def find_tracks(self, text: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the rows of :meth:`search` as dictionaries; a frame of ten rows takes six times as long to make."""
        rows = self._require_database("search").search(self._read_link(text), limit)
        known = (self.vocabulary.encode([row.uri for row in rows]) != UNK).tolist()
        found = (
            (row.uri, row.name, row.artist, row.album, row.count, is_known, make_link(row.uri))
            for row, is_known in zip(rows, known, strict=True)
        )
        return [dict(zip(FOUND, values, strict=True)) for values in found]

    def _read_link(self, text: str) -> str:
        try:
            return parse_uri(text, "text", self.vocabulary) or text
        except MalformedSeed:
            return text

    def similar(self, track: str, k: int = 10) -> TrackFrame:
        """Return the tracks whose vectors point most nearly where a track's does.

        Args:
            track: URI, link or "artist - title". A track that training never saw is read as its artist's most frequent
                one.
            k: How many tracks are wanted.

        Returns:
            One row for each track, the most similar first: rank (from 1), uri, name, artist, album, score (cosine),
            link.

        Raises:
            UserError: The track cannot be found, or nothing is known of it.
        """
        (token,) = read_stand_ins(resolve_seeds([track], self.database, self.vocabulary).tokens)
        if token == UNK:
            raise UserError(f"{quote_text(track)} is unknown to the model, as are all tracks of its artist")
        vectors = self.traits.vectors
        cosines = vectors @ vectors[token] / np.maximum(self._lengths * self._lengths[token], SMALLEST_LENGTH)
        cosines[: len(SPECIALS)], cosines[token] = -np.inf, -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(k, len(cosines) - len(SPECIALS) - 1)]
        return self._tabulate(best, score=cosines[best])

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.linalg.norm(self.traits.vectors, axis=1)

    def explain(self, track: str, seeds: Sequence[str]) -> TrackFrame:
        """Say how a track stands to each seed.

        Args:
            track: URI, link or "artist - title".
            seeds: Likewise.

        Returns:
            One row for each seed, the nearest first: uri, name, artist, similarity (cosine of the model's vectors; null
            for a track that the model does not know), together (training playlists that hold both), with_seed (those
            that hold the seed), link. The two counts are null without a catalog.

        Raises:
            UserError: The track or a seed cannot be used.
        """
        (asked,) = resolve_seeds([track], self.database, self.vocabulary).seeds
        given = resolve_seeds(seeds, self.database, self.vocabulary).seeds
        count = self.database.count_training_playlists if self.database else lambda *_: None
        frame = TrackFrame(
            {
                "uri": [seed.uri for seed in given],
                "name": [seed.name for seed in given],
                "artist": [seed.artist for seed in given],
                "similarity": [self._compare(asked, seed) for seed in given],
                "together": pd.array([count(asked.uri, seed.uri) for seed in given], "Int64"),
                "with_seed": pd.array([count(seed.uri) for seed in given], "Int64"),
                "link": [make_link(seed.uri) for seed in given],
            }
        )
        order = ["similarity", "together"]
        return frame.sort_values(order, ascending=False, na_position="last", kind="stable", ignore_index=True)

    def _compare(self, first: ResolvedSeed, second: ResolvedSeed) -> float | None:
        """Return the cosine of two tracks' vectors."""
        if not (first.known and second.known):
            return None
        one, other = self.traits.vectors[[first.token, second.token]]
        return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), SMALLEST_LENGTH))

    def complete(
        self, seeds: Sequence[str] = (), *, name: str | None = None, seed: int = 0, **controls: Any
    ) -> GeneratedPlaylist:
        """Complete one playlist.

        Args:
            seeds: Track URIs, links or "artist - title"; none at all is allowed.
            name: Its title. With a second stage it counts as input.
            seed: Of the drawing: the same one gives the same playlist.
            controls: Fields of :class:`~playlist_pipeline.config.Controls`. With ``eop_weight`` above 0 the
                transformer draws track by track and alone, as the second stage knows of no end.

        Raises:
            UserError: A seed or a control cannot be used.
        """
        (playlist,) = self.complete_many([seeds], names=[name], seed=seed, **controls)
        return playlist

    def complete_many(
        self,
        seeds: Sequence[Sequence[str]],
        *,
        names: Sequence[str | None] | None = None,
        seed: int | Sequence[int] = 0,
        **controls: Any,
    ) -> list[GeneratedPlaylist]:
        """Complete several playlists at once; each comes out as :meth:`complete` alone would give it.

        Args:
            seeds: One list of seeds for each playlist.
            names: Their titles.
            seed: One for all playlists, or one for each: equal lists of seeds need different ones to differ.
            controls: Of all of them; see :meth:`complete`.

        Raises:
            UserError: A seed or a control cannot be used; the message names playlist and seed.
        """
        wanted = Controls(**controls)
        random_seeds = _check_seeds([seed] * len(seeds) if isinstance(seed, int | np.integer) else seed, len(seeds))
        resolved = [
            resolve_seeds(given, self.database, self.vocabulary, where=f"playlist {number}, " if len(seeds) > 1 else "")
            for number, given in enumerate(seeds, start=1)
        ]
        titles = list(names or [None] * len(seeds))
        one_by_one = self.reranker is None or wanted.eop_weight > 0
        drawers, _ = self._draw(resolved, titles, wanted, random_seeds, one_by_one=one_by_one)
        return [
            self._assemble_playlist(title, found, drawer, wanted, random_seed)
            for title, found, drawer, random_seed in zip(titles, resolved, drawers, random_seeds, strict=True)
        ]

    def _draw(
        self,
        resolved: Sequence[ResolvedSeeds],
        titles: Sequence[str | None],
        controls: Controls,
        seeds: Sequence[int],
        *,
        one_by_one: bool,
    ) -> tuple[list[Drawer], list[dict[int, float]]]:
        """Draw continuations: ``one_by_one`` from what the transformer makes of the tracks so far, else from one list.

        Returns:
            The finished playlists, and of each the scores of the tracks that were candidates (empty ``one_by_one``).
        """
        is_allowed = find_allowed(controls, self.vocabulary, self.database, self.side_information)
        self._check_limits(controls)
        drawers = [
            Drawer(found.tokens, controls, self.traits, seed=seed, songs=_name_songs(found.seeds))
            for found, seed in zip(resolved, seeds, strict=True)
        ]
        if one_by_one:
            complete_rows(self.model, drawers, controls=controls, searcher=self._make_searcher(is_allowed))
            return drawers, [{} for _ in drawers]
        return drawers, self._draw_from_lists(
            drawers, [found.tokens for found in resolved], titles, controls, is_allowed
        )

    def _draw_from_lists(
        self,
        drawers: Sequence[Drawer],
        rows: Sequence[np.ndarray],
        titles: Sequence[str | None],
        controls: Controls,
        is_allowed: np.ndarray | None,
    ) -> list[dict[int, float]]:
        """Let playlists take tracks from ranked lists, longer ones where controls leave too few."""
        scores: list[dict[int, float]] = [{} for _ in drawers]
        count = max(count_candidates(controls), self.reranker.num_candidates if self.reranker else CANDIDATES)
        waiting = [index for index, drawer in enumerate(drawers) if drawer.ended_by is None]
        while waiting:
            lists = self._rank(
                [rows[index] for index in waiting],
                min(count, len(self.vocabulary)),
                [titles[index] for index in waiting],
                is_allowed,
            )
            for index, tokens, logits in zip(waiting, *lists, strict=True):
                while drawers[index].ended_by is None and drawers[index].draw(tokens, logits):
                    pass
                scores[index].update(zip(tokens.tolist(), logits.tolist(), strict=True))
                if drawers[index].ended_by is None and count >= len(self.vocabulary):
                    drawers[index].exhaust()
            waiting = [index for index in waiting if drawers[index].ended_by is None]
            count *= MORE_CANDIDATES
        return scores

    def _check_limits(self, controls: Controls) -> None:
        for name, numbers in (("max_per_artist", self.traits.artists), ("max_per_album", self.traits.albums)):
            if getattr(controls, name) is not None and numbers is None:
                raise UserError(
                    f"{name}: the model's folder does not say who made a track: train the model again, or leave it out"
                )

    def _assemble_playlist(
        self,
        name: str | None,
        resolved: ResolvedSeeds,
        drawer: Drawer,
        controls: Controls,
        random_seed: int,
    ) -> GeneratedPlaylist:
        """Put names to the tokens."""
        continuation = drawer.continuation
        uris = self.vocabulary.decode(continuation.tokens)
        rows = self._find_names(uris)
        entries = [(seed.uri, seed, True) for seed in resolved.seeds] + [(uri, rows.get(uri), False) for uri in uris]
        if controls.order == "similar":
            vectors = self.traits.vectors[read_stand_ins(np.array(drawer.tokens, np.int64))]
            entries = [entries[place] for place in arrange_by_likeness(vectors)]
        tracks = tuple(
            PlaylistTrack(
                position,
                uri,
                getattr(row, "name", None),
                getattr(row, "artist", None),
                getattr(row, "album", None),
                is_seed,
            )
            for position, (uri, row, is_seed) in enumerate(entries, 1)
        )
        return GeneratedPlaylist(
            name=name,
            seeds=resolved.seeds,
            tracks=tracks,
            ended_by=continuation.ended_by,
            notes=resolved.notes + _note_length(len(resolved.seeds), len(tracks), controls, continuation),
            settings=describe_controls(controls),
            seed=random_seed,
        )

    def _tabulate(self, tokens: np.ndarray, *, score: Sequence[float] | np.ndarray) -> TrackFrame:
        """Return a frame of tracks: rank, uri, name, artist, album, score, link."""
        uris = self.vocabulary.decode(tokens)
        rows = self._find_names(uris)
        names = {field: [getattr(rows.get(uri), field, None) for uri in uris] for field in ("name", "artist", "album")}
        ranks = np.arange(1, len(uris) + 1)
        return TrackFrame(
            {"rank": ranks, "uri": uris, **names, "score": np.asarray(score, float), "link": map(make_link, uris)}
        )

    def _find_names(self, uris: Sequence[str]) -> dict[str, TrackRow]:
        return {row.uri: row for row in self.database.tracks(list(uris))} if self.database else {}

    def _read_song(self, token: int) -> Hashable:
        """Return what all versions of a track have in common."""
        (uri,) = self.vocabulary.decode([token])
        row = self._find_names([uri]).get(uri)
        return None if row is None else name_song(row.artist, row.name)

    def _require_database(self, what: str) -> Database:
        if self.database is None:
            raise UserError(f"{what} needs the catalog: load a workspace, or give database=")
        return self.database


def _check_catalog(database: Database, vocabulary: Vocabulary) -> None:
    """Compare some tracks of the catalog with the vocabulary.

    Raises:
        UserError: The catalog lacks one, or counts it otherwise.
    """
    tokens = np.unique(np.linspace(len(SPECIALS), len(vocabulary) - 1, CHECKED_TRACKS).astype(int))
    counts = {row.uri: row.count for row in database.tracks(vocabulary.decode(tokens))}
    for token, uri in zip(tokens, vocabulary.decode(tokens), strict=True):
        if counts.get(uri) != vocabulary.counts[token]:
            raise UserError(
                f"{database.path} is not the catalog of this model: {uri} occurs in training "
                f"{vocabulary.counts[token]} times by the model, {counts.get(uri, 0)} times by the catalog: "
                "take the catalog that was made with the model"
            )


def _is_of(reranker: RerankerState, vocabulary: Vocabulary) -> bool:
    is_as_large = len(reranker.artists.of_token) == len(vocabulary)
    return is_as_large and reranker.vocabulary == vocabulary.fingerprint


def _check_seeds(seeds: Sequence[int], count: int) -> list[int]:
    """Return the random seeds as plain numbers, one for each playlist."""
    if len(seeds) != count:
        raise UserError(f"seed has {len(seeds)} numbers for {count} playlists: give one for all or one for each")
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise UserError(f"seed = {seed} is not allowed: give a whole number from 0 to {MAX_SEED}")
    return [int(seed) for seed in seeds]


def _note_length(num_seeds: int, num_tracks: int, controls: Controls, continuation: Continuation) -> tuple[str, ...]:
    """Return the note on a playlist that is not as long as asked."""
    if num_seeds >= controls.length:
        return (f"the {num_seeds} seeds fill the {controls.length} tracks asked for, nothing is added",)
    if continuation.ended_by == "vocabulary":
        return (f"{num_tracks} of {controls.length} tracks: the vocabulary holds no more that may be added",)
    if continuation.ended_by == "eop":
        return (f"{num_tracks} of {controls.length} tracks: the model ended the playlist",)
    return ()


def _name_songs(seeds: Sequence[ResolvedSeed]) -> list[Hashable]:
    return [name_song(seed.artist, seed.name) for seed in seeds if seed.artist is not None and seed.name is not None]


def name_song(artist: str, title: str) -> Hashable:
    """Return what all versions of a song have in common, however artist and title are written."""
    return fold_name(artist), fold_name(title)


def describe_controls(controls: Controls) -> dict[str, Any]:
    """Return those of the controls that shaped a playlist: the main ones, and what differs from the default."""
    return {name: value for name, value in controls.to_dict().items() if name in MAIN or value != DEFAULTS[name]}
