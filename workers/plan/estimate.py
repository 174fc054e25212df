"""What submitting runs would compute, reuse, take and use up. Pure: configurations and rows in, figures out.

Seconds come from finished stages of the same kind, model and kind of device. What they took for their work is scaled by
how much there is to do: pairs × epochs where something is trained, pairs where they are labeled or read by the
reference, answers where they are generated or scored; a stage without such a size takes the mean. It is scaled by
tokens too where they were counted: those of an answer as far as evaluation.max_new_tokens lets it go on, and those of
a pair of the same data. What they took before and behind it (loading, writing) is the mean.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean

from cwpo.compare.human_labels import human_labels, share_of_pairs
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError, SettingsError
from cwpo.stages.along.planned import answers_of
from cwpo.stages.along.settings import BestOfSettings, JudgedSettings
from cwpo.stages.graph import StageSpec
from cwpo.stages.kinds import KINDS, stored_settings
from cwpo.stages.online import OnlineSettings
from cwpo.stages.settings import (
    AlignSettings,
    AnnotatorSettings,
    GoldSettings,
    JudgeSettings,
    LabelSettings,
    PreferenceSettings,
    ReferenceSettings,
    SampleSettings,
    ScorerSettings,
    ScoreSettings,
    Settings,
    SftSettings,
)
from db.records import MeasuredStage, RunLike
from db.status import DONE, LIVE
from workers.plan import fits as plan_fits
from workers.plan import judging as plan_judging
from workers.plan import memory as plan_memory
from workers.plan import needs as plan_needs
from workers.plan import submission
from workers.plan.judging import Judging
from workers.plan.lasting import Done, Lasting, Work
from workers.plan.memory import Machine, Memory, device_name

DEVICES = ("gpu", "cpu")
KEPT = 1_024  # finished stages whose work is known
SHARES_PERCENT = ("top", "random", "bottom")  # weightings that keep `percent` of the pairs


@dataclass(frozen=True, kw_only=True)
class KindPlan:
    """One kind of stage. `seconds`: of work for what is not done yet; None when nothing like it was measured."""

    kind: str
    to_compute: int
    shared: int  # slots that need no stage of their own, because runs of this plan or of others share it
    wanted: int  # of these, the ones whose stage other runs have queued
    done: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What submitting would do. `seconds`: of work for one worker; None when a kind of stage never ran here."""

    runs: int
    stages: int
    stages_new: int
    stages_shared: int
    stages_wanted: int
    stages_done: int
    kinds: tuple[KindPlan, ...]
    device_seconds: Mapping[str, float]  # of the kinds that were measured
    workers: Mapping[str, int]  # alive, by device
    wall_seconds: float | None  # with these workers
    human_labels: int | None  # None until the data were read once
    gpu: bool  # whether something of it is left to do on a GPU
    memory: Memory
    fits: str = ""  # how its stages fit the GPU that is known
    caches: str = ""  # how large evaluation.cache_gb may be there
    existing: tuple[RunLike | None, ...] = ()  # for each run, in order, one that has its configuration already
    warnings: tuple[str, ...] = ()  # what will likely go wrong
    judging: Judging | None = None  # what judge models are asked; None: none is
    along: tuple[int, int] = (0, 0)  # answers of models along the alignments and of baselines, beside the evaluation's
    single: tuple[str, ...] = ()  # kinds with a model that one process computes although more cards are asked for

    @property
    def stages_reused(self) -> int:
        """Stages that were there before: done, or queued for other runs."""
        return self.stages_done + self.stages_wanted

    @property
    def stages_left(self) -> int:
        """Stages that are not done yet, those that other runs have queued among them."""
        return self.stages_new + self.stages_wanted

    @property
    def seconds(self) -> float | None:
        return None if self.unmeasured else sum(kind.seconds or 0.0 for kind in self.kinds)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        return tuple(kind.kind for kind in self.kinds if kind.seconds is None)


@dataclass(frozen=True, kw_only=True)
class PlanInputs:
    """What the database says about the stages of a plan."""

    status: Mapping[str, str]  # by fingerprint
    pairs: Mapping[str, int]  # of finished data stages, by fingerprint
    measured: Sequence[MeasuredStage]
    workers: Mapping[str, int]
    gpu: bool  # whether a GPU will execute what does not say where
    machine: Machine = field(default_factory=Machine)
    price: tuple[float, float] | None = None  # of a million tokens of a judge model, read and written
    sets: Mapping[str, int] = field(default_factory=dict)  # pairs that people decided, by the set's fingerprint


