"""A judge behind an address that speaks the protocol of OpenAI's chat completions. Free of torch.

Where it is and what opens it are variables of the environment, read here and kept nowhere. What may pass (a limit of
the rate, a server that is busy or does not answer, a body that is no reply) is asked again, later and later; what will
not pass is one sentence.
"""

import contextlib
import email.utils
import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from cwpo.config.environment import settings as environment
from cwpo.errors import JudgeError
from cwpo.evaluation.judges.ledger import Ledger
from cwpo.evaluation.judges.questions import WRITTEN, Call, read_verdict
from cwpo.evaluation.judges.verdicts import Key, Reply, key_of
from cwpo.stages.context import WorkContext
from cwpo.stages.settings import JudgeModelSettings

PATH = "/chat/completions"
TRIES = 8  # of one question, before its stage gives up
LONGEST_WAIT = 120.0  # seconds between two of them, whatever the server says
READINGS = 3  # replies bought for one question, until one names a letter
MOST_BYTES = 2_000_000
PASSES = (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)
STOPPED = "The run was cancelled while a judge model was asked; what it has answered is kept."
_POLL = 0.2  # seconds between two looks whether to stop


class _Later(Exception):
    """It may pass: when to ask again, where the server says it, and what happened."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class _Stopped(Exception):
    """Not asked any more."""


class _Straight(urllib.request.HTTPRedirectHandler):
    """A key never goes to another address than it was given for."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An address and what opens it; neither is ever shown."""

    url: str
    key: str | None
    timeout: float

    @classmethod
    def here(cls) -> "Endpoint":
        """As the environment of this process has it."""
        if environment.judge_url is None:
            raise JudgeError(
                "No judge model can be asked: set CWPO_JUDGE_URL (and CWPO_JUDGE_KEY) where the workers are started, "
                "start them again and retry the run."
            )
        return cls(
            url=address_of(environment.judge_url), key=environment.judge_key, timeout=float(environment.judge_timeout)
        )

    def ask(self, body: Mapping[str, Any]) -> Reply:
        """One question, once; _Later where it may pass, JudgeError where it will not."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "cwpo"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310
        try:
            with urllib.request.build_opener(_Straight).open(request, timeout=self.timeout) as answer:
                return read_reply(answer.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            said = _said(error)
            if error.code in PASSES:
                raise _Later(f"it answered {error.code}", _after(error.headers.get("Retry-After"))) from None
            raise JudgeError(f"The judge model's server refused with {error.code}{said}.") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            why = "it did not answer in time" if isinstance(reason, TimeoutError) else f"{type(reason).__name__}"
            raise _Later(why) from None


def address_of(base: str) -> str:
    """Where questions go, from the address of a server or of its version: https://host, https://host/v1."""
    parts = urllib.parse.urlsplit(base)
    path = parts.path.rstrip("/").removesuffix(PATH) or "/v1"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path + PATH, parts.query, ""))


def read_reply(body: bytes) -> Reply:
    """The text of the first choice and the tokens that were counted; _Later where the body is no reply."""
    try:
        found = json.loads(body)
        text = found["choices"][0]["message"]["content"]
        usage = found.get("usage") or {}
        tokens = {name: max(0, int(usage.get(name) or 0)) for name in ("prompt_tokens", "completion_tokens")}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _Later("its reply is not one of the protocol") from None
    if not isinstance(text, str):
        text = ""
    return Reply(text=text, verdict=read_verdict(text), **tokens)


def ask_all(
    ctx: WorkContext, judge: JudgeModelSettings, calls: Sequence[Call], ledger: Ledger
) -> tuple[dict[Key, Reply], int]:
    """The replies to all calls, a few at once, and how many were bought now. What is bought is on the disk before it
    counts; equal questions are asked once; Cancelled where somebody asks to stop."""
    endpoint, stop = Endpoint.here(), threading.Event()
    found: dict[Key, Reply] = {}
    bought = 0
    ctx.reporter.share(0.0)
    pool = ThreadPoolExecutor(max(1, environment.judge_parallel))
    try:
        same: dict[tuple[str, int], list[Call]] = {}
        for call in calls:
            same.setdefault((call.text(judge.role, WRITTEN), call.repeat), []).append(call)
        work = {pool.submit(_answered, endpoint, judge, *one, ledger, stop): alike for one, alike in same.items()}
        pending: set[Future[tuple[Reply, int]]] = set(work)
        while pending:
            done, pending = wait(pending, timeout=_POLL, return_when=FIRST_COMPLETED)
            for one in done:
                if isinstance(one.exception(), _Stopped):  # another one failed, and says why
                    continue
                reply, new = one.result()
                found |= {key_of(call): reply for call in work[one]}
                bought += new
            ctx.stop_if_asked(STOPPED)
            ctx.reporter.progress(len(found), len(calls), "calls")
            ctx.reporter.share(len(found) / max(1, len(calls)))
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    return found, bought


def _answered(
    endpoint: Endpoint, judge: JudgeModelSettings, text: str, repeat: int, ledger: Ledger, stop: threading.Event
) -> tuple[Reply, int]:
    """The reply to one question, and how many were bought for it; one that names no letter is asked for again."""
    bought = 0
    body: dict[str, Any] = {
        "model": judge.model, "messages": [{"role": "user", "content": text}], "max_tokens": judge.max_new_tokens,
    }  # fmt: skip
    if judge.temperature is not None:
        body["temperature"] = judge.temperature
    reply = Reply(text="", verdict=None)
    spent = {"prompt_tokens": 0, "completion_tokens": 0}
    for reading in range(READINGS):
        key = ledger.key(text, repeat, reading)
        known = ledger.get(key)
        reply = known or _patiently(endpoint, body, stop)
        if known is None:
            ledger.add(key, reply)
            bought += 1
        spent = {name: value + getattr(reply, name) for name, value in spent.items()}
        if reply.verdict is not None:
            break
    return Reply(text=reply.text, verdict=reply.verdict, **spent), bought


def _patiently(endpoint: Endpoint, body: Mapping[str, Any], stop: threading.Event) -> Reply:
    """Asked until there is a reply, with pauses that double; a server that names a pause gets it."""
    why = ""
    for attempt in range(TRIES):
        if stop.is_set():
            raise _Stopped
        try:
            return endpoint.ask(body)
        except JudgeError:
            stop.set()  # what will not pass will not pass for the others either
            raise
        except _Later as later:
            why = str(later)
            pause = later.after if later.after is not None else 0.5 * 2**attempt
            if attempt < TRIES - 1:
                stop.wait(min(pause, LONGEST_WAIT))
    stop.set()
    raise JudgeError(
        f"The judge model did not answer in {TRIES} tries, the last time because {why}: retry the run later; what it "
        "has answered is kept and not bought again."
    )


def _after(text: str | None) -> float | None:
    """Seconds of a Retry-After, which may be a number or a date."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _said(error: urllib.error.HTTPError) -> str:
    """What the server says of its refusal, short and on one line; a key that it repeats is not in it."""
    with contextlib.suppress(Exception):
        found = json.loads(error.read(MOST_BYTES))
        message = found["error"]["message"] if isinstance(found.get("error"), Mapping) else found.get("error")
        words = " ".join(str(message or "").split())[:200].rstrip(".")
        key = environment.judge_key
        return f": {words.replace(key, '…') if key else words}" if words else ""
    return ""
