"""Weights & Biases: metrics by role against `round`, the curriculum and success map as tables.

Works offline without a key; `wandb sync <run folder>/wandb/offline-run-*` uploads later. So does a
run that asks for online where there is no key or no network.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coevo.config import WandbConfig
from coevo.tracking.records import RoundReport, RunInfo
from coevo.wandb_variables import resolved
from environments.data_files import user_path
from environments.printable import printable

if TYPE_CHECKING:
    import wandb

SECTIONS = (
    "solver", "teacher", "generator", "curriculum", "zones", "curve", "heldout", "seconds",
)  # fmt: skip
ZONES = ("mastered", "learning", "too_hard")
PROBLEM_COLUMNS = (
    "problem", "statement", "parent", "author", "family", "level", "zone", "success", "utility",
)  # fmt: skip
SECRET_NAME = re.compile(r"(api_?key|token|secret|password|credentials?)$", re.IGNORECASE)
HIDDEN = "<hidden>"
INIT_TIMEOUT = 30.0  # seconds for W&B's server to answer at the start; then the run is offline
FINISH_TIMEOUT = 120.0  # seconds for the last uploads; what is left stays on disk


class WandbTracker:
    """Mirrors a run to W&B, under the id that the run keeps.

    `wandb.init` works on a thread while the loop sets itself up; the first call that needs the
    run waits for it, says so if it had to go offline, and raises its error. Rounds are W&B steps,
    so a round that is logged again after a resume is not doubled.
    """

    def __init__(self, config: WandbConfig) -> None:
        self._config = resolved(config, {})
        self._run: wandb.Run | None = None
        self._error: BaseException | None = None
        self._refusal = ""  # why a run that was to be online is not
        self._thread: threading.Thread | None = None
        self._finished = False

    def start(self, info: RunInfo) -> None:
        # Imported here and not on the thread: another thread may be importing torch or
        # transformers, and Python answers crossing imports with half-initialised modules.
        import wandb

        self._info = info
        self._round = info.first_round - 1
        self._curriculum = wandb.Table(columns=["round", *PROBLEM_COLUMNS], log_mode="INCREMENTAL")
        self._thread = threading.Thread(target=self._init, name="wandb-init", daemon=True)
        self._thread.start()

    def phase(self, round: int, phase: str) -> None:
        pass

    def log_round(self, report: RoundReport) -> None:
        import wandb

        self._round = report.round
        row: dict[str, Any] = {"round": report.round, **report.metrics, **zone_shares(report)}
        for problem in report.problems:
            values = (_plain(problem.get(column)) for column in PROBLEM_COLUMNS)
            self._curriculum.add_data(report.round, *values)
        if report.problems:
            row["curriculum/table"] = self._curriculum
        if report.success_map:
            levels = self._info.levels or sorted({level for _, level in report.success_map})
            row["solver/success_map"] = wandb.Table(
                columns=["family", *(f"level {level}" for level in levels)],
                data=success_rows(report, self._info.families, tuple(levels)),
            )
        run = self._wait()
        with _staging(self._info.folder):
            run.log(row, step=report.round, commit=True)

    def finish(self, summary: dict[str, Any]) -> None:
        run = self._wait()
        run.summary["final"] = summary
        run.summary.update(flat_summary(summary))
        self._finished = True

    def log_artifact(self, name: str, kind: str, path: Path) -> None:
        """Logs what is kept beside W&B's files of the run, since offline runs upload later, when an
        old checkpoint is deleted and the database has grown. `wandb sync --clean` takes it away."""
        if not self._config.artifacts:
            return
        import wandb

        safe_name = re.sub(r"[^\w.-]+", "-", name)
        artifact = wandb.Artifact(safe_name, type=kind, metadata={"round": self._round})
        run = self._wait()
        kept = Path(run.settings.sync_dir).absolute() / "artifacts" / safe_name
        if path.is_dir():
            shutil.copytree(path, kept, copy_function=_link)
        else:
            kept.mkdir(parents=True)
            shutil.copyfile(path, kept / path.name)
        with _staging(self._info.folder):
            artifact.add_dir(str(kept), skip_cache=True, policy="immutable")
            run.log_artifact(artifact)

    def close(self) -> None:
        if self._thread is None:
            return
        try:
            run = self._wait()
        finally:
            self._thread = None
        run.finish(exit_code=0 if self._finished else 1)
        if not run.offline:  # all is uploaded
            shutil.rmtree(Path(run.settings.sync_dir) / "artifacts", ignore_errors=True)

    def _wait(self) -> wandb.Run:
        if self._thread is None:
            raise RuntimeError("W&B was not started")
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._run is not None
        if self._refusal:
            print(
                f"warning: W&B cannot be used online ({self._refusal}); this run is logged offline: "
                f"wandb sync {printable(Path(self._run.settings.sync_dir))} uploads it later",
                file=sys.stderr,
                flush=True,
            )
            self._refusal = ""
        return self._run

    def _init(self) -> None:
        import wandb

        try:
            try:
                run = self._open(str(self._config.mode))
            except Exception as error:
                if self._config.mode != "online":
                    raise
                self._refusal = printable(" ".join(str(error).split()), longest=200)
                wandb.teardown()  # its service holds on to the run's id
                run = self._open("offline")
            _without_links(Path(run.settings.sync_dir), self._info.folder)
            run.define_metric("round")
            for section in SECTIONS:
                run.define_metric(f"{section}/*", step_metric="round")
            self._run = run
        except BaseException as error:  # raised where the run is waited for
            self._error = error

    def _open(self, mode: str) -> wandb.Run:
        """The W&B run; what an attempt that fails leaves on the disk is taken away."""
        import wandb

        config, folder = self._config, self._folder()
        settings = _settings(mode)
        before = set(folder.glob("wandb/run-*"))
        session = wandb.setup(settings=settings)  # silent from the start: never prompts for a key
        # What W&B has read of its variables is set back: they were heeded when the run was made.
        session.settings.entity, session.settings.run_notes = config.entity, config.notes
        try:
            return wandb.init(
                project=config.project,
                entity=config.entity,
                tags=config.tags,
                notes=config.notes,
                group=config.group or self._info.experiment,
                name=config.name or self._info.name,
                id=self._info.wandb_id,
                resume="allow",
                reinit="create_new",  # runs of one process (a sweep) do not touch each other
                dir=str(folder),
                config=hide_secrets(self._info.config, os.environ),
                settings=settings,
            )
        except Exception:
            for path in set(folder.glob(f"wandb/run-*-{self._info.wandb_id}")) - before:
                shutil.rmtree(path, ignore_errors=True)
            raise

    def _folder(self) -> Path:
        """Where the folder `wandb` is."""
        if self._config.dir is None:
            return self._info.folder
        folder = user_path(self._config.dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _without_links(sync_dir: Path, folder: Path) -> None:
    """Takes away links that lead out of the run's folder, such as W&B's to the log of its service in
    `~/.cache`: with one, no command of coevo would open the folder again."""
    inside = folder.resolve()
    if not sync_dir.resolve().is_relative_to(inside):  # tracker.wandb.dir
        return
    for path in sync_dir.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            path.unlink(missing_ok=True)


def flat_summary(summary: Mapping[str, Any]) -> dict[str, float]:
    """Every figure of the benchmarks under a name of its own, which W&B can compare runs by:
    `heldout/mean@8/base`, `…/final`, `…/delta`, its interval from `…/delta_low` to `…/delta_high`,
    and so on for pass@k, maj@k and each level; `heldout/frontier/base`, `…/final`; and
    `training/solver/steps`, `…/tokens` of each role."""
    values: dict[str, float] = {}
    for name, block in summary.get("benchmarks", {}).items():
        pairs = {key: (own["base"], own["final"]) for key, own in block.items() if "@" in key}
        pairs |= {f"level/{level}": tuple(own) for level, own in block.get("by_level", {}).items()}
        pairs[block["metric"]] = (block["base"], block["final"])
        for metric, (base, final) in pairs.items():
            values[f"{name}/{metric}/base"], values[f"{name}/{metric}/final"] = base, final
            values[f"{name}/{metric}/delta"] = final - base
        low, high = block["delta_ci95"]
        values[f"{name}/{block['metric']}/delta_low"] = low
        values[f"{name}/{block['metric']}/delta_high"] = high
    for end, level in zip(
        ("base", "final"), summary.get("frontier", {}).get("heldout", ()), strict=False
    ):
        if level is not None:
            values[f"heldout/frontier/{end}"] = level
    for role, own in summary.get("training", {}).items():
        values |= {f"training/{role}/{key}": count for key, count in own.items()}
    return values


def zone_shares(report: RoundReport) -> dict[str, float]:
    """`zones/<zone>_share` from the counts `zones/<zone>`; nothing for an empty curriculum."""
    counts = {zone: report.metrics.get(f"zones/{zone}", 0.0) for zone in ZONES}
    total = sum(counts.values())
    return {f"zones/{zone}_share": n / total for zone, n in counts.items()} if total else {}


def success_rows(
    report: RoundReport, families: tuple[str, ...], levels: tuple[int, ...]
) -> list[list[str | float | None]]:
    """A row a family, its success rate at each level, None where nothing was tried."""
    names = families or tuple(sorted({family for family, _ in report.success_map}))
    missing = (None, 0)
    return [
        [family, *(report.success_map.get((family, level), missing)[0] for level in levels)]
        for family in names
    ]


def hide_secrets(config: Any, environment: Mapping[str, str]) -> Any:
    """The configuration with every secret replaced by `<hidden>`.

    A secret is a string under a name such as `api_key`, `token` or `password`, or any string
    that holds the value of an environment variable so named. Names of variables stay.
    """
    # Short values (a token of "0") would match half of the configuration.
    secrets = [v for name, v in environment.items() if SECRET_NAME.search(name) and len(v) >= 8]

    def hide(value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: hide(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [hide(inner, name) for inner in value]
        if not isinstance(value, str) or not value:
            return value
        secret = SECRET_NAME.search(name) or any(known in value for known in secrets)
        return HIDDEN if secret else value

    return hide(config, "")


def _settings(mode: Any) -> wandb.Settings:
    import wandb

    return wandb.Settings(
        mode=mode,
        silent=True,  # the console belongs to the live display
        quiet=True,
        console="off",
        save_code=False,
        disable_code=True,
        disable_git=True,
        x_disable_meta=True,  # its command line may hold keys
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        init_timeout=INIT_TIMEOUT,
        finish_timeout=FINISH_TIMEOUT,
        finish_timeout_raises=True,
    )


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """Stages artifacts in the run folder, not in the home directory, unless the user says where."""
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder / "wandb" / "data")
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def _link(source: str, target: str) -> None:
    """The same file under another name: a checkpoint's files are deleted, but never changed."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
