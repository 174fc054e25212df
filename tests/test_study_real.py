"""The study on real pairs: it stops and goes on, computes nothing twice, and its tables are what its lines say."""

import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import study_real, study_real_report
from benchmarks.annotators import needed
from benchmarks.study_real import Plan, config_of, main, name_of, read_lines
from benchmarks.study_real_report import report
from cwpo.evaluation import card
from cwpo.paper.published import numbers_of
from cwpo.stages import execute
from cwpo.stages.graph import build
from cwpo.stages.resolve import resolve
from cwpo.statistics.intervals import crossed, paired_difference
from cwpo.statistics.shares import share
from cwpo.statistics.simultaneous import Gap, together
from tests.cwpo import tiny

PAIRS, HELD_OUT, LONG = 40, 12, 3
METHODS = ("weak", "cw")


def words(dice: random.Random, count: int, gap: str = " ") -> str:
    return gap.join(dice.choice(tiny.WORDS) for _ in range(count))


def pairs_file(path: Path) -> Path:
    """40 pairs and 12 to hold out, each prompt twice but for its spaces, and three that are too long."""
    dice = random.Random(0)
    prompts = [words(dice, 5) for _ in range((PAIRS + HELD_OUT) // 2)]
    asked = [text for prompt in prompts for text in (prompt, prompt.replace(" ", "  "))]
    rows = [{"prompt": prompt, "chosen": words(dice, 6), "rejected": words(dice, 4)} for prompt in asked]
    rows += [{"prompt": words(dice, 5), "chosen": words(dice, 40), "rejected": words(dice, 4)} for _ in range(LONG)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A tiny model, the file of pairs, a home, and the arguments of a call; stages that are computed are counted, and
    `stop` is how many of them are computed before the program is stopped."""
    monkeypatch.setenv("CWPO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(study_real, "LINES", tmp_path / "lines")
    monkeypatch.setattr(card, "FEWEST", 2)
    found = SimpleNamespace(home=tmp_path / "home", computed=[], stop=None, folder=tmp_path)
    found.file = pairs_file(tmp_path / "tiny_set" / "normalized.jsonl")
    found.plan = Plan(model=str(tiny.save(tmp_path / "model", "opt", context=128)), pairs=PAIRS, longest=40, prompts=12)
    found.arguments = [
        "--data", str(found.file), "--model", found.plan.model, "--methods", *METHODS, "--seeds", "2",
        "--pairs", str(PAIRS), "--longest", "40", "--prompts", "12", "--threads", "1",
    ]  # fmt: skip
    whole = execute.compute_here

    def counted(context: Any) -> Any:
        if len(found.computed) == found.stop:
            raise KeyboardInterrupt
        found.computed.append(context.kind)
        return whole(context)

    monkeypatch.setattr(execute, "compute_here", counted)
    return found


def stages_of(place: SimpleNamespace) -> set[str]:
    """The fingerprints that both parts need under two seeds."""
    found = set()
    for seed in range(2):
        for part, methods in (("annotators", study_real.KINDS), ("policies", METHODS)):
            for method in methods:
                config = resolve(config_of(place.file, place.plan, method, seed), bf16=False, home=place.home)
                specs = build(config)
                slots = needed(specs) if part == "annotators" else list(specs)
                found |= {specs[slot].fingerprint for slot in slots}
    return found


def test_both_parts_go_on_after_a_stop_and_nothing_is_computed_twice(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    place.stop = 18
    with pytest.raises(KeyboardInterrupt):
        main(place.arguments)
    stopped = read_lines("tiny_set")
    assert [line["method"] for line in stopped] == [*study_real.KINDS, "weak"]
    place.stop = None
    assert main(place.arguments) == 0
    lines, first = read_lines("tiny_set"), capsys.readouterr().out
    assert lines[: len(stopped)] == stopped
    wanted = [("annotators", kind) for kind in study_real.KINDS] + [("policies", method) for method in METHODS]
    assert [(line["part"], line["method"], line["seed"]) for line in lines] == [
        (*each, seed) for seed in range(2) for each in wanted
    ]
    assert len(place.computed) == len(stages_of(place))
    assert place.computed.count("data") == 1, "no seed moves pairs or split"

    assert main(place.arguments) == 0
    assert main([*place.arguments, "--report"]) == 0
    assert len(place.computed) == len(stages_of(place))
    assert read_lines("tiny_set") == lines
    tables = report(["tiny_set"], place.plan)
    assert first.endswith(f"{tables}\n")
    for title in ("What is kept", "Accuracy on hidden", "Kinds of annotator", "Calibration", "Accuracy by C", "GRA, %",
                  "CW minus", "The gold reward"):  # fmt: skip
        assert title in tables
    for other in (replace(place.plan, longest=41), replace(place.plan, precision="bf16")):
        assert "Nothing" in report(["tiny_set"], other)
        assert config_of(place.file, other, "cw", 0).model.precision == other.precision
    assert_lines_are_what_they_say(lines)


def assert_lines_are_what_they_say(lines: list[dict[str, Any]]) -> None:
    """Accuracy and mean C again from the pairs, GRA from the prompts; the same pairs and prompts under every seed."""
    labels, answers = ([line for line in lines if line["part"] == part] for part in study_real.PARTS)
    data = labels[0]["data"]
    assert (data["rows"], data["too_long"], data["unusable"]) == (PAIRS + HELD_OUT + LONG, LONG, 0)
    assert (data["pairs"], data["prompts"], data["of_test_prompts"]) == (PAIRS, HELD_OUT, HELD_OUT)
    for line in labels:
        right = [int(digit) for digit in line["right"]]
        assert np.mean(right) == pytest.approx(line["accuracy"])
        sure = study_real_report.thousandths(line["sure"])
        assert np.mean(sure) == pytest.approx(line["mean_confidence"], abs=1e-3)
        assert len(right) == len(sure) == line["hidden"] == line["judged"]
        assert [len(places) for places in line["together"]] == [2] * (line["hidden"] // 2)
    assert len({line["of"] for line in labels}) == len({line["of"] for line in answers}) == 1
    for line in answers:
        assert np.mean(line["outcome"]) == pytest.approx(line["gra"], abs=1e-3)
        assert np.mean(line["logratio"]) == pytest.approx(line["kl"], abs=1e-3)
        assert [len(places) for places in line["together"]] == [2] * (HELD_OUT // 2)
        assert line["card"]["held_out"]
        assert 0 <= line["card"]["q_low"] <= line["card"]["q"] <= line["card"]["q_high"] <= 1


def test_seeds_are_the_outer_loop_and_a_file_that_cannot_be_computed_stops_no_other(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three files: two are taken seed by seed, of the third there are too few prompts, which is said once."""
    monkeypatch.setattr(study_real, "annotator", lambda config, home: {})
    monkeypatch.setattr(study_real_report, "report", lambda names, plan: "")
    other, few = pairs_file(place.folder / "tiny_set" / "noisy_20.jsonl"), place.folder / "few.jsonl"
    few.write_text("".join(place.file.read_text().splitlines(keepends=True)[:4]))
    arguments = [*place.arguments, "--parts", "annotators", "--kinds", "ws", "--data"]
    assert main([*arguments, str(place.file), str(few), str(other)]) == 1
    said = capsys.readouterr().out
    order = [line.split(" annotators ws ") for line in said.splitlines() if " annotators ws " in line]
    assert [(name, rest.split(":")[0]) for name, rest in order] == [
        ("tiny_set", "seed 0"), ("noisy_20", "seed 0"), ("tiny_set", "seed 1"), ("noisy_20", "seed 1"),
    ]  # fmt: skip
    assert said.count("few, annotators: data.test_prompts: asks for 12") == 1
    assert place.computed == []


def test_files_are_told_apart_by_name_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("sets") / "ultrafeedback_1200"
    named = [name_of(folder / file) for file in ("normalized.jsonl.gz", "noisy_label_flip_20.jsonl.gz")]
    assert named == ["ultrafeedback_1200", "noisy_label_flip_20"]
    with pytest.raises(SystemExit):
        main(["--data", "one/tldr/normalized.jsonl", "two/tldr/pairs.jsonl"])
    assert "two files would share the name tldr" in capsys.readouterr().err


def test_a_line_that_a_kill_left_half_written_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_real, "LINES", tmp_path)
    study_real.add_line("one", {"key": "a"})
    with (tmp_path / "one.jsonl").open("a") as file:
        file.write('{"key": "b", "ri')
    assert read_lines("one") == [{"key": "a"}]
    for key in "bc":
        study_real.add_line("one", {"key": key})
    assert [line["key"] for line in read_lines("one")] == ["a", "b", "c"]


# Tables by hand -----------------------------------------------------------------------------------------------------

PLAN = Plan(model="m")
RIGHT = {"weak": ("1101100110", "1001101110"), "ws": ("1100100010", "0001111000")}
TOGETHER = [[0, 1], [4, 5, 6]]
WON = {"weak": ([1, 0, 1, 0, 0.5, 1], [0, 0, 1, 0, 1, 1]), "cw": ([1, 1, 1, 0, 1, 1], [1, 0, 1, 0.5, 1, 1])}


def label_line(kind: str, seed: int) -> dict[str, Any]:
    """C rises from pair to pair: the fifths are pairs 0 and 1, 2 and 3, and so on."""
    figures = dict.fromkeys(("ece", "ece_null_high", "auroc", "confidence_length", "annotator_longer"), 0.1 * seed)
    return {
        "key": f"{kind}{seed}", "part": "annotators", "method": kind, "seed": seed, "plan": asdict(PLAN),
        "revisions": ["f", "m"], "of": "pairs", "data": data(), "hidden": 10, "right": RIGHT[kind][seed],
        "sure": "".join(f"{50 * place:03d}" for place in range(10)), "together": TOGETHER, "human_longer": 0.6,
        "rivals": {"length": [0.55, 0.5, 0.6], "bag of words": [0.5, 0.4, 0.6]}, **figures,
    }  # fmt: skip


def policy_line(method: str, seed: int) -> dict[str, Any]:
    return {
        "key": f"{method}{seed}p", "part": "policies", "method": method, "seed": seed, "plan": asdict(PLAN),
        "revisions": ["f", "m"], "of": "prompts", "data": data(), "outcome": WON[method][seed], "together": [[0, 5]],
        "logratio": [0.5] * 6, "tokens": [40] * 6, "baseline_tokens": [40, 41] * 3, "baseline": "b", "judge": "j",
        "card": {"pairs": 60, "q": 0.7, "q_low": 0.6, "q_high": 0.8, "ties": 0.0, "chose_longer": 0.5,
                 "people_longer": 0.4},
    }  # fmt: skip


def data() -> dict[str, int]:
    return {"rows": 40, "too_long": 3, "unusable": 1, "of_test_prompts": 6, "over": 16, "pairs": 14, "prompts": 6}


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """The lines of a file of two kinds and two methods, and one of another file under the same name."""
    monkeypatch.setattr(study_real, "LINES", tmp_path)
    study_real.add_line("hh_harmless", label_line("weak", 0) | {"key": "old", "seed": 5, "revisions": ["other", "m"]})
    lines = [label_line(kind, seed) for kind in RIGHT for seed in range(2)]
    lines += [policy_line(method, seed) for method in WON for seed in range(2)]
    for line in lines:
        study_real.add_line("hh_harmless", line)
    parts = study_real.PARTS
    return {part: study_real_report.current("hh_harmless", part, PLAN)[0] for part in parts}


def digits(kind: str) -> np.ndarray:
    return np.array([[float(digit) for digit in row] for row in RIGHT[kind]])


def test_accuracy_and_its_difference_are_over_seeds_and_pairs_with_related_pairs_as_one(
    stored: dict[str, list[dict[str, Any]]],
) -> None:
    clusters = [0, 0, 2, 3, 4, 4, 4, 7, 8, 9]
    found = list(study_real_report.labeled("hh_harmless", stored["annotators"]))
    rows = list(study_real_report.accuracy_rows(found))
    for row, kind in zip(rows, RIGHT, strict=True):
        whole = crossed(digits(kind), clusters)
        assert row["accuracy"] == study_real_report.percent(whole.estimate, whole.low, whole.high)
        assert row["accuracy"] != study_real_report.percent(*_ends(crossed(digits(kind))))
        assert (row["seeds"], row["pairs"], row["clusters"]) == (2, 10, 7)
        assert row["length alone"] == "55.0 [50.0, 60.0]"
    assert [row["accuracy"].split()[0] for row in rows] == ["60.0", "40.0"]  # 12 and 8 of 20
    (gap,) = study_real_report.kind_rows(found)
    whole = paired_difference(digits("ws"), digits("weak"), clusters)
    assert gap["accuracy, points"] == study_real_report.points(*_ends(whole))
    assert gap["accuracy, points"].startswith("−20.0 [")


def _ends(found: Any) -> tuple[float, float, float]:
    return found.estimate, found.low, found.high


def test_accuracy_by_c_is_in_fifths_where_tenths_hold_few_pairs(stored: dict[str, list[dict[str, Any]]]) -> None:
    """Pairs 0 and 1 of both seeds: 3 of 4 right; pairs 8 and 9: 2 of 4. With 600 pairs there are tenths."""
    found = list(study_real_report.labeled("hh_harmless", stored["annotators"]))
    row = next(study_real_report.confidence_rows(found))
    assert list(row)[3:] == ["pairs each", *(f"{number} of 5" for number in range(1, 6))]
    assert [row[f"{number} of 5"].split()[0] for number in range(1, 6)] == ["75.0", "50.0", "50.0", "75.0", "50.0"]
    many = {**stored["annotators"][2], "right": "10" * 300, "sure": "500" * 600, "together": []}
    row = next(study_real_report.confidence_rows(list(study_real_report.labeled("x", [many]))))
    assert (row["pairs each"], "10 of 10" in row) == (60, True)


def test_the_papers_accuracy_is_read_from_its_data(stored: dict[str, list[dict[str, Any]]]) -> None:
    """Of the same set with 30 % labels: what its own file has, and ours beside the same quantity alone."""
    found = list(study_real_report.labeled("hh_harmless", stored["annotators"]))
    rows = list(study_real_report.paper_rows(found))
    numbers = [
        number for table in study_real_report.PAPER for number in numbers_of(table)
        if (number.dataset, number.metric, number.label_fraction) == ("hh-harmless", "accuracy", 0.3)
    ]  # fmt: skip
    assert [row["its accuracy"] for row in rows] == [f"{100 * number.value:.1f}" for number in numbers]
    assert {row["paper"] for row in rows} == set(study_real_report.PAPER)
    assert len(numbers) > 8
    for row, number in zip(rows, numbers, strict=True):
        kind = "ws" if number.method == "ws" else "weak"
        same = kind == "weak" or study_real_report.NO_SFT in number.setting
        estimate = {"weak": "60.0", "ws": "40.0"}[kind]
        assert row["ours"].split()[0] == (estimate if same else study_real_report.NONE)
    names = ("hh_harmless", "harmless-base", "tldr_1000", "ultrafeedback_1200", "noisy_label_flip_20", "hhh")
    assert list(map(study_real_report.paper_dataset, names)) == ["hh-harmless", "hh-harmless", "tldr", None, None, None]


def test_gra_and_differences_are_those_of_the_product_with_related_prompts_as_one(
    stored: dict[str, list[dict[str, Any]]],
) -> None:
    sets, clusters = {"hh_harmless": stored["policies"]}, ["0", "1", "2", "3", "4", "0"]
    rows = {row["method"]: row for row in study_real_report.gra_rows(sets)}
    whole = share(np.array(WON["cw"]), clusters)
    assert rows["CW"]["GRA"] == study_real_report.percent(*_ends(whole))
    assert rows["CW"]["GRA"] != study_real_report.percent(*_ends(share(np.array(WON["cw"]))))
    (row,) = study_real_report.difference_rows(sets)
    cells = pd.DataFrame(np.array(WON["cw"]) - np.array(WON["weak"]), columns=list("012345"))
    (gap,) = together([Gap(first="cw", second="weak", cells=cells, clusters={"0": "0", "5": "0"})])
    assert row["points"] == study_real_report.points(*_ends(gap))
    assert (row["difference"], row["seeds"]) == ("CW − Weak labels", 2)
    (judge,) = study_real_report.card_rows(sets)
    assert (judge["agrees with people"], judge["said"]) == ("70.0 [60.0, 80.0]", "")


def test_a_table_has_lines_of_one_file_and_says_how_many_are_left_out(
    stored: dict[str, list[dict[str, Any]]],
) -> None:
    assert [line["key"] for line in stored["annotators"]] == ["weak0", "weak1", "ws0", "ws1"]
    tables = report(["hh_harmless"], PLAN)
    assert tables.endswith("Lines of other settings, files or models, which are in no table: 1.")
    kept = tables.split("\n\n")[1].splitlines()[1].split()
    assert kept == ["hh_harmless", "40", "3", "1", "6", "6", "16", "14", "4", "10"]
