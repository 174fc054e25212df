"""`python -m workers`: the supervisor, or one of the processes that it starts."""

import sys

from workers.machine.modes import keep_private
from workers.machine.processes import die_with_parent, parent_from_environment


def main(arguments: list[str]) -> None:
    """No argument: the supervisor. `worker`, `horse`, `reaper`, `chat`: its children, started by it."""
    if arguments:
        die_with_parent(parent_from_environment())  # before anything that takes seconds to import
    from workers.machine.logs import say_uncaught

    keep_private()
    say_uncaught()
    if not arguments:
        from workers.queue.supervisor import supervise

        sys.exit(supervise())
    elif arguments[0] == "worker":
        from workers.queue.worker import run_worker

        run_worker(*arguments[1:])
    elif arguments[0] == "horse":
        from workers.queue.worker import run_horse

        run_horse(*arguments[1:])
    elif arguments[0] == "reaper":
        from workers.queue.reaper import run_reaper

        run_reaper()
    elif arguments[0] == "chat":
        from workers.queue.chat.process import run_chat

        run_chat(int(arguments[1]))
    else:
        sys.exit(
            f"Unknown process {arguments[0]!r}: choose worker, horse, reaper or chat, or nothing for the supervisor."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
