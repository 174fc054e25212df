"""How much memory a stage needs, from the model's dimensions and the token budget. No torch.

The arithmetic is in docs/performance.md. Weights are float32 masters; bf16 is autocast on top. What one micro-batch
keeps for its backward pass was counted layer by layer; a test compares the count with the tensors that autograd saves.
"""

from dataclasses import dataclass, replace

from cwpo.config.parts import DROPOUT_TOKENS
from cwpo.models.shape import GATED, Shape
from cwpo.stages.kinds import kind_of
from cwpo.stages.settings import (
    BatchSettings,
    LabelSettings,
    LoraSettings,
    PreferenceSettings,
    ReferenceSettings,
    SampleSettings,
    ScorerSettings,
    ScoreSettings,
    Settings,
)

FLOAT = 4  # bytes of a weight, its gradient, and of each of AdamW's two moments
ANSWERS = 0.5  # share of a packed batch that are answers and reach the head; 0.43 in HH-RLHF
PADDING = 1.25  # slots of attention's blocks over tokens: 1.0 to 1.35 at HH-RLHF's lengths
KEPT_SLOPES = 1 << 26  # elements of logits that the head holds at most
SAFE = 0.8  # share of the free memory that an estimate may fill: it is right within about a third
ROOM = 8  # answers are sampled in batches of this many times the token budget
LEAST_CACHE = 4_000_000_000  # bytes of keys and values of a batch of answers in bf16, where nothing else is asked for
PROMPT_TOKENS = 4096  # of a batch of answers in bf16 that are read at once
DRAWN = 1 << 24  # logits that tokens are drawn from at once


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes at a stage's peak, by what takes them."""

    weights: int
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0  # of one micro-batch, with every layer's kept
    checkpointed: int = 0  # the same with each layer's input alone kept
    head: int = 0
    cache: int = 0

    @property
    def fixed(self) -> int:
        """What gradient checkpointing does not change."""
        return self.weights + self.gradients + self.optimizer + self.head + self.cache

    @property
    def total(self) -> int:
        return self.fixed + self.activations

    @property
    def total_checkpointed(self) -> int:
        return self.fixed + self.checkpointed


def of_stage(settings: Settings, shape: Shape, *, tokens: int, models: int = 1) -> Need | None:
    """The need of a stage with these settings; None for a kind that holds no model of a known size.

    models: how many of them a labeling stage holds, for an ensemble or the implicit reward's two.
    """
    precision, kind = precision_of(settings), kind_of(settings)
    most = DROPOUT_TOKENS if fixes_tokens(settings, shape) else tokens
    if kind.trains:
        return training(shape, tokens=most, precision=precision, lora=lora_of(settings), scalar=kind.scalar)
    if isinstance(settings, ReferenceSettings):
        return reading(shape, tokens=tokens, precision=precision, scalar=False)
    if isinstance(settings, LabelSettings):
        return reading(shape, tokens=most, precision=precision, scalar=settings.implicit is None, models=models)
    if isinstance(settings, ScoreSettings):
        weight = 2 if precision == "bf16" else FLOAT
        return reading(shape, tokens=tokens, precision=precision, scalar=True, weight=weight)
    if isinstance(settings, SampleSettings) and settings.engine is not None:  # its own process ends before ours scores
        return reading(shape, tokens=tokens, precision=precision, scalar=False)
    if isinstance(settings, SampleSettings):
        need = answering(shape, tokens=tokens, precision=precision, new_tokens=settings.decoding.max_new_tokens)
        return need if settings.batches is None else _answering_in_fixed_batches(need, settings.batches, shape)
    return None


def precision_of(settings: Settings) -> str:
    """The arithmetic of a stage; base models are always pretrained in fp32."""
    return str(getattr(settings, "precision", "fp32"))


def lora_of(settings: Settings) -> LoraSettings | None:
    """The adapter that a stage trains; None where it trains the whole model."""
    return settings.lora if isinstance(settings, PreferenceSettings) else None


def training(shape: Shape, *, tokens: int, precision: str, lora: LoraSettings | None, scalar: bool) -> Need:
    """A stage that trains: the whole model or a LoRA adapter, with a scalar head or the LM's own."""
    whole = shape.scorer if scalar else shape.causal
    trained = shape.adapter(lora) if lora else whole
    return Need(
        weights=FLOAT * (whole + (trained if lora else 0)),
        gradients=FLOAT * trained + (0 if lora else _embedding_gradients(shape, scalar)),
        optimizer=2 * FLOAT * trained,
        activations=_activations(shape, tokens, precision, lora, kept=shape.layers),
        checkpointed=_activations(shape, tokens, precision, lora, kept=0),
        head=0 if scalar else head(shape, tokens, precision),
    )