Graph = Mapping[str, StageSpec]


def make(runs: Sequence[tuple[RunConfig, Graph]], known: PlanInputs) -> Plan:
    """The plan of these runs."""
    specs = {spec.fingerprint: (config, spec) for config, graph in reversed(runs) for spec in graph.values()}
    slots = [spec for _, graph in runs for spec in graph.values()]
    pairs = {graph["data"].fingerprint: _pairs(config, graph, known) for config, graph in runs}
    data_of = {spec.fingerprint: graph["data"].fingerprint for _, graph in runs for spec in graph.values()}
    seconds: dict[str, float | None] = {}
    gpu = False
    devices: dict[str, float] = dict.fromkeys(DEVICES, 0.0)
    speed = Speed(known.measured)
    todo = [pair for fingerprint, pair in specs.items() if known.status.get(fingerprint) != DONE]
    for fingerprint, (config, spec) in specs.items():
        if known.status.get(fingerprint) == DONE:
            seconds[fingerprint] = 0.0
            continue
        device = device_name(submission.device_of(config, spec, gpu=known.gpu))
        found = speed.seconds(config, spec, device, pairs[data_of[fingerprint]])
        seconds[fingerprint] = found
        gpu |= device == "gpu"
        devices[device] += found or 0.0
    kinds = tuple(
        _kind(kind, [spec for spec in slots if spec.kind == kind], known.status, seconds)
        for kind in dict.fromkeys(spec.kind for spec in slots)
    )
    said = plan_fits.said_of(runs, known.machine) if known.gpu else plan_fits.Said()
    return Plan(
        runs=len(runs),
        stages=len(slots),
        stages_new=sum(kind.to_compute for kind in kinds),
        stages_shared=sum(kind.shared for kind in kinds),
        stages_wanted=sum(kind.wanted for kind in kinds),
        stages_done=sum(kind.done for kind in kinds),
        kinds=kinds,
        device_seconds=devices,
        workers=known.workers,
        wall_seconds=_wall([graph for _, graph in runs], seconds, devices, known.workers),
        human_labels=human_labels(runs, pairs, known.sets),
        gpu=gpu,
        memory=plan_memory.needed(todo, known.machine, gpu=known.gpu),
        fits=said.fits,
        caches=said.caches,
        judging=plan_judging.of_plan([(config, spec.settings) for config, spec in todo], known.price),
        along=_along(todo),
        single=plan_needs.single(todo),
    )


def _along(todo: Sequence[tuple[RunConfig, StageSpec]]) -> tuple[int, int]:
    """Answers of models along the alignments, and of baselines for their best of n, over the distinct stages to do."""
    sizes = {
        best: sum(
            int(_size(spec.settings, config, None) or 0)
            for config, spec in todo
            if isinstance(spec.settings, JudgedSettings) and isinstance(spec.settings, BestOfSettings) == best
        )
        for best in (False, True)
    }
    return sizes[False], sizes[True]


def _kind(
    kind: str, slots: Sequence[StageSpec], status: Mapping[str, str], seconds: Mapping[str, float | None]
) -> KindPlan:
    distinct = {spec.fingerprint for spec in slots}
    done = sum(status.get(fingerprint) == DONE for fingerprint in distinct)
    live = sum(status.get(fingerprint) in LIVE for fingerprint in distinct)
    each = [seconds[fingerprint] for fingerprint in distinct]
    return KindPlan(
        kind=kind,
        to_compute=len(distinct) - done - live,
        shared=len(slots) - len(distinct) + live,
        wanted=live,
        done=done,
        seconds=None if None in each else sum(value or 0.0 for value in each),
    )


def _wall(
    graphs: Sequence[Graph],
    seconds: Mapping[str, float | None],
    devices: Mapping[str, float],
    workers: Mapping[str, int],
) -> float | None:
    """The busiest device's work divided by its workers, and never less than the longest chain of one run."""
    if any(value is None for value in seconds.values()):
        return None
    busiest = max(total / max(1, workers.get(device, 0)) for device, total in devices.items())
    return max([busiest, *(_chain(graph, seconds) for graph in graphs)])


