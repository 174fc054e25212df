"""What the run that a form starts from failed by, and where on the form the settings of that stage stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.components.form.fields import tab_of
from app.reads import results
from cwpo.stages.graph import slot_name
from db import queries
from db.errors import UnknownRun

# The part of the configuration that a kind of stage takes most of its settings from.
PARTS_OF: Mapping[str, str] = {
    "data": "data",
    "annotator": "annotator",
    "calibration": "annotator",
    "labels": "annotator",
    "sft": "sft",
    "reference": "align",
    "align": "align",
    "online": "align",
    "samples": "evaluation",
    "gold": "evaluation",
    "scores": "evaluation",
    "evaluation": "evaluation",
    "along": "evaluation",
    "best_of": "evaluation",
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """`tab`: of the settings of the stage that failed; empty where no tab has them."""

    said: str
    tab: str = ""


def failure_of(run_id: int) -> Failure | None:
    """Nothing where the run did not fail, or is gone."""
    try:
        with results.reading() as session:
            run = queries.get_run(session, run_id)
            stages = queries.run_stages(session, run_id) if run.status == "failed" else ()
    except UnknownRun:
        return None
    found = next((stage for stage in stages if stage.status == "failed"), None)
    if found is None:
        return None
    part = PARTS_OF.get(found.kind, "")
    said = f"Run {run_id} failed in the stage {slot_name(found.slot)}. {found.error or run.error or ''}".strip()
    return Failure(said=said, tab=tab_of(part) if part else "")
