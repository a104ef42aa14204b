"""The application around a real transformer, which draws track by track."""

import asyncio

import httpx2
import pytest
from fastapi.testclient import TestClient
from flax import nnx
from recipes import make_model_config

from playlist_pipeline.corpus.database import Database
from playlist_pipeline.generation import Recommender
from playlist_pipeline.model import LoadedModel, Transformer
from playlist_pipeline.serving.app import create_app


def make_uri(number):
    return f"spotify:track:{number:022d}"


@pytest.fixture(scope="module")
def recommender(catalog):
    config = make_model_config(context_length=12, num_layers=1, num_heads=2, embed_dim=8, feedforward_dim=16)
    model = Transformer(config, vocabulary_size=len(catalog.vocabulary), rngs=nnx.Rngs(0))
    loaded = LoadedModel(
        model=model, config=config, vocabulary=catalog.vocabulary, meta={}, side_information=catalog.side
    )
    return Recommender(loaded, database=Database(catalog.path))


def test_waiting_completions_get_what_they_would_get_alone(recommender):
    app = create_app(recommender)
    requests = [
        {
            "seeds": [make_uri(number), make_uri(number + 1)],
            "seed": number,
            "name": f"mix {number}",
            "controls": {"length": 9},
        }
        for number in range(12)
    ]
    requests[3]["controls"]["diversity"] = 0.5
    requests[5]["seeds"].append("spotify:track:" + "x" * 22)

    async def ask_all():
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
            return await asyncio.gather(*(client.post("/api/complete", json=request) for request in requests))

    for request, response in zip(requests, asyncio.run(ask_all()), strict=True):
        controls = request.pop("controls")
        alone = recommender.complete(request.pop("seeds"), **request, **controls).to_dict()
        answer = response.json()
        assert [track["uri"] for track in answer["tracks"]] == [track["uri"] for track in alone["tracks"]]
        assert answer["name"] == alone["name"]


def test_every_address_is_served(recommender):
    with TestClient(create_app(recommender), base_url="http://127.0.0.1") as client:
        assert client.get("/api/info").json()["has_second_stage"] is False
        (found,) = client.get("/api/search", params={"q": "Beyoncé 🎷 - track 9"}).json()["tracks"]
        assert found["uri"] == make_uri(9)
        request = {"seeds": [found["uri"]], "controls": {"length": 6, "eop_weight": 0.01, "max_per_artist": 2}}
        playlist = client.post("/api/complete", json=request).json()
        assert playlist["tracks"][0]["uri"] == found["uri"]
        assert len(client.post("/api/recommend", json={"seeds": [found["uri"]], "k": 5}).json()["tracks"]) == 5
        assert len(client.get("/api/similar", params={"track": found["uri"], "k": 5}).json()["tracks"]) == 5
        reasons = client.post("/api/explain", json={"track": make_uri(10), "seeds": [found["uri"]]}).json()["seeds"]
        assert 0 <= reasons[0]["together"] <= reasons[0]["with_seed"] > 0
