"""The parameters: one frozen dataclass for each top-level key of ``conf/*/parameters_*.yml``.

No field has a default, so that an overlay which drops a key is refused instead of silently completed.
Every class checks types and ranges when it is made; Kedro makes them before any node runs.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from playlist_pipeline.errors import UserError, in_one_line

MANY = 2**31 - 1  # the highest count: more would not fit the arrays of 32 bits that counts lead to
MOST_WEIGHTS = 1 << 33  # of a model's blocks: 32 GB
HIGHEST_INT = 2**63 - 1
LONGEST_NAME = 100
HIGHEST_FLOAT = 3e38  # of 32 bits


class ConfigError(UserError):
    """A parameter has a value that is not allowed; the message names key, value and what is allowed."""


def _is_instance(value: object, hint: Any) -> bool:
    """Return whether ``value`` has the type ``hint`` (a class, a union, or a tuple/list of such)."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_is_instance(value, arg) for arg in args)
    if origin in (list, tuple):
        return isinstance(value, origin) and all(_is_instance(item, args[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _is_instance(key, args[0]) and _is_instance(item, args[1]) for key, item in value.items()
        )
    if hint in (int, float):
        is_float = hint is float and isinstance(value, float) and math.isfinite(value)
        return is_float or (isinstance(value, int) and not isinstance(value, bool))
    return isinstance(value, hint)


def _name_limit(value: object) -> str | None:
    """Return what is asked of a number or text in ``value`` that no library below could take, None if there is none."""
    if isinstance(value, dict):
        return _name_limit((*value.keys(), *value.values()))
    if isinstance(value, tuple):
        return next((limit for limit in map(_name_limit, value) if limit), None)
    if isinstance(value, str):
        is_text = "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
        return None if is_text else "a text without NUL and half surrogate pairs"
    highest = HIGHEST_FLOAT if isinstance(value, float) else HIGHEST_INT
    is_number = not isinstance(value, int | float) or -highest <= value <= highest
    return None if is_number else f"a number from {-highest} to {highest}"


def _show(value: object) -> str:
    """Return a value for a message; Python does not write out whole numbers of more than 4,300 digits."""
    try:
        return in_one_line(repr(value))
    except ValueError:
        return "a number or list too long to show"


def show_name(name: object) -> str:
    """Return a parameter's name for a message."""
    return in_one_line(name) if isinstance(name, str) and name.strip() and name.isprintable() else _show(name)


def suggest(name: object, known: Collection[str]) -> str:
    """Return what a user may have meant by an unknown name."""
    near = difflib.get_close_matches(str(name)[:LONGEST_NAME], known, n=1)
    return f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)


def _tupled(value: object) -> object:
    """Turn lists, nested ones too, into tuples: a frozen value should not be changed through its parts."""
    if isinstance(value, Mapping):
        return {key: _tupled(item) for key, item in value.items()}
    return tuple(_tupled(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all parameter classes: checks every field's type on creation."""

    KEY: ClassVar[str]

    def __post_init__(self) -> None:
        hints = self._hints()
        for field in dataclasses.fields(self):
            hint, value = hints[field.name], _tupled(getattr(self, field.name))
            if isinstance(hint, type) and issubclass(hint, Config) and not isinstance(value, hint):
                value = _make(hint, value)
            object.__setattr__(self, field.name, value)
            if not _is_instance(value, hint):
                self._refuse(field.name, f"a value of type {hint.__name__ if type(hint) is type else hint}")
            if limit := _name_limit(value):
                self._refuse(field.name, limit)

    @classmethod
    def _hints(cls) -> dict[str, Any]:
        return typing.get_type_hints(cls)

    def _refuse(self, name: str, allowed: str) -> None:
        raise ConfigError(f"parameter {self.KEY}.{name} = {_show(getattr(self, name))} is not allowed: give {allowed}")

    def _require(self, name: str, ok: bool, allowed: str) -> None:
        if not ok:
            self._refuse(name, allowed)

    def _require_number(self, name: str, is_allowed: Callable[[Any], bool], allowed: str) -> None:
        """Require something of a number; null passes where the field allows it."""
        value = getattr(self, name)
        if value is not None and not is_allowed(value):
            has_null = types.NoneType in typing.get_args(self._hints()[name])
            self._refuse(name, allowed + (", or null" if has_null else ""))

    def _require_at_least(self, low: float, *names: str, at_most: float = math.inf) -> None:
        for name in names:
            self._require_number(name, lambda value: value >= low, f"{low} or more")
            self._require_number(name, lambda value: value <= at_most, f"{at_most} or less")

    def _require_positive(self, *names: str, at_most: float) -> None:
        for name in names:
            self._require_number(name, lambda value: value > 0, "a positive number")
            self._require_number(name, lambda value: value <= at_most, f"{at_most} or less")

    def _require_from_0_to_1(self, *names: str) -> None:
        for name in names:
            self._require(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")

    def _require_between_0_and_1(self, *names: str) -> None:
        for name in names:
            self._require(name, 0 < getattr(self, name) < 1, "a number between 0 and 1, both excluded")

    def _require_below_1(self, *names: str) -> None:
        for name in names:
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and less than 1")

    def _require_seed(self, name: str = "seed") -> None:
        self._require(name, 0 <= getattr(self, name) < 2**32, f"at least 0 and less than {2**32}")

    def _require_one_of(self, name: str, choices: tuple[str, ...]) -> None:
        self._require(name, getattr(self, name) in choices, "one of " + ", ".join(choices))

    def _require_some_of(self, name: str, choices: Collection[str], *, empty: bool = True) -> None:
        """Require a list of some of the choices, none twice."""
        values = getattr(self, name)
        is_allowed = set(values) <= set(choices) and len(set(values)) == len(values) and (empty or len(values) > 0)
        self._require(
            name, is_allowed, ("some of " if empty else "one or more of ") + ", ".join(choices) + ", none twice"
        )

    def replace(self, **changes: Any) -> typing.Self:
        """Return a copy with some fields changed.

        Raises:
            ConfigError: A value is not allowed.
        """
        return dataclasses.replace(self, **changes)

    def to_dict(self, *, only_result: bool = False) -> dict[str, Any]:
        """Return the fields as a plain dictionary that JSON can hold.

        Args:
            only_result: Leave out the fields that no result depends on, such as the number of workers.
        """
        fields = [field.name for field in dataclasses.fields(self) if not (only_result and field.metadata.get("idle"))]
        values = {name: getattr(self, name) for name in fields}
        return {
            name: value.to_dict(only_result=only_result) if isinstance(value, Config) else value
            for name, value in values.items()
        }


MAX_SLICE_BYTES = 2**31 - 2**20
"""pyarrow's JSON reader takes one block of at most 2 GB."""


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(Config):
    """How an archive is read.

    Attributes:
        strict: Refuse the archive at its first defect instead of repairing or skipping what is broken.
        num_workers: Threads that inflate and parse slices; the result does not depend on it.
        max_problems: How many problems ``extraction_report`` lists one by one; all are counted.
        max_slice_bytes: Larger slices are skipped. Memory may reach ten times as much for each thread if a slice
            was made for that; a slice of playlists takes twice.
        max_ratio: Slices of more bytes for each packed byte are skipped; a zip of more altogether is refused.
        max_total_bytes: An archive with more bytes of JSON is refused.
        max_slices: An archive with more slices is refused.
    """

    KEY = "extract"
    strict: bool
    num_workers: int = dataclasses.field(metadata={"idle": True})
    max_problems: int
    max_slice_bytes: int
    max_ratio: float
    max_total_bytes: int
    max_slices: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "num_workers", "max_ratio", "max_total_bytes", "max_slices")
        self._require_at_least(0, "max_problems")
        self._require(
            "max_slice_bytes", 1 <= self.max_slice_bytes <= MAX_SLICE_BYTES, f"a number from 1 to {MAX_SLICE_BYTES}"
        )


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Config):
    """How playlists are dealt to the three parts; ``test`` gets what the first two leave.

    Attributes:
        rule: ``permutation`` (seeded shuffle, exact sizes) or ``hash`` (a digest of the pid decides).
        seed: Changes the shuffle, and salts the digest.
        train_fraction: Share of playlists for training.
        validation_fraction: Share of playlists for validation.
        test_pids: A ``.npy`` file with the playlist ids of the test part; null leaves it to the rule.
    """

    KEY = "split"
    rule: str
    seed: int
    train_fraction: float
    validation_fraction: float
    test_pids: str | None = dataclasses.field(metadata={"file": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_one_of("rule", ("permutation", "hash"))
        self._require_seed()
        self._require_between_0_and_1("train_fraction", "validation_fraction")
        self._require(
            "validation_fraction",
            self.train_fraction + self.validation_fraction < 1,
            f"less than 1 - train_fraction ({1 - self.train_fraction:g}), so that a test part is left",
        )
        self._require("test_pids", self.test_pids != "", "the path of a .npy file, or null")


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig(Config):
    """Which tracks get a token.

    Attributes:
        min_count: Tracks with fewer occurrences in the training part become ``<unk>``.
    """

    KEY = "vocabulary"
    min_count: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "min_count", at_most=MANY)


# Layers, heads, width and feed-forward width by the name of a size; medium is the published model.
MODEL_SIZES = {
    "small": {"num_layers": 2, "num_heads": 4, "embed_dim": 64, "feedforward_dim": 128},
    "medium": {"num_layers": 6, "num_heads": 8, "embed_dim": 128, "feedforward_dim": 256},
    "large": {"num_layers": 8, "num_heads": 8, "embed_dim": 256, "feedforward_dim": 1024},
}


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """The transformer's shape.

    Attributes:
        size: ``small``, ``medium`` or ``large``: gives those of the next four that are null.
        num_layers: Transformer blocks.
        num_heads: Attention heads; they divide ``embed_dim``.
        embed_dim: Width of the residual stream and of a track's embedding.
        feedforward_dim: Width of the hidden layer in each block's feed-forward part.
        context_length: Tokens that the model sees, ``<start>`` included.
        block: ``relu`` (as published) or ``ligr`` (gated residuals, SwiGLU).
        causal: A token sees only what comes before it. If not, all given tracks see each other, and training gives
            the first tracks of a playlist and asks for the rest.
        positions: Learned position embeddings; without them and without ``causal`` the given tracks are a set.
        tied_output: One table reads tokens and scores them; if not, scoring has a table of its own.
        artist_embeddings: Add a vector of the track's artist to its own.
        album_embeddings: The same for its album.
        popularity_buckets: Add a vector of the track's popularity, in so many logarithmic steps; 0 for none.
        duration_buckets: Add a vector of the track's duration, in so many steps of 30 s; 0 for none.
        dropout: Share of activations that training sets to zero.
        compute_dtype: ``float32`` or ``bfloat16`` for the blocks and logits; weights and losses are float32 always.
    """

    KEY = "model"
    size: str
    num_layers: int
    num_heads: int
    embed_dim: int
    feedforward_dim: int
    context_length: int
    block: str
    causal: bool
    positions: bool
    tied_output: bool
    artist_embeddings: bool
    album_embeddings: bool
    popularity_buckets: int
    duration_buckets: int
    dropout: float
    compute_dtype: str

    def __post_init__(self) -> None:
        self._require_one_of("size", tuple(MODEL_SIZES))
        for name, value in MODEL_SIZES[self.size].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()
        self._require_at_least(1, "num_layers", "num_heads", at_most=128)
        self._require_at_least(1, "embed_dim", "feedforward_dim", at_most=1 << 15)
        self._require_at_least(2, "context_length", at_most=1 << 13)
        self._require_at_least(0, "popularity_buckets", "duration_buckets", at_most=10_000)
        self._require_one_of("block", ("relu", "ligr"))
        self._require_one_of("compute_dtype", ("float32", "bfloat16"))
        self._require_below_1("dropout")
        self._require("num_heads", self.embed_dim % self.num_heads == 0, f"a divisor of embed_dim ({self.embed_dim})")
        weights = self.num_layers * self.embed_dim * (4 * self.embed_dim + 3 * self.feedforward_dim)
        self._require("num_layers", weights < MOST_WEIGHTS, f"fewer, or less width: these have {weights:.1g} weights")


LOSSES = ("label_in_denominator", "negatives_only", "gbce", "full_softmax")
OPTIMIZERS = ("adamw", "lazy_adamw", "adagrad", "dense_adamw")
EMBEDDING_INITS = ("normal", "cooccurrence", "pmi", "als")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """How the model is trained.

    Attributes:
        seed: Weights, order of playlists, negatives, dropout and ``<unk>`` injection all follow from it.
        num_epochs: Passes over the training part.
        max_steps: Stop after so many steps, if that comes first.
        batch_size: Playlists in a step.
        micro_batches: Parts that a step's batch is cut into; their gradients are added up before the update.
        optimizer: How the embedding tables are updated; all other weights take AdamW.
            ``adamw``: only rows that a step reads, and equal to dense AdamW: a row catches up when it is next read.
            ``lazy_adamw``: the same without catching up: a row stands still while it is not read.
            ``adagrad``: one accumulator a row instead of two moments a weight; no decay.
            ``dense_adamw``: the whole table at every step.
        moment_dtype: ``float32`` or ``bfloat16`` for the tables' moments.
        learning_rate: The highest rate.
        table_learning_rate: The tables' own highest rate; null for the same.
        schedule: ``constant``, or ``cosine``: a linear rise over ``warmup_steps``, then half a cosine down to 0.
        warmup_steps: Steps of the rise; 0 for none.
        weight_decay: AdamW's decoupled decay.
        clip_norm: Scale gradients down to this global norm; null for no limit.
        loss: ``label_in_denominator``, ``negatives_only`` (the published form, unbounded below), ``gbce``, or
            ``full_softmax`` (exact; its gradient is dense, so it takes ``dense_adamw``).
        num_negatives: Negatives for each position or, if shared, for the whole step.
        share_negatives: Draw the negatives once a step and use them at all positions.
        popularity_share: Share of negatives drawn by training count instead of uniformly: 0 uniform, 1 by popularity,
            between them mixed. The softmax losses correct for it.
        correct_bias: Add the first-order correction of the sampled softmax's bias.
        gbce_beta: Exponent of the positive's probability in ``gbce``; null takes it from ``gbce_calibration``.
        gbce_calibration: t of gSASRec, from 0 (plain binary cross-entropy) to 1 (calibrated).
        gbce_shift: Added to all logits in ``gbce``, where it does not change the ranking: 0 as published; null for
            log(beta / num_negatives), with which the best logits are those of the softmax.
        unk_rate: Share of tracks that training replaces by ``<unk>``.
        random_crop: Take a random window of a playlist longer than the context, not its beginning.
        shuffle_tracks: Train on the tracks of a playlist in random order: what follows is then any track of the rest.
        seed_sets: Draw how many first tracks of a playlist are given; only the rest counts in the loss. A model that
            is not causal always trains so.
        embedding_init: ``normal`` (random), or vectors from the training part: ``cooccurrence`` (a truncated SVD of
            playlists and tracks), ``pmi`` (of the tracks' pointwise mutual information), ``als`` (implicit's ALS).
        validate_every: Steps between two validation losses, each on one batch.
        checkpoint_every: Steps between two checkpoints; the last step always gets one.
        keep_checkpoints: How many of the newest checkpoints stay.
    """

    KEY = "train"
    seed: int
    num_epochs: int
    max_steps: int | None
    batch_size: int
    micro_batches: int
    optimizer: str
    moment_dtype: str
    learning_rate: float
    table_learning_rate: float | None
    schedule: str
    warmup_steps: int
    weight_decay: float
    clip_norm: float | None
    loss: str
    num_negatives: int
    share_negatives: bool
    popularity_share: float
    correct_bias: bool
    gbce_beta: float | None
    gbce_calibration: float
    gbce_shift: float | None
    unk_rate: float
    random_crop: bool
    shuffle_tracks: bool
    seed_sets: bool
    embedding_init: str
    validate_every: int
    checkpoint_every: int
    keep_checkpoints: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "num_epochs", at_most=1 << 20)
        self._require_at_least(1, "max_steps", "validate_every", "checkpoint_every", "keep_checkpoints", at_most=MANY)
        self._require_at_least(1, "batch_size", "micro_batches", at_most=1 << 17)
        self._require_at_least(1, "num_negatives", at_most=1 << (24 if self.share_negatives else 16))
        self._require(
            "micro_batches", self.batch_size % self.micro_batches == 0, f"a divisor of batch_size ({self.batch_size})"
        )
        self._require_positive("learning_rate", "table_learning_rate", "gbce_beta", at_most=1000)
        self._require_positive("clip_norm", at_most=1_000_000_000)
        self._require_at_least(0, "weight_decay", at_most=1_000_000_000)
        self._require_at_least(0, "warmup_steps", at_most=MANY)
        for name in ("learning_rate",) if self.optimizer == "adagrad" else ("learning_rate", "table_learning_rate"):
            rate = getattr(self, name) or 0.0
            self._require("weight_decay", self.weight_decay * rate < 1, f"less than 1 / {name} ({rate:g})")
        self._require_seed()
        self._require_below_1("unk_rate")
        self._require_from_0_to_1("popularity_share", "gbce_calibration")
        self._require_one_of("optimizer", OPTIMIZERS)
        self._require_one_of("moment_dtype", ("float32", "bfloat16"))
        self._require_one_of("schedule", ("constant", "cosine"))
        self._require_one_of("loss", LOSSES)
        self._require_one_of("embedding_init", EMBEDDING_INITS)
        is_able = self.loss != "full_softmax" or self.optimizer == "dense_adamw"
        self._require("optimizer", is_able, "dense_adamw, as train.loss is full_softmax")
        is_able = self.moment_dtype == "float32" or self.optimizer in ("adamw", "lazy_adamw")
        self._require("moment_dtype", is_able, f"float32, as train.optimizer is {self.optimizer}")


@dataclass(frozen=True, kw_only=True)
class RerankConfig(Config):
    """The second stage, see ``generation.reranking``.

    Attributes:
        num_folds: The network learns from each part of so many with a first stage fitted to the others; 0 leaves the
            second stage out.
        num_cuts: How often each playlist is cut, each time after another number of tracks.
        num_candidates: Tracks of each playlist that it ranks anew.
        hidden_dim: Width of its hidden layer.
        dropout: Of the hidden layer.
        num_epochs: Passes over the examples.
        batch_size: Examples a step.
        learning_rate: At first; it falls to 0 as a cosine.
        weight_decay: Of AdamW.
        title_rate: Share of the examples that keep their title; those without tracks always do.
        max_playlists: Training playlists that it learns from.
        seed: Of folds, cuts, weights and dropout.
    """

    KEY = "rerank"
    num_folds: int
    num_cuts: int
    num_candidates: int
    hidden_dim: int
    dropout: float
    num_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    title_rate: float
    max_playlists: int
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("num_folds", self.num_folds == 0 or self.num_folds >= 2, "2 or more, or 0 for no second stage")
        self._require_at_least(0, "num_folds", at_most=1000)
        self._require_at_least(1, "num_cuts", at_most=1000)
        self._require_at_least(1, "num_candidates", "num_epochs", "max_playlists", at_most=MANY)
        self._require_at_least(1, "hidden_dim", at_most=1 << 15)
        self._require_at_least(1, "batch_size", at_most=1 << 14)
        self._require_below_1("dropout")
        self._require_positive("learning_rate", at_most=1000)
        self._require_at_least(0, "weight_decay", at_most=1_000_000_000)
        self._require_from_0_to_1("title_rate")
        self._require_seed()

    def require_vectors(self, train: TrainConfig) -> None:
        """Look whether the transformer starts from what the second stage learns from.

        Raises:
            ConfigError: There is a second stage, but the transformer starts from random vectors.
        """
        has_vectors = not self.num_folds or train.embedding_init != "normal"
        self._require(
            "num_folds",
            has_vectors,
            "0, or another train.embedding_init than normal: a second stage learns from a transformer that starts from "
            "vectors",
        )


INDEX_KINDS = ("auto", "exact", "approximate")


@dataclass(frozen=True, kw_only=True)
class IndexConfig(Config):
    """How the track that fits best is searched, see ``generation.index``.

    Attributes:
        kind: ``exact``, ``approximate``, or ``auto``: approximate from ``min_tracks`` tracks on.
        min_tracks: See ``kind``.
        num_lists: Lists that the tracks are parted into; null for a power of two near 2.5 times the square root of
            their number.
        num_probes: Lists that a query looks through.
        num_candidates: Tracks of them that are ranked exactly, or twice as many as are wanted if that is more.
        sample_size: Tracks that the lists are found with.
        num_iterations: Of k-means.
        seed: Of sample and k-means.
    """

    KEY = "index"
    kind: str
    min_tracks: int
    num_lists: int | None
    num_probes: int
    num_candidates: int
    sample_size: int
    num_iterations: int
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_one_of("kind", INDEX_KINDS)
        self._require_at_least(1, "num_lists", at_most=1 << 20)
        self._require_at_least(1, "min_tracks", "num_probes", "num_candidates", "sample_size", at_most=MANY)
        self._require_at_least(1, "num_iterations", at_most=1000)
        self._require_seed()


@dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """The recipe of both stages as one flat set of settings, each with its key: ``train.learning_rate``.

    Attributes:
        model: The transformer's shape.
        train: How it is trained.
        rerank: The second stage.
    """

    model: ModelConfig
    train: TrainConfig
    rerank: RerankConfig

    def replace(self, **changes: Any) -> typing.Self:
        """Return a copy with some settings changed.

        Raises:
            ConfigError: A value is not allowed.
        """
        of_key: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            key, _, field = name.partition(".")
            of_key.setdefault(key, {})[field] = value
        return dataclasses.replace(self, **{key: getattr(self, key).replace(**of_key[key]) for key in of_key})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a plain dictionary that JSON can hold."""
        return {
            f"{key}.{name}": value
            for key in ("model", "train", "rerank")
            for name, value in getattr(self, key).to_dict().items()
        }


PROTOCOLS = ("first_k", "challenge", "deezer")


@dataclass(frozen=True, kw_only=True)
class NoSettings(Config):
    """Settings of popularity: none."""

    KEY = "baselines.popularity"


@dataclass(frozen=True, kw_only=True)
class TitleKNNSettings(Config):
    """Settings of title-kNN.

    Attributes:
        max_ngram: Characters of the longest n-grams.
        num_neighbours: Nearest titles that count.
        similarity_power: A title counts with this power of its similarity.
        length_power: A playlist's tracks count for 1 / its length to this power.
    """

    KEY = "baselines.title_knn"
    max_ngram: int
    num_neighbours: int
    similarity_power: float
    length_power: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(2, "max_ngram", at_most=100)
        self._require_at_least(1, "num_neighbours", at_most=MANY)
        self._require_at_least(0, "similarity_power", "length_power", at_most=100)


@dataclass(frozen=True, kw_only=True)
class ItemKNNSettings(Config):
    """Settings of item-kNN.

    Attributes:
        num_neighbours: Nearest tracks that a seed knows, itself included.
        alpha: Share of the normalisation by count that falls on the recommended track: 0.5 for the cosine, more for
            rarer tracks.
        similarity_power: A neighbour counts with this power of its similarity.
        length_power: Tracks that share a playlist count for 1 / its length to this power.
    """

    KEY = "baselines.item_knn"
    num_neighbours: int
    alpha: float
    similarity_power: float
    length_power: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "num_neighbours", at_most=MANY)
        self._require_from_0_to_1("alpha")
        self._require_positive("similarity_power", at_most=100)
        self._require_at_least(0, "length_power", at_most=100)


@dataclass(frozen=True, kw_only=True)
class PlaylistKNNSettings(Config):
    """Settings of playlist-kNN.

    Attributes:
        num_neighbours: Nearest playlists that count.
        damping: A seed counts for 1 / ((its count - 1)^damping + 1): the higher, the less common tracks say.
        similarity_power: A playlist counts with this power of its similarity.
        length_power: A playlist's similarity is divided by its length to this power: 0.5 for the cosine.
    """

    KEY = "baselines.playlist_knn"
    num_neighbours: int
    damping: float
    similarity_power: float
    length_power: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "num_neighbours", at_most=MANY)
        self._require_at_least(0, "damping", "similarity_power", "length_power", at_most=100)


@dataclass(frozen=True, kw_only=True)
class ALSSettings(Config):
    """Settings of implicit's ALS.

    Attributes:
        factors: Length of a vector.
        regularization: Weight of the vectors' squared lengths.
        alpha: Confidence in what a playlist holds; what it does not hold has 1.
        iterations: Passes over the training part.
    """

    KEY = "baselines.als"
    factors: int
    regularization: float
    alpha: float
    iterations: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "factors", at_most=1 << 12)
        self._require_at_least(1, "iterations", at_most=MANY)
        self._require_positive("regularization", "alpha", at_most=1_000_000_000)


@dataclass(frozen=True, kw_only=True)
class BPRSettings(Config):
    """Settings of implicit's BPR.

    Attributes:
        factors: Length of a vector.
        learning_rate: Of stochastic gradient descent.
        regularization: Weight of the vectors' squared lengths.
        iterations: Passes over the training part.
        bias_weight: A track's learned bias counts so many times beside its mean inner product with the seeds.
    """

    KEY = "baselines.bpr"
    factors: int
    learning_rate: float
    regularization: float
    iterations: int
    bias_weight: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "factors", at_most=1 << 12)
        self._require_at_least(1, "iterations", at_most=MANY)
        self._require_positive("learning_rate", at_most=1000)
        self._require_at_least(0, "regularization", "bias_weight", at_most=1_000_000_000)


@dataclass(frozen=True, kw_only=True)
class SkipGramSettings(Config):
    """Settings of gensim's skip-gram.

    Attributes:
        vector_size: Length of a vector.
        window: Furthest track before and behind that a track is to predict.
        negative: Negatives for each track to predict.
        ns_exponent: Negatives are drawn by this power of their count: 1 by count, 0 uniformly, below 0 rare ones.
        min_count: Tracks that occur less often in the training part get no vector.
        learning_rate: The highest rate; it falls to 0.0001 in a line.
        epochs: Passes over the training part.
        similarity: ``cosine``, ``dot`` (of input vectors) or ``in_out`` (input vectors of seeds, output vectors of
            tracks).
    """

    KEY = "baselines.skip_gram"
    vector_size: int
    window: int
    negative: int
    ns_exponent: float
    min_count: int
    learning_rate: float
    epochs: int
    similarity: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(1, "vector_size", at_most=1 << 12)
        self._require_at_least(1, "window", "negative", at_most=10_000)
        self._require_at_least(1, "min_count", "epochs", at_most=MANY)
        self._require_at_least(-10, "ns_exponent", at_most=10)
        self._require_positive("learning_rate", at_most=1000)
        self._require_one_of("similarity", ("cosine", "dot", "in_out"))


@dataclass(frozen=True, kw_only=True)
class BaselinesConfig(Config):
    """Settings of the systems that the model is measured against; popularity has none.

    Attributes:
        seed: Of what is random in them.
        title_knn: Nearest titles.
        item_knn: Nearest tracks.
        playlist_knn: Nearest playlists.
        als: Alternating least squares.
        bpr: Bayesian personalised ranking.
        skip_gram: Skip-gram vectors.
    """

    KEY = "baselines"
    seed: int
    title_knn: TitleKNNSettings
    item_knn: ItemKNNSettings
    playlist_knn: PlaylistKNNSettings
    als: ALSSettings
    bpr: BPRSettings
    skip_gram: SkipGramSettings

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_seed()

    def settings_of(self, system: str) -> Config:
        """Return a system's settings."""
        return NoSettings() if system == "popularity" else getattr(self, system)


TUNABLE = tuple(field.name for field in dataclasses.fields(BaselinesConfig) if field.name != "seed")
BASELINES = ("popularity", *TUNABLE)
MODEL = "model"  # the project's own system, both stages
# What a system needs beside the project's own dependencies; the extra `baselines` has it.
BASELINE_PACKAGES = {"skip_gram": "gensim"}


@dataclass(frozen=True, kw_only=True)
class TuningConfig(Config):
    """How settings are chosen on the validation part: the baselines', and by the pipeline ``tune`` the model's.

    Attributes:
        systems: Which baselines are tuned, fitted and measured.
        num_trials: Settings that are tried of each system.
        metric: Whose mean over the cases decides.
        seed: Of the random trials.
        search_space: For each system, ``model`` among them, the settings that are searched, and their values to begin
            with.
    """

    KEY = "tuning"
    systems: tuple[str, ...]
    num_trials: int
    metric: str
    seed: int
    search_space: dict[str, dict[str, tuple[int | float | str, ...]]]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_some_of("systems", BASELINES)
        self._require_at_least(1, "num_trials", at_most=MANY)
        self._require_one_of("metric", ("r_precision", "ndcg@500", "recall@500"))
        self._require_seed()

    def check_search_space(self, baselines: BaselinesConfig, model: SystemConfig) -> None:
        """Check names and values of the search space.

        Args:
            baselines: The settings that the baselines' search begins with.
            model: Those that the model's search begins with.

        Raises:
            ConfigError: A system or setting is unknown, or a value is not allowed.
        """
        starts = {system: baselines.settings_of(system) for system in TUNABLE} | {MODEL: model}
        for system, space in self.search_space.items():
            if system not in starts:
                raise ConfigError(
                    f"parameter tuning.search_space.{show_name(system)} is unknown: known are {', '.join(starts)}"
                )
            start = starts[system]
            known = start.to_dict()
            for name, values in space.items():
                key = f"tuning.search_space.{system}.{show_name(name)}"
                if name not in known:
                    raise ConfigError(f"parameter {key} is unknown: known are {', '.join(known)}")
                if not values or len(set(values)) < len(values):
                    raise ConfigError(f"parameter {key} = {_show(values)} is not allowed: give different values")
                for value in values:
                    try:
                        start.replace(**{name: value})
                    except ConfigError as error:
                        raise ConfigError(f"parameter {key} = {_show(values)} is not allowed: {error}") from None


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """What is measured on the test part.

    Attributes:
        protocols: Which of ``first_k``, ``challenge`` and ``deezer``; none twice.
        num_seeds: The numbers of given tracks in ``first_k``; with 0 there is the title alone.
        min_truth: A playlist counts if it has at least this many unique tracks beside its seeds (``first_k``,
            ``challenge``).
        challenge_closed: ``challenge`` uses playlists alone whose every track occurs in training, as the challenge did.
        challenge_reuse: In ``challenge`` a playlist stands in every scenario that it fits, not in one.
        deezer_pids: A ``.npy`` file with the playlist ids of ``deezer``: test_indices.npy of deezer/APC-RTA.
        num_recommendations: Length of a ranked list.
        max_playlists: Playlists used for each case, the first by pid digest; null for all.
        baselines: Systems measured beside the model; their settings are those of ``baselines``.
        bootstrap_samples: Resamples behind each interval.
        confidence: The intervals' level.
        seed: Of the bootstrap and of the sampled loss.
        batch_size: Playlists that the model reads at a time.
    """

    KEY = "evaluate"
    protocols: tuple[str, ...]
    num_seeds: tuple[int, ...]
    min_truth: int
    challenge_closed: bool
    challenge_reuse: bool
    deezer_pids: str | None = dataclasses.field(metadata={"file": True})
    num_recommendations: int
    max_playlists: int | None
    baselines: tuple[str, ...]
    bootstrap_samples: int
    confidence: float
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_some_of("protocols", PROTOCOLS, empty=False)
        is_able = "deezer" not in self.protocols or bool(self.deezer_pids)
        self._require("deezer_pids", is_able, "the path of a .npy file, as evaluate.protocols names deezer")
        self._require("deezer_pids", self.deezer_pids != "", "the path of a .npy file, or null")
        is_able = (
            0 < len(set(self.num_seeds)) == len(self.num_seeds)
            and 0 <= min(self.num_seeds) <= max(self.num_seeds) <= MANY
        )
        self._require("num_seeds", is_able, "a list of different numbers of 0 or more")
        self._require_at_least(1, "min_truth", "max_playlists", at_most=MANY)
        self._require_at_least(1, "bootstrap_samples", at_most=1_000_000)
        self._require_at_least(1, "num_recommendations", at_most=10_000)
        self._require_at_least(1, "batch_size", at_most=1 << 14)
        self._require_some_of("baselines", BASELINES)
        self._require_between_0_and_1("confidence")
        self._require_seed()


ORDERS = ("fixed", "similar")


@dataclass(frozen=True, kw_only=True)
class Controls(Config):
    """What a user can ask of a completed playlist. The defaults are those of ``Recommender``.

    Attributes:
        length: Tracks of a finished playlist, seeds included.
        top_k: Draw each track among so many best; 1 takes the best. More gives more surprise.
        temperature: Divides the logits; small is greedy, large makes the ``top_k`` alike.
        eop_weight: Multiplies the probability of the playlist's end, as the model sees it; 0 always fills the playlist
            to ``length``.
        max_per_artist: No artist has more tracks than this, seeds included; null for no limit. An artist with as many
            seeds gets no more.
        max_per_album: The same for albums.
        unique_songs: Leave out further versions of a song in the playlist: same artist and title, another track.
        popularity_penalty: So many times log(1 + training count) is taken from a track's score: rare tracks move up.
        diversity: From 0 to 1: how much it counts that a track is unlike those already in the playlist, measured by
            the model's vectors, against how well it fits.
        allow_tracks: If these or ``allow_artists`` are given, only they are added. URIs, links or "artist - title".
        allow_artists: Names or URIs of artists.
        deny_tracks: Never added; a seed stays.
        deny_artists: Likewise, all tracks of these artists.
        order: ``fixed``: the seeds first, in the order given, then the others as drawn. ``similar``: from the first
            track on, each is followed by the one most like it.
    """

    KEY = "generate"
    length: int = 30
    top_k: int = 50
    temperature: float = 1.0
    eop_weight: float = 0.0
    max_per_artist: int | None = None
    max_per_album: int | None = None
    unique_songs: bool = True
    popularity_penalty: float = 0.0
    diversity: float = 0.0
    allow_tracks: tuple[str, ...] = ()
    allow_artists: tuple[str, ...] = ()
    deny_tracks: tuple[str, ...] = ()
    deny_artists: tuple[str, ...] = ()
    order: str = "fixed"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(0, "eop_weight", at_most=HIGHEST_FLOAT)
        self._require_at_least(0, "popularity_penalty", at_most=1_000_000_000)
        self._require_at_least(1, "length", "top_k", "max_per_artist", "max_per_album", at_most=MANY)
        self._require_positive("temperature", at_most=1_000_000_000)
        self._require_from_0_to_1("diversity")
        self._require_one_of("order", ORDERS)


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """Which playlists are completed, and how.

    Attributes:
        seeds: One list of seeds for each playlist: track URIs or "artist - title"; an empty list means no seed.
            Used instead of the seed file when not empty.
        names: The playlists' titles, in the same order; fewer or none are allowed.
        num_examples: Test playlists to complete when neither ``seeds`` nor the seed file names any.
        num_example_seeds: First tracks of those playlists that are given.
        seed: Of the sampling.
    """

    KEY = "generate"
    seeds: tuple[tuple[str, ...], ...]
    names: tuple[str | None, ...]
    num_examples: int
    num_example_seeds: int
    seed: int
    length: int
    top_k: int
    temperature: float
    eop_weight: float
    max_per_artist: int | None
    max_per_album: int | None
    unique_songs: bool
    popularity_penalty: float
    diversity: float
    allow_tracks: tuple[str, ...]
    allow_artists: tuple[str, ...]
    deny_tracks: tuple[str, ...]
    deny_artists: tuple[str, ...]
    order: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(0, "num_examples", "num_example_seeds", at_most=MANY)
        self._require_seed()
        self._require("names", len(self.names) <= len(self.seeds), "at most one title for each playlist of seeds")
        _ = self.controls

    @property
    def controls(self) -> Controls:
        """Those fields that are ``Controls``."""
        return Controls(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Controls)})


