"""What people do at the wrong moment: the same submitted at once, runs cancelled in every state."""

import threading
import time
import uuid

from db.errors import LiveRun
from tests.chaos.scene import VARIANTS, Scene
from workers import api
from workers.machine import patience


def submit_twice_at_once(scene: Scene) -> bool | None:
    """The same configuration from two threads in the same moment: two runs, each stage executed once."""
    config = scene.config(variant := scene.dice.randrange(VARIANTS), salt=uuid.uuid4().hex[:12])
    gate, found = threading.Barrier(2), []

    def submit() -> None:
        gate.wait()
        found.append(patience.patiently(lambda: api.submit_run(config).run_id, seconds=60))

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(300)
    scene.runs |= dict.fromkeys(found, variant)
    return len(set(found)) == 2


def cancel(scene: Scene) -> bool | None:
    """A run submitted and cancelled at a random moment of its life; None where it was done before."""
    run_id = scene.submit()
    time.sleep(scene.dice.uniform(0.0, 3.0))
    try:
        patience.patiently(lambda: api.cancel_run(run_id), seconds=60)
    except LiveRun:
        return None
    scene.given_up.add(run_id)
    return True
