import asyncio
import dataclasses
import json

import httpx2
import pytest

from playlist_pipeline.config import Controls
from playlist_pipeline.generation import formats
from playlist_pipeline.serving.app import create_app
from playlist_pipeline.serving.schemas import ControlSettings

ABSENT = "spotify:track:" + "x" * 22
MARKUP = "<img src=x onerror=\"document.title='broken'\"><b>bold</b> & co"
UNSEEN = 99


def make_uri(number):
    return f"spotify:track:{number:022d}"


def list_uris(playlist):
    return [track["uri"] for track in playlist["tracks"]]


def complete(client, status=200, **request):
    response = client.post("/api/complete", json=request)
    assert response.status_code == status, response.text
    return response.json()


def test_search_finds_names_uris_and_links(client):
    (first, second) = client.get("/api/search", params={"q": "rotating", "limit": 5}).json()["tracks"]
    assert {first["name"], second["name"]} == {"Rotating System", "Rotating Machine"}
    assert first["artist"] == "DJ Kreuzfeld"
    assert first["known"] is True
    assert first["link"] == "https://open.spotify.com/track/" + first["uri"].removeprefix("spotify:track:")
    for text in (first["uri"], first["link"]):
        assert client.get("/api/search", params={"q": text}).json()["tracks"] == [first]
    assert client.get("/api/search", params={"q": "zzzzzz"}).json() == {"tracks": []}
    assert len(client.get("/api/search", params={"q": "track", "limit": 3}).json()["tracks"]) == 3


def test_search_says_what_the_model_does_not_know(client):
    (found,) = client.get("/api/search", params={"q": make_uri(UNSEEN)}).json()["tracks"]
    assert (found["known"], found["count"]) == (False, 0)


def test_names_come_as_they_are(client):
    response = client.get("/api/search", params={"q": make_uri(5)})
    assert response.json()["tracks"][0]["name"] == MARKUP
    assert response.headers["content-type"] == "application/json"


def test_completion_has_seeds_first_and_names_unknown_ones(client):
    playlist = complete(client, seeds=[make_uri(0), ABSENT, make_uri(UNSEEN)], name="mix", controls={"length": 8})
    assert list_uris(playlist)[:3] == [make_uri(0), ABSENT, make_uri(UNSEEN)]
    assert [track["position"] for track in playlist["tracks"]] == list(range(1, 9))
    assert [track["seed"] for track in playlist["tracks"]] == [True] * 3 + [False] * 5
    assert len(set(list_uris(playlist))) == 8
    assert playlist["unknown_seeds"] == [ABSENT, make_uri(UNSEEN)]
    assert (playlist["name"], playlist["seed"], playlist["ended_by"]) == ("mix", 0, "length")
    assert playlist["settings"]["length"] == 8
    assert not any(track["locked"] for track in playlist["tracks"])


def test_completion_is_the_recommenders(client, recommender):
    playlist = complete(client, seeds=[make_uri(0), make_uri(9)], seed=7, controls={"length": 9, "top_k": 5})
    expected = recommender.complete([make_uri(0), make_uri(9)], seed=7, length=9, top_k=5).to_dict()
    assert list_uris(playlist) == [track["uri"] for track in expected["tracks"]]
    assert complete(client, seed=7, controls={"length": 9}) != complete(client, seed=8, controls={"length": 9})


