import dataclasses

import numpy as np
import pytest

from playlist_pipeline.config import SkipGramSettings
from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.baselines import SkipGram

SETTINGS = SkipGramSettings(
    vector_size=8,
    window=5,
    negative=5,
    ns_exponent=0.75,
    min_count=1,
    learning_rate=0.1,
    epochs=60,
    similarity="cosine",
)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "in_out"])
def test_groups_are_found(similarity, grouped_data, seeds_of) -> None:
    model = SkipGram(grouped_data, dataclasses.replace(SETTINGS, similarity=similarity), seed=0)
    ranked = model.rank(seeds_of([3], [15, 20]), 8)
    assert set(ranked[0].tolist()) <= set(range(4, 13))
    assert set(ranked[1].tolist()) == set(range(13, 23)) - {15, 20}


def test_scores_by_similarity(random_data, seeds_of) -> None:
    models = {
        similarity: SkipGram(random_data, dataclasses.replace(SETTINGS, epochs=2, similarity=similarity), seed=0)
        for similarity in ("cosine", "dot", "in_out")
    }
    inputs, outputs = models["dot"]._inputs, models["in_out"]._vectors
    unit = inputs[3:] / np.linalg.norm(inputs[3:], axis=1, keepdims=True)
    np.testing.assert_allclose(models["cosine"]._inputs[3:], unit, rtol=1e-6)
    np.testing.assert_array_equal(models["in_out"]._inputs, inputs)
    assert np.abs(outputs - inputs).max() > 0.01
    for similarity, table in (("dot", inputs), ("in_out", outputs)):
        scores = table @ inputs[[5, 9]].mean(axis=0)
        scores[[0, 1, 2, 5, 9]] = -np.inf
        ranked = models[similarity].rank(seeds_of([5, 9]), 10)[0]
        np.testing.assert_array_equal(ranked, np.argsort(-scores, kind="stable")[:10])


def test_rare_tracks_have_no_vector_and_only_fill(make_data, seeds_of) -> None:
    playlists = [[3, 4, 5, UNK]] * 4 + [[6, 3, 4]]
    model = SkipGram(make_data(playlists, num_tracks=4), dataclasses.replace(SETTINGS, min_count=2), seed=0)
    ranked = model.rank(seeds_of([3], [6]), 4)
    assert ranked[0, 2:].tolist() == [6, -1]
    assert ranked[1].tolist() == [3, 4, 5, -1]  # popularity: 6 says nothing


def test_too_high_a_min_count_is_refused(grouped_data) -> None:
    with pytest.raises(UserError, match=r"^baselines\.skip_gram\.min_count = 1000 leaves no track: the most frequent"):
        SkipGram(grouped_data, dataclasses.replace(SETTINGS, min_count=1000), seed=0)
