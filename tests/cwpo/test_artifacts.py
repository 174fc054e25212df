"""The store: an artifact is whole and verified, or it is not there."""

import json
import random

import pytest

from cwpo import artifacts
from cwpo.artifacts import MANIFEST, ArtifactStore, content_hash
from cwpo.errors import ArtifactError
from tests.amounts import amount

FP = "ab" * 32


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path)


def write(store, text="hello"):
    with store.build(FP, meta={"kind": "data"}) as out:
        (out / "sub").mkdir()
        (out / "sub" / "file.txt").write_text(text)


def test_a_finished_build_is_found_and_verified(store):
    write(store)
    path = store.find(FP)
    assert path is not None
    assert (path / "sub" / "file.txt").read_text() == "hello"
    assert store.info(FP).meta == {"kind": "data"}
    assert list(store.fingerprints()) == [FP]


def fail_halfway(store):
    with store.build(FP) as out:
        (out / "file.txt").write_text("half")
        raise RuntimeError


def test_no_bit_of_an_artifact_changes_unnoticed(store):
    """Of its manifest neither, in whatever it says: 40 flips and 40 cuts; FLIPS times as many."""
    dice = random.Random(0)
    for number in range(80 * amount("FLIPS", 1)):
        write(store)
        said = vars(store.info(FP))
        file = dice.choice([store.path(FP) / MANIFEST, store.path(FP) / "sub" / "file.txt"])
        content = bytearray(file.read_bytes())
        at = dice.randrange(len(content))
        content[at] ^= 1 << dice.randrange(8)
        file.write_bytes(content if number % 2 else content[:at])
        assert store.damage(FP) is not None or vars(store.info(FP)) == said
        if store.damage(FP) is not None:
            assert store.find(FP) is None


def test_a_manifest_of_a_version_without_a_seal_is_read(store):
    write(store)
    path = store.path(FP) / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest[artifacts.SEAL]
    path.write_text(json.dumps(manifest))
    assert store.find(FP) is not None


def test_a_failed_build_leaves_nothing(store):
    with pytest.raises(RuntimeError):
        fail_halfway(store)
    assert store.find(FP) is None
    assert not list((store.root / "tmp").iterdir())


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_any_damage_is_found_and_set_aside(store, damage):
    write(store)
    file = store.path(FP) / "sub" / "file.txt"
    if damage == "flip":
        file.write_text("hellp")
    elif damage == "truncate":
        file.write_text("hel")
    elif damage == "remove":
        file.unlink()
    else:
        (store.path(FP) / MANIFEST).write_text("{")
    assert store.find(FP) is None
    assert not store.path(FP).exists()
    write(store)
    assert store.find(FP) is not None


def test_files_are_read_once_and_again_when_they_have_changed(store, monkeypatch):
    """Three readers of one artifact are one reading of its file; a change of its bytes is found all the same."""
    write(store)
    read = []
    real = artifacts.sha256_of
    monkeypatch.setattr(artifacts, "sha256_of", lambda file: read.append(file) or real(file))
    assert [store.find(FP) for _ in range(3)] == [store.path(FP)] * 3
    assert read == [store.path(FP) / "sub" / "file.txt"]
    (store.path(FP) / "sub" / "file.txt").write_text("hellp")
    assert store.find(FP) is None
    write(store)
    assert store.find(FP) is not None
    assert store.damage(FP) is None
    assert len(read) == 5  # twice with find, once while it was built, once each by find and damage


def test_the_second_of_two_equal_builds_changes_nothing(store):
    with store.build(FP) as first:
        (first / "file.txt").write_text("one")
        write(store, "two")
    path = store.find(FP)
    assert path is not None
    assert (path / "sub" / "file.txt").read_text() == "two"


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "AB" * 32, "a" * 63])
def test_only_fingerprints_are_paths(store, name):
    with pytest.raises(ArtifactError):
        store.path(name)


def test_content_hash_follows_names_and_bytes(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for folder in ("one", "two"):
        (tmp_path / folder / "weights").write_bytes(b"1")
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two")
    (tmp_path / "two" / "weights").write_bytes(b"2")
    assert content_hash(tmp_path / "one") != content_hash(tmp_path / "two")
