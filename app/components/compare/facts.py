"""The caption of Compare: what all the runs shown have in common, and on what terms GRA is counted."""

from collections.abc import Sequence

from app.components.frame.formats import counted, dataset_name, models, share
from cwpo.compare.configured_run import Configs
from cwpo.compare.gra import GraRow
from cwpo.config.catalog import objective_label
from cwpo.report.gra_terms import terms
from db.records import RunRow


def facts(rows: Sequence[RunRow], table: Sequence[GraRow], configs: Configs) -> list[str]:
    """settings · models · data · labels · objective · seeds · prompts · opponent · tie rule · judge · decoding."""
    words = [counted(len({row.group_key for row in rows}), "setting")]
    words.append(_same({models(row.annotator, row.policy) for row in rows if row.annotator}, "several model pairs")
                 or _same({models(None, row.policy) for row in rows}, "several policies"))  # fmt: skip
    words.append(_same({dataset_name(row.dataset) for row in rows}, "several datasets"))
    words.append(_same({f"{share(row.label_fraction)} labels" for row in rows}, "several label fractions"))
    words.append(_same({objective_label(row.objective) for row in rows}, "several objectives"))
    words.append(counted(len({row.seed for row in rows}), "seed"))
    if table:
        words.append(_same({counted(row.n_prompts, "prompt") for row in table}, "several prompt sets"))
        words += terms(rows, configs).words
    return [word for word in words if word]


def _same(values: set[str], otherwise: str) -> str:
    return next(iter(values)) if len(values) == 1 else (otherwise if values else "")
