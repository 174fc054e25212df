"""What the System page says about the database server."""

import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.engine import schema_revision


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """What the System page says about the database server."""

    product: str
    version: str
    location: str
    bytes: int
    detail: str
    latency_ms: float
    revision: str | None


def server_facts(session: Session) -> ServerFacts:
    """Product, version, place (never the password), size and schema, with one round trip in milliseconds."""
    bind = session.get_bind()
    url, is_sqlite = bind.engine.url, bind.dialect.name == "sqlite"
    asked = _SQLITE_FACTS if is_sqlite else _POSTGRES_FACTS
    version, detail, size = session.execute(text(asked)).one()
    start = time.perf_counter()
    revision = schema_revision(session)
    latency = (time.perf_counter() - start) * 1000
    if is_sqlite:
        return ServerFacts(
            product="SQLite", version=version, location=str(url.database), detail=f"journal mode {detail}",
            bytes=sum(_size(Path(f"{url.database}{tail}")) for tail in ("", "-wal")), latency_ms=latency,
            revision=revision,
        )  # fmt: skip
    host = url.host or url.query.get("host") or "local socket"
    return ServerFacts(
        product="PostgreSQL", version=version.split(" ")[0], location=f"{host}/{url.database}", bytes=size,
        detail=f"{detail} connections", latency_ms=latency, revision=revision,
    )  # fmt: skip


_SQLITE_FACTS = "SELECT sqlite_version(), journal_mode, 0 FROM pragma_journal_mode"
_POSTGRES_FACTS = (
    "SELECT current_setting('server_version'), (SELECT count(*) FROM pg_stat_activity WHERE datname = "
    "current_database()), pg_database_size(current_database())"
)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
