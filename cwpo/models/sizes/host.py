"""Bytes of host memory that a stage takes beside its card. No torch.

Weights go to the card file by file, so that no more than a file of them is ever on the host; a checkpoint is copied to
the host before it is written. Copies that training does not wait for are pinned and take up to twice as much; they are
made where that is free, so that no stage needs it. The processes of a stage read a file together: it is mapped, and of
a model that is split over cards each reads its part.
"""

from cwpo.models.shape import Shape

PROCESS = 2_500_000_000  # Python, torch and a CUDA context
FILE = 10_000_000_000  # the largest file of the catalog's models: OPT 13B's
STORED = 2  # bytes of a weight in the hub's files


def host_bytes(shape: Shape, *, trained: int, cards: int = 1, before: bool = False) -> int:
    """The peak of all processes of a stage on one host. trained: weights that a checkpoint holds with both moments."""
    whole = shape.causal
    if before:
        return PROCESS + max((4 + STORED) * whole, 12 * trained)
    return cards * PROCESS + max(min(FILE, STORED * whole), 12 * trained)
