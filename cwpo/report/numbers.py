"""How numbers read, everywhere the same: one decimal for shares, a true minus sign, thousands, – for nothing."""

import math

NOTHING = "–"


def number(value: float | None, digits: int = 2) -> str:
    """1,234.57, −0.50; a dash for what was not measured."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    return (text if float(text.replace(",", "")) else text.removeprefix("-")).replace("-", "−")


def percent(value: float | None) -> str:
    """0.5926 -> 59.3 %."""
    return NOTHING if value is None or not math.isfinite(value) else f"{number(100 * value, 1)} %"


def points(value: float | None) -> str:
    """A difference of two shares in points, with its sign: 0.014 -> +1.4."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = number(100 * value, 1)
    return text if text.startswith("−") or text == "0.0" else f"+{text}"


def interval(low: float | None, high: float | None) -> str:
    """Two shares in percent: 59.2 – 64.9."""
    if low is None or high is None:
        return NOTHING
    return f"{number(100 * low, 1)} – {number(100 * high, 1)}"


def points_interval(low: float | None, high: float | None) -> str:
    """Two differences in points: −1.9 to +2.9."""
    return NOTHING if low is None or high is None else f"{points(low)} to {points(high)}"


def count(value: int | None) -> str:
    """12,345."""
    return NOTHING if value is None else number(value, 0)


def p_value(value: float | None) -> str:
    """Three decimals, and never 0."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """0.4 s, 42 s, 3 min 10 s, 1 h 04 min; never less than none, where a clock was set back in between."""
    if seconds is None:
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def size(number_of_bytes: float | None) -> str:
    """Bytes in the largest unit that leaves a digit in front: 12.3 MB."""
    if number_of_bytes is None:
        return NOTHING
    value, unit = float(number_of_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
