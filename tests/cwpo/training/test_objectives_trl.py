"""Losses and parameter gradients against TRL's own trainers in float64: by the pair, KTO's by the batch."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

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


def word_tokenizer() -> PreTrainedTokenizerFast:
    words = {f"w{index}": index for index in range(tiny.VOCABULARY)}
    core = Tokenizer(models.WordLevel(words, unk_token="w3"))
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="w0", eos_token="w2")


def arguments(folder: Path) -> dict:
    return {
        "output_dir": str(folder), "beta": BETA, "report_to": [], "bf16": False, "gradient_checkpointing": False,
        "use_cpu": True,
    }  # fmt: skip


def trl_trainer(folder, model, reference, options) -> DPOTrainer:
    rows = Dataset.from_list([{"prompt": "w5", "chosen": "w6", "rejected": "w7"}])
    given = DPOConfig(**arguments(folder), **options)
    return DPOTrainer(
        model=model, ref_model=reference, args=given, train_dataset=rows, processing_class=word_tokenizer()
    )


def trl_inputs(*rows) -> dict[str, torch.Tensor]:
    """Pairs as TRL's collator lays them out: chosen answers above rejected ones, right-padded."""
    texts = [(row.prompt_ids, row.responses[side]) for side in (0, 1) for row in rows]
    longest = max(len(prompt) + len(response) for prompt, response in texts)
    names = ("input_ids", "attention_mask", "completion_mask")
    out = {name: torch.zeros(len(texts), longest, dtype=torch.long) for name in names}
    for line, (prompt, response) in enumerate(texts):
        ids = np.concatenate([prompt, response])
        out["input_ids"][line, : len(ids)] = torch.tensor(ids)
        out["attention_mask"][line, : len(ids)] = 1
        out["completion_mask"][line, len(prompt) : len(ids)] = 1
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


MISMATCHED = [replace(row, responses=other.responses) for row, other in zip(ROWS, [*ROWS[1:], ROWS[0]], strict=True)]


@pytest.mark.parametrize("moved", [-1.0, 1.0])
def test_kto_s_loss_and_gradient_equal_those_of_trl(tmp_path, moved):
    """Four pairs as eight examples. Reference scores are shifted so that z is once above 0 and once cut off there."""
    ours, theirs = tiny.policy("qwen2", torch.float64), tiny.policy("qwen2", torch.float64)
    reference = tiny.policy("qwen2", torch.float64, seed=1)
    known = {which: logps_of(reference, rows) for which, rows in (("own", ROWS), ("other", MISMATCHED))}
    known["other"] = logps_of(ours, MISMATCHED) - moved
    path, (batch,) = forward_path(ours, device="cpu", precision="fp32", log=print), pack(ROWS, 10_000)
    data = align_data(ROWS, ["a"] * 4, uniform(np.zeros(4)), by_id(known["own"]))
    kl = (logps_of(ours, MISMATCHED) - known["other"]).mean()
    loss_of = alignment_loss(path, data, of_objective({"name": "kto", "beta": BETA}))
    loss, _ = loss_of(Micro(batch=batch, share=1 / 4, said={"kl": kl}))
    given = {f"KL_{name}": value for name, value in trl_inputs(*MISMATCHED).items()}
    given |= {**trl_inputs(*ROWS), "label": torch.tensor([True] * 4 + [False] * 4)}
    given |= {"ref_logps": known["own"].T.flatten(), "ref_KL_logps": known["other"].T.flatten()}
    trainer = kto_trainer(tmp_path, theirs, reference)
    wanted = trainer._compute_loss(Float64Head(theirs), given, False)
    assert kl.item() == pytest.approx(moved)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    loss.backward()
    wanted.backward()
    assert worst_gradient(ours, theirs) <= 1e-6


def kto_trainer(folder, model, reference) -> KTOTrainer:
    rows = Dataset.from_list([{"prompt": "w5", "completion": f"w{word}", "label": word == 6} for word in (6, 7)])
    given = KTOConfig(**arguments(folder), per_device_train_batch_size=2)
    trainer = KTOTrainer(
        model=model, ref_model=reference, args=given, train_dataset=rows, processing_class=word_tokenizer()
    )
    trainer.precompute_ref_logps = True  # they are in the batch, as they are here
    return trainer


def test_orpo_s_loss_and_gradient_equal_those_of_trl(tmp_path, monkeypatch):
    """TRL's likelihood is of the prompt too, so prompts are of one token, of which nobody asks the likelihood."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    ours, theirs = tiny.policy("qwen2", torch.float64), tiny.policy("qwen2", torch.float64)
    pairs = Dataset.from_list([{"prompt": "w5", "chosen": "w6", "rejected": "w7"}])
    trainer = ORPOTrainer(
        model=theirs, args=ORPOConfig(**arguments(tmp_path)), train_dataset=pairs, processing_class=word_tokenizer()
    )
    for row in (replace(row, prompt_ids=row.prompt_ids[:1]) for row in ROWS):
        loss = our_loss(ours, ours, row, {"name": "orpo", "orpo_lambda": BETA})
        laid = trl_inputs(row)
        labels = laid["input_ids"].masked_fill(laid["completion_mask"] == 0, -100)
        given = {}
        for line, side in enumerate(("chosen", "rejected")):
            own = {"input_ids": laid["input_ids"], "attention_mask": laid["attention_mask"], "labels": labels}
            given |= {f"{side}_{name}": value[line : line + 1] for name, value in own.items()}
        wanted, _ = trainer.get_batch_loss_metrics(theirs, given)
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
        ours.zero_grad()
        theirs.zero_grad()
        loss.backward()
        wanted.backward()
        assert worst_gradient(ours, theirs) <= 1e-5  # its odds ratio is float32


def logps_of(model, rows) -> torch.Tensor:
    """(N, 2) log-probabilities of both answers of each row."""
    path = forward_path(model, device="cpu", precision="fp32", log=print)
    found = torch.zeros(len(rows), 2, dtype=torch.float64)
    with torch.no_grad():
        for batch in pack(rows, 10_000):
            found[batch.indices] = response_logps(path, batch).view(-1, 2)
    return found


def by_id(logps: torch.Tensor) -> dict[str, tuple[float, float]]:
    return {row.pair_id: (one, other) for row, (one, other) in zip(ROWS, logps.tolist(), strict=True)}
