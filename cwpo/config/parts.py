"""The parts of a run's configuration, every field with its default and what it means. Free of torch."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cwpo.bounds import most
from cwpo.config import catalog
from cwpo.config.columns import checked


def known(rows: Mapping[str, Any], name: str, kind: str) -> str:
    """The name of a catalog row; a ValueError that lists them otherwise."""
    if name not in rows:
        raise ValueError(f"{name!r} is not known; choose one of {', '.join(rows)}")
    return name


class Part(BaseModel):
    """Base of all parts: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LengthRule(Part):
    """Pairs longer than this are dropped once, before any model reads them."""

    max_tokens: int = Field(gt=0, le=most.TOKENS, description="longest text that is kept, in tokens")
    counts: Literal["each", "pair"] = Field(
        "each", description="what is counted: each prompt + response alone, or both with their prompts added up"
    )
    tokenizer: str | None = Field(None, description="model whose tokenizer counts; default: the policy's")
    tokenizer_revision: str | None = Field(None, description="commit of that model; found at submission")


class SandboxWorld(Part):
    """The offline world that a sandbox run draws its pairs from."""

    pairs: int = Field(3000, ge=0, le=1_000_000, description="number of preference pairs to draw")
    noise: float = Field(
        1.5, ge=0, le=most.FACTOR, description="temperature τ of the human labels: P(label) = σ(ΔU/τ); 0 = no noise"
    )
    near_ties: float = Field(0.0, ge=0, le=1, description="share of pairs forced to be close in utility")


class DataConfig(Part):
    """Which pairs, how they are filtered and how many human labels are used."""

    dataset: str = Field("sandbox", description="a dataset of the catalog, a hub id owner/name, or a local file")
    revision: str | None = Field(None, description="commit of the hub dataset or content hash of the file")
    subset: str | None = Field(None, description="data_dir or configuration of a hub dataset")
    columns: dict[str, str] | None = Field(
        None, description="which column holds what: {instruction: question, chosen: best, rejected: worst}; "
        "default: by their names"
    )  # fmt: skip
    max_pairs: int | None = Field(None, gt=0, le=most.ROWS, description="keep at most this many pairs")
    length_rule: LengthRule | None = Field(
        None,
        description="drop pairs that are too long; null keeps all; default: as the paper for datasets of the catalog",
    )
    label_fraction: float = Field(0.3, gt=0, le=1, description="share of the pairs whose human labels are used")
    unlabeled_fraction: float | None = Field(
        None, gt=0, lt=1, description="share of all pairs in the unlabeled part; default: all that are not labeled"
    )
    swapped_labels: float = Field(0.0, ge=0, le=1, description="share of the human labels swapped before any learning")
    relabels: str | None = Field(
        None, description="a set of people's later labels, NAME or NAME@VERSION: its pairs join the labeled part"
    )
    mix: dict[str, float] | None = Field(
        None, description="shares of sources among the labeled pairs: harmless 0.8 and helpful 0.2"
    )
    labeled_sources: str | None = Field(
        None,
        max_length=500,
        exclude_if=lambda value: value is None,
        description="human labels come from these sources alone, facts or facts+ask; label_fraction is of their pairs",
    )
    unlabeled_sources: str | None = Field(
        None,
        max_length=500,
        exclude_if=lambda value: value is None,
        description="the unlabeled part has pairs of these sources alone; default: of all",
    )
    test_prompts: int = Field(700, gt=0, le=most.ROWS, description="prompts held out for evaluation, before any split")
    sandbox: SandboxWorld | None = Field(None, description="the sandbox world; only with dataset: sandbox")

    @field_validator("columns", mode="before")
    @classmethod
    def _columns_make_pairs(cls, columns: Any) -> dict[str, str] | None:
        return None if columns is None else checked(columns)

    @property
    def shifted(self) -> bool:
        """Whether labeled and unlabeled pairs come from sources that are named."""
        return bool(named_sources(self.labeled_sources) or named_sources(self.unlabeled_sources))

    @field_validator("mix")
    @classmethod
    def _mix_is_shares(cls, mix: dict[str, float] | None) -> dict[str, float] | None:
        if mix is None:
            return None
        if any(not 0 <= share <= 1 for share in mix.values()) or abs(sum(mix.values()) - 1) > 1e-9:
            raise ValueError(f"must be shares from 0 to 1 that add up to 1, not {sum(mix.values()):g}")
        return mix


