"""The process in which vLLM lives: a line of JSON in, a line out. It ends when its input ends, in any state.

The first line says what to load; every other one asks for answers. What vLLM prints goes to stderr, into the log.
"""

import json
import os
import queue
import signal
import sys
import threading
from typing import Any, TextIO


def main() -> None:
    """Load, then answer until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints, prints into the log
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    try:
        told = json.loads(lines.get())
        ask = _Loaded(told)
        _say(out, {"ready": True})
        while True:
            _say(out, {"answers": ask.answers(json.loads(lines.get())["ask"])})
    except Exception as error:  # whatever it is, the stage says it in one sentence; the log has the rest
        _say(out, {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"})
        raise


class _Loaded:
    """The model in vLLM, with its adapter."""

    def __init__(self, told: dict[str, Any]) -> None:
        from vllm import LLM, SamplingParams
        from vllm.lora.request import LoRARequest

        self.parameters, self.sampling = SamplingParams, told["sampling"]
        self.stops = set(told["sampling"]["stop_token_ids"])
        self.llm = LLM(**told["llm"])
        self.adapter = None if told["adapter"] is None else LoRARequest("adapter", 1, told["adapter"])

    def answers(self, asked: list[tuple[list[int], int]]) -> list[tuple[list[int], bool]]:
        """(ids, finished) of each (prompt ids, seed); the stop token belongs to the ids."""
        prompts = [{"prompt_token_ids": ids} for ids, _ in asked]
        parameters = [self.parameters(**self.sampling, seed=seed) for _, seed in asked]
        outputs = self.llm.generate(prompts, parameters, use_tqdm=False, lora_request=self.adapter)
        return [self._answer(output.outputs[0]) for output in outputs]

    def _answer(self, completion: Any) -> tuple[list[int], bool]:
        ids, finished = [int(token) for token in completion.token_ids], completion.finish_reason == "stop"
        if finished and (not ids or ids[-1] not in self.stops):  # a version that leaves it out
            ids.append(int(completion.stop_reason or min(self.stops)))
        return ids, finished


def _listen(lines: "queue.Queue[str]") -> None:
    """At the end of the input the stage is over, or its process is dead: so is this one, with all it started."""
    for line in sys.stdin:
        lines.put(line)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
