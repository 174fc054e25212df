"""What would make a run fail, known from its configuration, its file and its models' files alone. Torch-free.

A limit is taken from what cannot be otherwise: a file holds no more prompts than rows. So nothing that could be
computed is refused.
"""

from collections.abc import Iterator
from pathlib import Path

from cwpo import places
from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.data.profile.first_rows import FirstRows, first_rows
from cwpo.errors import ConfigError
from cwpo.models import hub
from cwpo.models.fetched.names import folder_of
from cwpo.models.shape import known_config
from cwpo.models.text.template import template_of

FEWEST_PAIRS = 2  # that the data stage trains on
Problem = tuple[str, str]  # field, sentence


def check(config: RunConfig, home: Path) -> None:
    """ConfigError for the first thing that this run would certainly fail by."""
    for field, sentence in failures(config, home):
        raise ConfigError(field, sentence)


def failures(config: RunConfig, home: Path) -> Iterator[Problem]:
    """(field, sentence) of each."""
    yield from _rows(config)
    yield from _labels(config)
    yield from _room(config, home)
    yield from gold_failures(config, home)


def rows_of(config: RunConfig) -> FirstRows | None:
    """The first rows of the run's file; None for a dataset of the hub or the sandbox, and for a file too large to be
    read while somebody waits."""
    if not hub.is_local(config.data.dataset):
        return None
    return first_rows(Path(config.data.dataset), columns=config.data.columns)


def context_of(name: str, revision: str | None, at_most: int | None, home: Path) -> int | None:
    """Tokens that a model reads at once, as `cwpo/models/load.py:context_length` finds them; None: not known here."""
    known = known_config(name, revision, home)
    own = None if known is None else known.get("max_position_embeddings") or known.get("n_positions")
    if not isinstance(own, int):
        return at_most
    return min(own, at_most or own)


def most_pairs(config: RunConfig) -> int | None:
    """Pairs that are left for training at most; None where nobody knows."""
    limit = config.data.max_pairs
    if config.data.sandbox is not None:
        there: int | None = config.data.sandbox.pairs
    else:
        rows = rows_of(config)
        there = None if rows is None or rows.most_pairs is None else rows.most_pairs - config.data.test_prompts
    return limit if there is None else min(there, limit or there)


def _rows(config: RunConfig) -> Iterator[Problem]:
    """Prompts to hold out, and pairs that are left behind them."""
    rows, wanted = rows_of(config), config.data.test_prompts
    if rows is None:
        return
    prompts, pairs = rows.most_prompts, rows.most_pairs
    if prompts is not None and prompts < wanted:
        there = f"{prompts:,} usable in its {rows.rows:,} rows" if rows.whole else f"at most {prompts:,} rows"
        yield "data.test_prompts", f"asks for {wanted:,}, and {rows.name} has {there}: lower it, or give more data."
    elif pairs is not None and pairs - wanted < FEWEST_PAIRS:
        yield (
            "data.test_prompts",
            f"holds out {wanted:,} prompts of {rows.name}, whose {pairs:,} pairs leave none to train on: lower it, "
            "or give more data.",
        )


def _labels(config: RunConfig) -> Iterator[Problem]:
    """A labeled part that is empty, where an annotator is trained on it or a policy on it alone."""
    pairs, fraction = most_pairs(config), config.data.label_fraction
    needed = config.trains_annotator or catalog.METHODS[config.method].pool == "labeled"
    if pairs is not None and pairs > 0 and needed and round(fraction * pairs) == 0:
        yield (
            "data.label_fraction",
            f"of {fraction:g} labels none of at most {pairs:,} pairs: raise it, or give more data.",
        )


def _room(config: RunConfig, home: Path) -> Iterator[Problem]:
    """An answer that fills the context leaves no room for its prompt."""
    model = config.model
    context, longest = context_of(model.policy, model.policy_revision, model.max_length, home), config.evaluation
    asked = {"evaluation.max_new_tokens": longest.max_new_tokens}
    if config.align.online is not None:
        asked["align.online.max_new_tokens"] = config.align.online.max_new_tokens or 0
    for field, tokens in asked.items():
        if context is not None and tokens >= context:
            yield field, f"{tokens} leaves no room for a prompt in a context of {context} tokens: lower it."


def gold_failures(config: RunConfig, home: Path) -> Iterator[Problem]:
    """A reward model of one's own: it has one output, and a chat template to read answers by."""
    name = str(config.evaluation.gold_reward)
    row = catalog.GOLD_REWARDS.get(name)
    if row is not None and row.kind != "model":
        return
    model = str(row.model) if row is not None else name
    if not hub.is_local(model):  # of a repository only some files may be here
        return
    if not places.may_use(folder_of(model, home)):  # said where it is pinned
        return
    found = known_config(model, None, home)
    outputs = None if found is None else found.get("num_labels", len(found.get("id2label") or {}) or 2)
    if outputs not in (None, 1):
        yield "evaluation.gold_reward", f"{name} has {outputs} outputs: a gold reward needs exactly one."
    elif template_of(folder_of(model, home)) is None:
        yield (
            "evaluation.gold_reward",
            f"{name} has no chat template, by which a reward model of one's own reads answers: choose another.",
        )
