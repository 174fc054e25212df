"""What is said: one JSON form, whose `text` is all that Slack needs and whose other fields are for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from cwpo.config.catalog import objective_label
from cwpo.report.numbers import interval, percent
from db.records.keeping import EndedRun

LONGEST_ERROR = 500


def of_run(run: EndedRun, web: str) -> dict[str, Any]:
    """About one run that ended."""
    link = f"{web}/run?run={run.id}" if web else ""
    said = f"GRA {percent(run.gra)} (95 %: {interval(run.low, run.high)})" if run.gra is not None else ""
    words = [f"Run {run.id}{_called(run.name)} ({_setting(run)}) {_ended(run)}"]
    words.append(said or (run.error or "")[:LONGEST_ERROR])
    return {
        "text": escaped(": ".join(filter(None, words))) + (f"\n{link}" if link else ""),
        "event": "run",
        **facts(run),
        "url": link or None,
    }


def of_sweep(name: str, runs: Sequence[EndedRun], web: str) -> dict[str, Any]:
    """About all runs of a sweep, when the last one ended: done where each of them is."""
    counts = Counter(run.status for run in runs)
    status = "done" if set(counts) == {"done"} else "failed" if counts["failed"] else "cancelled"
    link = f"{web}/?q={_quoted(name)}" if web else ""
    said = ", ".join(f"{counts[word]} {word}" for word in ("done", "failed", "cancelled") if counts[word])
    error = next((run.error for run in runs if run.error), None)
    words = [f"All {len(runs)} runs of {name} ended: {said}", *([error[:LONGEST_ERROR]] if error else [])]
    return {
        "text": escaped(". ".join(words)) + (f"\n{link}" if link else ""),
        "event": "sweep",
        "sweep": name,
        "status": status,
        "error": error,
        "runs": [facts(run) for run in runs],
        "url": link or None,
    }


def of_test(web: str) -> dict[str, Any]:
    """To try whether messages arrive."""
    return {"text": "A test message: runs that end are told here.", "event": "test", "url": web or None}


def facts(run: EndedRun) -> dict[str, Any]:
    """What a program wants to know of a run; shares in [0, 1]."""
    return {
        "run": run.id, "name": run.name, "sweep": run.sweep, "method": run.method_label, "objective": run.objective,
        "seed": run.seed, "status": run.status, "error": run.error, "finished_at": run.finished_at.isoformat(),
        "gra": run.gra, "gra_low": run.low, "gra_high": run.high,
    }  # fmt: skip


def escaped(text: str) -> str:
    """No name or error may ring everybody or make a link: the three characters that Slack reads."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def with_id(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The same in every try, so that who gets it twice knows."""
    return {"id": key, **body}


def _called(name: str) -> str:
    return f" “{name}”" if name else ""


def _setting(run: EndedRun) -> str:
    return f"{run.method_label}, {objective_label(run.objective)}, seed {run.seed}"


def _ended(run: EndedRun) -> str:
    return {"done": "is done", "failed": "failed", "cancelled": "was cancelled"}[run.status]


def _quoted(text: str) -> str:
    return quote(text, safe="")
