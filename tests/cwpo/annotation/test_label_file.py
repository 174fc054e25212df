"""Labeling a file: what is written, what is left out and said, and how it goes on after a kill."""

import csv
import gzip
import json
import math
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification
from trl import DPOConfig, DPOTrainer

from cwpo.annotation import label_file, label_rows
from cwpo.annotation.label_file import Labeled, labeler
from cwpo.annotation.label_paths import default_out, read_json
from cwpo.artifacts import ArtifactStore
from cwpo.errors import Cancelled, ConfigError, DataError, ModelError
from cwpo.models.load import load_annotator, save_model
from cwpo.stages.context import WorkContext
from cwpo.stages.plain import to_plain
from tests.cwpo import random_models, small_world, stage

COLUMNS = ["prompt", "chosen", "rejected", "margin", "confidence", "weight", "score_chosen", "score_rejected"]
META = to_plain(stage.settings("annotator", model="tiny"))


def stored(home: Path, digit: str = "a", **changes: object) -> str:
    """The fingerprint of an annotator in the store of this home."""
    fingerprint = digit * 64
    with ArtifactStore(home / "artifacts").build(fingerprint, {"kind": "annotator", "config": META | changes}) as out:
        small_world.annotator_artifact(out)
    return fingerprint


def candidates(count: int = 30, seed: int = 0) -> list[dict[str, str]]:
    pairs = small_world.word_pairs(count, seed)
    rows = [{"prompt": p.prompt, "response_a": p.response_a, "response_b": p.response_b} for p in pairs]
    return [row for row in rows if row["response_a"] != row["response_b"]]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def labeled(source: Path, home: Path, out: Path | None = None, **options) -> Labeled:
    known = labeler("mine", home=home, fingerprint=options.pop("fingerprint", None) or stored_once(home))
    return label_file.label_file(source, out or default_out(source), known, work=WorkContext(**options))


def stored_once(home: Path) -> str:
    return "a" * 64 if (home / "artifacts").exists() else stored(home)