def reading(shape: Shape, *, tokens: int, precision: str, scalar: bool, models: int = 1, weight: int = FLOAT) -> Need:
    """A stage that only reads: weights, one layer at work, and a tile of the head."""
    return Need(
        weights=models * weight * (shape.scorer if scalar else shape.causal),
        activations=tokens * layer(shape, precision),
        checkpointed=tokens * layer(shape, precision),
        head=0 if scalar else head(shape, tokens, precision),
    )


def answering(shape: Shape, *, tokens: int, precision: str, new_tokens: int) -> Need:
    """Sampling: weights, keys and values of a whole batch, and three copies of the logits of its last positions.

    Prompts are taken to be as long as answers: half of the batch is prompts, read at once.
    """
    batch = ROOM * tokens
    prompts = batch // 2 * layer(shape, precision)
    return Need(
        weights=FLOAT * shape.causal,
        activations=prompts,
        checkpointed=prompts,
        head=3 * FLOAT * max(1, batch // (2 * new_tokens)) * shape.vocabulary,
        cache=batch * shape.layers * 2 * shape.keys * _width(precision),
    )


def answer_cache(*, layers: int, hidden: int, vocabulary: int, cache_gb: float | None) -> int:
    """Bytes of keys and values of one batch of answers in bf16: what is asked for, or a third of the weights.

    A function of the model's configuration alone, because the batch is part of the result. Weights as 12 hidden² a
    layer and one embedding, 2 bytes each.
    """
    weights = 2 * (12 * layers * hidden**2 + vocabulary * hidden)
    return int(cache_gb * 1e9) if cache_gb else max(LEAST_CACHE, weights // 3)


def _answering_in_fixed_batches(need: Need, batches: BatchSettings, shape: Shape) -> Need:
    """The same with the cache of bf16; prompts are read in parts."""
    cache = answer_cache(
        layers=shape.layers, hidden=shape.hidden, vocabulary=shape.vocabulary, cache_gb=batches.cache_gb
    )
    prompts = PROMPT_TOKENS * layer(shape, "bf16")
    drawn = 5 * DRAWN * 8  # copies in float64
    return replace(need, cache=cache, activations=prompts, checkpointed=prompts, head=drawn)


def layer(shape: Shape, precision: str) -> int:
    """Bytes per token that one layer keeps for its backward pass.

    OPT keeps 5 rows of its width at norms and projections and one of the feed-forward width; Qwen2 and Llama 7 and 4,
    because their norms and gates are made of more operations. Attention keeps queries, keys, values (repeated for each
    head) and its output in padded blocks. bf16 halves all but the norms.
    """
    norms, inner = (7, 4) if shape.family in GATED else (5, 1)
    return round(FLOAT * norms * shape.hidden + _width(precision) * (4 * PADDING * shape.query + inner * shape.ffn))


def head(shape: Shape, tokens: int, precision: str) -> int:
    """Bytes of the logits of a micro-batch's answers, as far as they are ever there at once."""
    return _width(precision) * min(int(ANSWERS * tokens) * shape.vocabulary, KEPT_SLOPES)


def _activations(shape: Shape, tokens: int, precision: str, lora: LoraSettings | None, *, kept: int) -> int:
    """Every layer's input, all of `kept` layers, and one layer twice: made again or left last, and its gradients."""
    whole = tokens * (layer(shape, precision) + _adapter_inputs(shape, precision, lora))
    cast = shape.layer_weights * 2 if precision == "bf16" else 0  # autocast's copies of the weights
    inputs = 0 if kept else shape.layers * tokens * shape.hidden * FLOAT
    return inputs + kept * (whole + cast) + (1 if kept else 2) * whole


def _adapter_inputs(shape: Shape, precision: str, lora: LoraSettings | None) -> int:
    """Bytes per token and layer that an adapter's dropout adds: each matrix keeps an input of its own, and a mask."""
    if not lora or not lora.dropout:
        return 0
    return (_width(precision) + 1) * sum(shape.linears[name][0] for name in shape.adapted(lora))


def _embedding_gradients(shape: Shape, scalar: bool) -> int:
    """Gradients of the embedding that are there beside the sum: a tied one gets the head's and its own."""
    return FLOAT * shape.embedding * (2 if shape.tied and not scalar else 1)


def fixes_tokens(settings: Settings, shape: Shape) -> bool:
    """Whether dropout is on in the stage, which then packs DROPOUT_TOKENS whatever is asked for."""
    if isinstance(settings, LabelSettings):
        return bool(settings.label_dropout)
    if isinstance(settings, ScorerSettings):
        return bool(shape.dropout if settings.dropout is None else settings.dropout)
    lora = lora_of(settings)
    return bool(lora and lora.dropout)


def _width(precision: str) -> int:
    return 2 if precision == "bf16" else FLOAT
