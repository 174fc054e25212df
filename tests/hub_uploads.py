"""What the loopback hub takes: repositories made, files uploaded by git LFS, commits. As the hub's clients speak it."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

LARGE = 10_000  # bytes from which a file goes by LFS


@dataclass
class Uploads:
    """What was sent. `private`: as repositories were asked for; `fails`: how often a commit is refused."""

    token: str = ""  # the only one that may write; "" allows everybody
    stored: dict[str, bytes] = field(default_factory=dict)  # LFS objects by sha256
    private: dict[str, bool] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)  # their messages
    fails: int = 0


@dataclass
class Answer:
    """A status with its JSON."""

    status: int
    value: Any


def answer(hub: Any, method: str, path: str, body: bytes, authorization: str) -> Answer | None:
    """The answer to a request that writes; None for every other one."""
    found = [(pattern.fullmatch(path), act) for verb, pattern, act in _ROUTES if verb == method]
    match, act = next(((match, act) for match, act in found if match), (None, None))
    if match is None or act is None:
        return None
    if hub.uploads.token and authorization != f"Bearer {hub.uploads.token}" and not path.startswith("/_lfs/"):
        return Answer(401, {"error": "Invalid credentials in Authorization header"})
    return act(hub, body, *match.groups())


def _create(hub: Any, body: bytes) -> Answer:
    from tests.hub_server import Repo

    wanted = json.loads(body)
    name = f"{wanted['organization']}/{wanted['name']}"
    if hub.find("model", name) is not None:
        return Answer(409, {"error": "You already created this model repo", "url": f"{hub.url}/{name}"})
    hub.repos.append(Repo("model", name, {"main": {".gitattributes": b""}}))
    hub.uploads.private[name] = wanted.get("visibility") == "private"
    return Answer(200, {"url": f"{hub.url}/{name}", "name": name, "id": name})


def _validate(hub: Any, body: bytes) -> Answer:
    header = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
    return Answer(200, {"errors": [], "warnings": [] if header else [{"message": "empty or missing yaml metadata"}]})


def _modes(hub: Any, body: bytes, repo: str) -> Answer:
    files = json.loads(body)["files"]
    return Answer(200, {"files": [
        {"path": file["path"], "uploadMode": "lfs" if file["size"] >= LARGE else "regular", "shouldIgnore": False}
        for file in files
    ]})  # fmt: skip


def _batch(hub: Any, body: bytes, repo: str) -> Answer:
    def actions(one: dict[str, Any]) -> dict[str, Any]:
        known = one["oid"] in hub.uploads.stored
        place = {"upload": {"href": f"{hub.url}/_lfs/{one['oid']}"}, "verify": {"href": f"{hub.url}/_verify"}}
        return {**one} if known else {**one, "actions": place}

    return Answer(200, {"transfer": "basic", "objects": [actions(one) for one in json.loads(body)["objects"]]})


def _put(hub: Any, body: bytes, oid: str) -> Answer:
    if hashlib.sha256(body).hexdigest() != oid:
        return Answer(400, {"error": "another content"})
    hub.uploads.stored[oid] = body
    return Answer(200, {})


def _verify(hub: Any, body: bytes) -> Answer:
    wanted = json.loads(body)
    whole = len(hub.uploads.stored.get(wanted["oid"], b"")) == wanted["size"]
    return Answer(200 if whole else 404, {})


def _commit(hub: Any, body: bytes, name: str) -> Answer:
    if hub.uploads.fails:
        hub.uploads.fails -= 1
        return Answer(500, {"error": "try again"})
    repo = hub.find("model", name)
    files = dict(repo.revisions["main"])
    for line in body.splitlines():
        item = json.loads(line)
        kind, value = item["key"], item["value"]
        if kind == "header":
            hub.uploads.commits.append(value["summary"])
        elif kind == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif kind == "lfsFile":
            files[value["path"]] = hub.uploads.stored[value["oid"]]
        elif kind == "deletedFile":
            del files[value["path"]]
    repo.revisions["main"] = files
    commit = repo.commit("main")
    return Answer(200, {"commitUrl": f"{hub.url}/{name}/commit/{commit}", "commitOid": commit})


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES = (
    ("POST", re.compile(r"/api/repos/create"), _create),
    ("POST", re.compile(r"/api/validate-yaml"), _validate),
    ("POST", re.compile(rf"/api/models/{_NAME}/preupload/main"), _modes),
    ("POST", re.compile(rf"/{_NAME}\.git/info/lfs/objects/batch"), _batch),
    ("PUT", re.compile(r"/_lfs/([0-9a-f]{64})"), _put),
    ("POST", re.compile(r"/_verify"), _verify),
    ("POST", re.compile(rf"/api/models/{_NAME}/commit/main"), _commit),
)
