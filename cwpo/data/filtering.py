"""Rows to candidate pairs: ids, label-free order, and every dropped row counted by reason. Torch-free."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cwpo.data.files import RowAt
from cwpo.data.related.clusters import Related
from cwpo.data.rows import SURROGATE, BadRow, RawPair
from cwpo.records import CandidatePair, Prompt, Side

EXAMPLES_PER_REASON = 5
MOST_SOURCE = 100  # characters
CountTokens = Callable[[list[str]], list[int]]


@dataclass
class Tally:
    """Counts of dropped rows by reason, with the first examples of each; grows while rows are read."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, reason: str, *, line: int, detail: str) -> None:
        self.reasons[reason] += 1
        if self.reasons[reason] <= EXAMPLES_PER_REASON:
            self.examples.append({"line": line, "reason": reason, "detail": detail[:200]})


@dataclass(frozen=True, kw_only=True)
class PairAt:
    """A usable pair and the row it came from."""

    line: int
    pair: CandidatePair


def content_hash(*parts: object) -> str:
    """sha256 over parts in order; the same on every machine and Python."""
    text = json.dumps([str(part) for part in parts], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def to_candidate(raw: RawPair) -> CandidatePair:
    """Ids and the order of the two responses follow from the texts alone, never from the label."""
    messages = json.dumps(raw.messages, ensure_ascii=False) if raw.messages is not None else None
    prompt_id = content_hash("prompt", messages or raw.prompt.strip())[:16]
    pair_id = content_hash("pair", prompt_id, *sorted((raw.chosen, raw.rejected)))[:16]
    first, second = sorted((raw.chosen, raw.rejected), key=lambda text: content_hash("order", pair_id, text))
    label: Side = "a" if first == raw.chosen else "b"
    return CandidatePair(
        pair_id=pair_id,
        prompt_id=prompt_id,
        prompt=raw.prompt,
        messages=messages,
        response_a=first,
        response_b=second,
        human_label=label,
    )


def source_of(row: Mapping[str, Any]) -> str | None:
    """The text in a column `source`, which says where of several places a pair is from."""
    source = row.get("source")
    return SURROGATE.sub("\ufffd", source).strip()[:MOST_SOURCE] or None if isinstance(source, str) else None


def usable_pairs(
    rows: Iterable[RowAt], to_pair: Callable[[dict[str, Any]], RawPair], tally: Tally, *, seen: set[str]
) -> list[PairAt]:
    """All pairs that can be used; the others are in the tally. `seen` holds pair ids of earlier splits."""
    kept = []
    for at in rows:
        tally.rows += at.rows
        try:
            if at.row is None:
                raise BadRow(at.reason, at.problem)
            pair = replace(to_candidate(to_pair(at.row)), source=source_of(at.row))
            if pair.pair_id in seen:
                raise BadRow("duplicate", "the same prompt and responses came before")
        except BadRow as bad:
            tally.reject(bad.reason, line=at.line, detail=bad.detail)
            continue
        seen.add(pair.pair_id)
        kept.append(PairAt(line=at.line, pair=pair))
    return kept


def apply_length_rule(
    pairs: Sequence[PairAt], tally: Tally, *, max_tokens: int, counts: str, count_tokens: CountTokens
) -> list[PairAt]:
    """Keep pairs whose prompt + response is at most `max_tokens` each, or both added up (counts: pair)."""
    kept = []
    for start in range(0, len(pairs), 500):
        chunk = pairs[start : start + 500]
        texts = [at.pair.prompt + text for at in chunk for text in (at.pair.response_a, at.pair.response_b)]
        lengths = count_tokens(texts)
        for index, at in enumerate(chunk):
            two = lengths[2 * index : 2 * index + 2]
            size = sum(two) if counts == "pair" else max(two)
            if size <= max_tokens:
                kept.append(at)
            else:
                tally.reject("too_long", line=at.line, detail=f"{size} tokens, rule {max_tokens} ({counts})")
    return kept


def in_clusters(*splits: Sequence[PairAt]) -> tuple[list[PairAt], ...]:
    """The same pairs, each with the cluster of its prompt among the prompts of all splits."""
    related = Related()
    for at in itertools.chain(*splits):
        related.add(at.pair.prompt_id, at.pair.prompt, (at.pair.response_a, at.pair.response_b))
    clusters = related.clusters()
    return tuple([_in_cluster(at, clusters[at.pair.prompt_id]) for at in split] for split in splits)


def _in_cluster(at: PairAt, cluster: str) -> PairAt:
    return replace(at, pair=replace(at.pair, cluster=cluster))


def prompts_of(pairs: Sequence[PairAt]) -> list[Prompt]:
    """The distinct prompts, in order of first appearance."""
    found: dict[str, Prompt] = {}
    for at in pairs:
        pair = at.pair
        if pair.prompt_id not in found:
            found[pair.prompt_id] = Prompt(
                prompt_id=pair.prompt_id, prompt=pair.prompt, messages=pair.messages, cluster=pair.cluster
            )
    return list(found.values())


def hold_out(prompts: Sequence[Prompt], count: int, *, evaluation_seed: int) -> list[Prompt]:
    """`count` prompts in a seeded order that depends on their own texts only.

    Whole clusters, where prompts have them: one that does not fit any more is passed over, so that fewer than `count`
    may be held out and never more.
    """
    order = sorted(prompts, key=lambda prompt: content_hash("test", evaluation_seed, prompt.unit))
    if all(prompt.cluster is None for prompt in order):
        return order[:count]
    held: list[Prompt] = []
    for _, cluster in itertools.groupby(order, key=lambda prompt: prompt.unit):
        if len(held) == count:
            break
        whole = list(cluster)
        held += whole if len(held) + len(whole) <= count else []
    return held


def first_pairs(pairs: Sequence[PairAt], limit: int, *, evaluation_seed: int) -> list[PairAt]:
    """At most `limit` pairs, whole prompts or clusters first come by seeded hash; the order of the rows is kept."""
    ranked = sorted(pairs, key=lambda at: (content_hash("keep", evaluation_seed, at.pair.unit), at.pair.pair_id))
    chosen = {at.pair.pair_id for at in ranked[:limit]}
    return [at for at in pairs if at.pair.pair_id in chosen]
