"""Tables in a terminal of any width."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from workers.cli.console import show_table

COLUMNS = ["method", "GRA, %", "95 % interval", "prompts", "KL, nats", "verdict"]
ROWS = [
    ["CW · DPO", "58.3", "43.2 – 72.1", "4,000", "0.55", "cannot be told"],
    ["人間 · DPO", "60.8", "46.0 – 73.9", "4,000", "0.21", "different"],
]


def shown(columns: list[str], rows: list[list[str]], width: int) -> str:
    out = io.StringIO()
    show_table("Gold reward accuracy", columns, rows, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 160])
def test_no_name_is_lost_and_no_figure_is_cut_whatever_the_width(width: int) -> None:
    text = shown(COLUMNS, ROWS, width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert text.count("Gold reward accuracy") == 1
    for row in ROWS:
        lines = [line for line in text.splitlines() if line.strip().startswith(row[0])]
        assert " ".join(" ".join(line.replace(row[0], "").split()) for line in lines) == " ".join(row[1:])
    headings = [line for line in text.splitlines() if line.strip().startswith("method")]
    assert " ".join(" ".join(line.replace("method", "").split()) for line in headings) == " ".join(COLUMNS[1:])


def test_a_table_is_one_where_it_fits() -> None:
    assert shown(COLUMNS, ROWS, 90).count("method") == 1
    assert shown(COLUMNS, [], 90).count("method") == 1


def test_what_is_wider_than_the_terminal_goes_on_below() -> None:
    name, said = "a setting of many words " * 4, "/a/path/that/no/terminal/is/as/wide/as/" * 2
    text = shown(["method", "GRA", "folder"], [[name, "58.3", said]], 50)
    assert "…" not in text
    assert "58.3" in text
    assert max(map(cell_len, text.splitlines())) <= 50
    folded = "".join(line[25:] for line in text.splitlines()).replace(" ", "")
    assert said in folded
    assert text.split().count("setting") == 4 * 2, "the name stands in both parts"
