"""A file labeled from the Annotators page: started by the button, followed on the page, there when it says so."""

import json
import sys
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from cwpo.annotation import label_paths
from tests.app.named import annotator_page, named, run_of
from tests.app.visits import Computed, words
from tests.workers.workplace import wait_for
from workers import api
from workers.queue import labelings

SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")
HOSTILE = "<b>x</b> [y](http://z)"


def asked(page: AppTest, path: str, out: str = "") -> str:
    """What the page says after the button."""
    page.text_input(key="label_path").set_value(path)
    page.text_input(key="label_out").set_value(out)
    page.button(key="label_it").click().run()
    assert not page.exception
    return words(page)


def test_the_button_labels_a_file_of_this_machine(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = run_of(computed, "cw")
    api.name_annotator(run, "for-files")
    rows = [{"prompt": f"w{n}", "response_a": "w5 w6", "response_b": f"w{n} w9 w8"} for n in range(10, 20)]
    source = tmp_path / f"{HOSTILE.replace('/', '_')}.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "w5"}]))
    out = label_paths.default_out(source)
    page = annotator_page(run)
    assert "The path is one on the machine that runs this dashboard" in words(page)
    start = labelings.start_apart
    with monkeypatch.context() as patch:  # one that has done nothing yet when it is stopped, however late that is
        patch.setattr(
            labelings, "start_apart", lambda command, *rest, **more: start([*SLEEPS, *command], *rest, **more)
        )
        said = asked(page, str(source))
        assert f"Labeling {source} into {out}." in said
        assert f"Labeling {source} for " in said
        assert "the first 2,048 rows are not finished yet." in said
        page.button(key="stop_0").click().run()
    assert "It was stopped before its end. Nothing of it was finished yet." in words(page)
    page.button(key="go_on_0").click().run()
    process = psutil.Process(json.loads(labelings._record_of(out).read_text())["pid"])
    process.suspend()
    assert "is being written by another labeling; wait for it." in asked(page, str(source))
    process.resume()
    fingerprint = named("for-files").fingerprint
    wait_for(lambda: labelings.newest(fingerprint)[0].status != labelings.RUNNING)
    page.run()
    assert not page.exception
    report = json.loads(label_paths.report_of(out).read_text())
    assert (report["labeled"], report["annotator"]) == (10, "for-files@1")
    said = words(page)
    assert f"10 of 11 rows labeled, mean confidence {report['mean_confidence']:.3f}; left out: 1 unparsable" in said
    assert str(out) in said
    assert len(out.read_text().splitlines()) == 10
    api.forget_annotator("for-files", 1)
    assert not any(button.key in ("stop_0", "go_on_0") for button in page.button)


@pytest.mark.parametrize(
    ("path", "out", "sentence"),
    [
        ("", "", "File: give the path of a JSONL, JSONL.gz, Parquet or CSV file."),
        ("/no/where.jsonl", "", "File: /no/where.jsonl does not exist; give a JSONL"),
        (__file__, "", "test_annotator_file.py has an ending that cannot be read: use one of .jsonl"),
        (__file__, "/tmp/out.txt", "out.txt has an ending that cannot be written: use one of .jsonl"),
    ],
)
def test_what_cannot_be_labeled_is_a_sentence_on_the_page(
    computed: Computed, path: str, out: str, sentence: str
) -> None:
    assert sentence in asked(annotator_page(run_of(computed, "cw")), path, out)
