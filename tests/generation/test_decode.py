import math

import jax
import numpy as np
import pytest
from flax import nnx

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.corpus.vocabulary import EOP, SPECIALS, START, UNK, stand_in_for
from playlist_pipeline.generation import decode
from playlist_pipeline.generation.decode import Sampling, complete_rows, draw_tracks, frame_prompts, rank_tracks
from playlist_pipeline.model.embedding import SideIndex, TableParam
from playlist_pipeline.model.transformer import Transformer, fold_side_information

ROWS = [[5, 9], [], [7, UNK, 12], [29], [UNK], [4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [20, 21]]
PLAIN = Sampling(top_k=50, temperature=1.0, eop_weight=0.0)
GREEDY = Sampling(top_k=1, temperature=1.0, eop_weight=0.0)


@pytest.fixture
def rows():
    return [np.array(row, np.int32) for row in ROWS]


@nnx.jit
def run_model(model, tokens):
    return model(tokens)


def compute_logits(model, row):
    """All logits after one playlist, framed by hand."""
    prompt = [START, *row[-(model.cfg.context_length - 1) :]]
    padded = np.array([prompt + [EOP] * (model.cfg.context_length - len(prompt))], np.int32)
    return np.array(np.asarray(run_model(model, padded))[0, len(prompt) - 1] @ np.asarray(model.scoring.vectors()).T)


def complete_greedily(model, row, length):
    row = list(row)
    while len(row) < length:
        logits = compute_logits(model, row)
        logits[[*range(len(SPECIALS)), *row]] = -np.inf
        row.append(int(np.argmax(logits)))
    return row


def test_frame_prompts_keeps_the_newest_tracks():
    tokens, last = frame_prompts([np.array([5, 6]), np.array([], int), np.arange(10, 20)], context_length=4)
    assert tokens.tolist() == [[START, 5, 6, EOP], [START, EOP, EOP, EOP], [START, 17, 18, 19]]
    assert last.tolist() == [2, 0, 3]
    assert tokens.dtype == last.dtype == np.int32


def test_rank_equals_sorted_logits(tiny_model, rows):
    tokens, scores = rank_tracks(tiny_model, rows, 35, batch_size=3)
    for row, ranked, score in zip(rows, tokens, scores, strict=True):
        logits = compute_logits(tiny_model, row)
        allowed = [token for token in range(len(SPECIALS), 30) if token not in row]
        expected = sorted(allowed, key=lambda token: -logits[token])
        assert ranked.tolist() == expected + [-1] * (35 - len(expected))
        np.testing.assert_allclose(score[: len(expected)], logits[expected], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"tied_output": False}, {"tied_output": False, "causal": False, "artist_embeddings": True}, {"causal": False}],
    ids=["separate output", "side tables", "no causal mask"],
)
def test_rank_equals_sorted_logits_with_other_options(options, tiny_config, rows):
    config = ModelConfig(**(tiny_config.to_dict() | options))
    side = {"artist": SideIndex(np.arange(30, dtype=np.int32) % 7, 7)} if "artist_embeddings" in options else {}
    model = Transformer(config, vocabulary_size=30, side=side, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    tables = nnx.state(model, TableParam)
    nnx.update(model, jax.tree.map(lambda table: rng.normal(size=table.shape).astype(np.float32), tables))
    tokens, _ = rank_tracks(fold_side_information(model), rows, 20, batch_size=3)
    for row, ranked in zip(rows, tokens, strict=True):
        logits = compute_logits(model, row)
        allowed = [token for token in range(len(SPECIALS), 30) if token not in row]
        expected = sorted(allowed, key=lambda token: -logits[token])[:20]
        assert ranked.tolist() == expected + [-1] * (20 - len(expected))


def test_rank_of_nothing_is_empty(tiny_model):
    tokens, scores = rank_tracks(tiny_model, [], 5, batch_size=3)
    assert tokens.shape == scores.shape == (0, 5)


def test_top_k_of_one_is_the_chain_of_best_tracks(tiny_model, rows):
    continuations = complete_rows(tiny_model, rows, length=20, sampling=GREEDY, seeds=range(len(rows)))
    for row, continuation in zip(rows, continuations, strict=True):
        assert [*row, *continuation.tokens] == complete_greedily(tiny_model, row, 20)
        assert continuation.ended_by == "length"


@pytest.mark.parametrize("temperature", [1e-4, 1e-60])
def test_low_temperature_is_greedy(tiny_model, rows, temperature):
    cold = complete_rows(tiny_model, rows, length=20, sampling=Sampling(50, temperature, 0.0), seeds=range(len(rows)))
    for row, continuation in zip(rows, cold, strict=True):
        assert [*row, *continuation.tokens] == complete_greedily(tiny_model, row, 20)


@pytest.mark.parametrize("eop_weight", [0.0, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 100.0])
def test_no_repeats_and_no_specials(tiny_model, rows, temperature, eop_weight):
    sampling = Sampling(1000, temperature, eop_weight)
    for row, continuation in zip(
        rows, complete_rows(tiny_model, rows, length=20, sampling=sampling, seeds=range(len(rows))), strict=True
    ):
        new = continuation.tokens
        assert new.dtype == np.int32
        assert (new >= len(SPECIALS)).all()
        assert len({*row.tolist(), *new.tolist()} - {UNK}) == len(row[row != UNK]) + len(new)
        assert len(row) + len(new) == 20 or continuation.ended_by == "eop"


def test_same_seed_same_result_other_seed_other_result(tiny_model, rows):
    first, again, other = (
        [
            c.tokens.tolist()
            for c in complete_rows(tiny_model, rows, length=20, sampling=PLAIN, seeds=[seed] * len(rows))
        ]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("batch_size", [3, 16])
def test_batch_equals_single(tiny_model, rows, batch_size):
    sampling = Sampling(50, 1.0, 0.5)
    batch = complete_rows(tiny_model, rows, length=20, sampling=sampling, seeds=range(len(rows)), batch_size=batch_size)
    for seed, (row, continuation) in enumerate(zip(rows, batch, strict=True)):
        (single,) = complete_rows(tiny_model, [row], length=20, sampling=sampling, seeds=[seed])
        assert single.tokens.tolist() == continuation.tokens.tolist()
        assert single.ended_by == continuation.ended_by


def test_longer_playlist_begins_with_the_shorter(tiny_model):
    rows = [np.array([5], np.int32)]
    short, long = (complete_rows(tiny_model, rows, length=n, sampling=PLAIN, seeds=[3])[0].tokens for n in (17, 25))
    assert long[: len(short)].tolist() == short.tolist()


def test_full_playlist_gets_nothing(tiny_model):
    (continuation,) = complete_rows(tiny_model, [np.arange(3, 8)], length=5, sampling=PLAIN, seeds=[0])
    assert continuation.tokens.tolist() == []
    assert continuation.ended_by == "length"


def test_stops_when_the_vocabulary_is_used_up(tiny_model):
    (continuation,) = complete_rows(tiny_model, [np.array([5])], length=32, sampling=PLAIN, seeds=[0])
    assert sorted(continuation.tokens) == [token for token in range(len(SPECIALS), 30) if token != 5]
    assert continuation.ended_by == "vocabulary"


def sample_first_token(model, row, sampling, count):
    """Draw the next token under ``count`` seeds; the playlist's end counts as ``EOP``."""
    drawn = complete_rows(
        model, [row] * count, length=len(row) + 1, sampling=sampling, seeds=range(count), batch_size=8
    )
    return np.array([c.tokens[0] if c.ended_by == "length" else EOP for c in drawn])


def compute_probabilities(model, row, sampling):
    """The distribution of the next token, written out plainly."""
    logits = compute_logits(model, row).astype(np.float64)
    logits[[START, UNK, *row]] = -np.inf
    logits[EOP] += math.log(sampling.eop_weight) if sampling.eop_weight else -np.inf
    logits[logits < np.sort(logits)[-sampling.top_k]] = -np.inf
    weights = np.exp((logits - logits.max()) / sampling.temperature)
    return weights / weights.sum()


@pytest.mark.parametrize("sampling", [Sampling(6, 1.0, 0.0), Sampling(6, 0.7, 3.0), Sampling(30, 3.0, 0.2)])
def test_frequencies_follow_the_softmax_over_the_top_k(tiny_model, sampling):
    row, count = np.array([5, 9], np.int32), 2048
    probabilities = compute_probabilities(tiny_model, row, sampling)
    observed = np.bincount(sample_first_token(tiny_model, row, sampling, count), minlength=30)
    assert observed[probabilities == 0].sum() == 0
    expected = count * probabilities[probabilities > 0]
    statistic = ((observed[probabilities > 0] - expected) ** 2 / expected).sum()
    freedom = len(expected) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)  # mean and four standard deviations of chi-square


def test_end_grows_more_likely_with_its_weight(tiny_model):
    row = np.array([5, 9], np.int32)
    shares = [
        (sample_first_token(tiny_model, row, Sampling(50, 1.0, weight), 256) == EOP).mean()
        for weight in (0.0, 0.1, 1.0, 10.0, 1e9)
    ]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1


def test_compiles_once_for_playlists_of_all_lengths(tiny_model, rows):
    sampling = Sampling(17, 1.0, 0.0)  # a k that no other test uses
    before = decode._draw_next._cache_size()
    complete_rows(tiny_model, rows, length=18, sampling=sampling, seeds=[0] * len(rows), batch_size=8)
    complete_rows(tiny_model, rows, length=20, sampling=Sampling(17, 0.5, 1.0), seeds=[1] * len(rows), batch_size=8)
    assert decode._draw_next._cache_size() == before + 1


def test_ranking_compiles_once_for_batches_and_rest(tiny_model, rows):
    before = decode._encode_batch._cache_size()
    rank_tracks(tiny_model, rows, 19, batch_size=5)  # a batch size that no other test uses
    assert decode._encode_batch._cache_size() == before + 1


class TestDrawnTracks:
    tokens = np.array([9, 4, 7, 5, -1], np.int32)
    scores = np.array([2.0, 1.0, 0.0, -1.0, -np.inf], np.float32)

    def draw(self, count, *, top_k=3, temperature=1.0, seed=0):
        sampling = Sampling(top_k=top_k, temperature=temperature, eop_weight=0.0)
        return draw_tracks(self.tokens, self.scores, count, sampling=sampling, seed=seed).tolist()

    @pytest.mark.parametrize("settings", [{"top_k": 1}, {"temperature": 1e-45}])
    def test_greedy_drawing_keeps_the_order(self, settings):
        assert self.draw(3, **settings) == [9, 4, 7]

    def test_nothing_is_drawn_twice_and_a_short_list_ends(self):
        assert sorted(self.draw(10)) == [4, 5, 7, 9]
        assert self.draw(0) == []

    def test_frequencies_are_the_softmax_of_the_best(self):
        firsts = [self.draw(1, top_k=2, seed=seed)[0] for seed in range(2000)]
        assert set(firsts) == {9, 4}
        assert firsts.count(9) / 2000 == pytest.approx(1 / (1 + math.exp(-1)), abs=0.03)

    def test_the_same_seed_gives_the_same_tracks(self):
        assert self.draw(4, seed=5) == self.draw(4, seed=5)
        assert len({tuple(self.draw(4, seed=seed)) for seed in range(20)}) > 1


def test_a_stand_in_is_read_as_its_track_which_may_be_recommended(tiny_model):
    with_track, _ = rank_tracks(tiny_model, [np.array([5, 9])], 40, batch_size=2)
    with_stand_in, _ = rank_tracks(tiny_model, [np.array([5, stand_in_for(np.int32(9))])], 40, batch_size=2)
    assert 9 in with_stand_in[0]
    assert [token for token in with_stand_in[0].tolist() if token not in (9, -1)] == [
        token for token in with_track[0].tolist() if token != -1
    ]
