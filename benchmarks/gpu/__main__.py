"""Measurements on one CUDA GPU, in parts, each row kept as soon as it is measured.

    make gpu                                                              everything, at most 25 minutes
    python -m benchmarks gpu --parts equality step --seconds 400          some parts, at most that long
    python -m benchmarks gpu --device cpu --shapes tiny --seconds 60      tries the same code without a GPU

Weights are random, shapes those of real models. Results go to benchmarks/results/gpu-<card>.json; a row that is there
is not measured again, one that failed or was skipped is, and --anew forgets all. It needs the core's packages alone;
TRL's rows say so where it is not installed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu import equality, memory, sampling_labeling, step
from benchmarks.gpu.rows import Rows, Setting
from benchmarks.measure import RESULTS
from benchmarks.workload import SHAPES

PARTS = {
    "equality": equality.measure,
    "step": step.measure,
    "labeling": sampling_labeling.labeling,
    "sampling": sampling_labeling.sampling,
    "memory": memory.measure,
}
TINY = ("opt-nano", "qwen2-tiny")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA GPU here: --device cpu --shapes tiny tries the same code.")
    setting = Setting(
        device=options.device,
        families=tuple(options.families),
        precisions=tuple(options.precisions),
        shapes=TINY if options.shapes == ["tiny"] else tuple(options.shapes),
        tunings=tuple(options.tunings),
        sides=tuple(options.sides),
        batch=options.batch,
        steps=options.steps,
        tokens_per_batch=options.tokens_per_batch,
    )
    rows = Rows(options.device, folder=options.out, seconds=options.seconds, anew=options.anew)
    for name in [name for given in options.parts for name in given.split(",")]:
        rows.begin(name)
        PARTS[name](rows, setting)
    step.add_goals(rows)
    rows.report()
    return 1 if rows.wrong() else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description="Measurements on one CUDA GPU.")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--parts", nargs="+", type=_parts, default=list(PARTS), metavar=f"{{{','.join(PARTS)}}}")
    parser.add_argument("--families", nargs="+", choices=list(equality.FAMILIES), default=[], help="of equality: all")
    parser.add_argument("--precisions", nargs="+", choices=("bf16", "fp32"), default=["bf16", "fp32"])
    parser.add_argument("--shapes", nargs="+", choices=[*SHAPES, "tiny"], default=["opt-1.3b", "qwen2.5-1.5b"])
    parser.add_argument("--tunings", nargs="+", choices=step.TUNINGS, default=list(step.TUNINGS))
    parser.add_argument("--sides", nargs="+", choices=step.SIDES, default=list(step.SIDES))
    parser.add_argument("--batch", type=int, default=16, help="pairs in a step")
    parser.add_argument("--steps", type=int, default=5, help="timed steps behind the first")
    parser.add_argument("--tokens-per-batch", type=int, default=16384, help="of a micro-batch of ours")
    parser.add_argument("--seconds", type=float, default=1500, help="no row is begun after so many seconds")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file")
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    return parser


def _parts(given: str) -> str:
    unknown = [name for name in given.split(",") if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is no part: choose of {', '.join(PARTS)}")
    return given


if __name__ == "__main__":
    raise SystemExit(main())
