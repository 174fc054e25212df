"""Where the time of a DPO step goes, by kind of work, from torch's profiler.

python -m benchmarks where [--shape opt-125m] [--anew]
"""

import argparse
from functools import partial
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks import ours
from benchmarks.measure import Results, Sample, table
from benchmarks.workload import SHAPES, WARM, encoded, policy, typical

KINDS: dict[str, tuple[str, ...]] = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention, forward": ("aten::_scaled_dot_product_flash_attention_for_cpu",),
    "attention, backward": ("aten::_scaled_dot_product_flash_attention_for_cpu_backward",),
    "copies and casts": ("aten::copy_", "aten::fill_", "aten::cat", "aten::index_select"),
    "AdamW and clipping": ("aten::_fused_adamw_", "aten::linalg_vector_norm", "aten::_foreach_norm",
                           "aten::_foreach_mul_", "aten::_foreach_mul"),
    "norms and activations": ("aten::native_layer_norm", "aten::native_layer_norm_backward", "aten::clamp_min",
                              "aten::threshold_backward", "aten::relu"),
}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Where the time of a step goes.")
    parser.add_argument("--shape", choices=list(SHAPES), default="opt-125m")
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    results = Results(f"where-{options.shape}", anew=options.anew)
    for precision in ("bf16", "fp32"):
        results.take(precision, 0, partial(_sample, options.shape, precision))
    results.summary = {cell: samples[0]["shares"] for cell, samples in results.cells.items()}
    results.save()
    names = [*KINDS, "everything else"]
    print(table([{"work": name, **{p: results.summary[p].get(name) for p in results.summary}} for name in names]))


def _sample(name: str, precision: str) -> Sample:
    vocabulary = SHAPES[name].vocabulary
    warm = encoded(WARM, vocabulary, seed=1)
    rows = encoded(typical(8), vocabulary, first=8)
    recorder = profile(activities=[ProfilerActivity.CPU])
    sample = ours.dpo(policy(name), warm, rows, batch=8, precision=precision, around=recorder)
    sample.more["shares"] = shares(recorder)
    return sample


def shares(recorder: Any) -> dict[str, float]:
    """Share of the step's own time by kind of work."""
    own = {event.key: event.self_cpu_time_total for event in recorder.key_averages()}
    total = sum(own.values())
    found = {kind: round(sum(own.get(name, 0.0) for name in names) / total, 3) for kind, names in KINDS.items()}
    return {**found, "everything else": round(1 - sum(found.values()), 3)}


if __name__ == "__main__":
    main()