def named_sources(text: str | None) -> tuple[str, ...] | None:
    """The sources of "facts+math", sorted; None where none is named. A comma may stand for the plus."""
    found = sorted({name.strip() for name in re.split("[+,]", text or "")} - {""})
    return tuple(found) or None


class LoraConfig(Part):
    """Low-rank adapters on the policy (paper: r 8, α 16, dropout 0.05)."""

    r: int = Field(8, gt=0, le=most.RANK, description="rank")
    alpha: int = Field(16, gt=0, le=most.BATCH, description="scale")
    dropout: float = Field(0.05, ge=0, lt=1, description="dropout on the adapter's input")
    target_modules: tuple[str, ...] | None = Field(None, description="layers to adapt; default: by model family")


class ModelConfig(Part):
    """The weak annotator's backbone and the policy."""

    annotator: str = Field("facebook/opt-125m", description="backbone of the annotator: sandbox/…, hub id or folder")
    annotator_revision: str | None = Field(None, description="commit, or content hash of a folder")
    policy: str = Field("facebook/opt-1.3b", description="model to align: sandbox/…, hub id or folder")
    policy_revision: str | None = Field(None, description="commit, or content hash of a folder")
    lora: LoraConfig | None = Field(
        default_factory=LoraConfig, description="adapters on the policy; null tunes it whole"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="arithmetic of all model stages; auto: bf16 where a GPU worker is there, else fp32"
    )
    quantization: Literal["none", "nf4"] = Field(
        "none", description="weights below adapters in 4 bits (QLoRA), for small cards; needs the package bitsandbytes"
    )
    max_length: int | None = Field(
        None, gt=0, le=most.TOKENS, description="context to use, in tokens; default: the model's own"
    )

    @property
    def small_weights(self) -> bool:
        """Whether weights that do not train are kept at less than float32, so that nothing can be merged into them."""
        return self.precision == "bf16" or self.quantization != "none"


class TrainConfig(Part):
    """How one model is trained; AdamW throughout."""

    epochs: float = Field(5, gt=0, le=most.EPOCHS, description="passes over the data")
    lr: float = Field(1e-5, gt=0, le=most.NORM, description="peak learning rate")
    batch_size: int = Field(64, gt=0, le=most.BATCH, description="pairs (or texts) per optimizer step")
    warmup_steps: int = Field(
        0, ge=0, le=most.STEPS, description="steps of linear warm-up, at most a tenth of all steps"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="learning rate after warm-up")
    weight_decay: float = Field(0.0, ge=0, le=most.FACTOR, description="decoupled weight decay")
    max_grad_norm: float = Field(1.0, gt=0, le=most.NORM, description="gradients are clipped to this norm")


