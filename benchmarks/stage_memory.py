"""Stages at work on a CPU against the estimate of their memory, part of `python -m benchmarks memory`.

`measured_mb` is the model's weights and buffers, counted, and on top the most bytes that torch held at once while two
optimizer steps or a batch of answers were computed (its profiler sees every allocation). `estimate_mb` is
`cwpo/models/memory_estimate.py` for the same settings; `ratio` is the first over the second.
"""

import inspect
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks import ours, workload
from benchmarks.measure import Results, Sample, Stopwatch, table
from cwpo.artifacts import ArtifactStore
from cwpo.models import load, memory_estimate
from cwpo.models.shape import Shape, shape_of
from cwpo.stages.settings import LoraSettings

SHAPES: dict[str, dict[str, Any]] = {
    "OPT 125M": {"family": "opt", "hidden": 768, "layers": 12, "heads": 12, "vocabulary": 50272, "inner": 3072},
    "Qwen2 39M": {"family": "qwen2", "hidden": 512, "layers": 8, "heads": 8, "kv_heads": 2, "vocabulary": 32000,
                  "inner": 1408},
}  # fmt: skip
TOKENS, PAIRS = 512, 8
ANSWERS, LONG = 16, 16  # rows of a batch; tokens of a prompt and of an answer
WAYS = (
    {"what": "whole"},
    {"what": "whole", "checkpointing": True},
    {"what": "lora"},
    {"what": "lora", "checkpointing": True},
    {"what": "lora", "precision": "bf16"},
    {"what": "lora", "precision": "bf16", "checkpointing": True},
    {"what": "answers"},
)
CELLS = tuple({"model": model, **way} for model in SHAPES for way in WAYS)


def take(*, anew: bool, smallest: bool) -> None:
    """Measure what is not in the file yet, and print all of it."""
    results = Results("stage_memory", anew=anew)
    print("Stages against the estimate", flush=True)
    for cell in CELLS[-1:] if smallest else CELLS[::-1]:
        results.take(json.dumps(cell), 0, lambda cell=cell: _measure(cell))  # type: ignore[misc]
    rows = [{**json.loads(cell), **samples[0]} for cell, samples in results.cells.items() if samples]
    names = ("model", "what", "precision", "checkpointing", "estimate_mb", "measured_mb", "ratio")
    results.summary = {"stages": [{name: row.get(name, "") for name in names} for row in rows]}
    results.save()
    print(table(results.summary["stages"]), flush=True)


def _measure(cell: dict[str, Any]) -> Sample:
    """The model is loaded as a stage loads it, so that frozen weights are as small there."""
    shape = workload.Shape(**SHAPES[cell["model"]])
    known = shape_of(workload.config(shape).to_dict())
    assert known is not None
    lora = LoraSettings(r=8, alpha=16, dropout=0.0, target_modules=None) if cell["what"] == "lora" else None
    precision = cell.get("precision", "fp32")
    with tempfile.TemporaryDirectory(prefix="cwpo-bench-") as name:
        model = _loaded(shape, Path(name) / "model", precision, lora, trainable=cell["what"] != "answers")
        if cell.get("checkpointing"):
            model.gradient_checkpointing_enable({"use_reentrant": False})
        if cell["what"] == "answers":
            return _answers(model, shape, known)
        return _steps(model, shape, known, precision, lora, bool(cell.get("checkpointing")))


def _loaded(shape: Any, folder: Path, precision: str, lora: LoraSettings | None, *, trainable: bool) -> Any:
    model = AutoModelForCausalLM.from_config(workload.config(shape))
    load.save_model(model, workload.word_tokenizer(256), folder, form="full", parent=None)
    del model
    apart = "parents" in inspect.signature(load.load_policy).parameters and precision == "bf16"
    return load.load_policy(
        load.ModelRef(artifact=folder), store=ArtifactStore(folder.parent), device="cpu", precision=precision,
        trainable=trainable, lora=lora, seed=0, **({"parents": "apart"} if apart else {}),
    ).model  # fmt: skip


def _steps(
    model: Any, shape: Any, known: Shape, precision: str, lora: LoraSettings | None, checkpointing: bool
) -> Sample:  # fmt: skip
    """Two steps of alignment behind the reference's reading."""
    rows = workload.encoded(workload.typical(PAIRS, tries=20), shape.vocabulary, first=8)
    warm = workload.encoded(workload.typical(PAIRS, tries=20, seed=1), shape.vocabulary, seed=1)
    need = memory_estimate.training(known, tokens=TOKENS, precision=precision, lora=lora, scalar=False)
    estimate = need.total_checkpointed if checkpointing else need.total
    return _against(
        model,
        estimate,
        lambda: ours.dpo(model, warm, rows, batch=PAIRS, precision=precision, tokens_per_batch=TOKENS),
    )


def _answers(model: Any, shape: Any, known: Shape) -> Sample:
    """Greedy answers of a full batch, by the keys and values that every sampler keeps."""
    tokens = ANSWERS * 2 * LONG // memory_estimate.ROOM
    need = memory_estimate.answering(known, tokens=tokens, precision="fp32", new_tokens=LONG)
    ids = torch.randint(3, 256, (ANSWERS, LONG))

    def work() -> Sample:
        watch = Stopwatch()
        watch.start()
        with torch.inference_mode():
            model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=LONG, min_new_tokens=LONG, do_sample=False
            )
        watch.stop()
        return watch.sample

    return _against(model, need.total, work)


def _against(model: Any, estimate: int, work: Callable[[], Sample]) -> Sample:
    weights = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
               for tensor in (*model.parameters(), *model.buffers())}  # fmt: skip
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        sample = work()
    held = highest = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    measured = sum(weights.values()) + highest
    more = {"estimate_mb": round(estimate / 2**20), "measured_mb": round(measured / 2**20)}
    sample.more |= {**more, "ratio": round(measured / estimate, 2)}
    return sample
