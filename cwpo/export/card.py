"""The model card of an exported model: how it was made, on what terms its GRA was counted, what nobody may assume.

Pure: a configuration and stored figures in, Markdown out. Folders of this machine are named by their last piece alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from cwpo.compare.judges.card import ORACLE, Card
from cwpo.config import catalog
from cwpo.config.dotted import flat
from cwpo.config.run import RunConfig
from cwpo.export import words
from cwpo.export.words import Report, plain_name
from cwpo.report import gra_terms
from cwpo.report.judges.cards import UNTRIED
from cwpo.report.numbers import count, interval, number, percent
from cwpo.report.single_run import run_and_config

LICENCE = (
    "# license: choose one before you share this model; the terms of the base model and of the data hold for it too"
)
PARTS: Mapping[str, Sequence[str]] = {
    "align": ("model", "data", "annotator", "weighting", "sft", "align"),
    "sft": ("model", "data", "sft"),
    "annotator": ("model", "data", "annotator"),
}
_LEFT_OUT = ("data.sandbox", "annotator.use")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What the card is about. `evaluation`: the summary of the run's evaluation; None before there is one."""

    run: int | None
    config: RunConfig
    stage: str
    evaluation: Mapping[str, Any] | None
    labels: Mapping[str, Any] | None = None  # summary of the stage that labeled
    judge: Card | None = None  # what is known of the gold reward by human labels


def card(trained: Trained, report: Report, place: str = "FOLDER") -> str:
    """README.md; `place` stands for the folder or repository in the example that loads it."""
    parts = (
        _header(trained),
        _title(trained, report),
        _use(trained, report, place),
        _making(trained),
        _result(trained),
        _settings(trained),
        _limits(trained),
    )
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _header(trained: Trained) -> str:
    """What the hub reads; the licence is the user's to choose."""
    config, base = trained.config, _base(trained)
    lines = ["---", LICENCE, "library_name: transformers"]
    lines += [f"base_model: {base}"] if words.is_hub_id(base) else []
    data = catalog.DATASETS.get(config.data.dataset)
    source = data.repo if data is not None and getattr(data, "repo", None) else config.data.dataset
    lines += [f"datasets:\n- {source}"] if words.is_hub_id(source) else []
    tags = ["cwpo", "reward-model"] if trained.stage == "annotator" else ["cwpo", "text-generation"]
    tags += ["preference-optimization", config.objective] if trained.stage == "align" else []
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---"])


def _title(trained: Trained, report: Report) -> str:
    config = trained.config
    what = {
        "align": f"{config.method_label} · {catalog.objective_label(config.objective)}: an aligned model",
        "sft": "A model after supervised fine-tuning",
        "annotator": "A weak annotator: a scalar score for a prompt with a response",
    }[trained.stage]
    made = f"Made by cwpo {version('cwpo')}" + (f", run {trained.run}" if trained.run is not None else "")
    return f"# {what}\n\n{made}, seed {config.seed}. {report.sentence}"


def _use(trained: Trained, report: Report, place: str) -> str:
    if report.form == words.ADAPTERS:
        base = plain_name(_base(trained))
        code = words.loading_adapters(place, base, _revision(trained), report.adapters, tokenizer=report.tokenizer)
    else:
        code = words.loading(place, scalar=report.scalar, dtype=report.dtype, tokenizer=report.tokenizer)
    kept = f"Weights are kept in {words.TORCH_DTYPES[report.dtype]}."
    chain = ""
    if report.adapters and report.form == words.MERGED:
        several = "adapter was" if report.adapters == 1 else f"{report.adapters} adapters, one on another, were"
        chain = f" Its {several} merged in float32."
    return f"## Use\n\n```python\n{code}\n```\n\n{kept}{chain}"


def _making(trained: Trained) -> str:
    """Data with pins, labels, annotator."""
    config = trained.config
    data = config.data
    lines = [("Method", config.method_label), ("Objective", catalog.objective_label(config.objective))]
    if trained.stage != "align":
        lines = []
    lines.append(("Data", _pinned(data.dataset, data.revision, data.subset)))
    lines.append(("Human labels used", f"{percent(data.label_fraction)} of the pairs"))
    if data.swapped_labels:
        lines.append(("Human labels swapped on purpose", percent(data.swapped_labels)))
    role = "annotator" if trained.stage == "annotator" else "policy"
    lines.append(("Base model", _pinned(_base(trained), getattr(config.model, f"{role}_revision"))))
    online = config.align.online
    if trained.stage == "align" and online is not None:
        every = "each step" if online.refresh_every == 1 else f"every {online.refresh_every} steps"
        lines.append(("Pairs", f"two answers of its own to each prompt, sampled anew {every} of its training"))
    if trained.stage == "align" and config.needs_annotator:
        lines.append(("Annotator", _annotator(config)))
        mean = (trained.labels or {}).get("mean_confidence")
        if mean is not None and online is None:
            lines.append(("Mean confidence of its labels", number(mean, 3)))
    lines.append(("Seed", str(config.seed)))
    return "## How it was made\n\n" + _table(("", ""), lines)


