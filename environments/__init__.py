"""What is asked of the agents, and how it is judged. Imports neither torch nor ray."""

from environments.base import (
    Diagnosis,
    Environment,
    Malformed,
    Problem,
    Verdict,
    problem_id,
)

__all__ = ["Diagnosis", "Environment", "Malformed", "Problem", "Verdict", "make", "problem_id"]

ENVIRONMENTS = {
    "arithmetic": "environments.arithmetic:Arithmetic",
    "math_text": "environments.math_text:MathText",
    "mixture": "environments.mixture:Mixture",
    "reasoning_gym": "environments.reasoning_gym:ReasoningGym",
    "sums_in_words": "environments.sums_in_words:SumsInWords",
}


def make(name: str, **options: object) -> Environment:
    """The environment called `name`, built with its `options`.

    Raises `ValueError` if no environment has that name; a name of the form
    `package.module:Class` builds an environment of the user's own.
    """
    import importlib

    path = ENVIRONMENTS.get(name, name)
    if ":" not in path:
        raise ValueError(
            f"environment {name!r} does not exist; write one of {', '.join(ENVIRONMENTS)}, "
            "or package.module:Class for one of your own"
        )
    module, attribute = path.split(":")
    environment = getattr(importlib.import_module(module), attribute)(**options)
    if not isinstance(environment, Environment):
        raise ValueError(f"{path} is not a subclass of environments.Environment")
    return environment
