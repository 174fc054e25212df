"""What a finished stage says in the log of its run, and how lines are told apart. Pure: summaries in, words out."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from cwpo.report.dropped import data_sentence, left_out_sentence
from cwpo.report.numbers import count, interval, number, percent

Level = Literal["info", "warning", "error"]
WARNING = "Warning: "
# Lines of a traceback, as Python writes them; ours begin with no space.
_TRACE = re.compile(r"Traceback \(most recent call last\)|\s{2,}|[\w.]*(Error|Exception)\b|The above exception")


def level_of(text: str) -> Level:
    """A line's level, by how it begins."""
    if text.startswith(WARNING):
        return "warning"
    return "error" if _TRACE.match(text) else "info"


def summary_line(kind: str, summary: Mapping[str, Any]) -> str:
    """What came out of a stage; empty where there is nothing to say."""
    words = _LINES.get(kind)
    return words(summary) if words is not None and summary else ""


def loss_line(step: int, total: int | None, values: Mapping[str, float]) -> str:
    """`Step 132 of 1,320: loss 0.6912, reward accuracy 55.0 %, reward margin 0.03, lr 1e-05.`"""
    where = f"Step {count(step)} of {count(total)}" if total else f"Step {count(step)}"
    parts = [f"loss {number(values.get('loss'), 4)}"]
    if "accuracy" in values:
        parts.append(f"accuracy {percent(values['accuracy'])}")
    if "rewards/accuracies" in values:
        parts.append(f"reward accuracy {percent(values['rewards/accuracies'])}")
        parts.append(f"reward margin {number(values.get('rewards/margins'), 3)}")
    if "lr" in values:
        parts.append(f"learning rate {values['lr']:.3g}")
    return f"{where}: {', '.join(parts)}."


def _data(summary: Mapping[str, Any]) -> str:
    return data_sentence(summary)


def _trained(summary: Mapping[str, Any]) -> str:
    parts = [f"{count(summary.get('steps'))} steps, final loss {number(summary.get('final_loss'), 4)}"]
    if summary.get("pairs") is not None:
        parts.append(f"{count(summary['pairs'])} pairs")
    if summary.get("tokens") is not None:
        parts.append(f"{count(summary['tokens'])} tokens")
    if summary.get("best_epoch") is not None:
        nll = number(summary.get("heldout_nll"), 4)
        parts.append(f"kept epoch {summary['best_epoch']} with the lowest held-out loss {nll}")
    return f"Trained: {'; '.join(parts)}{_cut(summary)}."


def _online(summary: Mapping[str, Any]) -> str:
    return (
        f"{_trained(summary)} Pairs were sampled {count(summary.get('refreshes'))} times: mean confidence "
        f"{number(summary.get('confidence'))}, {percent(summary.get('idle'))} of them count nothing."
    )


def _calibrated(summary: Mapping[str, Any]) -> str:
    return (
        f"Temperature {number(summary.get('temperature'), 3)} on {count(summary.get('n'))} held-out pairs; loss "
        f"{number(summary.get('nll_raw'), 4)} before, {number(summary.get('nll_scaled'), 4)} after."
    )


def _labeled(summary: Mapping[str, Any]) -> str:
    words = (
        f"Labeled {count(summary.get('n'))} pairs: agrees with {percent(summary.get('accuracy_human'))} of the hidden "
        f"human labels, length alone with {percent(summary.get('length_only_accuracy'))}; mean confidence "
        f"{number(summary.get('mean_confidence'))}{_cut(summary)}."
    )
    return f"{words} {left_out_sentence(summary)}".rstrip()


def _read(summary: Mapping[str, Any]) -> str:
    return f"{count(summary.get('pairs'))} pairs, {count(summary.get('tokens'))} tokens read{_cut(summary)}."


def _answered(summary: Mapping[str, Any]) -> str:
    kl = summary.get("kl")
    words = (
        f"{count(summary.get('samples'))} answers to {count(summary.get('prompts'))} prompts: "
        f"{number(summary.get('mean_tokens'), 1)} tokens on average, {percent(summary.get('finished'))} finished"
    )
    return f"{words}, KL {number(kl)} nats from the reference." if kl is not None else f"{words}."


def _scored(summary: Mapping[str, Any]) -> str:
    return f"{count(summary.get('samples'))} answers scored, {number(summary.get('mean_score'), 3)} on average."


def _evaluated(summary: Mapping[str, Any]) -> str:
    return (
        f"Gold reward accuracy {percent(summary.get('gra'))}, 95 % interval "
        f"{interval(summary.get('ci_low'), summary.get('ci_high'))}, on {count(summary.get('prompts'))} prompts."
    )


def _along(summary: Mapping[str, Any]) -> str:
    last = summary["points"][-1]
    second = f", by {summary.get('second')} {percent(last['second'])}" if "second" in last else ""
    return (
        f"{count(len(summary['points']))} points on {count(summary.get('prompts'))} prompts; at the last one "
        f"(KL {number(last['kl'])} nats) {percent(last['gold'])} by {summary.get('gold')}{second}."
    )


def _cut(summary: Mapping[str, Any]) -> str:
    parts = [
        f"{count(summary[name])} {words}"
        for name, words in (("truncated", "prompts cut"), ("dropped", "pairs that do not fit"))
        if summary.get(name)
    ]
    return f"; {', '.join(parts)}" if parts else ""


_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "data": _data, "base": _trained, "annotator": _trained, "calibration": _calibrated, "labels": _labeled,
    "sft": _trained, "reference": _read, "align": _trained, "online": _online, "samples": _answered, "gold": _trained,
    "scores": _scored, "evaluation": _evaluated, "along": _along, "best_of": _along,
}  # fmt: skip
