"""A trained model as a plain folder of transformers or peft, compared with the model as it was trained.

Adapters are merged in float32, all of a chain at once, and only then rounded to the dtype that is asked for. What was
saved is loaded again, by transformers alone, before it gets its name: a folder without `.partial` is whole and checked.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ConfigError, ModelError
from cwpo.export import words
from cwpo.export.words import ADAPTERS, MERGED, TORCH_DTYPES, Report
from cwpo.files import partial_of
from cwpo.models import hub
from cwpo.models.adapters import ADAPTER, ADAPTER_FILE, LORA_FILE, LORA_TARGETS
from cwpo.models.load import ModelRef, lineage, load_annotator, load_policy, read_form
from cwpo.models.memory import free_memory
from cwpo.models.shape import shape_of
from cwpo.models.text.reader import reader_of

PROMPTS = (
    "Explain to a child why the sky is blue.",
    "Write a short letter to a neighbour about a noisy dog.",
    "What should I keep in mind before I buy a used bicycle?",
    "w1 w2 w3 w4 w5",
)
TOKENS, MOST_PROMPTS = 32, 8  # of a prompt that is compared, and of prompts
PATHS = ("_name_or_path", "name_or_path", "base_model_name_or_path")
_ROOM = 1.25  # memory and disk beside the weights themselves

Say = Callable[[str], None]


def export(
    ref: ModelRef,
    out: Path,
    *,
    store: ArtifactStore,
    stage: str,
    fingerprint: str,
    form: str = MERGED,
    dtype: str = "fp32",
    prompts: Sequence[str] = (),
    card: Callable[[Report], str] | None = None,
    say: Say = lambda words: None,
) -> Report:
    """Write the model of a stage to `out`, which must not exist, with tokenizer, report and card."""
    words.check_choice(stage, dtype)
    if out.exists():
        raise ConfigError("--to", f"{out} exists already: name a folder that is not there yet.")
    base, adapters = lineage(ref, store=store)
    _check_room(base, out.parent, dtype)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = partial_of(out)
    part.mkdir()
    try:
        scalar = (read_form(base) or {}).get("form") == "annotator"
        say("loading the model")
        model, tokenizer = _loaded(ref, store, scalar)
        texts = [*prompts, *PROMPTS][:MOST_PROMPTS]
        rows = [row for ids in reader_of(tokenizer).ids(texts) if (row := _fitting(ids, model, tokenizer))]
        before = _answers(model, rows)
        if form == ADAPTERS:
            again = _save_adapters(base, adapters, part, say)
            difference = 0.0
        else:
            say("merging the adapters" if adapters else "reading the weights")
            model = _merged(model)
            difference = _difference(before, _answers(model, rows))
            say("writing the weights")
            again = _save(model, part, dtype, scalar)
        tokenizer.save_pretrained(part)
        del model
        say("comparing what was saved")
        saved = _difference(before, _answers(again(), rows))
        exact = dtype == "fp32" or form == ADAPTERS
        report = Report(
            fingerprint=fingerprint, stage=stage, form=form, dtype=dtype, adapters=len(adapters), scalar=scalar,
            prompts=len(rows), difference=_worst(difference, saved) if exact else difference,
            rounding=None if exact else saved, tokenizer=_reader_class(part, tokenizer, texts),
        )  # fmt: skip
        if not report.is_the_trained_model:
            raise _another_model(report)
        _forget_paths(part)
        words.write_report(part, report)
        if card is not None:
            (part / words.CARD).write_text(card(report))
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return report


def _loaded(ref: ModelRef, store: ArtifactStore, scalar: bool) -> tuple[Any, Any]:
    """The model as it was trained, in float32, with its adapters apart."""
    if scalar:
        model, tokenizer = load_annotator(ref, store=store, device="cpu", seed=0, dropout=None)
        return model.eval(), tokenizer
    policy = load_policy(
        ref, store=store, device="cpu", precision="fp32", trainable=False, lora=None, seed=0, parents="apart"
    )
    return policy.model, policy.tokenizer


def _merged(model: Any) -> Any:
    """The adapters of a chain added to the weights below them, in float32."""
    if not isinstance(model, PeftModel):
        return model
    _untie(model)
    return model.merge_and_unload(safe_merge=True)


def _save(model: Any, out: Path, dtype: str, scalar: bool) -> Callable[[], Any]:
    """Whole weights, rounded once; returns how they are loaded again, in float32 whatever they were saved in."""
    kept = getattr(torch, TORCH_DTYPES[dtype])
    model.to(kept)
    model.config.dtype = kept
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(out, safe_serialization=True)
    kind = AutoModelForSequenceClassification if scalar else AutoModelForCausalLM
    return lambda: _plain_model(kind, out)


def _plain_model(kind: Any, folder: Path) -> Any:
    """By transformers alone, as anybody loads it, from safetensors and without remote code."""
    model = kind.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    return model.eval()


def _untie(model: PeftModel) -> None:
    """An output layer that shares the embedding's weights gets its own where an adapter changes only one of the two."""
    inner: Any = model.get_base_model()
    head, embedding = inner.get_output_embeddings(), inner.get_input_embeddings()
    if head is None or not (isinstance(head, LoraLayer) or isinstance(embedding, LoraLayer)):
        return
    if head.weight is embedding.weight:
        own: Any = cast(Any, head).get_base_layer() if isinstance(head, LoraLayer) else head
        own.weight = nn.Parameter(own.weight.detach().clone(), requires_grad=False)
        inner.config.tie_word_embeddings = False


