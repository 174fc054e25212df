"""stanfordnlp/SHP: a Reddit post, two comments on it and which one its readers preferred. Torch-free."""

from typing import Any

from cwpo.data.readers import preference
from cwpo.data.rows import BadRow, RawPair

COLUMNS = ("history", "human_ref_A", "human_ref_B", "labels")


def to_pair(row: dict[str, Any]) -> RawPair:
    """The post as one user turn and a comment as its answer; labels: 1 prefers A, 0 prefers B."""
    missing = [name for name in COLUMNS[:3] if not isinstance(row.get(name), str)]
    if missing:
        raise BadRow("unparsable", f"no text in {' and '.join(missing)}")
    if not row["history"].strip():
        raise BadRow("no_prompt", "the post is empty")
    if str(row.get("labels")) not in ("0", "1"):
        raise BadRow("no_label", "labels is neither 0 nor 1")
    comments = [row["human_ref_A"], row["human_ref_B"]]
    chosen, rejected = comments if str(row["labels"]) == "1" else comments[::-1]
    post = [{"role": "user", "content": row["history"].strip()}]
    return preference.to_pair({"prompt": post, "chosen": chosen, "rejected": rejected})
