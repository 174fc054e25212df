"""Puts the stored results into docs/performance.md, between its markers: `python -m benchmarks.report`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
TITLES = {
    "dpo-": "A step of DPO, {}",
    "plain-": "A step of DPO against a plain loop, {}",
    "scoring-": "Annotator, {}",
    "where-": "Where the time of a step goes, {}",
    "sampling-": "Sampling, {}",
    "gpu-": "On a GPU, {}",
}


def main() -> None:
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n\n{figures(RESULTS)}\n{END}{tail}")
    print(f"{PAGE} is up to date.")


def figures(folder: Path) -> str:
    """One section per result file."""
    sections = []
    for path in sorted(folder.glob("*.json")):
        stored = json.loads(path.read_text())
        if path.stem.startswith("pages-large"):
            sections.append(_pages(stored))
        if path.stem == "soak":
            sections.append(_soak(stored))
        lines = list(_section(path.stem, stored.get("summary") or {}))
        if lines:
            sections.append("\n".join([f"### {_title(path.stem)}", "", _said(stored), "", *lines]))
    return "\n\n".join(sections) + "\n"


def _pages(stored: Mapping[str, Any]) -> str:
    """Each page of the dashboard over the large database."""
    said = f"{stored['date'][:10]}; {stored['machine']['cores']} cores; {stored['versions']['chromium']}"
    if bare := stored.get("bare"):
        said += f". A page of Streamlit's with one list and nothing else: {bare['first_content']['median']:.2f} s"
    rows = [
        {
            "page": name,
            "first content, s": f"{page['first_content']['median']:.2f}",
            "worst": f"{page['first_content']['worst']:.2f}",
            "server, s": f"{page['server']['wall']['median']:.2f}",
            "p95": f"{page['server']['wall']['p95']:.2f}",
            "queries": page["server"]["queries"],
            "in a new browser": page["server"]["queries_first"],
        }
        for name, page in stored["pages"].items()
    ]
    title = f"### Pages over 10,000 runs and 1,000,000 pairs, {stored['database']['kind']}"
    return "\n".join([title, "", f"{said}.", "", *_rows(rows)])


def _soak(stored: Mapping[str, Any]) -> str:
    """The web process under browser sessions on live runs."""
    found = stored["summary"]
    units = {"rss_mb": "resident memory, MB", "private_mb": "written by it alone, MB"}
    rows = [
        {"": units.get(name, name), "minute 6": found[name][0], "last minute": found[name][1],
         "growth": f"{found[f'{name}_growth']:.1%}" if name in units else None}
        for name in (*units, "connections", "sockets", "files", "threads")
    ]  # fmt: skip
    said = f"{stored['date']}; {stored['sessions']} browser sessions on live runs for {found['minutes']:.0f} minutes"
    return "\n".join(["### Soak", "", f"{said}; goal: at most 10 % of growth.", "", *_rows(rows)])


def _title(name: str) -> str:
    prefix = next((prefix for prefix in TITLES if name.startswith(prefix)), None)
    return TITLES[prefix].format(name.removeprefix(prefix)) if prefix else name.replace("_", " ").capitalize()


def _said(stored: Mapping[str, Any]) -> str:
    machine = stored["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("torch", "transformers", "trl") if machine.get(name))
    place = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} threads"
    return f"{stored['date']}; {place}; {versions}."


def _section(name: str, summary: Mapping[str, Any]) -> Iterator[str]:
    if name.startswith("dpo-"):
        yield from _rows([{"variant": k, "s/pair": v} for k, v in summary["seconds_per_pair"].items()])
        yield from _rows([{"how many times ours": k, "×": v} for k, v in summary["ratios"].items() if v is not None])
        yield from _rows([{"precision": k, "utilisation": v} for k, v in summary["utilisation"].items()])
        yield from _rows(summary["goals"])
    elif name.startswith("sampling-"):
        yield from _rows(summary["rows"])
    elif name.startswith("plain-"):
        yield from _rows([{"variant": k, "s/pair": v} for k, v in summary["seconds_per_pair"].items()])
        yield from _rows([{"how many times ours": k, "×": v} for k, v in summary["ratios"].items()])
        yield from _rows(summary["goals"])
    elif name.startswith("scoring-"):
        yield from _rows([{"ratio": k, "×": v} for k, v in summary["ratios"].items()])
        yield from _rows(summary["goals"])
    elif name.startswith("where-"):
        kinds = list(next(iter(summary.values()), {}))
        yield from _rows([{"work": kind, **{p: shares[kind] for p, shares in summary.items()}} for kind in kinds])
    elif name.startswith("gpu-"):
        yield from _rows(summary["goals"])
        for part, rows in summary["parts"].items():
            yield f"By {part}:"
            yield ""
            yield from _rows(_filled([{"row": row, **values} for row, values in rows.items()]))
    elif name == "memory":
        kept = ("budget", "vocabulary", "pairs", "label", "tokens", "growth_mb", "all_logits_padded_mb")
        for what, sizes in summary.items():
            yield f"By {what}:"
            yield ""
            yield from _rows([{key: row[key] for key in kept if key in row} for row in sizes])
    elif name == "tokenize":
        yield from _rows([summary["all"]])
        yield from _rows(summary["stages"])
    elif name == "sweep":
        yield from _rows([summary["compute"]])
        yield from _rows(summary["stages"])
    elif name == "demo":
        yield from _rows([summary])


def _filled(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All rows with the keys of all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]


def _rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A Markdown table and an empty line."""
    if not rows:
        return
    names = list(rows[0])
    yield "| " + " | ".join(names) + " |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield "| " + " | ".join("–" if row.get(name) is None else str(row[name]) for name in names) + " |"
    yield ""


if __name__ == "__main__":
    main()
