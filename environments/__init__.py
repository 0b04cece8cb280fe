"""What is asked of the agents, and how it is judged. Imports neither torch nor ray."""

import difflib
import importlib
import inspect
import re
import traceback
from typing import Any

from environments.base import (
    Diagnosis,
    Environment,
    Malformed,
    Problem,
    Verdict,
    problem_id,
)

__all__ = [
    "BadOption",
    "Diagnosis",
    "Environment",
    "Malformed",
    "Problem",
    "Verdict",
    "find",
    "make",
    "problem_id",
]

ENVIRONMENTS = {
    "arithmetic": "environments.arithmetic:Arithmetic",
    "math_text": "environments.math_text:MathText",
    "mixture": "environments.mixture:Mixture",
    "reasoning_gym": "environments.reasoning_gym:ReasoningGym",
    "strings": "environments.strings:Strings",
    "sums_in_words": "environments.sums_in_words:SumsInWords",
}


_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class BadOption(ValueError):
    """An option that an environment does not have, or a value that does not fit; the message begins
    with the option's name."""


def make(name: str, **options: object) -> Environment:
    """The environment called `name`, built with its `options`.

    Raises `BadOption`, and otherwise `ValueError` as `find` and the environment do.
    """
    kind = find(name)
    known = inspect.signature(kind).parameters
    open_ended = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for option in () if open_ended else options:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadOption(
                f"{option}: {name} has no such option{hint} (it has {', '.join(known) or 'none'})"
            )
    try:
        return kind(**options)
    except ValueError as error:
        if re.split(r"[=:.]", str(error))[0] in known:
            raise BadOption(str(error)) from error
        raise


def find(name: Any) -> type[Environment]:
    """The class of an environment: a built-in one, or `package.module:Class` of the user's own.

    Importing a module runs it, so a name that the user has not written himself is only looked up
    after he has confirmed it. Nothing but a subclass of `Environment` is returned, and nothing is
    called. Raises `ValueError` that says what to write instead.
    """
    path = ENVIRONMENTS.get(name, name) if isinstance(name, str) else ""
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"environment {name!r} does not exist; write one of {', '.join(ENVIRONMENTS)}, "
            "or package.module:Class for one of your own"
        )
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise ValueError(f"{module} cannot be imported ({_told(error)})") from error
    if found is None:
        raise ValueError(f"the module {module} has no class {attribute}")
    if not (isinstance(found, type) and issubclass(found, Environment)):
        raise ValueError(f"{path} is not a subclass of environments.Environment")
    return found


def _told(error: Exception) -> str:
    """An error in a line, with the place in the code where it was raised."""
    trace = traceback.extract_tb(error.__traceback__)
    place = f", {trace[-1].filename}, line {trace[-1].lineno}" if trace else ""
    return f"{type(error).__name__}: {error}{'' if isinstance(error, ImportError) else place}"
