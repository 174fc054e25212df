"""Where the rows of a run's dataset come from: a row of the catalog, any hub id, or a local file."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cwpo.artifacts import content_hash
from cwpo.bounds import paths
from cwpo.config import catalog
from cwpo.data.files import RowAt, read_rows, shipped
from cwpo.data.readers.columns import reader_by, shaped
from cwpo.data.readers.shapes import reader_named
from cwpo.data.rows import RawPair
from cwpo.errors import DataError
from cwpo.models.hub import is_local
from cwpo.stages.settings import DataSettings

TRAIN_SPLITS = ("train_prefs", "train")
TEST_SPLITS = ("test_prefs", "test", "validation", "valid")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows to train on, rows of the publisher's test split (None: test prompts come out of `train`), their reader."""

    train: Iterable[RowAt]
    test: Iterable[RowAt] | None
    to_pair: Callable[[dict[str, Any]], RawPair]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A dataset of the hub. `streamed`: only as much of it is read as is taken."""

    repo: str
    revision: str | None
    subset: str | None
    streamed: bool


def open_source(settings: DataSettings, *, streamed: bool = False) -> Source:
    """The rows that a data stage names, under the names of what their columns hold where it says so. `streamed`: those
    of the hub come as they are read, and nothing else of its files is downloaded."""
    found, columns = _opened(settings, streamed=streamed), settings.columns
    if columns is None:
        return found
    test = None if found.test is None else shaped(found.test, columns)
    return Source(train=shaped(found.train, columns), test=test, to_pair=reader_by(columns))


def _opened(settings: DataSettings, *, streamed: bool) -> Source:
    dataset = settings.dataset
    row = catalog.DATASETS.get(dataset)
    if row is not None and row.repo is not None:
        revision = settings.revision or row.revision
        if settings.parts:
            return _joined(row, revision, settings.parts, streamed=streamed)
        place = Place(repo=row.repo, revision=revision, subset=settings.subset or row.subset, streamed=streamed)
        return _hub(place, splits=row.splits, reader=row.reader)
    if row is not None and row.file is not None:
        return _file(shipped(row.file), settings.revision, reader=row.reader)
    if is_local(dataset):
        return _file(paths.local(dataset), settings.revision, reader="any")
    place = Place(repo=dataset, revision=settings.revision, subset=settings.subset, streamed=streamed)
    return _hub(place, splits=None, reader=_reader_of(dataset))


def _file(path: Path, pinned: str | None, *, reader: str) -> Source:
    _check_unchanged(path, pinned)
    return Source(train=read_rows(path), test=None, to_pair=reader_named(reader))


def _check_unchanged(path: Path, pinned: str | None) -> None:
    """A file that was pinned by content at submission must still have it, else the fingerprint would lie."""
    if pinned is not None and path.is_file() and content_hash(path) != pinned:
        raise DataError(f"{path.name} has changed since the run was submitted: submit the run again.")


def _reader_of(repo: str) -> str:
    """A repository of the catalog named by its hub id is read by its own reader."""
    return next((row.reader for row in catalog.DATASETS.values() if row.repo == repo), "any")


def _hub(place: Place, *, splits: tuple[str, ...] | None, reader: str) -> Source:
    from cwpo.data import remote

    load = remote.stream_splits if place.streamed else remote.load_splits
    found = load(place.repo, revision=place.revision, subset=place.subset)
    train, test = splits_to_use(place.repo, tuple(found), splits)
    return Source(
        train=_numbered(found[train]), test=_numbered(found[test]) if test else None, to_pair=reader_named(reader)
    )


def _joined(row: catalog.DatasetRow, revision: str | None, parts: Mapping[str, str], *, streamed: bool) -> Source:
    """Several subsets of one repository, one behind the other; each row names its part as its source."""
    whole = Place(repo=str(row.repo), revision=revision, subset=None, streamed=streamed)
    opened = (
        (name, _hub(replace(whole, subset=parts[name]), splits=row.splits, reader=row.reader)) for name in sorted(parts)
    )
    found = dict(opened)
    test = [_from(name, one.test) for name, one in found.items() if one.test is not None]
    return Source(
        train=itertools.chain(*(_from(name, one.train) for name, one in found.items())),
        test=itertools.chain(*test) if test else None,
        to_pair=reader_named(row.reader),
    )


def _from(source: str, rows: Iterable[RowAt]) -> Iterator[RowAt]:
    return (replace(at, row=at.row and {**at.row, "source": source}) for at in rows)


def splits_to_use(repo: str, found: tuple[str, ...], wanted: tuple[str, ...] | None) -> tuple[str, str | None]:
    """(train, test or None): the catalog's splits, else the usual names, else the only split there is."""
    if wanted is not None:
        missing = [name for name in wanted if name not in found]
        if missing:
            raise DataError(f"{repo} has no split {missing[0]} (it has {', '.join(found)}): check data.revision.")
        return wanted[0], wanted[1] if len(wanted) > 1 else None
    train = next((name for name in TRAIN_SPLITS if name in found), found[0] if len(found) == 1 else None)
    if train is None:
        raise DataError(f"{repo} has no train split (it has {', '.join(found)}): choose another subset.")
    return train, next((name for name in TEST_SPLITS if name in found), None)


def _numbered(rows: Iterable[dict[str, Any]]) -> Iterable[RowAt]:
    return (RowAt(line=line, row=dict(row)) for line, row in enumerate(rows, start=1))
