"""How long does a GPU wait for token ids? SFT, reference and alignment, each as it was before and as it is.

    python -m benchmarks tokenize [--pairs 100000] [--anew] [--smallest]

Before: every stage turned its own texts into ids, on one thread. Now: the first of them makes the ids of all pairs, on
all cores, and each reads what it needs. Texts are synthetic, with the lengths of real pairs. What a model then computes
is measured on this machine by a small shape, forward only and on some of the pairs; a card's own time stands there
where one was measured.
"""

import argparse
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.measure import Results, Sample, Stopwatch, table, timed
from benchmarks.workload import SHAPES, lengths, policy
from cwpo.artifacts import ArtifactStore
from cwpo.data.pairs import load_pairs, write_pairs
from cwpo.data.tokens import PairTokens, pair_tokens
from cwpo.models.logps import forward_path, response_logps
from cwpo.models.reading import values_of
from cwpo.models.tokenization import Encoded, fit
from cwpo.records import CandidatePair
from cwpo.stages.context import StageContext
from cwpo.stages.settings import ReferenceSettings

HOME = Path("var/benchmarks/tokenize")
STAGES = ("sft", "reference", "align")
SHAPE, SCORED = "opt-tiny", 200
PARALLEL = "TOKENIZERS_PARALLELISM"
_WORDS, _VOCABULARY, _PER_WORD = 6000, 4000, 1.3  # tokens a word, about
_LONGEST = 2048


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Token ids: three stages alone, against one that makes them for all.")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    parser.add_argument("--smallest", action="store_true", help="300 pairs: tries the code, keeps no file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    count = 300 if options.smallest else options.pairs
    results = Results("tokenize-smallest" if options.smallest else "tokenize", anew=options.anew or options.smallest)
    shutil.rmtree(HOME, ignore_errors=True)
    ctx, tokenizer = _context(count), subword_tokenizer()
    pairs = load_pairs(ctx.inputs["data"])
    os.environ[PARALLEL] = "false"
    for stage in STAGES:
        results.take(f"before, {stage}", 0, lambda stage=stage: _before(stage, pairs, tokenizer))  # type: ignore[misc]
    os.environ[PARALLEL] = "true"
    for stage in STAGES:
        results.take(f"now, {stage}", 0, lambda stage=stage: _now(stage, pairs, tokenizer, ctx))  # type: ignore[misc]
    results.take(
        "model", 0, lambda: _model(fit(_stored(ctx, tokenizer).pairs(pairs[:SCORED]), tokenizer, _LONGEST).rows, ctx)
    )
    results.summary = summarise(results, count)
    results.save()
    print(table(results.summary["stages"]))
    print(table([results.summary["all"]]), flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    if options.smallest:
        results.path.unlink()


def _context(count: int) -> StageContext[ReferenceSettings]:
    data, out = HOME / "data", HOME / "out"
    for folder in (data, out):
        folder.mkdir(parents=True)
    write_pairs(synthetic(count), data)
    settings = ReferenceSettings(
        model=SHAPE, revision=None, precision="fp32", max_length=None, part="all", label_fraction=None, split_seed=None
    )
    return StageContext(
        kind="reference", settings=settings, inputs={"data": data}, out=out, checkpoints=out, store=ArtifactStore(HOME)
    )


def synthetic(count: int, seed: int = 0) -> Iterator[CandidatePair]:
    """Pairs of words drawn as often as words are (Zipf), with the lengths of real pairs."""
    rng = np.random.default_rng(seed)
    words, shares = lexicon(seed), 1 / np.arange(1, _WORDS + 1)
    every = lengths()
    for number, sizes in enumerate(every[rng.integers(0, len(every), count)]):
        counts = np.maximum(1, sizes / _PER_WORD).astype(int)
        drawn = np.split(rng.choice(words, counts.sum(), p=shares / shares.sum()), np.cumsum(counts)[:-1])
        prompt, a, b = (" ".join(part) for part in drawn)
        name = f"{number:016x}"
        label: Any = "ab"[number % 2]
        yield CandidatePair(
            pair_id=name, prompt_id=name, prompt=prompt, response_a=a, response_b=b, human_label=label
        )  # fmt: skip


def lexicon(seed: int) -> np.ndarray:
    """Made-up words of two to twelve letters."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    shares = 1 / np.arange(2, 28)
    sizes = rng.integers(2, 13, _WORDS)
    return np.array(["".join(rng.choice(letters, size, p=shares / shares.sum())) for size in sizes])


def subword_tokenizer() -> PreTrainedTokenizerFast:
    """Byte pairs as OPT and Qwen2 have them, trained on such texts."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=["<pad>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator((pair.prompt for pair in synthetic(500, seed=0)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>")  # noqa: S106


def _before(stage: str, pairs: list[CandidatePair], tokenizer: Any) -> Sample:
    """As each stage did it: its own texts through transformers, on one thread."""
    with timed() as sample:
        tokenizer([pair.prompt for pair in pairs], add_special_tokens=False, return_attention_mask=False)
        texts = [text for pair in pairs for text in _responses(stage, pair)]
        ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        [np.asarray([*text, tokenizer.eos_token_id], dtype=np.int64) for text in ids]
    return sample


def _responses(stage: str, pair: CandidatePair) -> tuple[str, ...]:
    both = (pair.response_a, pair.response_b)
    return both if stage != "sft" else both[:1] if pair.human_label == "a" else both[1:]


def _now(stage: str, pairs: list[CandidatePair], tokenizer: Any, ctx: StageContext[Any]) -> Sample:
    with timed() as sample:
        stored = _stored(ctx, tokenizer)
        sides: Iterable[Any] = ((pair.pair_id, (pair.human_label,) if stage == "sft" else ("a", "b")) for pair in pairs)
        fit(stored.rows(sides), tokenizer, _LONGEST)
    return sample


def _stored(ctx: StageContext[Any], tokenizer: Any) -> PairTokens:
    return pair_tokens(ctx, tokenizer)


def _model(rows: list[Encoded], ctx: StageContext[Any]) -> Sample:
    """Log-probabilities of some of the pairs, without gradient."""
    assert max(ids.max() for row in rows for ids in row.responses) < SHAPES[SHAPE].vocabulary
    path = forward_path(policy(SHAPE).eval(), device="cpu", precision="fp32", log=print)
    watch = Stopwatch()
    watch.start()
    values_of(ctx, rows, lambda batch: response_logps(path, batch), stopped="", columns=2)
    watch.stop()
    watch.sample.more["pairs"] = len(rows)
    return watch.sample


def summarise(results: Results, count: int) -> dict[str, Any]:
    """Seconds of waiting and the share of a stage that is waiting, by stage and for the three together."""
    (model,) = results.cells["model"]
    computing = model["wall"] / model["pairs"] * count
    waits = {name: [results.cells[f"{name}, {stage}"][0]["wall"] for stage in STAGES] for name in ("before", "now")}
    rows = [
        {
            "stage": stage,
            "seconds before": round(before, 2),
            "seconds now": round(now, 2),
            "idle before": round(before / (before + computing), 4),
            "idle now": round(now / (now + computing), 4),
        }
        for stage, before, now in zip(STAGES, waits["before"], waits["now"], strict=True)
    ]
    before, now = (sum(waits[name]) for name in ("before", "now"))
    both = {
        "pairs": count,
        "load of the machine": max(sample["load"] for cell in results.cells.values() for sample in cell),
        "seconds before": round(before, 2),
        "seconds now": round(now, 2),
        **{f"CPU seconds {name}": round(_cpu(results, name), 2) for name in waits},
        "pairs/s before": round(len(STAGES) * count / before),
        "pairs/s now": round(len(STAGES) * count / now),
        "ratio": round(before / now, 2),
        "idle before": round(before / (before + len(STAGES) * computing), 4),
        "idle now": round(now / (now + len(STAGES) * computing), 4),
        "model": f"{SHAPE}, forward only, {torch.get_num_threads()} thread of this machine",
    }
    return {"all": both, "stages": rows}


def _cpu(results: Results, name: str) -> float:
    """Of this process's threads: what stays the same while others use the machine."""
    return float(sum(results.cells[f"{name}, {stage}"][0]["cpu"] for stage in STAGES))


if __name__ == "__main__":
    main()
