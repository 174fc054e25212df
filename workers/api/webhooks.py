"""Messages to webhooks: who gets them, and a message to try it."""

import uuid
from dataclasses import dataclass

from workers.access.doing import needs, say
from workers.access.roles import Role
from workers.notices import message
from workers.notices.post import NotSent, post
from workers.notices.targets import Target, targets
from workers.notices.tell import web_address

__all__ = ["Tried", "send_test", "targets"]

WHOLE_SECONDS = 8.0  # somebody waits for the answer


@dataclass(frozen=True, kw_only=True)
class Tried:
    """How a test message fared."""

    shown: str
    error: str = ""

    @property
    def said(self) -> str:
        """In one sentence."""
        return f"{self.shown}: {self.error or 'the test message arrived.'}"


@needs(Role.ADMIN)
def send_test() -> list[Tried]:
    """Send a message to each address now, whether it arrives or not."""
    tried = [_try(target) for target in targets()]
    say("webhooks", tried={one.shown: one.error or "arrived" for one in tried})
    return tried


def _try(target: Target) -> Tried:
    body = message.with_id(f"test:{uuid.uuid4().hex}", message.of_test(web_address()))
    try:
        post(target, body, whole=WHOLE_SECONDS)
    except NotSent as error:
        return Tried(shown=target.shown, error=str(error))
    return Tried(shown=target.shown)
