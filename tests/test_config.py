import copy
import dataclasses
import functools
import json
import types
import typing
from pathlib import Path

import pytest
import yaml
from recipes import make_model_config, make_train_config

from playlist_pipeline.config import BASELINES, CONFIG_CLASSES, ConfigError, make_config

CONF = Path(__file__).parents[1] / "conf"


def values_of(key: str) -> dict:
    for path in sorted((CONF / "base").glob("parameters_*.yml")):
        content = yaml.safe_load(path.read_text("utf-8"))
        if key in content:
            return fill_in_seed(content[key])
    raise AssertionError(f"no parameters file has {key}")


def fill_in_seed(values: dict) -> dict:
    return {name: 0 if value == "${globals:seed}" else value for name, value in values.items()}


@pytest.mark.parametrize("key", CONFIG_CLASSES)
def test_base_parameters_are_complete_and_allowed(key: str) -> None:
    config = make_config(key, values_of(key))
    assert set(config.to_dict()) == set(values_of(key))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


@pytest.mark.parametrize("path", sorted(CONF.glob("mpd/parameters_*.yml")), ids=lambda path: path.name)
def test_overlays_name_known_parameters_only(path: Path) -> None:
    for key, values in yaml.safe_load(path.read_text("utf-8")).items():
        make_config(key, values_of(key) | fill_in_seed(values))


@pytest.mark.parametrize(
    ("key", "name", "value", "allowed"),
    [
        ("extract", "num_workers", 0, "1 or more"),
        ("extract", "strict", "yes", "a value of type bool"),
        ("extract", "num_workers", True, "a value of type int"),
        ("split", "rule", "random", "one of permutation, hash"),
        ("split", "train_fraction", 1.5, "a number between 0 and 1, both excluded"),
        ("split", "validation_fraction", 0.3, "less than 1 - train_fraction (0.2), so that a test part is left"),
        ("vocabulary", "min_count", 1.5, "a value of type int"),
        ("model", "num_heads", 3, f"a divisor of embed_dim ({make_config('model', values_of('model')).embed_dim})"),
        ("model", "dropout", 1.0, "at least 0 and less than 1"),
        ("train", "learning_rate", float("nan"), "a value of type float"),
        ("train", "learning_rate", "fast", "a value of type float"),
        ("train", "max_steps", 0, "1 or more, or null"),
        ("model", "size", "huge", "one of small, medium, large"),
        ("model", "block", "moe", "one of relu, ligr"),
        ("model", "popularity_buckets", -1, "0 or more"),
        ("train", "loss", "hinge", "one of label_in_denominator, negatives_only, gbce, full_softmax"),
        ("train", "optimizer", "sgd", "one of adamw, lazy_adamw, adagrad, dense_adamw"),
        ("train", "micro_batches", 3, "a divisor of batch_size (16)"),
        ("train", "popularity_share", 1.5, "a number from 0 to 1"),
        ("train", "clip_norm", 0, "a positive number, or null"),
        ("train", "weight_decay", 100000.0, "less than 1 / learning_rate (2e-05)"),
        ("index", "kind", "hnsw", "one of auto, exact, approximate"),
        ("index", "num_lists", 0, "1 or more, or null"),
        ("index", "num_probes", 0, "1 or more"),
        ("evaluate", "num_seeds", [1, -1], "a list of different numbers of 0 or more"),
        ("evaluate", "protocols", ["second_k"], "one or more of first_k, challenge, deezer, none twice"),
        ("evaluate", "protocols", [], "one or more of first_k, challenge, deezer, none twice"),
        ("evaluate", "protocols", ["first_k", "first_k"], "one or more of first_k, challenge, deezer, none twice"),
        ("evaluate", "challenge_reuse", 1, "a value of type bool"),
        ("evaluate", "baselines", ["magic"], "some of " + ", ".join(BASELINES) + ", none twice"),
        ("baselines", "als", 5, "its parts, such as baselines.als.NAME=VALUE"),
        ("generate", "temperature", 0, "a positive number"),
        ("generate", "seeds", ["one"], "a value of type tuple[tuple[str, ...], ...]"),
        ("challenge", "track", "Main", "one of main, creative"),
        ("challenge", "team", "one, two", "a name on one line, without commas"),
        ("challenge", "team", "", "a name on one line, without commas"),
        ("challenge", "team", None, "a value of type str"),
        ("challenge", "mail", "me@example.org\n", "an address on one line, without commas"),
        ("study", "seeds", [1, 1], "a list of different numbers"),
        ("study", "seeds", [-1], "numbers from 0 to 4294967295"),
        ("study", "losses", [], "one or more of gbce, softmax, none twice"),
        ("study", "losses", ["hinge"], "one or more of gbce, softmax, none twice"),
        ("study", "max_minutes", 0, "a positive number"),
        ("study", "held_out_share", 1.0, "a number between 0 and 1, both excluded"),
        ("study", "min_held_out", 0, "1 or more"),
        (
            "study",
            "references",
            ["skip_gram"],
            "some of popularity, title_knn, item_knn, playlist_knn, als, bpr, none twice",
        ),
    ],
)
def test_bad_values_are_refused_with_key_value_and_what_is_allowed(key, name, value, allowed) -> None:
    shown = tuple(value) if isinstance(value, list) else value
    with pytest.raises(ConfigError) as error:
        make_config(key, values_of(key) | {name: value})
    assert str(error.value) == f"parameter {key}.{name} = {shown!r} is not allowed: give {allowed}"