def _annotator(config: RunConfig) -> str:
    if config.annotator.use is not None:
        return f"an existing one, {config.annotator.use[:40]}"
    members = f", {config.annotator.members} of them" if config.annotator.members > 1 else ""
    return f"{_pinned(config.model.annotator, config.model.annotator_revision)}{members}"


def _result(trained: Trained) -> str:
    """GRA with its interval and the terms on which it was counted; of the aligned model alone."""
    if trained.stage != "align":
        return ""
    found = trained.evaluation
    if found is None:
        return "## Result\n\nThe run was not evaluated when this card was written."
    terms = gra_terms.terms(*run_and_config(trained.config))
    between = interval(found["ci_low"], found["ci_high"])
    answers = "1 answer" if found["samples"] == 1 else f"{found['samples']} answers"
    opponents = number(found.get("baseline_mean_tokens"), 1)
    lines = [
        ("GRA (gold reward accuracy)", f"{percent(found['gra'])}, 95 % interval {between}"),
        ("Counted on", f"{count(found['prompts'])} held-out prompts, {answers} each, 1 seed"),
        ("Wins, ties, losses", f"{found['wins']:g}, {found['ties']:g}, {found['losses']:g}"),
        ("Opponent", terms.opponent),
        ("Gold reward", terms.gold_reward),
        ("Revision of the gold reward", terms.gold_revision or "none"),
        ("Agreement of the gold reward with people", _agreement(trained.judge)),
        ("Ties", terms.tie_rule),
        ("Decoding", terms.decoding),
        ("KL from the reference, nats", number(found.get("kl"))),
        ("Mean answer, tokens", f"{number(found.get('mean_tokens'), 1)} (opponent {opponents})"),
    ]  # fmt: skip
    return (
        "## Result\n\nGRA is the share of held-out prompts on which the gold reward scores this model's answer above "
        "the opponent's. The interval covers the choice of prompts, not of seeds.\n\n" + _table(("", ""), lines)
    )


def _agreement(judge: Card | None) -> str:
    """q with its interval: of how many pairs with a human label it chose the same answer."""
    if judge is None:
        return UNTRIED
    between = interval(judge["q_low"], judge["q_high"])
    noise = "; the oracle is the truth, so this is the noise of the labels" if judge["judge"] == ORACLE else ""
    return f"{percent(judge['q'])} of {count(judge['pairs'])} pairs, 95 % interval {between}{noise}"


def _settings(trained: Trained) -> str:
    plain = trained.config.canonical()
    rows = [
        (name, _value(value))
        for part in PARTS[trained.stage]
        for name, value in flat({part: plain[part]})
        if value is not None and not name.startswith(_LEFT_OUT)
    ]
    return "## Settings\n\n" + _table(("field", "value"), rows)


def _limits(trained: Trained) -> str:
    lines = ["## What this does not say", ""]
    if trained.stage == "align":
        lines.append("- GRA is one judge's view on one set of prompts; another gold reward may decide otherwise.")
    lines.append("- Nobody has tested this model for safety, bias or truth.")
    if trained.config.model.quantization != "none" and trained.stage != "annotator":
        lines.append("- It was trained over weights in 4 bits; here its adapters lie on the weights as published.")
    elif trained.config.model.precision == "bf16" and trained.stage != "annotator":
        lines.append("- It was trained in bfloat16 arithmetic; answers in float32 may differ in a few tokens.")
    return "\n".join(lines)


def _base(trained: Trained) -> str:
    model = trained.config.model
    return model.annotator if trained.stage == "annotator" else model.policy


def _revision(trained: Trained) -> str | None:
    model = trained.config.model
    found = model.annotator_revision if trained.stage == "annotator" else model.policy_revision
    return found if words.is_hub_id(_base(trained)) else None


def _pinned(name: str, revision: str | None, subset: str | None = None) -> str:
    return plain_name(name) + (f" ({subset})" if subset else "") + (f" @ {revision}" if revision else "")


def _value(value: Any) -> str:
    """As YAML has it; what looks like a path is its last piece."""
    if isinstance(value, list | tuple):
        return ", ".join(_value(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain_name(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _table(heading: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(_lines((heading, ("---", "---"), *((name, _cell(text)) for name, text in rows))))


def _lines(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    return (f"| {name} | {text} |" for name, text in rows)


def _cell(text: str) -> str:
    """One line that cannot break out of its cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
