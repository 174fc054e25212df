"""The profile of a dataset: one pass over its rows, then the split that a new run would have, and what is alike in it.

In memory stay lengths, ids, and for each prompt the hashes of its words and the start of its text: for 170,000 pairs
some hundred megabytes.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cwpo.data.profile.first_rows import LONGEST_TEXT
from cwpo.data.profile.job import VERSION, Job
from cwpo.data.profile.lengths import Lengths
from cwpo.data.profile.near import THRESHOLD, Near, Shingler, Shingles, near_duplicates, signatures
from cwpo.data.profile.reading import Counts, ReadPair, opened, pairs_of, part_by, related_to, test_prompts
from cwpo.data.related.clusters import Related, cluster_counts
from cwpo.data.rows import as_messages

EXAMPLES = 3
FIRST = 10  # pairs that are shown
SNIPPET = 300  # characters of a prompt in an example
MOST_SOURCES = 20
Report = Callable[[int, str], None]


@dataclass
class Prompts:
    """What is kept of every prompt, by its place."""

    place_of: dict[str, int] = field(default_factory=dict)
    sets: list[Shingles] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)  # for training
    tests: list[bool] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    shingler: Shingler = field(default_factory=Shingler)
    related: Related = field(default_factory=Related)

    def add(self, read: ReadPair) -> None:
        self.related.add(read.pair.prompt_id, read.pair.prompt, (read.chosen, read.rejected))
        place = self.place_of.get(read.pair.prompt_id)
        if place is None:
            place = self.place_of[read.pair.prompt_id] = len(self.sets)
            text = words_of(read)
            self.sets.append(self.shingler.of(text))
            self.lines.append(read.line)
            self.starts.append(text.strip()[:SNIPPET])
            self.pairs.append(0)
            self.tests.append(False)
            self.sources.append(read.pair.source)
        self.pairs[place] += not read.test
        self.tests[place] |= read.test


def words_of(read: ReadPair) -> str:
    """The prompt without a system's turn: many datasets have the same one everywhere."""
    if read.pair.messages is None:
        return read.pair.prompt
    turns = as_messages(json.loads(read.pair.messages), "prompt")
    return "\n".join(turn["content"] for turn in turns if turn["role"] != "system")


def profile(job: Job, report: Report) -> dict[str, Any]:
    """Everything that the page shows of this dataset."""
    began = time.monotonic()
    found = opened(job)
    counts, prompts, lengths = Counts(), Prompts(), Lengths()
    first: list[dict[str, Any]] = []
    longer: list[float] = []
    sources: Counter[str] = Counter()
    for read in pairs_of(found.source, counts, lambda rows: report(rows, "rows read")):
        texts = {"prompt": read.pair.prompt, "chosen": read.chosen, "rejected": read.rejected}
        prompts.add(read)
        lengths.add(texts)
        longer.append(0.5 if len(read.chosen) == len(read.rejected) else float(len(read.chosen) > len(read.rejected)))
        sources.update([read.pair.source] if read.pair.source else [])
        if len(first) < FIRST:
            first.append({"line": read.line, **{name: text[:LONGEST_TEXT] for name, text in texts.items()}})
    report(counts.tally.rows, "rows read, prompts compared")
    return {
        "version": VERSION,
        "source": job.source,
        "revision": found.revision,
        "columns": None if found.columns is None else dict(found.columns),
        "names": list(found.names),
        "guess": dict(found.guess),
        **_counted(counts, len(longer), prompts),
        "first": first,
        "lengths": lengths.summary(),
        "longer_wins": sum(longer) / len(longer) if longer else None,
        "sources": dict(sources.most_common(MOST_SOURCES)),
        **_split(job, prompts),
        "seconds": round(time.monotonic() - began, 2),
    }


def _counted(counts: Counts, pairs: int, prompts: Prompts) -> dict[str, Any]:
    shown: Counter[str] = Counter()
    examples = []
    for one in counts.tally.examples:
        shown[one["reason"]] += 1
        if shown[one["reason"]] <= EXAMPLES:
            examples.append(one)
    return {
        "rows": counts.tally.rows,
        "pairs": pairs,
        "prompts": len(prompts.sets),
        "dropped": dict(counts.tally.reasons.most_common()),
        "examples": examples,
        "contradicted": counts.contradicted,
    }


def _split(job: Job, prompts: Prompts) -> dict[str, Any]:
    """The parts of a new run, and how many prompts of one are nearly in another."""
    names = list(prompts.place_of)
    clusters = prompts.related.clusters()
    held = test_prompts(dict(zip(names, prompts.tests, strict=True)), job.split, clusters)
    left_out = related_to(held, clusters)
    training = [place for place, name in enumerate(names) if name not in left_out and prompts.pairs[place]]
    each = [(names[place], prompts.sources[place]) for place in training for _ in range(prompts.pairs[place])]
    part = part_by(each, job.split, clusters)
    parts: dict[str, list[int]] = {"test": [prompts.place_of[name] for name in held], "labeled": [], "unlabeled": []}
    for place in training:
        parts[part(names[place])].append(place)
    marks = signatures(prompts.sets)
    compared = {
        "test": _near(prompts, marks, sorted(parts["test"]), training),
        "labeled": _near(prompts, marks, parts["labeled"], parts["unlabeled"]),
    }
    pairs = {name: sum(prompts.pairs[place] for place in parts[name]) for name in ("labeled", "unlabeled")}
    return {
        "clusters": cluster_counts(clusters.values()),
        "split": {**asdict(job.split), "test": len(parts["test"]), **pairs},
        "near": {"threshold": THRESHOLD, **compared},
    }


def _near(
    prompts: Prompts, marks: np.ndarray[Any, np.dtype[np.uint64]], queries: Sequence[int], others: Sequence[int]
) -> dict[str, Any]:
    found = list(
        near_duplicates(
            [prompts.sets[place] for place in queries],
            [prompts.sets[place] for place in others],
            marks[list(queries)],
            marks[list(others)],
        )
    )
    most = sorted(found, key=lambda one: (-one.similarity, one.query))[:EXAMPLES]
    examples = [_example(prompts, one, queries, others) for one in most]
    return {"count": len(found), "of": len(queries), "examples": examples}


def _example(prompts: Prompts, one: Near, queries: Sequence[int], others: Sequence[int]) -> dict[str, Any]:
    here, there = queries[one.query], others[one.other]
    return {
        "similarity": one.similarity,
        "line": prompts.lines[here],
        "text": prompts.starts[here],
        "other_line": prompts.lines[there],
        "other_text": prompts.starts[there],
    }