def _save_adapters(base: Path, adapters: Sequence[Path], out: Path, say: Say) -> Callable[[], Any]:
    """Each adapter in the form of peft; returns how they are put on their base by peft alone."""
    if not adapters:
        raise ConfigError("--merged", "this model has no adapters: it is whole, so export it with --merged.")
    say("writing the adapters")
    for number, adapter in enumerate(adapters, start=1):
        _as_peft(adapter, Path(words.adapter_folder(str(out), number, len(adapters))), base)
    return lambda: _with_adapters(base, out, len(adapters))


def _with_adapters(base: Path, out: Path, count: int) -> Any:
    model = _plain_model(AutoModelForCausalLM, base)
    names = [f"a{number}" for number in range(1, count + 1)]
    for number, name in enumerate(names, start=1):
        folder = words.adapter_folder(str(out), number, count)
        if number == 1:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name)
        else:
            model.load_adapter(folder, adapter_name=name)
    model.base_model.set_adapter(names)
    return model.eval()


def _as_peft(adapter: Path, out: Path, base: Path) -> None:
    """Our adapter under the names of peft; of its base nothing but what the card says."""
    out.mkdir(parents=True, exist_ok=True)
    lora = json.loads((adapter / LORA_FILE).read_text())
    family = json.loads((base / "config.json").read_text()).get("model_type")
    targets = lora["target_modules"] or LORA_TARGETS.get(family)
    config = LoraConfig(
        r=lora["r"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], task_type="CAUSAL_LM",
        target_modules=list(targets) if targets else "all-linear", inference_mode=True,
    )  # fmt: skip
    config.save_pretrained(str(out))
    tensors = {key.replace(f".{ADAPTER}.", "."): value for key, value in load_file(adapter / ADAPTER_FILE).items()}
    save_file(tensors, out / "adapter_model.safetensors", metadata={"format": "pt"})


def _reader_class(folder: Path, tokenizer: Any, texts: Sequence[str]) -> str:
    """The class that reads the saved tokenizer as it was: AutoTokenizer puts a family's own splitting in the place of
    one that is not its family's."""
    wanted = [tokenizer(text).input_ids for text in texts]
    for kind in (AutoTokenizer, PreTrainedTokenizerFast):
        try:
            reader: Any = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError):
            continue
        if [reader(text).input_ids for text in texts] == wanted:
            return str(kind.__name__)
    raise ModelError("The tokenizer of this model reads texts differently after it was saved, so nothing was kept.")


def _fitting(ids: Sequence[int], model: Any, tokenizer: Any) -> list[int]:
    """The start of a prompt, as ids that the model has."""
    known = int(model.config.get_text_config().vocab_size)
    start = reader_of(tokenizer).start
    return [number for number in [*start, *ids][:TOKENS] if number < known]


def _answers(model: Any, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Logits behind every token of each row, or the row's score."""
    found = []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row])
            found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float())
    return found


def _difference(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> float:
    """The largest one, as a share of the largest logit; not a number where shapes or numbers are not the same kind."""
    if not before or any(one.shape != other.shape for one, other in zip(before, after, strict=True)):
        return float("nan")
    largest = max(float(one.abs().max()) for one in before)
    return max(float((one - other).abs().max()) for one, other in zip(before, after, strict=True)) / max(1.0, largest)


def _worst(*differences: float) -> float:
    """Not a number where one is none."""
    return float("nan") if any(one != one for one in differences) else max(differences)


def _another_model(report: Report) -> ModelError:
    return ModelError(
        f"The exported model is not the trained one ({report.sentence.rstrip('.')}), so nothing was kept: "
        "export it in float32, or its adapters alone."
    )


def _forget_paths(folder: Path) -> None:
    """No file says where on this machine its model was loaded from."""
    for file in folder.rglob("*config.json"):
        values = json.loads(file.read_text())
        kept = {name: value for name, value in values.items() if name not in PATHS or not value}
        if kept != values:
            file.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _check_room(base: Path, place: Path, dtype: str) -> None:
    """ModelError where the machine has not the memory or the disk for it, before anything is loaded."""
    config = hub.check_config(base, base.name)
    shape = shape_of(config)
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    parameters = shape.causal if shape is not None else weights // 2
    have = free_memory("cpu")
    if _ROOM * 4 * parameters > have:
        raise ModelError(
            f"Exporting this model takes about {_ROOM * 4 * parameters / 1e9:.1f} GB of memory, and {have / 1e9:.1f} "
            "GB are free on this machine: close other programs, or run `cwpo export` on a larger one."
        )
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    needed = _ROOM * parameters * (4 if dtype == "fp32" else 2)
    if needed > free:
        raise ModelError(
            f"The exported model takes about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free at {existing}: "
            "make room, or name another folder."
        )
