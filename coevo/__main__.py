"""`coevo`, `python -m coevo`: an entry that Ctrl-C does not catch unprepared."""

from __future__ import annotations

from coevo import interruption


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    interruption.install()
    from coevo.cli import main as command

    interruption.end(command())


if __name__ == "__main__":
    main()
