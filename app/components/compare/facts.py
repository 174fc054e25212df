"""The caption of Compare: what all the runs shown have in common, and on what terms GRA is counted."""

from collections.abc import Sequence

from app.components.frame.address import compact
from app.components.frame.formats import counted, dataset_name, models, share
from cwpo.compare.configured_run import Configs
from cwpo.compare.gra import GraRow
from cwpo.config.catalog import objective_label
from cwpo.report.gra_terms import seeds_each, terms
from db.records import RunRow


def facts(rows: Sequence[RunRow], table: Sequence[GraRow], configs: Configs) -> list[str]:
    """settings · models · data · labels · objective · seeds · prompts · opponent · tie rule · judge · decoding."""
    words = [counted(len({row.group_key for row in rows}), "setting")]
    words.append(_same({models(row.annotator, row.policy) for row in rows if row.annotator}, "several model pairs")
                 or _same({models(None, row.policy) for row in rows}, "several policies"))  # fmt: skip
    words.append(_same({dataset_name(row.dataset) for row in rows}, "several datasets"))
    words.append(_same({f"{share(row.label_fraction)} labels" for row in rows}, "several label fractions"))
    words.append(_same({objective_label(row.objective) for row in rows}, "several objectives"))
    words.append(seeds_each(rows))
    if table:
        words.append(_same({counted(row.n_prompts, "prompt") for row in table}, "several prompt sets"))
        words += terms(rows, configs).words
    return [word for word in words if word]


def absences(rows: Sequence[RunRow], gone: Sequence[int]) -> list[str]:
    """Which of the runs asked for have no result here, one sentence per cause."""
    said = []
    if gone:
        said.append(f"{_numbered(gone)}: deleted, or never there.")
    waiting = [row for row in rows if row.evaluation is None]
    for status, words in (
        ("failed", "failed and left out"),
        ("cancelled", "cancelled and left out"),
        ("running", "not evaluated yet: running"),
        ("queued", "not evaluated yet: queued"),
        ("done", "done without an evaluation"),
    ):
        found = [row.id for row in waiting if row.status == status]
        if found:
            said.append(f"{_numbered(found)}: {words}.")
    return said


def _numbered(run_ids: Sequence[int]) -> str:
    return f"Run {run_ids[0]}" if len(run_ids) == 1 else f"Runs {compact(tuple(run_ids)).replace(',', ', ')}"


def _same(values: set[str], otherwise: str) -> str:
    return next(iter(values)) if len(values) == 1 else (otherwise if values else "")
