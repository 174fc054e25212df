"""The one way from page to page, and from address to address of a page: the browser's list of pages gets one entry for
each page that somebody saw, with the address that it was seen at.

Streamlit writes the parameters of the next page beside the path of this one first, which is an entry that nobody saw;
and whatever a page says of its own address becomes one more. So the browser is asked to go to an address as by its own
list (`way.js`, which sees to links as well); a page that is asked for so takes everything from its address, and what it
corrects there replaces the entry.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol, Self, TypeVar
from urllib.parse import urlencode

import streamlit as st
from streamlit.navigation.page import Page
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state import get_session_state

from app.components.frame.address import RunsView

FIRST = RunsView.screen  # the page without a name in the address
AS_LEFT = "leaving.as_left"  # of the list of runs
MEMORY, HISTORY = "leaving.memory", "leaving.history"
SHOWN, SEEN = "leaving.shown", "leaving.seen"  # the page that is drawn, and the last one that was drawn to its end
HIDDEN = "way"  # the container that style.css does not show
PATIENCE, LOOK_EVERY = 20.0, 0.03  # seconds until the server changes the page by itself
ON_THE_WAY = 5.0  # seconds in which the browser has a changed address for certain
SCRIPT = Path(__file__).with_name("way.js").read_text(encoding="utf-8")
ask_browser = st.components.v2.component("way", js=SCRIPT)


class Target(Protocol):
    """A view of `app.components.frame.address`: the script that shows it, and its address."""

    @property
    def screen(self) -> str: ...

    def to_params(self) -> dict[str, Any]: ...


class View(Protocol):
    """A view that an address tells."""

    @classmethod
    def from_params(cls, params: Mapping[str, Any], /) -> Self: ...


V = TypeVar("V", bound=View)


@dataclass(frozen=True, kw_only=True)
class Way:
    """Where to. `instead`: in place of the entry that the browser is at, which nobody has seen."""

    screen: str
    params: Mapping[str, Any]
    instead: bool
    until: float  # by the monotonic clock


@dataclass
class Ahead:
    """Addresses of a page that the browser may still be at, and the one that it was told last."""

    page: str  # Streamlit's name of it
    before: list[dict[str, list[str]]]
    now: dict[str, list[str]]
    until: float  # by the monotonic clock


@dataclass
class Memory:
    """Plain memory: a second click may end the run of the script at any call of Streamlit, the session's included."""

    way: Way | None = None
    ahead: Ahead | None = None


def leave(target: Target, met: Callable[[], None] | None = None) -> NoReturn:
    """Open a page at an address, this page at another one included. `met` is called once nothing can come between."""
    _start(target.screen, target.to_params(), instead=False, met=met)


def become(target: Target) -> NoReturn:
    """This address was none that shows a page: it is that of the target."""
    _start(target.screen, target.to_params(), instead=True)


def link(target: Target, label: str, *, about: str = "", aside: bool = False) -> None:
    """A link to a page at an address. `about`: what comes up on hover; `aside`: small, in the line, for a tab of its
    own. Words of others stand in its label through `untrusted` alone."""
    if aside:
        st.caption(f"[{label}](./{_address(target.screen, target.to_params())})", width="content", help=about or None)
    else:
        st.page_link(target.screen, label=label, query_params=target.to_params(), help=about or None)


def readdress(params: Mapping[str, Any], *, instead: bool) -> NoReturn:
    """This page at another address."""
    _start(st.session_state.get(SHOWN, FIRST), params, instead=instead)


def here(view: type[V]) -> V:
    """What the address says of its page, wherever it is asked: a click of a browser that has not got it yet too."""
    catch_up()
    return view.from_params(st.query_params)


def parameters() -> dict[str, list[str]]:
    """All of the address."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def change(new: Mapping[str, str], gone: Iterable[str]) -> None:
    """Some parameters of the address."""
    memory, before = _memory(), parameters()
    if new:
        st.query_params.update(new)
    for name in gone:
        st.query_params.pop(name)
    _told(memory, before)


def tell(params: Mapping[str, Any]) -> None:
    """All of the address: what these parameters do not name is gone."""
    memory, before = _memory(), parameters()
    st.query_params.from_dict(dict(params))
    _told(memory, before)


def _told(memory: Memory, before: dict[str, list[str]]) -> None:
    earlier = memory.ahead.before if memory.ahead else []
    memory.ahead = Ahead(
        page=_page_now(), before=[*earlier, before], now=parameters(), until=time.monotonic() + ON_THE_WAY
    )


def catch_up() -> None:
    """A second click may come before the browser has the address that the first one led to, and brings the older one
    along: what the first click changed holds. Going back in the browser's list is another matter."""
    memory = _memory()
    ahead = memory.ahead
    if ahead is None:
        return
    context = get_script_run_ctx()
    by_history = bool(getattr(context, "is_history_navigation", False))
    if by_history or ahead.page != _page_now() or time.monotonic() > ahead.until:
        memory.ahead = None
        return
    here = parameters()
    caught_up = merged(here, ahead.before, ahead.now)
    if context is not None and caught_up != here:
        with get_session_state().query_params() as params:
            params.clear_with_no_forward_msg(preserve_embed=True)
            for name, values in caught_up.items():
                params.set_with_no_forward_msg(name, values)
        context.query_string = urlencode(caught_up, doseq=True)


