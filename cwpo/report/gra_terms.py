"""On what terms a GRA was counted: baseline, tie rule, gold reward and its revision, decoding. Pure: configurations
in, plain words out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cwpo.compare.configured_run import ComparedRun, Configs, by_setting
from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.report.sentences import what_the_seed_moved

BASELINES: Mapping[str, str] = {
    "none": "the policy before alignment",
    "own": "each method's own SFT model",
    "common": "one SFT model for all",
}
ENGINES: Mapping[str, str] = {"vllm": "vLLM"}
TIE_RULE = "ties count half"
SEVERAL = "several opponents"
SEVERAL_GOLDS = "several gold rewards"
SEVERAL_REVISIONS = "several revisions"
SEVERAL_DECODINGS = "several ways of decoding"
_ORACLE, _TRAINED = "the sandbox oracle", "a reward trained here on all human labels, from"
_SHA, _SHORT = "sha256:", 8


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What must be the same before two GRAs are the same thing; "" where there is nothing to say."""

    opponent: str = ""
    tie_rule: str = TIE_RULE
    gold_reward: str = ""
    gold_revision: str = ""
    decoding: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """Baseline, tie rule, judge, decoding, each as it reads in a line."""
        opponent = self.opponent if self.opponent in ("", SEVERAL) else f"against {self.opponent}"
        return tuple(filter(None, (opponent, self.tie_rule, self._judge, self.decoding)))

    @property
    def sentence(self) -> str:
        """The words in one line."""
        return " · ".join(self.words)

    @property
    def _judge(self) -> str:
        if self.gold_reward in ("", SEVERAL_GOLDS):
            return self.gold_reward
        words = f"judged by {self.gold_reward}"
        if self.gold_revision in ("", SEVERAL_REVISIONS):
            return ", ".join(filter(None, (words, self.gold_revision)))
        return f"{words} @{self.gold_revision.removeprefix(_SHA)[:_SHORT]}"


COLUMNS = tuple(Terms.__dataclass_fields__)


def terms(runs: Sequence[ComparedRun], configs: Configs) -> Terms:
    """Of all these runs; what differs among them is called several. Runs without a configuration are left out."""
    known = [run for run in runs if run.id in configs]
    if not known:
        return Terms()
    chosen = [configs[run.id] for run in known]
    judges = {(judge_of(config)[0], _training_of(config)) for config in chosen}
    revisions = {judge_of(config)[1] for config in chosen}
    return Terms(
        opponent=baseline_of(known, configs),
        gold_reward=judges.pop()[0] if len(judges) == 1 else SEVERAL_GOLDS,
        gold_revision=_same(revisions, SEVERAL_REVISIONS),
        decoding=_same({decoding_of(config) for config in chosen}, SEVERAL_DECODINGS),
    )


def terms_by_setting(runs: Sequence[ComparedRun], configs: Configs) -> dict[str, Terms]:
    """The terms of each setting, by group key."""
    return {key: terms(group, configs) for key, group in by_setting(runs).items()}


def table_notes(runs: Sequence[ComparedRun], configs: Configs) -> tuple[str, str]:
    """What stands under a GRA table of these runs: the terms, and what the seeds moved."""
    mine = [configs[run.id] for run in runs if run.id in configs]
    return f"GRA: {terms(runs, configs).sentence}.", what_the_seed_moved(mine)


def seeds_each(runs: Sequence[ComparedRun]) -> str:
    """4 seeds; of settings that have different numbers of them, 2–6 seeds a setting."""
    seeds: dict[str, set[int]] = {}
    for run in runs:
        seeds.setdefault(run.group_key, set()).add(run.seed)
    counts = sorted({len(found) for found in seeds.values()})
    if not counts:
        return ""
    if counts[0] < counts[-1]:
        return f"{counts[0]}–{counts[-1]} seeds a setting"
    return f"{counts[0]} {'seed' if counts[0] == 1 else 'seeds'}"


def difference_notes(runs: Sequence[ComparedRun], configs: Configs) -> tuple[str, ...]:
    """What stands under a table of differences between these runs."""
    return (
        "First minus second in points of GRA on the same prompts and seeds; the 95 % intervals, over both, hold for "
        "all differences of the table at once, and p with them; detectable: found four times in five by this table.",
        f"GRA: {terms(runs, configs).sentence}.",
    )


def baseline_of(runs: Sequence[ComparedRun], configs: Configs) -> str:
    """Whose answers decide GRA. What is called one for all is one under every seed; else it is several."""
    kinds = {_baseline(configs[run.id]) for run in runs}
    known = {(run.seed, run.baseline) for run in runs if run.baseline}
    if len(kinds) > 1 or ("own" not in kinds and len(known) > len({seed for seed, _ in known})):
        return SEVERAL
    return BASELINES[kinds.pop()] if kinds else ""


def judge_of(config: RunConfig) -> tuple[str, str]:
    """The gold reward in words, and the revision that pins it; "" where nothing does."""
    evaluation = config.evaluation
    name = str(evaluation.gold_reward)
    row = catalog.GOLD_REWARDS.get(name)
    if row is not None and row.kind == "oracle":
        return _ORACLE, ""
    if row is not None and row.kind == "trained":
        backbone = evaluation.gold_model
        revision = "" if backbone else config.model.annotator_revision
        return f"{_TRAINED} {catalog.model_name(backbone or config.model.annotator)}", revision or ""
    revision = evaluation.gold_revision or (row.revision if row else None)
    return (row.label if row else catalog.model_name(name)), revision or ""


def decoding_of(config: RunConfig) -> str:
    """How the answers were sampled: "temperature 0.95, top-p 1, at most 512 tokens, 1 answer a prompt"."""
    how = config.evaluation
    answers = "1 answer" if how.samples == 1 else f"{how.samples} answers"
    quantization = config.model.quantization
    weights = "" if quantization == "none" else f", weights below the adapters in {quantization}"
    words = (
        f"temperature {how.temperature:g}, top-p {how.top_p:g}, at most {how.max_new_tokens:,} tokens, "
        f"{answers} a prompt{weights}"
    )
    return ", ".join((words, *_sampler(config)))


def _sampler(config: RunConfig) -> Iterator[str]:
    """What else decides the answers, where it is not our own sampler as it always is."""
    how = config.evaluation
    if how.engine != "native":
        kernels = "batch-invariant" if how.batch_invariant else "not batch-invariant"
        yield f"by {ENGINES[how.engine]} {how.engine_version or '(no version)'} ({kernels})"
    elif how.cache_gb is not None and config.model.precision == "bf16":
        yield f"in bf16 in batches of {how.cache_gb:g} GB"


def _training_of(config: RunConfig) -> str:
    """What else makes a gold reward another one: how it was trained, if it was trained here."""
    return repr(config.evaluation.gold_train) if config.evaluation.gold_reward == "trained" else ""


def _baseline(config: RunConfig) -> str:
    """The labeled part is the same for every method, and so is the SFT model that learned from it."""
    if config.sft.data == "none":
        return "none"
    return "common" if config.sft.data == "labeled" else config.evaluation.baseline


def _same(values: set[str], otherwise: str) -> str:
    return next(iter(values)) if len(values) == 1 else otherwise
