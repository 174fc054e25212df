"""Databases that this program does not work on, each refused in one sentence: newer ones, poolers, network disks."""

from pathlib import Path
from typing import Any

from db.errors import DatabaseUnavailable

# SQLite locks and maps shared memory by means of the local kernel; two machines see neither of each other.
# As the mount table names them; what a program in user space serves stands there with `fuse.` before its name.
NETWORK = frozenset((
    "afs", "beegfs", "ceph", "ceph-fuse", "cifs", "coda", "davfs", "davfs2", "fhgfs", "gfs", "gfs2", "glusterfs",
    "gpfs", "lustre", "mfs", "moosefs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "quobyte", "smb2", "smb3",
    "smbfs", "wekafs",
    "blobfuse", "blobfuse2", "curlftpfs", "gcsfuse", "goofys", "juicefs", "lizardfs", "mountpoint-s3", "ossfs",
    "rclone", "s3fs", "seaweedfs", "smbnetfs", "sshfs",
))  # fmt: skip
MOUNTS = Path("/proc/mounts")
# A setting of each connection, which a server takes and a pooler between does not hand on.
DIRECT = "cwpo.direct"
POOLER_WORDS = "unsupported startup parameter"


def refuse_newer(found: str | None, head: str) -> None:
    """A database that a newer program has brought up to date."""
    if found is not None and found > head:
        raise DatabaseUnavailable(
            f"The database has the schema {found} of a newer program, and this one knows those up to {head}: start the "
            "newer program, or restore a backup that this one made; nothing was changed."
        )


def refuse_network_disk(file: Path) -> None:
    """A SQLite file that lies on a network file system."""
    kind = filesystem_of(file.parent)
    if is_network(kind):
        raise DatabaseUnavailable(
            f"The SQLite database {file} would lie on {kind}, where it is not safe: set DATABASE_URL to Postgres, or "
            "to a SQLite file on a local disk."
        )


def is_network(kind: str) -> bool:
    """Whether a file system of this type may be shared with other machines."""
    return kind.removeprefix("fuse.") in NETWORK


def filesystem_of(folder: Path) -> str:
    """The type of the file system that a folder lies on; empty where the system does not say."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    where, best, kind = folder.absolute().resolve(), -1, ""
    for line in lines:
        _, point, its_kind, *_ = line.split(" ")
        mount = Path(point.replace("\\040", " "))
        if (where == mount or mount in where.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), its_kind
    return kind


def refuse_pooler(connection: Any) -> None:
    """A fresh connection of psycopg that does not have the settings it was opened with: a pooler gave it away."""
    direct = connection.execute(f"SELECT current_setting('{DIRECT}', true)").fetchone()[0]
    connection.rollback()
    if direct != "on":
        connection.close()
        raise DatabaseUnavailable(pooler_sentence())


def pooler_sentence() -> str:
    """What to do where a pooler answers in place of the server."""
    return (
        "DATABASE_URL leads to a pooler such as PgBouncer, which does not keep the settings of a connection: name the "
        "Postgres server itself, on its own port; this program pools its connections."
    )
