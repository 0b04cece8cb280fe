"""Standard output and error of the command line: a reader that has gone (`| head`) is no error."""

from __future__ import annotations

import io
import os
import sys


class Patient(io.TextIOWrapper):
    """A text stream whose reader may go at any time: what is written then goes nowhere.

    Text that its encoding lacks is written out (`\\u202e`). Other errors, such as a full disk, are
    raised, unless the stream is `lenient`, as standard error is; that shows every line at once.
    """

    def __init__(self, stream: io.TextIOWrapper, lenient: bool):
        encoding, lines = stream.encoding, lenient or stream.line_buffering
        self._lenient = lenient
        super().__init__(stream.detach(), encoding, errors="backslashreplace", line_buffering=lines)

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._pass(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._pass(error)

    def _pass(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # so that nothing is left that fails again
        os.close(nowhere)
        if not (self._lenient or isinstance(error, BrokenPipeError)):
            error.filename = "standard output"  # for the message
            raise error


def make_patient() -> None:
    """Makes the process's own streams `Patient`; one that was closed (`>&-`) is opened to nowhere.

    Left alone are streams that somebody else put in their place, such as a test's.
    """
    for number in (0, 1, 2):  # else the next file that is opened would be standard output
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w")  # noqa: SIM115
        elif stream is not getattr(sys, f"__{name}__"):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
            continue
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Patient):
            stream = Patient(stream, lenient=name == "stderr")
            setattr(sys, f"__{name}__", stream)
        setattr(sys, name, stream)
