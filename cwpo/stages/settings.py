"""What of a configuration decides the result of each stage, and so enters its fingerprint. Free of torch.

One function per kind of stage. A field of a run that changes a result belongs into the function of every stage whose
result it changes; what no stage lists here changes none.
"""

from typing import Any, Literal

from cwpo.config import catalog
from cwpo.config.parts import TrainConfig
from cwpo.config.run import RunConfig

WORLD_VERSION = 1  # of the sandbox's prompts, behaviour and utility
Role = Literal["annotator", "policy"]


def data(config: RunConfig, *, pool: bool) -> dict[str, Any]:
    """Which pairs; `pool`: False for the sandbox's prompts, which no pair and no seed changes."""
    data = config.data
    rule = data.length_rule.model_dump() if data.length_rule else None
    if rule is not None and rule["tokenizer"] is None:
        rule["tokenizer"], rule["tokenizer_revision"] = config.model.policy, config.model.policy_revision
    world = None
    if data.sandbox is not None:
        world = data.sandbox.model_dump()
        world["pool_seed"] = config.seed_of("split") if pool else 0
        world["version"] = WORLD_VERSION
        if not pool:
            world |= {"pairs": 0, "noise": 0.0, "near_ties": 0.0}
    row = catalog.DATASETS.get(data.dataset)
    parts = dict(row.parts) if row and row.parts and data.subset is None else None
    return {
        "dataset": data.dataset,
        "revision": data.revision,
        "subset": data.subset,
        "max_pairs": data.max_pairs,
        "length_rule": rule,
        "test_prompts": data.test_prompts if (not pool or not config.is_sandbox) else 0,
        "evaluation_seed": config.evaluation.seed,
        "sandbox": world,
        **({"parts": parts} if parts else {}),
        **({"sources": True} if data.mix else {}),  # artifacts of before do not say where a pair is from
    }


def base(config: RunConfig, model: str) -> dict[str, Any]:
    """A sandbox model before any training on pairs."""
    return {
        "model": model,
        "architecture": catalog.SANDBOX_MODELS[model].architecture,
        "world_version": WORLD_VERSION,
        "seed": config.seeds.base,
    }


def _split(config: RunConfig) -> dict[str, Any]:
    """What decides the labeled part; a mix may need more pairs than a fixed unlabeled part leaves."""
    mix = {"mix": dict(config.data.mix), **_unlabeled(config)} if config.data.mix else {}
    return {"label_fraction": config.data.label_fraction, "split_seed": config.seed_of("split"), **mix}


def _unlabeled(config: RunConfig) -> dict[str, Any]:
    """What decides the size of the unlabeled part, where it is not the rest."""
    fraction = config.data.unlabeled_fraction
    return {} if fraction is None else {"unlabeled_fraction": fraction}


def _swaps(config: RunConfig) -> dict[str, Any]:
    """Which human labels are swapped, for stages that learn from them."""
    share = config.data.swapped_labels
    return {"swapped_labels": {"share": share, "seed": config.seed_of("split")}} if share else {}


def _model(config: RunConfig, role: Role) -> dict[str, Any]:
    return {
        "model": getattr(config.model, role),
        "revision": getattr(config.model, f"{role}_revision"),
        "precision": config.model.precision,
        "max_length": config.model.max_length,
    }


def _train(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in TrainConfig.model_fields}


def annotator(config: RunConfig, *, member: int = 0) -> dict[str, Any]:
    """What trains an annotator, or one member of an ensemble."""
    part = config.annotator
    return {
        **_model(config, "annotator"),
        **_split(config),
        **_swaps(config),
        "seed": config.seed_of("annotator") + _MEMBER_SEEDS * member,
        "train": _train(part),
        "dropout": part.dropout,
        "early_stopping": part.early_stopping,
        "heldout_fraction": part.heldout_fraction if part.early_stopping else None,
        **_kind(config),
    }


_MEMBER_SEEDS = 1_000  # between the members of an ensemble


def _kind(config: RunConfig) -> dict[str, Any]:
    return {} if config.annotator_kind == "bradley_terry" else {"kind": config.annotator_kind}


def calibration(config: RunConfig) -> dict[str, Any]:
    """The annotator's own settings, and the share of the labels that is held out from it."""
    return {**annotator(config), "heldout_fraction": config.annotator.heldout_fraction}


def implicit(config: RunConfig) -> dict[str, Any]:
    """DPO of the weak model on the labeled part; its log-ratio is the reward (Tao & Li)."""
    return {
        **_model(config, "annotator"),
        **_part(config, "labeled"),
        **_swaps(config),
        "lora": None,
        "label_source": "human",
        "weighting": {"name": "uniform"},
        "objective": {"name": "dpo", "beta": config.annotator.implicit_beta},
        "seed": config.seed_of("annotator"),
        "train": _train(config.annotator),
    }


