"""What an unfinished stage keeps and somebody damages: always noticed, said, set aside, and the result is the same.

FLIPS: how many times each file of each kind is damaged, at random places.
"""

import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from cwpo.annotation.labeling import run_labels
from cwpo.data.pairs import write_prompts
from cwpo.errors import Cancelled, Damaged
from cwpo.evaluation.generation import PARTIAL_FILE, read_samples, run_samples
from cwpo.records import Prompt
from cwpo.sealed import ASIDE, damage_of, read_sealed, sealed_folder, write_sealed
from cwpo.training.checkpoints import whole_checkpoints
from cwpo.training.loop import train
from tests.cwpo import small_world, tiny
from tests.cwpo.stage import TRAIN, context, training

FLIPS = int(os.environ.get("FLIPS", "2"))
STEPS, STOPPED = 9, 6
WAYS = ("flipped", "cut", "missing")


def damage(file: Path, way: str, dice: random.Random) -> None:
    """One bit turned over, the end cut off at any place, or the file gone."""
    content = bytearray(file.read_bytes())
    at = dice.randrange(len(content))
    if way == "missing":
        file.unlink()
        return
    content[at] ^= 1 << dice.randrange(8)
    file.write_bytes(content if way == "flipped" else content[:at])


def trained(folder: Path, stop: int = 0):
    """Nine steps of AdamW on a matrix, stopped behind a step; checkpoints behind every step."""
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 3)
    asked = iter(range(1, STEPS + 2))
    ctx = context(
        folder, config={"train": TRAIN, "precision": "fp32", "seed": 0}, checkpoint_seconds=0.0,
        should_stop=lambda: next(asked) == stop,
    )  # fmt: skip

    def loss(step: int):
        return (model(torch.full((6,), 1.0 + step)) - step).square().mean(), {}

    try:
        result = train(model, lambda step: [step], loss, steps=STEPS, config=training(lr=0.1), ctx=ctx)
    except Cancelled:
        return None, ctx
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    return (result.first_step, weights, result.history.points), ctx


def same(found, expected) -> bool:
    return found[2] == expected[2] and all(
        torch.equal(one, two) for one, two in zip(found[1], expected[1], strict=True)
    )


def test_two_checkpoints_are_kept_and_a_third_is_never_begun(tmp_path: Path) -> None:
    _, ctx = trained(tmp_path, stop=STOPPED)
    assert [folder.name for folder in whole_checkpoints(ctx.checkpoints)] == ["step-000000005", "step-000000006"]
    assert all(damage_of(folder) is None for folder in whole_checkpoints(ctx.checkpoints))


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_checkpoint_is_said_and_the_weights_are_those_of_an_undisturbed_training(
    tmp_path: Path, way: str
) -> None:
    """Any bit of any file of the newest: on from the one before. Of the one before: nothing is read of it."""
    expected, _ = trained(tmp_path / "whole")
    _, stopped = trained(tmp_path / "stopped", stop=STOPPED)
    files = [file for folder in whole_checkpoints(stopped.checkpoints) for file in folder.iterdir()]
    assert len(files) == 4
    dice = random.Random(way)
    for number in range(FLIPS):
        for file in files:
            place = tmp_path / f"{number}-{file.parent.name}-{file.name}"
            shutil.copytree(stopped.checkpoints.parent, place)
            newest = file.parent.name.endswith("6")
            damage(place / "checkpoints" / file.parent.name / file.name, way, dice)
            found, ctx = trained(place)
            assert same(found, expected)
            assert found[0] == (5 if newest else 6)
            assert len(ctx.reporter.notes) == newest
            if newest:
                assert "The checkpoint after step 6 (" in ctx.reporter.notes[0]
                assert ctx.reporter.notes[0].endswith("set aside: the stage goes on from the checkpoint after step 5.")
                assert len(list((ctx.checkpoints / ASIDE).iterdir())) == 1


def test_where_both_checkpoints_are_damaged_the_training_begins_anew(tmp_path: Path) -> None:
    expected, _ = trained(tmp_path / "whole")
    _, stopped = trained(tmp_path / "cut", stop=STOPPED)
    for folder in whole_checkpoints(stopped.checkpoints):
        damage(folder / "checkpoint.safetensors", "cut", random.Random(0))
    found, ctx = trained(tmp_path / "cut")
    assert found[0] == 0
    assert same(found, expected)
    assert "after step 6 (" in ctx.reporter.notes[0]
    assert ctx.reporter.notes[0].endswith("set aside: the stage goes on from the start.")


