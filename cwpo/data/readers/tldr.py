"""openai/summarize_from_feedback, comparisons: a Reddit post, two summaries and the index of the better. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

from cwpo.data.readers import preference
from cwpo.data.rows import BadRow, RawPair, make_pair

QUERY_COLUMNS = ("query", "postprocessed_response", "reference_responses", "preferred")


def to_pair(row: dict[str, Any]) -> RawPair:
    """The hub's columns (info, summaries, choice), the judged query form, or a copy with prompt/chosen/rejected."""
    if "summaries" in row:
        return _comparison(row)
    if all(name in row for name in QUERY_COLUMNS):
        return _judged_query(row)
    return preference.to_pair(row)


def _comparison(row: dict[str, Any]) -> RawPair:
    info, summaries, choice = row.get("info"), row.get("summaries"), row.get("choice")
    given = summaries if isinstance(summaries, Sequence) else ()
    texts = [item.get("text") for item in given if isinstance(item, Mapping)]
    if not isinstance(info, Mapping) or len(texts) != 2:
        raise BadRow("unparsable", "info or the two summaries are missing")
    if choice not in (0, 1):
        raise BadRow("no_label", "choice is neither 0 nor 1")
    best = int(choice)
    return make_pair(
        prompt=post_prompt(info), messages=None, chosen=_spaced(texts[best]), rejected=_spaced(texts[1 - best])
    )


def post_prompt(info: Mapping[str, Any]) -> str:
    """The post in the form of the paper's examples; news articles of the set have no post and are no Reddit pairs."""
    if not info.get("post"):
        raise BadRow("no_prompt", "the row has no Reddit post")
    return (
        f"SUBREDDIT: r/{info.get('subreddit') or ''}\n\nTITLE: {info.get('title') or ''}\n\n"
        f"POST: {str(info['post']).strip()}\n\nTL;DR:"
    )


def _judged_query(row: dict[str, Any]) -> RawPair:
    """Columns of a judged policy-against-reference table; rows that nobody judged have no label."""
    ours, reference = row["postprocessed_response"], row["reference_responses"]
    if row["preferred"] not in ("ours", "reference"):
        raise BadRow("no_label", "preferred is neither ours nor reference")
    chosen, rejected = (ours, reference) if row["preferred"] == "ours" else (reference, ours)
    return make_pair(prompt=row["query"], messages=None, chosen=_spaced(chosen), rejected=_spaced(rejected))


def _spaced(text: Any) -> Any:
    """Exactly one space between the TL;DR mark and a summary, so that the number of spaces tells nothing."""
    return " " + text.strip() if isinstance(text, str) and text.strip() else text
