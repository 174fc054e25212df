"""Which of the pairs to label an existing annotator has met: those of prompts that it was trained on, and related ones.

What it was trained on is read from its manifest and its data, as far as they are in the store. Torch-free.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cwpo.artifacts import ArtifactStore
from cwpo.data import relabels
from cwpo.data.pairs import load_part
from cwpo.data.related.clusters import Related, clusters_of
from cwpo.records import CandidatePair
from cwpo.stages.kinds import stored_settings
from cwpo.stages.settings import AnnotatorSettings
from cwpo.stages.stored_annotator import STAGE_KIND


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """Prompts, of those to label, that are met; `known`: whether the annotator's own data are here to tell."""

    prompts: frozenset[str]
    known: bool = True


def trained_on(
    store: ArtifactStore, annotator: str, pairs: Iterable[CandidatePair], *, tasks: bool = False
) -> TrainedOn:
    """The prompts of these pairs that are related to one of the annotator's labeled pairs; with `tasks` those of the
    sandbox that set a task of one of them, in whatever words."""
    labeled = labeled_of(store, annotator)
    if labeled is None:
        return TrainedOn(prompts=frozenset(), known=False)
    ours = set[str]()

    def every() -> Iterator[CandidatePair]:
        for pair in pairs:
            ours.add(pair.prompt_id)
            yield pair
        yield from labeled

    clusters = _tasks(every()) if tasks else _related(every())
    met = {clusters[pair.prompt_id] for pair in labeled}
    return TrainedOn(prompts=frozenset(name for name in ours if clusters[name] in met))


def _tasks(pairs: Iterable[CandidatePair]) -> dict[str, str]:
    """Prompt -> its task: as the data say, or as its text is read where they are divided by prompt."""
    found: dict[str, str] = {}
    for pair in pairs:
        if pair.cluster is not None:
            found[pair.prompt_id] = pair.cluster
        elif pair.prompt_id not in found:
            found |= clusters_of([(pair.prompt_id, pair.prompt)], sandbox=True)
    return found


def _related(pairs: Iterable[CandidatePair]) -> dict[str, str]:
    """Prompt -> what its text is related to."""
    related = Related()
    for pair in pairs:
        related.add(pair.prompt_id, pair.prompt, (pair.response_a, pair.response_b))
    return related.clusters()


def labeled_of(store: ArtifactStore, annotator: str) -> list[CandidatePair] | None:
    """The labeled pairs that an annotator of the store was trained on; None where its data are gone."""
    meta = store.info(annotator).meta
    settings = stored_settings(STAGE_KIND, meta["config"])
    source = dict(meta.get("inputs") or {}).get("data")
    data = store.find(source) if source else None
    if data is None or not isinstance(settings, AnnotatorSettings):
        return None
    if settings.relabels is None:
        return load_part(data, "labeled", settings)
    if not store.holds(settings.relabels):
        return None
    return load_part(data, "labeled", settings, relabels.by_pair(relabels.read(store, settings.relabels)))
