"""Write requirements.lock: `pip freeze` of a clean environment, as constraints that hold for every build of torch.

Constraints only bind what is installed anyway, so what a build of torch brings along (its CUDA libraries) is left out,
and torch stands by its plain version, which every build of that version satisfies.
"""

import re
import sys
from pathlib import Path

HEADER = """\
# Versions that the tests pass with. A constraints file, made by `make lock`: pip install -c requirements.lock -e .
"""
OF_A_TORCH_BUILD = re.compile(r"(nvidia-|cuda-|triton\b|pytorch-triton)")


def constraints(frozen: str) -> list[str]:
    """The lines of `pip freeze` that pin a released package, torch without its local build tag."""
    pins = [line.strip() for line in frozen.splitlines() if re.match(r"^[A-Za-z0-9._-]+==", line)]
    kept = [pin for pin in pins if not OF_A_TORCH_BUILD.match(pin.lower()) and not pin.lower().startswith("cwpo==")]
    return sorted((pin.split("+")[0] if pin.startswith("torch==") else pin for pin in kept), key=str.lower)


if __name__ == "__main__":
    frozen, lock = Path(sys.argv[1]), Path(sys.argv[2])
    lock.write_text(HEADER + "\n".join(constraints(frozen.read_text(encoding="utf-8"))) + "\n", encoding="utf-8")
