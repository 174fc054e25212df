"""The shared store: two machines with a folder each see the same artifacts, whole or not at all."""

import errno
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from cwpo.artifacts import MANIFEST, ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.errors import ArtifactError, Cancelled, ConfigError, StoreError, StoreUnreachable
from cwpo.object_store import ObjectStore
from cwpo.stages.execute import execute
from cwpo.stages.graph import build as stage_graph

FP = "ab" * 32


@pytest.fixture(params=["memory", "file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('s3_bucket')}/some/prefix"
    return f"memory://{uuid4().hex}" if request.param == "memory" else f"file://{tmp_path / 'shared'}"


@pytest.fixture
def machines(url: str, tmp_path: Path) -> tuple[ArtifactStore, ArtifactStore]:
    return tuple(ArtifactStore(tmp_path / name, ObjectStore(url)) for name in ("a", "b"))  # type: ignore[return-value]


def build(store: ArtifactStore, text: str = "hello") -> Path:
    with store.build(FP, {"kind": "sft"}) as out:
        (out / "sub").mkdir()
        (out / "sub" / "file.txt").write_text(text)
        (out / "timing.json").write_text('{"seconds": 1.0}')
    return store.path(FP)


def files_of(url: str) -> dict[str, bytes]:
    """Everything behind a URL, by path."""
    files, path = fsspec.url_to_fs(url)
    files.invalidate_cache()
    return {name: files.cat_file(name) for name in files.find(path)}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_one_machine_shares_another_finds_byte_for_byte(machines: Any) -> None:
    here, there = machines
    path = build(here)
    assert (there.find(FP), there.holds(FP)) == (None, False)
    assert here.share(FP)
    assert there.holds(FP)
    assert there.info(FP).meta == {"kind": "sft"}
    assert there.read_text(FP, "timing.json") == '{"seconds": 1.0}'
    assert not there.path(FP).exists()  # asked about, not downloaded
    found = there.find(FP)
    assert found == there.path(FP)
    assert contents(found) == contents(path)
    assert there.damage(FP) is None
    assert not list((there.root / "tmp").iterdir())


def test_a_machine_that_has_it_reads_its_own_copy(machines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = machines
    build(here)
    monkeypatch.setattr(ObjectStore, "manifest", lambda *_: pytest.fail("asked the shared store"))
    assert here.find(FP) == here.path(FP)
    assert here.info(FP).fingerprint == FP


def test_of_two_publishers_the_first_one_stands(machines: Any) -> None:
    here, there = machines
    build(here, "first")
    build(there, "second")
    assert here.share(FP)
    assert not there.share(FP)
    assert (there.path(FP) / "sub" / "file.txt").read_text() == "first"
    assert here.share(FP)  # again: nothing to do
    assert there.share(FP)
    assert len({name.split("/")[-3] for name in files_of(here.shared.url) if name.endswith("file.txt")}) == 1


def at_the_same_moment(stores: list[ArtifactStore], do: Callable[[ArtifactStore], Any]) -> list[Any]:
    """What each store gives, all asked together in threads."""
    start = threading.Barrier(len(stores))

    def ask(store: ArtifactStore) -> Any:
        start.wait()
        return do(store)

    with ThreadPoolExecutor(len(stores)) as threads:
        return list(threads.map(ask, stores))


def test_publishers_at_the_same_moment_end_with_one_artifact(url: str, tmp_path: Path) -> None:
    stores = [ArtifactStore(tmp_path / str(number), ObjectStore(url)) for number in range(6)]
    for number, store in enumerate(stores):
        build(store, f"text {number}")
    stood = at_the_same_moment(stores, lambda store: store.share(FP))
    assert sorted(stood) == [False] * 5 + [True]
    assert len({(store.path(FP) / "sub" / "file.txt").read_text() for store in stores}) == 1
    assert len([name for name in files_of(url) if name.endswith("file.txt")]) == 1


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return f"file://{tmp_path}/shared"


@pytest.mark.parametrize("how", [FileNotFoundError, FileExistsError])
@pytest.mark.parametrize(("sweeps", "deleted"), [(1, 0), (1, 1), (3, 2)])
def test_what_is_swept_while_it_is_uploaded_gives_way_or_is_uploaded_again(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: type[OSError], sweeps: int, deleted: int
) -> None:
    """Another machine publishes the same artifact between two files of ours; the first `deleted` times
    it is deleted again."""
    here, there = (ArtifactStore(tmp_path / name, ObjectStore(folder)) for name in "ab")
    build(here, "mine")
    build(there, "theirs")
    assert here.shared is not None
    assert there.shared is not None
    files = here.shared._files
    put = files.put_file
    uploads: list[str] = []

    def swept(source: str, target: str) -> None:
        uploads.append(target)
        turn, second = divmod(len(uploads), 2)
        if not second and turn <= sweeps:
            monkeypatch.setattr(files, "put_file", put)
            assert there.share(FP)
            if turn <= deleted:
                there.shared.delete(FP)
            monkeypatch.setattr(files, "put_file", swept)
            raise how(17, "swept", target)  # what making the folder again says, by the moment at which it went
        put(source, target)

    monkeypatch.setattr(files, "put_file", swept)
    stays = sweeps > deleted
    assert here.share(FP) is not stays
    assert (here.path(FP) / "sub" / "file.txt").read_text() == ("theirs" if stays else "mine")
    assert len([name for name in files_of(folder) if name.endswith("file.txt")]) == 1


def test_what_others_take_away_each_time_is_tried_again_later(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path / "a", ObjectStore(folder))
    path = build(store)
    assert store.shared is not None
    tries: list[str] = []

    def gone(_: str, target: str) -> None:
        tries.append(target)
        raise FileExistsError(17, "File exists", target)

    monkeypatch.setattr(store.shared._files, "put_file", gone)
    with pytest.raises(StoreUnreachable, match="taken away by others"):
        store.share(FP)
    assert len(tries) == 3
    assert path.is_dir()  # what lies here is kept


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTEMPTY])
def test_a_folder_that_another_one_fills_or_removes_beside_is_removed_whole(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    store = ArtifactStore(tmp_path / "a", ObjectStore(folder))
    build(store)
    assert store.share(FP)
    assert store.shared is not None
    files = store.shared._files
    rm = files.rm
    turns: list[str] = []

    def beside(path: str, recursive: bool = False) -> None:
        turns.append(path)
        if len(turns) == 2:  # the manifest is gone, the folder not yet
            raise OSError(number, "beside", path)  # FileNotFoundError for ENOENT
        rm(path, recursive=recursive)

    monkeypatch.setattr(files, "rm", beside)
    store.delete(FP)
    assert files_of(folder) == {}
    assert not caplog.records


def test_readers_at_the_same_moment_get_the_whole(url: str, tmp_path: Path) -> None:
    here = ArtifactStore(tmp_path / "here", ObjectStore(url))
    build(here, "0123456789abcdef" * 20_000)
    assert here.share(FP)
    readers = [ArtifactStore(tmp_path / str(number), ObjectStore(url)) for number in range(8)]
    found = at_the_same_moment(readers, lambda store: store.find(FP))
    assert found == [store.path(FP) for store in readers]
    assert here.shared is not None
    assert here.shared.manifest(FP) is not None


def test_an_interrupted_upload_is_invisible_and_swept_by_the_next(
    machines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    build(here)
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            here.share(FP)
    assert files_of(here.shared.url)  # the files of the killed attempt
    assert there.find(FP) is None
    assert not there.holds(FP)
    build(there, "hello")
    assert there.share(FP)
    names = [name for name in files_of(here.shared.url) if name.endswith("file.txt")]
    assert len(names) == 1


def test_an_interrupted_download_leaves_nothing(machines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = machines
    build(here)
    here.share(FP)
    with monkeypatch.context() as patch:
        patch.setattr("cwpo.object_store.sha256_of", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            there.find(FP)
    assert not there.path(FP).exists()
    assert not list((there.root / "tmp").iterdir())
    assert there.find(FP) is not None


def test_a_copy_that_was_damaged_here_is_downloaded_again(machines: Any) -> None:
    here, there = machines
    build(here)
    here.share(FP)
    file = there.find(FP) / "sub" / "file.txt"
    file.write_text("hellp")
    assert there.find(FP) == there.path(FP)
    assert file.read_text() == "hello"


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_an_artifact_that_is_damaged_in_the_store_is_computed_again(machines: Any, change: str) -> None:
    here, there = machines
    build(here)
    here.share(FP)
    files, _ = fsspec.url_to_fs(here.shared.url)
    name = next(name for name in files_of(here.shared.url) if name.endswith("file.txt"))
    files.pipe_file(name, b"other") if change == "changed" else files.rm(name)
    assert there.find(FP) is None
    assert not there.holds(FP)
    build(there)
    assert there.share(FP)
    assert ArtifactStore(there.root.parent / "c", ObjectStore(here.shared.url)).find(FP) is not None


def test_a_deleted_artifact_is_gone_for_all_who_have_no_copy(machines: Any) -> None:
    here, there = machines
    build(here)
    here.share(FP)
    here.delete(FP)
    assert files_of(here.shared.url) == {}
    assert there.find(FP) is None
    assert here.find(FP) is None


def test_a_manifest_cannot_write_outside_its_artifact(machines: Any) -> None:
    here, there = machines
    build(here)
    here.share(FP)
    files, _ = fsspec.url_to_fs(here.shared.url)
    name = next(name for name in files_of(here.shared.url) if name.endswith(MANIFEST))
    manifest = json.loads(files.cat_file(name))
    manifest["files"] = {"../../escaped": "0" * 64}
    files.pipe_file(name, json.dumps(manifest).encode())
    assert there.find(FP) is None
    assert not list(there.root.rglob("escaped"))


def test_a_stage_found_here_is_shared_with_machines_that_have_it_not(machines: Any) -> None:
    """Its artifact was deleted from the store, or its upload was interrupted: the next execution puts it there."""
    here, there = machines
    settings = stage_graph(RunConfig.parse({}))["data"].settings
    with here.build(FP) as out:
        (out / "summary.json").write_text("{}")
        (out / "timing.json").write_text('{"seconds": 1.0}')
    assert not execute(store=here, fingerprint=FP, settings=settings, inputs={}).computed
    assert there.find(FP) is not None


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a store at an address where nobody listens."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.config.conf["s3"] = {"endpoint_url": "http://127.0.0.1:9"}
    yield f"s3://{uuid4().hex}/x"
    del fsspec.config.conf["s3"]


def test_a_store_that_does_not_answer_is_a_passing_fault_in_one_sentence(away: str, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, ObjectStore(away))
    with pytest.raises(StoreUnreachable, match=r"The artifact store s3://\w+/x cannot be reached \(.+CWPO_STORE"):
        store.find(FP)
    build(store)
    with pytest.raises(StoreUnreachable):
        store.share(FP)
    assert store.find(FP) is not None  # what was computed stays


def test_waiting_for_a_store_ends_when_the_stage_is_to_stop(away: str, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, ObjectStore(away, patience=600.0, should_stop=lambda: True))
    with pytest.raises(Cancelled):
        store.find(FP)


def test_what_waiting_does_not_mend_is_said_at_once(s3_bucket: str, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, ObjectStore(f"s3://{uuid4().hex}", patience=600.0))
    build(store)
    with pytest.raises(StoreError, match=r"is not there .*make the bucket, or correct CWPO_STORE"):
        store.share(FP)
    with pytest.raises(StoreError, match="is not there"):
        store.shared.check()
    ObjectStore(s3_bucket).check()
    with pytest.raises(ConfigError, match="CWPO_STORE: 'no-such://x' is no address"):
        ObjectStore("no-such://x").manifest(FP)


def test_a_store_without_a_url_is_a_folder_alone(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    build(store)
    assert store.share(FP)
    with pytest.raises(ArtifactError, match="is missing"):
        store.read_text("cd" * 32, "x")
