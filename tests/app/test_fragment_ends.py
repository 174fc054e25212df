"""Ends of fragments' runs that wait for the browser while other fragments begin."""

from collections.abc import Iterator

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from app.fragment_ends import keep_fragment_ends

ENDED, BROKEN_OFF = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY, ForwardMsg.FINISHED_EARLY_FOR_RERUN


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForwardMsgQueue, "clear", ForwardMsgQueue.clear)
        keep_fragment_ends()
        yield


def run_of(*fragments: str, drawn: str, status: int = ENDED) -> list[ForwardMsg]:
    """What a run says: that it began, an element of a fragment, and that it ended."""
    began, element, ended = ForwardMsg(), ForwardMsg(), ForwardMsg()
    began.new_session.name = "main"
    element.delta.fragment_id, element.delta.new_element.text.body = drawn, "line"
    element.metadata.delta_path.extend([0, ord(drawn[0])])
    ended.script_finished = status
    for message in (began, ended):
        message.metadata.run.fragment_ids.extend(fragments)
    return [began, element, ended]


def ends_when(begins: list[str] | None, *messages: ForwardMsg) -> list[int]:
    """How the runs that wait have ended for the browser, once another one begins."""
    queue = ForwardMsgQueue()
    for message in messages:
        queue.enqueue(message)
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=begins)
    return [message.script_finished for message in queue.flush() if message.HasField("script_finished")]


def test_a_fragment_that_was_drawn_to_its_end_has_ended_when_another_one_begins() -> None:
    assert ends_when(["news"], *run_of("list", drawn="list")) == [ENDED]
    assert ends_when(["news"], *run_of("list", drawn="list")[1:]) == [ENDED]  # its beginning is sent already


def test_a_run_of_which_something_is_not_sent_counts_as_broken_off() -> None:
    assert ends_when(["list"], *run_of("list", drawn="list")) == [BROKEN_OFF]
    assert ends_when(["inner"], *run_of("list", drawn="inner")) == [BROKEN_OFF]
    assert ends_when(None, *run_of("list", drawn="list")) == [BROKEN_OFF]
    assert ends_when(["list"], *run_of("list", drawn="list"), *run_of("news", drawn="news")) == [BROKEN_OFF, ENDED]


def test_runs_of_whole_pages_end_as_before() -> None:
    whole = run_of(drawn="list", status=ForwardMsg.FINISHED_SUCCESSFULLY)
    assert ends_when(["news"], *whole) == [ForwardMsg.FINISHED_SUCCESSFULLY]
    assert ends_when(None, *run_of(drawn="list", status=ForwardMsg.FINISHED_SUCCESSFULLY)) == [BROKEN_OFF]
