"""Training of the second stage on playlists that its first stage has not seen.

The training playlists are parted into folds. For each fold the first stage is fitted to the other folds, the
transformer as it starts from the others' vectors, and scores the fold's playlists cut at random places. So the network
learns from scores as unseen playlists get them; on playlists that a scorer was fitted to, all scores are too good.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pyarrow as pa
import pyarrow.compute as pc
from flax import nnx

from playlist_pipeline.config import ModelConfig, RerankConfig, TrainConfig
from playlist_pipeline.corpus.sequences import PackedSequences
from playlist_pipeline.corpus.side_information import SideInformation
from playlist_pipeline.corpus.vocabulary import SPECIALS, UNK, stand_in_for
from playlist_pipeline.errors import UserError
from playlist_pipeline.evaluation.baselines import TrainingPlaylists
from playlist_pipeline.evaluation.baselines.neighbours import normalise_title
from playlist_pipeline.generation.reranking.features import describe_candidates
from playlist_pipeline.generation.reranking.first_stage import Artists, FirstStage
from playlist_pipeline.generation.reranking.network import RankingNetwork, compute_ranking_loss
from playlist_pipeline.generation.reranking.reranker import RerankerState
from playlist_pipeline.model.embedding import index_side_tables
from playlist_pipeline.model.transformer import Transformer, fold_side_information
from playlist_pipeline.training.step import make_first_state, make_recipe

logger = logging.getLogger(__name__)

# Numbers of given tracks and how often each is drawn; where one would leave less than MIN_TRUTH, any that does not.
NUM_SEEDS = (0, 1, 2, 3, 5, 7, 10, 15, 25, 40)
SEED_RATES = (0.18, 0.15, 0.06, 0.06, 0.15, 0.05, 0.14, 0.05, 0.13, 0.03)
MIN_TRUTH = 10
PLAYLISTS_AT_A_TIME = 64
BATCH_SIZE = 64
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True, eq=False)
class Examples:
    """Playlists cut in two, with their candidates: n of them.

    Attributes:
        features: float16 [n, C, F].
        is_valid: bool [n, C].
        is_truth: bool [n, C], which candidates were withheld.
        num_truth: int32 [n], all withheld tracks.
    """

    features: np.ndarray
    is_valid: np.ndarray
    is_truth: np.ndarray
    num_truth: np.ndarray


@dataclass(frozen=True, eq=False)
class Cut:
    """A playlist to learn from: ``given`` and ``withheld`` tokens, and the title or None."""

    given: np.ndarray
    withheld: np.ndarray
    title: str | None


MakeModel = Callable[[PackedSequences], Transformer]


def fit_reranker(
    data: TrainingPlaylists,
    side: SideInformation,
    artists: pa.Table,
    *,
    model_config: ModelConfig,
    train_config: TrainConfig,
    config: RerankConfig,
) -> tuple[RerankerState, list[float]]:
    """Fit the second stage; see the module.

    Args:
        data: Training part, with titles.
        side: Artists of the tokens.
        artists: ``ARTISTS_SCHEMA``, for their names.
        model_config: The transformer's shape.
        train_config: How its first vectors are made.
        config: The recipe; with ``num_folds`` 0 there is no second stage, and nothing is trained.

    Returns:
        What ranking needs, and the mean loss in each epoch.

    Raises:
        ConfigError: The transformer does not start from vectors, so that folds would have none.
    """
    config.require_vectors(train_config)
    found = read_artists(side, artists)

    def make_model(sequences: PackedSequences) -> Transformer:
        recipe = make_recipe(
            model_config,
            train_config,
            counts=data.vocabulary.counts,
            total_steps=1,
            side=index_side_tables(model_config, side, data.vocabulary),
        )
        state = make_first_state(recipe, sequences, data.vocabulary, artists=side.artists)
        return fold_side_information(recipe.extract_model(state))

    network, losses = fit_network(data, make_model, found, config) if config.num_folds else (None, [])
    state = RerankerState(
        network=network,
        sequences=data.sequences,
        titles=list(data.titles or []),
        artists=found,
        num_candidates=config.num_candidates,
        vocabulary=data.vocabulary.fingerprint,
    )
    return state, losses


def read_artists(side: SideInformation, artists: pa.Table) -> Artists:
    """Name the artists of the tokens.

    Args:
        side: Artists of the tokens.
        artists: ``ARTISTS_SCHEMA``.
    """
    rows = pc.index_in(side.artist_uris, value_set=artists["uri"])
    names = artists["name"].take(rows).to_pylist()
    return Artists(side.artists, ["", *(normalise_title(name or "") for name in names)])


def fit_network(
    data: TrainingPlaylists, make_model: MakeModel, artists: Artists, config: RerankConfig
) -> tuple[RankingNetwork, list[float]]:
    """Train the network of the second stage.

    Args:
        data: Training part, with titles.
        make_model: Gives the transformer before its first step, from playlists.
        artists: The tracks' artists.
        config: The recipe.

    Returns:
        The network and its mean loss in each epoch.
    """
    examples = make_examples(data, make_model, artists, config)
    logger.info("second stage: %d examples of %d candidates", *examples.is_valid.shape)
    sample = examples.features[examples.is_valid].astype(np.float32)
    rngs = nnx.Rngs(params=config.seed, dropout=config.seed + 1)
    network = RankingNetwork(
        sample.mean(axis=0),
        np.maximum(sample.std(axis=0), SMALLEST_DEVIATION),
        hidden_dim=config.hidden_dim,
        dropout=config.dropout,
        rngs=rngs,
    )
    size = min(config.batch_size, len(examples.num_truth))
    steps = config.num_epochs * (len(examples.num_truth) // size)
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    optimizer = nnx.Optimizer(network, optax.adamw(schedule, weight_decay=config.weight_decay), wrt=nnx.Param)
    generator = np.random.default_rng(config.seed)
    history = []
    for _ in range(config.num_epochs):
        order = generator.permutation(len(examples.num_truth))
        losses = [
            _take_step(
                network,
                optimizer,
                rngs,
                *(
                    jnp.asarray(array[chosen])
                    for array in (examples.features, examples.is_truth, examples.is_valid, examples.num_truth)
                ),
            )
            for chosen in (order[start : start + size] for start in range(0, len(order) - size + 1, size))
        ]
        history.append(float(np.mean([float(loss) for loss in losses])))
    return network, history


@nnx.jit
def _take_step(
    network: RankingNetwork,
    optimizer: nnx.Optimizer,
    rngs: nnx.Rngs,
    features: jax.Array,
    is_truth: jax.Array,
    is_valid: jax.Array,
    num_truth: jax.Array,
) -> jax.Array:
    def compute_loss(network: RankingNetwork, rngs: nnx.Rngs) -> jax.Array:
        return compute_ranking_loss(network(features, rngs=rngs), is_truth, is_valid, num_truth)

    loss, gradients = nnx.value_and_grad(compute_loss)(network, rngs)
    optimizer.update(network, gradients)
    return loss


def make_examples(data: TrainingPlaylists, make_model: MakeModel, artists: Artists, config: RerankConfig) -> Examples:
    """Cut training playlists and describe the candidates of each by a first stage that has not seen it."""
    generator = np.random.default_rng(config.seed)
    fold_of = generator.permutation(len(data.sequences)) % config.num_folds
    share = min(1.0, config.max_playlists / len(data.sequences))
    folds = [np.flatnonzero(fold_of == fold) for fold in range(config.num_folds)]
    chosen_of = [unseen[: max(1, round(share * len(unseen)))] for unseen in folds]
    _require_examples(data, chosen_of)
    parts = []
    for fold, chosen in enumerate(chosen_of):
        stage = fit_first_stage(data, np.flatnonzero(fold_of != fold), make_model, artists)
        cuts = list(_cut_playlists(data, np.tile(chosen, config.num_cuts), stage, config.title_rate, generator))
        logger.info("second stage: fold %d of %d, %d playlists", fold + 1, config.num_folds, len(cuts))
        for start in range(0, len(cuts), PLAYLISTS_AT_A_TIME):
            parts.append(_describe(stage, cuts[start : start + PLAYLISTS_AT_A_TIME], config.num_candidates))
    return Examples(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Examples.__dataclass_fields__)
    )


def _require_examples(data: TrainingPlaylists, chosen_of: Sequence[np.ndarray]) -> None:
    """Refuse what would give no examples, before the first stages are fitted."""
    if min(map(len, chosen_of)) == 0:
        raise UserError(
            f"rerank.num_folds = {len(chosen_of)}, but there are {len(data.sequences)} training playlists: give fewer, "
            "or 0 for no second stage"
        )
    chosen = np.concatenate(chosen_of).tolist()
    if not any(len(_keep_first(data.sequences[row])) >= MIN_TRUTH for row in chosen):
        raise UserError(
            f"none of {len(chosen)} training playlists has the {MIN_TRUTH} unique tracks that the second stage learns "
            "from: give a larger rerank.max_playlists, or rerank.num_folds=0 for no second stage"
        )


def _keep_first(tokens: np.ndarray) -> np.ndarray:
    """Return tokens without repeated tracks; unknown ones are different tracks."""
    is_first = np.zeros(len(tokens), bool)
    is_first[np.unique(tokens, return_index=True)[1]] = True
    return tokens[is_first | (tokens < len(SPECIALS))]


def fit_first_stage(data: TrainingPlaylists, rows: np.ndarray, make_model: MakeModel, artists: Artists) -> FirstStage:
    """Fit the first stage to some of the training playlists, int [m]."""
    sequences = take_playlists(data.sequences, rows)
    titles = [(data.titles or [])[row] for row in rows.tolist()]
    return FirstStage(make_model(sequences), sequences, titles, artists, batch_size=BATCH_SIZE)


def take_playlists(sequences: PackedSequences, rows: np.ndarray) -> PackedSequences:
    """Return some of the playlists, in the order of ``rows`` int [m]."""
    chosen = [sequences[row] for row in rows.tolist()]
    offsets = np.concatenate([[0], np.cumsum([len(tokens) for tokens in chosen])]).astype(np.int64)
    return PackedSequences(
        np.concatenate([np.empty(0, np.int32), *chosen]), offsets, np.asarray(sequences.playlist_ids)[rows]
    )


def _cut_playlists(
    data: TrainingPlaylists,
    rows: np.ndarray,
    stage: FirstStage,
    title_rate: float,
    generator: np.random.Generator,
) -> Iterator[Cut]:
    """Cut each playlist that is long enough after a drawn number of unique tracks.

    Tracks that the first stage has not seen become what they are for new playlists, see ``Vocabulary.seeds_of``.
    """
    seed_of = _find_seeds(stage)
    for row in rows.tolist():
        tokens = _keep_first(data.sequences[row])
        if (most := len(tokens) - MIN_TRUTH) < 0:
            continue
        number = int(generator.choice(NUM_SEEDS, p=SEED_RATES))
        number = number if number <= most else int(generator.integers(0, most + 1))
        title = (data.titles or [])[row] if generator.random() < title_rate or number == 0 else None
        tokens = seed_of[tokens]
        yield Cut(tokens[:number], tokens[number:], title)


def _find_seeds(stage: FirstStage) -> np.ndarray:
    """Return each token as the first stage should get it as a seed, int32 [V]."""
    tokens = np.arange(len(stage.counts), dtype=np.int32)
    artists = stage.artists.of_token
    rising = np.argsort(stage.counts, kind="stable")
    most_frequent = np.zeros(len(stage.artists.names), np.int32)
    most_frequent[artists[rising]] = rising  # the last one stays
    stand_in = most_frequent[artists]
    has_one = (artists > 0) & (stage.counts[stand_in] > 0)
    unseen = np.where(has_one, stand_in_for(stand_in), UNK)
    return np.where((stage.counts > 0) | (tokens < len(SPECIALS)), tokens, unseen).astype(np.int32)


def _describe(stage: FirstStage, cuts: Sequence[Cut], num_candidates: int) -> Examples:
    candidates = describe_candidates(stage, [cut.given for cut in cuts], [cut.title for cut in cuts], num_candidates)
    is_truth = np.stack([np.isin(tokens, cut.withheld) for tokens, cut in zip(candidates.tokens, cuts, strict=True)])
    return Examples(
        features=candidates.features,
        is_valid=candidates.is_valid,
        is_truth=is_truth & candidates.is_valid,
        num_truth=np.array([len(cut.withheld) for cut in cuts], np.int32),
    )
