"""Bundles of anybody take no more disk than they say, and bundles of ours hold no file that a link leads to."""

import copy
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from cwpo.artifacts import content_hash
from cwpo.bundle import read, write
from cwpo.bundle.read import Bundle, BundleError, FileEntry, Manifest
from cwpo.bundle.write import LOCK, MANIFEST, README, STAGES, TABLES, LocalFile
from cwpo.errors import CwpoError

TEXTS = (README, MANIFEST, STAGES, LOCK, *(f"tables/{name}.json" for name in TABLES))
SHA = "0" * 64
MB = 1 << 20


def bundled(path: Path, files: dict[str, bytes], texts: dict[str, bytes] | None = None) -> Path:
    """A zip with the names that a bundle has; nothing of it was computed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in TEXTS:
            archive.writestr(name, (texts or {}).get(name, b"{}"))
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def opened(path: Path, *names: str) -> Bundle:
    """As it would be after it was read: the files that its manifest names are included."""
    entries = [FileEntry(name=f"./{name}", revision=f"sha256:{name.split('/')[1]}", included=True) for name in names]
    manifest = Manifest.model_construct(files=entries)
    return Bundle(path=path, manifest=manifest, configs=(), stages={}, tables={}, packages={}, relabels={})


def test_what_unpacks_to_far_more_than_it_is_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Ninety megabytes of zeros are ninety thousand bytes."""
    path = bundled(tmp_path / "a.zip", {f"files/{SHA}/zeros.bin": bytes(90 * MB)})
    assert path.stat().st_size < MB // 5
    for look in (read.read, lambda file: read.place_files(opened(file, f"files/{SHA}/zeros.bin"), tmp_path / "home")):
        with pytest.raises(BundleError, match=r"zeros\.bin' unpacks to more than 200 times its size"):
            look(path)
    assert not (tmp_path / "home").exists()


def test_members_that_lie_in_one_another_are_refused(tmp_path: Path) -> None:
    """The same bytes under many names would be as many files."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in TEXTS:
            archive.writestr(name, "{}")
        archive.writestr(f"files/{SHA}/a", os.urandom(MB))
        first = archive.filelist[-1]
        for number in range(5):
            again = copy.copy(first)
            again.filename = again.orig_filename = f"files/{SHA}/b{number}"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
    with pytest.raises(BundleError, match="its files overlap"):
        read.read(path)


def test_files_that_the_disk_has_no_room_for_are_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(5_000)
    name = f"files/{hashlib.sha256(content).hexdigest()}/own.bin"
    path = bundled(tmp_path / "a.zip", {name: content})
    with monkeypatch.context() as patch:
        patch.setattr(read, "SPARE", 2**62)
        with pytest.raises(BundleError, match=r"take 0\.0 GB, and .* GB are free at .*: make room"):
            read.place_files(opened(path, name), tmp_path / "home")
    assert not (tmp_path / "home").exists()
    assert list(read.place_files(opened(path, name), tmp_path / "home")) == [f"./{name}"]


def test_a_name_that_the_system_does_not_take_is_a_sentence(tmp_path: Path) -> None:
    content = b"x"
    name = f"files/{hashlib.sha256(content).hexdigest()}/{'é' * 200}"
    path = bundled(tmp_path / "a.zip", {name: content})
    with pytest.raises(BundleError, match=r"cannot be unpacked \(File name too long\)"):
        read.place_files(opened(path, name), tmp_path / "home")


@pytest.mark.parametrize(
    ("name", "most"), [(LOCK, MB), (README, MB), (MANIFEST, 4 * MB), ("tables/gra.json", 4 * MB), (STAGES, 16 * MB)]
)
def test_every_text_has_a_length_of_its_kind(name: str, most: int, tmp_path: Path) -> None:
    content = json.dumps([os.urandom(1).hex()] * 100).encode()
    path = bundled(tmp_path / "a.zip", {}, {name: (content * (most // len(content) + 1))[: most + 1]})
    with zipfile.ZipFile(path) as archive, pytest.raises(BundleError, match=f"{name} is larger than {most:,} bytes"):
        read._text(archive, name)


@pytest.mark.parametrize("inside", [True, False])
def test_what_a_link_leads_to_is_not_put_into_a_bundle(inside: bool, tmp_path: Path) -> None:
    """A link in a model's folder, or in the place of the file, to what nobody meant to give away."""
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    place = tmp_path / "model"
    if inside:
        place.mkdir()
        (place / "assets.txt").symlink_to(secret)
    else:
        place.symlink_to(secret)
    file = LocalFile(name=f"./files/{SHA}/model", revision=content_hash(place), path=place)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        with pytest.raises(CwpoError, match="is a link, and what it leads to is not put into a bundle"):
            write._add_file(archive, file)
        assert archive.namelist() == []