def test_an_unreadable_checkpoint_of_an_earlier_version_is_no_end(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint.safetensors").write_bytes(b"\xff" * 100)
    found, ctx = trained(tmp_path)
    assert found[0] == 0
    assert "of an earlier version (" in ctx.reporter.notes[0]


@pytest.mark.parametrize("way", WAYS)
def test_any_byte_of_a_sealed_file_or_folder_is_noticed(tmp_path: Path, way: str) -> None:
    """Folders in it, as ranks write them, and an empty file too."""
    with sealed_folder(tmp_path / "whole") as folder:
        (folder / "shards").mkdir()
        for name, size in (("a", 3000), ("shards/b", 50), ("shards/c", 50)):
            (folder / name).write_bytes(random.Random(name).randbytes(size))
    write_sealed(tmp_path / "alone", b"some text")
    assert damage_of(tmp_path / "whole") is None
    assert read_sealed(tmp_path / "alone") == b"some text"
    dice = random.Random(way)
    names = sorted(file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").rglob("*") if file.is_file())
    for number in range(10 * FLIPS):
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", place)
        damage(place / names[number % len(names)], way, dice)
        assert damage_of(place)
        shutil.copy(tmp_path / "alone", place / "alone")
        damage(place / "alone", way, dice)
        with pytest.raises(Damaged, match="alone"):
            read_sealed(place / "alone")


def test_a_folder_whose_writing_fails_leaves_the_one_before(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with pytest.MonkeyPatch.context() as patch:
            if content == "new":
                patch.setattr("cwpo.sealed.sha256_of", lambda file: (_ for _ in ()).throw(OSError(28, "full")))
            try:
                with sealed_folder(tmp_path / "kept") as folder:
                    (folder / "content").write_text(content)
            except OSError:
                assert content == "new"
    assert (tmp_path / "kept" / "content").read_text() == "old"
    assert damage_of(tmp_path / "kept") is None
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("way", WAYS)
def test_damaged_windows_of_labels_are_labeled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr("cwpo.annotation.labeling._WINDOW", 20)
    inputs = {
        "data": small_world.data_artifact(tmp_path / "data", small_world.word_pairs(60)),
        "annotator": small_world.annotator_artifact(tmp_path / "annotator"),
    }
    config = {**small_world.PART, "precision": "fp32", "max_length": None, "label_dropout": 0.0, "seed": 0}
    whole = context(tmp_path / "whole", "labels", inputs=inputs, config=config)
    expected = run_labels(whole)
    windows = sorted(whole.checkpoints.glob("annotations-*"))
    assert len(windows) == 3
    dice = random.Random(way)
    for number in range(FLIPS):
        place = tmp_path / str(number)
        shutil.copytree(whole.checkpoints, place / "checkpoints")
        damage(place / "checkpoints" / dice.choice(windows).name, way, dice)
        ctx = context(place, "labels", inputs=inputs, config=config)
        assert run_labels(ctx) == expected
        assert (ctx.out / "annotations.parquet").read_bytes() == (whole.out / "annotations.parquet").read_bytes()
        assert [note.startswith("1 of 3 windows") for note in ctx.reporter.notes] == [True] * (way != "missing")


def test_damaged_answers_are_written_again(tmp_path: Path) -> None:
    """A damaged line anywhere; what is cut at the end of a line is as if it had not been written yet."""
    folder = tiny.save(tmp_path / "model", "opt")
    asked = [Prompt(prompt_id=f"p{at}", prompt=" ".join(tiny.WORDS[at : at + 3])) for at in range(6)]
    (tmp_path / "asked").mkdir()
    write_prompts(asked, tmp_path / "asked")

    def sampling(place: Path):
        config = {
            "model": str(folder), "revision": None, "precision": "fp32", "max_length": None, "evaluation_seed": 0,
            "decoding": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 6, "samples": 2}, "with_reference": False,
        }  # fmt: skip
        return context(place, "samples", inputs={"prompts": tmp_path / "asked"}, config=config)

    whole = sampling(tmp_path / "whole")
    run_samples(whole)
    expected, lines = read_samples(whole.out), len((whole.checkpoints / PARTIAL_FILE).read_bytes().splitlines())
    for way in ("flipped", "cut"):
        dice = random.Random(way)
        for number in range(FLIPS):
            place = tmp_path / f"{way}-{number}"
            shutil.copytree(whole.checkpoints, place / "checkpoints")
            damage(place / "checkpoints" / PARTIAL_FILE, way, dice)
            ctx = sampling(place)
            run_samples(ctx)
            assert read_samples(ctx.out) == expected
            assert len((ctx.checkpoints / PARTIAL_FILE).read_bytes().splitlines()) == lines
            assert way == "cut" or any("answer" in line for line in ctx.reporter.lines)
