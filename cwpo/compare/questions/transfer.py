"""How annotators of one source label pairs of another: one row for each of both. Pure: configurations in, rows out."""

from collections.abc import Mapping
from dataclasses import dataclass

from cwpo.compare.alignment_end import mean_known
from cwpo.compare.questions.gains import Quality
from cwpo.config import catalog
from cwpo.config.parts import named_sources
from cwpo.config.run import RunConfig

EVERY = "all sources"


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
    def own(self) -> bool:
        """Whether it labels what it learned from."""
        return self.learned == self.labels


def transfer_rows(configs: Mapping[int, RunConfig], quality: Mapping[int, Quality]) -> list[TransferRow]:
    """By what labels were learned and what pairs were labeled, of runs that name sources; runs of one seed share an
    annotator and count once. Nothing for runs that name none."""
    cells: dict[tuple[str, str], dict[int, Quality]] = {}
    for run_id, config in configs.items():
        if config.data.shifted and config.needs_annotator and run_id in quality:
            place = tuple(_named(config, text) for text in (config.data.labeled_sources, config.data.unlabeled_sources))
            cells.setdefault((place[0], place[1]), {}).setdefault(config.seed, quality[run_id])
    return [_row(place, list(found.values())) for place, found in sorted(cells.items())]


def _named(config: RunConfig, text: str | None) -> str:
    """facts + ask; of another dataset than the sandbox with its name."""
    names = named_sources(text)
    said = EVERY if names is None else " + ".join(names)
    row = catalog.DATASETS.get(config.data.dataset)
    return said if config.is_sandbox else f"{row.label if row else catalog.short_name(config.data.dataset)}: {said}"


def _row(place: tuple[str, str], known: list[Quality]) -> TransferRow:
    return TransferRow(
        learned=place[0],
        labels=place[1],
        n_seeds=len(known),
        accuracy=mean_known(one.accuracy for one in known),
        auroc=mean_known(one.auroc for one in known),
        ece=mean_known(one.ece for one in known),
        mean_confidence=mean_known(one.mean_confidence for one in known),
    )
