"""A list that is read page by page: from its first page to the last, and back the same way."""

from collections.abc import Callable, Sequence
from typing import Any

Page = tuple[Sequence[Any], int | None]  # what stands on it, and the place of the first


def there_and_back(
    page_of: Callable[..., Any], decode: Callable[[str], Any], rows: Callable[[Any], Sequence[Any]]
) -> list[Page]:
    """The pages on the way to the last one. `previous` meets the same ones, `next` of each leads to the one behind it,
    and neither leads out of the list; both keys go through the address."""
    page = page_of(after=None, before=None)
    there = [(rows(page), page.first)]
    assert page.previous is None
    while page.next is not None:
        page = page_of(after=decode(page.next.encode()), before=None)
        there.append((rows(page), page.first))
        assert len(there) < 100
    for place in range(len(there) - 2, -1, -1):
        page = page_of(after=None, before=decode(page.previous.encode()))
        assert (rows(page), page.first) == there[place]
        behind = page_of(after=decode(page.next.encode()), before=None)
        assert (rows(behind), behind.first) == there[place + 1]
    assert page.previous is None
    return there