def test_unknown_and_missing_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^parameter train.learning_rat is unknown: did you mean learning_rate\?$"):
        make_config("train", values_of("train") | {"learning_rat": 1.0})
    values = values_of("split")
    del values["rule"]
    with pytest.raises(ConfigError, match=r"^parameter split.rule is missing from the configuration$"):
        make_config("split", values)


def test_lists_become_tuples_and_idle_fields_stay_out_of_fingerprints() -> None:
    assert make_config("generate", values_of("generate") | {"seeds": [["a", "b"], []]}).seeds == (("a", "b"), ())
    config = make_config("extract", values_of("extract"))
    assert "num_workers" in config.to_dict()
    assert "num_workers" not in config.to_dict(only_result=True)


def test_what_does_not_go_together_is_refused() -> None:
    base = values_of("train")
    with pytest.raises(ConfigError, match=r"train.optimizer = 'adamw' .* dense_adamw, as train.loss is full_softmax"):
        make_config("train", base | {"loss": "full_softmax"})
    with pytest.raises(ConfigError, match=r"moment_dtype = 'bfloat16' .* float32, as train.optimizer is adagrad"):
        make_config("train", base | {"optimizer": "adagrad", "moment_dtype": "bfloat16"})


def test_deezer_needs_its_playlist_ids() -> None:
    base = values_of("evaluate") | {"protocols": ["first_k", "deezer"]}
    with pytest.raises(ConfigError, match=r"deezer_pids = None .* path of a .npy file, as evaluate.protocols names"):
        make_config("evaluate", base)
    assert make_config("evaluate", base | {"deezer_pids": "pids.npy"}).deezer_pids == "pids.npy"


def test_the_environment_mpd_has_the_published_model() -> None:
    published = make_model_config(env="mpd")
    assert (published.num_layers, published.num_heads, published.embed_dim, published.feedforward_dim) == (
        6,
        8,
        128,
        256,
    )
    assert published.causal
    assert published.positions
    recipe = make_train_config(env="mpd")
    assert (recipe.loss, recipe.num_negatives, recipe.embedding_init) == ("negatives_only", 20, "normal")
    assert (recipe.learning_rate, recipe.table_learning_rate) == (0.0005, None)


def test_a_size_gives_what_is_null_and_nothing_else() -> None:
    base = values_of("model") | dict.fromkeys(("num_layers", "num_heads", "embed_dim", "feedforward_dim"))
    small = make_config("model", base | {"size": "small", "num_layers": 5})
    assert (small.num_layers, small.num_heads, small.embed_dim, small.feedforward_dim) == (5, 4, 64, 128)
    medium = make_config("model", base | {"size": "medium"})
    assert (medium.num_layers, medium.num_heads, medium.embed_dim, medium.feedforward_dim) == (6, 8, 128, 256)
    assert make_config("model", small.to_dict()) == small


