"""What is wrong with a configuration, in sentences: fields that do not fit together, and what pydantic finds.

Free of torch.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from cwpo.bounds import most
from cwpo.config import catalog
from cwpo.config.fields import RunFields
from cwpo.config.parts import AlongConfig, DataConfig, EvaluationConfig, JudgeConfig, named_sources
from cwpo.sandbox.world import KIND_WEIGHTS

_ROUNDING = 1e-9  # shares are typed in decimals


def contradictions(config: RunFields) -> Iterator[tuple[str, str]]:
    """Fields that are fine alone and wrong together."""
    yield from _zero_bytes(config)
    method = catalog.METHODS[config.method]
    if not _may_be_dataset(config.data.dataset):
        yield (
            "data.dataset",
            f"{config.data.dataset!r} is not known; "
            f"choose one of {', '.join(catalog.DATASETS)}, a hub id like owner/name, or a file.",
        )
    if config.seed > most.RUN_SEED:
        yield "seed", f"must be at most {most.RUN_SEED:,}; seeds.* may be larger."
    yield from _weighting_contradictions(config, method)
    yield from _annotator_contradictions(config, method)
    yield from _online_contradictions(config, method)
    yield from _engine_contradictions(config.evaluation)
    if config.evaluation.judge is not None:
        yield from _judge_contradictions(config.evaluation.judge, sandbox=config.is_sandbox)
    if config.evaluation.along is not None:
        yield from _along_contradictions(config.evaluation.along, config.evaluation.gold_reward, config.is_sandbox)
    if config.data.label_fraction >= 1 and not method.whole_data:
        yield (
            "data.label_fraction",
            "must lie between 0 and 1, both excluded; 1 is possible only with human_100 and human_labeled.",
        )
    yield from _split_contradictions(config.data)
    if config.data.columns is not None and config.is_sandbox:
        yield "data.columns", "is for files and datasets of the hub; the sandbox has no columns: remove it."
    if method.sandbox_only and not config.is_sandbox:
        yield "method", f"{config.method} needs true labels, which only the sandbox knows; choose human instead."
    if config.data.sandbox is not None and not config.is_sandbox:
        yield "data.sandbox", "is only for dataset: sandbox; remove it."
    if config.is_sandbox and config.data.sandbox is not None and config.data.sandbox.pairs == 0:
        yield "data.sandbox.pairs", "must be greater than 0."
    gold = config.evaluation.gold_reward
    gold_model = config.evaluation.gold_model
    if gold_model is not None and gold_model in catalog.SANDBOX_MODELS and gold_model != config.model.annotator:
        yield "evaluation.gold_model", "of the sandbox's models only the annotator's can be used; remove it."
    if gold is None:
        yield (
            "evaluation.gold_reward",
            f"is missing; choose one of {', '.join(_gold_rewards(config))}, a hub id or a folder.",
        )
    if gold == "oracle" and not config.is_sandbox:
        yield "evaluation.gold_reward", "the oracle knows only the sandbox; choose trained or a reward model."
    for row_need in catalog.OBJECTIVES[config.objective].needs:
        if row_need == "margin" and not config.takes_weak_labels:
            yield "objective", f"{config.objective} needs the annotator's margin, which {config.method} has not."
    if config.model.quantization != "none" and config.model.lora is None:
        yield "model.quantization", "4-bit weights do not train: set model.lora, or quantization: none."
    if config.model.quantization != "none" and config.evaluation.engine != "native":
        yield "evaluation.engine", f"{config.evaluation.engine} would answer with other weights than trained in 4 bits."
    for field in ("annotator", "policy"):
        name = getattr(config.model, field)
        if name.startswith("sandbox/") and name not in catalog.SANDBOX_MODELS:
            yield f"model.{field}", f"{name!r} is not known; choose one of {', '.join(catalog.SANDBOX_MODELS)}."
        if name.startswith("sandbox/") and not config.is_sandbox:
            yield f"model.{field}", "sandbox models speak only the sandbox's language; choose a hub id or a folder."


def _zero_bytes(config: RunFields) -> Iterator[tuple[str, str]]:
    if r"\u0000" in config.model_dump_json():  # no more than a guess, and quick
        for name, text in _texts(config):
            if "\0" in text:
                yield name, "holds a zero byte, which no file and no database takes: remove it."


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a configuration, also one that names a value of its own, with the field that it stands in."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one, name)
    elif isinstance(value, BaseModel | Mapping):
        for key, one in value if isinstance(value, BaseModel) else value.items():
            inside = f"{name}.{key}" if name else str(key)
            yield from _texts(one, inside)
            if isinstance(value, Mapping):
                yield name, str(key)


def _weighting_contradictions(config: RunFields, method: catalog.MethodRow) -> Iterator[tuple[str, str]]:
    row = catalog.WEIGHTINGS[config.weighting_name]
    percent = "percent" in row.fields
    if percent and config.top_percent is None:
        yield "top_percent", f"{row.name} needs N; write method: {row.name}:30 or set top_percent."
    if not percent and config.top_percent is not None:
        yield (
            "top_percent",
            "only top, top_true, random and bottom take it; remove it or choose one of them.",
        )
    if row.needs_margin and method.pool != "unlabeled":
        yield (
            "weighting.name",
            f"{row.name} weighs by the annotator's margin, and it labels the unlabeled part alone: choose human.",
        )
    if row.swaps and not config.takes_weak_labels:
        yield "weighting.name", f"{row.name} is the annotator's belief in its own labels; {config.method} has others."
    if row.sandbox_only and not method.sandbox_only and not config.is_sandbox:
        yield "weighting.name", f"{row.name} needs what only the sandbox knows of its pairs; choose another."
    several = config.annotator.members > 1 or config.annotator.passes > 1
    if not several and {"spread", "agreement"} & set(row.reads):
        field = "weighting.name" if config.weighting.name else "annotator.members"
        yield field, f"{row.name} needs several margins per pair: raise annotator.members."
    if row.swaps and "margin" in catalog.OBJECTIVES[config.objective].needs:
        yield (
            "objective",
            f"{config.objective} cannot read a pair the other way round, as {row.name} does.",
        )


def _annotator_contradictions(config: RunFields, method: catalog.MethodRow) -> Iterator[tuple[str, str]]:
    part = config.annotator
    if part.passes > 1 and part.label_dropout == 0:
        yield "annotator.passes", "several passes differ only with dropout on; set annotator.label_dropout."
    if method.annotator == "implicit":
        for field, given in (("members", part.members > 1), ("label_dropout", part.label_dropout > 0)):
            if given:
                yield f"annotator.{field}", f"{config.method} labels with one weak model without dropout; remove it."
    if part.use is not None:
        yield from _use_contradictions(config, method)
    if config.fits_temperature and (method.annotator == "implicit" or part.use is not None):
        yield "annotator.calibrate", "a temperature is fitted for annotators with a scalar head that are trained here."


def _use_contradictions(config: RunFields, method: catalog.MethodRow) -> Iterator[tuple[str, str]]:
    """An existing annotator is one scalar head; methods with human labels do not ask it, so a sweep may hold both."""
    if method.annotator == "implicit":
        yield "annotator.use", f"{config.method} labels by a weak model that it trains itself; remove it."
    if config.annotator.members > 1:
        yield "annotator.members", "an existing annotator is one; remove members, or train an ensemble without use."


def _online_contradictions(config: RunFields, method: catalog.MethodRow) -> Iterator[tuple[str, str]]:
    """Answers that the policy writes while it trains have labels of an annotator, or in the sandbox of the truth."""
    if config.align.online is None:
        return
    if method.labels == "human":
        yield (
            "align.online",
            f"needs labels of an annotator: nobody labels for {config.method} what the policy writes while it trains; "
            "choose weak, cw or another method with weak labels, or remove it.",
        )
    if {"kl", "gap"} & set(catalog.OBJECTIVES[config.objective].needs):
        yield (
            "objective",
            f"{config.objective} reads more of a step than its pairs, which align.online has not.",
        )
    if {"agreement", "right", "gap"} & set(catalog.WEIGHTINGS[config.weighting_name].reads):
        yield (
            "weighting.name",
            f"{config.weighting_name} reads what stored pairs alone have; remove align.online.",
        )
    if config.evaluation.along is not None:
        yield "evaluation.along", "keeps models of a training on stored pairs; remove it, or align.online."
    if config.align.pair_sampling != "all":
        yield "align.pair_sampling", "skips stored pairs by their cost; with align.online leave it at all."


def _engine_contradictions(part: EvaluationConfig) -> Iterator[tuple[str, str]]:
    """What is said of vLLM where this program samples, and the other way round."""
    if part.engine == "native":
        for field, given in (("engine_version", part.engine_version), ("batch_invariant", part.batch_invariant)):
            if given:
                yield f"evaluation.{field}", "is only for evaluation.engine: vllm; remove it."
    elif part.cache_gb is not None:
        yield "evaluation.cache_gb", "is only for evaluation.engine: native; vLLM makes its own batches; remove it."


def _judge_contradictions(judge: JudgeConfig, *, sandbox: bool) -> Iterator[tuple[str, str]]:
    """Who can be asked, and repeats that would all be the same, or nearly."""
    if judge.kind == "simulated" and not sandbox:
        yield "evaluation.judge.kind", "a simulated judge knows only the sandbox; choose endpoint or local."
    if judge.kind != "simulated" and not judge.model.strip():
        yield "evaluation.judge.model", "is missing: name the model that judges."
    if judge.kind == "local" and judge.model.startswith("sandbox/"):
        yield "evaluation.judge.model", "sandbox models cannot read a question; name a language model, or simulated."
    if judge.kind != "local" and judge.verdicts == "logits":
        yield "evaluation.judge.verdicts", "logits can be read of a local model alone; choose written."
    if judge.kind == "local" and judge.repeats > 1 and (judge.verdicts == "logits" or not judge.temperature):
        yield "evaluation.judge.repeats", "every repeat would be the same: write verdicts at a temperature above 0."
    if judge.kind == "endpoint" and judge.repeats > 1 and judge.temperature == 0:
        yield (
            "evaluation.judge.repeats",
            "at temperature 0 a server gives nearly the same reply to each repeat, and each is paid for: set "
            "evaluation.judge.temperature above 0 (null: the server's own), or repeats to 1.",
        )


def _along_contradictions(along: AlongConfig, gold: str | None, sandbox: bool) -> Iterator[tuple[str, str]]:
    """A second judge that judges nothing new, or cannot."""
    field, second = "evaluation.along.second", along.second
    if second is None:
        return
    if second == gold:
        yield field, f"is {second} already, as the gold reward; name another one, or none."
    elif second == "trained":
        yield field, "is a reward model that lies ready; only the gold reward is trained here: choose another one."
    elif second == "oracle" and not sandbox:
        yield field, "the oracle knows only the sandbox; choose a reward model."


def _split_contradictions(data: DataConfig) -> Iterator[tuple[str, str]]:
    """Parts that overlap, and a mix of what has one source."""
    if data.unlabeled_fraction is not None and data.label_fraction + data.unlabeled_fraction > 1 + _ROUNDING:
        yield (
            "data.unlabeled_fraction",
            f"{data.unlabeled_fraction:g} and data.label_fraction {data.label_fraction:g} add up to more than 1; "
            "lower one of them.",
        )
    yield from _source_contradictions(data)
    if data.mix is None:
        return
    row = catalog.DATASETS.get(data.dataset)
    if row is not None and (not row.sources or data.subset is not None):
        several = ", ".join(name for name, other in catalog.DATASETS.items() if other.sources)
        yield (
            "data.mix",
            f"needs pairs of several sources; choose {several} without a subset, or a file with a column source.",
        )
    elif row is not None and not data.mix.keys() <= set(row.sources):
        yield "data.mix", f"names a source that {data.dataset} has not; choose among {', '.join(row.sources)}."
    if data.label_fraction >= 1:
        yield "data.mix", "cannot hold when every pair is labeled; lower data.label_fraction or remove it."


def _source_contradictions(data: DataConfig) -> Iterator[tuple[str, str]]:
    """Parts by source, of data that has several."""
    named = {"labeled_sources": data.labeled_sources, "unlabeled_sources": data.unlabeled_sources}
    row = catalog.DATASETS.get(data.dataset)
    offered = None if row is None else tuple(KIND_WEIGHTS) if data.dataset == "sandbox" else row.sources
    for field, text in named.items():
        names = named_sources(text)
        if names is None:
            continue
        if data.mix is not None:
            yield f"data.{field}", "and data.mix both say where labels come from; remove one of them."
        if data.label_fraction >= 1:
            yield f"data.{field}", "has no meaning when every pair is labeled; lower data.label_fraction or remove it."
        if offered is None:
            continue
        if not offered or data.subset is not None:
            yield f"data.{field}", "needs pairs of several sources: choose a dataset that has them, without a subset."
        elif not set(names) <= set(offered):
            yield f"data.{field}", f"names a source that {data.dataset} has not; choose among {', '.join(offered)}."


def _may_be_dataset(name: str) -> bool:
    """A row of the catalog, or something with a slash or an ending; whether that exists is asked at submission."""
    return name in catalog.DATASETS or "/" in name or "." in name


def _gold_rewards(config: RunFields) -> list[str]:
    """Rows that can judge this dataset: the oracle knows only the sandbox."""
    return [name for name, row in catalog.GOLD_REWARDS.items() if config.is_sandbox or row.kind != "oracle"]


def problems_of(error: ValidationError) -> list[tuple[str, str]]:
    """(field, sentence) of every problem that pydantic found."""
    found = []
    for item in error.errors():
        field = ".".join(str(piece) for piece in item["loc"]) or "config"
        found.append((field, _sentence(item)))
    return found


_TYPE_WORDS = {
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "model_type": "a group of fields like `epochs: 1`",
    "model_attributes_type": "a group of fields like `epochs: 1`",
    "tuple_type": "a list",
    "dict_type": "shares by source, like {harmless: 0.8, helpful: 0.2}",
}


def _sentence(item: Any) -> str:
    """pydantic's message in our words."""
    kind, context, given = item["type"], item.get("ctx") or {}, item.get("input")
    bounds = {
        "greater_than": f"must be greater than {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than": f"must be less than {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
    }
    if kind in bounds:
        return f"{bounds[kind]}, not {_short(given)}."
    if kind == "extra_forbidden":
        return "is not a field of the configuration; `cwpo run --help` lists all fields."
    if kind == "literal_error":
        return f"{_quoted(given)} is not possible; choose {context.get('expected')}."
    if kind in _TYPE_WORDS:
        return f"must be {_TYPE_WORDS[kind]}, not {_short(given)!r}."
    if kind == "value_error":
        return f"{str(context.get('error', item['msg'])).rstrip('.')}."
    return f"{item['msg'].rstrip('.')} (given: {_short(given)!r})."


def _short(given: object) -> str:
    """What was given, in at most 80 characters; Python writes no number of thousands of digits."""
    try:
        return str(given)[:80]
    except ValueError:
        return "a number of thousands of digits"


def _quoted(given: object) -> str:
    return repr(_short(given)) if isinstance(given, str) else _short(given)
