"""The command line: `coevo run`, `resume`, `eval`, `explain`, `export`, `doctor`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from coevo import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0, 1 (it failed) or 2 (bad usage)."""
    arguments = _parser().parse_args(argv)
    try:
        from coevo.packages import check_packages

        check_packages()
        return arguments.command(arguments)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        return _fail(str(error), status)


def _status(error: Exception) -> int | None:
    """2 for what the user wrote, 1 for what went wrong, None for a defect of ours."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "ConfigError" in names:
        return 2
    if names & {"RunError", "StoreError", "CheckpointError", "ModelUnavailable", "WorkerLost"}:
        return 1
    return 130 if "Interrupted" in names else None


def _fail(message: str, status: int) -> int:
    print(f"coevo: {message}", file=sys.stderr)
    return status


def _run(arguments: argparse.Namespace) -> int:
    from coevo.compose import compose, expand, to_plain

    if arguments.cfg:
        import yaml

        print(yaml.safe_dump(to_plain(compose(arguments.overrides)), sort_keys=False), end="")
        return 0
    jobs = expand(arguments.overrides) if arguments.multirun else [list(arguments.overrides)]
    configs = [compose(job) for job in jobs]  # all are checked before the first starts
    from coevo.run import start

    for config in configs:
        start(config)
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    from coevo.run import resume

    resume(_folder(arguments.run), arguments.overrides, arguments.allow_changes)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from coevo.doctor import main as doctor

    return doctor()


def _folder(run: str) -> Path:
    """A run by its folder, or by its name under `runs`."""
    path = Path(run)
    return path if path.is_dir() or "/" in run else Path("runs") / run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coevo", description="Self-improving loops of language-model agents."
    )
    parser.add_argument("--version", action="version", version=f"coevo {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run a loop: coevo run [overrides]")
    run.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra's grammar")
    run.add_argument(
        "-m", "--multirun", action="store_true", help="one run for each value: seed=0,1,2"
    )
    run.add_argument("--cfg", choices=["job"], help="print the configuration and stop")
    run.set_defaults(command=_run)

    resume = commands.add_parser("resume", help="go on from a run's last whole round")
    resume.add_argument("run", help="name or folder of a run")
    resume.add_argument("overrides", nargs="*", metavar="key=value", help="such as rounds=20")
    resume.add_argument("--allow-changes", action="store_true", help="resume with other settings")
    resume.set_defaults(command=_resume)

    doctor = commands.add_parser("doctor", help="what is installed, what each tier needs")
    doctor.set_defaults(command=_doctor)
    return parser


if __name__ == "__main__":
    sys.exit(main())
