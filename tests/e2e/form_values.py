"""Another value for every widget of New run, made from the form itself, so that a new field is tried at once."""

from collections.abc import Mapping
from typing import Any

from app.components.form.declared import OTHER, pairs_of
from app.components.form.fields import all_fields
from app.components.form.form import Start

# Where one more, or the next choice, would say nothing.
CHOSEN: Mapping[str, Any] = {
    "name": "every widget",
    "methods": ["weak", "cw", "top"],
    "percents": ["50"],
    "objectives": ["ipo"],
    "seeds": "3, 5",
    "models": list(pairs_of("sandbox"))[1],
    "data.max_pairs": "500",
    "data.label_fraction": "0.2",
    "data.unlabeled_fraction": "0.5",
    "data.mix": "one 0.5 + two 0.5",
    "data.labeled_sources": "facts+ask",
    "data.unlabeled_sources": "math+sum+mood",
    "model.max_length": "96",
    "evaluation.top_p": "0.9",
    "evaluation.judge.kind": ["simulated"],
    OTHER: "salt: again",
}
# One pair of models is chosen from a list, so their names are not on the form.
NOT_DRAWN = ("dataset", "preset", "model.annotator", "model.policy")
# Names that nothing here has, and what other methods cannot have: shown and linked, then put back to be queued.
PUT_BACK = (
    "data.revision", "data.subset", "data.mix", "data.relabels",
    "data.length_rule.tokenizer", "data.length_rule.tokenizer_revision",
    "model.annotator_revision", "model.policy_revision", "model.precision", "annotator.use", "annotator.kind",
    "evaluation.judge.model", "evaluation.judge.revision", "evaluation.judge.verdicts",
    "evaluation.along.second", "evaluation.along.second_revision",
    "align.online", "align.online.refresh_every", "align.online.temperature", "align.online.max_new_tokens",
    "weighting.name", "evaluation.gold_revision", "evaluation.gold_model", "execution.device",
    "evaluation.engine", "evaluation.engine_version", "evaluation.batch_invariant",
)  # fmt: skip


def changed() -> dict[str, Any]:
    """Every widget of the sandbox's form and what it is changed to; a switch comes before its fields."""
    return {name: _other(name, value) for name, value in Start().state().items() if name not in NOT_DRAWN}


def _other(name: str, now: Any) -> Any:
    if name in CHOSEN:
        return CHOSEN[name]
    if isinstance(now, bool):
        return not now
    if isinstance(now, list):
        return [next(option for option in all_fields()[name].offered("sandbox") if option not in now)]
    kind = all_fields()[name].kind
    if kind == "text":
        return "other"
    if now == "":
        return "3" if kind == "int" else "0.5"
    return str(int(now) + 1) if kind == "int" else f"{float(now) * 0.8 + 0.013:.4g}"
