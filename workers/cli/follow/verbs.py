"""`cwpo watch`, `queue`, `notify` and `mirror`: what they take, and which file does it."""

import argparse
from collections.abc import Callable
from typing import Any

WHERE = ("front", "up", "down")


def add_verbs(verbs: Any, verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to the command line."""
    watch = verb(verbs, "watch", _watch, "follow runs until they end; code 1 when one did not end well")
    watch.add_argument("runs", type=int, nargs="*", metavar="RUN", help="run numbers (default: all that are live now)")
    queue = verb(verbs, "queue", _queue, "show the queue, pause it, or move runs in it")
    queue.add_argument(
        "do", nargs="?", default="list", choices=("list", "pause", "resume", "move"),
        help="pause, resume: these runs, or the whole queue; move: runs within it",
    )  # fmt: skip
    queue.add_argument("runs", nargs="*", metavar="RUN", help="run numbers; for move followed by front, up or down")
    verb(verbs, "notify", _notify, "send a test message to every address of CWPO_WEBHOOK")
    mirror = verb(verbs, "mirror", _mirror, "copy runs to MLflow, trackio or W&B; sent again, nothing is there twice")
    mirror.add_argument("runs", type=int, nargs="*", metavar="RUN", help="run numbers (with --follow: all live ones)")
    mirror.add_argument("--to", required=True, metavar="PLACE", help="mlflow, trackio or wandb")
    mirror.add_argument("--follow", action="store_true", help="go on until the runs ended")


def _watch(options: argparse.Namespace) -> int:
    from workers.cli.follow import watch

    return watch.main(options.runs)


def _queue(options: argparse.Namespace) -> int:
    from workers.cli.follow import queue

    return queue.main(options.do, options.runs)


def _notify(options: argparse.Namespace) -> int:
    from cwpo.errors import ConfigError
    from workers.api import webhooks

    tried = webhooks.send_test()
    if not tried:
        raise ConfigError("CWPO_WEBHOOK", "is not set: give it the address of a webhook.")
    for one in tried:
        print(one.said)
    return 1 if any(one.error for one in tried) else 0


def _mirror(options: argparse.Namespace) -> int:
    from workers.cli.follow import mirror

    return mirror.main(options.to, options.runs, follow=options.follow)
