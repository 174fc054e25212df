"""A file that a page offered can be had for a while after the page was drawn anew.

Streamlit (`MediaFileManager` of 1.67) forgets it with the next run of any script that ends, and what was made of it
with the second: a click in a browser that still shows the page before, or that fetches what it was promised, is
refused. Pages look for news by themselves, so that this is no rare moment.
"""

import time

from streamlit.runtime import runtime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorage

KEPT = 30.0  # seconds that a slow browser may show what is not offered any more


class Leaving:
    """Since when files are offered no more."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def gone(self, left: set[str]) -> set[str]:
        """Those of them that were left long enough; `left` is all that nobody is offered now."""
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in left}
        return {name for name, since in self._since.items() if now - since >= KEPT}


class KeepsAWhile(MediaFileManager):
    """Forgets what is left by every page after `KEPT` seconds; what a page withdraws (a button that is disabled), at
    once."""

    def __init__(self, storage: MediaFileStorage) -> None:
        super().__init__(storage)
        self._files, self._promised = Leaving(), Leaving()

    def _get_inactive_file_ids(self) -> set[str]:
        return self._files.gone(super()._get_inactive_file_ids())

    def _remove_orphaned_deferred_callables(self) -> None:
        offered = {name for page in self._files_by_session_and_coord.values() for name in page.values()}
        for name in self._promised.gone(self._deferred_callables.keys() - offered):
            self._drop_deferred_id(name)


def keep_late_clicks() -> None:
    """Of the server, before it starts."""
    runtime.MediaFileManager = KeepsAWhile  # type: ignore[misc]