CHALLENGE_TRACKS = ("main", "creative")


@dataclass(frozen=True, kw_only=True)
class ChallengeConfig(Config):
    """Who hands in a submission.

    Attributes:
        team: Name of the team.
        track: ``main`` (learned from the challenge's data alone) or ``creative`` (from other data too).
        mail: Address of the team.
    """

    KEY = "challenge"
    team: str
    track: str
    mail: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_one_of("track", CHALLENGE_TRACKS)
        for name, allowed in (("team", "a name"), ("mail", "an address")):
            value = getattr(self, name)
            fits = value.isprintable() and value == value.strip() and value and "," not in value
            self._require(name, bool(fits), f"{allowed} on one line, without commas")


Setting = int | float | str | bool | None


class _StudyModel(ModelConfig):
    """The shape that all variants share; its errors name the study's own keys."""

    KEY = "study.model"


class _StudyTrain(TrainConfig):
    """The recipe that all variants share; its errors name the study's own keys."""

    KEY = "study.train"


# Of `model` and `train`, what a variant, its loss and its seed decide.
VARIANT_FIELDS = ("causal", "positions")
RUN_FIELDS = ("seed", "loss")


@dataclass(frozen=True, kw_only=True)
class StudyConfig(Config):
    """The study of causal mask, positions and loss.

    Attributes:
        seeds: Each training and the item-item baseline runs once with each.
        losses: Names of the losses that are compared, each in ``loss_fields``.
        loss_fields: Name of a loss to the fields of ``train`` that make it; ``loss`` is one of them.
        model: All fields of ``model`` but ``causal`` and ``positions``. The study is not swayed by the key ``model``.
        train: All fields of ``train`` but ``seed`` and ``loss``; ``max_steps`` is the budget of each training.
        max_minutes: Each training ends after so long, finished or not; the report says where that happened.
        references: Baselines that are measured beside the item-item one.
        held_out_share: Share of a playlist's unique tracks, the last ones, that are the truth.
        min_held_out: The truth has at least so many tracks; a playlist that has no track besides is left out.
        batch_size: Playlists that a model reads at a time when it ranks.
        bootstrap_samples: Resamples behind each interval.
        confidence: The intervals' level.
        seed: Of the bootstrap.
    """

    KEY = "study"
    seeds: tuple[int, ...]
    losses: tuple[str, ...]
    loss_fields: dict[str, dict[str, Setting]]
    model: dict[str, Setting]
    train: dict[str, Setting]
    max_minutes: float
    references: tuple[str, ...]
    held_out_share: float
    min_held_out: int
    batch_size: int
    bootstrap_samples: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("seeds", len(set(self.seeds)) == len(self.seeds) > 0, "a list of different numbers")
        self._require("seeds", all(0 <= seed < 2**32 for seed in self.seeds), "numbers from 0 to 4294967295")
        self._require_some_of("losses", self.loss_fields, empty=False)
        self._require_some_of("references", [name for name in BASELINES if name != "skip_gram"])
        self._require_positive("max_minutes", at_most=1_000_000_000)
        self._require_between_0_and_1("held_out_share", "confidence")
        self._require_at_least(1, "min_held_out", at_most=MANY)
        self._require_at_least(1, "bootstrap_samples", at_most=1_000_000)
        self._require_at_least(1, "batch_size", at_most=1 << 14)
        self._require_seed()
        self._refuse_fields("model", VARIANT_FIELDS, "the study has it on and off")
        self._refuse_fields("train", RUN_FIELDS, "it follows from study.seeds and study.loss_fields")
        self.make_model_config(causal=True, positions=True)
        for loss, fields in self.loss_fields.items():
            if "loss" not in fields:
                raise ConfigError(
                    f"parameter study.loss_fields.{show_name(loss)}.loss is missing: give one of {', '.join(LOSSES)}"
                )
            self.make_train_config(loss, seed=self.seeds[0])

    def _refuse_fields(self, name: str, fields: tuple[str, ...], why: str) -> None:
        for field in fields:
            if field in getattr(self, name):
                raise ConfigError(f"parameter study.{name}.{field} is not allowed: {why}")

    def make_model_config(self, *, causal: bool, positions: bool) -> ModelConfig:
        """Return the shape of a variant.

        Raises:
            ConfigError: A field is missing, unknown, or has a value that is not allowed.
        """
        values = {**self.model, "causal": causal, "positions": positions}
        return ModelConfig(**_make(_StudyModel, values).to_dict())

    def make_train_config(self, loss: str, *, seed: int) -> TrainConfig:
        """Return the recipe of a training.

        Args:
            loss: A name of ``loss_fields``.
            seed: Of all that is random in it.

        Raises:
            ConfigError: A field is missing, unknown, or has a value that is not allowed.
        """
        return TrainConfig(**_make(_StudyTrain, {**self.train, **self.loss_fields[loss], "seed": seed}).to_dict())


CONFIG_CLASSES: dict[str, type[Config]] = {
    cls.KEY: cls
    for cls in (
        ExtractConfig,
        SplitConfig,
        VocabularyConfig,
        ModelConfig,
        TrainConfig,
        RerankConfig,
        IndexConfig,
        EvaluateConfig,
        BaselinesConfig,
        TuningConfig,
        GenerateConfig,
        ChallengeConfig,
        StudyConfig,
    )
}


def make_config(key: str, values: Any) -> Config:
    """Return the checked parameters of one top-level key.

    Raises:
        ConfigError: A value is not allowed, or a name is missing or unknown.
    """
    return _make(CONFIG_CLASSES[key], values)


def _make(cls: type[Config], values: Any) -> Config:
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"parameter {cls.KEY} = {_show(values)} is not allowed: give its parts, such as {cls.KEY}.NAME=VALUE"
        )
    names = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in names:
            raise ConfigError(f"parameter {cls.KEY}.{show_name(name)} is unknown: {suggest(name, names)}")
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigError(f"parameter {cls.KEY}.{missing[0]} is missing from the configuration")
    return cls(**values)
