"""What of a run's configuration decides the result of each stage: settings from a RunConfig. Free of torch.

One function per kind of stage. A field of a run that changes a result is set in the function of every stage whose
result it changes; what no function here reads changes none.
"""

from dataclasses import fields
from typing import Any, Literal

from cwpo.config import catalog
from cwpo.config.parts import JudgeConfig, OnlineConfig, TrainConfig, named_sources
from cwpo.config.run import RunConfig
from cwpo.stages.fingerprint import BATCH_RULE, ENGINE_RULE, score_rule
from cwpo.stages.online import ANSWERS, OnlineSettings
from cwpo.stages.settings import (
    AlignSettings,
    AnnotatorSettings,
    ArchitectureSettings,
    BaseSettings,
    BatchSettings,
    CalibrationSettings,
    CardSettings,
    DataSettings,
    DecodingSettings,
    EngineSettings,
    EvaluationSettings,
    GoldRewardSettings,
    GoldSettings,
    ImplicitSettings,
    JudgeModelSettings,
    JudgeSettings,
    LabelSettings,
    LengthRuleSettings,
    LoraSettings,
    ObjectiveSettings,
    ReferenceSettings,
    SampleSettings,
    ScoreSettings,
    SftSettings,
    SwapSettings,
    TrainSettings,
    WeightingSettings,
    WorldSettings,
)

CARD_PAIRS = 1_000  # with human labels, that a judge is tried on
CARD_HELDOUT = 0.2  # of the prompts, that a gold reward trained here is trained without to be tried on them
QUESTION_VERSION = 1  # of what judge models are asked (cwpo/evaluation/judges/questions.py)
WORLD_VERSION = 1  # of the sandbox's prompts, behaviour and utility
Role = Literal["annotator", "policy"]
_MEMBER_SEEDS = 1_000  # between the members of an ensemble


def data(config: RunConfig, *, pool: bool) -> DataSettings:
    """Which pairs; `pool`: False for the sandbox's prompts, which no pair and no seed changes."""
    part = config.data
    row = catalog.DATASETS.get(part.dataset)
    return DataSettings(
        dataset=part.dataset,
        revision=part.revision,
        subset=part.subset,
        max_pairs=part.max_pairs,
        length_rule=_length_rule(config),
        test_prompts=part.test_prompts if (not pool or not config.is_sandbox) else 0,
        evaluation_seed=config.evaluation.seed,
        sandbox=_world(config, pool=pool),
        parts=dict(row.parts) if row and row.parts and part.subset is None else None,
        sources=bool(part.mix) or part.shifted,  # artifacts made without a need do not say where a pair is from
        control_tokens="obeyed" if config.is_sandbox else "text",  # the sandbox's world has no such words
        columns=dict(sorted(part.columns.items())) if part.columns else None,
        split="clusters" if config.rules > 1 else "prompts",
        topics=config.is_sandbox and part.shifted and pool,
    )


def _length_rule(config: RunConfig) -> LengthRuleSettings | None:
    rule, model = config.data.length_rule, config.model
    if rule is None:
        return None
    own = {"tokenizer": rule.tokenizer, "tokenizer_revision": rule.tokenizer_revision}
    policy = {"tokenizer": model.policy, "tokenizer_revision": model.policy_revision}
    return LengthRuleSettings(max_tokens=rule.max_tokens, counts=rule.counts, **(own if rule.tokenizer else policy))


def _world(config: RunConfig, *, pool: bool) -> WorldSettings | None:
    world = config.data.sandbox
    if world is None:
        return None
    if not pool:
        return WorldSettings(pairs=0, noise=0.0, near_ties=0.0, pool_seed=0, version=WORLD_VERSION)
    return WorldSettings(
        pairs=world.pairs,
        noise=world.noise,
        near_ties=world.near_ties,
        pool_seed=config.seed_of("split"),
        version=WORLD_VERSION,
    )


def base(config: RunConfig, model: str) -> BaseSettings:
    """A sandbox model before any training on pairs."""
    return BaseSettings(
        model=model,
        architecture=ArchitectureSettings(**catalog.SANDBOX_MODELS[model].architecture),
        world_version=WORLD_VERSION,
        seed=config.seeds.base,
    )