def test_each_row_has_the_annotators_choice_margin_and_confidence(tmp_path):
    """Scores by a forward pass of each response alone; C = 2(σ(Δ) − ½), and the weight is C."""
    rows = candidates(20)
    done = labeled(write(tmp_path / "pairs.jsonl", rows), tmp_path)
    model, tokenizer = load_annotator(
        label_file.ModelRef(artifact=ArtifactStore(tmp_path / "artifacts").path("a" * 64)),
        store=ArtifactStore(tmp_path / "artifacts"), device="cpu", seed=0, dropout=0.0,
    )  # fmt: skip

    def score(prompt: str, response: str) -> float:
        ids = [2, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        ids += [*tokenizer(response, add_special_tokens=False)["input_ids"], 2]
        tensor = torch.tensor([ids])
        return float(model.eval().score(model.model(input_ids=tensor).last_hidden_state[0, -1]).item())

    found = read(done.out)
    assert [list(row) for row in found] == [COLUMNS] * len(rows)
    for given, row in zip(rows, found, strict=True):
        scores = {given[side]: score(given["prompt"], given[side]) for side in ("response_a", "response_b")}
        assert row["prompt"] == given["prompt"]
        assert row["chosen"] == max(scores, key=lambda text: scores[text])
        assert {row["chosen"], row["rejected"]} == set(scores)
        assert row["score_chosen"] == pytest.approx(scores[row["chosen"]], abs=1e-5)
        assert row["margin"] == pytest.approx(row["score_chosen"] - row["score_rejected"], abs=1e-12)
        assert row["confidence"] == row["weight"] == pytest.approx(2 / (1 + math.exp(-row["margin"])) - 1, abs=1e-12)
    assert done.report["labeled"] == done.report["rows"] == len(rows)
    assert done.report["mean_confidence"] == pytest.approx(sum(row["confidence"] for row in found) / len(found))


def test_labels_of_the_file_and_the_order_of_its_responses_change_nothing(tmp_path):
    rows = candidates()
    swapped = [{**row, "response_a": row["response_b"], "response_b": row["response_a"]} for row in rows]
    human = [{"prompt": row["prompt"], "chosen": row["response_a"], "rejected": row["response_b"]} for row in rows]
    human_too = [{"prompt": row["prompt"], "chosen": row["rejected"], "rejected": row["chosen"]} for row in human]
    files = [write(tmp_path / f"{number}.jsonl", each) for number, each in enumerate((rows, swapped, human, human_too))]
    found = [labeled(file, tmp_path).out.read_bytes() for file in files]
    assert len(set(found)) == 1


def test_ties_do_not_choose_what_the_file_calls_chosen(tmp_path):
    """A head of zeros scores all the same: the choice falls by hash, not by column."""
    fingerprint = "b" * 64
    with ArtifactStore(tmp_path / "artifacts").build(fingerprint, {"kind": "annotator", "config": META}) as out:
        model = random_models.scorer("opt")
        model.score.weight.data.zero_()
        save_model(model, small_world.word_tokenizer(), out, form="annotator", parent=None)
    rows = [{"prompt": r["prompt"], "chosen": r["response_a"], "rejected": r["response_b"]} for r in candidates(60)]
    found = read(labeled(write(tmp_path / "p.jsonl", rows), tmp_path, fingerprint=fingerprint).out)
    assert {row["margin"] for row in found} == {row["weight"] for row in found} == {0.0}
    same = sum(row["chosen"] == given["chosen"] for row, given in zip(found, rows, strict=True))
    assert 15 < same < 45


def test_rows_that_cannot_be_labeled_are_counted_by_reason_and_line(tmp_path):
    good = candidates(3)
    bad = [
        {"prompt": "w5", "response_a": "w6", "response_b": "w6"},
        {"prompt": "w5", "response_a": " ", "response_b": "w6"},
        {"prompt": "w5", "response_a": "w7"},
        {"prompt": "w5", "response_a": " ".join(["w6"] * 500), "response_b": "w7"},
        {"prompt": [{"role": "user", "content": "w5"}], "response_a": "w6", "response_b": "w7"},
    ]
    source = write(tmp_path / "pairs.jsonl", [*good, *bad, good[0]])
    source.write_text(source.read_text() + "{half a row\n")
    done = labeled(source, tmp_path)
    wanted = {"empty": 1, "equal": 1, "other_form": 1, "too_long": 1, "unparsable": 2}
    assert done.report["rejected"] == wanted
    assert (done.report["rows"], done.report["labeled"]) == (len(good) + len(bad) + 2, len(good) + 1)
    lines = {(example["reason"], example["line"]) for example in done.report["rejected_examples"]}
    first = len(good) + 1
    assert lines == {
        ("equal", first), ("empty", first + 1), ("unparsable", first + 2), ("too_long", first + 3),
        ("other_form", first + 4), ("unparsable", first + 6),
    }  # fmt: skip
    assert json.loads(Path(f"{done.out}.report.json").read_text()) == done.report
    assert [row["prompt"] for row in read(done.out)] == [row["prompt"] for row in [*good, good[0]]]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_every_form_of_input_gives_the_same_rows(tmp_path, ending):
    rows = candidates()
    source = tmp_path / f"pairs{ending}"
    if ending == ".csv":
        with source.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif ending == ".parquet":
        small = label_rows.pa.Table.from_pylist(rows)
        pq.write_table(small, source)
    else:
        opened = gzip.open if ending.endswith("gz") else open
        with opened(source, "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    plain = labeled(write(tmp_path / "plain.jsonl", rows), tmp_path)
    done = labeled(source, tmp_path)
    assert done.out.name == ("pairs.labeled.parquet" if ending == ".parquet" else "pairs.labeled.jsonl")
    found = pq.read_table(done.out).to_pylist() if ending == ".parquet" else read(done.out)
    assert found == read(plain.out)


def test_a_damaged_window_is_labeled_again(tmp_path, monkeypatch):
    """One byte of the first of two finished windows: it is set aside and said, and the file is the same."""
    monkeypatch.setattr(label_file, "WINDOW", 8)
    source = write(tmp_path / "pairs.jsonl", candidates(30))
    whole = labeled(source, tmp_path, tmp_path / "whole.jsonl")
    for _ in range(2):  # what was set aside before is in nobody's way
        stops = iter([False] * 4 + [True])
        with pytest.raises(Cancelled):
            labeled(source, tmp_path, tmp_path / "cut.jsonl", should_stop=lambda stops=stops: next(stops))
        part = tmp_path / "cut.jsonl.parts" / "000000.sealed"
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 1
        part.write_bytes(content)
    again = labeled(source, tmp_path, tmp_path / "cut.jsonl")
    assert again.out.read_bytes() == whole.out.read_bytes()
    assert not (tmp_path / "cut.jsonl.parts").exists()


def test_a_killed_labeling_scores_only_the_windows_that_are_left(tmp_path, monkeypatch):
    """Windows of 8 of 30 pairs: killed before the third, the second attempt scores the other two."""
    monkeypatch.setattr(label_file, "WINDOW", 8)
    rows = candidates(30)
    assert len(rows) == 30
    rows.insert(3, {"prompt": "w5", "response_a": " ".join(["w6"] * 500), "response_b": "w7"})
    source = write(tmp_path / "pairs.jsonl", rows)
    whole = labeled(source, tmp_path, tmp_path / "whole.jsonl")
    stops = iter([False] * 4 + [True])  # asked before each window and before its one batch
    with pytest.raises(Cancelled):
        labeled(source, tmp_path, tmp_path / "cut.jsonl", should_stop=lambda: next(stops))
    assert not (tmp_path / "cut.jsonl").exists()
    scored = []
    real = label_file.score_pairs
    monkeypatch.setattr(label_file, "score_pairs", lambda *given, **more: scored.append(1) or real(*given, **more))
    again = labeled(source, tmp_path, tmp_path / "cut.jsonl")
    assert len(scored) == 2
    assert again.out.read_bytes() == whole.out.read_bytes()
    names = ("labeled", "rejected", "rejected_examples", "prompts_cut", "mean_confidence", "rows")
    assert [again.report[name] for name in names] == [whole.report[name] for name in names]
    assert again.report["rejected"] == {"too_long": 1}
    assert not (tmp_path / "cut.jsonl.parts").exists()
    same = labeled(source, tmp_path, tmp_path / "cut.jsonl")
    assert (same.reused, len(scored)) == (True, 2)


def test_windows_of_another_annotator_or_file_are_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(label_file, "WINDOW", 8)
    source = write(tmp_path / "pairs.jsonl", candidates(30))
    out = tmp_path / "out.jsonl"
    stored(tmp_path)
    other = stored(tmp_path, "c", max_length=20)
    stops = iter([False] * 4 + [True])  # asked before each window and before its one batch
    with pytest.raises(Cancelled):
        labeled(source, tmp_path, out, should_stop=lambda: next(stops))
    calls = []
    real = label_file.score_pairs
    monkeypatch.setattr(label_file, "score_pairs", lambda *given, **more: calls.append(1) or real(*given, **more))
    labeled(source, tmp_path, out, fingerprint=other)
    assert len(calls) == 4
    with pytest.raises(ConfigError, match=r"--out: .*out\.jsonl exists and is not from this labeling"):
        labeled(source, tmp_path, out)


def test_two_labelings_do_not_write_one_file(tmp_path, monkeypatch):
    """The second is refused while the first is at it, and loses it nothing; afterwards the way is free."""
    monkeypatch.setattr(label_file, "WINDOW", 8)
    source, out = write(tmp_path / "pairs.jsonl", candidates(30)), tmp_path / "out.jsonl"
    stored(tmp_path)
    seen = []

    def meanwhile() -> bool:
        if not seen:
            seen.append(1)
            with pytest.raises(ConfigError, match=r"--out: out\.jsonl is being written by another labeling"):
                labeled(source, tmp_path, out)
        return False

    first = labeled(source, tmp_path, out, should_stop=meanwhile)
    assert seen
    assert {path.name for path in tmp_path.glob("out.jsonl*")} == {"out.jsonl", "out.jsonl.report.json"}
    assert len(read(first.out)) == first.report["labeled"] == 30
    assert labeled(source, tmp_path, out).reused


def test_what_another_labeling_ended_meanwhile_is_not_written_over(tmp_path, monkeypatch):
    """Between the first look at the file and the lock: of the same job it is taken, of another it is refused."""
    source, out = write(tmp_path / "pairs.jsonl", candidates(10)), tmp_path / "out.jsonl"
    stored(tmp_path)
    other = stored(tmp_path, "c", max_length=20)
    labeled(source, tmp_path, out)
    real, looks = label_file._finished, []

    def blind_once(*given):
        looks.append(1)
        return None if len(looks) == 1 else real(*given)

    monkeypatch.setattr(label_file, "_finished", blind_once)
    assert labeled(source, tmp_path, out).reused
    looks.clear()
    with pytest.raises(ConfigError, match="exists and is not from this labeling"):
        labeled(source, tmp_path, out, fingerprint=other)


def test_a_labeling_that_was_killed_while_it_began_goes_on(tmp_path):
    """Its folder holds half of a job, or windows without one: both are its own."""
    source, parts = write(tmp_path / "pairs.jsonl", candidates(10)), tmp_path / "out.jsonl.parts"
    stored(tmp_path)
    for left in ("job.json.partial", "000000.parquet", "000001.partial", "000001.sealed.partial"):
        parts.mkdir()
        (parts / left).write_text("{")
        (tmp_path / "out.jsonl").unlink(missing_ok=True)
        (tmp_path / "out.jsonl.report.json").unlink(missing_ok=True)
        assert labeled(source, tmp_path, tmp_path / "out.jsonl").report["labeled"] == 10


def test_a_file_or_folder_of_somebody_else_is_left_alone(tmp_path):
    source = write(tmp_path / "pairs.jsonl", candidates(4))
    with pytest.raises(ConfigError, match="exists and is not from this labeling"):
        labeled(source, tmp_path, source)
    parts = tmp_path / "out.jsonl.parts"
    parts.mkdir()
    (parts / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        labeled(source, tmp_path, tmp_path / "out.jsonl")
    assert (parts / "thesis.tex").exists()


@pytest.mark.parametrize("what", ["report", "link to a report", "folder of windows", "lock"])
def test_names_beside_the_output_that_somebody_took_are_left_alone(tmp_path, what):
    """Nothing is written through them, and nothing is computed."""
    source, out = write(tmp_path / "pairs.jsonl", candidates(4)), tmp_path / "out.jsonl"
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    report, parts, lock = (tmp_path / f"out.jsonl.{name}" for name in ("report.json", "parts", "parts.lock"))
    if what == "report":
        report.write_text('{"years": "of work"}')
    elif what == "folder of windows":
        parts.symlink_to(precious)
    else:
        {"lock": lock, "link to a report": report}[what].symlink_to(precious / "thesis.tex")
    with pytest.raises(ConfigError, match="remove it, or choose another"):
        labeled(source, tmp_path, out)
    assert [one.name for one in precious.iterdir()] == ["thesis.tex"]
    assert (precious / "thesis.tex").read_text() == "years of work"
    assert what != "report" or report.read_text() == '{"years": "of work"}'
    assert not out.exists()


def test_a_planted_unfinished_output_is_not_followed(tmp_path):
    source, precious = write(tmp_path / "pairs.jsonl", candidates(10)), tmp_path / "precious"
    precious.write_text("years of work")
    for name in ("out.jsonl.partial", "out.jsonl.report.json.partial"):
        (tmp_path / name).symlink_to(precious)
    assert labeled(source, tmp_path, tmp_path / "out.jsonl").report["labeled"] == 10
    assert precious.read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "out", "sentence"),
    [
        ("", "o.jsonl", "pairs.jsonl has no rows"),
        ('{"text": "x"}\n', "o.jsonl", "None of the 1 rows of pairs.jsonl is a usable pair"),
        ("{}", "o.txt", "o.txt has an ending that cannot be written"),
        ("{}", "no/o.jsonl", "does not exist; make it"),
    ],
)
def test_what_cannot_work_is_one_sentence(tmp_path, content, out, sentence):
    source = tmp_path / "pairs.jsonl"
    source.write_text(content)
    with pytest.raises((DataError, ConfigError), match=sentence):
        labeled(source, tmp_path, tmp_path / out)


def test_a_joint_annotator_is_read_as_what_it_was_trained_as(tmp_path):
    """Nothing says it but the manifest of its artifact."""
    source = write(tmp_path / "pairs.jsonl", candidates(10))
    plain = read(labeled(source, tmp_path, tmp_path / "bt.jsonl").out)
    joint = read(
        labeled(source, tmp_path, tmp_path / "joint.jsonl", fingerprint=stored(tmp_path, "d", kind="joint")).out
    )
    assert [row["margin"] for row in joint] != [row["margin"] for row in plain]
    assert labeler("x", home=tmp_path, fingerprint="d" * 64).kind == "joint"


def test_the_folder_of_an_artifact_is_known_for_what_it_is(tmp_path):
    """Also when it lies in another home."""
    fingerprint = stored(tmp_path, "e", kind="joint", max_length=40)
    folder = ArtifactStore(tmp_path / "artifacts").path(fingerprint)
    known = labeler(str(folder), home=tmp_path / "another")
    assert (known.kind, known.max_length, known.trained) == ("joint", 40, True)


def test_a_model_folder_needs_a_trained_head_of_one_output(tmp_path):
    source = write(tmp_path / "pairs.jsonl", candidates(5))
    folder = small_world.annotator_artifact(tmp_path / "reward")
    (folder / "model.json").unlink()
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.num_labels == 1
    mine = label_file.label_file(source, tmp_path / "o.jsonl", labeler(str(folder), home=tmp_path))
    assert read(mine.out) == read(labeled(source, tmp_path, tmp_path / "same.jsonl").out)
    base = small_world.policy_artifact(tmp_path / "base")
    (base / "model.json").unlink()
    with pytest.raises(ModelError, match="2 outputs"):
        label_file.label_file(source, tmp_path / "p.jsonl", labeler(str(base), home=tmp_path))
    with pytest.raises(ConfigError, match="is not a model folder"):
        labeler("./nowhere", home=tmp_path)
    with pytest.raises(ConfigError, match="without a scalar head"):
        labeler("sandbox/opt-48", home=tmp_path)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("chat", [False, True])
def test_datasets_and_trl_read_the_file(tmp_path, ending, chat):
    rows = candidates(12)
    if chat:
        rows = [{**row, "prompt": [{"role": "user", "content": row["prompt"]}]} for row in rows]
    done = labeled(write(tmp_path / "pairs.jsonl", rows), tmp_path, tmp_path / f"out.{ending}")
    kind = "json" if ending == "jsonl" else "parquet"
    dataset = load_dataset(kind, data_files=str(done.out), split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset.column_names == COLUMNS
    assert all(0 <= weight <= 1 for weight in dataset["weight"])
    if chat:
        assert dataset[0]["chosen"][0]["role"] == "assistant"
    tokenizer = small_world.word_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    trainer = DPOTrainer(
        model=random_models.policy("opt"),
        ref_model=random_models.policy("opt"),
        args=DPOConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape[0] % 2 == 0
    assert "weight" not in batch
    assert len(trainer.train_dataset) == len(rows)


def test_what_is_no_report_of_ours_is_none(tmp_path: Path) -> None:
    """A named pipe, which nobody would ever end, and a file larger than any report."""
    pipe, large, deep = (tmp_path / name for name in ("pipe", "large", "deep"))
    os.mkfifo(pipe)
    large.write_text('{"job": "' + "a" * 2**24 + '"}')
    deep.write_text('{"a": ' + "[" * 5_000 + "]" * 5_000 + "}")
    assert [read_json(path) for path in (pipe, large, deep, tmp_path / "none")] == [{}, {}, {}, {}]
