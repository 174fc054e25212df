"""Databases on which this program would lose something are refused in one sentence at the start."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from db import refusals
from db.engine import make_engines, read_scope, session_scope, upgrade
from db.errors import DatabasePasses, DatabaseUnavailable

REFUSAL = "DATABASE_URL leads to a pooler such as PgBouncer, .* name the Postgres server itself"
_STARTUP = 196_608  # version 3.0 of the protocol


def test_a_sqlite_file_on_a_network_file_system_is_refused_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, local = tmp_path / "sha red", tmp_path / "sha red" / "local"
    mounts = tmp_path / "mounts"
    place = str(shared).replace(" ", "\\040")
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {place} nfs4 rw 0 0\ntmpfs {place}/local tmpfs rw 0 0\n")
    monkeypatch.setattr(refusals, "MOUNTS", mounts)
    with pytest.raises(DatabaseUnavailable, match=r"would lie on nfs4, where it is not safe: set DATABASE_URL to Post"):
        upgrade(f"sqlite:///{shared / 'deep' / 'cwpo.sqlite'}")
    assert not shared.exists()
    upgrade(f"sqlite:///{local / 'cwpo.sqlite'}")
    assert refusals.filesystem_of(tmp_path) == "ext4"


SHARED = (
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "gpfs", "glusterfs", "lustre", "beegfs", "wekafs",
    "panfs", "pvfs2", "ocfs2", "gfs2", "davfs", "fuse.davfs2", "fuse.sshfs", "fuse.ceph", "fuse.glusterfs",
    "fuse.juicefs", "fuse.s3fs", "fuse.goofys", "fuse.gcsfuse", "fuse.rclone", "fuse.moosefs", "fuse.mfs",
)  # fmt: skip
LOCAL = ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", "fuseblk", "fuse.mergerfs", "fuse", "")


def test_every_file_system_that_machines_share_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (*SHARED, *LOCAL):
        monkeypatch.setattr(refusals, "filesystem_of", lambda folder, kind=kind: kind)
        refused = pytest.raises(DatabaseUnavailable, match=f"would lie on {kind}, where")
        with refused if kind in SHARED else nullcontext():
            refusals.refuse_network_disk(tmp_path / "cwpo.sqlite")


class Between(threading.Thread):
    """Between a client and Postgres, as PgBouncer in transaction mode: it does not hand on the settings of a start."""

    def __init__(self, server: URL, *, ignores: bool) -> None:
        super().__init__(daemon=True)
        self._server, self._ignores = server, ignores
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    def run(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError):
            version, body = self._packet(client)
            while version != _STARTUP:  # a wish for encryption
                client.sendall(b"N")
                version, body = self._packet(client)
            fields = body.rstrip(b"\0").split(b"\0")
            said = dict(zip(fields[::2], fields[1::2], strict=True))
            if not self._ignores and b"options" in said:
                text = b"SFATAL\0C08P01\0Munsupported startup parameter in options: cwpo.direct\0\0"
                client.sendall(b"E" + struct.pack("!I", len(text) + 4) + text)
                return
            said.pop(b"options", None)
            self._hand_on(client, b"".join(name + b"\0" + value + b"\0" for name, value in said.items()) + b"\0")

    def _hand_on(self, client: socket.socket, start: bytes) -> None:
        with closing(self._connected()) as server:
            server.sendall(struct.pack("!II", len(start) + 8, _STARTUP) + start)
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            _copy(server, client)

    def _connected(self) -> socket.socket:
        host = str(self._server.host or self._server.query.get("host"))
        if host.startswith("/"):
            found = socket.socket(socket.AF_UNIX)
            found.connect(f"{host}/.s.PGSQL.{self._server.port or 5432}")
            return found
        return socket.create_connection((host, self._server.port or 5432))

    @staticmethod
    def _packet(client: socket.socket) -> tuple[int, bytes]:
        length, version = struct.unpack("!II", _exactly(client, 8))
        return version, _exactly(client, length - 8)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (part := source.recv(size - len(found))):
            raise OSError
        found += part
    return found


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(params=[True, False], ids=["ignores them", "refuses them"])
def pooled_address(request: pytest.FixtureRequest, postgres_address: str) -> Iterator[str]:
    """The database behind something that takes the settings of connections away, in silence or with an error."""
    server = make_url(postgres_address)
    between = Between(server, ignores=request.param)
    between.start()
    yield server.set(host="127.0.0.1", port=between.port, query={}).render_as_string(hide_password=False)
    between.close()


def test_postgres_behind_a_pooler_is_refused(pooled_address: str, postgres_address: str) -> None:
    """Through the server itself the same database works."""
    with pytest.raises(DatabaseUnavailable, match=REFUSAL) as refused:
        upgrade(pooled_address)
    assert not isinstance(refused.value, DatabasePasses)  # nobody waits for it
    engines = make_engines(pooled_address)
    for scope in (session_scope, read_scope):
        with pytest.raises(DatabaseUnavailable, match=REFUSAL), scope(engines) as session:
            session.connection()
    engines.dispose()
    upgrade(postgres_address)
