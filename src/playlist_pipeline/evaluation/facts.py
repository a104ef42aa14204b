"""What metrics know of the vocabulary's tracks: training count and artist, by token."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import SPECIALS, Vocabulary
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.metrics import PADDING, ArtistMatches, compute_hits
from playlist_pipeline.evaluation.ragged import RaggedArray


@dataclass(frozen=True, eq=False)
class TrackFacts:
    """Facts on the V tokens.

    Attributes:
        counts: Occurrences in the training part, int64 [V]; 0 for special tokens.
        artists: Artist id, int32 [V]; -1 for special tokens.
        artist_names: For each artist id the lowest id of an artist with the same name, int32 [artists].
    """

    counts: np.ndarray
    artists: np.ndarray
    artist_names: np.ndarray

    @classmethod
    def from_tables(cls, vocabulary: Vocabulary, side: SideInformation, artists: pa.Table) -> "TrackFacts":
        """Join the tables.

        Args:
            vocabulary: The tokens.
            side: Their artists.
            artists: ``ARTISTS_SCHEMA``; row i is artist_id i.

        Raises:
            UserError: The tables come from different runs.
        """
        if side.vocabulary != vocabulary.fingerprint:
            raise UserError("side_information belongs to another vocabulary: run the pipeline vocabulary again")
        uris = side.table["artist_uri"].cast(pa.string())
        ids = pc.fill_null(pc.index_in(uris, value_set=artists["uri"]), PADDING).to_numpy().astype(np.int32)
        if (ids[len(SPECIALS) :] == PADDING).any():
            raise UserError("artists: an artist of side_information is missing: run the pipeline vocabulary again")
        names = pc.index_in(artists["name"], value_set=pc.unique(artists["name"])).to_numpy()
        _, first = np.unique(names, return_index=True)
        return cls(counts=vocabulary.counts, artists=ids, artist_names=first[names].astype(np.int32))

    def match_artists(self, ranked: np.ndarray, truth_artists: RaggedArray) -> ArtistMatches:
        """Match the artists of ranked lists with those of the truth.

        Args:
            ranked: Tokens, int32 [n, k], padded with -1.
            truth_artists: Artist ids of each playlist's truth, each once.
        """
        return _match(self._find_artists(ranked), truth_artists)

    def match_artist_names(self, ranked: np.ndarray, truth_artists: RaggedArray) -> ArtistMatches:
        """Match artists as ``match_artists`` does, but by name: artists with the same name count as one."""
        ids = self._find_artists(ranked)
        named = np.where(ids == PADDING, PADDING, self.artist_names[ids])
        pairs = np.unique(np.stack([truth_artists.rows, self.artist_names[truth_artists.values]]), axis=1)
        lengths = np.bincount(pairs[0], minlength=len(truth_artists))
        return _match(named, RaggedArray.from_lengths(pairs[1], lengths))

    def _find_artists(self, ranked: np.ndarray) -> np.ndarray:
        return np.where(ranked == PADDING, PADDING, self.artists[ranked])


def _match(artists: np.ndarray, truth: RaggedArray) -> ArtistMatches:
    in_truth = compute_hits(artists, truth.values, truth.offsets)
    return ArtistMatches(artists=artists, in_truth=in_truth, num_truth=truth.lengths)