def test_the_rate_that_weight_decay_would_overshoot_is_named() -> None:
    fast = values_of("train") | {"table_learning_rate": 200.0}
    with pytest.raises(ConfigError, match=r"train.weight_decay = 0.01 .* less than 1 / table_learning_rate \(200\)"):
        make_config("train", fast)
    assert make_config("train", fast | {"optimizer": "adagrad"}).table_learning_rate == 200.0


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model": {"num_heads": 3}}, "parameter study.model.num_heads = 3 is not allowed: give a divisor of"),
        ({"model": {"num_head": 3}}, "parameter study.model.num_head is unknown: did you mean num_heads?"),
        ({"model": {"causal": True}}, "parameter study.model.causal is not allowed: the study has it on and off"),
        ({"train": {"seed": 1}}, "parameter study.train.seed is not allowed: it follows from study.seeds"),
        ({"train": {"max_steps": 0}}, "parameter study.train.max_steps = 0 is not allowed: give 1 or more"),
        ({"loss_fields": {"bpr": {}}}, "parameter study.loss_fields.bpr.loss is missing: give one of label_in_denom"),
        ({"loss_fields": {"bpr": {"loss": "bpr"}}}, "parameter study.train.loss = 'bpr' is not allowed: give one of"),
    ],
)
def test_a_study_refuses_what_model_and_train_refuse(changes, line) -> None:
    values = values_of("study")
    for name, change in changes.items():
        values[name] = values[name] | change
    with pytest.raises(ConfigError) as error:
        make_config("study", values)
    assert str(error.value).startswith(line)


def test_a_study_lacks_no_field_of_its_recipe() -> None:
    values = values_of("study")
    del values["train"]["learning_rate"]
    with pytest.raises(ConfigError, match=r"^parameter study.train.learning_rate is missing from the configuration$"):
        make_config("study", values)


def test_a_study_gives_a_recipe_for_each_loss_and_seed() -> None:
    study = make_config("study", values_of("study"))
    recipe = study.make_train_config("gbce", seed=7)
    assert (type(recipe), recipe.loss, recipe.seed) == (CONFIG_CLASSES["train"], "gbce", 7)
    model = study.make_model_config(causal=False, positions=True)
    assert (type(model), model.causal, model.positions) == (CONFIG_CLASSES["model"], False, True)


ODD_VALUES = [
    *("abc", "", "a\nb", "a\0b", "\ud800", b"abc", "1", "null"),
    *(True, None, 0, -1, 1, 5, 2**31, 2**32, 2**63, -(2**63), 10**400, 16**3000, 16**5000),
    *(1.5, -0.0, 5e-324, 1e300, float("nan"), float("inf"), -float("inf"), 1j),
    *([], [None], [[]], ["abc"], [1, 1], ["a", 10**400], {}, {"a": 1}, {1: {2: 3}}, {None: []}, {"x": {"y": ["a\0b"]}}),
]


def fields_of(cls: type) -> list[tuple[str, ...]]:
    """List the paths of all fields, those of nested settings too."""
    paths = []
    for name, hint in typing.get_type_hints(cls).items():
        if name != "KEY":
            paths += [(name, *rest) for rest in fields_of(hint)] if dataclasses.is_dataclass(hint) else [(name,)]
    return paths


def change(values: dict, path: tuple[str, ...], value: object) -> dict:
    first, *rest = path
    return values | {first: change(values[first], tuple(rest), value) if rest else value}


def is_of(value: object, hint: object) -> bool:
    """Say by the class alone whether a field may have a value: its own kind, and numbers that 64 bits hold."""
    hints = typing.get_args(hint) if typing.get_origin(hint) is types.UnionType else [hint]
    kinds = {kind for hint in hints for kind in {float: (float, int)}.get(hint, (typing.get_origin(hint) or hint,))}
    return type(value) in kinds and (not isinstance(value, int | float) or abs(value) < 2**63)


@pytest.mark.parametrize("key", CONFIG_CLASSES)
def test_odd_values_are_refused_in_one_line_or_valid(key: str) -> None:
    base = values_of(key)
    for path in fields_of(CONFIG_CLASSES[key]):
        for value in ODD_VALUES:
            try:
                config = make_config(key, change(base, path, value))
            except ConfigError as error:
                line = str(error)
                assert "\n" not in line, (path, value)
                assert len(line) < 1000, (path, value)
                assert line.startswith(f"parameter {key}."), (path, value)
                assert path[-1] in line or key == "study", (path, value)  # there the recipe names the field
            else:
                # What is accepted has the field's type, JSON holds it, and it is accepted again.
                owner = functools.reduce(getattr, path[:-1], config)
                assert is_of(getattr(owner, path[-1]), typing.get_type_hints(type(owner))[path[-1]]), (path, value)
                again = json.loads(json.dumps(config.to_dict(), allow_nan=False, ensure_ascii=False))
                assert make_config(key, again) == config


