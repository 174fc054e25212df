"""One more token of every row in a step whose sizes stay the same, so that a card records its kernels and replays them.

A forward pass for one token is hundreds of small kernels, and a card waits for the launch of each. Recorded once as a
CUDA graph they follow each other at once. Keys and values are read up to a multiple of WIDTH positions; those that
nobody has written yet are masked. Recorded or not, a step runs the same kernels.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from cwpo.errors import brief
from cwpo.evaluation.engines.cache import PlacedCache

WIDTH = 256  # positions: a longer text is a new recording
Forward = Callable[
    [Tensor, Tensor, Tensor, PlacedCache], Tensor
]  # ids, mask, positions, cache: logits of the last token

log = logging.getLogger(__name__)


class FixedStep:
    """A step for rows (R,) whose texts end before `width`; ids and positions (R, 1), mask (R, 1, 1, width)."""

    def __init__(
        self, forward: Forward, cache: PlacedCache, *, mask: Tensor, padding: Tensor, at: int, precision: str
    ) -> None:
        """mask (R, most positions): 0 where a row is padded. padding (R,): how many positions that are. at: the
        position that is written first."""
        self.forward, self.cache, self.padding, self.precision = forward, cache, padding, precision
        self.width = min(mask.shape[1], (at // WIDTH + 1) * WIDTH)
        written = torch.arange(self.width, device=mask.device) < at
        self.mask = (mask[:, : self.width].bool() & written)[:, None, None, :]
        self.ids = torch.zeros((len(padding), 1), dtype=torch.long, device=mask.device)
        self.positions = torch.zeros_like(self.ids)
        self.at = torch.full((1,), at, device=mask.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.logits: Tensor | None = None

    def read(self, tokens: Tensor, at: int) -> Tensor:
        """Logits behind the tokens (R,) that stand at position `at`, (R, V); valid until the next step."""
        self.ids.copy_(tokens[:, None])
        self.positions.copy_((at - self.padding)[:, None])
        self.mask[..., at] = True
        self.at.fill_(at)
        if self.graph is not None:
            self.graph.replay()
        else:
            self.logits = self._run()
        self.cache.filled(at + 1)
        assert self.logits is not None
        return self.logits

    def record(self) -> bool:
        """Record the step on its card; False where that cannot be done, and then it is run as it is.

        What a recording writes into the cache lies behind the last token and is written again by the first step.
        """
        device = self.ids.device
        aside, here = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            self._run()  # what libraries set up at their first call is no part of a recording
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.logits = self._run()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            torch.cuda.set_stream(here)  # a recording that failed may leave its own
            log.warning(
                "Steps of sampling cannot be recorded on this card and are launched one by one: %s", brief(error)
            )
            return False
        self.graph = graph
        return True

    def _run(self) -> Tensor:
        """Casts that autocast keeps would be made outside of a recording: here it keeps none."""
        kind, halved = self.ids.device.type, self.precision == "bf16"
        with (
            torch.autocast(kind, dtype=torch.bfloat16, enabled=halved, cache_enabled=False),
            self.cache.writing_at(self.at, self.width),
        ):
            return self.forward(self.ids, self.mask, self.positions, self.cache)
