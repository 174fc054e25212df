"""Losses and parameter gradients against TRL's own `DPOTrainer._compute_loss`, one pair at a time, in float64."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from cwpo.models.logps import forward_path, response_logps
from cwpo.models.tokenization import pack
from cwpo.training.align import align_data, alignment_loss
from cwpo.training.loop import Micro
from cwpo.training.weighting import uniform
from tests.cwpo import random_models as tiny
from tests.cwpo.gradients import worst_gradient
from tests.cwpo.stage import of_objective

CASES = {
    "sigmoid": ({"loss_type": "sigmoid"}, {"name": "dpo"}),
    "ipo": ({"loss_type": "ipo"}, {"name": "ipo", "ipo_reduction": "mean"}),
    "robust .1": ({"loss_type": "robust", "label_smoothing": 0.1}, {"name": "rdpo", "label_noise": 0.1}),
    "robust .3": ({"loss_type": "robust", "label_smoothing": 0.3}, {"name": "rdpo", "label_noise": 0.3}),
}
BETA = 0.5
ROWS = tiny.pairs(4, seed=5)


def trl_trainer(folder, model, reference, options) -> DPOTrainer:
    words = {f"w{index}": index for index in range(tiny.VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w3")), pad_token="w0", eos_token="w2"
    )
    arguments = DPOConfig(
        output_dir=str(folder),
        beta=BETA,
        report_to=[],
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        **options,
    )
    rows = Dataset.from_list([{"prompt": "w5", "chosen": "w6", "rejected": "w7"}])
    return DPOTrainer(model=model, ref_model=reference, args=arguments, train_dataset=rows, processing_class=tokenizer)


def trl_inputs(row) -> dict[str, torch.Tensor]:
    """One pair as TRL's collator lays it out: chosen above rejected, right-padded."""
    longest = max(len(ids) for ids in row.responses) + len(row.prompt_ids)
    out = {
        name: torch.zeros(2, longest, dtype=torch.long) for name in ("input_ids", "attention_mask", "completion_mask")
    }
    for side, response in enumerate(row.responses):
        ids = np.concatenate([row.prompt_ids, response])
        out["input_ids"][side, : len(ids)] = torch.tensor(ids)
        out["attention_mask"][side, : len(ids)] = 1
        out["completion_mask"][side, len(row.prompt_ids) : len(ids)] = 1
    return out


class Float64Head:
    """The same model with log-probabilities from its own float64 logits: TRL's fused head rounds them to float32."""

    def __init__(self, model) -> None:
        self.model, self.training = model, model.training

    def __call__(self, *, input_ids, attention_mask, labels, use_cache, fused_lm_head) -> SimpleNamespace:
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache).logits[:, :-1]
        wanted = labels[:, 1:]
        picked = logits.log_softmax(-1).gather(2, wanted.clamp_min(0)[..., None]).squeeze(-1)
        silent = torch.zeros_like(picked).detach()
        return SimpleNamespace(
            log_probs=picked * (wanted >= 0), entropy=silent, mean_logits=silent, is_top1=silent.bool()
        )


@pytest.mark.parametrize("architecture", ["opt", "qwen2"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("exact_head", "bound"), [(True, 1e-6), (False, 1e-5)])
def test_losses_and_gradients_equal_those_of_trl(tmp_path, exact_head, bound, case, architecture):
    """TRL's loss on float64 log-probabilities to 1e-6; with its own float32 head as near as float32 goes."""
    options, settings = CASES[case]
    ours, reference = tiny.policy(architecture, torch.float64), tiny.policy(architecture, torch.float64, seed=1)
    trainer = trl_trainer(
        tmp_path,
        tiny.policy(architecture, torch.float64),
        tiny.policy(architecture, torch.float64, seed=1),
        options,
    )
    theirs = Float64Head(trainer.model) if exact_head else trainer.model
    if exact_head:
        trainer.ref_model = Float64Head(trainer.ref_model)
    for row in ROWS:
        loss = our_loss(ours, reference, row, {**settings, "beta": BETA})
        wanted = trainer._compute_loss(theirs, trl_inputs(row), False)
        assert loss.item() == pytest.approx(wanted.item(), rel=bound)
        ours.zero_grad()
        trainer.model.zero_grad()
        loss.backward()
        wanted.backward()
        assert worst_gradient(ours, trainer.model) <= bound


def our_loss(model, reference, row, settings) -> torch.Tensor:
    """The loss of one pair on the path that alignment takes."""
    (batch,) = pack([row], 10_000)
    paths = [forward_path(each, device="cpu", precision="fp32", log=print) for each in (model, reference)]
    with torch.no_grad():
        logps = tuple(response_logps(paths[1], batch).tolist())
    data = align_data([row], ["a"], uniform(np.zeros(1)), {row.pair_id: logps})
    return alignment_loss(paths[0], data, of_objective(settings))(Micro(batch=batch, share=1.0))[0]
