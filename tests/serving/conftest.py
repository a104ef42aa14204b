"""A small catalog with awkward names, a recommender without JAX, the application, a live server, and a browser."""

import re
import shutil
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import uvicorn
from fastapi.testclient import TestClient
from recipes import make_extract_config

from playlist_pipeline.config import VocabularyConfig
from playlist_pipeline.corpus.database import Database
from playlist_pipeline.corpus.database_build import build_database
from playlist_pipeline.corpus.side_information import SideInformation, build_side_information
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary, build_vocabulary
from playlist_pipeline.generation import Recommender
from playlist_pipeline.generation.drawing import TrackTraits
from playlist_pipeline.mpd import Archive, extract_tables
from playlist_pipeline.serving.app import create_app

MARKUP = "<img src=x onerror=\"document.title='broken'\"><b>bold</b> & co"
TITLES = {
    0: "Rotating System",
    1: "Rotating Machine",
    5: MARKUP,
    6: "שלום עולם",
    7: "\u202etitle turned\u202c 👩‍🎤🎶",
    8: "Two\nlines\tand a bell\x07",
}
ARTISTS = {0: "DJ Kreuzfeld", 2: "<script>alert(1)</script>", 3: "Beyoncé 🎷"}
NUM_TRACKS = 60
UNSEEN = 99
SECONDS_TO_WAIT = 20


def make_uri(number: int) -> str:
    return f"spotify:track:{number:022d}"


@pytest.fixture(scope="session")
def catalog(tmp_path_factory, make_archive, make_playlists, make_playlist):
    """Vocabulary, database and side information of 24 playlists; track UNSEEN is in the last one, the only test one."""
    playlists = [*make_playlists(count=23, num_tracks=NUM_TRACKS), make_playlist(23, [0, 1, UNSEEN])]
    for playlist in playlists:
        for entry in playlist["tracks"]:
            number = int(entry["track_uri"].rsplit(":", 1)[1])
            entry["track_name"] = TITLES.get(number, entry["track_name"])
            entry["artist_name"] = ARTISTS.get(number // 3, entry["artist_name"])
    folder = tmp_path_factory.mktemp("catalog")
    archive = Archive(make_archive(folder, playlists, slice_size=24))
    tables, _ = extract_tables(archive, make_extract_config(), progress=False)
    ids = pa.array(range(24), pa.int32())
    splits = pa.table({"playlist_id": ids, "pid": ids, "split": ["train"] * 23 + ["test"]})
    table, _ = build_vocabulary(tables.memberships, tables.tracks, splits, VocabularyConfig(min_count=1))
    vocabulary = Vocabulary.from_table(table)
    side = SideInformation(build_side_information(tables.tracks, tables.albums, tables.artists, vocabulary))
    path = folder / "catalog.db"
    build_database(path, tables.playlists, tables.artists, tables.albums, tables.tracks, tables.memberships, splits)
    return SimpleNamespace(path=path, vocabulary=vocabulary, side=side, playlists=playlists)


class SecondStage:
    """Ranks by the inner product with the sum of the seeds' vectors: in the place of a trained second stage."""

    num_candidates = 40

    def __init__(self, vectors):
        self._vectors = vectors

    def rank(self, seeds, k, *, titles=None, is_allowed=None):
        queries = np.array([self._vectors[row[row >= 0]].sum(axis=0) for row in seeds])
        scores = (queries @ self._vectors.T).astype(np.float32)
        scores[:, : len(SPECIALS)] = -np.inf
        if is_allowed is not None:
            scores[:, ~is_allowed] = -np.inf
        for row, given in zip(scores, seeds, strict=True):
            row[given[given >= 0]] = -np.inf
        tokens = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
        scores = np.take_along_axis(scores, tokens, axis=1)
        return np.where(np.isneginf(scores), -1, tokens), scores


class FakeRecommender(Recommender):
    """The recommender with random vectors and no transformer; its completions can be held up and are counted.

    Attributes:
        gate: Completions wait until it is set.
        has_begun: Set when a batch is begun.
        batches: Random seeds of each batch.
    """

    def __init__(self, catalog):
        self.vocabulary, self.side_information = catalog.vocabulary, catalog.side
        self.database = Database(catalog.path)
        vectors = np.random.default_rng(0).standard_normal((len(catalog.vocabulary), 8)).astype(np.float32)
        self.reranker = SecondStage(vectors)
        self.traits = TrackTraits(
            counts=catalog.vocabulary.counts,
            vectors=vectors,
            artists=catalog.side.artists,
            albums=catalog.side.albums,
            find_song=self._read_song,
        )
        self.gate, self.has_begun = threading.Event(), threading.Event()
        self.gate.set()
        self.batches = []

    def complete_many(self, seeds, *, names=None, seed=0, **controls):
        self.batches.append(seed)
        self.has_begun.set()
        assert self.gate.wait(SECONDS_TO_WAIT)
        # Without a transformer nothing knows where a playlist ends.
        return super().complete_many(seeds, names=names, seed=seed, **controls | {"eop_weight": 0.0})


@pytest.fixture
def recommender(catalog):
    recommender = FakeRecommender(catalog)
    yield recommender
    recommender.gate.set()
    recommender.database.close()


@pytest.fixture
def client(recommender):
    with TestClient(create_app(recommender), base_url="http://127.0.0.1") as client:
        yield client


class LiveServer:
    """The application behind uvicorn, in a thread."""

    def __init__(self, app):
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=0, http="h11", ws="none", log_level="warning", timeout_graceful_shutdown=10)
        )
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        for _ in range(SECONDS_TO_WAIT * 100):
            if self._server.started:
                break
            self._thread.join(0.01)
        assert self._server.started

    @property
    def port(self):
        return self._server.servers[0].sockets[0].getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self, *, wait=True):
        self._server.should_exit = True
        if wait:
            self._thread.join(SECONDS_TO_WAIT)
            assert not self._thread.is_alive()


@pytest.fixture
def live_server(recommender) -> Iterator[LiveServer]:
    server = LiveServer(create_app(recommender))
    yield server
    recommender.gate.set()
    server.stop()


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing that the browser does of its own accord.
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(
    scope="module"
)  # while it lives, an event loop runs in this thread, which other modules have no use for
def browser():
    """A headless Chromium of the system."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, live_server):
    """Give ``open_page(path="/", **context_options)``; at the end no page may have complained or asked elsewhere."""
    contexts, complaints, requests = [], [], []

    def open_page(path="/", **options):
        context = browser.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SECONDS_TO_WAIT * 1000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on("request", lambda request: requests.append(request.url))
        page.goto(path)
        page.wait_for_selector("body[data-ready]")
        return page

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    own = re.compile(re.escape(live_server.url) + "/|blob:" + re.escape(live_server.url))
    assert [url for url in requests if not own.match(url)] == []
