"""The command line: `coevo run`, `resume`, `eval`, `explain`, `export`, `compare`, `leaks`, `doctor`.

Nothing heavy is imported before a command runs: `coevo --help` answers at once.
"""

from __future__ import annotations

if __name__ == "__main__":  # before what takes time: Ctrl-C can come while modules are imported
    from coevo import interruption

    interruption.install()

import argparse
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from coevo import __version__, interruption
from coevo.config import Config, nearest
from coevo.examples import EVAL_EXAMPLES, LEAKS_EXAMPLES, run_examples
from coevo.failures import told
from coevo.streams import make_patient

LONGEST_MESSAGE = 4000  # characters of an error


class UsageError(Exception):
    """A command line that makes no sense; the message says what to write."""


class Parser(argparse.ArgumentParser):
    """One command's own parser: options and overrides may be mixed, nothing is abbreviated."""

    def __init__(self, command: str, description: str, epilog: str = ""):
        super().__init__(
            prog=f"coevo {command}",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (-+)([\w.@-]+)(=\S*)?", message)
        if unknown is not None:
            from coevo.compose import all_keys, groups

            if unknown[2].split("@")[0] in (*all_keys(), *groups()):
                message += f"; a setting has no dashes: write {unknown[2]}{unknown[3] or '=…'}"
            else:
                message += nearest(f"--{unknown[2]}", list(self._option_string_actions))
        message = message.replace(", key=value", "")  # there may be none
        raise UsageError(f"{message} ({self.prog} --help says more)")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0, 1 (it failed), 2 (bad usage) or 130 (stopped)."""
    words = list(sys.argv[1:] if argv is None else argv)
    make_patient()
    try:
        done = _dispatch(words)
        sys.stdout.flush()  # while an error of it can still be told
        return done
    except SystemExit as leave:  # --help of a command
        return leave.code if isinstance(leave.code, int) else 2
    except KeyboardInterrupt as stop:
        return _stopped(str(stop) or "stopped")
    except Exception as error:
        if interruption.received:  # a library made another error of it
            return _stopped("stopped")
        status = _status(error)
        message = f"{told(error) or error}{_again(error, words)}"
        return _fail(message, status) if status else _unexpected(error)


def _dispatch(words: list[str]) -> int:
    if not words:
        print(_help(), file=sys.stderr)
        return 2
    name, rest = words[0], words[1:]
    if name in ("-h", "--help", "help"):
        if rest and rest[0] in COMMANDS:
            return COMMANDS[rest[0]][1](["--help"])
        print(_help())
        return 0
    if name in ("--version", "-V", "version"):
        print(f"coevo {__version__}")
        return 0
    if name not in COMMANDS:
        raise UsageError(
            f"there is no command {name!r}{nearest(name, list(COMMANDS))}; "
            f"the commands are {', '.join(COMMANDS)}"
        )
    return COMMANDS[name][1](["--help"] if rest == ["help"] else rest)


def _status(error: Exception) -> int | None:
    """2 for what the user wrote, 1 for what went wrong, None for a defect of ours.

    By name: the classes live in modules that need not have been imported.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"UsageError", "ConfigError"}:
        return 2
    failures = {
        "RunError", "StoreError", "CheckpointError", "ModelUnavailable", "WorkerLost",
        "RuntimeUnfit", "EndpointError", "BrokenModel",
    }  # fmt: skip
    if names & failures or isinstance(error, PackagesError) or told(error):
        return 1
    return None


def _again(error: Exception, words: Sequence[str]) -> str:
    """The command that confirms what a folder asks for, where that is what is missing."""
    if type(error).__name__ != "Unconfirmed":
        return ""
    from coevo.program import command

    return f": {command(*words, '--trust')}"


def _stopped(message: str) -> int:
    interruption.said.append(message)
    return _fail(message, interruption.STATUS)