def _chain(graph: Graph, seconds: Mapping[str, float | None]) -> float:
    ends: dict[str, float] = {}
    for slot, spec in graph.items():
        ends[slot] = max((ends[source] for source in spec.inputs.values()), default=0.0)
        ends[slot] += seconds[spec.fingerprint] or 0.0
    return max(ends.values())


# ---- how long -------------------------------------------------------------------------------------------------------


class Speed:
    """Seconds of finished stages by kind, model and kind of device, with what each had to do and the tokens it met."""

    def __init__(self, measured: Sequence[MeasuredStage]) -> None:
        self._seen: dict[tuple[str, str, str], list[Done]] = {}
        self._answers: dict[str, list[Done]] = {}  # by model: stages that counted the tokens of its answers
        self._pairs: dict[tuple[str, str], list[float]] = {}  # by model and texts: tokens of a pair
        for row in measured:
            done = Done(lasting=_lasting(row), work=_measured_work(row), tokens=row.tokens, ended=row.ended)
            self._seen.setdefault((row.kind, row.model, device_name(row.device)), []).append(done)
            if done.tokens and done.work.longest is not None:
                self._answers.setdefault(row.model, []).append(done)
            if done.tokens and done.work.texts is not None:
                self._pairs.setdefault((row.model, done.work.texts), []).append(done.tokens)

    def seconds(self, config: RunConfig, spec: StageSpec, device: str, pairs: int | None) -> float | None:
        """What is not work as it was in the mean, and size × seconds per unit where both sizes are known, else the
        mean of that too; None where nothing was measured."""
        model = submission.model_of(config, spec) or ""
        found = self.of(spec.kind, model, device, work_of(spec.settings, config, pairs))
        return None if found is None else found.total

    def like(self, row: MeasuredStage) -> Lasting | None:
        """The same for a stage that is finished: what would have been said of it."""
        return self.of(row.kind, row.model, device_name(row.device), _measured_work(row))

    def of(self, kind: str, model: str, device: str, work: Work) -> Lasting | None:
        """The same for a stage of that kind with that work; light stages are as fast anywhere. Adapters go by other
        adapters, whole models by whole ones, where there are any."""
        devices = DEVICES if kind in KINDS and KINDS[kind].light else (device,)
        seen = [done for name in devices for done in self._seen.get((kind, model, name), [])]
        seen = [done for done in seen if done.work.judge in (work.judge, None)]
        if not seen:
            return None
        seen = [done for done in seen if done.work.adapters == work.adapters] or seen
        worked = [(done.lasting.work * self._tokens(done, model, work), done.work.size) for done in seen]
        sized = [(seconds, size) for seconds, size in worked if size]
        if work.size is not None and sized:
            expected = work.size * sum(seconds for seconds, _ in sized) / sum(size for _, size in sized)
        else:
            expected = fmean(seconds for seconds, _ in worked)
        told = [done.lasting for done in seen if done.lasting.start or done.lasting.end] or [seen[0].lasting]
        return Lasting(
            start=fmean(lasting.start for lasting in told), work=expected, end=fmean(lasting.end for lasting in told)
        )

    def _tokens(self, done: Done, model: str, work: Work) -> float:
        """How many times as many tokens an answer or a pair has there as it had here; 1 where that is not known.
        Stages that did not count their answers go by those of the same model that did."""
        if work.longest is not None and done.work.longest is not None:
            known = [done] if done.tokens else self._answers.get(model, [])
            both = [(one.answer_tokens(work.longest), one.answer_tokens(done.work.longest)) for one in known]
            times = [there / here for there, here in both if there and here]
            return fmean(times) if times else 1.0
        pair = self._pairs.get((model, work.texts)) if work.texts is not None else None
        return fmean(pair) / done.tokens if pair and done.tokens and done.work.texts is not None else 1.0


def _lasting(row: MeasuredStage) -> Lasting:
    """Its parts where it told when its work began and ended. The attempt began a moment before what `seconds` counts:
    where a process loaded its libraries first, that is no part of the stage."""
    if row.work_began is None or row.work_ended is None:
        return Lasting(work=row.seconds)
    worked = min(max(row.work_ended - row.work_began, 0.0), row.seconds)
    end = min(max(row.seconds - row.work_ended, 0.0), row.seconds - worked)
    return Lasting(start=row.seconds - worked - end, work=worked, end=end)