def labels(config: RunConfig) -> dict[str, Any]:
    """What decides the weak labels besides the annotator's weights."""
    part, dropout = config.annotator, config.annotator.label_dropout
    implicit = config.annotator_kind == "implicit"
    fields = {
        **_split(config),
        **_unlabeled(config),
        **_swaps(config),
        "precision": config.model.precision,
        "max_length": config.model.max_length,
        "label_dropout": dropout,
        "seed": config.seed_of("annotator") if dropout else 0,
        **(_kind(config) if part.use is None else {}),
    }
    if part.passes > 1:
        fields["passes"] = part.passes
    if part.use is not None:
        fields["use"] = part.use
    if implicit:
        fields |= {**_model(config, "annotator"), "beta": part.implicit_beta}
    return fields


def _lora(config: RunConfig) -> dict[str, Any] | None:
    return config.model.lora.model_dump(mode="json") if config.model.lora else None


def sft(
    config: RunConfig,
    source: catalog.LabelSource,
    part: catalog.Part,
    *,
    role: Role = "policy",
) -> dict[str, Any]:
    """Winners of which labels on which part, and the training."""
    return {
        **_model(config, role),
        **_part(config, part),
        **(_swaps(config) if source == "human" else {}),
        "lora": _lora(config),
        "label_source": source,
        "seed": config.seed_of("sft"),
        "train": _train(config.sft),
    }


def _part(config: RunConfig, part: catalog.Part) -> dict[str, Any]:
    """The part of the pairs a stage reads; the whole depends on no split, a fixed unlabeled part on no labeled one."""
    if part == "all":
        return {"part": part, "label_fraction": None, "split_seed": None}
    fixed = _unlabeled(config) if part == "unlabeled" else {}
    if fixed:
        return {"part": part, "label_fraction": None, "split_seed": config.seed_of("split"), **fixed}
    return {"part": part, **_split(config)}


def reference(config: RunConfig, method: catalog.MethodRow) -> dict[str, Any]:
    """Log-probabilities of the part that alignment reads."""
    return {**_model(config, "policy"), **_part(config, method.pool)}


def annotator_reference(config: RunConfig) -> dict[str, Any]:
    """Log-probabilities that the implicit-reward annotator is trained against."""
    return {**_model(config, "annotator"), **_part(config, "labeled")}


def align(config: RunConfig, method: catalog.MethodRow) -> dict[str, Any]:
    """Objective, weighting and training; options at their usual value leave fingerprints of before as they are."""
    fields = catalog.OBJECTIVES[config.objective].fields
    weighting = {"name": config.weighting_name, **config.weighting_values}
    if "keys" in catalog.WEIGHTINGS[config.weighting_name].reads:
        weighting["seed"] = config.seed_of("align")
    options = {"pair_sampling": (config.align.pair_sampling, "all"), "steps": (config.align.steps, "kept")}
    return {
        **_model(config, "policy"),
        **_part(config, method.pool),
        **(_swaps(config) if method.labels == "human" else {}),
        "lora": _lora(config),
        "label_source": method.labels,
        "weighting": weighting,
        "objective": {"name": config.objective, **{name: getattr(config.align, name) for name in fields}},
        "seed": config.seed_of("align"),
        "train": _train(config.align),
        **{name: value for name, (value, usual) in options.items() if value != usual},
    }


def samples(config: RunConfig, *, with_reference: bool) -> dict[str, Any]:
    """How held-out prompts are answered."""
    part = config.evaluation
    return {
        **_model(config, "policy"),
        "decoding": {
            "temperature": part.temperature,
            "top_p": part.top_p,
            "max_new_tokens": part.max_new_tokens,
            "samples": part.samples,
        },
        "evaluation_seed": part.seed,
        "with_reference": with_reference,
    }


def gold(config: RunConfig, backbone: str) -> dict[str, Any]:
    """A gold reward trained here on all human labels."""
    own = config.evaluation.gold_model is None
    return {
        "model": backbone,
        "revision": config.model.annotator_revision if own else None,
        "precision": config.model.precision,
        "max_length": config.model.max_length,
        "seed": config.evaluation.seed,
        "train": _train(config.evaluation.gold_train),
        "dropout": None,
    }


def scores(config: RunConfig) -> dict[str, Any]:
    """The reward model behind the gold reward's name."""
    name = str(config.evaluation.gold_reward)
    row = catalog.GOLD_REWARDS.get(name)
    if row is None:
        row = catalog.GoldRewardRow(name=name, label=name, kind="model", source="given by the user", model=name)
    return {
        "gold_reward": {
            "kind": row.kind,
            "name": row.model or row.name,
            "revision": config.evaluation.gold_revision or row.revision,
            "input_form": row.input_form,
            "max_length": row.max_length,
        },
        "precision": config.model.precision,
    }
