"""Trainings over several ranks, in processes of their own: what a rank computes, and the whole grid as a script.

python -m tests.cwpo.training.ranked [SIZES]      every case at these numbers of ranks, against one rank
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import distributed

from cwpo.annotation.annotator import train_bradley_terry
from cwpo.config.catalog import OBJECTIVES
from cwpo.errors import Cancelled
from cwpo.models.adapters import ADAPTER_FILE, add_adapter
from cwpo.models.logps import forward_path
from cwpo.models.tokenization import Encoded
from cwpo.parallel.group import Group
from cwpo.parallel.ranks import ALONE, Ranks
from cwpo.stages.plain import to_plain
from cwpo.training.align import align_data, train_policy
from cwpo.training.checkpoints import ExtraState
from cwpo.training.reference import reference_table
from cwpo.training.root import put_together
from cwpo.training.sft import run_sft
from cwpo.training.weighting import weigh
from cwpo.training.whole.mismatched import Mismatched, of_pairs
from tests.cwpo import random_models as tiny
from tests.cwpo import small_world
from tests.cwpo.stage import TRAIN, context, fine_tuned, lora, weighting

PAIRS, STEPS, ROW_TOKENS = 11, 5, 24
PACKINGS = {"4": 4, "1,3": 3, "2,2": 2, "1,1,1,1": 1}  # pairs that fit into a micro-batch of an effective batch of four
HYPERPARAMETERS = {
    "beta": 0.5, "ipo_reduction": "mean", "label_noise": 0.1, "odpo_alpha": 1.0, "simpo_gamma": 0.5,
    "beta_dynamics": 0.6, "orpo_lambda": 0.1,
}  # fmt: skip
# what every rank would import for itself
PRELOADED = ["tests.cwpo.training.ranked", "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.checkpoint"]
LABELS = ["a", "b", "b", "a", "a", "b", "a", "b", "a", "b", "b"]
MARGINS = np.linspace(0.1, 4.0, PAIRS)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training of five steps on batches of 4, 4, 3, 4 and 4 rows."""

    what: str = "dpo"  # an objective, "sft", "annotator", or "stage": SFT from artifact to artifact, float32
    whole: bool = True  # else an adapter
    split: bool = False  # FSDP2, else DDP
    packing: str = "4"
    family: str = "opt"
    dropout: float = 0.0
    checkpointing: bool = False
    stop: int = 0  # the step behind which somebody asks to stop; 0 for never
    every: float = 1e9  # execution.checkpoint_seconds
    die: int = -1  # the rank that ends without a word behind the fourth step

    @property
    def name(self) -> str:
        tuning, engine = "whole" if self.whole else "adapter", "fsdp2" if self.split else "ddp"
        return f"{self.what} {tuning} {engine} [{self.packing}]"


def rows(responses: int = 2) -> list[Encoded]:
    """Rows of the same number of tokens in all, so that a packing says how many stand together."""
    rng = np.random.default_rng(3)
    found = []
    for number in range(PAIRS):
        cuts = np.sort(rng.choice(np.arange(2, ROW_TOKENS - 2), responses, replace=False))
        lengths = np.diff([0, *cuts.tolist(), ROW_TOKENS])
        parts = [rng.integers(3, tiny.VOCABULARY, length) for length in lengths]
        found.append(Encoded(pair_id=f"{number:016x}", prompt_ids=parts[0], responses=tuple(parts[1:])))
    return found


@dataclass(frozen=True, kw_only=True)
class Computed:
    """How far all trained weights went, in one vector, and all metrics; both empty where the training was stopped."""

    moved: np.ndarray = field(default_factory=lambda: np.empty(0))
    metrics: np.ndarray = field(default_factory=lambda: np.empty(0))
    first_step: int = -1


def _told(points: Sequence[tuple[int, str, float]]) -> list[float]:
    """All metrics but accuracies where the policy still is its reference: margins are nothing but rounding there, and
    which of two answers has the larger reward is, too."""
    by_name = {(step, name): value for step, name, value in points}
    return [
        value
        for step, name, value in points
        if "accuracies" not in name or abs(by_name[step, name.replace("accuracies", "margins")]) > 1e-9
    ]


