"""The front door to a trained model: rank continuations, recommend tracks, complete playlists."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from playlist_pipeline.config import GenerateConfig
from playlist_pipeline.corpus.database import Database, TrackRow
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.decode import Continuation, Sampling, complete_rows, draw_tracks, rank_tracks
from playlist_pipeline.generation.export import GeneratedPlaylist, PlaylistTrack
from playlist_pipeline.generation.lookup import ResolvedSeeds, resolve_seeds
from playlist_pipeline.generation.reranking.reranker import Reranker, RerankerState, load_reranker
from playlist_pipeline.generation.search import PADDING
from playlist_pipeline.model.transformer import fold_side_information
from playlist_pipeline.model.weights import LoadedModel, load_model

MODEL_FILE = "config.json"
MODEL_FOLDER = Path("06_models/model")
RERANKER_FOLDER = Path("06_models/reranker")
DATABASE_FILE = Path("03_primary/catalog.db")
MAX_SEED = 2**32 - 1


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
        database: The catalog that texts are looked up in and names come from, or None.
        batch_size: Playlists that the model reads at a time.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        reranker: RerankerState | None = None,
        database: Database | None = None,
        batch_size: int = 32,
    ) -> None:
        """Take a loaded model; see :meth:`load` for a folder.

        Args:
            loaded: The model with its vocabulary.
            reranker: The second stage; without it, or if it is empty, the transformer ranks alone.
            database: The catalog; without it, seeds are URIs and tracks have no names.
            batch_size: Playlists that the model reads at a time in ``rank``; the result does not depend on it.

        Raises:
            UserError: The second stage belongs to another vocabulary.
        """
        self.model = fold_side_information(loaded.model)
        self.vocabulary = loaded.vocabulary
        if reranker is not None and reranker.vocabulary != loaded.vocabulary.fingerprint:
            raise UserError(
                "the second stage belongs to another vocabulary than the model: make it again with "
                "`kedro run --pipelines=rerank`"
            )
        self.reranker = (
            Reranker(reranker, self.model, batch_size=batch_size) if reranker is not None and reranker.network else None
        )
        self.database = database
        self.batch_size = batch_size

    @classmethod
    def load(cls, path: str | os.PathLike[str], database: Database | str | os.PathLike[str] | None = None) -> Self:
        """Load a trained model.

        Args:
            path: A workspace: the folder with ``06_models/model``, ``06_models/reranker`` and
                ``03_primary/catalog.db``, such as the project's ``data``. Or a model's folder, for the transformer
                alone.
            database: The catalog or its file; for a workspace its own is the default.

        Raises:
            UserError: There is no model, or a file of it or the catalog cannot be read.
        """
        folder = Path(path)
        reranker = None
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
        if database is not None and not isinstance(database, Database):
            database = Database(Path(database))
        return cls(load_model(folder), reranker=reranker, database=database)

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
        self, seeds: Sequence[np.ndarray], k: int, titles: Sequence[str | None] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and scores [n, k]."""
        if self.reranker is not None:
            return self.reranker.rank(seeds, k, titles=titles)
        return rank_tracks(self.model, seeds, k, batch_size=self.batch_size)

    def recommend(self, seeds: Sequence[str] = (), k: int = 10, *, name: str | None = None) -> pd.DataFrame:
        """Return the ``k`` tracks that fit best after the seeds.

        Args:
            seeds: Track URIs, links or "artist - title"; there may be none.
            k: How many tracks are wanted.
            name: The playlist's title, which the second stage takes in.

        Returns:
            One row for each track, best first: rank (from 1), uri, name, artist, album, score (comparable within one
            result alone).

        Raises:
            UserError: A seed cannot be used; see :func:`~playlist_pipeline.generation.lookup.resolve_seeds`.
        """
        resolved = resolve_seeds(seeds, self.database, self.vocabulary)
        tokens, scores = self._rank([resolved.tokens], k, [name])
        found = tokens[0] != PADDING
        uris = self.vocabulary.decode(tokens[0][found])
        rows = self._find_names(uris)
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(uris) + 1),
                "uri": uris,
                **{
                    field: [getattr(rows.get(uri), field, None) for uri in uris]
                    for field in ("name", "artist", "album")
                },
                "score": scores[0][found],
            }
        )

    def complete(
        self,
        seeds: Sequence[str] = (),
        *,
        name: str | None = None,
        length: int = 30,
        top_k: int = 50,
        temperature: float = 1.0,
        eop_weight: float = 0.0,
        seed: int = 0,
    ) -> GeneratedPlaylist:
        """Complete one playlist.

        Args:
            seeds: Track URIs, links or "artist - title"; none at all is allowed.
            name: Its title. With a second stage it counts as input.
            length: Tracks of the finished playlist, seeds included.
            top_k: Draw among so many best tracks.
            temperature: Divides the logits; small is greedy.
            eop_weight: Multiplies the probability of the playlist's end; 0 always fills it to ``length``. Above 0 the
                transformer draws track by track and alone, as the second stage knows of no end.
            seed: Of the drawing: the same one gives the same playlist.

        Raises:
            UserError: A seed or a setting cannot be used.
        """
        (playlist,) = self.complete_many(
            [seeds],
            names=[name],
            length=length,
            top_k=top_k,
            temperature=temperature,
            eop_weight=eop_weight,
            seed=seed,
        )
        return playlist

    def complete_many(
        self,
        seeds: Sequence[Sequence[str]],
        *,
        names: Sequence[str | None] | None = None,
        length: int = 30,
        top_k: int = 50,
        temperature: float = 1.0,
        eop_weight: float = 0.0,
        seed: int | Sequence[int] = 0,
    ) -> list[GeneratedPlaylist]:
        """Complete several playlists at once; each comes out as :meth:`complete` alone would give it.

        Args:
            seeds: One list of seeds for each playlist.
            names: Their titles.
            length: As in :meth:`complete`, as are the next three.
            top_k: See there.
            temperature: See there.
            eop_weight: See there.
            seed: One for all playlists, or one for each: equal lists of seeds need different ones to differ.

        Raises:
            UserError: A seed or a setting cannot be used; the message names playlist and seed.
        """
        # The parameters' own class checks the values and words the refusals.
        settings = GenerateConfig(
            seeds=(),
            num_examples=0,
            num_example_seeds=0,
            length=length,
            top_k=top_k,
            temperature=temperature,
            eop_weight=eop_weight,
            seed=0,
        )
        random_seeds = _check_seeds([seed] * len(seeds) if isinstance(seed, int | np.integer) else seed, len(seeds))
        resolved = [
            resolve_seeds(given, self.database, self.vocabulary, where=f"playlist {number}, " if len(seeds) > 1 else "")
            for number, given in enumerate(seeds, start=1)
        ]
        sampling = Sampling(top_k=top_k, temperature=temperature, eop_weight=eop_weight)
        rows, titles = [found.tokens for found in resolved], list(names or [None] * len(seeds))
        if self.reranker is not None and eop_weight == 0:
            continuations = self._draw_from_lists(rows, titles, length, sampling, random_seeds)
        else:
            continuations = complete_rows(self.model, rows, length=length, sampling=sampling, seeds=random_seeds)
        return [
            self._assemble_playlist(playlist_name, found, continuation, settings, random_seed)
            for playlist_name, found, continuation, random_seed in zip(
                titles, resolved, continuations, random_seeds, strict=True
            )
        ]

    def _draw_from_lists(
        self,
        rows: Sequence[np.ndarray],
        titles: Sequence[str | None],
        length: int,
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Continuation]:
        """Continue playlists from the lists of both stages, each ranked once."""
        lists = zip(*self._rank(rows, length + sampling.top_k, titles), strict=True)
        continuations = []
        for row, (tokens, scores), seed in zip(rows, lists, seeds, strict=True):
            wanted = max(length - len(row), 0)
            drawn = draw_tracks(tokens, scores, wanted, sampling=sampling, seed=seed)
            continuations.append(Continuation(drawn, "length" if len(drawn) == wanted else "vocabulary"))
        return continuations

    def _assemble_playlist(
        self,
        name: str | None,
        resolved: ResolvedSeeds,
        continuation: Continuation,
        settings: GenerateConfig,
        random_seed: int,
    ) -> GeneratedPlaylist:
        """Put names to the tokens."""
        given = [(seed.uri, seed, True) for seed in resolved.seeds]
        uris = self.vocabulary.decode(continuation.tokens)
        rows = self._find_names(uris)
        tracks = tuple(
            PlaylistTrack(
                position,
                uri,
                getattr(row, "name", None),
                getattr(row, "artist", None),
                getattr(row, "album", None),
                is_seed,
            )
            for position, (uri, row, is_seed) in enumerate(given + [(uri, rows.get(uri), False) for uri in uris], 1)
        )
        return GeneratedPlaylist(
            name=name,
            seeds=resolved.seeds,
            tracks=tracks,
            ended_by=continuation.ended_by,
            notes=resolved.notes + _note_length(len(given), len(tracks), settings.length, continuation),
            settings={key: getattr(settings, key) for key in ("length", "top_k", "temperature", "eop_weight")},
            seed=random_seed,
        )

    def _find_names(self, uris: Sequence[str]) -> dict[str, TrackRow]:
        return {row.uri: row for row in self.database.tracks(list(uris))} if self.database else {}


def _check_seeds(seeds: Sequence[int], count: int) -> list[int]:
    """Return the random seeds as plain numbers, one for each playlist."""
    if len(seeds) != count:
        raise UserError(f"seed has {len(seeds)} numbers for {count} playlists: give one for all or one for each")
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise UserError(f"seed = {seed} is not allowed: give a whole number from 0 to {MAX_SEED}")
    return [int(seed) for seed in seeds]


def _note_length(num_seeds: int, num_tracks: int, length: int, continuation: Continuation) -> tuple[str, ...]:
    """Return the note on a playlist that is not as long as asked."""
    if num_seeds >= length:
        return (f"the {num_seeds} seeds fill the {length} tracks asked for, nothing is added",)
    if continuation.ended_by == "vocabulary":
        return (f"{num_tracks} of {length} tracks: the vocabulary holds no more",)
    if continuation.ended_by == "eop":
        return (f"{num_tracks} of {length} tracks: the model ended the playlist",)
    return ()