def _split(config: RunConfig, *, swaps: bool = False, fixed: bool = False) -> dict[str, Any]:
    """What decides the labeled part; a mix may need more pairs than a fixed unlabeled part leaves.

    swaps: the stage learns from human labels. fixed: it reads the unlabeled part too, which may have its own size.
    """
    part = config.data
    share = part.swapped_labels if swaps else 0
    return {
        "label_fraction": part.label_fraction,
        "split_seed": config.seed_of("split"),
        "mix": dict(part.mix) if part.mix else None,
        "unlabeled_fraction": part.unlabeled_fraction if part.mix or fixed else None,
        "labeled_sources": named_sources(part.labeled_sources),
        "unlabeled_sources": named_sources(part.unlabeled_sources),
        "swapped_labels": SwapSettings(share=share, seed=config.seed_of("split")) if share else None,
        "relabels": part.relabels,
    }


def _part(config: RunConfig, part: catalog.Part, *, swaps: bool = False) -> dict[str, Any]:
    """The part of the pairs a stage reads; the whole depends on no split, a fixed unlabeled part on no labeled one
    unless parts have sources of their own."""
    fixed = config.data.unlabeled_fraction if part == "unlabeled" else None
    if config.data.shifted and part != "all":
        return {"part": part, **_split(config, swaps=swaps, fixed=fixed is not None)}
    split = _split(config, swaps=swaps) | {"labeled_sources": None, "unlabeled_sources": None}
    if part == "all" or fixed is not None:
        seed = None if fixed is None else config.seed_of("split")
        split |= {"label_fraction": None, "split_seed": seed, "mix": None, "unlabeled_fraction": fixed}
    return {"part": part, **split}


def _model(config: RunConfig, role: Role) -> dict[str, Any]:
    adapted = role == "policy" and config.model.lora is not None
    return {
        "parents": "apart" if adapted and config.model.small_weights else "merged",
        "quantization": config.model.quantization if adapted else "none",
        "model": getattr(config.model, role),
        "revision": getattr(config.model, f"{role}_revision"),
        "precision": config.model.precision,
        "max_length": config.model.max_length,
    }


def train(config: TrainConfig) -> TrainSettings:
    """The training of a configuration's part."""
    return TrainSettings(**{item.name: getattr(config, item.name) for item in fields(TrainSettings)})


def _lora(config: RunConfig) -> LoraSettings | None:
    return LoraSettings(**dict(config.model.lora)) if config.model.lora else None


def annotator(config: RunConfig, *, member: int = 0) -> AnnotatorSettings:
    """What trains an annotator, or one member of an ensemble."""
    heldout = config.annotator.heldout_fraction if config.annotator.early_stopping else None
    return AnnotatorSettings(**_annotator(config, member), heldout_fraction=heldout)


def calibration(config: RunConfig) -> CalibrationSettings:
    """The annotator's own settings, and the share of the labels that is held out from it."""
    return CalibrationSettings(**_annotator(config, 0), heldout_fraction=config.annotator.heldout_fraction)


def _annotator(config: RunConfig, member: int) -> dict[str, Any]:
    part = config.annotator
    return {
        **_model(config, "annotator"),
        **_split(config, swaps=True),
        "seed": config.seed_of("annotator") + _MEMBER_SEEDS * member,
        "train": train(part),
        "dropout": part.dropout,
        "early_stopping": part.early_stopping,
        "kind": config.annotator_kind,
    }


def implicit(config: RunConfig) -> AlignSettings:
    """DPO of the weak model on the labeled part; its log-ratio is the reward (Tao & Li)."""
    return AlignSettings(
        **_model(config, "annotator"),
        **_part(config, "labeled", swaps=True),
        lora=None,
        label_source="human",
        weighting=WeightingSettings(name="uniform", options={}),
        objective=ObjectiveSettings(name="dpo", options={"beta": config.annotator.implicit_beta}),
        seed=config.seed_of("annotator"),
        train=train(config.annotator),
    )


