"""How much memory a stage needs, from the model's dimensions and the token budget. No torch.

The arithmetic is in docs/memory.md. What trains is float32, and bf16 is autocast on top; what does not train is kept as
`cwpo/models/sizes/weights.py` says. What one micro-batch keeps for its backward pass was counted layer by layer; a test
compares the count with the tensors that autograd saves.
"""

from dataclasses import dataclass, replace

from cwpo.config.parts import DROPOUT_TOKENS, LoraConfig
from cwpo.models.shape import FOUR_NORMS, GATED, Shape
from cwpo.models.sizes.host import host_bytes
from cwpo.models.sizes.weights import FLOAT, HALF, Kept, frozen_bytes, kept_in
from cwpo.stages.kinds import kind_of
from cwpo.stages.online import OnlineSettings
from cwpo.stages.settings import (
    BatchSettings,
    CardSettings,
    JudgeSettings,
    LabelSettings,
    LoraSettings,
    ModelSettings,
    PreferenceSettings,
    ReferenceSettings,
    SampleSettings,
    ScorerSettings,
    ScoreSettings,
    Settings,
)

ANSWERS = 0.5  # share of a packed batch that are answers and reach the head; 0.43 in HH-RLHF
PADDING = 1.25  # slots of attention's blocks over tokens: 1.0 to 1.35 at HH-RLHF's lengths
KEPT_SLOPES = 1 << 26  # elements of logits that the head holds at most
SAFE = 0.8  # share of the free memory that an estimate may fill: it is right within about a third
ROOM = 8  # answers are sampled in batches of this many times the token budget
LEAST_CACHE = 3_000_000_000  # bytes of keys and values of a batch of answers in bf16, where nothing else is asked for
PROMPT_TOKENS = 4096  # of a batch of answers in bf16 that are read at once
DRAWN = 1 << 24  # logits that tokens are drawn from at once
_USUAL = LoraConfig()
_USUAL_LORA = LoraSettings(r=_USUAL.r, alpha=_USUAL.alpha, dropout=_USUAL.dropout, target_modules=None)


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes at a stage's peak: on one card, by what takes them, and in the memory of the host."""

    weights: int
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0  # of one micro-batch, with every layer's kept
    checkpointed: int = 0  # the same with each layer's input alone kept
    head: int = 0
    cache: int = 0
    gathered: int = 0  # weights and gradients that are whole for a moment, of a model that is split or in 4 bits
    host: int = 0

    @property
    def fixed(self) -> int:
        """What gradient checkpointing does not change."""
        return self.weights + self.gradients + self.optimizer + self.head + self.cache + self.gathered

    @property
    def total(self) -> int:
        return self.fixed + self.activations

    @property
    def total_checkpointed(self) -> int:
        return self.fixed + self.checkpointed


def of_stage(
    settings: Settings,
    shape: Shape,
    *,
    tokens: int,
    models: int = 1,
    cards: int = 1,
    kept: Kept | None = None,
    before: bool = False,
) -> Need | None:
    """The need of a stage with these settings on each of its cards; None for a kind without a model of a known size.

    models: how many of them a labeling stage holds, for an ensemble or the implicit reward's two. cards: a model that
    trains whole is split over them, all else is repeated. kept: frozen weights, else as the settings say. before: as it
    was when frozen weights were float32 and were read into the host's memory first.
    """
    lora, kind = lora_of(settings), kind_of(settings)
    split = kind.trains and lora is None and cards > 1
    kept = kept or kept_of(settings, before=before)
    need = _on_a_card(settings, shape, tokens, models, cards if split else 1, kept, before)
    if need is None:
        return None
    whole = shape.scorer if kind.scalar else shape.causal
    trained = 0 if not kind.trains else shape.adapter(lora) if lora else whole
    return replace(need, host=host_bytes(shape, trained=trained, cards=cards, before=before))


def _on_a_card(
    settings: Settings, shape: Shape, tokens: int, models: int, cards: int, kept: Kept, before: bool
) -> Need | None:  # fmt: skip
    precision, kind = precision_of(settings), kind_of(settings)
    most = DROPOUT_TOKENS if fixes_tokens(settings, shape) else tokens
    if kind.trains:
        need = training(
            shape, tokens=most, precision=precision, lora=lora_of(settings), scalar=kind.scalar, kept=kept, cards=cards
        )
        return _online(need, settings, shape, tokens) if isinstance(settings, OnlineSettings) else need
    if isinstance(settings, ReferenceSettings):
        return reading(shape, tokens=tokens, precision=precision, scalar=False, kept=kept)
    if isinstance(settings, LabelSettings):
        scalar = settings.implicit is None
        return reading(shape, tokens=most, precision=precision, scalar=scalar, models=models, kept=kept)
    if isinstance(settings, ScoreSettings):
        return reading(shape, tokens=tokens, precision=precision, scalar=True, kept=kept)
    if isinstance(settings, SampleSettings) and settings.engine is not None:  # its own process ends before ours scores
        return reading(shape, tokens=tokens, precision=precision, scalar=False, kept=kept)
    if isinstance(settings, SampleSettings):
        new_tokens = settings.decoding.max_new_tokens
        need = answering(shape, tokens=tokens, precision=precision, new_tokens=new_tokens, kept=kept)
        fixed = None if before else settings.batches
        return need if fixed is None else _answering_in_fixed_batches(need, fixed, shape)
    if isinstance(settings, JudgeSettings | CardSettings):
        scalar = isinstance(settings, CardSettings) and settings.judge is None
        return reading(shape, tokens=tokens, precision=precision, scalar=scalar, kept=kept)
    return None


