"""vLLM as an engine: the model runs in a process of its own, which ends with its stage and with this process.

Written against vLLM's documented offline interface; no test has met the real one. Log-probabilities stay our own
scorer's. The process is vllm_process.py; here are what it is told, its adapter, and its life.
"""

import gc
import json
import math
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from cwpo.config.environment import for_child
from cwpo.config.environment import settings as environment
from cwpo.errors import Cancelled, ModelError
from cwpo.evaluation.engines.contract import Key, Question, Written
from cwpo.evaluation.engines.draws import row_key
from cwpo.evaluation.engines.native import CANCELLED
from cwpo.full_disk import when_room
from cwpo.models.adapters import ADAPTER_FILE, LORA_FILE
from cwpo.stages.resolve import engine_version
from cwpo.stages.settings import DecodingSettings, EngineSettings

PROCESS = Path(__file__).with_name("vllm_process.py")
TOGETHER = 512  # questions that are handed over at once, at most; vLLM divides them as it likes
PARTS, LEAST = 8, 64  # of all answers, so that as many cards have something to do; fewer at once waste a card
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for
UNLIMITED = 1 << 20  # tokens of a context that is none
SHARE = 0.85  # of the card's memory
_ASK_EVERY = 0.5  # seconds between two looks at whether to stop
_ENDS_WITHIN = 10.0  # seconds that the process is given to end by itself
_WEIGHT = re.compile(r"\.lora_([AB])\.(?:[^.]+\.)?weight$")
_PREFIX = re.compile(r"^(?:base_model\.model\.)+")


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The model as folders of this machine, and how it answers. `adapters` from the lowest up."""

    folder: Path
    adapters: Sequence[Path]
    stops: Collection[int]
    context: int
    precision: str
    device: str
    decoding: DecodingSettings
    evaluation_seed: int
    scratch: Path


@dataclass(kw_only=True)
class VllmEngine:
    """The process with its model loaded; a context manager, because the process must end."""

    opening: Opening
    settings: EngineSettings
    _child: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _heard: bytearray = field(default_factory=bytearray, init=False)

    def __enter__(self) -> "VllmEngine":
        check_version(self.settings)
        return self

    def __exit__(self, *error: object) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):
            child.stdin.close()  # the process ends at the end of its input
        child.stdout.close()
        try:
            child.wait(timeout=_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            _kill(child)

    @property
    def together(self) -> bool:
        """Kernels may depend on what is asked at once."""
        return True

    def batches(self, questions: Sequence[Question], done: Collection[Key]) -> list[list[Question]]:
        """As many as are handed over at once, in the order of the questions."""
        size = together(self.settings, len(questions))
        every = [list(questions[first : first + size]) for first in range(0, len(questions), size)]
        return [batch for batch in every if any(item.key not in done for item in batch)]

    def answers(self, batch: Sequence[Question], should_stop: Callable[[], bool]) -> list[Written]:
        """Each with a seed of its own, derived from evaluation seed, prompt and sample."""
        if self._child is None:
            self._start(should_stop)
        asked = [(item.prompt_ids, request_seed(self.opening.evaluation_seed, item)) for item in batch]
        self._say({"ask": asked})
        found = self._hear(should_stop)["answers"]
        return [
            Written(prompt_id=item.prompt_id, sample=item.sample, ids=ids, finished=finished)
            for item, (ids, finished) in zip(batch, found, strict=True)
        ]

    def _start(self, should_stop: Callable[[], bool]) -> None:
        self._child = subprocess.Popen(
            [environment.vllm_python or sys.executable, "-P", str(PROCESS)],  # -P: its folder has a vllm of its own
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(self.opening.device, self.settings),
            process_group=0,  # it is ended with all that it starts
        )
        self._say(_told(self.opening))
        self._hear(should_stop)

    def _say(self, message: Mapping[str, Any]) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(message).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError as error:
            raise ModelError(_ended()) from error

    def _hear(self, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """Its next line; Cancelled, and the process killed, where somebody asks to stop meanwhile."""
        assert self._child is not None
        assert self._child.stdout is not None
        while b"\n" not in self._heard:
            if should_stop():
                _kill(self._child)
                raise Cancelled(CANCELLED)
            ready, _, _ = select.select([self._child.stdout], [], [], _ASK_EVERY)
            piece = os.read(self._child.stdout.fileno(), 1 << 20) if ready else None
            if piece == b"":
                raise ModelError(_ended())
            self._heard += piece or b""
        line, _, rest = bytes(self._heard).partition(b"\n")
        self._heard = bytearray(rest)
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise ModelError(f"vLLM cannot answer with this model ({message['error']}): use evaluation.engine: native.")
        return message


def check_version(settings: EngineSettings) -> None:
    """The version that the run was submitted with, because answers may differ from one to the next."""
    here = engine_version(settings.name)
    if here is None:
        raise ModelError(
            f"The run samples with {settings.name}, which this worker does not have: install the extra "
            f"(pip install 'cwpo[{settings.name}]') or set CWPO_VLLM_PYTHON, then retry the run."
        )
    if here != settings.version:
        raise ModelError(
            f"The run samples with {settings.name} {settings.version}, and this worker has {here}: "
            "install that version, or submit the run anew."
        )


def together(settings: EngineSettings, answers: int) -> int:
    """How many of a stage's answers are asked at once: a function of settings and number alone, whatever cards there
    are. What is changed here for answers that depend on their batch needs another rule (EngineSettings.rule)."""
    if settings.rule == 1 and not settings.batch_invariant:
        return TOGETHER
    parts = PARTS * math.ceil(answers / (PARTS * TOGETHER))
    return max(LEAST, math.ceil(answers / max(1, parts)))


def request_seed(evaluation_seed: int, question: Question) -> int:
    """Of one answer, whatever it is asked with; 63 bits, because seeds are signed."""
    return row_key(evaluation_seed, question.prompt_id, question.sample) >> 1


def stacked(adapters: Sequence[Path], out: Path) -> int:
    """Several adapters as one in peft's form; its rank, the sum of theirs.

    W + s₁B₁A₁ + s₂B₂A₂ is W with one adapter of A₁ over A₂ and s₁B₁ beside s₂B₂: nothing is merged into the weights,
    where rounding would lose what the last adapter learned.
    """
    settings = [json.loads((folder / LORA_FILE).read_text()) for folder in adapters]
    tensors = [_by_module(load_file(folder / ADAPTER_FILE)) for folder in adapters]
    shapes = {name: (pair["A"].shape[1], pair["B"].shape[0]) for found in tensors for name, pair in found.items()}
    rank, state = sum(one["r"] for one in settings), {}
    for name, (inputs, outputs) in sorted(shapes.items()):
        downs, ups = [], []
        for one, found in zip(settings, tensors, strict=True):
            none = {"A": torch.zeros(one["r"], inputs), "B": torch.zeros(outputs, one["r"])}
            pair = found.get(name, none)
            downs.append(pair["A"].float())
            ups.append(pair["B"].float() * (one["alpha"] / one["r"]))
        state[f"{name}.lora_A.weight"] = torch.cat(downs).contiguous()
        state[f"{name}.lora_B.weight"] = torch.cat(ups, dim=1).contiguous()
    when_room(lambda: out.mkdir(parents=True, exist_ok=True))
    when_room(lambda: save_file(state, out / "adapter_model.safetensors"))
    described = {
        **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": None, "bias": "none"},
        **{"r": rank, "lora_alpha": rank, "lora_dropout": 0.0, "inference_mode": True},
        "target_modules": sorted({name.rpartition(".")[2] for name in shapes}),
    }
    when_room(lambda: (out / "adapter_config.json").write_text(json.dumps(described, sort_keys=True)))
    return rank


def _by_module(state: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Module -> {"A", "B"}, without the names that peft gives adapters."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        match = _WEIGHT.search(name)
        if match is None:
            raise ModelError(f"vLLM takes no adapter with {name}: use evaluation.engine: native.")
        module = _PREFIX.sub("base_model.model.", name[: match.start()])
        found.setdefault(module, {})[match[1]] = value
    return found


def _told(opening: Opening) -> dict[str, Any]:
    """The first line to the process: arguments of LLM, of SamplingParams, and the adapter."""
    arguments: dict[str, Any] = {
        "model": str(opening.folder),
        "skip_tokenizer_init": True,  # ids go in and come out
        "dtype": {"bf16": "bfloat16", "fp32": "float32"}[opening.precision],
        "max_model_len": opening.context if opening.context < UNLIMITED else None,
        "gpu_memory_utilization": _share(opening.device),
        "enable_prefix_caching": False,
        "generation_config": "vllm",  # the model's own defaults of sampling stay out
        "load_format": "safetensors",
        "trust_remote_code": False,
        "seed": 0,
    }
    adapter = None
    if opening.adapters:
        adapter = opening.scratch / "vllm-adapter"
        rank = stacked(opening.adapters, adapter)
        room = next((most for most in RANKS if most >= rank), None)
        if room is None:
            raise ModelError(f"vLLM takes adapters up to rank {RANKS[-1]}, not {rank}: use evaluation.engine: native.")
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
    decoding = opening.decoding
    sampling = {
        **{"temperature": decoding.temperature, "top_p": decoding.top_p, "max_tokens": decoding.max_new_tokens},
        **{"stop_token_ids": sorted(opening.stops), "detokenize": False},
    }
    return {"llm": arguments, "sampling": sampling, "adapter": None if adapter is None else str(adapter)}


def _share(device: str) -> float:
    """Of the card's memory, as far as it is free: what earlier stages of this process left to torch is given back."""
    if not device.startswith("cuda"):
        return SHARE
    gc.collect()
    torch.cuda.empty_cache()
    free, whole = torch.cuda.mem_get_info(device)
    return round(min(SHARE, 0.95 * free / whole), 3)


def _environment(device: str, settings: EngineSettings) -> dict[str, str]:
    """One card, one process, no network."""
    found = for_child(
        VLLM_BATCH_INVARIANT="1" if settings.batch_invariant else "0",
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
        VLLM_NO_USAGE_STATS="1",
        HF_HUB_OFFLINE="1",
    )
    _, _, number = device.partition(":")
    if number:
        visible = found.get("CUDA_VISIBLE_DEVICES", "")
        found["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(number)] if visible else number
    return found


def _kill(child: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _ended() -> str:
    return "vLLM's process ended while answers were sampled: its last words are in the log; retry the run."
