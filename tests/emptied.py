"""One upgraded Postgres database for all tests of a process, as new before each: to copy and drop one takes longer."""

from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from tests import servers

# What the migrations put into tables, beside the tables.
KEEP = """
DO $$ DECLARE name regclass; filled boolean; BEGIN
  CREATE SCHEMA kept;
  FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO filled;
    IF filled THEN EXECUTE format('CREATE TABLE kept.%s AS TABLE %s', name, name); END IF;
  END LOOP;
END $$
"""
# Whoever is connected still has forgotten to leave. Identities begin at 1, as in a new database.
EMPTY = """
DO $$ DECLARE name regclass; filled boolean; names text[] := '{}'; one record; BEGIN
  PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
  FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO filled;
    IF filled THEN names := names || name::text; END IF;
  END LOOP;
  IF names <> '{}' THEN EXECUTE 'TRUNCATE ' || array_to_string(names, ', ') || ' RESTART IDENTITY CASCADE'; END IF;
  FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', one.sequencename);
  END LOOP;
  FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'kept'::regnamespace LOOP
    EXECUTE format('INSERT INTO public.%s TABLE %s', (SELECT relname FROM pg_class WHERE oid = name), name);
  END LOOP;
END $$
"""
# Changes with every table, index and column that a test makes, drops or alters.
SHAPE = """
SELECT count(*), max(oid)::bigint, sum(relnatts), sum(relchecks) FROM pg_class
WHERE relnamespace = 'public'::regnamespace
"""


@dataclass
class Emptied:
    """The database; a test that changes its tables is the last one that gets it."""

    server: str
    template: str
    _url: str = ""
    _shape: tuple[object, ...] = field(default=())

    def url(self) -> str:
        """The address of the database, without a row but those of the migrations."""
        if self._url:
            with _connected(self._url) as connection:
                if _shape(connection) == self._shape:
                    connection.execute(EMPTY)
                    return self._url
            self.drop()
        name = f"test_{uuid4().hex}"
        servers.run_sql(self.server, f"CREATE DATABASE {name} TEMPLATE {self.template}")
        self._url = make_url(self.server).set(database=name).render_as_string(hide_password=False)
        with _connected(self._url) as connection:
            connection.execute(KEEP)
            self._shape = _shape(connection)
        return self._url

    def drop(self) -> None:
        """Away with it."""
        if self._url:
            servers.run_sql(self.server, f"DROP DATABASE {make_url(self._url).database} WITH (FORCE)")
            self._url = ""


def _connected(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url, autocommit=True)


def _shape(connection: "psycopg.Connection[tuple[object, ...]]") -> tuple[object, ...]:
    return connection.execute(SHAPE).fetchone() or ()