def precision_of(settings: Settings) -> str:
    """The arithmetic of a stage; base models are always pretrained in fp32."""
    if isinstance(settings, JudgeSettings):
        return settings.judge.precision
    return str(getattr(settings, "precision", "fp32"))


def lora_of(settings: Settings) -> LoraSettings | None:
    """The adapter that a stage trains; None where it trains the whole model."""
    return settings.lora if isinstance(settings, PreferenceSettings) else None


def kept_of(settings: Settings, *, before: bool = False) -> Kept:
    """How the weights of a stage are kept that do not train."""
    precision = precision_of(settings)
    if isinstance(settings, ScoreSettings):
        return "all bf16" if precision == "bf16" else "fp32"
    frozen = not kind_of(settings).trains or lora_of(settings) is not None
    quantization = settings.quantization if isinstance(settings, ModelSettings) else "none"
    return kept_in(precision, quantization, frozen=frozen, before=before)


def training(
    shape: Shape,
    *,
    tokens: int,
    precision: str,
    lora: LoraSettings | None,
    scalar: bool,
    kept: Kept | None = None,
    cards: int = 1,
) -> Need:
    """A stage that trains: the whole model, split over several cards, or a LoRA adapter over frozen weights; with a
    scalar head or the LM's own. kept: how frozen weights are; None: as usual for the precision."""
    if lora is not None:
        return _adapting(shape, tokens, precision, lora, scalar, kept or kept_in(precision, "none", frozen=True))
    whole = shape.scorer if scalar else shape.causal
    layers = shape.layers * shape.layer_weights
    gathered = FLOAT * (whole - layers + 3 * shape.layer_weights) if cards > 1 else 0
    return Need(
        weights=FLOAT * whole // cards,
        gradients=FLOAT * whole // cards + _embedding_gradients(shape, scalar),
        optimizer=2 * FLOAT * whole // cards,
        activations=_activations(shape, tokens, precision, None, "fp32", keeps=shape.layers),
        checkpointed=_activations(shape, tokens, precision, None, "fp32", keeps=0),
        head=0 if scalar else head(shape, tokens, precision),
        gathered=gathered,
    )


def _adapting(shape: Shape, tokens: int, precision: str, lora: LoraSettings, scalar: bool, kept: Kept) -> Need:
    """An adapter that trains, over frozen weights and, where these are small, over the adapter of the stage before."""
    trained = shape.adapter(lora)
    below = 0 if kept == "fp32" else trained
    return Need(
        weights=frozen_bytes(shape, kept, scalar=scalar) + FLOAT * (trained + below),
        gradients=FLOAT * trained,
        optimizer=2 * FLOAT * trained,
        activations=_activations(shape, tokens, precision, lora, kept, keeps=shape.layers),
        checkpointed=_activations(shape, tokens, precision, lora, kept, keeps=0),
        head=0 if scalar else head(shape, tokens, precision),
        gathered=_unpacked(shape, kept),
    )


def reading(
    shape: Shape, *, tokens: int, precision: str, scalar: bool, models: int = 1, kept: Kept = "fp32"
) -> Need:  # fmt: skip
    """A stage that only reads: weights, one layer at work, and a tile of the head."""
    return Need(
        weights=models * (frozen_bytes(shape, kept, scalar=scalar) + (0 if scalar else _stacked(shape, kept))),
        activations=tokens * layer(shape, precision),
        checkpointed=tokens * layer(shape, precision),
        head=0 if scalar else head(shape, tokens, precision),
        gathered=_unpacked(shape, kept),
    )


