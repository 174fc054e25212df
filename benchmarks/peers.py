"""The other side: TRL's own trainers on the same weights, pairs and batches, timed inside their own training loop.

Their tokenization, set-up, first step and cached reference are outside the timed span, as ours are; collation too.
"""

import copy
import os
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import datasets
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

from benchmarks.measure import Sample, Stopwatch
from cwpo.models.tokenization import Encoded

datasets.disable_progress_bars()
os.environ["TQDM_DISABLE"] = "1"
warnings.simplefilter("ignore", FutureWarning)


class _Prepared(DPOTrainer):  # type: ignore[misc]
    """DPOTrainer on rows that are token ids already."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


class _Steps(TrainerCallback):  # type: ignore[misc]
    """Times every optimizer step but the first."""

    def __init__(self) -> None:
        self.watch = Stopwatch()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:
            self.watch.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step > 1:
            self.watch.lap()


def trl_dpo(
    model: Any,
    warm: Sequence[Encoded],
    rows: Sequence[Encoded],
    *,
    batch: int,
    bf16: bool,
    best: bool,
    lora: Any = None,
) -> Sample:
    """Seconds of DPOTrainer's steps over `rows`, in their order, after one step on `warm` (both in whole batches).

    Default settings (gradient checkpointing, reference computed online); best: without checkpointing and with the
    reference precomputed, as its documentation advises.
    """
    settings = _settings(batch=batch, steps=1 + len(rows) // batch, bf16=bf16)
    if best:
        settings |= {"gradient_checkpointing": False, "precompute_ref_log_probs": True}
    with tempfile.TemporaryDirectory() as folder:
        trainer = _Prepared(
            model=model,
            ref_model=None if best or lora is not None else copy.deepcopy(model),
            args=DPOConfig(output_dir=folder, **settings),
            train_dataset=datasets.Dataset.from_list([_pair(row) for row in (*warm, *rows)]),
            processing_class=_tokenizer(),
            peft_config=lora,
        )
        return _run(trainer)


def trl_reward(
    model: Any, warm: Sequence[Encoded], rows: Sequence[Encoded], *, batch: int, bf16: bool, best: bool
) -> Sample:
    """Seconds of RewardTrainer's steps over `rows`; best: without gradient checkpointing."""
    settings = _settings(batch=batch, steps=1 + len(rows) // batch, bf16=bf16)
    if best:
        settings |= {"gradient_checkpointing": False}
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model=model,
            args=RewardConfig(output_dir=folder, **settings),
            train_dataset=datasets.Dataset.from_list([_texts(row) for row in (*warm, *rows)]),
            processing_class=_tokenizer(),
        )
        return _run(trainer)


def groups_by_length(model: Any, rows: Sequence[Encoded]) -> str:
    """What DPOTrainer does when asked to group by length; grouped batches are timed by handing them over sorted."""
    settings = _settings(batch=len(rows), steps=1, bf16=False) | {"train_sampling_strategy": "group_by_length"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            _Prepared(
                model=model,
                ref_model=copy.deepcopy(model),
                args=DPOConfig(output_dir=folder, **settings),
                train_dataset=datasets.Dataset.from_list([_pair(row) for row in rows]),
                processing_class=_tokenizer(),
            ).train()
        except Exception as error:
            return f"fails: {type(error).__name__}: {str(error)[:160]}"
    return "runs"


def _settings(*, batch: int, steps: int, bf16: bool) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": batch,
        "max_steps": steps,
        "bf16": bf16,
        "max_length": 2048,
        "learning_rate": 1e-6,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
    }


def _run(trainer: Any) -> Sample:
    steps = _Steps()
    trainer.add_callback(steps)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return steps.watch.sample


def _pair(row: Encoded) -> dict[str, list[int]]:
    chosen, rejected = (ids.tolist() for ids in row.responses)
    return {"prompt_ids": row.prompt_ids.tolist(), "chosen_ids": chosen, "rejected_ids": rejected}


def _texts(row: Encoded) -> dict[str, list[int]]:
    prompt = row.prompt_ids.tolist()
    chosen, rejected = (prompt + ids.tolist() for ids in row.responses)
    return {"chosen_ids": chosen, "rejected_ids": rejected}


def _tokenizer() -> PreTrainedTokenizerFast:
    """TRL wants one for its pad token; nothing is tokenized with it."""
    inner = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<s>": 2}, unk_token="<pad>"))  # noqa: S106
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", bos_token="<s>")  # noqa: S106