def computed(case: Case, ranks: Ranks, folder: Path) -> Computed:
    """The case on one rank."""
    if case.what == "stage":
        return _stage(case, ranks, folder)
    torch.manual_seed(0)
    make = tiny.scorer if case.what == "annotator" else tiny.policy
    model = make(case.family, torch.float64)
    if not case.whole:
        model = add_adapter(model, lora(r=2, alpha=4, dropout=case.dropout), seed=0).double()
    for module in model.modules() if case.dropout and case.whole else ():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = case.dropout
    began = _weights(model)
    asked = iter(range(1, 10**6))

    def should_stop() -> bool:
        step = next(asked)
        if case.die == ranks.rank and step == 4:
            os._exit(9)
        return step == case.stop

    ctx = context(
        folder, _kind(case), config=_config(case), should_stop=should_stop, ranks=ranks, shard=case.split,
        tokens_per_batch=PACKINGS[case.packing] * ROW_TOKENS, checkpoint_seconds=case.every,
        gradient_checkpointing=case.checkpointing,
    )  # fmt: skip
    try:
        result = _trained(case, model, ctx)
    except Cancelled:
        return Computed()
    put_together(model, keep=True)
    metrics = _told(sorted(result.history.points))
    return Computed(moved=_weights(model) - began, metrics=np.array(metrics), first_step=result.first_step)


def _weights(model) -> np.ndarray:
    return torch.cat([value.detach().flatten() for value in model.parameters() if value.requires_grad]).numpy()


def _stage(case: Case, ranks: Ranks, folder: Path) -> Computed:
    """SFT on words from a stored model, and what the artifact that it leaves is apart from that model."""
    base, data = (folder.parent / name for name in ("base", "data"))
    if ranks.size == 1:
        stage_inputs(folder.parent)
    own = {
        **small_world.MODEL, **small_world.PART, "part": "labeled", "label_source": "human", "train": {**TRAIN},
        "lora": None if case.whole else to_plain(lora(r=2, alpha=4)),
    }  # fmt: skip
    ctx = context(folder, "sft", config=own, inputs={"base": base, "data": data}, ranks=ranks, shard=case.split)
    summary = run_sft(ctx)
    if not case.whole:
        weights = load_file(ctx.out / ADAPTER_FILE)
        second = [weights[name].numpy().ravel() for name in sorted(weights) if "lora_B" in name]  # zero at the start
        return Computed(moved=np.concatenate(second), metrics=np.array([summary["final_loss"]]))
    found, start = (load_file(where / "model.safetensors") for where in (ctx.out, base))
    moved = np.concatenate([(found[name] - start[name]).numpy().ravel() for name in sorted(found)])
    return Computed(moved=moved, metrics=np.array([summary["final_loss"]]))


def stage_inputs(folder: Path) -> None:
    """The stored model and data that stages in the folder read."""
    small_world.policy_artifact(folder / "base")
    small_world.data_artifact(folder / "data", small_world.word_pairs(20))


def _kind(case: Case) -> str:
    return case.what if case.what in ("sft", "annotator") else "align"


def _config(case: Case) -> dict:
    config = {"train": {**TRAIN, "lr": 1e-2, "epochs": 5 / 3, "weight_decay": 0.1}, "precision": "fp32", "seed": 0}
    if _kind(case) == "align":
        fields = OBJECTIVES[case.what].fields
        config["objective"] = {"name": case.what, **{name: HYPERPARAMETERS[name] for name in fields}}
    return config


def _trained(case: Case, model, ctx):
    if case.what == "sft":
        return fine_tuned(model, rows(1), ctx)
    if case.what == "annotator":
        pairs, extra = rows(), ExtraState()
        labels = {row.pair_id: int(label == "b") for row, label in zip(pairs, LABELS, strict=True)}
        return train_bradley_terry(model, pairs[:9] + pairs[:2], labels, ctx, heldout=pairs[9:], extra=extra)
    frozen = forward_path(tiny.policy(case.family, torch.float64), device="cpu", precision="fp32", log=print)
    alone = replace(ctx, execution=replace(ctx.execution, ranks=ALONE), should_stop=lambda: False)
    known = reference_table(frozen, rows(), alone).to_pylist()
    reference = {row["pair_id"]: (row["logp_a"], row["logp_b"]) for row in known}
    both_ways = "margin" not in OBJECTIVES[case.what].needs
    weights = weigh(weighting("soft" if both_ways else "confidence"), MARGINS)
    data = align_data(rows(), LABELS, weights, reference, margins=MARGINS)
    if "kl" in OBJECTIVES[case.what].needs:
        data = replace(data, mismatched=mismatched(frozen, alone))
    return train_policy(model, data, ctx)