class AnnotatorConfig(TrainConfig):
    """The weak annotator: pretrained backbone, scalar head, Bradley–Terry loss (paper Table 7)."""

    kind: Literal["bradley_terry", "joint"] = Field(
        "bradley_terry", description="a score per response (paper), or one score for both read together (PairRM)"
    )
    batch_size: int = Field(32, gt=0, le=most.BATCH, description="pairs per optimizer step")
    dropout: float | None = Field(None, ge=0, lt=1, description="dropout in training; default: the model's own")
    early_stopping: bool = Field(False, description="keep the epoch with the best held-out negative log-likelihood")
    heldout_fraction: float = Field(0.15, gt=0, lt=0.5, description="share of the labels held out for early stopping")
    label_dropout: float = Field(0.0, ge=0, lt=1, description="label with this dropout on: an unsteady annotator")
    members: int = Field(1, ge=1, le=16, description="annotators from as many seeds; margins are averaged")
    passes: int = Field(1, ge=1, le=64, description="labeling passes with label_dropout on; margins are averaged")
    calibrate: bool = Field(False, description="fit a temperature on held-out labeled pairs, for a second annotator")
    implicit_beta: float = Field(0.1, gt=0, le=most.FACTOR, description="β of the DPO-trained weak model of method ws")
    use: str | None = Field(None, description="label with an existing annotator: NAME, NAME@VERSION or fingerprint")


class WeightingConfig(Part):
    """How margins become weights, where it is not the method's own way."""

    name: str | None = Field(None, description="a weighting of the catalog; default: the method's own")
    slope: float = Field(1.0, gt=0, le=most.FACTOR, description="a of clipped: min(aΔ, 1)")
    gamma: float = Field(2.0, gt=0, le=most.FACTOR, description="γ of power: C^γ")
    temperature: float | None = Field(
        None, gt=0, le=most.FACTOR, description="T of temperature; default: fitted on held-out labels"
    )
    threshold: float = Field(0.5, ge=0, lt=1, description="lowest C that threshold keeps")

    @field_validator("name")
    @classmethod
    def _name_isknown(cls, name: str | None) -> str | None:
        return name if name is None else known(catalog.WEIGHTINGS, name, "weighting")


class SftConfig(TrainConfig):
    """Supervised fine-tuning before alignment (paper Table 9)."""

    data: Literal["pool", "labeled", "none"] = Field(
        "pool",
        description="prompt + chosen of the method's own part and labels (paper), of the labeled part, or no SFT",
    )
    epochs: float = Field(3, gt=0, le=most.EPOCHS, description="passes over the data")
    warmup_steps: int = Field(
        100, ge=0, le=most.STEPS, description="steps of linear warm-up, at most a tenth of all steps"
    )
    weight_decay: float = Field(0.05, ge=0, le=most.FACTOR, description="decoupled weight decay")


class OnlineConfig(Part):
    """Pairs that the policy writes itself while it trains, two answers to each prompt (paper appendix J.5)."""

    refresh_every: int = Field(
        4, gt=0, le=100_000, description="steps between two samplings: the answers to their prompts are sampled at once"
    )
    temperature: float | None = Field(
        None, gt=0, le=most.FACTOR, description="of the sampling; default: the evaluation's"
    )
    max_new_tokens: int | None = Field(
        None, gt=0, le=most.TOKENS, description="longest answer; default: the evaluation's"
    )


class AlignConfig(TrainConfig):
    """Preference optimization from the SFT model, which is also the frozen reference (paper Table 8)."""

    lr: float = Field(5e-6, gt=0, le=most.NORM, description="peak learning rate")
    warmup_steps: int = Field(
        100, ge=0, le=most.STEPS, description="steps of linear warm-up, at most a tenth of all steps"
    )
    weight_decay: float = Field(0.05, ge=0, le=most.FACTOR, description="decoupled weight decay")
    beta: float = Field(0.5, le=most.FACTOR, description="strength β of DPO and rDPO; τ of IPO")
    label_noise: float = Field(0.1, ge=0, lt=0.5, description="ε of rDPO and cDPO: assumed share of flipped labels")
    ipo_reduction: Literal["mean", "sum"] = Field("mean", description="IPO on per-token means (as TRL) or on sums")
    odpo_alpha: float = Field(1.0, gt=0, le=most.FACTOR, description="α of ODPO: how much of log Δ is asked for")
    simpo_gamma: float = Field(
        0.5, ge=0, le=most.FACTOR, description="γ of SimPO: margin between the mean log-probabilities times β"
    )
    beta_dynamics: float = Field(0.6, ge=0, le=most.FACTOR, description="a of β-DPO: how far β follows a step's mean h")
    orpo_lambda: float = Field(0.1, ge=0, le=most.FACTOR, description="λ of ORPO: weight of its odds ratio")
    steps: Literal["kept", "pool"] = Field(
        "kept", description="epochs over the pairs that the weighting keeps, or as many steps as the whole pool takes"
    )
    pair_sampling: Literal["all", "proportional"] = Field(
        "all", description="proportional: steps skip pairs by weight and cost; same expected gradient, less compute"
    )

    online: OnlineConfig | None = Field(
        None,
        description="learn from fresh pairs: the policy samples two answers to each prompt, the annotator labels and "
        "weighs them",
        exclude_if=lambda online: online is None,
    )

    @field_validator("beta")
    @classmethod
    def _beta_is_positive(cls, beta: float) -> float:
        if not beta > 0:
            raise ValueError(f"must be greater than 0, not {beta:g}; 0.5 is the paper's value")
        return beta


