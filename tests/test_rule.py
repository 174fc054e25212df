"""What the rule of a comparison can do: each part of the simulation keeps its own counts, and the page has its rows."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import rule
from tools import rule_tables


def test_a_part_that_is_made_anew_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with the number of tables that its own figures come from."""
    path = tmp_path / "rule.json"
    rule.keep(path, "verdicts", {"tables_per_cell": {"verdicts": 7}, "rows": [{"seeds": 2}]})
    kept = {"tables_per_cell": {"singles": 9}, "rows": [{"seeds": 1}]}
    rule.keep(path, "singles", kept)
    rule.main(["--only", "verdicts", "--tables", "1", "--small", "--out", str(path)])
    found = rule.stored(path)
    assert list(found) == ["singles", "verdicts"]
    assert found["singles"] == kept
    made = found["verdicts"]
    assert (made["tables_per_cell"], len(made["rows"]), made["small"]) == ({"verdicts": 5}, 20, False)
    assert {"date", "machine", "versions", "seconds"} <= made.keys()
    assert "after_false" in capsys.readouterr().out


def test_tables_say_of_how_many_their_errors_and_their_power_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "worlds", lambda small: [rule.World(seeds=1, prompts=40, seed_sd=0.0, differences=1)])
    made = rule.part("tables", 5, small=True)
    assert (made["tables_per_cell"], made["small"], len(made["rows"])) == ({"tables": 5, "power": 2}, True, 1)
    (row,) = made["rows"]
    assert row["after_family_wise"] in np.arange(6) / 5
    assert row["after_power_fixed"] in (0.0, 0.5, 1.0)


def test_every_stored_part_has_its_counts() -> None:
    parts = rule.stored(rule.FILE)
    assert list(parts) == list(rule.PARTS)
    assert [sorted(part["tables_per_cell"]) for part in parts.values()] == [
        ["singles"], ["power", "tables"], ["verdicts"],
    ]  # fmt: skip


@pytest.mark.parametrize("seeds", [3, 8])
def test_a_published_number_that_is_right_is_rarely_called_inconsistent(seeds: int) -> None:
    """Seeds move a result by 3 points, the paper's one seed too."""
    found = rule.verdict_row(seeds, 0.03, 400)
    assert found["after_false"] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_the_page_about_statistics_has_what_was_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert rule_tables.main(write=False) == 0, capsys.readouterr().out


def test_cells_that_cover_too_little_or_too_much_are_named() -> None:
    row = {"seeds": 3, "mean": 0.9, "prompts": 100, "samples": 1, "per_cluster": 1}
    rows = [{**row, "seed_sd": sd, "after_coverage": covered}
            for sd, covered in ((0.0, 0.98), (0.015, 0.97), (0.03, 0.93), (0.06, 0.925))]  # fmt: skip
    more = {**row, "seeds": 1, "samples": 4, "per_cluster": 4, "seed_sd": 0.0, "after_coverage": 0.5}
    text = rule_tables.cells({"rows": [*rows, more]})
    assert "3 of 5 cells lie outside of 93 to 97 %: 2 below (in bold), 1 above." in text
    assert text.splitlines()[-2:] == [
        "| 1 | 90 | 100, 4 answers each, 4 related | 0: **50.0** |",
        "| 3 | 90 | 100 | 0: 98.0; 6: **92.5** |",
    ]
