"""A tiny model of random weights, a model whose answers are known, and a tiny catalog."""

import jax
import numpy as np
import pyarrow as pa
import pytest
from flax import nnx
from recipes import make_model_config

from playlist_pipeline.corpus.database import Database
from playlist_pipeline.corpus.database_build import build_database
from playlist_pipeline.corpus.side_information import SIDE_SCHEMA, VOCABULARY_KEY, SideInformation
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.model import LoadedModel, Transformer
from playlist_pipeline.mpd.schema import (
    ALBUMS_SCHEMA,
    ARTISTS_SCHEMA,
    MEMBERSHIPS_SCHEMA,
    PLAYLISTS_SCHEMA,
    TRACKS_SCHEMA,
)

# Artist, title, album of track 0, 1, ...; tracks from UNSEEN on are in the catalog but not in the vocabulary.
SONGS = [
    ("Queen", "Bohemian Rhapsody", "A Night at the Opera"),
    ("Queen", "Bohemian Rhapsody", "Greatest Hits"),
    ("Queen", "Don't Stop Me Now", "Jazz"),
    ("The Muppets", "Bohemian Rhapsody", "The Green Album"),
    ("Björk", "Jóga", "Homogenic"),
    ("宇多田ヒカル", "First Love", "First Love"),
    ("Earth, Wind & Fire", "September", "The Best Of, Vol. 1"),
    ("Simon - Garfunkel", "Mrs. Robinson", "Bookends"),
    ("Simon", "Garfunkel - Mrs. Robinson", "Oddities"),
    ("AC/DC", "T.N.T. - Live", "Live"),
    ("[bold]Tag[/bold]", "Bell\x07 & <b>tags</b>", "Two\nlines"),
    ("Zoë", "Only in the test part", "Rare"),
]
UNSEEN = 11


def make_uri(number):
    return f"spotify:track:{number:022d}"


@pytest.fixture(scope="session")
def vocabulary():
    """The songs but the last; the later track has the higher count, so token 3 is track 10."""
    order = list(reversed(range(UNSEEN)))
    return Vocabulary.from_table(
        pa.table(
            {
                "token": pa.array(range(len(SPECIALS) + len(order)), pa.int32()),
                "uri": [*SPECIALS, *map(make_uri, order)],
                "count": pa.array([0] * len(SPECIALS) + [number + 1 for number in order], pa.int64()),
            }
        )
    )


@pytest.fixture(scope="session")
def database_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("workspace") / "03_primary" / "catalog.db"
    path.parent.mkdir()
    artists = list(dict.fromkeys(artist for artist, _, _ in SONGS))
    albums = list(dict.fromkeys(album for _, _, album in SONGS))
    playlists = {name: [0] if name not in ("name", "description") else ["All"] for name in PLAYLISTS_SCHEMA.names} | {
        "collaborative": [False]
    }
    numbers = range(len(SONGS))
    # As often as the vocabulary counts them.
    members = [number for number in numbers for _ in range(number + 1 if number < UNSEEN else 1)]
    build_database(
        path,
        pa.table(playlists, PLAYLISTS_SCHEMA),
        pa.table(
            [range(len(artists)), [f"spotify:artist:{n:022d}" for n in range(len(artists))], artists],
            schema=ARTISTS_SCHEMA,
        ),
        pa.table(
            [range(len(albums)), [f"spotify:album:{n:022d}" for n in range(len(albums))], albums],
            schema=ALBUMS_SCHEMA,
        ),
        pa.table(
            [
                numbers,
                [make_uri(number) for number in numbers],
                [title for _, title, _ in SONGS],
                [artists.index(artist) for artist, _, _ in SONGS],
                [albums.index(album) for _, _, album in SONGS],
                [180_000] * len(SONGS),
            ],
            schema=TRACKS_SCHEMA,
        ),
        pa.table([[0] * len(members), range(len(members)), members], schema=MEMBERSHIPS_SCHEMA),
        pa.table({"playlist_id": pa.array([0], pa.int32()), "pid": pa.array([0], pa.int32()), "split": ["train"]}),
    )
    return path


@pytest.fixture
def database(database_path):
    return Database(database_path)


@pytest.fixture(scope="session")
def tiny_config():
    return make_model_config(context_length=8, num_layers=1, num_heads=2, embed_dim=16, feedforward_dim=32, dropout=0.1)


@pytest.fixture(scope="session")
def tiny_model(tiny_config):
    """Random weights over 30 tokens, scaled up so that the logits differ clearly."""
    model = Transformer(tiny_config, vocabulary_size=30, rngs=nnx.Rngs(0))
    model.embedding.table[...] = model.embedding.table[...] * 30
    return model


@pytest.fixture(scope="session")
def circle(vocabulary):
    """A model that goes round a circle: the best next track is the nearest one in the order of tokens.

    All weights but the embeddings and the final scale are zero, so the last track alone decides; the embeddings lie
    on a circle, each of mean zero and of one length, so that the layer norm only scales them.
    """
    config = make_model_config(context_length=8, num_layers=1, num_heads=1, embed_dim=4, feedforward_dim=4, dropout=0.1)
    model = Transformer(config, vocabulary_size=len(vocabulary), rngs=nnx.Rngs(0))
    nnx.update(model, jax.tree.map(np.zeros_like, nnx.state(model)))
    # Steps that shrink a little: the two neighbours of a track are never equally near.
    places = np.arange(len(vocabulary) - len(SPECIALS)) / (len(vocabulary) - len(SPECIALS))
    angles = 2 * np.pi * places * (1 - 0.01 * places)
    points = np.stack([np.cos(angles), -np.cos(angles), np.sin(angles), -np.sin(angles)], axis=1)
    model.embedding.table[...] = np.concatenate([np.zeros((len(SPECIALS), 4)), points]).astype(np.float32)
    model.final_norm.scale[...] = np.ones(4, np.float32)
    return LoadedModel(
        model=model, config=config, vocabulary=vocabulary, meta={}, side_information=make_side_information(vocabulary)
    )


def make_side_information(vocabulary):
    """Artists and albums as the catalog numbers them."""
    artists, albums = ({song[part]: None for song in SONGS} for part in (0, 2))
    numbers = [int(uri[-2:]) for uri in vocabulary.decode(range(len(SPECIALS), len(vocabulary)))]
    songs = [None] * len(SPECIALS) + [SONGS[number] for number in numbers]
    columns = {
        "token": pa.array(range(len(songs)), pa.int32()),
        "artist_uri": [song and f"spotify:artist:{[*artists].index(song[0]):022d}" for song in songs],
        "album_uri": [song and f"spotify:album:{[*albums].index(song[2]):022d}" for song in songs],
        "duration_ms": pa.array([song and 180_000 for song in songs], pa.int32()),
    }
    table = pa.table(columns).cast(SIDE_SCHEMA)
    return SideInformation(table.replace_schema_metadata({VOCABULARY_KEY: vocabulary.fingerprint}))