def test_the_example_of_the_document_is_answered(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    (example,) = schemas["CompletionRequest"]["examples"]
    example["seeds"] = [make_uri(0)]  # its tracks are not in this catalog, which is no fault of a URI
    playlist = complete(client, **example)
    assert playlist["tracks"][3]["uri"] == example["locked"][0]["uri"]


def test_no_seeds_and_an_empty_name_will_do(client):
    playlist = complete(client, seeds=[], name="", controls={"length": 5})
    assert (len(playlist["tracks"]), playlist["name"]) == (5, None)


def test_locked_tracks_keep_their_places_and_the_rest_is_drawn_anew(client):
    seeds = [make_uri(0), make_uri(1)]
    first = complete(client, seeds=seeds, controls={"length": 10})
    uris = list_uris(first)
    locked = [{"position": 7, "uri": uris[6]}, {"position": 4, "uri": uris[3]}]
    avoid = [uri for uri in uris[2:] if uri not in (uris[3], uris[6])]
    second = complete(client, seeds=seeds, seed=1, locked=locked, avoid=avoid, controls={"length": 10})
    drawn = list_uris(second)
    assert (drawn[:2], drawn[3], drawn[6]) == (seeds, uris[3], uris[6])
    assert not set(drawn) & set(avoid)
    assert len(set(drawn)) == 10
    assert [track["position"] for track in second["tracks"] if track["locked"]] == [4, 7]
    assert [track["position"] for track in second["tracks"] if track["seed"]] == [1, 2]
    # Locked tracks are no seeds of the user, and what is avoided is no control.
    assert [seed["uri"] for seed in second["seeds"]] == seeds
    assert "deny_tracks" not in second["settings"]


def test_locked_tracks_count_as_seeds(client, recommender):
    # Greedy, so the seeds alone decide.
    controls = {"length": 6, "top_k": 1}
    with_lock = complete(client, seeds=[make_uri(0)], locked=[{"position": 6, "uri": make_uri(9)}], controls=controls)
    expected = recommender.complete([make_uri(0), make_uri(9)], **controls)
    drawn = [track.uri for track in expected.tracks if not track.seed]
    assert list_uris(with_lock) == [make_uri(0), *drawn, make_uri(9)]


def test_a_lock_behind_the_end_is_the_last_track(client):
    playlist = complete(client, locked=[{"position": 400, "uri": make_uri(9)}], controls={"length": 4})
    assert list_uris(playlist)[3] == make_uri(9)


def test_a_seed_can_be_locked_elsewhere(client):
    locked = [{"position": 3, "uri": make_uri(0)}]
    playlist = complete(client, seeds=[make_uri(0), make_uri(1)], locked=locked, controls={"length": 4})
    assert list_uris(playlist)[0] == make_uri(1)
    assert list_uris(playlist)[2] == make_uri(0)
    assert playlist["notes"] == []


def test_avoided_seeds_stay_and_denied_tracks_are_told(client):
    deny = [make_uri(number) for number in range(10, 30)]
    playlist = complete(
        client, seeds=[make_uri(0)], avoid=[make_uri(0), make_uri(9)], controls={"length": 30, "deny_tracks": deny}
    )
    assert list_uris(playlist)[0] == make_uri(0)
    assert not set(list_uris(playlist)) & {make_uri(9), *deny}
    assert playlist["settings"]["deny_tracks"] == deny


def test_controls_reach_the_recommender(client):
    one = complete(client, seeds=[make_uri(0)], controls={"length": 10, "max_per_artist": 1})
    artists = [track["artist"] for track in one["tracks"]]
    assert len(set(artists)) == len(artists) == 10
    two = complete(client, controls={"length": 3, "allow_artists": ["DJ Kreuzfeld"]})
    assert {track["artist"] for track in two["tracks"]} == {"DJ Kreuzfeld"}


def test_control_settings_are_the_recommenders_controls():
    fields = {field.name: field.default for field in dataclasses.fields(Controls)}
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in ControlSettings().model_dump().items()
    }
    assert settings == fields


def test_recommend_similar_and_explain_are_the_recommenders(client, recommender):
    request = {"seeds": [make_uri(0)], "k": 4, "controls": {"deny_tracks": [make_uri(5)]}}
    tracks = client.post("/api/recommend", json=request).json()["tracks"]
    assert [track["uri"] for track in tracks] == recommender.recommend([make_uri(0)], 4, deny_tracks=(make_uri(5),))[
        "uri"
    ].tolist()
    assert [track["rank"] for track in tracks] == [1, 2, 3, 4]
    similar = client.get("/api/similar", params={"track": make_uri(0), "k": 3}).json()["tracks"]
    assert [track["uri"] for track in similar] == recommender.similar(make_uri(0), 3)["uri"].tolist()
    assert similar[0]["score"] == pytest.approx(recommender.similar(make_uri(0), 3)["score"][0])


