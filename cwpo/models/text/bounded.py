"""A place in which chat templates of anybody are rendered: jinja's sandbox, with bounds on time, text and numbers.

What a template writes within the bounds is what it writes in jinja's own sandbox. Free of torch and transformers.
"""

import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_STEPS = 300_000  # rounds of loops and things looked at, of one rendering
MOST_SECONDS = 5.0
MOST_TEXT = 16 << 20  # characters
MOST_WIDTH = 100_000  # of a number handed to a filter or method, such as the width of a field
LONGEST = 200_000  # characters of a template
_MOST_BITS = 4_096
_MOST_VALUES = 100_000  # in what is written or handed on at once
_COUNTED, _SIZED, _LIGHT = "cwpo_counted", "cwpo_sized", "cwpo_light"
_GROWS = frozenset(("replace", "join", "expandtabs", "indent", "wordwrap"))
_WIDE = re.compile(r"\d{5,}|%[^a-zA-Z%]*\*")
_budget: ContextVar["_Budget | None"] = ContextVar("template budget", default=None)


class TooMuch(TemplateError):
    """A template goes beyond a bound; the message says which."""


class _Budget:
    def __init__(self) -> None:
        self.steps, self.until = MOST_STEPS, time.monotonic() + MOST_SECONDS

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0 or time.monotonic() > self.until:
            raise TooMuch("it does not come to an end")


class _BoundedTemplate(Template):
    """A template whose every rendering has a budget of its own."""

    def render(self, *args: Any, **kwargs: Any) -> str:
        token = _budget.set(_Budget())
        try:
            return super().render(*args, **kwargs)
        except RecursionError as error:
            raise TooMuch("it calls itself without end") from error
        except (MemoryError, OverflowError) as error:
            raise TooMuch("it makes more text than fits in memory") from error
        finally:
            _budget.reset(token)


class _Filters(dict[str, Callable[..., Any]]):
    """Filters by name, each within bounds, also those that are added later."""

    def __setitem__(self, name: str, function: Callable[..., Any]) -> None:
        super().__setitem__(name, _bounded(name, function))


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox in which loops, calls, filters and growing text are counted."""

    intercepted_binops = frozenset(("*", "**", "+", "%"))
    template_class = _BoundedTemplate

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        filters = _Filters()
        for name, function in self.filters.items():
            filters[name] = function
        self.filters = filters
        dict.__setitem__(filters, _COUNTED, _counted)
        dict.__setitem__(filters, _SIZED, _sized)
        dict.__setitem__(filters, _LIGHT, _light)
        self.globals.pop("lipsum", None)
        self.finalize = _light

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > LONGEST:
            raise TooMuch(f"it has more than {LONGEST:,} characters")
        tree: nodes.Template = _Bounds().visit(super()._parse(source, name, filename))
        return tree

    def concat(self, pieces: Iterable[str]) -> str:
        """The pieces of an output as one text."""
        kept: list[str] = []
        length = 0
        for piece in pieces:
            length += len(piece)
            if length > MOST_TEXT:
                raise TooMuch("its text does not come to an end")
            kept.append(piece)
        return "".join(kept)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_numbers(operator, left, right)
        return _sized(super().call_binop(context, operator, left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - names of jinja
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)  # str.format is wrapped by the sandbox
        _check_arguments(getattr(__obj, "__name__", ""), (owner, *args, *kwargs.values()))
        return _sized(super().call(__context, __obj, *args, **kwargs))


class _Bounds(NodeTransformer):
    """Puts a count in front of every loop, and a look at its length behind every joined text."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - named after what is visited
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, _COUNTED, [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [nodes.Filter(one, _LIGHT, [], [], None, None, lineno=node.lineno) for one in node.nodes]
        return nodes.Filter(node, _SIZED, [], [], None, None, lineno=node.lineno)


def _spend(steps: int) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.spend(steps)


def _counted(values: Any) -> Any:
    """The same values, of which each one counts; lists stay lists, because a loop asks how long they are."""
    if hasattr(values, "__len__"):
        _spend(len(values))
        return values
    return _each(values)


def _each(values: Iterable[Any]) -> Iterator[Any]:
    length = 0
    for value in values:
        _spend(1)
        length += len(value) if isinstance(value, str) else 1
        if length > MOST_TEXT:
            raise TooMuch("its text does not come to an end")
        yield value


def _light(value: Any) -> Any:
    """The same value, if what is in it is not too much to be written out: lists may hold one text many times."""
    if not isinstance(value, list | tuple | dict):
        return value
    length, seen, inside = 0, 0, [value]
    while inside:
        one = inside.pop()
        seen += 1
        length += len(one) if isinstance(one, str) else 1
        if isinstance(one, dict):
            inside += [*one, *one.values()]
        elif isinstance(one, list | tuple):
            inside += one
        if length > MOST_TEXT or seen + len(inside) > _MOST_VALUES:
            raise TooMuch("its text does not come to an end")
    _spend(seen // 100)
    return value


def _sized(value: Any) -> Any:
    """The same value, if it is not too long."""
    _spend(1)
    if isinstance(value, str | list | tuple) and len(value) > MOST_TEXT:
        raise TooMuch("its text does not come to an end")
    return value


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _check_arguments(name, (*args, *kwargs.values()))
        given = [_each(value) if isinstance(value, Iterator) else value for value in args]
        return _sized(function(*given, **kwargs))

    return bounded


def _check_numbers(operator: str, left: Any, right: Any) -> None:
    whole = [value for value in (left, right) if isinstance(value, int)]
    if len(whole) == 2:
        left_bits, right_bits = (value.bit_length() for value in whole)
        bits = left_bits * min(right, _MOST_BITS) if operator == "**" else left_bits + right_bits
        if operator in ("*", "**") and bits > _MOST_BITS:
            raise TooMuch("it multiplies without end")
    elif operator == "*" and whole:
        repeated = right if isinstance(left, int) else left
        if isinstance(repeated, str | list | tuple) and len(repeated) * whole[0] > MOST_TEXT:
            raise TooMuch("its text does not come to an end")
    if operator == "%" and isinstance(left, str):
        _light(right)
        if _WIDE.search(left):
            raise TooMuch("it writes numbers of any width")


def _check_arguments(name: str, given: tuple[Any, ...]) -> None:
    """What a filter or method is handed: how much there is to look at, and how large its answer could be."""
    texts = [value for value in given if isinstance(value, str)]
    rows = [value for value in given if isinstance(value, list | tuple | range | dict)]
    widths = [value for value in given if isinstance(value, int)]
    for row in rows:
        _light(row)
    _spend(1 + sum(map(len, rows)) + sum(map(len, texts)) // 1000)
    if any(abs(value) > MOST_WIDTH for value in widths) and (texts or rows) and name not in ("round", "default"):
        raise TooMuch("it asks for text of any width")
    if name == "format" and texts and _WIDE.search(texts[0]):
        raise TooMuch("it writes numbers of any width")
    if name == "tojson" and any(abs(value) > 100 for value in widths):
        raise TooMuch("it asks for text of any width")
    if name in _GROWS:
        longest = max(map(len, texts[1:]), default=1)
        times = max(len(texts[0]) if texts else 1, max(map(len, rows), default=1))
        if times * max(longest, *map(abs, widths), 1) > 4 * MOST_TEXT:
            raise TooMuch("its text does not come to an end")
