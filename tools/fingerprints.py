"""The fingerprints of many runs, to prove that a change keeps every stored artifact: presets, examples, and a grid.

`python tools/fingerprints.py --write before.json` on the commit before, `--compare before.json` on the one behind it.
Free of torch.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cwpo.bounds import yaml_text  # noqa: E402
from cwpo.config import catalog  # noqa: E402
from cwpo.config.presets import comparison  # noqa: E402
from cwpo.config.run import RunConfig, digest, expand, merged  # noqa: E402
from cwpo.errors import ConfigError  # noqa: E402
from cwpo.paper.presets import all_presets  # noqa: E402
from cwpo.stages.graph import build  # noqa: E402

Stages = dict[str, dict[str, str]]  # slot -> {"fingerprint", "config"}

# Options that a grid lays over each method; together they set every field that a stage keeps or leaves out.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "pool-sft": {"sft": {"data": "pool"}},
    "labeled-sft": {"sft": {"data": "labeled"}},
    "common": {"sft": {"data": "pool"}, "evaluation": {"baseline": "common"}},
    "lora": {"model": {"lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]}}},
    "bf16": {"model": {"precision": "bf16", "max_length": 64}},
    "joint": {"annotator": {"kind": "joint"}},
    "ensemble": {"annotator": {"members": 3}},
    "passes": {"annotator": {"passes": 4, "label_dropout": 0.2}},
    "early": {"annotator": {"early_stopping": True, "heldout_fraction": 0.2}},
    "calibrate": {"annotator": {"calibrate": True}},
    "use": {"annotator": {"use": "a" * 64}},
    "pool": {"data": {"unlabeled_fraction": 0.5}},
    "mix": {"data": {"mix": {"harmless": 0.8, "helpful": 0.2}}},
    "mix-pool": {"data": {"mix": {"harmless": 0.8, "helpful": 0.2}, "unlabeled_fraction": 0.5}},
    "swapped": {"data": {"swapped_labels": 0.1}, "sft": {"data": "pool"}},
    "sampled": {"align": {"pair_sampling": "proportional", "steps": "pool"}},
    "gold": {"evaluation": {"gold_reward": "trained"}},
    "own-gold": {"evaluation": {"gold_reward": "trained", "gold_model": "gpt2"}},
    "hub-gold": {"evaluation": {"gold_reward": "owner/reward", "gold_revision": "c" * 40}},
    "length": {"data": {"length_rule": {"max_tokens": 60}, "max_pairs": 500}},
    "seeds": {"seed": 3, "seeds": {"split": 7, "annotator": 8, "sft": 9, "align": 10, "base": 2}},
    "salt": {"salt": "again"},
    "judge": {
        "evaluation": {"judge": {"kind": "local", "model": "owner/judge", "revision": "d" * 40, "human_labels": True}}
    },
    "integers": {"data": {"sandbox": {"noise": 1, "near_ties": 0}}, "align": {"epochs": 1, "beta": 1}},
}
_FILE = {"dataset": "/data/pairs.jsonl", "revision": f"sha256:{'1' * 64}"}
_FOLDER = {"policy": "/models/policy", "policy_revision": f"sha256:{'2' * 64}", "annotator": "/models/annotator"}
WORLDS: Mapping[str, Mapping[str, Any]] = {
    "sandbox": {},
    "hub": {"data": {"dataset": "hh"}},
    "files": {"data": _FILE, "model": _FOLDER, "evaluation": {"gold_reward": "trained"}},
}


def runs() -> Iterator[tuple[str, RunConfig]]:
    """Named runs: presets, the examples in configs/, methods × options × worlds, and every objective and weighting."""
    for name, preset in all_presets().items():
        for number, config in enumerate(expand(comparison(preset))):
            yield f"preset {name} {number}", config
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        for number, config in enumerate(expand(yaml_text.read_file(path))):
            yield f"configs {path.stem} {number}", config
    methods = [f"{name}:30" if row.needs_percent else name for name, row in catalog.METHODS.items()]
    grid = itertools.product(WORLDS.items(), methods, OPTIONS.items())
    for (world, base), method, (option, over) in grid:
        yield from _valid(f"grid {world} {method} {option}", merged(merged(base, over), {"method": method}))
    for objective, method in itertools.product(catalog.OBJECTIVES, ("cw", "weak", "human")):
        align = {"beta": 0.25, "label_noise": 0.2, "ipo_reduction": "sum", "odpo_alpha": 0.5, "simpo_gamma": 0.7}
        yield from _valid(f"objective {objective} {method}", {"objective": objective, "method": method, "align": align})
        yield from _valid(f"usual {objective} {method}", {"objective": objective, "method": method})
    for weighting, temperature in itertools.product(catalog.WEIGHTINGS, (None, 2.0)):
        values = {"name": weighting, "temperature": temperature, "slope": 0.2, "gamma": 3, "threshold": 0.25}
        run = {"method": "cw", "weighting": values, "annotator": {"members": 2}}
        percent = {"top_percent": 20} if "percent" in catalog.WEIGHTINGS[weighting].fields else {}
        yield from _valid(f"weighting {weighting} {temperature}", {**run, **percent})


def fingerprints() -> dict[str, Stages]:
    """Run -> slot -> its fingerprint and the digest of its settings as they are stored."""
    return {name: stages_of(config) for name, config in runs()}


def stages_of(config: RunConfig) -> Stages:
    """The stages of one run."""
    return {
        slot: {"fingerprint": spec.fingerprint, "config": digest(dict(spec.config))}
        for slot, spec in build(config).items()
    }


def _valid(name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, RunConfig]]:
    """A combination that contradicts itself is no run."""
    try:
        yield name, RunConfig.parse(values)
    except ConfigError:
        return


def main() -> int:
    """Write, or compare and name what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--write", type=Path, metavar="FILE", help="write the fingerprints of this commit")
    where.add_argument("--compare", type=Path, metavar="FILE", help="compare with those of another commit")
    options = parser.parse_args()
    found = fingerprints()
    stages = sum(len(slots) for slots in found.values())
    if options.write:
        options.write.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(f"{stages} stages of {len(found)} runs written.")
        return 0
    before = json.loads(options.compare.read_text())
    differing = sorted(name for name in before.keys() | found.keys() if before.get(name) != found.get(name))
    for name in differing[:20]:
        print(f"differs: {name}")
    print(f"{len(differing)} of {len(found)} runs differ ({stages} stages).")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
