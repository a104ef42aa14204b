import asyncio

import pytest

from playlist_pipeline.config import Controls
from playlist_pipeline.errors import UserError
from playlist_pipeline.serving.completions import Completion, CompletionQueue, complete_batch, place_locked
from playlist_pipeline.serving.problems import Refusal


def make_uri(number):
    return f"spotify:track:{number:022d}"


def make_completion(seed, *seeds, **controls):
    return Completion(tuple(seeds), None, seed, Controls(**{"length": 5} | controls))


@pytest.fixture
def queue(recommender):
    queue = CompletionQueue(recommender, max_batch=3, max_waiting=8)
    yield queue
    recommender.gate.set()
    queue.close()


def run_held_up(recommender, queue, first, others, *, then=lambda _: None):
    """Ask for the others while the first is at work; return all answers."""

    async def run():
        recommender.gate.clear()
        tasks = [asyncio.create_task(queue.complete(first))]
        await asyncio.to_thread(recommender.has_begun.wait, 10)
        tasks += [asyncio.create_task(queue.complete(other)) for other in others]
        await asyncio.sleep(0)
        then(tasks)
        recommender.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_what_waits_is_taken_together_by_controls(recommender, queue):
    short, long = {"length": 4}, {"length": 6}
    others = [make_completion(2, **short), make_completion(3, **long), make_completion(4, **short)]
    others += [make_completion(seed, **short) for seed in (5, 6)]
    answers = run_held_up(recommender, queue, make_completion(1, **short), others)
    # Three at most; the first that waits says which controls; the order of the rest stays.
    assert recommender.batches == [[1], [2, 4, 5], [3], [6]]
    assert [(answer.seed, len(answer.tracks)) for answer in answers] == [(1, 4), (2, 4), (3, 6), (4, 4), (5, 4), (6, 4)]


def test_batch_equals_single(recommender, queue):
    others = [make_completion(seed, make_uri(seed)) for seed in range(2, 5)]
    answers = run_held_up(recommender, queue, make_completion(1, make_uri(1)), others)
    assert len(recommender.batches[1]) == 3
    for seed, answer in enumerate(answers, start=1):
        assert answer == recommender.complete([make_uri(seed)], seed=seed, length=5)


def test_a_bad_seed_does_not_touch_the_others(recommender, queue):
    others = [make_completion(2, make_uri(2)), make_completion(3, "zzzz"), make_completion(4, make_uri(4))]
    answers = run_held_up(recommender, queue, make_completion(1), others)
    assert [getattr(answer, "seed", None) for answer in answers] == [1, 2, None, 4]
    assert isinstance(answers[2], UserError)
    # The line does not speak of the others' playlists.
    assert str(answers[2]).startswith('seed 1 ("zzzz")')


def test_what_nobody_waits_for_is_dropped(recommender, queue):
    answers = run_held_up(
        recommender,
        queue,
        make_completion(1),
        [make_completion(2), make_completion(3)],
        then=lambda tasks: tasks[1].cancel(),
    )
    assert isinstance(answers[1], asyncio.CancelledError)
    assert recommender.batches == [[1], [3]]


def test_the_queue_is_bounded(recommender, queue):
    answers = run_held_up(recommender, queue, make_completion(1), [make_completion(seed) for seed in range(2, 12)])
    assert [isinstance(answer, Refusal) for answer in answers] == [False] * 9 + [True] * 2
    assert answers[-1].status == 503


def test_a_fault_reaches_all_of_its_batch_and_none_of_the_next(recommender, queue, monkeypatch):
    complete_many = recommender.complete_many

    def fail(seeds, **options):
        playlists = complete_many(seeds, **options)
        if 2 in options["seed"]:
            raise RuntimeError
        return playlists

    monkeypatch.setattr(recommender, "complete_many", fail)
    answers = run_held_up(recommender, queue, make_completion(1), [make_completion(seed) for seed in range(2, 6)])
    assert [type(answer).__name__ for answer in answers] == [
        "GeneratedPlaylist",
        *["RuntimeError"] * 3,
        "GeneratedPlaylist",
    ]


def test_a_refused_batch_is_halved(recommender):
    completions = [make_completion(seed, "zzzz" if seed == 5 else make_uri(seed)) for seed in range(8)]
    answers = complete_batch(recommender, completions)
    assert [isinstance(answer, UserError) for answer in answers] == [seed == 5 for seed in range(8)]
    assert list(map(len, recommender.batches)) == [8, 4, 4, 2, 1, 1, 2]


@pytest.mark.parametrize(
    ("locked", "expected"),
    [
        ({}, "abcde"),
        ({1: "e"}, "eabcd"),
        ({2: "d", 4: "e"}, "adbec"),
        ({4: "e", 5: "d"}, "abced"),
        ({9: "a"}, "bcdea"),
        ({8: "b", 9: "a"}, "cdeba"),
        ({1: "c", 2: "b", 3: "a"}, "cbade"),
    ],
)
def test_locked_tracks_stand_where_they_are_wanted(locked, expected):
    tracks = [{"uri": uri, "position": position, "seed": uri in "ab"} for position, uri in enumerate("abcde", start=1)]
    seeds = [{"given": uri, "uri": uri, "known": uri != "b"} for uri in "ab"]
    placed = place_locked({"tracks": tracks, "seeds": seeds, "unknown_seeds": ["b"]}, locked, ["a"])
    assert "".join(track["uri"] for track in placed["tracks"]) == expected
    assert [track["position"] for track in placed["tracks"]] == [1, 2, 3, 4, 5]
    assert {track["uri"] for track in placed["tracks"] if track["locked"]} == set(locked.values())
    # b came as a locked track, not as a seed.
    assert [track["uri"] for track in placed["tracks"] if track["seed"]] == ["a"]
    assert (placed["seeds"], placed["unknown_seeds"]) == (seeds[:1], [])
