"""`coevo doctor`: what is installed, what each tier of models needs, and how to get the rest.

Asks the machine only, never the network.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevo import packages
from coevo.screen import plain

GIB = 2**30
MODELS = packages.HERE.parent / "agents" / "models"
PACKAGED = ("nope", "tiny")  # the main job's model, and that of experiment=arithmetic
SMOLLM2_GIB = 0.7  # while it is converted
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
VLLM = ("vllm", "vllm-cpu")  # vllm-cpu is the same engine under a third party's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the report."""

    group: str  # machine, package or tier
    name: str
    ok: bool
    found: str
    wanted: str = ""
    mend: str = ""  # what to do if not ok: a command where there is one
    required: bool = True  # False: only another tier than `tiny` needs it


def report() -> list[Check]:
    """Every check: the machine, each distribution, then the tiers, `tiny` first."""
    machine = [python_check(), cores_check(), memory_check(), disk_check(Path.cwd())]
    installed = [*package_checks(), names_check(), conf_check(), vllm_check(), reasoning_check()]
    gpu = gpu_check()
    models, smollm2 = [model_check(MODELS / name) for name in PACKAGED], smollm2_check()
    basis = [*machine, *installed]
    tiers = [
        tier("tiny", basis, models),
        tier("smollm2", basis, [smollm2]),
        tier("GPU, vLLM", basis, [gpu, vllm_check()]),
    ]
    return [*machine, bfloat16_check(), gpu, *installed, *models, smollm2, *tiers]


def main() -> int:
    """Prints the report; 0 if the tiny tier can run, else 1."""
    checks = report()
    render(checks, Console())
    tiny = next(check for check in checks if check.group == "tier" and check.name == "tiny")
    return 0 if tiny.ok else 1


def render(checks: Sequence[Check], console: Console) -> None:
    """A table, then what mends each thing that is missing, in lines that can be copied."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("", "what", "found", "wanted"):
        table.add_column(heading, overflow="fold")
    group = checks[0].group if checks else ""
    for check in checks:
        if check.group != group:
            table.add_section()
            table.add_row()
            group = check.group
        word, colour = state(check)
        name = f"tier {check.name}" if check.group == "tier" else check.name
        table.add_row(Text(word, colour), *map(plain, (name, check.found, check.wanted)))
    console.print(table, highlight=False)
    # What only another tier needs is told in that tier's line.
    told = [check for check in checks if check.mend and (check.required or check.group == "tier")]
    if told:
        console.print("\nWhat to do:")
    for check in told:
        console.print(plain(f"  {check.name}: {check.mend}"), soft_wrap=True)


def state(check: Check) -> tuple[str, str]:
    """The word that the table shows for a check, and its colour."""
    if check.ok:
        return "ok", "green"
    return ("missing", "red") if check.required else ("absent", "yellow")


# The machine


def python_check() -> Check:
    return Check(
        group="machine",
        name="Python",
        ok=sys.version_info >= (3, 11),
        found=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        wanted=">=3.11",
        mend="" if sys.version_info >= (3, 11) else "make setup PYTHON=/path/to/python3.11",
    )


def cores_check() -> Check:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return Check(group="machine", name="cores", ok=True, found=str(cores), wanted="2 or more")


def memory_check() -> Check:
    """Memory of the machine or of its container, whichever is less."""
    amount = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    if limit.isdigit():
        amount = min(amount, int(limit))
    enough = amount >= 2 * GIB
    return Check(
        group="machine",
        name="memory",
        ok=enough,
        found=f"{amount / GIB:.1f} GiB",
        wanted="2 GiB",
        mend="" if enough else "close other programs, or write runtime=inline, which needs least",
    )


def disk_check(folder: Path) -> Check:
    """Room in the folder that runs are written to."""
    return space_check("disk here", folder, 0.25)


def space_check(name: str, folder: Path, gib: float) -> Check:
    """Whether `gib` GiB are free in `folder`."""
    try:
        free = shutil.disk_usage(folder).free / GIB
    except OSError:
        free = 0.0
    enough = free >= gib
    return Check(
        group="machine",
        name=name,
        ok=enough,
        found=f"{free:.1f} GiB free",
        wanted=f"{gib:g} GiB",
        mend="" if enough else f"free {gib:g} GiB on the disk of {folder}",
    )


def gpu_check() -> Check:
    """GPUs that torch can use; imports torch, which takes seconds."""
    try:
        import torch

        names = [
            f"{torch.cuda.get_device_name(i)}, "
            f"{torch.cuda.get_device_properties(i).total_memory / GIB:.0f} GiB"
            for i in range(torch.cuda.device_count())
        ]
        build = f"none (torch {torch.__version__})"
    except Exception as error:  # a broken torch or driver raises anything
        names, build = [], f"torch fails: {type(error).__name__}: {error}"
    return Check(
        group="machine",
        name="GPU",
        ok=bool(names),
        found="; ".join(names) or build,
        mend="" if names else "a GPU with its CUDA driver; the tiers tiny and smollm2 need none",
        required=False,
    )


def bfloat16_check() -> Check:
    """Whether this processor multiplies bfloat16; one that does not takes a hundred times as long."""
    try:
        from agents.precision import multiplies_bfloat16

        native = multiplies_bfloat16("cpu")
    except Exception:  # told by the check of the GPU
        native = False
    return Check(
        group="machine",
        name="bfloat16 on the CPU",
        ok=native,
        found="by instructions" if native else "emulated",
        mend="" if native else "nothing to do: dtype=auto takes float32 here",
        required=False,
    )


# The installation


def package_checks() -> list[Check]:
    """Each distribution that coevo requires, with the version found and wanted."""
    try:
        lines = metadata.requires("coevo") or []
    except metadata.PackageNotFoundError:
        return [
            Check(
                group="package",
                name="coevo",
                ok=False,
                found="not installed",
                mend="make setup",
            )
        ]
    requirements = [Requirement(line) for line in lines]
    return [
        requirement_check(requirement, installed_version(requirement.name))
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]


def installed_version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def requirement_check(requirement: Requirement, version: str | None) -> Check:
    """Whether the installed version of a distribution, None if there is none, is wanted."""
    ok = version is not None and requirement.specifier.contains(version, prereleases=True)
    wanted = ",".join(sorted(map(str, requirement.specifier), reverse=True))  # lower bound first
    return Check(
        group="package",
        name=requirement.name,
        ok=ok,
        found=version or "not installed",
        wanted=wanted,
        mend="" if ok else f"pip install '{requirement.name}{wanted}'",
    )


def names_check() -> Check:
    """Whether `agents` and `environments` are coevo's."""
    try:
        packages.check_packages()
    except RuntimeError as error:
        found, mend = "others' packages", str(error)
    else:
        found, mend = str(packages.HERE.parent), ""
    return Check(group="package", name="agents, environments", ok=not mend, found=found, mend=mend)