@pytest.mark.parametrize("key", [key for key in CONFIG_CLASSES if key != "extract"])
def test_no_number_grows_beyond_what_32_bits_hold(key: str) -> None:
    base = values_of(key)
    for path in fields_of(CONFIG_CLASSES[key]):
        is_float = isinstance(functools.reduce(dict.__getitem__, path, base), float)
        with pytest.raises(ConfigError):
            make_config(key, change(base, path, 1e39 if is_float else 2**33))


@pytest.mark.parametrize("key", CONFIG_CLASSES)
def test_every_name_is_needed_and_no_other_is_known(key: str) -> None:
    base = values_of(key)
    for path in fields_of(CONFIG_CLASSES[key]):
        values = copy.deepcopy(base)
        owner = functools.reduce(dict.__getitem__, path[:-1], values)
        del owner[path[-1]]
        name = ".".join((key, *path))
        with pytest.raises(ConfigError, match=f"^parameter {name} is missing from the configuration$"):
            make_config(key, values)
    for name in ("nothing", "", 5, None, True, "a\nb", "x" * 10_000):
        with pytest.raises(ConfigError, match=f"^parameter {key}\\..* is unknown: ") as error:
            make_config(key, base | {name: 1})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [None, 5, "abc", [], [["seed", 1]], float("nan"), {}])
@pytest.mark.parametrize("key", CONFIG_CLASSES)
def test_what_is_no_mapping_of_names_is_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^parameter {key}") as error:
        make_config(key, value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "changes", "line"),
    [
        (
            "train",
            {"num_negatives": 10**6, "share_negatives": False},
            "train.num_negatives = 1000000 is not allowed: give 65536 or less",
        ),
        (
            "model",
            {"num_layers": 128, "embed_dim": 1 << 15, "feedforward_dim": 1 << 15},
            "model.num_layers = 128 is not allowed: give fewer, or less width: these have 1e+12 weights",
        ),
        ("model", {"context_length": 10**9}, "model.context_length = 1000000000 is not allowed: give 8192 or less"),
        ("model", {"embed_dim": 10**9}, "model.embed_dim = 1000000000 is not allowed: give 32768 or less"),
        ("train", {"batch_size": 10**12}, "train.batch_size = 1000000000000 is not allowed: give 131072 or less"),
        ("train", {"num_epochs": 2**20 + 1}, "train.num_epochs = 1048577 is not allowed: give 1048576 or less"),
        ("train", {"seed": 2**32}, "train.seed = 4294967296 is not allowed: give at least 0 and less than 4294967296"),
        ("split", {"seed": -1}, "split.seed = -1 is not allowed: give at least 0 and less than 4294967296"),
        ("split", {"test_pids": ""}, "split.test_pids = '' is not allowed: give the path of a .npy file, or null"),
        (
            "split",
            {"test_pids": "a\0b"},
            r"split.test_pids = 'a\x00b' is not allowed: give a text without NUL and half surrogate pairs",
        ),
        (
            "evaluate",
            {"num_seeds": [5, 5]},
            "evaluate.num_seeds = (5, 5) is not allowed: give a list of different numbers of 0 or more",
        ),
        (
            "generate",
            {"seeds": [["a"]], "names": ["x", "y"]},
            "generate.names = ('x', 'y') is not allowed: give at most one title for each playlist of seeds",
        ),
        ("index", {"num_iterations": 10**12}, "index.num_iterations = 1000000000000 is not allowed: give 1000 or less"),
    ],
)
def test_what_contradicts_itself_or_is_absurd_is_refused(key: str, changes: dict, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_config(key, values_of(key) | changes)
    assert str(error.value) == f"parameter {line}"


def test_a_second_stage_needs_a_transformer_that_starts_from_vectors() -> None:
    rerank, train = make_config("rerank", values_of("rerank")), make_config("train", values_of("train"))
    rerank.require_vectors(train)
    rerank.replace(num_folds=0).require_vectors(train.replace(embedding_init="normal"))
    with pytest.raises(
        ConfigError, match=r"^parameter rerank.num_folds = 5 .* give 0, or another train.embedding_init"
    ):
        rerank.require_vectors(train.replace(embedding_init="normal"))
