"""The one reader of YAML: plain values alone, without anchors, tags or anything that grows while it is read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cwpo.errors import CwpoError

MOST_CHARACTERS = 200_000
MOST_VALUES = 10_000
DEEPEST = 20
_TOO_MANY = f"has more than {MOST_VALUES:,} values"
LONGEST_NUMBER = 40  # characters of a number: 2^64 has 20, a double at most 24
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What PyYAML raises beside its own class: for an escape beyond Unicode, for a date that is none
_RAW = (ValueError, KeyError, AttributeError, TypeError, OverflowError, IndexError, RecursionError)


class YamlError(CwpoError):
    """The text cannot be read. The message is what stands after its name: "is not YAML (line 3)"."""


def read(text: str) -> Any:
    """The values of a YAML text; YamlError for one that is none, or that uses more of YAML than plain values."""
    if len(text) > MOST_CHARACTERS:
        raise YamlError(f"has more than {MOST_CHARACTERS:,} characters")
    _count(text)
    loader = None
    try:
        loader = _Plain(text)
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise YamlError(f"is not YAML{_where(mark)}") from error
    except _RAW as error:
        raise YamlError(f"is not YAML{_where(loader.get_mark() if loader else None)}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _count(text: str) -> None:
    """Refuse too many values by libyaml's events, where it is there, before the reader begins that counts them forty
    times as slowly. What is wrong with the text otherwise is for that reader to say."""
    if (fast := getattr(yaml, "CSafeLoader", None)) is None:
        return
    values = 0
    try:
        for event in yaml.parse(text, Loader=fast):
            values += isinstance(event, yaml.NodeEvent)
            if values > MOST_VALUES:
                break
    except (yaml.YAMLError, *_RAW):
        return
    if values > MOST_VALUES:
        raise YamlError(_TOO_MANY)


def read_file(path: Path) -> Any:
    """The values of a YAML file, of which no more is read than a text may have; OSError where it cannot be opened."""
    with path.open("rb") as file:
        data = file.read(4 * MOST_CHARACTERS + 1)
    try:
        return read(data.decode())
    except UnicodeDecodeError as error:
        raise YamlError(
            f"has more than {MOST_CHARACTERS:,} characters"
            if len(data) > 4 * MOST_CHARACTERS
            else "is not YAML: its characters are not UTF-8"
        ) from error


def written(values: Mapping[str, Any], *, width: int = 80, flow: bool | None = None) -> str:
    """The values as YAML in their own order, as `read` takes them back: equal lists are written out, never named.

    `flow`: None writes the innermost lists and mappings in brackets, False none of them.
    """
    return str(
        yaml.dump(
            dict(values), Dumper=_Whole, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=width
        )
    )


class _Whole(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Plain(yaml.SafeLoader):
    """Plain values, counted while they are read, before any of them is made."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise YamlError(f"uses an anchor (&) or an alias (*){_where(event.start_mark)}: write the value out")
        if getattr(event, "tag", None) is not None:
            raise YamlError(f"uses a tag (!){_where(event.start_mark)}: write plain values")
        self._values += 1
        self._depth += 1
        if self._values > MOST_VALUES:
            raise YamlError(_TOO_MANY)
        if self._depth > DEEPEST:
            raise YamlError(f"nests deeper than {DEEPEST} levels{_where(event.start_mark)}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            _check(node)
        return node


def _check(node: yaml.ScalarNode) -> None:
    if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
        raise YamlError(f"holds a number of more than {LONGEST_NUMBER} characters{_where(node.start_mark)}")
    if _SURROGATE.search(node.value):
        raise YamlError(f"holds half of a surrogate pair{_where(node.start_mark)}")


def _where(mark: Any) -> str:
    return f" (line {mark.line + 1})" if mark is not None else ""
