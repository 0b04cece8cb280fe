"""A sweep (`-m`): all jobs are checked before the first starts, and one that fails stops no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coevo.compose import compose
from coevo.config import Config, ConfigError
from coevo.program import command
from environments.printable import printable

LONGEST_LABEL = 120  # characters


@dataclass(slots=True, kw_only=True)
class Job:
    """One run of a sweep: its overrides, those of them that tell it apart, and what became of it."""

    overrides: list[str]
    label: str
    config: Config
    outcome: str = "not started"
    message: str = ""

    @property
    def folder(self) -> Path | None:
        """The run's folder; None as long as there is none."""
        folder = Path(self.config.runs_dir) / (self.config.name or "")
        made = self.outcome != "not started" and self.config.name is not None
        return folder if made and (folder / "run.db").is_file() else None


def prepare(jobs: Sequence[list[str]]) -> list[Job]:
    """The jobs with their configurations; raises `ConfigError` with every job that makes none."""
    shared = Counter(word for overrides in jobs for word in set(overrides))
    found, wrong = [], []
    for overrides in jobs:
        own = [word for word in overrides if shared[word] < len(jobs) or len(jobs) == 1]
        label = " ".join(own) or "the default"
        label = printable(label, longest=LONGEST_LABEL)
        try:
            found.append(Job(overrides=overrides, label=label, config=compose(overrides)))
        except ConfigError as error:
            wrong.append((label, error))
    _refuse(wrong, len(jobs))
    return found


def check(jobs: Sequence[Job], check_one: Callable[[Config], object]) -> None:
    """Checks that every job can start, under a name of its own; raises as `check_one` does.

    Raises `ConfigError` if several jobs have one name: a folder is one run's.
    """
    names = Counter((job.config.runs_dir, job.config.name) for job in jobs)
    for (_, name), count in names.items():
        if name is not None and count > 1:
            raise ConfigError(
                f"name={name} is the name of {count} jobs of this sweep, and each needs its own: "
                f"leave name out (experiment and seed are in the name then), or write what tells "
                f"them apart into it, such as 'name={name}-${{seed}}' where seed is swept"
            )
    wrong = []
    for job in jobs:
        try:
            check_one(job.config)
        except ConfigError as error:
            wrong.append((job.label, error))
    _refuse(wrong, len(jobs))


def _refuse(wrong: Sequence[tuple[str, ConfigError]], jobs: int) -> None:
    if wrong and jobs == 1:
        raise wrong[0][1]
    if wrong:
        listed = "".join(f"\n{label}: {error}" for label, error in wrong)
        raise ConfigError(f"{len(wrong)} of {jobs} jobs cannot run, so none was started:{listed}")


def run(
    jobs: Sequence[Job],
    start: Callable[[Config], object],
    told: Callable[[Exception], str],
) -> int:
    """Runs one job after the other and prints at the end what became of each.

    The exit status is 0 if all finished, 1 if one failed, 130 if the user stopped the sweep. `told`
    gives the message of an error.
    """
    status = 0
    for number, job in enumerate(jobs, start=1):
        print(f"job {number} of {len(jobs)}: {job.label}", flush=True)
        try:
            job.outcome = "stopped"
            start(job.config)
            job.outcome = "finished"
        except KeyboardInterrupt as stop:
            job.message, status = printable(str(stop) or "stopped"), 130
            break
        except Exception as error:
            job.outcome, job.message, status = "failed", printable(told(error)), 1
            print(f"job {number} of {len(jobs)} failed: {job.message}", flush=True)
    print("\n".join(report(jobs)), flush=True)
    return status


def report(jobs: Sequence[Job]) -> Iterator[str]:
    """What became of each job, and how to go on with those that did not finish."""
    counts = Counter(job.outcome for job in jobs)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    yield f"\nsweep of {len(jobs)} job{'s' * (len(jobs) != 1)}: {told}"
    for job in jobs:
        where = f" in {job.folder}" if job.folder else ""
        yield f"  {job.outcome}: {job.label}{where}{': ' * bool(job.message)}{job.message}"
        if job.outcome != "finished":
            again = command("resume", job.folder) if job.folder else command("run", *job.overrides)
            yield f"    {printable(again)}"