def labels(config: RunConfig) -> LabelSettings:
    """What decides the weak labels besides the annotator's weights."""
    part, kind, model, tasks = config.annotator, config.annotator_kind, config.model, config.data.dataset == "sandbox"
    rewards = ImplicitSettings(model=model.annotator, revision=model.annotator_revision, beta=part.implicit_beta)
    return LabelSettings(
        **_split(config, swaps=True, fixed=True),
        precision=model.precision,
        max_length=model.max_length,
        label_dropout=part.label_dropout,
        seed=config.seed_of("annotator") if part.label_dropout else 0,
        kind="bradley_terry" if part.use is not None else kind,
        passes=part.passes,
        use=part.use,
        judged="all" if config.rules < 2 or part.use is None else "unseen_tasks" if tasks else "unseen",
        votes="agreement" in catalog.WEIGHTINGS[config.weighting_name].reads,
        implicit=rewards if kind == "implicit" else None,
    )


def sft(
    config: RunConfig, source: catalog.LabelSource, part: catalog.Part, *, role: Role = "policy", lora: bool = True
) -> SftSettings:
    """Winners of which labels on which part, and the training."""
    return SftSettings(
        **_model(config, role),
        **_part(config, part, swaps=source == "human"),
        lora=_lora(config) if lora else None,
        label_source=source,
        seed=config.seed_of("sft"),
        train=train(config.sft),
    )


def reference(config: RunConfig, part: catalog.Part, *, role: Role = "policy") -> ReferenceSettings:
    """Log-probabilities of the part that alignment, or the implicit-reward annotator, reads."""
    needs = catalog.OBJECTIVES[config.objective].needs if role == "policy" else ()
    return ReferenceSettings(**_model(config, role), **_part(config, part), mismatched="kl" in needs)


def blind_spots(config: RunConfig, part: catalog.Part) -> ReferenceSettings:
    """Log-probabilities of the same part under the aligned policy, and where it is confident and wrong."""
    return ReferenceSettings(**_model(config, "policy"), **_part(config, part), beta=config.align.beta)


def align(config: RunConfig, method: catalog.MethodRow) -> AlignSettings:
    """Objective, weighting and training."""
    options = {name: getattr(config.align, name) for name in catalog.OBJECTIVES[config.objective].fields}
    draws = "keys" in catalog.WEIGHTINGS[config.weighting_name].reads
    return AlignSettings(
        **_model(config, "policy"),
        **_part(config, method.pool, swaps=method.labels == "human"),
        lora=_lora(config),
        label_source=method.labels,
        weighting=WeightingSettings(
            name=config.weighting_name,
            options=config.weighting_values,
            seed=config.seed_of("align") if draws else None,
        ),
        objective=ObjectiveSettings(name=config.objective, options=options),
        seed=config.seed_of("align"),
        train=train(config.align),
        pair_sampling=config.align.pair_sampling,
        steps=config.align.steps,
        kept=config.evaluation.along.checkpoints if config.evaluation.along else 0,
    )


def online(config: RunConfig, part: OnlineConfig, method: catalog.MethodRow) -> OnlineSettings:
    """Alignment on fresh pairs. Steps are counted over prompts, whatever a weighting keeps of their pairs."""
    offline, judged = align(config, method), config.evaluation
    return OnlineSettings(
        **{item.name: getattr(offline, item.name) for item in fields(AlignSettings) if item.name != "steps"},
        refresh_every=part.refresh_every,
        decoding=DecodingSettings(
            temperature=part.temperature or judged.temperature,
            top_p=judged.top_p,
            max_new_tokens=part.max_new_tokens or judged.max_new_tokens,
            samples=ANSWERS,
        ),
        labels=labels(config) if method.needs_annotator else None,
        batches=_own_batches(config),
    )


def samples(config: RunConfig, *, with_reference: bool) -> SampleSettings:
    """How held-out prompts are answered."""
    part = config.evaluation
    return SampleSettings(
        **_model(config, "policy"),
        decoding=DecodingSettings(
            temperature=part.temperature, top_p=part.top_p, max_new_tokens=part.max_new_tokens, samples=part.samples
        ),
        evaluation_seed=part.seed,
        with_reference=with_reference,
        batches=_batches(config),
        engine=_engine(config),
    )


def _batches(config: RunConfig) -> BatchSettings | None:
    """Another engine makes batches of its own."""
    return _own_batches(config) if config.evaluation.engine == "native" else None