def mismatched(frozen, ctx) -> Mismatched:
    """Every row's prompt with the answers of the next row."""
    pairs = rows()
    found = [replace(row, responses=other.responses) for row, other in zip(pairs, [*pairs[1:], pairs[0]], strict=True)]
    known = {row["pair_id"]: (row["logp_a"], row["logp_b"]) for row in reference_table(frozen, found, ctx).to_pylist()}
    return of_pairs(found, known, [row.pair_id for row in pairs])


def ended(target: Callable[..., None], size: int, *given: Any, patience: float = 240) -> list[int | None]:
    """Exit codes of `size` processes that computed `target(rank, *given)`; one that hangs for so many seconds is
    killed."""
    method = multiprocessing.get_context("forkserver")
    method.set_forkserver_preload(PRELOADED)
    started = [method.Process(target=target, args=(rank, *given), daemon=True) for rank in range(size)]
    for process in started:
        with no_script():
            process.start()
    for process in started:
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in started]


def over_ranks(size: int, cases: Sequence[Case], folder: Path, patience: float = 240) -> list[Computed]:
    """What the first of `size` ranks computed, case by case in folders 0, 1, … of `folder`; [] if a rank died."""
    folder.mkdir(parents=True, exist_ok=True)
    meeting = folder / f"meeting-{time.monotonic_ns()}"
    given = (size, list(cases), str(folder), str(meeting))
    if any(case.what == "stage" for case in cases):
        stage_inputs(folder)
    if any(ended(_rank, size, *given, patience=patience)):
        return []
    with np.load(f"{meeting}.npz") as stored:
        names = [item.name for item in fields(Computed)]
        return [Computed(**{name: stored[f"{number}-{name}"] for name in names}) for number in range(len(cases))]


@contextmanager
def no_script() -> Iterator[None]:
    """A page that was drawn by a test stands as the main script, which a new process would run again."""
    main = sys.modules["__main__"]
    if Case.__module__ != "__main__":
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _rank(rank: int, size: int, cases: Sequence[Case], folder: str, meeting: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    found = {}
    for number, case in enumerate(cases):
        value = computed(case, Group.current(), Path(folder) / str(number))
        found |= {f"{number}-{name}": one for name, one in vars(value).items()}
    distributed.barrier()
    if rank == 0:
        np.savez(f"{meeting}.npz", **found)
    distributed.barrier()
    distributed.destroy_process_group()


def apart(one: Computed, other: Computed) -> float:
    """How far weights and metrics are apart, relative to how far the weights went and to the metrics."""
    pairs = ((one.moved, other.moved), (one.metrics, other.metrics))
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in pairs)


def grid() -> list[Case]:
    """Every objective, SFT and the annotator, both engines, adapters and whole models, every packing."""
    every: Iterable[tuple[str, bool, bool, str]] = product(
        [*OBJECTIVES, "sft", "annotator"], (False, True), (False, True), PACKINGS
    )
    return [
        Case(what=what, split=split, whole=whole, packing=packing)
        for what, split, whole, packing in every
        if whole or what != "annotator"
    ]


def main(sizes: Sequence[int]) -> None:
    torch.set_num_threads(1)
    cases = grid()
    with TemporaryDirectory() as place:
        wanted = [computed(replace(case, split=False), ALONE, Path(place) / "one" / case.name) for case in cases]
        for size in sizes:
            began = time.monotonic()
            if not (found := over_ranks(size, cases, Path(place) / str(size), patience=7_200)):
                sys.exit(f"{size} ranks: a rank died or hung.")
            far = {case.name: apart(a, b) for case, a, b in zip(cases, wanted, found, strict=True)}
            worst = max(far, key=lambda name: far[name])
            print(
                f"{size} ranks: {len(far)} trainings of {STEPS} steps, {sum(value > 1e-5 for value in far.values())} "
                f"more than 1e-5 from one rank, worst {far[worst]:.1e} ({worst}), {time.monotonic() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 2, 3, 4])
