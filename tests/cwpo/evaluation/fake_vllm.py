"""A stand-in for the package vllm with the documented names alone; the test writes this file as vllm/__init__.py.

Each answer is drawn from (prompt, seed, adapter), so that batches do not matter. An unknown argument is a TypeError.
FAKE_VLLM_SLOW: seconds that each call takes. FAKE_VLLM_LOG: a file to which it says how it was called.
"""

import json
import os
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(kw_only=True)
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = 16
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    detokenize: bool = True


@dataclass
class CompletionOutput:
    token_ids: list[int]
    finish_reason: str | None
    stop_reason: int | None


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput]


class LLM:
    def __init__(
        self,
        model: str,
        *,
        skip_tokenizer_init: bool = False,
        dtype: str = "auto",
        max_model_len: int | None = None,
        gpu_memory_utilization: float = 0.9,
        enable_prefix_caching: bool | None = None,
        generation_config: str = "auto",
        load_format: str = "auto",
        trust_remote_code: bool = False,
        seed: int = 0,
        enable_lora: bool = False,
        max_loras: int = 1,
        max_lora_rank: int = 16,
    ) -> None:
        self.vocabulary = json.loads((Path(model) / "config.json").read_text())["vocab_size"]
        self.longest, self.rank = max_model_len, max_lora_rank if enable_lora else 0
        print("fake vllm speaks on standard output")

    def generate(self, prompts, sampling_params, *, use_tqdm=True, lora_request=None):
        adapter = 0 if lora_request is None else lora_request.lora_int_id
        if "FAKE_VLLM_LOG" in os.environ:
            said = {
                "pid": os.getpid(),
                "invariant": os.environ.get("VLLM_BATCH_INVARIANT"),
                "seeds": [one.seed for one in sampling_params],
                "first": asdict(sampling_params[0]),
                "rank": self.rank,
                "adapter": None if lora_request is None else lora_request.lora_path,
            }
            with open(os.environ["FAKE_VLLM_LOG"], "a") as log:
                log.write(json.dumps(said) + "\n")
        time.sleep(float(os.environ.get("FAKE_VLLM_SLOW", "0")))
        return [
            RequestOutput([self._complete(prompt["prompt_token_ids"], one, adapter)])
            for prompt, one in zip(prompts, sampling_params, strict=True)
        ]

    def _complete(self, ids, sampling, adapter):
        assert len(ids) + sampling.max_tokens <= self.longest
        dice, written = random.Random(f"{ids}{sampling.seed}{adapter}"), []
        while len(written) < sampling.max_tokens:
            written.append(dice.randrange(1, self.vocabulary))
            if written[-1] in sampling.stop_token_ids:
                return CompletionOutput(written, "stop", written[-1])
        return CompletionOutput(written, "length", None)
