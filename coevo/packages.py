"""Where coevo's own packages and configuration are, and whether the imported ones are ours.

Imports neither torch nor anything of coevo: it runs first.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = ("agents", "environments")
REINSTALL = "pip install --force-reinstall --no-deps coevo"
OWN_ENVIRONMENT = "python3 -m venv coevo-env && coevo-env/bin/pip install coevo"


def in_checkout() -> bool:
    """Whether coevo runs from a repository (editable install) rather than from a wheel."""
    return (HERE.parent / "pyproject.toml").is_file()


def restore(path: Path) -> str:
    """The command that brings back a file or folder that coevo came with."""
    return f"git checkout {path}" if in_checkout() else REINSTALL


def conf_dir() -> Path:
    """The folder of Hydra's YAML files: inside the package (wheel) or beside it (checkout).

    Raises `RuntimeError` if neither is there.
    """
    inside, beside = HERE / "conf", HERE.parent / "conf"
    if inside.is_dir():
        return inside
    if beside.is_dir() and in_checkout():
        return beside
    raise RuntimeError(
        f"coevo's configuration is neither in {inside} nor in {beside}: the installation is "
        f"incomplete; write: {restore(beside)}"
    )


def check_packages() -> None:
    """Raises `RuntimeError` if `agents` or `environments` would be another distribution's.

    openai-agents, for one, ships a package `agents` too. It may come first on Python's path, or
    be installed over ours. Nothing is imported to find out.
    """
    for package in OURS:
        expected, found = HERE.parent / package / "__init__.py", find_package(package)
        if found is None:
            raise RuntimeError(
                f"the package {package!r} is missing: coevo needs {expected}. Another "
                f"distribution's removal may have deleted it; write: {restore(expected)}"
            )
        if found.resolve() != expected:
            folder = found.parent if found.is_dir() else found.parent.parent
            raise RuntimeError(
                f"the package {package!r} that Python finds is {found}{_of(owner(found))}, "
                f"but coevo needs its own, {expected}. Take the folder {folder} off "
                "PYTHONPATH, do not start Python in it, or install coevo in an environment of its "
                f"own: {OWN_ENVIRONMENT}"
            )
        if (other := overwritten_by(expected)) is not None:
            raise RuntimeError(
                f"the package {package!r} in {found.parent} is overwritten{_of(other)}, which "
                "ships a package of the same name. Install coevo in an environment of its own: "
                f"{OWN_ENVIRONMENT}"
            )


def find_package(package: str) -> Path | None:
    """The file that `import package` runs or has run, or its folder if it has no `__init__.py`.

    None if there is no such package.
    """
    if (module := sys.modules.get(package)) is not None:
        origin, folders = getattr(module, "__file__", None), getattr(module, "__path__", ())
    elif (spec := importlib.util.find_spec(package)) is not None:
        origin, folders = spec.origin, spec.submodule_search_locations or ()
    else:
        return None
    if origin is not None:
        return Path(origin)
    # A namespace package can span several folders; ours left without `__init__.py` is not ours.
    folder = next(iter(folders), None)
    return None if folder is None or Path(folder).parent == HERE.parent else Path(folder)


def owner(file: Path, distributions: Iterable[metadata.Distribution] | None = None) -> str | None:
    """`name version` of the distribution, other than coevo, that installed `file`; else None."""
    for distribution in metadata.distributions() if distributions is None else distributions:
        name = distribution.metadata["Name"]
        for entry in distribution.files or ():
            if (
                name != "coevo"
                and entry.name == file.name
                and Path(str(distribution.locate_file(entry))).resolve() == file.resolve()
            ):
                return f"{name} {distribution.version}"
    return None


def overwritten_by(file: Path) -> str | None:
    """The distribution that wrote its own file over `file` of our wheel, or None.

    A file that differs from the one that the wheel installed and that no other distribution
    claims was edited by hand, which is the user's right.
    """
    try:
        entries = metadata.distribution("coevo").files or []
    except metadata.PackageNotFoundError:
        return None
    for entry in entries:
        # An editable install lists no file of ours.
        if entry.hash is not None and Path(str(entry.locate())).resolve() == file:
            return None if entry.hash.value == _record_hash(file.read_bytes()) else owner(file)
    return None


def _record_hash(content: bytes) -> str:
    """sha256 as wheels write it in RECORD: URL-safe base64 without padding."""
    import base64
    import hashlib

    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _of(distribution: str | None) -> str:
    return f" (by {distribution})" if distribution else ""
