"""What will likely disappoint in a run, known before anything is computed: sentences that refuse nothing. Torch-free.

Lengths in tokens are estimated from characters, at 4 a token, as English has them; other scripts have fewer.
"""

from collections.abc import Iterator
from pathlib import Path

from cwpo.config.run import RunConfig
from cwpo.data.profile.first_rows import TOKEN, FirstRows
from cwpo.errors import DataError
from cwpo.outlook.foreseen import context_of, most_pairs, rows_of

LEAST_RATE, MOST_RATE = 1e-8, 1e-2  # of AdamW; what the program proposes lies between 5e-6 and 1e-3


def doubts(config: RunConfig, home: Path) -> Iterator[str]:
    """Each in one sentence that names the field to change."""
    try:
        rows = rows_of(config)
    except DataError:  # said by the check of the dataset
        return
    yield from _rates(config)
    yield from _batches(config)
    yield from _kept(config)
    if rows is not None and rows.pairs:
        yield from _prompts(config, rows)
        yield from _lengths(config, rows, home)


def _rates(config: RunConfig) -> Iterator[str]:
    parts = {
        "annotator": config.annotator if config.trains_annotator else None,
        "sft": config.sft if config.sft.data != "none" else None,
        "align": config.align,
        "evaluation.gold_train": config.evaluation.gold_train if config.evaluation.gold_reward == "trained" else None,
    }
    for name, part in parts.items():
        if part is not None and part.lr > MOST_RATE:
            yield f"{name}.lr {part.lr:g} is far above what is usual (1e-6 to 1e-3): the training will likely diverge."
        elif part is not None and part.lr < LEAST_RATE:
            yield f"{name}.lr {part.lr:g} is far below what is usual (1e-6 to 1e-3): the model will hardly move."


def _batches(config: RunConfig) -> Iterator[str]:
    """A batch that is larger than the part it is taken from."""
    pairs, size = most_pairs(config), config.annotator.batch_size
    if pairs is None or not config.trains_annotator:
        return
    labeled = round(config.data.label_fraction * pairs)
    if 0 < labeled < size:
        yield (
            f"annotator.batch_size {size} is more than the {labeled:,} labeled pairs: an epoch is a single step. "
            "Lower it, or raise data.label_fraction."
        )


def _kept(config: RunConfig) -> Iterator[str]:
    """Whole models along the alignment, of anything but the sandbox's."""
    along = config.evaluation.along
    if along is not None and config.model.lora is None and not config.is_sandbox:
        yield (
            f"evaluation.along keeps {along.checkpoints - 1} whole models beside the aligned one, each as large: set "
            "model.lora, or lower evaluation.along.checkpoints."
        )


def _prompts(config: RunConfig, rows: FirstRows) -> Iterator[str]:
    """A file that will not have enough of them if it goes on as it begins."""
    likely, wanted = rows.likely_prompts, config.data.test_prompts
    if not rows.whole and likely is not None and likely < wanted:
        yield (
            f"data.test_prompts asks for {wanted:,}; if {rows.name} goes on as its first {rows.rows} rows do, it has "
            f"about {likely:,} usable prompts: lower it."
        )


def _lengths(config: RunConfig, rows: FirstRows, home: Path) -> Iterator[str]:
    """Pairs and prompts that do not fit what reads them."""
    model, first = config.model, f"Of the first {rows.pairs:,} pairs of {rows.name}"
    names = {model.policy: model.policy_revision}
    if config.trains_annotator:
        names[model.annotator] = model.annotator_revision
    for name, revision in names.items():
        context = context_of(name, revision, model.max_length, home)
        if context is None:
            continue
        room = [context - length.longer // TOKEN - 1 for length in rows.lengths]
        dropped = sum(left < 1 for left in room)
        cut = sum(0 < left < length.prompt // TOKEN for left, length in zip(room, rows.lengths, strict=True))
        if dropped or cut:
            yield f"{first} about {_parts(dropped, cut)} in the {context:,} tokens that {name} reads."
    rule = config.data.length_rule
    if rule is not None:
        over = sum(
            _size(length.prompt, length.longer, length.shorter, rule.counts) > rule.max_tokens * TOKEN
            for length in rows.lengths
        )
        if over:
            yield f"{first} about {over:,} are longer than data.length_rule and are dropped."


def _parts(dropped: int, cut: int) -> str:
    said = []
    if dropped:
        said.append(f"{dropped:,} are dropped because a response alone does not fit")
    if cut:
        said.append(f"{cut:,} lose the start of their prompt")
    return " and ".join(said)


def _size(prompt: int, longer: int, shorter: int, counts: str) -> int:
    """Characters that the rule counts."""
    return 2 * prompt + longer + shorter if counts == "pair" else prompt + longer
