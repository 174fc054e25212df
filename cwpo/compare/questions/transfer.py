"""How annotators of one source or dataset label pairs of another: one row for each of both. Pure: configurations in,
rows out."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from cwpo.compare.alignment_end import mean_known
from cwpo.compare.questions.gains import Quality
from cwpo.config import catalog
from cwpo.config.parts import named_sources
from cwpo.config.run import RunConfig

EVERY = "all sources"
CONTENT = "sha256:"  # begins the revision of a file


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where pairs are from: some data, a subset of it, and the sources in it that are named; none are all of them.

    data: what tells it apart: the content of a file, whatever that is called, or the name of a dataset.
    """

    data: str
    dataset: str = field(compare=False)
    subset: str = ""
    sources: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, dataset: str, *, revision: str | None = None, subset: str | None = None, sources: Sequence[str] = ()
    ) -> "Source":
        """As a configuration has them."""
        content = revision if revision is not None and revision.startswith(CONTENT) else dataset
        return cls(data=content, dataset=dataset, subset=subset or "", sources=tuple(sources))


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """Annotators with labels of one source on pairs of another, as the mean over their seeds; shares in [0, 1]."""

    learned: str
    labels: str
    n_seeds: int
    accuracy: float | None
    auroc: float | None  # of C against right labels
    ece: float | None
    mean_confidence: float | None

    @property
    def borne_out(self) -> float | None:
        """The mean C that the labels met bear out, as C = 2P − 1; a larger mean C is overstated."""
        return None if self.accuracy is None else 2 * self.accuracy - 1

    @property
    def own(self) -> bool:
        """Whether it labels what it learned from."""
        return self.learned == self.labels


Cell = tuple[Source, Source]  # what was learned and what was labeled
NOTHING: Mapping[str, Source] = MappingProxyType({})


def transfer_rows(
    configs: Mapping[int, RunConfig], quality: Mapping[int, Quality], used: Mapping[str, Source] = NOTHING
) -> list[TransferRow]:
    """By what labels were learned and what pairs were labeled.

    Of runs that name sources, of runs that use an annotator of other data, and, beside the latter, of those that label
    the data of one of them with annotators of the same data. `used`: what the annotators that runs use learned from, by
    fingerprint; where that is not known, the run is left out. Labels of one seed by one annotator count once.
    """
    places = {
        run_id: place
        for run_id, config in configs.items()
        if config.needs_annotator and run_id in quality and (place := _cell(config, used)) is not None
    }
    crossed = {
        source
        for run_id, place in places.items()
        if configs[run_id].annotator.use is not None and place[0] != place[1]
        for source in place
    }
    cells: dict[Cell, dict[tuple[int, str | None], Quality]] = {}
    for run_id, place in places.items():
        config = configs[run_id]
        if config.data.shifted or place[0] != place[1] or place[0] in crossed:
            cells.setdefault(place, {}).setdefault((config.seed, config.annotator.use), quality[run_id])
    names = _names({source for place in cells for source in place})
    rows = [_row(names[place[0]], names[place[1]], found) for place, found in cells.items()]
    return sorted(rows, key=lambda row: (row.learned, row.labels))


def _cell(config: RunConfig, used: Mapping[str, Source]) -> Cell | None:
    """An annotator that is used learned from its own data, whatever sources this run names for its labeled part."""
    data, use = config.data, config.annotator.use
    whole = Source.of(data.dataset, revision=data.revision, subset=data.subset)
    labels = replace(whole, sources=named_sources(data.unlabeled_sources) or ())
    if use is None:
        return replace(whole, sources=named_sources(data.labeled_sources) or ()), labels
    return (used[use], labels) if use in used else None


def _names(sources: Collection[Source]) -> dict[Source, str]:
    """facts + ask; with the name of its dataset unless the sandbox is the only one, and without sources where none of
    that dataset is named."""
    called = {_place(one): _called(one) for one in sources}
    several = Counter(called.values())
    divided = {_place(one) for one in sources if one.sources}
    found = {}
    for one in sources:
        name, said = called[_place(one)], " + ".join(one.sources) or EVERY
        name = name if several[name] == 1 else _in_full(one)
        alone = one.dataset == "sandbox" and len(called) == 1
        found[one] = said if alone else f"{name}: {said}" if _place(one) in divided else name
    return found


def _place(source: Source) -> tuple[str, str]:
    return source.data, source.subset


def _called(source: Source) -> str:
    row = catalog.DATASETS.get(source.dataset)
    name = row.label if row else catalog.short_name(source.dataset)
    return f"{name} {source.subset}" if source.subset else name


def _in_full(source: Source) -> str:
    """Where another one is called alike: its whole name, of a file with the first digits of its content."""
    content = source.data.removeprefix(CONTENT)[:8] if source.data != source.dataset else ""
    return " ".join(filter(None, (source.dataset, source.subset, content)))


def _row(learned: str, labels: str, found: Mapping[tuple[int, str | None], Quality]) -> TransferRow:
    known = list(found.values())
    return TransferRow(
        learned=learned,
        labels=labels,
        n_seeds=len({seed for seed, _ in found}),
        accuracy=mean_known(one.accuracy for one in known),
        auroc=mean_known(one.auroc for one in known),
        ece=mean_known(one.ece for one in known),
        mean_confidence=mean_known(one.mean_confidence for one in known),
    )