def test_explanation_counts_training_playlists_with_both(client, catalog):
    seeds = [make_uri(1), make_uri(20), ABSENT]
    rows = client.post("/api/explain", json={"track": make_uri(0), "seeds": seeds}).json()["seeds"]
    assert {row["uri"] for row in rows} == set(seeds)
    holders = {
        uri: {
            entry["pid"] for entry in catalog.playlists[:23] if uri in {track["track_uri"] for track in entry["tracks"]}
        }
        for uri in [make_uri(0), *seeds]
    }
    for row in rows:
        assert row["with_seed"] == len(holders[row["uri"]])
        assert row["together"] == len(holders[row["uri"]] & holders[make_uri(0)])
    assert rows[0]["together"] > 0
    assert rows[0]["similarity"] >= rows[1]["similarity"]
    assert (rows[2]["uri"], rows[2]["similarity"], rows[2]["name"]) == (ABSENT, None, None)


def test_resolution_tells_tracks_and_reasons_line_by_line(client):
    link = f"https://open.spotify.com/track/{make_uri(9)[14:]}?si=1"
    lines = [
        "DJ Kreuzfeld - rotating system",
        "#EXTINF:-1,x - y",
        link,
        ABSENT,
        "zzzz",
        "https://open.spotify.com/album/1",
    ]
    answer = client.post("/api/resolve", json={"lines": lines}).json()
    assert [(track["line"], track["uri"], track["known"]) for track in answer["tracks"]] == [
        (1, make_uri(0), True),
        (3, make_uri(9), True),
        (4, ABSENT, False),
    ]
    assert [line["line"] for line in answer["refused"]] == [5, 6]
    assert answer["refused"][0]["what"].startswith('"zzzz" is not in the catalog')
    assert answer["refused"][1]["what"].startswith('"https://open.spotify.com/album/1" names no track')


def test_info_says_what_is_allowed(client):
    info = client.get("/api/info").json()
    assert (info["tracks"], info["has_catalog"], info["has_second_stage"]) == (60, True, True)
    assert info["controls"]["length"] == {"default": 30, "minimum": 1, "maximum": 500}
    assert set(info["controls"]) == set(ControlSettings.model_fields)
    complete(client, 422, seeds=[make_uri(0)] * (info["max_seeds"] + 1))
    complete(client, 422, seed=info["max_random_seed"] + 1)
    assert client.get("/health").json() == {"status": "ok"}


def test_exports_are_the_playlist_in_each_format(client):
    playlist = complete(client, seeds=[make_uri(0), make_uri(5)], name='a "b" <c>', controls={"length": 6})
    known = client.get("/api/info").json()["formats"]
    assert {entry["name"]: entry["suffix"] for entry in known} == {
        name: format_.suffix for name, format_ in formats.FORMATS.items()
    }
    for entry in known:
        response = client.post(f"/api/export/{entry['name']}", json=playlist)
        assert response.text == formats.format_as([playlist], entry["name"])
        assert response.headers["content-type"].split(";")[0] == entry["media_type"].split(";")[0]
        assert response.headers["content-disposition"] == f'attachment; filename="playlist{entry["suffix"]}"'
    assert client.post("/api/export/uris", json=playlist).text.split() == list_uris(playlist)
    assert client.post("/api/export/pdf", json=playlist).status_code == 422


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        ({"controls": {"length": 0}}, "body.controls.length"),
        ({"controls": {"length": 501}}, "body.controls.length"),
        ({"controls": {"length": "20"}}, "body.controls.length"),
        ({"controls": {"temperature": 0}}, "body.controls.temperature"),
        ({"controls": {"diversity": 1.1}}, "body.controls.diversity"),
        ({"controls": {"order": "random"}}, "body.controls.order"),
        ({"controls": {"lenght": 20}}, "body.controls.lenght"),
        ({"controls": {"deny_tracks": [""]}}, "body.controls.deny_tracks.0"),
        ({"seeds": ["x" * 501]}, "body.seeds.0"),
        ({"seeds": "x"}, "body.seeds"),
        ({"seed": -1}, "body.seed"),
        ({"seed": True}, "body.seed"),
        ({"name": "x" * 501}, "body.name"),
        ({"locked": [{"position": 0, "uri": "x"}]}, "body.locked.0.position"),
        ({"locked": [{"position": 1, "uri": "x"}, {"position": 1, "uri": "y"}]}, "body"),
        ({"avoid": ["x"] * 1001}, "body.avoid"),
        ({"<b>": 1}, "body.<b>"),
        ({"\ud800": 1}, "body"),
    ],
)
def test_bad_requests_are_told_in_one_form(client, request_, where):
    response = client.post("/api/complete", content=json.dumps(request_), headers={"content-type": "application/json"})
    assert response.status_code == 422
    problem = response.json()
    assert set(problem) == {"what", "where", "advice"}
    assert problem["where"] == where
    assert all(problem.values())


