"""`python -m benchmarks [NAMES] [options of that benchmark]`: each in a process of its own, one after the other."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# In this order.
USUAL = ("dpo", "plain", "scoring", "where", "memory", "sweep", "demo_time", "pages", "tokenize", "coverage")
# Run by name: they need a card, root, a machine for themselves, or pairs of one's own, take an hour, or answer one
# question.
BY_NAME = (
    "annotator_quality",
    "annotators",
    "checkpoint",
    "eta",
    "compare",
    "first_paint",
    "gpu",
    "judge_error",
    "label_noise",
    "large_database",
    "pressure",
    "ranks_chaos",
    "rounding",
    "rule",
    "sampling",
    "soak",
    "server_time",
    "study",
    "study_real",
    "two_hosts",
    "votes",
)
NAMES = (*USUAL, *BY_NAME)
ANEW = "--anew"  # forget what is stored


def main(arguments: Sequence[str]) -> int:
    """Run what is named, or the usual ones; what follows the first option is handed on to all of them, but for
    `--anew` to those that keep nothing that could be forgotten."""
    first = next((index for index, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = [Path(word).stem for word in arguments[:first]] or list(USUAL), arguments[first:]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"Unknown benchmark {unknown[0]}: choose one of {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    for name in names:
        began = time.monotonic()
        print(f"== {name}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options_of(name, options)]).returncode
        if code:
            return code
        print(f"== {name}: {time.monotonic() - began:.0f} s", flush=True)
    return 0


def options_of(name: str, options: Sequence[str]) -> list[str]:
    """What a benchmark is handed on."""
    file = Path(__file__).parent / name
    source = file / "__main__.py" if file.is_dir() else file.with_suffix(".py")
    keeps = f'"{ANEW}"' in source.read_text(encoding="utf-8")
    return [word for word in options if keeps or word != ANEW]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
