"""What was dropped and cut on a run's way: rows by reason, texts by model. Pure: summaries of stages in, words out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cwpo.report.numbers import count

REASONS: Mapping[str, str] = {
    "unparsable": "unparsable",
    "empty": "empty",
    "equal": "with equal responses",
    "duplicate": "repeated",
    "too_long": "too long for data.length_rule",
    "not_text": "with images or other parts that are no text",
    "no_question": "that end with the assistant's own turn",
    "equal_scores": "whose responses have the same score",
    "between": "between the best and the worst of their prompt",
    "only_one": "with one response to their prompt",
}
_MOST_EXAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a model stage did to texts longer than its model's context."""

    slot: str
    truncated: int | None  # prompts or texts whose left end was cut; None: not counted there
    dropped: int | None  # pairs with a response that alone does not fit; None: the stage drops nothing
    control_tokens: int  # rows in which a control token of the model is written; it was read as text


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """One dropped row, as an example of its reason."""

    line: int
    reason: str
    detail: str


def data_sentence(summary: Mapping[str, Any], prompts: Mapping[str, Any] | None = None) -> str:
    """How many rows were read, kept and dropped. `prompts`: summary of the stage that made the test prompts apart."""
    tests = int(summary["test_prompts"]) or int((prompts or {}).get("test_prompts", 0))
    kept = f"{count(summary['train_pairs'])} pairs and {count(tests)} test prompts kept"
    parts = [f"{count(summary['rows'])} rows read, {kept}"]
    if held := summary["held_out_pairs"]:
        parts.append(f"{count(held)} pairs of test prompts held out")
    if over := summary["over_max_pairs"]:
        parts.append(f"{count(over)} over data.max_pairs")
    words = f"{'; '.join(parts)}; dropped: {_dropped(summary['rejected'])}."
    return " ".join([words, *_cluster_sentences(summary, prompts or summary)])


def _cluster_sentences(summary: Mapping[str, Any], prompts: Mapping[str, Any]) -> list[str]:
    """Of the prompts for training, of those that are answered, and where whole clusters made these fewer; nothing of
    data that are divided by prompt."""
    told = {"prompts for training": summary.get("training_clusters"), "test prompts": prompts.get("test_clusters")}
    found = [cluster_sentence(clusters, words) for words, clusters in told.items() if clusters and clusters["prompts"]]
    asked, held = prompts.get("test_prompts_asked"), int(prompts["test_prompts"])
    if asked and held < asked:
        found.append(f"Whole clusters make {count(held)} test prompts of the {count(asked)} asked for.")
    return found


def cluster_sentence(clusters: Mapping[str, int], words: str = "prompts") -> str:
    """How many prompts are related, and how far."""
    prompts, number, largest = (clusters[name] for name in ("prompts", "clusters", "largest"))
    if largest <= 1:
        return f"None of the {count(prompts)} {words} are related."
    return f"{count(prompts)} {words} in {count(number)} clusters of related ones; the largest has {count(largest)}."


def judged_pairs(labels: Mapping[str, Any]) -> int:
    """How many labels a labels stage's accuracy is of."""
    return int(labels["n"]) - int(labels.get("trained_on") or 0)


def left_out_sentence(labels: Mapping[str, Any]) -> str:
    """Which labels an existing annotator is not judged by; empty where there are none."""
    if "trained_on" not in labels or labels["trained_on"] == 0:
        return ""
    if labels["trained_on"] is None:
        return (
            "It is an existing annotator whose own data are not here: it may have been trained on some of these pairs."
        )
    return (
        f"{count(labels['trained_on'])} of {count(labels['n'])} pairs are left out of that: it was trained on their "
        "prompts or on related ones."
    )


def cuts(summaries: Mapping[str, Mapping[str, Any]]) -> list[Cut]:
    """The model stages that count what their context cut, in the order given."""
    return [
        Cut(
            slot=slot,
            truncated=summary.get("truncated"),
            dropped=summary.get("dropped"),
            control_tokens=summary.get("control_tokens", 0),
        )
        for slot, summary in summaries.items()
        if "truncated" in summary or "dropped" in summary
    ]


def cut_sentence(found: Sequence[Cut]) -> str:
    """One line for a terminal; the stages that cut something by name."""
    shortened = [f"{cut.slot} {count(cut.truncated)}" for cut in found if cut.truncated]
    dropped = [f"{cut.slot} {count(cut.dropped)}" for cut in found if cut.dropped]
    written = [f"{cut.slot} {count(cut.control_tokens)}" for cut in found if cut.control_tokens]
    words = f"Prompts cut at the model's context: {', '.join(shortened) or 'none'}"
    words = f"{words}; pairs dropped whose response does not fit: {', '.join(dropped) or 'none'}"
    return f"{words}; with control tokens, read as text: {', '.join(written)}." if written else f"{words}."


def rejected_rows(summary: Mapping[str, Any]) -> list[RejectedRow]:
    """The first dropped rows, with line and cause."""
    return [
        RejectedRow(line=int(row["line"]), reason=reason_words(str(row["reason"])), detail=str(row.get("detail") or ""))
        for row in summary["rejected_examples"][:_MOST_EXAMPLES]
    ]


def reason_words(reason: str) -> str:
    """A reason as people read it."""
    return REASONS.get(reason, reason.replace("_", " "))


def _dropped(rejected: Mapping[str, int]) -> str:
    return ", ".join(f"{count(number)} {reason_words(reason)}" for reason, number in rejected.items()) or "none"
