"""This process as the worker of a workplace."""

import pytest

from workers.queue import job, lease


def be_the_worker(patch: pytest.MonkeyPatch) -> None:
    """Let this process do what a job process does."""
    patch.setenv("CWPO_WORKER_ID", str(lease.register_worker("test-worker", "cpu")))
    patch.setenv("CWPO_DEVICE", "cpu")
    patch.setattr(job.Shutdown, "listen", lambda self: None)