def _fail(message: str, status: int) -> int:
    """Prints the message: text of others in it neither acts nor passes for a line of its own."""
    if not (message.isascii() and message.isprintable()) or len(message) > LONGEST_MESSAGE:
        try:
            from environments.printable import printable  # imports numpy
        except ImportError:  # the installation is what the message is about
            message = ascii(message)
        else:
            message = printable(message, lines=True, longest=LONGEST_MESSAGE)
    print(f"coevo: {message}".replace("\n", "\n  "), file=sys.stderr)
    return status


def _unexpected(error: Exception) -> int:
    """One line for the user; the traceback goes into a file that a report can quote."""
    return _fail(_defect(error), 1)


def _defect(error: Exception) -> str:
    told = f"{type(error).__name__}: {error}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="coevo-traceback-", suffix=".txt", delete=False,
            encoding="utf-8", errors="backslashreplace",
        ) as file:  # fmt: skip
            traceback.print_exception(error, file=file)
    except OSError:
        traceback.print_exception(error)
        return told
    return f"{told} (unexpected; the traceback is in {file.name})"


# -- the commands ---------------------------------------------------------------------------------


def folder(text: str) -> Path:
    """A folder that the user names, `~` in it too."""
    from coevo.places import expanded

    return Path(expanded(text))


class PackagesError(Exception):
    """The installation is incomplete, or another distribution's packages are in the way."""


def _check_packages() -> None:
    from coevo.packages import check_packages

    try:
        check_packages()
    except RuntimeError as error:
        raise PackagesError(str(error)) from error


def _run(words: Sequence[str]) -> int:
    parser = Parser("run", "Runs a loop, configured by overrides.", run_examples())
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra's grammar")
    parser.add_argument("-m", "--multirun", action="store_true", help="one run for each value")
    parser.add_argument("-c", "--cfg", choices=["job"], help="print the configuration and stop")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and stop: GPUs, memory"
    )
    arguments = parser.parse_intermixed_args(words)
    from coevo.compose import expand, to_plain
    from coevo.sweep import check, prepare
    from coevo.sweep import run as sweep

    _check_packages()
    swept = arguments.multirun
    jobs = prepare(expand(arguments.overrides) if swept else [arguments.overrides])
    configs = [job.config for job in jobs]
    _warn(configs)
    if arguments.cfg:
        import yaml

        print(
            "---\n".join(yaml.safe_dump(to_plain(one), sort_keys=False) for one in configs), end=""
        )
        return 0
    if arguments.dry_run:
        from coevo import plan

        check(jobs, plan.check)
        return plan.main(configs)
    from coevo.run import check_start, start

    if not swept:
        start(configs[0])
        return 0
    check(jobs, check_start)
    return sweep(jobs, start, _said)


def _said(error: Exception) -> str:
    return (told(error) or str(error)) if _status(error) else _defect(error)


def _warn(configs: Sequence[Config]) -> None:
    """Says once what the prompts of all these runs lack, and what is trained only seemingly."""
    from coevo import prompt_check, trainable

    found = (
        line
        for config in configs
        for line in (*prompt_check.warnings(config), *trainable.warnings(config))
    )
    for line in dict.fromkeys(found):
        print(f"warning: {line}", file=sys.stderr)


def _add_trust(parser: Parser) -> None:
    told = "use the code, servers, variables, files and models that the folder names (docs/security.md)"
    parser.add_argument("--trust", action="store_true", help=told)


def _resume(words: Sequence[str]) -> int:
    parser = Parser("resume", "Goes on from a run's last whole round.")
    parser.add_argument("run", help="name or folder of a run")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as rounds=20")
    parser.add_argument("--allow-changes", action="store_true", help="resume with other settings")
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(words)
    _check_packages()
    from coevo.run import resume
    from coevo.run_folder import find_run

    folder = find_run(arguments.run)
    resume(folder, arguments.overrides, arguments.allow_changes, arguments.trust)
    return 0


