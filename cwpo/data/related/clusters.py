"""Clusters of related prompts, found by hashes of their beginnings in one pass. Torch-free.

Two prompts are related where one conversation continues the other, where a prompt with one of its answers is the
beginning of another prompt, or where they ask the same: equal texts but for white space and a system's turn, or the
same post under another title. Relations chain: a cluster is everything that is connected.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

from cwpo import seeded
from cwpo.data.rows import ASSISTANT
from cwpo.errors import GoldRewardError
from cwpo.sandbox import grammar

_SYSTEM = re.compile(r"\A\s*System:.*?\n\n(?=Human:)", re.DOTALL)
_POST = re.compile(r"\nPOST:(.*?)\n\s*TL;DR:\s*\Z", re.DOTALL)


class Related:
    """Gathers prompts and their answers in any order; of each prompt a few 64-bit hashes stay, no text."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._parents: list[int] = []
        self._same: dict[int, int] = {}  # a whole prompt -> the first that reads so
        self._opens: dict[int, int] = {}  # what another prompt may begin with -> whose it is
        self._beginnings = array("Q")
        self._owners = array("L")

    def add(self, prompt_id: str, prompt: str, answers: Iterable[str] = ()) -> None:
        """A prompt as text, and responses to it; a prompt may come again with others."""
        text = _asked(prompt)
        talk = text.endswith(ASSISTANT)
        place = self._places.get(prompt_id)
        if place is None:
            place = self._places[prompt_id] = len(self._parents)
            self._parents.append(place)
            turns = (f"{turn}{ASSISTANT}" for turn in text.split(ASSISTANT)[:-1])  # up to where an answer begins
            *before, whole = _hashes(turns if talk else text.splitlines())
            self._join(place, self._same.setdefault(whole, place))
            if talk:
                self._opens.setdefault(whole, place)
            self._beginnings.extend(before if talk else (*before, whole))
            self._owners.extend([place] * (len(before) + (not talk)))
        if not talk:  # in marked text the prompt itself stands before whatever answer the other conversation has
            for answer in answers:
                *_, opening = _hashes((text, answer))
                self._join(place, self._opens.setdefault(opening, place))

    def clusters(self) -> dict[str, str]:
        """Prompt -> its cluster, named by the smallest id in it, in the order in which prompts came."""
        for owner, beginning in zip(self._owners, self._beginnings, strict=True):
            found = self._opens.get(beginning)
            if found is not None:
                self._join(owner, found)
        roots = {prompt_id: self._root(place) for prompt_id, place in self._places.items()}
        names: dict[int, str] = {}
        for prompt_id, root in roots.items():
            names[root] = min(prompt_id, names.get(root, prompt_id))
        return {prompt_id: names[root] for prompt_id, root in roots.items()}

    def _root(self, place: int) -> int:
        parents = self._parents
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        self._parents[second] = first


def clusters_of(prompts: Iterable[tuple[str, str]], *, sandbox: bool = False) -> dict[str, str]:
    """The clusters of prompts alone, id and text of each; those of the sandbox are its tasks."""
    if sandbox:
        return _tasks(prompts)
    related = Related()
    for prompt_id, prompt in prompts:
        related.add(prompt_id, prompt)
    return related.clusters()


def task_of(prompt: str) -> str:
    """The cluster of a prompt of the sandbox: its task, however it is worded, greeted and wished for. Stored splits
    hang on these names."""
    task = grammar.read_prompt(prompt)
    asked = (task.kind, task.subject, task.count, task.relation, task.operands, task.events, task.harm, task.mood)
    return f"{seeded.place(f'task:{asked}'):016x}"


def cluster_counts(clusters: Iterable[str]) -> dict[str, int]:
    """How many prompts, clusters, and prompts of the largest cluster; `clusters`: one a prompt."""
    sizes = Counter(clusters)
    return {"prompts": sizes.total(), "clusters": len(sizes), "largest": max(sizes.values(), default=0)}


def groups(clusters: Mapping[str, str]) -> list[list[str]]:
    """The clusters of several prompts, as lists of ids, for a summary: whoever is in none of them stands alone."""
    found: dict[str, list[str]] = {}
    for prompt_id, cluster in clusters.items():
        found.setdefault(cluster, []).append(prompt_id)
    return sorted(sorted(one) for one in found.values() if len(one) > 1)


def from_groups(found: Iterable[Iterable[Any]]) -> dict[str, str]:
    """The other way: prompt -> cluster of those that are in one of several."""
    return {str(prompt_id): min(map(str, one)) for one in map(list, found) for prompt_id in one}


def _tasks(prompts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The task of each prompt; a text from elsewhere stands alone."""
    found = {}
    for prompt_id, prompt in prompts:
        try:
            found[prompt_id] = task_of(prompt)
        except GoldRewardError:
            found[prompt_id] = prompt_id
    return found


def _asked(prompt: str) -> str:
    """What is asked: without a system's turn, and of a post with a title the post."""
    text = _SYSTEM.sub("", prompt, count=1).rstrip()
    post = _POST.search(text)
    return post.group(1).strip() if post and post.group(1).strip() else text


def _hashes(pieces: Iterable[str]) -> Iterator[int]:
    """Of each beginning that ends where a piece does, 64 bits of its text without white space; at least one."""
    digest, empty = blake2b(digest_size=8), True
    for piece in pieces:
        text = "".join(piece.split())
        if text:
            digest.update(text.encode("utf-8", "surrogatepass"))
            yield int.from_bytes(digest.copy().digest(), "big")
            empty = False
    if empty:
        yield int.from_bytes(digest.digest(), "big")
