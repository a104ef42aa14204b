import dataclasses
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
        ("train", "max_steps", 0, "1 or more, or null for no limit"),
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
        ("evaluate", "num_seeds", [1, -1], "a list of numbers of 0 or more"),
        ("evaluate", "protocols", ["second_k"], "a list of first_k, challenge, deezer"),
        ("evaluate", "protocols", [], "a list of first_k, challenge, deezer"),
        ("evaluate", "protocols", ["first_k", "first_k"], "a list of first_k, challenge, deezer"),
        ("evaluate", "challenge_reuse", 1, "a value of type bool"),
        ("evaluate", "baselines", ["magic"], "a list of " + ", ".join(BASELINES)),
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
        ("study", "losses", [], "a list of gbce, softmax"),
        ("study", "losses", ["hinge"], "a list of gbce, softmax"),
        ("study", "max_minutes", 0, "a positive number"),
        ("study", "held_out_share", 1.0, "a number between 0 and 1, both excluded"),
        ("study", "min_held_out", 0, "1 or more"),
        ("study", "references", ["skip_gram"], "a list of popularity, title_knn, item_knn, playlist_knn, als, bpr"),
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
