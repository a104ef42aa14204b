import asyncio
import json
import logging

import httpx2
import pytest
from fastapi.testclient import TestClient

from playlist_pipeline.serving.app import create_app
from playlist_pipeline.serving.settings import ServerSettings

FORM = {"what", "where", "advice"}
PATHS = [
    "/",
    "/docs",
    "/static/app.js",
    "/openapi.json",
    "/api/info",
    "/api/search?q=a",
    "/nowhere",
    "/health",
    "/api/search",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_the_headers(client, path):
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert headers["cache-control"] == ("no-store" if path.startswith(("/api/", "/health")) else "no-cache")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:8000"])
def test_own_names_are_served(client, host):
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "127.0.0.1:x", "", "127.0.0.2", "[::1"]
)
@pytest.mark.parametrize("path", ["/", "/api/info"])
def test_other_names_are_refused(client, host, path):
    response = client.get(path, headers={"host": host})
    assert response.status_code == 421
    assert set(response.json()) == FORM


def test_two_names_are_refused(client):
    headers = [("host", "127.0.0.1"), ("host", "evil.example")]
    assert client.get("/health", headers=headers).status_code == 421


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_other_content_types_are_refused(client, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    response = client.post("/api/complete", content=b"{}", headers=headers)
    assert response.status_code == 415
    assert response.json()["where"] == "header Content-Type"


def test_json_with_a_charset_is_taken(client):
    headers = {"content-type": "application/json; charset=utf-8"}
    assert client.post("/api/complete", content=b"{}", headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "GET"])
def test_other_methods_are_refused(client, method):
    response = client.request(method, "/api/complete", headers={"origin": "http://evil.example"})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["where"] == f"{method} /api/complete"


def test_unknown_addresses_have_the_same_form(client):
    for path in ("/nowhere", "/static/nothing.js", "/static/../app.py", "/static/%2e%2e/app.py", "/api/search/"):
        response = client.get(path)
        assert response.status_code == 404
        assert set(response.json()) == FORM


@pytest.fixture
def small_client(recommender):
    settings = ServerSettings(max_body_bytes=1000)
    with TestClient(create_app(recommender, settings), base_url="http://127.0.0.1") as client:
        yield client


def test_large_bodies_are_refused_before_they_are_read(small_client):
    headers = {"content-type": "application/json"}
    exact = b"{}" + b" " * 998
    assert small_client.post("/api/complete", content=exact, headers=headers).status_code == 200
    response = small_client.post("/api/complete", content=exact + b" ", headers=headers)
    assert response.status_code == 413
    assert set(response.json()) == FORM

    sent = []

    def chunks():
        for _ in range(100):
            sent.append(1)
            yield b" " * 100

    assert small_client.post("/api/complete", content=chunks(), headers=headers).status_code == 413


def test_reading_stops_at_the_limit(recommender):
    """A body of undeclared length is not read beyond the limit."""
    app = create_app(recommender, ServerSettings(max_body_bytes=1000))
    given, answers = [], []

    async def receive():
        given.append(100)
        return {"type": "http.request", "body": b" " * 100, "more_body": True}

    async def send(message):
        answers.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/complete", "headers": headers, "query_string": b""}
    asyncio.run(app(scope, receive, send))
    assert answers[0]["status"] == 413
    assert sum(given) == 1100


def test_requests_that_take_too_long_are_ended(recommender):
    recommender.gate.clear()
    app = create_app(recommender, ServerSettings(time_limit=0.2))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        response = client.post("/api/complete", json={})
        assert response.status_code == 504
        assert response.headers["retry-after"]
        assert response.json()["what"] == "the request took longer than 0.2 seconds"
        recommender.gate.set()
        # The next ones are served; a slow machine may need several.
        assert any(client.post("/api/complete", json={}).status_code == 200 for _ in range(50))


def ask_held_up(recommender, settings, *, completions, searches):
    """Ask for everything at once while completions are held up; let them go when all others are answered."""

    async def ask():
        transport = httpx2.ASGITransport(app=create_app(recommender, settings))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            held_up = [asyncio.create_task(client.post("/api/complete", json={})) for _ in range(2)]
            await asyncio.to_thread(recommender.has_begun.wait, 10)
            others = [client.post("/api/complete", json={}) for _ in range(completions - 2)]
            others += [client.get("/api/search?q=rotating") for _ in range(searches)]
            answers = await asyncio.gather(*others)
            recommender.gate.set()
            return [*await asyncio.gather(*held_up), *answers]

    recommender.gate.clear()
    return asyncio.run(ask())


def test_too_many_completions_are_refused_and_searches_still_served(recommender):
    answers = ask_held_up(recommender, ServerSettings(max_waiting=1), completions=4, searches=1)
    # One is at work, one waits, two find no room.
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503, 200]
    assert set(answers[2].json()) == FORM
    assert answers[2].headers["retry-after"]


def test_too_many_requests_are_refused(recommender):
    answers = ask_held_up(recommender, ServerSettings(max_requests=2), completions=2, searches=2)
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503]


def test_the_defaults_leave_room_for_searches():
    settings = ServerSettings()
    assert settings.max_requests - settings.max_waiting >= 200


def test_faults_are_logged_and_not_told(recommender, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(recommender, "find_tracks", fail)
    with TestClient(create_app(recommender), base_url="http://127.0.0.1") as client, caplog.at_level(logging.ERROR):
        response = client.get("/api/search?q=a")
    assert response.status_code == 500
    assert set(response.json()) == FORM
    assert "secret" not in response.text
    assert "RuntimeError: a secret" in caplog.text
    assert response.headers["x-content-type-options"] == "nosniff"


def test_faults_of_a_completion_are_not_told_either(recommender, caplog, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a secret")

    monkeypatch.setattr(recommender, "complete_many", fail)
    with TestClient(create_app(recommender), base_url="http://127.0.0.1") as client:
        response = client.post("/api/complete", json={})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "a secret" in caplog.text


def test_the_document_names_every_error(client):
    document = client.get("/openapi.json").json()
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(document)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            if path not in ("/health", "/api/info"):
                reference = operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"]
                assert reference.endswith("/Problem")
