import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.corpus.database import Database
from playlist_pipeline.corpus.vocabulary import UNK, VOCABULARY_SCHEMA, Vocabulary
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
    assert list(frame.columns) == ["rank", "uri", "name", "artist", "album", "score", "link"]
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
    assert len(used_up.tracks) == 10  # one of the 11 tracks is another version of a song
    assert used_up.notes == ("10 of 30 tracks: the vocabulary holds no more that may be added",)
    assert len(recommender.complete([make_uri(8)], length=30, unique_songs=False).tracks) == 11
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
    # Without names nobody knows which tracks are versions of one song.
    playlist = nameless.complete([make_uri(8)], length=6)
    assert list_uris(playlist) == list_uris(recommender.complete([make_uri(8)], length=6, unique_songs=False))
    assert {track.name for track in playlist.tracks} == {None}
    assert nameless.recommend([make_uri(8)], k=3)["name"].tolist() == [None] * 3


def test_a_catalog_of_another_archive_is_refused(circle, database_path):
    counts = circle.vocabulary.to_table().to_pydict()
    counts["count"][5] += 1
    other = dataclasses.replace(circle, vocabulary=Vocabulary.from_table(pa.table(counts, VOCABULARY_SCHEMA)))
    with pytest.raises(UserError, match=r"catalog.db is not the catalog of this model: .* 10 times by the model, 9"):
        Recommender(other, database=Database(database_path))


class TestControls:
    """What they do to the draws is tested in test_drawing.py."""

    def test_allow_lists_give_nothing_else(self, recommender):
        allowed = ["Queen - Bohemian Rhapsody", make_uri(4)]
        playlist = recommender.complete([make_uri(8)], length=9, allow_tracks=allowed, unique_songs=False)
        # A text means all versions.
        assert sorted(list_uris(playlist)[1:]) == [make_uri(0), make_uri(1), make_uri(4)]
        assert playlist.notes == ("4 of 9 tracks: the vocabulary holds no more that may be added",)
        assert playlist.to_dict()["settings"]["allow_tracks"] == tuple(allowed)

    def test_deny_lists_are_obeyed_but_seeds_stay(self, recommender):
        playlist = recommender.complete([make_uri(0)], length=20, deny_artists=["queen"], deny_tracks=[make_uri(4)])
        added = {int(uri[-2:]) for uri in list_uris(playlist)[1:]}
        assert added == set(range(11)) - {0, 1, 2, 4}
        assert list_uris(playlist)[0] == make_uri(0)

    def test_deny_beats_allow(self, recommender):
        frame = recommender.recommend([make_uri(8)], allow_artists=["Queen"], deny_tracks=[make_uri(2)])
        assert set(frame["uri"]) <= {make_uri(0), make_uri(1)}

    def test_an_artist_is_named_by_uri_too(self, recommender):
        by_name, by_uri = (
            recommender.complete([], length=20, allow_artists=[artist])
            for artist in ("Queen", "spotify:artist:" + "0" * 22)
        )
        assert list_uris(by_name) == list_uris(by_uri)

    def test_no_artist_has_more_tracks_than_allowed(self, recommender):
        playlist = recommender.complete([make_uri(8)], length=20, max_per_artist=1, unique_songs=False)
        artists = [track.artist for track in playlist.tracks]
        assert len(artists) == len(set(artists)) == 9

    def test_versions_of_one_song_do_not_stand_together(self, recommender):
        given = recommender.complete([make_uri(0)], length=20)
        assert make_uri(1) not in list_uris(given)
        assert make_uri(3) in list_uris(given)  # by another artist

    def test_similar_order_puts_neighbours_side_by_side(self, recommender):
        playlist = recommender.complete([make_uri(8), make_uri(2)], length=8, top_k=1, order="similar")
        numbers = [int(uri[-2:]) for uri in list_uris(playlist)]
        assert numbers[0] == 8
        assert sorted(numbers) == sorted(
            int(uri[-2:]) for uri in list_uris(recommender.complete([make_uri(8), make_uri(2)], length=8, top_k=1))
        )
        assert [track.seed for track in playlist.tracks] == [number in (8, 2) for number in numbers]
        steps = np.abs(np.diff(numbers))
        assert (np.minimum(steps, 11 - steps) <= 2).all()

    @pytest.mark.parametrize(
        ("controls", "message"),
        [
            ({"deny_artists": ["nobody"]}, r'deny_artists 1 \("nobody"\): no artist of the catalog has this name'),
            ({"allow_tracks": [""]}, r'allow_tracks 1 \(""\) is empty'),
            ({"allow_tracks": ["zzzz"]}, r'allow_tracks 1 \("zzzz"\) is not in the catalog'),
            ({"max_per_artist": 0}, "generate.max_per_artist = 0 is not allowed: give 1 or more, or null"),
            ({"diversity": 1.5}, "generate.diversity = 1.5 is not allowed: give a number from 0 to 1"),
            ({"order": "random"}, "generate.order = 'random' is not allowed: give one of fixed, similar"),
            ({"popularity_penalty": -1.0}, "generate.popularity_penalty = -1.0 is not allowed"),
        ],
    )
    def test_what_cannot_be_is_refused(self, recommender, controls, message):
        with pytest.raises(UserError, match=message):
            recommender.complete([], **controls)

    def test_a_model_without_artists_says_so(self, circle, database):
        bare = Recommender(dataclasses.replace(circle, side_information=None), database=database)
        for controls in ({"max_per_artist": 1}, {"deny_artists": ["Queen"]}):
            with pytest.raises(UserError, match="the model's folder does not say who made a track"):
                bare.complete([], **controls)