class JudgeConfig(Part):
    """A judge model that is shown both models' answers to each prompt, in both orders (the paper's Table 17)."""

    kind: Literal["endpoint", "local", "simulated"] = Field(
        "endpoint", description="a server that speaks OpenAI's chat completions (CWPO_JUDGE_URL), a causal language "
        "model of a hub or a folder, or in the sandbox the true utility through noise"
    )  # fmt: skip
    model: str = Field("", max_length=200, description="what the server calls it; of a local one its hub id or folder")
    revision: str | None = Field(None, description="commit, or content hash of a folder")
    verdicts: Literal["written", "logits"] = Field(
        "written", description="it compares in a sentence and then chooses, or (local) the likelier of A and B"
    )
    role: Literal["chat", "summary"] | None = Field(
        None, description="what is judged: an assistant's answers, or summaries of posts; default: the dataset's"
    )
    repeats: int = Field(1, ge=1, le=16, description="how often each pair is shown in both orders")
    prompts: int | None = Field(
        None, gt=0, le=most.ROWS, description="of at most this many held-out prompts; default: all"
    )
    human_labels: bool = Field(False, description="ask it about up to 1,000 pairs that people labeled too")
    temperature: float | None = Field(0.0, ge=0, le=2, description="of its replies; null: the server's own")
    max_new_tokens: int = Field(200, gt=0, le=8192, description="longest reply")
    noise: float = Field(1.0, gt=0, le=most.FACTOR, description="simulated: τ of σ(ΔU/τ)")
    first_bias: float = Field(
        0.0, ge=-most.FACTOR, le=most.FACTOR, description="simulated: log-odds of the answer that is shown first"
    )


class AlongConfig(Part):
    """Over-optimisation: two judges of models kept along the alignment, and of the best of n baseline answers."""

    checkpoints: int = Field(
        5,
        ge=2,
        le=20,
        description="models of one alignment that are judged, equally far apart; the last is the final one",
    )
    prompts: int = Field(100, gt=0, le=most.ROWS, description="of at most this many held-out prompts")
    second: str | None = Field(
        None, max_length=200, description="second judge: row of the catalog, hub id or folder; default: in the sandbox "
        "its oracle where that is not the gold reward, elsewhere none"
    )  # fmt: skip
    second_revision: str | None = Field(None, description="commit of the second judge, or content hash of a folder")
    best_of: int = Field(
        16, ge=0, le=256, description="answers of the baseline to each of these prompts, for the curve of the best of "
        "n by gold reward; 0: no curve"
    )  # fmt: skip