def _measured_work(row: MeasuredStage) -> Work:
    return _stored_work(row.kind, json.dumps(row.stage_config), json.dumps(row.config), row.pairs)


@lru_cache(maxsize=KEPT)
def _stored_work(kind: str, stage: str, run: str, pairs: int | None) -> Work:
    """Of the settings and the run as JSON; nothing is known where another version of the program wrote them. Reading
    them takes ten times as long as comparing their texts, and every plan is made from the same finished stages."""
    try:
        settings, config = stored_settings(kind, json.loads(stage)), RunConfig.stored(json.loads(run))
    except (SettingsError, KeyError, ConfigError):
        return Work()
    return work_of(settings, config, pairs)


def work_of(stage: Settings, config: RunConfig, pairs: int | None) -> Work:
    """What a stage of a run has to do with that many pairs of data."""
    return Work(
        size=_size(stage, config, pairs),
        adapters=isinstance(stage, PreferenceSettings) and stage.lora is not None,
        longest=stage.decoding.max_new_tokens if isinstance(stage, SampleSettings) else None,
        texts=_texts(stage, config),
        judge=_judge(stage, config),
    )


def _judge(stage: Settings, config: RunConfig) -> str | None:
    """Who scores answers; of a reward trained here, from which model."""
    if not isinstance(stage, ScoreSettings):
        return None
    own = stage.gold_reward
    return own.name if own.kind != "trained" else f"{own.name} {config.evaluation.gold_model or config.model.annotator}"


def _texts(stage: Settings, config: RunConfig) -> str | None:
    """The pairs that a stage reads, and as what: those of like stages have as many tokens in the mean."""
    if isinstance(stage, OnlineSettings):  # the policy writes them
        return None
    if isinstance(stage, ScorerSettings):
        form: str = stage.kind
    elif isinstance(stage, PreferenceSettings | ReferenceSettings):
        form = "answers" if isinstance(stage, SftSettings) else "pairs"
    else:
        return None
    data, columns = config.data, sorted((config.data.columns or {}).items())
    return repr((form, stage.max_length, data.dataset, data.revision, data.subset, columns, data.length_rule))


def _size(stage: Settings, config: RunConfig, pairs: int | None) -> float | None:
    if isinstance(stage, JudgedSettings):
        along = config.evaluation.along
        shown, samples = config.data.test_prompts, config.evaluation.samples
        written = (0, 0) if along is None else answers_of(along, shown, samples)
        return float(written[isinstance(stage, BestOfSettings)]) or None
    if isinstance(stage, SampleSettings | ScoreSettings):
        return float(config.data.test_prompts * config.evaluation.samples)
    if isinstance(stage, JudgeSettings):
        prompts = min(stage.prompts or config.data.test_prompts, config.data.test_prompts)
        return float(prompts * config.evaluation.samples * stage.judge.repeats)
    if pairs is None:
        return None
    if isinstance(stage, AnnotatorSettings):
        return pairs * share_of_pairs("labeled", stage, config) * stage.train.epochs
    if isinstance(stage, LabelSettings):
        times = config.annotator.members * config.annotator.passes
        return pairs * share_of_pairs("unlabeled", stage, config) * times
    if isinstance(stage, GoldSettings):
        return pairs * stage.train.epochs
    if isinstance(stage, ReferenceSettings):
        return pairs * share_of_pairs(stage.part, stage, config)
    if isinstance(stage, PreferenceSettings):
        return pairs * share_of_pairs(stage.part, stage, config) * stage.train.epochs * _kept(stage, config)
    return None


def _kept(stage: PreferenceSettings, config: RunConfig) -> float:
    """The share of a part that its weighting keeps, where epochs are counted over what is kept."""
    if not isinstance(stage, AlignSettings) or stage.weighting.name not in SHARES_PERCENT:
        return 1.0
    if isinstance(stage, OnlineSettings):  # its steps are counted over prompts
        return 1.0
    percent = stage.weighting.options.get("percent")
    return 1.0 if percent is None or config.align.steps == "pool" else float(percent) / 100


def _pairs(config: RunConfig, graph: Graph, known: PlanInputs) -> int | None:
    """How many pairs there are: as counted once, else as asked for."""
    counted = known.pairs.get(graph["data"].fingerprint)
    if counted is not None:
        return counted
    return config.data.sandbox.pairs if config.data.sandbox else config.data.max_pairs
