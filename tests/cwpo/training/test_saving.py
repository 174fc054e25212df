"""Checkpoints are written behind the training: what was copied at the step, whole, seldom enough, and never in vain."""

import json
import shutil
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cwpo.parallel.ranks import ALONE
from cwpo.training import saving
from cwpo.training.checkpoints import CHECKPOINT, ExtraState, Training, load_checkpoint, whole_checkpoints
from cwpo.training.saving import SHARE, Saver, taken
from tests.cwpo.stage import TRAIN, context

CONFIG = {"train": TRAIN, "precision": "fp32", "seed": 0}


def training(value: float = 1.0, kind=Training) -> Training:
    """A matrix of that value after one step of AdamW."""
    model = torch.nn.Linear(8, 4, bias=False)
    torch.nn.init.constant_(model.weight, value)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    model(torch.ones(8)).sum().backward()
    optimizer.step()
    return kind(model, optimizer, [(1, "loss", 0.5)], ExtraState(values={"epoch": 2}), ALONE)


def saver_of(state: Training, folder, seconds: float = 60.0) -> Saver:
    return Saver(state, context(folder, config=CONFIG, checkpoint_seconds=seconds))


def stored(folder) -> tuple[int, Training]:
    state = training(0.0)
    return load_checkpoint(folder / "checkpoints", state, pytest.fail), state


def test_what_is_written_is_the_state_of_its_step_though_training_goes_on(tmp_path):
    """Twice: the second copy takes the memory of the first."""
    state = training()
    saver = saver_of(state, tmp_path)
    for step in (1, 2):
        with torch.no_grad():
            state.model.weight.fill_(step)
        saver.save(step, whole=False)
        with torch.no_grad():
            state.model.weight.fill_(9.0)
        state.points.append((9, "loss", 9.0))
        saver.close()
        done, found = stored(tmp_path)
        assert done == step
        assert (found.model.weight == step).all()
        assert len(found.points) == step
        assert found.extra.values == {"epoch": 2}


def test_the_interval_grows_until_checkpoints_cost_three_percent(tmp_path, monkeypatch):
    """A copy that takes 60 ms may be made every two seconds; the configured interval is the least."""
    clock = SimpleNamespace(now=0.0, thread_time=lambda: 0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(saving, "time", clock)

    @dataclass
    class Slow(Training):
        def tensors(self):
            clock.now += 0.06
            return super().tensors()

    saver = saver_of(training(kind=Slow), tmp_path / "slow", 0.05)
    assert not saver.due()
    clock.now += 0.05
    assert saver.due()
    saver.save(1, whole=False)
    saver.close()
    clock.now += 1.9
    assert not saver.due()
    assert saver.interval == pytest.approx(0.06 / SHARE)
    clock.now += 0.2
    assert saver.due()
    quick = saver_of(training(), tmp_path / "quick", 1000.0)
    quick.save(1, whole=False)
    quick.close()
    assert quick.interval == 1000.0


def test_what_goes_wrong_behind_the_training_is_raised_in_it(tmp_path):
    saver = saver_of(training(), tmp_path)
    (tmp_path / "checkpoints").rmdir()
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    saver.save(1, whole=False)
    with pytest.raises(OSError, match="checkpoints"):
        saver.close()
    saver.close()  # once


def test_a_whole_checkpoint_is_there_when_save_returns_and_so_is_one_without_room_for_a_copy(tmp_path, monkeypatch):
    saver_of(training(), tmp_path / "stop").save(3, whole=True)
    assert stored(tmp_path / "stop")[0] == 3
    monkeypatch.setattr("cwpo.training.saving.free_memory", lambda device: 100)
    saver_of(training(), tmp_path / "tight").save(4, whole=False)
    assert stored(tmp_path / "tight")[0] == 4


@pytest.mark.parametrize(
    ("size", "pinned", "expected"),
    [(0, True, 0), (1, True, 1), (4096, True, 4096), (4097, True, 8192), (3 * 2**30, True, 2**32), (4097, False, 4097)],
)
def test_a_pinned_copy_takes_the_next_power_of_two(size, pinned, expected):
    assert taken(size, pinned=pinned) == expected


@pytest.mark.parametrize(("free", "room"), [(1.25 * 3 * 2**32, True), (1.24 * 3 * 2**32, False)])
def test_copies_of_a_cards_tensors_have_room_where_their_blocks_have(tmp_path, monkeypatch, free, room):
    """Three tensors of 3 GB on a card are copied into three blocks of 4 GB."""
    monkeypatch.setattr("cwpo.training.saving.free_memory", lambda device: int(free))
    tensors = dict.fromkeys("abc", SimpleNamespace(nbytes=3 * 2**30, is_cuda=True))
    assert saver_of(training(), tmp_path)._has_room(tensors) is room


def test_checkpoints_of_earlier_versions_are_read(tmp_path):
    """Their header knew neither parts nor counted updates, and they lay alone in the folder, without a checksum."""
    saver_of(training(3.0), tmp_path).save(7, whole=True)
    (newest,) = whole_checkpoints(tmp_path / "checkpoints")
    path = tmp_path / "checkpoints" / CHECKPOINT
    with safe_open(newest / CHECKPOINT, framework="pt") as file:
        header = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    old = {name: header[name] for name in ("step", "names", "extra")}
    shutil.rmtree(newest)
    save_file(tensors, path, metadata={"state": json.dumps(old)})
    step, state = stored(tmp_path)
    assert step == 7
    assert (state.model.weight == 3.0).all()
    assert state.optimizer.state[state.model.weight]["step"] == 7.0
