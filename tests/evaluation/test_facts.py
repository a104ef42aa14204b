import numpy as np
import pyarrow as pa
import pytest

from playlist_pipeline.corpus.side_information import SideInformation, build_side_information
from playlist_pipeline.corpus.vocabulary import Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.facts import TrackFacts
from playlist_pipeline.evaluation.ragged import RaggedArray


@pytest.fixture
def tables():
    """Tracks 0..4; the vocabulary holds tracks 4, 0 and 2; artists 0 and 2 are both named X."""
    tracks = pa.table(
        {
            "uri": [f"track:{number}" for number in range(5)],
            "artist_id": pa.array([0, 1, 2, 1, 0], pa.int32()),
            "album_id": pa.array([0] * 5, pa.int32()),
            "duration_ms": pa.array([1] * 5, pa.int32()),
        }
    )
    artists = pa.table({"uri": ["artist:0", "artist:1", "artist:2"], "name": ["X", "Y", "X"]})
    uris = pa.array(["<start>", "<eop>", "<unk>", "track:4", "track:0", "track:2"])
    vocabulary = Vocabulary(uris, np.array([0, 0, 0, 5, 4, 3]))
    side = SideInformation(build_side_information(tracks, pa.table({"uri": ["album:0"]}), artists, vocabulary))
    return vocabulary, side, artists


def test_artists_by_token(tables):
    facts = TrackFacts.from_tables(*tables)
    assert facts.artists.tolist() == [-1, -1, -1, 0, 0, 2]
    assert facts.artist_names.tolist() == [0, 1, 0]
    assert facts.counts.tolist() == [0, 0, 0, 5, 4, 3]


def test_matches_by_id_and_by_name(tables):
    facts = TrackFacts.from_tables(*tables)
    ranked, truth = np.array([[3, 5, -1], [5, -1, -1]]), RaggedArray.from_lists([np.array([0, 1]), np.array([0, 2])])
    by_id = facts.match_artists(ranked, truth)
    assert by_id.artists.tolist() == [[0, 2, -1], [2, -1, -1]]
    assert by_id.in_truth.tolist() == [[True, False, False], [True, False, False]]
    assert by_id.num_truth.tolist() == [2, 2]
    by_name = facts.match_artist_names(ranked, truth)
    assert by_name.artists.tolist() == [[0, 0, -1], [0, -1, -1]]
    assert by_name.in_truth.tolist() == [[True, True, False], [True, False, False]]
    assert by_name.num_truth.tolist() == [2, 1]


def test_tables_of_different_runs_are_refused(tables):
    vocabulary, side, artists = tables
    other = Vocabulary(pa.array([*vocabulary.uris[:-1], "track:9"]), vocabulary.counts)
    with pytest.raises(UserError, match="side_information belongs to another vocabulary"):
        TrackFacts.from_tables(other, side, artists)
    with pytest.raises(UserError, match="artists: an artist of side_information is missing"):
        TrackFacts.from_tables(vocabulary, side, artists.slice(0, 2))
