"""What a stage waits for that no worker has, in one sentence."""

from cwpo.report.numbers import size

_DIGITS = (2, 3, 4)  # fewest first, until two sizes are told apart


def waiting_sentence(
    stage: str,
    *,
    cards: int,
    card_bytes: int | None,
    largest: int | None,
    together: int,
    host_bytes: int | None = None,
    largest_host: int | None = None,
) -> str:
    """stage: its name. cards, card_bytes: how many it wants and what it needs on each; largest: bytes of the largest
    card that lives; together: most cards of one host that are large enough. host_bytes: what it needs of the machine's
    own memory; largest_host: what the largest machine of a living worker has."""
    memory_is_short = host_bytes is not None and largest_host is not None and largest_host < host_bytes
    if together < cards:
        said = f"{stage} waits for {_cards(cards, card_bytes, largest, together)}."
        return f"{said} It also needs {_memory(host_bytes, largest_host)}." if memory_is_short else said
    if memory_is_short:
        return f"{stage} waits for {_memory(host_bytes, largest_host)}."
    of_size = f" of {_about(card_bytes)}" if card_bytes is not None else ""
    wanted = f"{cards} cards{of_size}" if cards > 1 else f"a card{of_size}"
    return f"{stage} waits for {wanted} in a machine with {_about(host_bytes or 0)} of memory: none here has both."


def _cards(cards: int, card_bytes: int | None, largest: int | None, together: int) -> str:
    needed, there = _apart(card_bytes, largest)
    of_size = f" of {needed}" if card_bytes is not None else ""
    wanted = f"{cards} cards{of_size} on one host" if cards > 1 else f"a card{of_size}"
    if together == 0 and card_bytes is not None and largest is not None:
        return f"{wanted}: the largest here has {there}"
    return f"{wanted}: no host has more than {together}{' that large' if of_size else ''}"


def _memory(needed: int | None, largest: int | None) -> str:
    wanted, there = _apart(needed, largest)
    return f"a machine with {wanted} of memory: the largest here has {there}"


def _apart(needed: int | None, there: int | None) -> tuple[str, str]:
    """Both in as few digits as tell them apart; empty where unknown."""
    said = [""] * 2
    for digits in _DIGITS:
        said = ["" if value is None else _about(value, digits) for value in (needed, there)]
        if said[0] != said[1]:
            break
    return said[0], said[1]


def _about(number_of_bytes: int, digits: int = 2) -> str:
    """So many digits: 41 GB."""
    return size(float(f"{number_of_bytes:.{digits}g}")).replace(".0 ", " ")
