"""`cwpo watch`, `queue`, `judge`, `notify` and `mirror`: what they take, and which file does it."""

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
    judge = verb(verbs, "judge", _judge, "let a judge model compare stored answers; nothing is bought twice")
    judge.add_argument("runs", type=int, nargs="+", metavar="RUN", help="run numbers")
    judge.add_argument("--model", default="", metavar="NAME", help="as its server calls it, a hub id or a folder")
    judge.add_argument(
        "--kind", choices=("endpoint", "local", "simulated"), default="endpoint",
        help="a server of OpenAI's chat completions at CWPO_JUDGE_URL (default), a model here, or the sandbox's own",
    )  # fmt: skip
    judge.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], dest="sets",
                       help="another field of evaluation.judge, as temperature=1 or human_labels=true")  # fmt: skip
    judge.add_argument("--plan", action="store_true", help="say what it would take; ask nothing")
    card = verb(verbs, "card", _card, "try the gold reward of runs on pairs with human labels: can it be believed?")
    card.add_argument("runs", type=int, nargs="+", metavar="RUN", help="run numbers")
    card.add_argument("--gold", metavar="NAME", help="another gold reward than the runs' own")
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


def _judge(options: argparse.Namespace) -> int:
    from workers.cli.follow import judge

    asked = judge.asked_of(options.kind, options.model, options.sets)
    return judge.main(options.runs, asked, only_plan=options.plan)


def _card(options: argparse.Namespace) -> int:
    from workers.cli.follow import judge

    return judge.card(options.runs, options.gold)


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
