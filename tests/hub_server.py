"""A small hub on the loopback: the protocol of the Hugging Face hub as its unpatched clients speak it.

Repositories are folders of files per revision; a revision is a branch name or ref, its commit the hash of its files
or the one that it is said to have.
Served are repo info, refs, tree listing, paths-info, HEAD and GET (with ranges) of files. No xet, no redirects. What is
written (new repositories, uploads, commits) is in tests/hub_uploads.py.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests import hub_uploads
from tests.hub_uploads import Uploads

Files = Mapping[str, bytes]


@dataclass
class Repo:
    """One repository: files by revision name."""

    kind: str  # "model" or "dataset"
    repo_id: str
    revisions: dict[str, Files]
    gated: bool = False
    commits: Mapping[str, str] = field(default_factory=dict)  # by revision, where it is not the hash of the files

    def commit(self, revision: str) -> str:
        """The commit at which a branch or ref stands."""
        return self.commits.get(revision) or commit_of(self.revisions[revision])

    def find(self, revision: str) -> tuple[str, Files] | None:
        """(commit, files) of a branch, ref or commit."""
        for name, files in self.revisions.items():
            if revision in (name, self.commit(name)):
                return self.commit(name), files
        return None


def commit_of(files: Files) -> str:
    digest = hashlib.sha1()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name] + b"\0")
    return digest.hexdigest()


@dataclass
class Hub:
    """The repositories, what was asked, and the address once it runs."""

    repos: list[Repo]
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, authorization
    uploads: Uploads = field(default_factory=Uploads)

    def find(self, kind: str, repo_id: str) -> Repo | None:
        return next((repo for repo in self.repos if (repo.kind, repo.repo_id) == (kind, repo_id)), None)


@contextmanager
def serve(repos: list[Repo]) -> Iterator[Hub]:
    """A running hub; its `url` is the value for HF_ENDPOINT."""
    hub = Hub(repos)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Requests are kept in `hub.asked`."""

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            split = urlsplit(self.path)
            path = unquote(split.path)
            hub.asked.append((self.command, path, self.headers.get("Authorization") or ""))
            written = hub_uploads.answer(hub, self.command, path, body, self.headers.get("Authorization") or "")
            if written is not None:
                self._json(written.value, written.status)
            elif path.startswith("/api/"):
                self._api(path.removeprefix("/api/"), parse_qs(body.decode()) if body else {}, body)
            else:
                self._file(path.strip("/"))

        def _api(self, path: str, form: dict[str, list[str]], body: bytes) -> None:
            kind, _, rest = path.partition("s/")
            repo, rest = self._repo(kind, rest)
            if repo is None:
                return
            verb, _, revision = rest.partition("/")
            if verb == "refs":
                branches = [{"name": n, "ref": n, "targetCommit": repo.commit(n)} for n in repo.revisions]
                self._json({"branches": branches, "converts": [], "tags": []})
                return
            revision, folder = self._revision(repo, revision or "main")
            found = repo.find(revision)
            if found is None:
                self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
                return
            commit, files = found
            if verb == "tree":
                self._json(_tree(files, folder, recursive="recursive=true" in self.path.lower()))
            elif verb == "paths-info":
                paths = json.loads(body)["paths"] if body[:1] == b"{" else form.get("paths", [])
                self._json([entry for entry in _tree(files, "", recursive=True) if entry["path"] in paths])
            else:
                self._json(_info(repo, commit, files))

        def _repo(self, kind: str, rest: str) -> tuple[Repo | None, str]:
            for repo in hub.repos:
                if repo.kind == kind and (rest + "/").startswith(repo.repo_id + "/"):
                    if repo.gated and not self.headers.get("Authorization"):
                        self._fail(401, "GatedRepo", f"Access to {kind} {repo.repo_id} is restricted.")
                        return None, ""
                    return repo, rest[len(repo.repo_id) :].strip("/")
            self._fail(401, "RepoNotFound", "Repository not found")
            return None, ""

        def _revision(self, repo: Repo, rest: str) -> tuple[str, str]:
            """A ref may hold slashes: the longest known name in front wins; the rest is a folder or file."""
            names = [*repo.revisions, *(repo.commit(name) for name in repo.revisions)]
            for name in sorted(names, key=len, reverse=True):
                if rest == name or rest.startswith(name + "/"):
                    return name, rest[len(name) :].strip("/")
            head, _, tail = rest.partition("/")
            return head, tail

        def _file(self, path: str) -> None:
            kind = "dataset" if path.startswith("datasets/") else "model"
            repo, rest = self._repo(kind, path.removeprefix("datasets/"))
            if repo is None:
                return
            revision, name = self._revision(repo, rest.removeprefix("resolve/"))
            found = repo.find(revision)
            if found is None:
                self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
                return
            commit, files = found
            if name not in files:
                self._fail(404, "EntryNotFound", "Entry not found", commit)
                return
            self._send(files[name], commit)

        def _send(self, data: bytes, commit: str) -> None:
            begin, end, status = 0, len(data), 200
            wanted = self.headers.get("Range")
            if wanted:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                begin, end, status = int(first or 0), min(int(last) + 1 if last else len(data), len(data)), 206
            self.send_response(status)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("Accept-Ranges", "bytes")
            if status == 206:
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
            self._body(data[begin:end], "application/octet-stream")

        def _json(self, value: Any, status: int = 200) -> None:
            self.send_response(status)
            self._body(json.dumps(value).encode(), "application/json")

        def _fail(self, status: int, code: str, message: str, commit: str | None = None) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
            if commit:
                self.send_header("X-Repo-Commit", commit)
            self._body(json.dumps({"error": message}).encode(), "application/json")

        def _body(self, data: bytes, kind: str) -> None:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def _info(repo: Repo, commit: str, files: Files) -> dict[str, Any]:
    info: dict[str, Any] = {
        "_id": commit[:24],
        "id": repo.repo_id,
        "sha": commit,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "siblings": [{"rfilename": name} for name in sorted(files)],
    }
    if repo.kind == "model" and "config.json" in files:
        config = json.loads(files["config.json"])
        info["config"] = {key: config[key] for key in ("architectures", "model_type", "auto_map") if key in config}
    return info


def _tree(files: Files, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    inside = [name for name in sorted(files) if name.startswith(prefix)]
    entries: dict[str, dict[str, Any]] = {}
    for name in inside:
        for parent in list(PurePosixPath(name).parents)[:-1]:
            path = str(parent)
            if path.startswith(prefix) and path != folder:
                entries[path] = {
                    "type": "directory",
                    "path": path,
                    "oid": hashlib.sha1(path.encode()).hexdigest(),
                    "size": 0,
                }
        data = files[name]
        entries[name] = {"type": "file", "path": name, "oid": hashlib.sha1(data).hexdigest(), "size": len(data)}
    listed = sorted(entries.values(), key=lambda entry: str(entry["path"]))
    return listed if recursive else [entry for entry in listed if "/" not in str(entry["path"])[len(prefix) :]]
