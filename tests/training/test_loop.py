"""Whole trainings: interrupted and not, finished, stopped by signals, with other parameters beside it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
from orbax.checkpoint import v1 as ocp
from train_script import StopAfter

from playlist_pipeline import fingerprint
from playlist_pipeline.config import ModelConfig
from playlist_pipeline.errors import UserError
from playlist_pipeline.model.weights import name_parameters
from playlist_pipeline.training.checkpoints import CheckpointStore, describe_training, fingerprint_training
from playlist_pipeline.training.loop import TrainingInterrupted, catch_stop_signals, train_model


@pytest.fixture
def train(make_playlists, vocabulary, model_config, make_train_config):
    """Return a function that trains on 11 playlists, six steps in all unless ``changed`` says otherwise."""

    def run(root, *, stop_after=0, should_stop=None, should_end=None, playlists=None, validation=None, **changed):
        return train_model(
            make_playlists(11) if playlists is None else playlists,
            make_playlists(5, seed=1) if validation is None else validation,
            vocabulary,
            model_config=model_config,
            train_config=make_train_config(**changed),
            checkpoints=CheckpointStore(root),
            should_stop=should_stop or StopAfter(stop_after),
            should_end=should_end,
            progress=False,
        )

    return run


def _weights(result):
    return {name: np.asarray(value[...]) for name, value in name_parameters(result.model.model).items()}


def _assert_equal(first, second):
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    assert first.summary == second.summary
    assert _weights(first).keys() == _weights(second).keys()
    for name, value in _weights(first).items():
        np.testing.assert_array_equal(value, _weights(second)[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_playlists, vocabulary, model_config, make_train_config):
    """Six steps in one go, and the folder they were trained in."""
    root = tmp_path_factory.mktemp("whole")
    result = train_model(
        make_playlists(11),
        make_playlists(5, seed=1),
        vocabulary,
        model_config=model_config,
        train_config=make_train_config(),
        checkpoints=CheckpointStore(root),
        progress=False,
    )
    return result, root


def _run_folder(root):
    (folder,) = root.iterdir()
    return folder


def test_history_and_summary(whole):
    result, _ = whole
    assert result.history.columns.tolist() == ["step", "loss", "validation_loss", "learning_rate", "skipped_steps"]
    assert result.history["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert result.history["validation_loss"].notna().tolist() == [False, True] * 3
    np.testing.assert_allclose(result.history["learning_rate"], 0.01, rtol=1e-6)
    assert result.summary["steps"] == 6
    assert result.summary["skipped_steps"] == 0
    assert result.summary["training_playlists"] == 11
    assert result.summary["loss"] == pytest.approx(result.history["loss"].mean())
    assert result.model.meta["train"]["num_negatives"] == 5


def test_seconds_are_those_of_all_parts(train, tmp_path, monkeypatch):
    clock = iter([100.0, 130.0, 500.0, 507.0, 510.0])  # of both parts: the start, then each checkpoint
    monkeypatch.setattr("playlist_pipeline.training.loop.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(TrainingInterrupted):
        train(tmp_path, stop_after=2)
    assert train(tmp_path).seconds == 30.0 + 10.0
    assert list(clock) == []
    assert train(tmp_path).seconds == 40.0  # finished: none is added


def test_what_lies_in_the_folder(whole):
    _, root = whole
    folder = _run_folder(root)
    assert sorted(path.name for path in (folder / "steps").iterdir()) == ["4", "6"]
    assert json.loads((folder / "config.json").read_text())["train"]["seed"] == 3
    assert json.loads((folder / "finished.json").read_text())["steps"] == 6
    assert next(path.name for path in (folder / "tensorboard").iterdir()).startswith("events.out.tfevents")


def test_killed_inside_a_checkpoint_in_another_process_equals_six(
    whole, train, tmp_path, caplog, make_playlists, vocabulary, model_config, make_train_config
):
    given = {
        "training": [playlist.tolist() for playlist in make_playlists(11)],
        "validation": [playlist.tolist() for playlist in make_playlists(5, seed=1)],
        "uris": vocabulary.uris,
        "counts": vocabulary.counts.tolist(),
        "model": model_config.to_dict(),
        "train": make_train_config().to_dict(),
        "root": str(tmp_path),
        "kill_in_checkpoint": 4,
    }
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("train_script.py"))]
    done = subprocess.run(command, input=json.dumps(given), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        _assert_equal(train(tmp_path), whole[0])
    folder = _run_folder(tmp_path)
    broken = f"checkpoint {folder / 'steps' / '4'} is not whole (the run before ended before all of it was on disk)"
    assert f"{broken}: moved to {folder / 'damaged' / '4-0'} and not used" in caplog.messages
    assert f"training {folder.name} resumes after step 2 of 6, its newest whole checkpoint" in caplog.messages


def test_a_training_that_is_ended_early_is_finished_with_the_weights_of_its_last_step(train, tmp_path):
    short = train(tmp_path / "short", max_steps=3)
    ended = train(tmp_path / "ended", should_end=StopAfter(3))
    assert (ended.summary["steps"], ended.history["step"].tolist()) == (3, [1, 2, 3])
    assert ended.history["validation_loss"].notna().tolist() == [False, True, True]
    pd.testing.assert_frame_equal(ended.history, short.history, check_exact=True)
    for name, value in _weights(ended).items():
        np.testing.assert_array_equal(value, _weights(short)[name])
    _assert_equal(train(tmp_path / "ended"), ended)  # skipped


@pytest.mark.parametrize(
    "changed",
    [
        {"moment_dtype": "bfloat16", "popularity_share": 0.5, "clip_norm": 0.5, "schedule": "cosine"},
        {"optimizer": "adagrad", "micro_batches": 2, "share_negatives": False, "loss": "gbce", "seed_sets": True},
        {"optimizer": "dense_adamw", "loss": "full_softmax", "warmup_steps": 2},
    ],
    ids=["bfloat16 moments", "adagrad", "full softmax"],
)
def test_an_interrupted_training_equals_a_whole_one_under_every_rule(changed, train, tmp_path):
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "two", stop_after=3, **changed)
    result = train(tmp_path / "two", **changed)
    assert np.isfinite(result.history["loss"]).all()
    _assert_equal(result, train(tmp_path / "one", **changed))


@pytest.mark.parametrize("options", [{"tied_output": False}, {"causal": False, "positions": False, "block": "ligr"}])
def test_a_model_with_other_options_is_trained_too(
    options, tmp_path, make_playlists, vocabulary, model_config, make_train_config
):
    result = train_model(
        make_playlists(11),
        make_playlists(5, seed=1),
        vocabulary,
        model_config=ModelConfig(**(model_config.to_dict() | options)),
        train_config=make_train_config(num_epochs=20, unk_rate=0.0, validate_every=50, checkpoint_every=50),
        checkpoints=CheckpointStore(tmp_path),
        progress=False,
    )
    losses = result.history["loss"]
    assert losses.iloc[-10:].mean() < losses.iloc[:10].mean() - 0.02
    assert result.model.model.scoring.table.shape == (len(vocabulary), 4)


def test_the_rate_in_the_history_is_the_schedule(train, tmp_path):
    history = train(tmp_path, schedule="cosine", warmup_steps=2).history
    np.testing.assert_allclose(history["learning_rate"][:3], [0.01 / 3, 0.02 / 3, 0.01], rtol=1e-5)
    assert history["learning_rate"].is_monotonic_decreasing is False
    assert history["learning_rate"][2:].is_monotonic_decreasing


def test_killed_after_a_checkpoint_equals_six(whole, train, tmp_path):
    """A kill leaves rows and events after the last checkpoint, and no checkpoint at the step it came in."""

    class Killed(BaseException):
        pass

    def kill_at_step_5():
        asked.append(0)
        if len(asked) == 5:
            raise Killed
        return False

    asked = []
    with pytest.raises(Killed):
        train(tmp_path, should_stop=kill_at_step_5)
    history = _run_folder(tmp_path) / "history.csv"
    with history.open("a") as file:
        file.write("5,0.5,,0.01,0\n6,0.")
    _assert_equal(train(tmp_path), whole[0])


def test_finished_training_is_skipped_with_a_line(whole, train, caplog):
    result, root = whole
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        again = train(root)
    assert [record.getMessage() for record in caplog.records] == [
        f"training {_run_folder(root).name} is finished (6 steps): skipped"
    ]
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before
    _assert_equal(again, result)


def test_finishing_touches_are_made_up_after_a_kill_at_the_very_end(whole, train, tmp_path):
    root = Path(shutil.copytree(whole[1], tmp_path / "copy"))
    (_run_folder(root) / "finished.json").unlink()
    _assert_equal(train(root), whole[0])


def _truncate(folder, step):
    largest = max((folder / "steps" / step).rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    largest.write_bytes(largest.read_bytes()[:-10])
    return f"has changed ({largest.stat().st_size} bytes, {largest.stat().st_size + 10} when it was written)"


def _remove_file(folder, step):
    (folder / "steps" / step / "model" / "_METADATA").unlink()
    return "'model/_METADATA' is missing"


def _alter(folder, step):
    path = folder / "steps" / step / "model" / "_METADATA"
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    return "'model/_METADATA' has changed (it has another SHA-256"


def _cut_digests(folder, step):
    marker = folder / "whole" / f"{step}.json"
    marker.write_bytes(marker.read_bytes()[:-10])
    return "its digests cannot be read"


@pytest.mark.parametrize("damage", [_truncate, _remove_file, _alter, _cut_digests])
def test_a_checkpoint_that_is_not_whole_is_not_used(damage, whole, train, tmp_path, caplog):
    root = Path(shutil.copytree(whole[1], tmp_path / "copy"))
    folder = _run_folder(root)
    (folder / "finished.json").unlink()
    reason = damage(folder, "6")
    (folder / "steps" / "8.orbax-checkpoint-tmp" / "model").mkdir(parents=True)
    (folder / "steps" / "2" / "model").mkdir(parents=True)  # its removal had begun
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        _assert_equal(train(root), whole[0])
    assert [path.name for path in (folder / "damaged").iterdir()] == ["6-0"]
    assert sorted(path.name for path in (folder / "steps").iterdir()) == ["4", "6"]
    assert sorted(path.name for path in (folder / "whole").iterdir()) == ["4.json", "6.json"]
    messages = [message for message in caplog.messages if not message.endswith(": it is not used")]
    assert messages[0].endswith("8.orbax-checkpoint-tmp was being written when the run before ended: removed")
    assert "steps/6 is not whole (" in messages[1]
    assert reason in messages[1]
    assert "resumes after step 4 of 6" in messages[2]


def test_without_a_whole_checkpoint_training_begins_anew(whole, train, tmp_path):
    root = Path(shutil.copytree(whole[1], tmp_path / "copy"))
    shutil.rmtree(_run_folder(root) / "whole")
    _assert_equal(train(root), whole[0])
    assert sorted(path.name for path in (_run_folder(root) / "damaged").iterdir()) == ["4-1", "6-0"]


def test_a_kill_while_an_old_checkpoint_is_removed_loses_none(whole, train, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    monkeypatch.setattr(ocp.training.Checkpointer, "delete", kill)
    with pytest.raises(Killed):
        train(tmp_path, keep_checkpoints=1)
    assert sorted(path.name for path in (_run_folder(tmp_path) / "steps").iterdir()) == ["2", "4"]
    monkeypatch.undo()
    _assert_equal(train(tmp_path, keep_checkpoints=1), whole[0])
    assert [path.name for path in (_run_folder(tmp_path) / "steps").iterdir()] == ["6"]
    assert not (_run_folder(tmp_path) / "damaged").exists()


def test_a_full_disk_in_a_checkpoint_is_one_line_and_leaves_the_one_before(whole, train, tmp_path, monkeypatch):
    save = ocp.training.Checkpointer.save_checkpointables

    def fill_disk(checkpointer, step, content):
        if step == 4:
            (checkpointer.directory / "4.orbax-checkpoint-tmp").mkdir()
            raise ValueError("RESOURCE_EXHAUSTED: Failed to write 9 bytes to file 12: No space left on device")
        return save(checkpointer, step, content)

    monkeypatch.setattr(ocp.training.Checkpointer, "save_checkpointables", fill_disk)
    with pytest.raises(UserError) as caught:
        train(tmp_path)
    folder = _run_folder(tmp_path)
    assert str(caught.value) == (
        f"{folder} cannot be written (No space left on device): make room and run the same command again; "
        "training goes on after step 2"
    )
    assert [path.name for path in (folder / "steps").iterdir()] == ["2"]
    monkeypatch.undo()
    _assert_equal(train(tmp_path), whole[0])


@pytest.mark.parametrize(
    ("name", "content"), [("config.json", b"\xff"), ("seconds.json", b"[1]"), ("finished.json", b"[" * 100_000)]
)
def test_damaged_notes_of_a_training_are_made_anew(name, content, whole, train, tmp_path, caplog):
    root = Path(shutil.copytree(whole[1], tmp_path / "copy"))
    (_run_folder(root) / name).write_bytes(content)
    shutil.rmtree(_run_folder(root) / "steps" / "6")
    _assert_equal(train(root), whole[0])
    (line,) = {message for message in caplog.messages if message.startswith(str(_run_folder(root) / name))}
    assert line.endswith(": it is not used")


@pytest.mark.parametrize("gone", ["6", ""])
def test_a_finished_training_whose_last_checkpoint_is_gone_is_trained_again(gone, whole, train, tmp_path, caplog):
    root = Path(shutil.copytree(whole[1], tmp_path / "copy"))
    shutil.rmtree(_run_folder(root) / "steps" / gone)
    _assert_equal(train(root), whole[0])
    assert any("was finished, but its last checkpoint is gone" in message for message in caplog.messages)


def test_other_parameters_start_afresh_beside_it(whole, train, tmp_path, caplog):
    root = Path(shutil.copytree(whole[1], tmp_path / "copy"))
    former = _run_folder(root).name
    other = train(root, seed=4, max_steps=1)
    assert len(other.history) == 1
    assert caplog.messages[0].endswith(
        f" is new and begins at step 0; from {former}, which stays, it differs in: "
        "train.max_steps is 1, was None; train.seed is 4, was 3"
    )
    assert len(list(root.iterdir())) == 2
    _assert_equal(train(root), whole[0])


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({"checkpoint_every": 5, "keep_checkpoints": 1}, True),
        ({"max_steps": 6}, False),
        ({"num_epochs": 3}, False),
        ({"loss": "negatives_only"}, False),
        ({"optimizer": "lazy_adamw"}, False),
        ({"validate_every": 3}, False),
    ],
)
def test_which_parameters_make_another_training(changed, is_same, model_config, make_train_config):
    def identify(**fields):
        config = make_train_config(**fields)
        description = describe_training(
            model_config, config, vocabulary="v", side_information=None, training="t", validation="w"
        )
        return fingerprint_training(description)

    assert (identify(**changed) == identify()) is is_same


def test_the_training_fingerprint_covers_the_code_behind_weights_and_batches(monkeypatch):
    seen = []
    find = fingerprint._source_of
    monkeypatch.setattr(fingerprint, "_source_of", lambda name: seen.append(name) or find(name))
    fingerprint.code_fingerprint.__wrapped__("playlist_pipeline.training.step")
    rooms = ("corpus.factorize", "corpus.side_information", "model.transformer", "model.losses", "training.state")
    assert {f"playlist_pipeline.{name}" for name in (*rooms, "training.data", "training.optimizer")} <= set(seen)


def test_a_training_that_goes_on_with_other_versions_says_so(whole, train, tmp_path, caplog):
    root = Path(shutil.copytree(whole[1], tmp_path / "copy"))
    path = _run_folder(root) / "config.json"
    content = json.loads(path.read_text())
    content["place"] |= {"jax": "0.1", "cores": 1000}
    path.write_text(json.dumps(content))
    for _ in range(2):
        train(root)
    told = [message for message in caplog.messages if "goes on elsewhere" in message]
    assert len(told) == 1
    assert told[0].endswith(f"cores is {os.cpu_count()}, was 1000; jax is '{jax.__version__}', was '0.1'")


def test_changed_data_make_another_training(train, tmp_path, make_playlists):
    train(tmp_path, max_steps=1)
    changed = make_playlists(11)
    changed[3] = changed[3][::-1].copy() if len(set(changed[3].tolist())) > 1 else changed[3] + 1
    train(tmp_path, max_steps=1, playlists=changed)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint_and_says_how_to_go_on(number, train, tmp_path):
    former = signal.getsignal(number)
    asked = []

    def send_at_step_2():
        asked.append(0)
        if len(asked) == 2:
            signal.raise_signal(number)
        return False

    with pytest.raises(TrainingInterrupted, match="stopped at step 3 of 6"):
        train(tmp_path, should_stop=send_at_step_2)
    assert signal.getsignal(number) is former
    assert (_run_folder(tmp_path) / "steps" / "3").is_dir()


def test_the_second_signal_meets_the_former_handler():
    seen = []
    former = signal.signal(signal.SIGTERM, lambda *_: seen.append("former"))
    try:
        with catch_stop_signals() as received:
            assert not received()
            signal.raise_signal(signal.SIGTERM)
            assert received()
            assert seen == []
            signal.raise_signal(signal.SIGTERM)
            assert seen == ["former"]
    finally:
        signal.signal(signal.SIGTERM, former)


def test_handlers_stay_alone_outside_the_main_thread():
    answers = []

    def ask():
        with catch_stop_signals() as received:
            answers.append(received())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert answers == [False]


def test_validation_does_not_change_training(whole, train, tmp_path):
    result = train(tmp_path, validation=[])
    assert result.history["validation_loss"].isna().all()
    assert result.summary["validation_loss"] is None
    np.testing.assert_array_equal(result.history["loss"], whole[0].history["loss"])


def test_no_training_playlists(train, tmp_path):
    with pytest.raises(UserError, match="there are no training playlists"):
        train(tmp_path, playlists=[])
