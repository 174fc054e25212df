"""Which repositories of the hub a run reads, for those who download them before it starts. Free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from cwpo.config import catalog
from cwpo.config.catalog import ModelPin
from cwpo.config.run import RunConfig
from cwpo.models import hub
from cwpo.models.hub import RepoKind

TOKENIZER = "data.length_rule.tokenizer"


@dataclass(frozen=True, kw_only=True)
class Needed:
    """A repository that a run reads. `revision`: what to ask the hub for; `pin`: what it must then be.

    weights: False where the tokenizer is all that is read. subset: of a dataset.
    """

    kind: RepoKind
    field: str
    name: str
    revision: str | None = None
    pin: ModelPin | None = None
    weights: bool = True
    subset: str | None = None


def needed(config: RunConfig) -> tuple[Needed, ...]:
    """Everything that the stages of a run read from the hub; models of the sandbox and local paths are none of it."""
    every = (*_datasets(config), *_models(config))
    return tuple(dict.fromkeys(one for one in every if not _is_here(one.name)))


def _is_here(name: str) -> bool:
    return name in catalog.SANDBOX_MODELS or hub.is_local(name)


def _datasets(config: RunConfig) -> Iterator[Needed]:
    part = config.data
    row = catalog.DATASETS.get(part.dataset)
    if config.is_sandbox or (row is not None and row.file) or (row is None and hub.is_local(part.dataset)):
        return
    repo = row.repo if row and row.repo else part.dataset
    revision = part.revision or (row.revision if row else None)
    joined = tuple(row.parts.values()) if row and row.parts and part.subset is None else None
    for subset in joined or (part.subset or (row.subset if row else None),):
        yield Needed(kind="dataset", field="data.dataset", name=repo, revision=revision, subset=subset)


def _models(config: RunConfig) -> Iterator[Needed]:
    model, evaluation = config.model, config.evaluation
    own_gold = evaluation.gold_reward == "trained" and evaluation.gold_model is None
    if config.trains_annotator or own_gold:
        yield _model("model.annotator", model.annotator, model.annotator_revision)
    yield _model("model.policy", model.policy, model.policy_revision)
    if evaluation.gold_reward == "trained" and evaluation.gold_model is not None:
        yield Needed(kind="model", field="evaluation.gold_model", name=evaluation.gold_model)
    row = catalog.GOLD_REWARDS.get(str(evaluation.gold_reward))
    if row is None or row.kind == "model":
        name = str(row.model) if row else str(evaluation.gold_reward)
        revision = evaluation.gold_revision or (row.revision if row else None)
        yield _model("evaluation.gold_reward", name, revision)
    judge = evaluation.judge
    if judge is not None and judge.kind == "local":
        yield _model("evaluation.judge.model", judge.model.strip(), judge.revision)
    along = evaluation.along
    second = catalog.GOLD_REWARDS.get((along.second if along else None) or "oracle")
    if along is not None and (second is None or second.kind == "model"):
        name = str(second.model) if second else str(along.second)
        revision = along.second_revision or (second.revision if second else None)
        yield _model("evaluation.along.second", name, revision)
    rule = config.data.length_rule
    if rule is not None and rule.tokenizer is not None:
        yield _model(TOKENIZER, rule.tokenizer, rule.tokenizer_revision, weights=False)


def _model(field: str, name: str, revision: str | None, *, weights: bool = True) -> Needed:
    """Under the commit that the catalog knows, where the run names none."""
    pin = None if revision else catalog.MODEL_PINS.get(name)
    wanted = pin.revision if pin else revision
    return Needed(kind="model", field=field, name=name, revision=wanted, pin=pin, weights=weights)