class EvaluationConfig(Part):
    """Held-out answers of the aligned and the baseline model, judged by a gold reward."""

    seed: int = Field(0, ge=0, le=most.SEED, description="held-out prompts and sampling noise; never moved by `seed`")
    samples: int = Field(1, gt=0, le=64, description="answers per prompt")
    temperature: float = Field(0.95, gt=0, le=most.FACTOR, description="sampling temperature")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus")
    max_new_tokens: int = Field(512, gt=0, le=most.TOKENS, description="longest answer")
    gold_reward: str | None = Field(None, description="row of the catalog, hub id or folder; default: the dataset's")
    gold_revision: str | None = Field(None, description="commit of the gold reward model")
    gold_model: str | None = Field(None, description="backbone of gold_reward: trained; default: the annotator's")
    gold_train: TrainConfig = Field(
        default_factory=lambda: TrainConfig(batch_size=32), description="training of gold_reward: trained"
    )
    baseline: Literal["own", "common"] = Field(
        "own", description="opponent: each method's own SFT model (paper), or one SFT model for all"
    )
    cache_gb: float | None = Field(
        None,
        gt=0,
        le=most.FACTOR,
        description="bf16: GB for keys and values of one batch of answers, which is part of the result; "
        "default: a quarter of the model's weights, at least 3",
    )
    engine: Literal["native", "vllm"] = Field(
        "native", description="who samples the answers: this program, or vLLM (needs the extra vllm on the workers)"
    )
    engine_version: str | None = Field(None, description="version of vLLM; found at submission where it is installed")
    batch_invariant: bool = Field(
        False, description="vllm: kernels whose result does not depend on the batch (VLLM_BATCH_INVARIANT); slower"
    )
    blind_spots: bool = Field(
        False,
        exclude_if=lambda wanted: not wanted,
        description="look where the aligned policy is confident and wrong, by the annotator's confidence",
    )
    judge: JudgeConfig | None = Field(
        None, description="a judge model beside the gold reward", exclude_if=lambda judge: judge is None
    )
    card: bool | None = Field(
        None,
        description="try the gold reward on pairs with human labels that it did not learn from; default: when asked",
        exclude_if=lambda card: card is None,
    )
    along: AlongConfig | None = Field(
        None, description="models kept along the alignment are judged too", exclude_if=lambda along: along is None
    )


class Seeds(Part):
    """Fixes single seeds; what is not set follows `seed`."""

    split: int | None = Field(
        None, ge=0, le=most.SEED, description="labeled/unlabeled split (sandbox: also the pool of pairs)"
    )
    annotator: int | None = Field(
        None, ge=0, le=most.SEED, description="annotator initialisation, data order, label dropout"
    )
    sft: int | None = Field(None, ge=0, le=most.SEED, description="SFT data order and adapter initialisation")
    align: int | None = Field(None, ge=0, le=most.SEED, description="alignment data order and adapter initialisation")
    base: int = Field(0, ge=0, le=most.SEED, description="pretraining of sandbox base models; does not follow `seed`")


DROPOUT_TOKENS = 2048  # tokens of a packed batch while dropout is on, whatever tokens_per_batch says


class ExecutionConfig(Part):
    """How a run is executed. Nothing here changes a result, so nothing here enters a fingerprint."""

    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="auto: GPU workers when there are any")
    gpus: Literal[1, 2, 4, 8, "auto"] = Field(
        1,
        description="cards of one host that a stage with a model computes on; auto: the fewest that the estimate of "
        "memory fits on. With device cpu: worker processes",
    )
    tokens_per_batch: int = Field(4096, gt=0, le=most.STEPS, description="tokens in one forward pass")
    gradient_checkpointing: bool | None = Field(
        None, description="recompute activations to save memory; default: when the estimate says that memory needs it"
    )
    checkpoint_seconds: float = Field(60, gt=0, le=most.STEPS, description="longest work lost by a kill")

    @field_validator("gpus", mode="before")
    @classmethod
    def _number_in_text(cls, gpus: object) -> object:
        """A form and an address hold text."""
        return int(gpus) if isinstance(gpus, str) and gpus.isdecimal() else gpus
