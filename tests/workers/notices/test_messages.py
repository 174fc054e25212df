"""Messages about runs that ended, to a real server on this machine: down, slow, failing, then well."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from cwpo.errors import ConfigError
from db.engine import now
from db.models import Notice, Run
from db.repositories import stages
from db.repositories.keeping import notices as kept_notices
from tests import clocks
from tests.db import make
from tests.servers import free_port
from tests.workers.mirror import written
from tests.workers.workplace import Workplace
from workers import api
from workers.api import keeping, webhooks
from workers.machine.database import reading, writing
from workers.notices.post import NotSent, is_refused, post
from workers.notices.targets import read, targets
from workers.notices.tell import Teller

SECRET = "T0/B0/s3cr3t"


class Receiver:
    """A webhook: what it does next, and what it got."""

    def __init__(self) -> None:
        self.port = free_port()
        self.answer = 200
        self.wait = 0.0
        self.late = threading.Event()  # nobody waits for an answer any more
        self.got: list[dict[str, Any]] = []
        self.asked = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{SECRET}"

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.asked += 1
                data = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.late.wait(receiver.wait)
                if 200 <= receiver.answer < 300:
                    receiver.got.append(json.loads(data) | {"path": self.path, "key": self.headers["Idempotency-Key"]})
                self.send_response(receiver.answer)
                if 300 <= receiver.answer < 400:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver()
    monkeypatch.setenv("CWPO_WEBHOOK", found.url)
    yield found
    found.down()


def teller(whole: float = 120.0) -> Teller:
    """One that has looked already, so that what ends from now on is news."""
    found = Teller(targets(), whole=whole)
    found.once()
    return found


def due_again() -> None:
    """As if the wait for the next try were over."""
    with writing() as session:
        session.execute(update(Notice).where(Notice.next_at.is_not(None)).values(next_at=now(session)))


def notices() -> list[Notice]:
    with reading() as session:
        return list(session.scalars(select(Notice).order_by(Notice.id)))


def fail_first_stage(place: Workplace, *run_ids: int, error: str = "the loss diverged <!channel> & more") -> None:
    """A worker takes a stage of these runs and fails."""
    from workers.queue import lease

    worker = lease.register_worker("failing", "cpu")
    with writing() as session:
        claimed = stages.claim(session, worker, "cpu", 45)
        assert claimed is not None
        stages.fail(session, claimed.stage_id, claimed.token, error=error)


def test_a_run_is_told_once_however_the_server_was_before(
    both_workplaces: Workplace, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_notices, "FIRST_WAIT", 3_600.0)
    place = both_workplaces
    telling = teller()
    run = api.submit_run(place.config(name="<b>mine</b>")).run_id
    fail_first_stage(place, run)
    assert telling.once() == 0  # nobody listens
    assert [(one.tries, one.sent_at) for one in notices()] == [(1, None)]
    assert telling.once() == 0
    assert notices()[0].tries == 1  # not before its time
    receiver.up()
    for answer in (500, 302):
        receiver.answer = answer
        due_again()
        assert telling.once() == 0
    receiver.answer, receiver.wait = 200, 600.0
    due_again()
    with clocks.lasting(5):
        assert Teller(targets(), whole=0.5).once() == 0
    assert notices()[0].error == "127.0.0.1 did not answer within 0.5 s."
    receiver.late.set()
    due_again()
    assert telling.once() == 1
    due_again()
    assert Teller(targets()).once() == telling.once() == 0
    assert {one["id"] for one in receiver.got} == {one["key"] for one in receiver.got} == {notices()[0].key}
    body = receiver.got[-1]
    assert (body["event"], body["run"], body["status"], body["gra"]) == ("run", run, "failed", None)
    assert body["error"] == "Stage data failed: the loss diverged <!channel> & more"
    assert "“&lt;b&gt;mine&lt;/b&gt;”" in body["text"]
    assert "&lt;!channel&gt; &amp; more" in body["text"]
    assert SECRET not in caplog.text
    assert not any(SECRET in str((one.error, one.body, one.target)) for one in notices())


def test_a_sweep_is_told_when_its_last_run_ended(workplace: Workplace, receiver: Receiver) -> None:
    receiver.up()
    telling = teller()
    configs = [workplace.config(seed=seed, salt=str(seed)) for seed in (0, 1)]
    made = [one.run_id for one in api.submit_sweep(configs, "two seeds")]
    fail_first_stage(workplace)
    assert telling.once() == 0
    open_runs = [run_id for run_id in made if workplace.run(run_id).status != "failed"]
    for run_id in open_runs:
        api.cancel_run(run_id)
    assert telling.once() == 1
    assert telling.once() == 0
    (body,) = receiver.got
    assert (body["event"], body["sweep"], body["status"]) == ("sweep", "two seeds", "failed")
    assert {run["run"] for run in body["runs"]} == set(made)
    assert body["text"].startswith("All 2 runs of two seeds ended: ")
    api.retry_run(made[0])
    fail_first_stage(workplace)
    keeping.cancel(made)  # what is live still
    assert telling.once() == 1  # it ended once more


DOCS = Path(__file__).parents[3] / "docs" / "keeping.md"
FIRST_END, LAST_END = "2026-01-02T03:04:05+00:00", "2026-01-02T03:06:07+00:00"  # as its forms have them


def documented(event: str, instead: Mapping[str, str]) -> dict[str, Any]:
    """The JSON form of docs/keeping.md, with the numbers and times that runs have instead of those that stand there."""
    forms = re.findall(r"^```\n(\{.*?\})\n```$", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (form,) = [form for form in forms if f'"event": "{event}"' in form]
    words = re.compile("|".join(rf"(?<![\w.]){re.escape(there)}\b" for there in instead))
    found: dict[str, Any] = json.loads(words.sub(lambda word: instead[word[0]], form))
    return found


def ended_at(run_id: int) -> str:
    with reading() as session:
        at = session.get_one(Run, run_id).finished_at
    assert at is not None
    return at.isoformat()


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """The bodies as they came."""
    return [{name: value for name, value in body.items() if name not in ("path", "key")} for body in receiver.got]


@pytest.fixture
def documented_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWPO_PUBLIC_URL", "http://127.0.0.1:8501")


@pytest.mark.usefixtures("documented_address")
def test_a_done_run_is_told_with_its_gra_in_the_form_of_the_docs(
    both_workplaces: Workplace, receiver: Receiver
) -> None:
    receiver.up()
    telling = teller()
    run, _ = written.finished("a", 1, name="first", method_label="CW")
    assert telling.once() == 1
    assert telling.once() == 0
    assert told(receiver) == [documented("run", {"7": str(run), FIRST_END: ended_at(run)})]
    assert "is done: GRA 57.1 % (95 %: 50.2 – 63.8)" in receiver.got[0]["text"]


@pytest.mark.usefixtures("documented_address")
def test_a_sweep_that_is_all_done_is_told_once_in_the_form_of_the_docs(
    both_workplaces: Workplace, receiver: Receiver
) -> None:
    receiver.up()
    telling = teller()
    sweep = {"sweep_id": "two seeds", "method_label": "CW"}
    one, two = (written.submit(name[0], name=name, seed=seed, **sweep) for seed, name in enumerate(("one", "two")))
    for _ in (one, two):
        assert telling.once() == 0
        for _ in make.CHAIN:
            written.publish(written.claim())
    assert telling.once() == 1
    assert telling.once() == 0
    expected = documented("sweep", {"8": str(one), "9": str(two), FIRST_END: ended_at(one), LAST_END: ended_at(two)})
    assert told(receiver) == [expected]


def test_a_cancelled_run_is_no_news_and_neither_is_what_ended_before_somebody_listened(
    workplace: Workplace, receiver: Receiver
) -> None:
    receiver.up()
    api.submit_run(workplace.config())
    fail_first_stage(workplace)
    time.sleep(0.05)
    telling = teller()
    api.cancel_run(api.submit_run(workplace.config(salt="b")).run_id)
    telling.once()
    assert receiver.got == []


def test_two_tellers_send_one_message(workplace: Workplace, receiver: Receiver) -> None:
    receiver.up()
    receiver.wait = 0.2
    tellers = [teller() for _ in range(3)]
    api.submit_run(workplace.config())
    fail_first_stage(workplace)
    threads = [threading.Thread(target=one.once) for one in tellers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.got) == 1


def test_links_lead_to_where_people_reach_the_dashboard(
    workplace: Workplace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWPO_PUBLIC_URL", "https://lab.example.org/cwpo/")
    receiver.up()
    telling = teller()
    run = api.submit_run(workplace.config()).run_id
    fail_first_stage(workplace)
    telling.once()
    assert receiver.got[0]["url"] == f"https://lab.example.org/cwpo/run?run={run}"
    assert receiver.got[0]["text"].endswith(f"\nhttps://lab.example.org/cwpo/run?run={run}")


def test_a_test_message_says_whether_it_arrived(workplace: Workplace, receiver: Receiver) -> None:
    assert [one.said for one in webhooks.send_test()] == [
        f"http://127.0.0.1:{receiver.port}/…: 127.0.0.1 cannot be reached (Connection refused)."
    ]
    receiver.up()
    assert [one.error for one in webhooks.send_test()] == [""]
    assert (receiver.got[0]["event"], receiver.got[0]["path"]) == ("test", f"/services/{SECRET}")


def test_a_server_that_drips_is_left_in_time(receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def drip() -> None:
            other, _ = server.accept()
            with other:
                while not ended.wait(0.1):
                    try:
                        other.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with clocks.lasting(4), pytest.raises(NotSent, match=r"did not answer within 0\.8 s"):
            post(read(f"http://127.0.0.1:{server.getsockname()[1]}/"), {}, whole=0.8)
        ended.set()
        thread.join(5)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "2002:a9fe:a9fe::1"],
)
def test_addresses_that_hand_out_credentials_are_never_asked(address: str) -> None:
    assert is_refused(address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(NotSent, match="link-local"):
        post(read(f"http://{host}/latest/meta-data"), {})


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.7", "8.8.8.8", "fd00::1"])
def test_other_addresses_are_the_operators_choice(address: str) -> None:
    assert not is_refused(address)


@pytest.mark.parametrize(
    "text",
    ["ftp://h/s3cr3t", "file:///s3cr3t", "//h/s3cr3t", "s3cr3t", "http:///s3cr3t", "https://me:s3cr3t@h/",
     "https://h:99999/s3cr3t", "https://h/s3cr3t\r\nX: y", "https://h/s3cr3t x", "https://h/s3cr3té"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^CWPO_WEBHOOK: ") as caught:
        read(text)
    assert "s3cr3t" not in str(caught.value)


def test_several_addresses_are_told_apart_and_only_their_hosts_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "CWPO_WEBHOOK", " https://a.example/x?key=1 , http://b.example:8080/y, https://a.example/x?key=1"
    )
    found = targets()
    assert [target.shown for target in found] == ["https://a.example/…", "http://b.example:8080/…"]
    assert "key" not in repr(found)
