"""The first rows of a dataset of the hub, before all of it is downloaded: its columns, and what makes pairs by them."""

from collections.abc import Callable
from typing import Any

from cwpo.data.profile.first_rows import FIRST, LONGEST_TEXT, SHOWN
from cwpo.data.profile.job import VERSION, Job
from cwpo.data.profile.reading import Counts, opened, pairs_of

Report = Callable[[int, str], None]


def preview(job: Job, report: Report) -> dict[str, Any]:
    """What `first_rows.as_told` reads: of at most `FIRST` rows for training what a profile says of all of them.

    DataError or HubError where they cannot be had.
    """
    report(0, "rows read")
    found, counts = opened(job, first=FIRST), Counts()
    shown: list[dict[str, Any]] = []
    prompts: set[str] = set()
    pairs = 0
    for read in pairs_of(found.source, counts, lambda rows: report(rows, "rows read")):
        pairs += 1
        prompts.add(read.pair.prompt_id)
        if len(shown) < SHOWN:
            texts = {"prompt": read.pair.prompt, "chosen": read.chosen, "rejected": read.rejected}
            shown.append({"line": read.line, **{name: text[:LONGEST_TEXT] for name, text in texts.items()}})
    return {
        "version": VERSION,
        "source": job.source,
        "revision": found.revision,
        "columns": None if found.columns is None else dict(found.columns),
        "guess": dict(found.guess),
        "names": list(found.names),
        "rows": counts.tally.rows,
        "pairs": pairs,
        "prompts": len(prompts),
        "dropped": dict(counts.tally.reasons.most_common()),
        "examples": list(counts.tally.examples),
        "first": shown,
    }
