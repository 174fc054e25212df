"""`cwpo link`: the link that opens the dashboard in a browser."""

import argparse
from collections.abc import Callable
from typing import Any

from cwpo.config.environment import settings
from workers.access.start_token import renew
from workers.cli.launch import web
from workers.machine.paths import home


def add_verbs(verbs: Any, verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verb(verbs, "link", _link, "print the link that opens the dashboard in a browser of this machine")
    parser.add_argument("--new", action="store_true", help="another link: browsers that are in have to come in again")


def _link(options: argparse.Namespace) -> int:
    from workers.cli.stack import running_stack

    base = home()
    if options.new:
        renew(base)
    running = running_stack(base)
    print(web.link(base, running["web_url"] if running else f"http://{web.LOCAL}:{settings.port}{web.prefix()}"))
    return 0
