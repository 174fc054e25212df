"""The order of settings under every judge, and GRA under two judges along training."""

from cwpo.report.columns import Column
from cwpo.report.numbers import NOTHING, count, interval, number, percent


def _share(value: float | None) -> str:
    return percent(value).removesuffix(" %")


def _points(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1)


def _seeds(value: int) -> str:
    """With one seed an interval covers prompts alone."""
    return "1, prompts only" if value == 1 else _counted(value)


def _counted(value: int) -> str:
    return count(value) if value else NOTHING


ORDER: tuple[Column, ...] = (
    Column(name="judge", heading="judge", words=True),
    Column(name="said", heading="order", words=True, lead=True),
    Column(name="stable", heading="stable", unit="%", format=_share),
    Column(name="best", heading="best stays best", unit="%", format=_share),
    Column(name="same", heading="as the first judge", unit="%", format=_share),
    Column(name="tau", heading="τ", format=number, muted=True),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True),
)  # fmt: skip

ALONG: tuple[Column, ...] = (
    Column(name="label", heading="setting", words=True),
    Column(name="method", place="file"),
    Column(name="place", heading="model", words=True),
    Column(name="kl", heading="KL", unit="nats", format=number),
    Column(name="gold", heading="gold GRA", unit="%", format=_share),
    Column(name="gold_interval", heading="95 %, gold", fields=("gold_low", "gold_high"), format=interval, muted=True),
    Column(name="second", heading="second GRA", unit="%", format=_share),
    Column(name="second_interval", heading="95 %, second", fields=("second_low", "second_high"), format=interval,
           muted=True),
    Column(name="gap", heading="gold − second", unit="points", format=_points),
    *(Column(name=name, place="file") for name in ("gold_name", "second_name")),
    Column(name="n_prompts", heading="prompts", format=_counted, muted=True),
    Column(name="n_seeds", heading="seeds", format=_seeds, muted=True),
)  # fmt: skip
