import math

import jax
import numpy as np
import pytest
from flax import nnx

from playlist_pipeline.config import Controls, ModelConfig
from playlist_pipeline.corpus.vocabulary import EOP, SPECIALS, START, UNK, stand_in_for
from playlist_pipeline.generation import decode
from playlist_pipeline.generation.decode import complete_rows, frame_prompts, rank_tracks
from playlist_pipeline.generation.drawing import Drawer, TrackTraits
from playlist_pipeline.model.embedding import SideIndex, TableParam
from playlist_pipeline.model.transformer import Transformer, fold_side_information

ROWS = [[5, 9], [], [7, UNK, 12], [29], [UNK], [4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [20, 21]]
PLAIN = {"top_k": 50, "temperature": 1.0, "eop_weight": 0.0}
GREEDY = PLAIN | {"top_k": 1}


@pytest.fixture
def rows():
    return [np.array(row, np.int32) for row in ROWS]


def complete(model, rows, *, seeds, batch_size=16, **controls):
    """Continue playlists of some tokens."""
    wanted = Controls(**controls)
    vectors = np.asarray(model.scoring.table[...])
    traits = TrackTraits(counts=np.ones(len(vectors), np.int64), vectors=vectors)
    drawers = [Drawer(row, wanted, traits, seed=seed) for row, seed in zip(rows, seeds, strict=True)]
    complete_rows(model, drawers, controls=wanted, batch_size=batch_size)
    return [drawer.continuation for drawer in drawers]


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
    continuations = complete(tiny_model, rows, length=20, seeds=range(len(rows)), **GREEDY)
    for row, continuation in zip(rows, continuations, strict=True):
        assert [*row, *continuation.tokens] == complete_greedily(tiny_model, row, 20)
        assert continuation.ended_by == "length"


@pytest.mark.parametrize("temperature", [1e-4, 1e-60])
def test_low_temperature_is_greedy(tiny_model, rows, temperature):
    cold = complete(tiny_model, rows, length=20, seeds=range(len(rows)), top_k=50, temperature=temperature)
    for row, continuation in zip(rows, cold, strict=True):
        assert [*row, *continuation.tokens] == complete_greedily(tiny_model, row, 20)


@pytest.mark.parametrize("eop_weight", [0.0, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 100.0])
def test_no_repeats_and_no_specials(tiny_model, rows, temperature, eop_weight):
    controls = {"top_k": 1000, "temperature": temperature, "eop_weight": eop_weight}
    for row, continuation in zip(
        rows, complete(tiny_model, rows, length=20, seeds=range(len(rows)), **controls), strict=True
    ):
        new = continuation.tokens
        assert new.dtype == np.int32
        assert (new >= len(SPECIALS)).all()
        assert len({*row.tolist(), *new.tolist()} - {UNK}) == len(row[row != UNK]) + len(new)
        assert len(row) + len(new) == 20 or continuation.ended_by == "eop"


def test_same_seed_same_result_other_seed_other_result(tiny_model, rows):
    first, again, other = (
        [c.tokens.tolist() for c in complete(tiny_model, rows, length=20, seeds=[seed] * len(rows), **PLAIN)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("batch_size", [3, 16])
def test_batch_equals_single(tiny_model, rows, batch_size):
    controls = {"top_k": 50, "temperature": 1.0, "eop_weight": 0.5, "length": 20}
    batch = complete(tiny_model, rows, seeds=range(len(rows)), batch_size=batch_size, **controls)
    for seed, (row, continuation) in enumerate(zip(rows, batch, strict=True)):
        (single,) = complete(tiny_model, [row], seeds=[seed], **controls)
        assert single.tokens.tolist() == continuation.tokens.tolist()
        assert single.ended_by == continuation.ended_by


def test_longer_playlist_begins_with_the_shorter(tiny_model):
    rows = [np.array([5], np.int32)]
    short, long = (complete(tiny_model, rows, length=n, seeds=[3], **PLAIN)[0].tokens for n in (17, 25))
    assert long[: len(short)].tolist() == short.tolist()


def test_full_playlist_gets_nothing(tiny_model):
    (continuation,) = complete(tiny_model, [np.arange(3, 8)], length=5, seeds=[0], **PLAIN)
    assert continuation.tokens.tolist() == []
    assert continuation.ended_by == "length"


def test_stops_when_the_vocabulary_is_used_up(tiny_model):
    (continuation,) = complete(tiny_model, [np.array([5])], length=32, seeds=[0], **PLAIN)
    assert sorted(continuation.tokens) == [token for token in range(len(SPECIALS), 30) if token != 5]
    assert continuation.ended_by == "vocabulary"


def sample_first_token(model, row, controls, count):
    """Draw the next token under ``count`` seeds; the playlist's end counts as ``EOP``."""
    drawn = complete(model, [row] * count, length=len(row) + 1, seeds=range(count), batch_size=64, **controls)
    return np.array([c.tokens[0] if c.ended_by == "length" else EOP for c in drawn])


def compute_probabilities(model, row, *, top_k, temperature, eop_weight):
    """The distribution of the next token, written out plainly."""
    logits = compute_logits(model, row).astype(np.float64)
    logits[[START, UNK, *row]] = -np.inf
    logits[EOP] += math.log(eop_weight) if eop_weight else -np.inf
    logits[logits < np.sort(logits)[-top_k]] = -np.inf
    weights = np.exp((logits - logits.max()) / temperature)
    return weights / weights.sum()


@pytest.mark.parametrize(("top_k", "temperature", "eop_weight"), [(6, 1.0, 0.0), (6, 0.7, 3.0), (30, 3.0, 0.2)])
def test_frequencies_follow_the_softmax_over_the_top_k(tiny_model, top_k, temperature, eop_weight):
    controls = {"top_k": top_k, "temperature": temperature, "eop_weight": eop_weight}
    row, count = np.array([5, 9], np.int32), 2048
    probabilities = compute_probabilities(tiny_model, row, **controls)
    observed = np.bincount(sample_first_token(tiny_model, row, controls, count), minlength=30)
    assert observed[probabilities == 0].sum() == 0
    expected = count * probabilities[probabilities > 0]
    statistic = ((observed[probabilities > 0] - expected) ** 2 / expected).sum()
    freedom = len(expected) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)  # mean and four standard deviations of chi-square


def test_end_grows_more_likely_with_its_weight(tiny_model):
    row = np.array([5, 9], np.int32)
    shares = [
        (sample_first_token(tiny_model, row, PLAIN | {"eop_weight": weight}, 256) == EOP).mean()
        for weight in (0.0, 0.1, 1.0, 10.0, 1e9)
    ]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1


def test_compiles_two_shapes_for_playlists_of_all_lengths(tiny_model, rows, monkeypatch):
    decode._compile_extend.cache_clear()
    compile_extend, compiled = decode._compile_extend, []
    monkeypatch.setattr(decode, "_compile_extend", lambda *key: compiled.append(compile_extend(*key)) or compiled[-1])
    rows = [row for row in rows if len(row) < tiny_model.cfg.context_length]
    complete(tiny_model, rows, length=7, seeds=[0] * len(rows), batch_size=32, **PLAIN)
    complete(tiny_model, rows[1:], length=8, seeds=[1] * 5, batch_size=32, **PLAIN | {"eop_weight": 1.0})
    assert len(compiled) == 2
    assert compiled[0] is compiled[1]
    assert compiled[0]._cache_size() == 2  # all tracks of each playlist, one of each


@pytest.mark.parametrize("causal", [True, False])
def test_reading_growing_playlists_equals_reading_them_whole(tiny_config, rows, causal):
    """Also where some grow and some do not, and when they outgrow the context."""
    config = ModelConfig(**(tiny_config.to_dict() | {"causal": causal}))
    model = Transformer(config, vocabulary_size=30, rngs=nnx.Rngs(0))
    reader = decode.Reader(model, len(rows), longest=2 * config.context_length)
    rng = np.random.default_rng(0)
    for growth in [0, 1, 2, *[1] * (config.context_length + 2)]:
        grows = rng.random(len(rows)) < 0.8
        rows = [
            np.append(row, rng.integers(3, 30, growth)).astype(np.int32) if grow else row
            for row, grow in zip(rows, grows, strict=True)
        ]
        np.testing.assert_allclose(reader.read(rows), decode.encode_rows(model, rows, batch_size=8), rtol=0, atol=2e-6)
    assert max(map(len, rows)) > config.context_length


def test_ranking_compiles_once_for_batches_and_rest(tiny_model, rows):
    before = decode._encode_batch._cache_size()
    rank_tracks(tiny_model, rows, 19, batch_size=5)  # a batch size that no other test uses
    assert decode._encode_batch._cache_size() == before + 1


def test_a_stand_in_is_read_as_its_track_which_may_be_recommended(tiny_model):
    with_track, _ = rank_tracks(tiny_model, [np.array([5, 9])], 40, batch_size=2)
    with_stand_in, _ = rank_tracks(tiny_model, [np.array([5, stand_in_for(np.int32(9))])], 40, batch_size=2)
    assert 9 in with_stand_in[0]
    assert [token for token in with_stand_in[0].tolist() if token not in (9, -1)] == [
        token for token in with_track[0].tolist() if token != -1
    ]