def answering(shape: Shape, *, tokens: int, precision: str, new_tokens: int, kept: Kept = "fp32") -> Need:
    """Sampling: weights, keys and values of a whole batch, and three copies of the logits of its last positions.

    Prompts are taken to be as long as answers: half of the batch is prompts, read at once.
    """
    batch = ROOM * tokens
    prompts = batch // 2 * layer(shape, precision)
    return Need(
        weights=frozen_bytes(shape, kept, scalar=False) + _stacked(shape, kept),
        activations=prompts,
        checkpointed=prompts,
        head=3 * FLOAT * max(1, batch // (2 * new_tokens)) * shape.vocabulary,
        cache=batch * shape.layers * 2 * shape.keys * _width(precision),
        gathered=_unpacked(shape, kept),
    )


def answer_cache(*, layers: int, hidden: int, vocabulary: int, cache_gb: float | None) -> int:
    """Bytes of keys and values of one batch of answers in bf16: what is asked for, or a quarter of the weights.

    A function of the model's configuration alone, because the batch is part of the result. Weights as 12 hidden² a
    layer and one embedding, 2 bytes each.
    """
    weights = 2 * (12 * layers * hidden**2 + vocabulary * hidden)
    return int(cache_gb * 1e9) if cache_gb else max(LEAST_CACHE, weights // 4)


def _answering_in_fixed_batches(need: Need, batches: BatchSettings, shape: Shape) -> Need:
    """The same with the cache of bf16, of which attention repeats one layer; prompts are read in parts."""
    cache = answer_cache(
        layers=shape.layers, hidden=shape.hidden, vocabulary=shape.vocabulary, cache_gb=batches.cache_gb
    )
    prompts = PROMPT_TOKENS * layer(shape, "bf16")
    repeated = cache * shape.query // (shape.keys * shape.layers) if shape.query > shape.keys else 0
    drawn = 5 * DRAWN * 8  # copies in float64
    return replace(need, cache=cache + repeated, activations=prompts, checkpointed=prompts, head=drawn)


def _online(need: Need, settings: OnlineSettings, shape: Shape, tokens: int) -> Need:
    """Beside the training the frozen reference, and for a while the keys and values of the answers that are sampled.
    The annotator, much smaller as a rule, is not counted."""
    precision, new_tokens = settings.precision, settings.decoding.max_new_tokens
    frozen = kept_in(precision, settings.quantization, frozen=True)
    sampling = answering(shape, tokens=tokens, precision=precision, new_tokens=new_tokens, kept=frozen)
    if settings.batches is not None:
        sampling = _answering_in_fixed_batches(sampling, settings.batches, shape)
    return replace(
        need, weights=need.weights + sampling.weights, cache=sampling.cache, head=max(need.head, sampling.head)
    )


def layer(shape: Shape, precision: str) -> int:
    """Bytes per token that one layer keeps for its backward pass.

    OPT keeps 5 rows of its width at norms and projections and one of the feed-forward width; Qwen2 and Llama 7 and 4,
    because their norms and gates are made of more operations; Gemma 2 and 3, with twice as many norms, 13. Attention
    keeps queries, keys, values (repeated for each head) and its output in padded blocks. bf16 halves all but the norms.
    """
    norms, inner = (13 if shape.family in FOUR_NORMS else 7, 4) if shape.family in GATED else (5, 1)
    return round(FLOAT * norms * shape.hidden + _width(precision) * (4 * PADDING * shape.query + inner * shape.ffn))


def head(shape: Shape, tokens: int, precision: str) -> int:
    """Bytes of the logits of a micro-batch's answers, as far as they are ever there at once."""
    return _width(precision) * min(int(ANSWERS * tokens) * shape.vocabulary, KEPT_SLOPES)


def _activations(
    shape: Shape, tokens: int, precision: str, lora: LoraSettings | None, kept: Kept, *, keeps: int
) -> int:  # fmt: skip
    """Every layer's input, all that `keeps` layers keep, and one layer twice: made again or left last, and its
    gradients. Autocast's copies of the weights are kept where they are float32."""
    whole = tokens * (layer(shape, precision) + _adapter_inputs(shape, precision, lora))
    cast = shape.layer_weights * HALF if precision == "bf16" and kept == "fp32" else 0
    inputs = 0 if keeps else shape.layers * tokens * shape.hidden * FLOAT
    return inputs + keeps * (whole + cast) + (1 if keeps else 2) * whole


def _stacked(shape: Shape, kept: Kept) -> int:
    """Adapters over small weights stay apart: the SFT model's and the aligned model's."""
    return 0 if kept == "fp32" else 2 * FLOAT * shape.adapter(_USUAL_LORA)


def _unpacked(shape: Shape, kept: Kept) -> int:
    """The largest matrix of a layer in bf16, twice: 4-bit weights are unpacked for each product."""
    return 2 * HALF * max(inputs * outputs for inputs, outputs in shape.linears.values()) if kept == "nf4" else 0


def _adapter_inputs(shape: Shape, precision: str, lora: LoraSettings | None) -> int:
    """Bytes per token and layer that an adapter's dropout adds: each matrix keeps an input of its own, and a mask."""
    if not lora or not lora.dropout:
        return 0
    return (_width(precision) + 1) * sum(shape.linears[name][0] for name in shape.adapted(lora))


def _embedding_gradients(shape: Shape, scalar: bool) -> int:
    """Gradients of the embedding that are there beside the sum: a tied one gets the head's and its own."""
    return FLOAT * shape.embedding * (2 if shape.tied and not scalar else 1)


def fixes_tokens(settings: Settings, shape: Shape) -> bool:
    """Whether what is asked for does not matter: dropout is on in the stage, which then packs DROPOUT_TOKENS, or it
    samples in bf16."""
    if isinstance(settings, SampleSettings):
        return settings.batches is not None
    if isinstance(settings, LabelSettings):
        return bool(settings.label_dropout)
    if isinstance(settings, ScorerSettings):
        return bool(shape.dropout if settings.dropout is None else settings.dropout)
    lora = lora_of(settings)
    return bool(lora and lora.dropout)


def _width(precision: str) -> int:
    return HALF if precision == "bf16" else FLOAT
