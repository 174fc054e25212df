"""How long does the demo take from an empty folder to its table?

    python -m benchmarks demo_time [--rounds 1] [--anew]

Runs `cwpo demo` with DEMO_EXIT=1 and a fresh CWPO_HOME; the clock includes the start of Redis, workers and dashboard.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Results, Sample, table, timed

GOAL_SECONDS = 180.0
_KEPT = ("DATABASE_URL", "REDIS_URL")  # the embedded ones are measured


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Wall time of the demo.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    options = parser.parse_args(arguments)
    results = Results("demo", anew=options.anew)
    for number in range(options.rounds):
        results.take("demo", number, _demo)
    seconds = results.median("demo")
    results.summary = {
        "goal": "demo seconds", "at most": GOAL_SECONDS, "measured": seconds,
        "met": seconds is not None and seconds <= GOAL_SECONDS,
    }  # fmt: skip
    results.save()
    print(table([results.summary]), flush=True)


def _demo() -> Sample:
    with tempfile.TemporaryDirectory(prefix="cwpo-demo-") as home:
        environment = {name: value for name, value in os.environ.items() if name not in _KEPT}
        environment |= {"CWPO_HOME": home, "DEMO_EXIT": "1"}
        with timed() as sample:
            done = subprocess.run(
                [str(Path(sys.executable).with_name("cwpo")), "demo"], env=environment, capture_output=True, text=True
            )
        sample.more["exit"] = done.returncode
        if done.returncode:
            raise SystemExit(f"The demo failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return sample


if __name__ == "__main__":
    main()