def conf_check() -> Check:
    try:
        found, mend = str(packages.conf_dir()), ""
    except RuntimeError as error:
        found, mend = "nowhere", str(error)
    return Check(group="package", name="conf", ok=not mend, found=found, mend=mend)


def vllm_check() -> Check:
    versions = {name: version for name in VLLM if (version := installed_version(name))}
    ok = "0.32.0" in {version.split("+")[0] for version in versions.values()}
    return Check(
        group="package",
        name="vllm",
        ok=ok,
        found=", ".join(f"{n} {v}" for n, v in versions.items()) or "not installed",
        wanted="==0.32.0",
        mend="" if ok else "pip install 'coevo[vllm]' (GPU); scripts/setup_vllm_cpu.sh (CPU)",
        required=False,
    )


def reasoning_check() -> Check:
    version = installed_version("reasoning-gym")
    ok = version == "0.1.25"
    return Check(
        group="package",
        name="reasoning-gym",
        ok=ok,
        found=version or "not installed",
        wanted="==0.1.25",
        mend="" if ok else "pip install 'coevo[reasoning]' (environment=reasoning_gym)",
        required=False,
    )


# The tiers


def model_check(folder: Path) -> Check:
    """Whether a shipped model is whole."""
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if packages.in_checkout():
        mend = f"git checkout {folder}, or python -m scripts.pretrain_{folder.name} --to {folder}"
    else:
        mend = packages.REINSTALL
    return Check(
        group="package",
        name=f"{folder.name} model",
        ok=not missing,
        found=f"no {', '.join(missing)} in {folder}" if missing else str(folder),
        mend=mend if missing else "",
    )


def smollm2_check() -> Check:
    """Whether SmolLM2 is in the cache, or else whether the first run has room to fetch it."""
    found, mend = "unknown while the packages are others'", "see agents, environments"
    try:
        packages.check_packages()
        from agents import model_files
    except (RuntimeError, ImportError):
        pass
    else:
        cache = model_files.cache_folder()
        if (cache / model_files.SMOLLM2).is_dir():
            found, mend = str(cache / model_files.SMOLLM2), ""
        else:
            existing = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
            space = space_check("cache", existing, SMOLLM2_GIB)
            found, mend = "fetched at first use (93 MB)", space.mend
    return Check(
        group="package", name="smollm2 model", ok=not mend, found=found, mend=mend, required=False
    )


def tier(name: str, basis: Sequence[Check], own: Sequence[Check]) -> Check:
    """A tier is ready if all that every tier needs, `basis`, and its `own` needs are there."""
    lacking = [check for check in basis if check.required and not check.ok]
    lacking += [check for check in own if not check.ok]
    mends = [check.mend for check in own if check.mend and not check.required]
    return Check(
        group="tier",
        name=name,
        ok=not lacking,
        found="needs " + ", ".join(check.name for check in lacking) if lacking else "ready",
        mend="; ".join(mends),
        required=name == "tiny",
    )
