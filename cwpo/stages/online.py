"""What decides the result of an online alignment. Free of torch."""

from dataclasses import dataclass

from cwpo.stages.plain import usual
from cwpo.stages.settings import AlignSettings, BatchSettings, DecodingSettings, LabelSettings

ANSWERS = 2  # to each prompt
FRESH_FILE = "fresh_pairs.parquet"  # in the artifact


@dataclass(frozen=True, kw_only=True)
class OnlineSettings(AlignSettings):
    """Alignment on pairs that the policy samples while it trains; its steps are counted over prompts.

    labels: how the annotator scores them; None: the sandbox's true utility labels. batches: see SampleSettings.
    """

    refresh_every: int
    decoding: DecodingSettings
    labels: LabelSettings | None
    batches: BatchSettings | None = usual(None)