def _eval(words: Sequence[str]) -> int:
    parser = Parser("eval", "Measures a run's base and final weights, or a model.", EVAL_EXAMPLES)
    parser.add_argument(
        "target", metavar="RUN_OR_MODEL", help="a run; nope, tiny, smollm2, a folder"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--like", metavar="RUN", help="measure a model as this run is measured")
    parser.add_argument(
        "--to", metavar="DIR", type=folder, help="where to write (default: the run)"
    )
    parser.add_argument("--limit", metavar="N", help="measure N of the problems: limit=N")
    parser.add_argument("--save-completions", action="store_true", help="write them too, as JSONL")
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(words)
    limit = [] if arguments.limit is None else [f"limit={arguments.limit}"]
    _check_packages()
    from coevo.eval_command import main as evaluate

    return evaluate(
        arguments.target,
        [*arguments.overrides, *limit],
        arguments.like,
        arguments.to,
        arguments.save_completions,
        arguments.trust,
    )


def _explain(words: Sequence[str]) -> int:
    parser = Parser("explain", "Where a problem came from and what became of it.")
    parser.add_argument("run", help="name or folder of a run")
    parser.add_argument("problem", nargs="?", help="id, its beginning, or a statement")
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(words)
    _check_packages()
    from coevo.run_folder import open_run

    run = open_run(arguments.run, arguments.trust)
    if arguments.problem is None:
        from coevo.interesting import overview

        print(overview(run))
        return 0
    from coevo.explain import explain

    print(explain(run, arguments.problem))
    return 0


def _export(words: Sequence[str]) -> int:
    parser = Parser("export", "Writes a run's data as parquet for TRL, or a model folder.")
    parser.add_argument("run", help="name or folder of a run")
    kinds = ["preferences", "sft", "problems", "model"]
    parser.add_argument("--what", required=True, choices=kinds)
    parser.add_argument("--to", required=True, metavar="DIR", type=folder, help="a new folder")
    parser.add_argument("--role", default="solver", choices=["solver", "generator"])
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(words)
    _check_packages()
    from coevo.export import main as export
    from coevo.run_folder import open_run

    run = open_run(arguments.run, arguments.trust)
    return export(run, arguments.what, arguments.to, arguments.role)


def _compare(words: Sequence[str]) -> int:
    parser = Parser("compare", "Runs side by side, with intervals over seeds.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names or folders of finished runs")
    parser.add_argument("--by", default="experiment", metavar="KEY", help="what tells them apart")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    arguments = parser.parse_intermixed_args(words)
    _check_packages()
    from coevo.compare import main as compare

    return compare(arguments.runs, arguments.by, arguments.markdown)


def _leaks(words: Sequence[str]) -> int:
    parser = Parser("leaks", "Problems of evaluation sets in a run's pool.", LEAKS_EXAMPLES)
    parser.add_argument("run", help="name or folder of a run")
    parser.add_argument("sets", nargs="*", metavar="set=FILE", help="beside those of the run")
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(words)
    _check_packages()
    from coevo.leaks import main as leaks

    return leaks(arguments.run, arguments.sets, arguments.trust)


def _doctor(words: Sequence[str]) -> int:
    Parser("doctor", "What is installed, and what each tier needs.").parse_args(words)
    from coevo.doctor import main as doctor

    return doctor()


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "run": ("run a loop: coevo run [key=value ...]", _run),
    "resume": ("go on from a run's last whole round", _resume),
    "eval": ("measure a run's base and final weights, or a model", _eval),
    "explain": ("where a problem came from and what became of it", _explain),
    "export": ("preferences, completions, problems or a model for other tools", _export),
    "compare": ("runs side by side, with intervals over seeds", _compare),
    "leaks": ("problems of evaluation sets in a run's pool", _leaks),
    "doctor": ("what is installed, and what each tier needs", _doctor),
}


def _help() -> str:
    commands = "\n".join(f"  {name:<9} {told}" for name, (told, _) in COMMANDS.items())
    return (
        "usage: coevo COMMAND ...\n\nSelf-improving loops of language-model agents.\n\n"
        f"{commands}\n\ncoevo COMMAND --help says more; coevo --version prints the version."
    )


if __name__ == "__main__":
    interruption.end(main())
