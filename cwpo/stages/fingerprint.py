"""The fingerprint of a stage: kind, version, settings and the fingerprints of its inputs. Runs share equal ones.

Device, threads, micro-batches and library versions do not enter. Local files and folders enter by their content.
Where a version computes something otherwise than the one before, and only for some stages, those have a rule in their
settings.
"""

from collections.abc import Mapping
from typing import Any

from cwpo.config.run import digest
from cwpo.errors import SettingsError
from cwpo.stages.kinds import kind_of
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import Settings

BATCH_RULE, ENGINE_RULE = 2, 2  # by which answers are made: in bf16 (engines/batches.py, steps.py), by vLLM
SCORE_RULE = 2  # 2: logits of bf16 models are float32 and their replies of BATCH_RULE 2; SteamSHP's question is text

# Where a revision is a content hash, it stands for the path too.
_PINNED = (("dataset", "revision"), ("model", "revision"), ("name", "revision"), ("tokenizer", "tokenizer_revision"))


def fingerprint(settings: Settings, inputs: Mapping[str, str], *, salt: str) -> str:
    """The sha256 of all that decides a stage's result. inputs: name -> fingerprint; `salt` forces a fresh execution."""
    kind = kind_of(settings)
    parts = {"kind": kind.name, "version": kind.version, "config": identity(to_plain(settings)), "inputs": dict(inputs)}
    return digest({**parts, "salt": salt})


def identity(value: Any) -> Any:
    """`value` with every local file or folder named by its content hash, so that a path never enters a fingerprint."""
    if not isinstance(value, Mapping):
        return value
    named = {key: identity(item) for key, item in value.items()}
    for name, revision in _PINNED:
        pin = named.get(revision)
        if name in named and isinstance(pin, str) and pin.startswith("sha256:"):
            named[name] = pin
    return named


def score_rule(model: bool, precision: str, input_form: str = "") -> int:
    """The rule by which this version scores, or replies; 1 where nothing but a model in bf16 and SteamSHP changed.
    model: whether a model does it that is not trained here."""
    return SCORE_RULE if model and (precision == "bf16" or input_form == "steamshp") else 1


def known_rule(what: str, rule: int, ours: int, of: str = "rule") -> None:
    """SettingsError where a program that computes it otherwise submitted a stage: its fingerprint means what that one
    computes."""
    if rule != ours:
        raise SettingsError(
            f"{what} of this run go by {of} {rule}, and this program computes them by {of} {ours}: compute them with "
            "the program that submitted the run, or submit it anew."
        )
