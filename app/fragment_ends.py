"""Where a part of a page was drawn alone, the browser is told that it was drawn to its end.

When a fragment's run begins, Streamlit (`ForwardMsgQueue.clear` of 1.67) makes of every fragment's end that waits to be
sent the end of a run that was broken off. Where another fragment began, all that the first one drew is sent, and the
browser shows it beside what stood there before: two lists of runs in place of one.
"""

from functools import wraps

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue


def keep_fragment_ends() -> None:
    """Of the server, once: the end of a fragment's run stays what it is while other fragments begin."""
    clear = ForwardMsgQueue.clear

    @wraps(clear)
    def cleared(
        queue: ForwardMsgQueue, retain_lifecycle_msgs: bool = False, fragment_ids_this_run: list[str] | None = None
    ) -> None:
        waiting = list(queue._queue)
        ends = {id(message): message.script_finished for message in waiting if message.HasField("script_finished")}
        clear(queue, retain_lifecycle_msgs, fragment_ids_this_run)
        if fragment_ids_this_run:
            for message in _whole(waiting, {id(message) for message in queue._queue}):
                message.script_finished = ends[id(message)]

    ForwardMsgQueue.clear = cleared  # type: ignore[assignment,method-assign]


def _whole(waiting: list[ForwardMsg], kept: set[int]) -> list[ForwardMsg]:
    """The ends of runs of fragments of which every message that waited is sent."""
    found, whole = [], True
    for message in waiting:
        if message.HasField("new_session"):
            whole = True
        whole = whole and id(message) in kept
        if whole and message.HasField("script_finished") and message.metadata.run.fragment_ids:
            found.append(message)
    return found