class TestLookingAround:
    def test_search_says_what_the_model_knows(self, recommender):
        frame = recommender.search("bohemian", limit=2)
        assert list(frame.columns) == ["uri", "name", "artist", "album", "count", "known", "link"]
        assert len(frame) == 2
        assert frame["known"].all()
        rare = recommender.search("only in the test part")
        assert rare[["uri", "known"]].values.tolist() == [[make_uri(11), False]]
        assert rare["link"].tolist() == [f"https://open.spotify.com/track/{11:022d}"]
        by_link = recommender.search(f"https://open.spotify.com/track/{4:022d}?si=x")
        assert by_link["name"].tolist() == ["Jóga"]
        assert recommender.search("zzzz").empty

    def test_search_needs_the_catalog(self, circle):
        with pytest.raises(UserError, match="search needs the catalog"):
            Recommender(circle).search("queen")

    def test_similar_tracks_are_neighbours_on_the_circle(self, recommender):
        frame = recommender.similar("Björk - Jóga", k=4)
        assert sorted(int(uri[-2:]) for uri in frame["uri"]) == [2, 3, 5, 6]
        assert frame["score"].is_monotonic_decreasing
        assert frame["score"].between(-1, 1).all()
        assert len(recommender.similar(make_uri(4), k=99)) == 10
        with pytest.raises(UserError, match="is unknown to the model, as are all tracks of its artist"):
            recommender.similar(make_uri(11))

    def test_explain_counts_playlists_and_puts_the_nearest_first(self, recommender):
        frame = recommender.explain(make_uri(4), [make_uri(9), make_uri(11), make_uri(5)])
        assert frame["uri"].tolist() == [make_uri(5), make_uri(9), make_uri(11)]
        assert frame["similarity"].isna().tolist() == [False, False, True]
        assert frame[["together", "with_seed"]].values.tolist() == [[1, 1]] * 3

    def test_explain_without_a_catalog_has_no_counts(self, circle):
        frame = Recommender(circle).explain(make_uri(4), [make_uri(5)])
        assert frame["together"].isna().all()
        assert frame["similarity"].notna().all()


def test_load_says_how_to_make_a_model(tmp_path):
    with pytest.raises(UserError, match=r"holds no trained model.*kedro run --pipeline=train"):
        Recommender.load(tmp_path)
    with pytest.raises(UserError, match="holds no trained model"):
        Recommender.load(tmp_path / "absent")
