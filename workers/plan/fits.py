"""On which cards the stages of a run fit, and in which way: for `cwpo plan`, New run and the table in the docs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cwpo.config import catalog
from cwpo.config.run import RunConfig, merged
from cwpo.models import memory_estimate
from cwpo.models.shape import Shape, shape_of
from cwpo.models.sizes.configurations import CONFIGURATIONS
from cwpo.models.sizes.fits import AS_IT_IS, CARDS, GIGABYTE, Cache, Way, cache_of, first_that_fits, ways, words_of
from cwpo.report.numbers import size
from cwpo.stages.graph import StageSpec, build
from cwpo.stages.kinds import label_of
from workers.plan.memory import Machine, Model, model_of, models_of

DATASET = "hh-harmless"  # whose stages the table of the catalog is about
GOLD = "skywork-qwen3-0.6b"


@dataclass(frozen=True, kw_only=True)
class StageFit:
    """A stage with a model of known size: the ways to compute it, from the fastest on."""

    kind: str
    model: str
    ways: tuple[Way, ...]
    cache: Cache | None = None  # of a stage that samples in bf16
    before: int = 0  # bytes of the first way with frozen weights in float32
    host_before: int = 0

    def on(self, gigabytes: float) -> Way | None:
        """The first way that fits a card of so many GB."""
        return first_that_fits(self.ways, gigabytes)

    def largest_cache(self, gigabytes: float) -> tuple[float, Way] | None:
        """The largest evaluation.cache_gb on a card of so many GB, and the way, which fits or would with less of it;
        None where nothing does."""
        way = self.on(gigabytes)
        number = self.ways.index(way) if way is not None else None
        found = self.cache.largest(gigabytes, number) if self.cache is not None else None
        return None if found is None else (found[0], self.ways[found[1]])


def stage_fits(
    config: RunConfig, specs: Mapping[str, StageSpec], shapes: Mapping[Model, Shape | None]
) -> list[StageFit]:
    """One for each kind of stage and model, in the order of the graph; sizes that nobody knows are left out."""
    found: dict[tuple[str, str], StageFit] = {}
    for spec in specs.values():
        model = model_of(config, spec)
        shape = shapes.get(model) if model else None
        if model is None or shape is None or (spec.kind, model[0]) in found:
            continue
        tokens, models = config.execution.tokens_per_batch, models_of(spec)
        ways_of = partial(
            ways, shape=shape, tokens=tokens, models=models, adapted=config.model.lora is not None,
            asked=config.execution.gradient_checkpointing,
        )  # fmt: skip
        possible = ways_of(spec.settings)
        before = memory_estimate.of_stage(spec.settings, shape, tokens=tokens, models=models, before=True)
        if possible and before is not None:
            found[spec.kind, model[0]] = StageFit(
                kind=spec.kind, model=model[0], ways=tuple(possible), cache=cache_of(spec.settings, ways_of),
                before=before.total, host_before=before.host,
            )  # fmt: skip
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class Said:
    """Sentences of a plan. fits: how its stages fit a card; caches: how large evaluation.cache_gb may be there."""

    fits: str = ""
    caches: str = ""


def said_of(runs: Iterable[tuple[RunConfig, Mapping[str, StageSpec]]], machine: Machine) -> Said:
    """How the stages of these runs fit the GPU that is known here; empty where none is, or they are not for it."""
    have = machine.memory.get("gpu")
    if have is None:
        return Said()
    largest: dict[tuple[str, str], StageFit] = {}
    for config, specs in runs:
        if config.execution.device != "cpu" and not config.is_sandbox:
            for fit in stage_fits(config, specs, machine.shapes):
                known = largest.setdefault((fit.kind, fit.model), fit)
                if fit.ways[0].bytes > known.ways[0].bytes:
                    largest[fit.kind, fit.model] = fit
    found, gigabytes = list(largest.values()), have / GIGABYTE
    return Said(fits=sentence(found, gigabytes), caches=" ".join(cache_lines(found, gigabytes)))


def on_gpu(config: RunConfig) -> RunConfig:
    """The run as a GPU would execute it, which decides `model.precision: auto`."""
    if config.model.precision != "auto":
        return config
    return RunConfig.parse(merged(config.canonical(), {"model": {"precision": "bf16"}}))


def catalog_runs() -> list[tuple[str, RunConfig]]:
    """Every pair of the catalog that comes from the hub, with an adapter and whole: a name and its run."""
    found = []
    for pair in catalog.MODEL_PAIRS.values():
        if pair.family not in ("sandbox", "fetched"):
            for what, lora in (("LoRA", {}), ("whole", {"lora": None})):
                model = {"annotator": pair.annotator, "policy": pair.policy, "precision": "bf16", **lora}
                over = {"model": model, "data": {"dataset": DATASET}, "evaluation": {"gold_reward": GOLD}}
                found.append((f"{pair.label}, {what}", RunConfig.parse(over)))
    return found


def catalog_shapes() -> dict[Model, Shape | None]:
    """The models of the catalog, whatever their commit."""
    return {(name, None): shape_of(sizes) for name, sizes in CONFIGURATIONS.items()}


def catalog_fits() -> list[tuple[str, list[StageFit]]]:
    """The stages of every pair of the catalog."""
    found = []
    for name, config in catalog_runs():
        specs = build(config)
        found.append((name, stage_fits(config, specs, _shapes_of(config, specs))))
    return found


def judge_fits() -> list[tuple[str, StageFit]]:
    """Each reward model of the catalog by its label, and the stage in which it scores; pairs do not change it."""
    found = []
    for row in catalog.GOLD_REWARDS.values():
        if row.kind == "model":
            over = {"data": {"dataset": DATASET}, "evaluation": {"gold_reward": row.name}}
            config = RunConfig.parse({**over, "model": {"precision": "bf16"}})
            scores = {name: spec for name, spec in build(config).items() if spec.kind == "scores"}
            found += [(row.label, fit) for fit in stage_fits(config, scores, _shapes_of(config, scores))]
    return found


def _shapes_of(config: RunConfig, specs: Mapping[str, StageSpec]) -> dict[Model, Shape | None]:
    """Of every model of these stages, as the catalog knows it, whatever its commit."""
    shapes = catalog_shapes()
    return {model: shapes.get((model[0], None)) for spec in specs.values() if (model := model_of(config, spec))}


HEADINGS = ("stage", "model", "card", "fits", "host")
EXPLAINED = (
    "Estimated from the models' sizes, with 1 GB of each card for CUDA: card is what a stage takes as it is, host the "
    "memory of the machine beside it. 4 bits is model.quantization: nf4, several cards execution.gpus; docs/memory.md "
    "has the arithmetic."
)


def rows(fits: Iterable[StageFit], gigabytes: float) -> list[tuple[str, str, str, str, str]]:
    """What each stage takes as it is, and how it fits a card of so many GB."""
    found = []
    for fit in fits:
        way = fit.on(gigabytes)
        said = f"{words_of(way)}, {gb(way.bytes)}" if way else _why_not(fit)
        found.append((label_of(fit.kind), fit.model, gb(fit.ways[0].bytes), said, gb((way or fit.ways[0]).host)))
    return found


def sentence(fits: Sequence[StageFit], gigabytes: float) -> str:
    """The same in one sentence: stages that fit as they are, those that need something, those that do not fit."""
    groups: dict[str, list[str]] = {}
    for fit in fits:
        way = fit.on(gigabytes)
        words = "nothing helps" if way is None else words_of(way)
        groups.setdefault(words, []).append(label_of(fit.kind))
    said = {"nothing helps": "too large in every way", "as it is": "fit as they are"}
    parts = [f"{', '.join(dict.fromkeys(names))} {said.get(words, words)}" for words, names in groups.items()]
    return f"On cards of {gigabytes:.0f} GB: {'; '.join(parts)}." if parts else ""


def cache_lines(fits: Iterable[StageFit], gigabytes: float) -> list[str]:
    """A line for each stage that samples in bf16: the largest evaluation.cache_gb on a card of so many GB."""
    found = []
    for fit in fits:
        if fit.cache is None:
            continue
        largest, card = fit.largest_cache(gigabytes), f"a card of {gigabytes:.4g} GB"
        if largest is None:
            found.append(f"{label_of(fit.kind)}: no evaluation.cache_gb is small enough for {card}.")
        else:
            cache, way = largest
            how = "" if words_of(way) == AS_IT_IS else f" {words_of(way)}"
            found.append(f"{label_of(fit.kind)}: the largest evaluation.cache_gb for {card} is {cache:.1f}{how}.")
    return found


def smallest_card(fits: Sequence[StageFit]) -> int | None:
    """The smallest usual card on which every stage fits in some way."""
    return next((card for card in CARDS if all(fit.on(card) is not None for fit in fits)), None)


def gb(number_of_bytes: int) -> str:
    """One decimal below 10 GB, none above."""
    return size(float(f"{number_of_bytes:.2g}")).replace(".0 ", " ")


def _why_not(fit: StageFit) -> str:
    least = min(fit.ways, key=lambda way: way.bytes)
    return f"no: {gb(least.bytes)} {words_of(least)}"
