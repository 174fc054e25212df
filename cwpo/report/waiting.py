"""What a stage waits for that no worker has, in one sentence."""

from cwpo.report.numbers import size


def waiting_sentence(
    stage: str, *, cards: int, card_bytes: int | None, largest: int | None, together: int
) -> str:  # fmt: skip
    """stage: its name. cards, card_bytes: how many it wants and what it needs on each; largest: bytes of the largest
    card that lives; together: most cards of one host that are large enough."""
    of_size = f" of {_about(card_bytes)}" if card_bytes is not None else ""
    wanted = f"{cards} cards{of_size} on one host" if cards > 1 else f"a card{of_size}"
    if together == 0 and card_bytes is not None and largest is not None:
        return f"{stage} waits for {wanted}: the largest here has {_about(largest)}."
    return f"{stage} waits for {wanted}: no host has more than {together}{' that large' if of_size else ''}."


def _about(number_of_bytes: int) -> str:
    """Two digits: 41 GB."""
    return size(float(f"{number_of_bytes:.2g}")).replace(".0 ", " ")
