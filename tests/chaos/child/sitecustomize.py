"""Read by every Python process below a scene, because PYTHONPATH names this folder: shorter times, and other clocks.

CHAOS_SET: {"module": {"NAME": value}}, set when the module has been imported. CHAOS_CLOCK: a file with the seconds that
the database's clock is ahead, read at every look at it. CHAOS_TIME: seconds that this machine's own clock is ahead.
CHAOS_FULL: while this file exists, nothing gets to the disk: every sync says that it is full.
"""

import errno
import importlib.util
import json
import os
import sys
import time
from importlib.abc import MetaPathFinder
from pathlib import Path


class After(MetaPathFinder):
    """Calls a function with a module when that has been imported."""

    def __init__(self, changes):
        self.changes = changes
        self.looking = set()

    def find_spec(self, name, path=None, target=None):
        if name not in self.changes or name in self.looking:
            return None
        self.looking.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.looking.discard(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            self.changes[name](module)

        spec.loader.exec_module = exec_module
        return spec


def setting(values):
    """Sets attributes of a module."""

    def change(module):
        for name, value in values.items():
            assert hasattr(module, name), f"{module.__name__} has no {name}"
            setattr(module, name, value)

    return change


def stepping(file):
    """Gives db.engine a clock that somebody sets."""

    def change(module):
        def clock(session):
            try:
                ahead = float(Path(file).read_text())
            except (OSError, ValueError):
                ahead = 0.0
            if session.get_bind().dialect.name == "sqlite":
                words = f"strftime('%Y-%m-%d %H:%M:%f', 'now', '{ahead:+.3f} seconds')"
            else:
                words = f"clock_timestamp() + make_interval(secs => {ahead})"
            return module.literal_column(words, module.UtcDateTime())

        module.clock = clock

    return change


def install():
    changes = {name: setting(values) for name, values in json.loads(os.environ.get("CHAOS_SET", "{}")).items()}
    if file := os.environ.get("CHAOS_CLOCK"):
        before = changes.get("db.engine", lambda module: None)
        changes["db.engine"] = lambda module: (before(module), stepping(file)(module))
    if changes:
        sys.meta_path.insert(0, After(changes))
    if ahead := float(os.environ.get("CHAOS_TIME", "0")):
        real = time.time
        time.time = lambda: real() + ahead
    if full := os.environ.get("CHAOS_FULL"):
        sync = os.fsync

        def fsync(descriptor):
            if os.path.exists(full):
                raise OSError(errno.ENOSPC, "No space left on device", str(descriptor))
            sync(descriptor)

        os.fsync = fsync


install()
