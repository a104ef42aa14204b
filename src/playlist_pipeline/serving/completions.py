"""Completions that wait are taken together: one batch costs little more than one playlist."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from threadpoolctl import ThreadpoolController

from playlist_pipeline.config import Controls
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.export import GeneratedPlaylist
from playlist_pipeline.generation.recommender import Recommender
from playlist_pipeline.serving.guard import say_busy


@dataclass(frozen=True)
class Completion:
    """A playlist to complete.

    Attributes:
        seeds: Its given tracks.
        name: Its title, if it has one.
        seed: The random seed.
        controls: What the user asks.
    """

    seeds: tuple[str, ...]
    name: str | None
    seed: int
    controls: Controls


_Waiting = tuple[Completion, asyncio.Future[GeneratedPlaylist]]


class CompletionQueue:
    """Gives waiting completions to the model, those with equal controls in one batch; one batch at a time.

    Args:
        recommender: Completes playlists, in a thread of its own.
        max_batch: Completions in a batch.
        max_waiting: Completions that may wait.
    """

    def __init__(self, recommender: Recommender, *, max_batch: int, max_waiting: int) -> None:
        self._recommender = recommender
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="completions")
        self._blas = ThreadpoolController()
        self._waiting: deque[_Waiting] = deque()
        self._is_running = False

    async def complete(self, completion: Completion) -> GeneratedPlaylist:
        """Return the completed playlist.

        Raises:
            Refusal: Too many wait.
            UserError: A seed or a control cannot be used.
        """
        if len(self._waiting) >= self._max_waiting:
            raise say_busy("/api/complete")
        future: asyncio.Future[GeneratedPlaylist] = asyncio.get_running_loop().create_future()
        self._waiting.append((completion, future))
        self._run_next()
        return await future

    def close(self) -> None:
        """Let the batch at work finish and take no other."""
        self._executor.shutdown(cancel_futures=True)

    def _run_next(self) -> None:
        if self._is_running or not (batch := self._take_batch()):
            return
        self._is_running = True
        completions = [completion for completion, _ in batch]
        running = asyncio.get_running_loop().run_in_executor(self._executor, self._complete, completions)
        running.add_done_callback(lambda done: self._deliver(batch, done))

    def _complete(self, completions: Sequence[Completion]) -> list[GeneratedPlaylist | UserError]:
        # Where several wait, the other cores are wanted elsewhere, and BLAS's threads would keep them spinning.
        with self._blas.limit(limits=1 if len(completions) > 1 else None, user_api="blas"):
            return complete_batch(self._recommender, completions)

    def _take_batch(self) -> list[_Waiting]:
        """Take the longest waiting completion and those with the same controls; drop what nobody waits for."""
        batch: list[_Waiting] = []
        rest: deque[_Waiting] = deque()
        for waiting in self._waiting:
            completion, future = waiting
            if future.done():
                continue
            fits = not batch or completion.controls == batch[0][0].controls
            (batch if fits and len(batch) < self._max_batch else rest).append(waiting)
        self._waiting = rest
        return batch

    def _deliver(self, batch: Sequence[_Waiting], running: asyncio.Future[list[GeneratedPlaylist | UserError]]) -> None:
        self._is_running = False
        error = running.exception() if not running.cancelled() else asyncio.CancelledError()
        answers = [error] * len(batch) if error is not None else running.result()
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._run_next()


def complete_batch(recommender: Recommender, completions: Sequence[Completion]) -> list[GeneratedPlaylist | UserError]:
    """Complete playlists that have the same controls.

    Returns:
        For each its playlist, or why it was refused; a refused one does not touch the others.
    """
    try:
        return list(
            recommender.complete_many(
                [completion.seeds for completion in completions],
                names=[completion.name for completion in completions],
                seed=[completion.seed for completion in completions],
                **vars(completions[0].controls),
            )
        )
    except UserError as error:
        if len(completions) == 1:
            return [error]
        middle = len(completions) // 2
        return [
            *complete_batch(recommender, completions[:middle]),
            *complete_batch(recommender, completions[middle:]),
        ]


def place_locked(playlist: Mapping[str, Any], locked: Mapping[int, str], given: Sequence[str]) -> dict[str, Any]:
    """Put locked tracks at their places among the others, which keep their order.

    Args:
        playlist: What ``GeneratedPlaylist.to_dict`` gives, completed with the locked tracks as further seeds.
        locked: Position, from 1, to URI. A position behind the playlist's end is its end.
        given: The seeds as the user gave them, without the locked tracks.

    Returns:
        The same dictionary; ``seeds`` are those of ``given``, and each track says whether it is ``locked``.
    """
    tracks = {track["uri"]: track for track in playlist["tracks"]}
    kept = set(locked.values())
    order = [uri for uri in tracks if uri not in kept]
    for position, uri in sorted(locked.items()):
        order.insert(position - 1, uri)
    seeds = [seed for seed in playlist["seeds"] if seed["given"] in set(given)]
    seed_uris = {seed["uri"] for seed in seeds}
    return {
        **playlist,
        "seeds": seeds,
        "unknown_seeds": [seed["uri"] for seed in seeds if not seed["known"]],
        "tracks": [
            {**tracks[uri], "position": position, "seed": uri in seed_uris, "locked": uri in kept}
            for position, uri in enumerate(order, start=1)
        ],
    }
