"""The pairs of a job one by one, with the prompts' places in the split: what profile and export have in common."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from cwpo.bounds import paths
from cwpo.config import catalog
from cwpo.data.filtering import Tally, hold_out, source_of, to_candidate
from cwpo.data.profile.job import Job, Split
from cwpo.data.readers.columns import HEAD, columns_needed, detected, guessed, names_of, reader_by, shaped
from cwpo.data.rows import BadRow, RowAt
from cwpo.data.source import Source, open_source
from cwpo.data.split import split_prompts
from cwpo.errors import DataError
from cwpo.models import hub
from cwpo.records import CandidatePair, Prompt
from cwpo.stages.settings import DataSettings, SplitSettings

EVERY = 2_000  # rows between two reports
FEWEST_FOR_TRAINING = 5  # of six prompts at most one is held out, where fewer are there than asked for
MADE = "The sandbox makes its pairs when a run asks for them: choose a file or a dataset of the hub."


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The source of a job, and the columns by which it is read."""

    source: Source
    columns: Mapping[str, str] | None
    guess: Mapping[str, str]  # what each column seems to hold, also where nobody needs to be told
    revision: str | None
    names: tuple[str, ...]  # of the columns


@dataclass(frozen=True, kw_only=True)
class ReadPair:
    """A usable pair and where it is from. `test`: of the publisher's own test split."""

    line: int
    pair: CandidatePair
    test: bool

    @property
    def chosen(self) -> str:
        return self.pair.response_a if self.pair.human_label == "a" else self.pair.response_b

    @property
    def rejected(self) -> str:
        return self.pair.response_b if self.pair.human_label == "a" else self.pair.response_a


@dataclass
class Counts:
    """What was read: the tally of dropped rows, and repeated pairs whose label is the other one."""

    tally: Tally = field(default_factory=Tally)
    contradicted: int = 0


def opened(job: Job, *, first: int | None = None) -> Opened:
    """Rows and reader; where nobody said what the columns hold, the first rows do. `first`: only so many rows for
    training, read from the hub as they are taken."""
    row = catalog.DATASETS.get(job.source)
    settings = _settings(job)
    source = open_source(settings, streamed=first is not None)
    rows = itertools.islice(source.train, first)
    head = list(itertools.islice(rows, HEAD))
    known = row is not None or any(one.repo == job.source for one in catalog.DATASETS.values())
    columns = job.columns if job.columns is not None or known else columns_needed(head)
    train = shaped(itertools.chain(head, rows), columns)
    test = None if source.test is None or first is not None else shaped(source.test, columns)
    reader = source.to_pair if columns is None else reader_by(columns)
    plain = [at.row for at in head if at.row is not None]
    return Opened(
        source=Source(train=train, test=test, to_pair=reader),
        columns=columns,
        guess=columns or detected(plain) or guessed(plain),
        revision=settings.revision,
        names=names_of(head),
    )


def _settings(job: Job) -> DataSettings:
    """What a run on this source would read, all of it and pinned."""
    row = catalog.DATASETS.get(job.source)
    shipped = row is not None and row.file is not None
    if row is not None and row.repo is None and not shipped:
        raise DataError(MADE)
    local = row is None and hub.is_local(job.source)
    wanted = job.revision or (row.revision if row is not None else None)
    repo = str(row.repo) if row is not None else job.source
    revision = None if local or shipped else hub.resolve_revision("dataset", repo, wanted, field="data.dataset")
    return DataSettings(
        dataset=str(paths.local(job.source)) if local else job.source,
        revision=revision,
        subset=job.subset or (row.subset if row is not None else None),
        max_pairs=None,
        length_rule=None,
        test_prompts=job.split.test_prompts,
        evaluation_seed=job.split.evaluation_seed,
        sandbox=None,
        parts=dict(row.parts) if row is not None and row.parts and job.subset is None else None,
    )


def pairs_of(source: Source, counts: Counts, report: Callable[[int], None]) -> Iterator[ReadPair]:
    """Every usable pair once, as a run would keep it; the others are counted."""
    labels: dict[str, str | None] = {}
    for test, rows in ((False, source.train), (True, source.test or ())):
        for at in _reported(rows, counts.tally, report):
            counts.tally.rows += at.rows
            try:
                if at.row is None:
                    raise BadRow(at.reason, at.problem)
                pair = replace(to_candidate(source.to_pair(at.row)), source=source_of(at.row))
                if pair.pair_id in labels:
                    other = labels[pair.pair_id] != pair.human_label
                    counts.contradicted += other
                    label = ", with the other one preferred" if other else ""
                    raise BadRow("duplicate", f"the same prompt and responses came before{label}")
            except BadRow as bad:
                counts.tally.reject(bad.reason, line=at.line, detail=bad.detail)
                continue
            labels[pair.pair_id] = pair.human_label
            yield ReadPair(line=at.line, pair=pair, test=test)


def _reported(rows: Iterable[RowAt], tally: Tally, report: Callable[[int], None]) -> Iterator[RowAt]:
    for place, at in enumerate(rows):
        if place % EVERY == 0:
            report(tally.rows)
        yield at


def test_prompts(prompts: Mapping[str, bool], split: Split, clusters: Mapping[str, str]) -> set[str]:
    """The held-out prompts: of the publisher's test split where there is one, of all otherwise. prompts: id -> whether
    it stands in that split. Of a small dataset a sixth at most; whole clusters of related prompts."""
    ours = [name for name, test in prompts.items() if test] or list(prompts)
    most = len(ours) if any(prompts.values()) else len(ours) // (FEWEST_FOR_TRAINING + 1)
    each = [Prompt(prompt_id=name, prompt="", cluster=clusters[name]) for name in ours]
    held = hold_out(each, min(split.test_prompts, most), evaluation_seed=split.evaluation_seed)
    return {prompt.prompt_id for prompt in held}


def related_to(held: Collection[str], clusters: Mapping[str, str]) -> set[str]:
    """The prompts in the clusters of the held-out ones, themselves among them: none of them is for training."""
    left_out = {clusters[name] for name in held}
    return {name for name, cluster in clusters.items() if cluster in left_out}


def part_by(pairs: Iterable[tuple[str, str | None]], split: Split, clusters: Mapping[str, str]) -> Callable[[str], str]:
    """Says of a training prompt whether it is labeled; pairs: prompt id and source of each."""
    rule = SplitSettings(label_fraction=split.label_fraction, split_seed=split.split_seed)
    found = split_prompts(pairs, rule, {name: cluster for name, cluster in clusters.items() if name != cluster})
    return lambda prompt_id: "labeled" if found.has("labeled", prompt_id) else "unlabeled"
