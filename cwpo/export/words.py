"""What an export is called, where it lies, and how it is loaded. Free of torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cwpo.errors import ConfigError

STAGES: Mapping[str, str] = {"align": "aligned model", "sft": "SFT model", "annotator": "annotator"}
MERGED, ADAPTERS = "merged", "adapters"  # one folder of whole weights, or the adapters alone in the form of peft
# How far the logits of the exported model may lie from those of the trained one, as a share of the largest: in float32,
# and after the weights were rounded, which moves them by what the model makes of it.
TOLERANCE, ROUNDING = 1e-5, 0.25
TORCH_DTYPES: Mapping[str, str] = {"fp32": "float32", "bf16": "bfloat16"}
AUTO_TOKENIZER, PLAIN_TOKENIZER = "AutoTokenizer", "PreTrainedTokenizerFast"
REPORT = "cwpo-export.json"  # beside the weights: what was checked
CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was saved, and how it compared with the model as it was trained."""

    fingerprint: str  # of the stage
    stage: str
    form: str
    dtype: str
    adapters: int  # under one another
    scalar: bool  # a score instead of logits
    prompts: int  # that were compared
    difference: float  # the largest one in float32, as a share of the largest logit
    rounding: float | None  # the same of what was saved, where that is not float32
    tokenizer: str = AUTO_TOKENIZER  # the class of transformers that reads texts as the model was trained to

    @property
    def sentence(self) -> str:
        """How far it is from the model as it was trained, and how far it may be."""
        what = "Scores" if self.scalar else "Logits"
        rounded = ""
        if self.rounding is not None:
            rounded = f"; rounded to {TORCH_DTYPES[self.dtype]} by at most {_plain(self.rounding)}"
        return (
            f"{what} on {self.prompts} prompts differ from the {self._other} by at most {_plain(self.difference)} of "
            f"the largest one (allowed: {_plain(TOLERANCE)}){rounded}."
        )

    @property
    def is_the_trained_model(self) -> bool:
        """Whether both lie within what is allowed; what is not a number does not."""
        return self.difference <= TOLERANCE and (self.rounding is None or self.rounding <= ROUNDING)

    @property
    def _other(self) -> str:
        return "model with its adapters apart" if self.adapters else "stored model in float32"


def _plain(value: float) -> str:
    """Two digits, 0.00001 and not 1e-05."""
    return f"{float(f'{value:.2g}'):.12f}".rstrip("0").rstrip(".") if abs(value) >= 1e-12 else "0"


def write_report(folder: Path, report: Report) -> None:
    """Beside the weights."""
    (folder / REPORT).write_text(json.dumps(asdict(report), indent=1, sort_keys=True) + "\n")


def read_report(folder: Path) -> Report | None:
    """The report of a finished export; None where there is none that can be read."""
    try:
        return Report(**json.loads((folder / REPORT).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def check_choice(stage: str, dtype: str) -> None:
    """ConfigError for a stage or a dtype that nobody can export."""
    if stage not in STAGES:
        raise ConfigError("--stage", f"{stage!r} is not one of {', '.join(STAGES)}.")
    if dtype not in TORCH_DTYPES:
        raise ConfigError("--dtype", f"{dtype!r} is not one of {', '.join(TORCH_DTYPES)}.")


def size_of(folder: Path) -> int:
    """Bytes of the files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def loading(place: str, *, scalar: bool = False, dtype: str = "fp32", tokenizer: str = AUTO_TOKENIZER) -> str:
    """Python that loads a whole model of transformers from a folder or a repository."""
    kind = "AutoModelForSequenceClassification" if scalar else "AutoModelForCausalLM"
    return "\n".join(
        (
            "import torch",
            f"from transformers import {', '.join(sorted((kind, tokenizer)))}",
            "",
            f"tokenizer = {tokenizer}.from_pretrained({place!r})",
            f"model = {kind}.from_pretrained({place!r}, dtype=torch.{TORCH_DTYPES[dtype]})",
        )
    )


def loading_adapters(
    place: str, base: str, revision: str | None, adapters: int, *, tokenizer: str = AUTO_TOKENIZER
) -> str:
    """Python that puts exported adapters on their base by peft, the lowest first."""
    pinned = f", revision={revision!r}" if revision else ""
    names = [f"a{number}" for number in range(1, adapters + 1)]
    lines = [
        "from peft import PeftModel",
        f"from transformers import AutoModelForCausalLM, {tokenizer}",
        "",
        f"tokenizer = {tokenizer}.from_pretrained({place!r})",
        f"model = AutoModelForCausalLM.from_pretrained({base!r}{pinned})",
        f"model = PeftModel.from_pretrained(model, {adapter_folder(place, 1, adapters)!r}, adapter_name='a1')",
    ]
    lines += [
        f"model.load_adapter({adapter_folder(place, number, adapters)!r}, adapter_name='a{number}')"
        for number in range(2, adapters + 1)
    ]
    if adapters > 1:
        lines.append(f"model.base_model.set_adapter({names!r})")
    return "\n".join(lines)


def loading_stored(stage: str, fingerprint: str) -> str:
    """Python that loads what a stage stored as this program does, adapters on their parents."""
    load = "load_annotator" if stage == "annotator" else "load_policy"
    options = (
        "seed=0, dropout=None" if stage == "annotator" else ("precision='fp32', trainable=False, lora=None, seed=0")
    )
    given = "model, tokenizer" if stage == "annotator" else "policy"
    return "\n".join(
        (
            f"from cwpo.models.load import ModelRef, {load}",
            "from workers.machine.paths import store",
            "",
            f"folder = store().find({fingerprint!r})",
            f"{given} = {load}(ModelRef(artifact=folder), store=store(), device='cpu', {options})",
        )
    )


def adapter_folder(place: str, number: int, adapters: int) -> str:
    """Where one of several adapters lies in an export; the only one lies in it itself."""
    return place if adapters == 1 else f"{place}/{number}"


def chain_in_words(base: str, adapters: Sequence[str]) -> str:
    """ "facebook/opt-1.3b + adapter of SFT + adapter of Alignment"."""
    return " + ".join((base, *(f"adapter of {name}" for name in adapters)))


def plain_name(name: str) -> str:
    """A hub id as it is; of a folder the last piece alone, because a path is this machine's own."""
    pieces = name.rstrip("/").split("/")
    own = pieces[0] in ("", ".", "..", "~", "fetched") or len(pieces) > 2
    return pieces[-1] if own else name


def is_hub_id(name: Any) -> bool:
    """Whether a name of a configuration means a repository of the hub."""
    from cwpo.models import hub

    return (
        isinstance(name, str)
        and "/" in name
        and not name.startswith("sandbox/")
        and (not hub.is_local(name) and hub.HUB_ID.fullmatch(name) is not None)
    )
