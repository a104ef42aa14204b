import json

import numpy as np
import pytest

from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation import Recommender
from playlist_pipeline.model import save_model

ABSENT = "spotify:track:" + "x" * 22


def make_uri(number):
    return f"spotify:track:{number:022d}"


@pytest.fixture
def recommender(circle, database):
    return Recommender(circle, database=database)


@pytest.fixture
def workspace(circle, database_path):
    folder = database_path.parents[1]
    save_model(folder / "06_models" / "model", circle)
    return folder


def list_uris(playlist):
    return [track.uri for track in playlist.tracks]


def test_rank_follows_the_circle(circle):
    ranked = Recommender(circle, batch_size=2).rank([np.array([5]), np.array([5, 6]), np.array([], int)], 12)
    # Token 5 lies between 4 and 6; the query of <start> alone is zero, and so are all scores.
    assert set(ranked[0][:2]) == {4, 6}
    assert ranked[1].tolist()[0] == 7
    assert ranked[2].tolist() == [*range(3, 14), -1]
    assert ranked.dtype == np.int32


def test_rank_fills_up_with_padding(circle):
    ranked = Recommender(circle, batch_size=2).rank([np.array([5, UNK])], 12)
    assert sorted(ranked[0].tolist()) == [-1, -1, 3, 4, *range(6, 14)]
    assert ranked[0, -2:].tolist() == [-1, -1]


def test_recommend_gives_names_and_falling_scores(recommender):
    # Tracks run against the tokens: after tracks 8 and 7 comes 6.
    frame = recommender.recommend([make_uri(8), make_uri(7)], k=3)
    assert list(frame.columns) == ["rank", "uri", "name", "artist", "album", "score"]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert frame.iloc[0][["uri", "name", "artist"]].tolist() == [make_uri(6), "September", "Earth, Wind & Fire"]
    assert frame["score"].is_monotonic_decreasing


def test_greedy_completion_walks_round_the_circle(recommender):
    playlist = recommender.complete([make_uri(8), make_uri(7)], length=8, top_k=1)
    assert list_uris(playlist) == [make_uri(number) for number in (8, 7, 6, 5, 4, 3, 2, 1)]
    assert [track.seed for track in playlist.tracks] == [True, True] + [False] * 6
    assert [track.position for track in playlist.tracks] == list(range(1, 9))
    assert (playlist.tracks[3].name, playlist.tracks[3].artist) == ("First Love", "宇多田ヒカル")
    assert playlist.notes == ()
    assert playlist.ended_by == "length"


def test_complete_many_equals_complete(recommender):
    seeds = [[make_uri(8)], [], ["Björk - Jóga", ABSENT]]
    many = recommender.complete_many(seeds, length=7, seed=[1, 2, 3], names=["a", None, "c"])
    single = [
        recommender.complete(given, length=7, seed=seed, name=name)
        for given, seed, name in zip(seeds, (1, 2, 3), ("a", None, "c"), strict=True)
    ]
    assert many == single
    assert recommender.complete_many(seeds, length=7)[1] == recommender.complete(length=7)
    assert recommender.complete_many([]) == []


def test_no_seeds_at_all(recommender):
    playlist = recommender.complete(length=5)
    assert len(set(list_uris(playlist))) == 5
    assert not any(track.seed for track in playlist.tracks)


def test_unknown_seeds_stay_in_the_playlist_and_are_named(recommender):
    playlist = recommender.complete([ABSENT, make_uri(11), make_uri(8)], length=6)
    assert list_uris(playlist)[:3] == [ABSENT, make_uri(11), make_uri(8)]
    assert playlist.to_dict()["unknown_seeds"] == [ABSENT, make_uri(11)]
    assert len(playlist.tracks) == 6
    assert "unknown to the model: " + ABSENT in str(playlist)


def test_short_playlists_say_why(recommender):
    used_up = recommender.complete([make_uri(8)], length=30)
    assert len(used_up.tracks) == 11
    assert used_up.notes == ("11 of 30 tracks: the vocabulary holds no more",)
    ended = recommender.complete([make_uri(8)], length=30, eop_weight=1e30)
    assert ended.notes == ("1 of 30 tracks: the model ended the playlist",)
    full = recommender.complete([make_uri(8), make_uri(7)], length=1)
    assert full.notes == ("the 2 seeds fill the 1 tracks asked for, nothing is added",)
    assert list_uris(full) == [make_uri(8), make_uri(7)]


def test_dictionary_is_json_and_holds_the_settings(recommender):
    playlist = recommender.complete([make_uri(10)], length=3, top_k=20, temperature=2.0, eop_weight=0.5, seed=9)
    document = json.loads(json.dumps(playlist.to_dict()))
    assert document["settings"] == {"length": 3, "top_k": 20, "temperature": 2.0, "eop_weight": 0.5}
    assert document["seed"] == 9
    assert document["seeds"][0]["name"] == "Bell\x07 & <b>tags</b>"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "generate.length = 0 is not allowed"),
        ({"top_k": 0}, "generate.top_k = 0 is not allowed"),
        ({"temperature": 0.0}, "generate.temperature = 0.0 is not allowed"),
        ({"eop_weight": -1.0}, "generate.eop_weight = -1.0 is not allowed"),
        ({"seed": -1}, "seed = -1 is not allowed"),
        ({"seed": 2**32}, "seed = 4294967296 is not allowed"),
        ({"seed": [1, 2]}, "2 numbers for 1 playlists"),
    ],
)
def test_bad_settings_are_refused(recommender, settings, message):
    with pytest.raises(UserError, match=message):
        recommender.complete([], **settings)


def test_errors_name_playlist_and_seed(recommender):
    with pytest.raises(UserError, match=r'^playlist 2, seed 1 \("zzzz"\)'):
        recommender.complete_many([[make_uri(8)], ["zzzz"]])
    with pytest.raises(UserError, match=r'^seed 1 \("zzzz"\)'):
        recommender.recommend(["zzzz"])


def test_load_from_a_workspace_and_from_a_model_folder(workspace, recommender):
    expected = recommender.complete([make_uri(8)], length=6)
    assert Recommender.load(workspace).complete([make_uri(8)], length=6) == expected
    model_folder = workspace / "06_models" / "model"
    loaded = Recommender.load(str(model_folder), database=workspace / "03_primary" / "catalog.db")
    assert loaded.complete([make_uri(8)], length=6) == expected
    nameless = Recommender.load(model_folder)
    playlist = nameless.complete([make_uri(8)], length=6)
    assert list_uris(playlist) == list_uris(expected)
    assert {track.name for track in playlist.tracks} == {None}
    assert nameless.recommend([make_uri(8)], k=3)["name"].tolist() == [None] * 3


def test_load_says_how_to_make_a_model(tmp_path):
    with pytest.raises(UserError, match=r"holds no trained model.*kedro run --pipeline=train"):
        Recommender.load(tmp_path)
    with pytest.raises(UserError, match="holds no trained model"):
        Recommender.load(tmp_path / "absent")