@pytest.mark.parametrize(
    "body", ["{", "", "[" * 100_000, '{"seed": 1' + "0" * 10_000 + "}", '{"seed": NaN}', '"\\ud800"', b"\xff{}"]
)
def test_bodies_that_are_no_json_object_are_refused(client, body):
    response = client.post("/api/complete", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert set(response.json()) == {"what", "where", "advice"}


def test_seeds_that_cannot_be_used_are_one_line(client):
    problem = complete(client, 422, seeds=[make_uri(0), "zzzz"])
    assert problem["what"].startswith('seed 2 ("zzzz") is not in the catalog')
    problem = complete(client, 422, locked=[{"position": 1, "uri": "Rotating System"}])
    assert problem["what"].startswith('locked ("Rotating System") is no track URI')
    problem = complete(client, 422, controls={"deny_artists": ["Nobody"]})
    assert "no artist of the catalog has this name" in problem["what"]
    response = client.get("/api/similar", params={"track": ABSENT})
    assert response.status_code == 422
    assert "unknown to the model" in response.json()["what"]


@pytest.mark.parametrize("query", ["", "q=", "q=" + "x" * 501, "q=a&limit=0", "q=a&limit=51", "q=a&limit=x"])
def test_bad_searches_are_refused(client, query):
    response = client.get(f"/api/search?{query}")
    assert response.status_code == 422
    assert response.json()["where"] in ("query.q", "query.limit")


@pytest.mark.parametrize(
    "text", ["\x00", "%FF%FE", "'\"; DROP TABLE tracks; --", '"', "*", "a AND", "\u202e", "🎶" * 100]
)
def test_no_text_breaks_a_search(client, text):
    assert client.get("/api/search", params={"q": text}).status_code == 200


def test_concurrent_requests_get_their_own_answers(recommender):
    app = create_app(recommender)
    requests = [
        {"seeds": [make_uri(number % 40)], "seed": number, "controls": {"length": 6 + number % 2}}
        for number in range(60)
    ]

    async def ask_all():
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            searches = [client.get("/api/search", params={"q": make_uri(number)}) for number in range(60)]
            completions = [client.post("/api/complete", json=request) for request in requests]
            return await asyncio.gather(*searches, *completions)

    answers = [response.json() for response in asyncio.run(ask_all())]
    assert [answer["tracks"][0]["uri"] for answer in answers[:60]] == [make_uri(number) for number in range(60)]
    for request, answer in zip(requests, answers[60:], strict=True):
        alone = recommender.complete(request["seeds"], seed=request["seed"], **request["controls"])
        assert list_uris(answer) == [track.uri for track in alone.tracks]
    assert len(recommender.batches) - 60 < 60  # the last 60 are those of this test: batches were made