def _own_batches(config: RunConfig) -> BatchSettings | None:
    """Those of our sampler: in fp32 an answer is the same in any batch."""
    bf16 = config.model.precision == "bf16"
    return BatchSettings(rule=BATCH_RULE, cache_gb=config.evaluation.cache_gb) if bf16 else None


def _engine(config: RunConfig) -> EngineSettings | None:
    part = config.evaluation
    if part.engine == "native":
        return None
    version, alike = part.engine_version or "", part.batch_invariant
    return EngineSettings(name=part.engine, version=version, batch_invariant=alike, rule=1 if alike else ENGINE_RULE)


def gold(config: RunConfig, backbone: str, *, heldout: float | None = None) -> GoldSettings:
    """A gold reward trained here on all human labels; `heldout`: without those of a share of the prompts."""
    return GoldSettings(
        model=backbone,
        revision=config.model.annotator_revision if config.evaluation.gold_model is None else None,
        precision=config.model.precision,
        max_length=config.model.max_length,
        seed=config.evaluation.seed,
        train=train(config.evaluation.gold_train),
        dropout=None,
        heldout=heldout,
        by="clusters" if heldout is not None and config.rules > 1 else "prompts",
    )


def scores(config: RunConfig) -> ScoreSettings:
    """By the run's gold reward."""
    part, precision = config.evaluation, config.model.precision
    gold = reward_named(str(part.gold_reward), part.gold_revision, precision)
    return ScoreSettings(gold_reward=gold, precision=precision)


def reward_named(name: str, revision: str | None, precision: str) -> GoldRewardSettings:
    """The reward model behind a gold reward's name; one trained here has always had its head in float32."""
    row = catalog.GOLD_REWARDS.get(name)
    if row is None:
        row = catalog.GoldRewardRow(name=name, label=name, kind="model", source="given by the user", model=name)
    return GoldRewardSettings(
        kind=row.kind,
        name=row.model or row.name,
        revision=revision or row.revision,
        input_form=row.input_form,
        max_length=row.max_length,
        rule=score_rule(row.kind == "model", precision, row.input_form),
    )


def judge(config: RunConfig, asked: JudgeConfig) -> JudgeSettings:
    """Who judges beside the gold reward."""
    return JudgeSettings(judge=_judge_model(config, asked), prompts=asked.prompts)


def _judge_model(config: RunConfig, asked: JudgeConfig) -> JudgeModelSettings:
    """Summaries are asked for where the data are posts with summaries."""
    local, row = asked.kind == "local", catalog.DATASETS.get(config.data.dataset)
    simulated = asked.kind == "simulated"
    return JudgeModelSettings(
        kind=asked.kind,
        model="" if simulated else asked.model.strip(),
        revision=asked.revision if local else None,
        precision=config.model.precision if local else "",
        question_version=QUESTION_VERSION,
        role=asked.role or ("summary" if row is not None and row.reader == "tldr" else "chat"),
        verdicts=asked.verdicts,
        repeats=asked.repeats,
        temperature=asked.temperature,
        max_new_tokens=asked.max_new_tokens,
        seed=config.evaluation.seed,
        noise=asked.noise if simulated else 1.0,
        first_bias=asked.first_bias if simulated else 0.0,
        rule=score_rule(local, config.model.precision),
    )


def card(config: RunConfig, asked: JudgeConfig | None) -> CardSettings:
    """The gold reward, or that judge model, on pairs that people labeled."""
    return CardSettings(
        gold_reward=scores(config).gold_reward if asked is None else None,
        judge=None if asked is None else _judge_model(config, asked),
        precision=config.model.precision,
        pairs=CARD_PAIRS,
        seed=config.evaluation.seed,
        heldout=CARD_HELDOUT if asked is None and config.evaluation.gold_reward == "trained" else None,
        by="clusters" if config.rules > 1 else "prompts",
    )


def evaluation(config: RunConfig) -> EvaluationSettings:
    """Only equal scores count as a tie, and equal texts whatever rounding does to their scores."""
    return EvaluationSettings(tie_epsilon=0.0, equal_texts="tie" if config.rules > 1 else "scored")
