"""The Data page: its address, the way from it to New run, and what it says of files that lie on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.components.data.found import verdict
from app.components.form.address import form_from
from app.components.frame.data_address import DataView, RunOnData
from cwpo.config.run import RunConfig
from cwpo.config.sweep import firsts
from cwpo.data.profile.job import Split
from tests.app.visits import visit, words
from tests.workers import hub_datasets
from tests.workers.workplace import wait_for
from workers.api import data

COLUMNS = {"instruction": "Frage: 'a', \"b\" & c", "chosen": "gut 👍", "rejected": "b\u2028"}
VIEWS = [
    DataView(),
    DataView(source="/data/my pairs & more/ü?.jsonl"),
    DataView(source="owner/name", columns=COLUMNS, split=Split(test_prompts=12, label_fraction=0.05)),
    DataView(source="owner/name", subset="a b/ü", revision="refs/convert/parquet", columns=COLUMNS),
]


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_looked_at_is_in_the_address(view: DataView) -> None:
    assert DataView.from_params(view.to_params()) == view


@pytest.mark.parametrize(
    "params",
    [{"columns": "{"}, {"columns": '{"wizard": "x"}'}, {"columns": "[" * 9_000}, {"test": "-3", "share": "nan"},
     {"test": "1e99", "share": "2"}, {"test": "5000000", "share": "0.001"}, {"test": "0.5", "share": "0.995"},
     {"columns": '{"chosen": "c"}'}],
)  # fmt: skip
def test_an_address_that_says_nonsense_is_the_beginning(params: dict[str, str]) -> None:
    assert DataView.from_params(params) == DataView()


def test_a_new_run_is_filled_with_the_dataset() -> None:
    target = RunOnData(dataset="/data/pairs.jsonl", columns=COLUMNS, test_prompts=20, label_fraction=0.1)
    values, wrong = form_from(target.to_params(), lambda run: {}).values()
    assert wrong == {}
    part = RunConfig.parse(firsts(values)).data
    assert (part.dataset, part.columns, part.test_prompts) == ("/data/pairs.jsonl", COLUMNS, 20)
    assert part.label_fraction == 0.1


def test_a_new_run_is_filled_with_the_part_of_a_dataset() -> None:
    target = RunOnData(dataset="owner/name", subset="a b", revision="refs/convert/parquet")
    values, wrong = form_from(target.to_params(), lambda run: {}).values()
    assert wrong == {}
    part = RunConfig.parse(firsts(values)).data
    assert (part.dataset, part.subset, part.revision) == ("owner/name", "a b", "refs/convert/parquet")
    plain = RunOnData(dataset="owner/name").to_params()
    assert not {"data.subset", "data.revision"} & set(plain)


def looked(file: Path, **more: str) -> AppTest:
    """The page once all rows were read."""
    page = visit("data", source=str(file), **more)
    view = DataView.from_params({"source": str(file), **more})
    job = data.job_of(str(file), view.columns, view.split)
    wait_for(lambda: data.state(job).status not in ("running", "none"))
    page = visit("data", source=str(file), **more)
    assert not page.exception
    return page


def test_a_file_is_counted_and_its_hostile_texts_are_text(empty: None, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) \u202e :red[x]"
    rows: list[Any] = [{"prompt": f"{evil} {n}", "chosen": f"{evil}!", "rejected": evil} for n in range(30)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": evil}, {evil: evil}]))
    page = looked(file)
    said = words(page)
    assert "It runs, but says little: 30 of 32 rows make pairs" in said
    assert "\u202e" not in "".join(str(element.value) for element in page.get("text"))
    assert not page.button(key="data_use").disabled


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "No: there are no rows."),
        ("[1, 2]\n", "No: none of the 1 row makes a pair"),
        ('{"prompt": "p", "chosen": "a", "rejected": "b"}\n', "too few to hold out test prompts"),
    ],
)
def test_a_file_that_will_not_work_says_no(empty: None, tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(content)
    page = looked(file)
    assert sentence in words(page)


@pytest.mark.parametrize("name", ["gone.jsonl", "broken.json", "broken.parquet", "broken.csv.gz", "rows.txt"])
def test_a_file_that_cannot_be_read_is_a_sentence(empty: None, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name != "gone.jsonl":
        file.write_bytes(b"\x00\xff{broken")
    page = visit("data", source=str(file))
    assert page.error
    assert "Traceback" not in words(page)


def test_the_verdict_follows_the_counts() -> None:
    split = {"test": 10, "labeled": 30, "unlabeled": 70}
    found = {"rows": 130, "pairs": 120, "dropped": {"empty": 10}, "split": split}
    assert verdict(found).startswith("Yes: 120 of 130 rows make pairs; a run as set below trains on 30 labeled")
    assert verdict({**found, "pairs": 0}).startswith("No: none of the 130 rows makes a pair; most are empty.")


def first_read(**params: str) -> AppTest:
    """The page of a dataset of the hub once its first rows were read, or could not be."""
    visit("data", **params)
    view = DataView.from_params(params)
    part = {"subset": view.subset, "revision": view.revision}
    job = data.job_of(view.source, view.columns, Split(), **part, kind="first")
    wait_for(lambda: data.state(job).status not in ("running", "none"))
    page = visit("data", **params)
    assert not page.exception
    return page


def test_a_part_of_a_dataset_of_the_hub_is_found_mapped_and_used(
    empty: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_datasets.hub_in_parts() as hub:
        hub_datasets.reach(hub, tmp_path, monkeypatch)
        page = first_read(source=hub_datasets.PARTS, subset="nowhere")
        named = hub_datasets.NAMES
        assert f"has no subset 'nowhere': check data.subset, which is one of {named}." in words(page)
        assert page.button(key="data_read")
        next(field for field in page.text_input if field.label == "Subset").set_value("clean")
        next(button for button in page.button if button.label == "Look at this part").click().run()
        said = {name: "".join(value) for name, value in dict(page.query_params).items()}
        assert said == {"source": hub_datasets.PARTS, "subset": "clean"}

        page = first_read(**said)
        assert "None of the first 500 rows makes a pair" in words(page)
        assert page.button(key="data_use").disabled
        for role, column in hub_datasets.COLUMNS.items():
            field = next(box for box in page.selectbox if box.label == role)
            field.set_value(column)
        next(button for button in page.button if button.label == "Read by these columns").click().run()
        said = {name: "".join(value) for name, value in dict(page.query_params).items()}
        assert DataView.from_params(said) == DataView(
            source=hub_datasets.PARTS, subset="clean", columns=hub_datasets.COLUMNS
        )
        page = first_read(**said)
        assert "500 of the first 500 rows make pairs." in words(page)
        assert "subset clean" in words(page)
        assert hub_datasets.downloaded(hub) == {"clean/0.jsonl"}
        page.button(key="data_use").click().run()
        assert not page.exception
        values, _ = form_from(dict(page.query_params), lambda run: {}).values()
        part = RunConfig.parse(firsts(values)).data
        assert (part.dataset, part.subset, part.columns) == (hub_datasets.PARTS, "clean", hub_datasets.COLUMNS)