def merged(
    here: Mapping[str, list[str]], before: Sequence[Mapping[str, list[str]]], now: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    """The address `now`, with what the browser says by itself: that which none of the addresses before said."""
    own = {
        name: here.get(name, [])
        for name in {*here, *now}
        if all(here.get(name, []) != said.get(name, []) for said in (*before, now))
    }
    return {name: values for name, values in {**now, **own}.items() if values}


def _page_now() -> str:
    return str(getattr(get_script_run_ctx(), "page_script_hash", ""))


def came_by_history() -> bool:
    """Whether the person went to this entry of the browser's list, by Back or Forward."""
    return bool(st.session_state.get(HISTORY))


def go_on() -> None:
    """A part of a page that is drawn alone comes in between: the way to another page goes on."""
    catch_up()
    if _memory().way is not None:
        st.rerun()


def remember() -> None:
    """The list of runs is found again as it was left, whatever leads to it without an address."""
    if st.session_state.get(SHOWN) == FIRST:
        st.session_state[AS_LEFT] = parameters()


@contextmanager
def arriving(page: Page) -> Iterator[None]:
    """Around every page. Whatever led to it, its address says what it shows: what its widgets held when it was last
    left is as the browser's list has it, and no part of another address."""
    catch_up()
    place = st.container(key=HIDDEN)
    context = get_script_run_ctx()
    by_history = bool(getattr(context, "is_history_navigation", False))
    memory = _memory()
    way = memory.way
    afresh = False
    if way is not None and not by_history:
        with place:
            _send(way, page.url_path)
        afresh = _go_alone(way, page.url_path)
    with place:
        ask_browser(key="way_links")
    memory.way = None
    st.session_state[HISTORY] = by_history and way is None
    screen = st.session_state[SHOWN] = _screen(page.url_path)
    if context is not None and st.session_state.get(SEEN, screen) != screen and not by_history:
        if screen == FIRST and not st.query_params and st.session_state.get(AS_LEFT):
            _start(screen, st.session_state[AS_LEFT], instead=True)
        afresh = True
    if context is not None and afresh:
        context.is_history_navigation = True
    yield
    st.session_state[SEEN] = screen
    remember()


def _start(screen: str, params: Mapping[str, Any], *, instead: bool, met: Callable[[], None] | None = None) -> NoReturn:
    memory = _memory()
    memory.way = Way(screen=screen, params=params, instead=instead, until=time.monotonic() + PATIENCE)
    if met is not None:
        met()
    st.rerun()
    raise AssertionError("Streamlit goes on behind a rerun.")


def _send(way: Way, here: str) -> None:
    """Ask the browser, and wait until it comes for the page; this run ends with that. The page that was there stays in
    sight meanwhile. It comes to an end without an answer alone."""
    asked = {"here": here, "to": _address(way.screen, way.params), "instead": way.instead}
    ask_browser(key=f"way_{way.until}", data=asked)
    while st.context.url and time.monotonic() < way.until:  # without an address nobody is there to ask
        time.sleep(LOOK_EVERY)
        _memory()  # what is asked of the session lets the next run begin
    _memory().way = None


def _go_alone(way: Way, here: str) -> bool:
    """Without a browser that answers the server changes the address: of this page, which is drawn from it anew, or with
    the page. What was bound to the old one is not any more."""
    with get_session_state().query_params() as params:
        for name in {*params, *way.params}:
            if (binding := params.get_binding_for_param(name)) is not None:
                params.unbind_widget(binding.widget_id)
    if _path(way.screen) != here:
        st.switch_page(way.screen, query_params=dict(way.params))
    st.query_params.from_dict(dict(way.params))
    return True


def _memory() -> Memory:
    found: Memory = st.session_state.setdefault(MEMORY, Memory())
    return found


def _address(screen: str, params: Mapping[str, Any]) -> str:
    """From the root of the dashboard on."""
    query = urlencode(dict(params), doseq=True)
    return _path(screen) + (f"?{query}" if query else "")


def _path(screen: str) -> str:
    """The name in the address: that of the script."""
    return "" if screen == FIRST else Path(screen).stem


def _screen(path: str) -> str:
    return f"screens/{path}.py" if path else FIRST
