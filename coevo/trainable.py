"""Which role can be trained how, and what is said of a role that learns nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from coevo.config import POLICY_GRADIENT, PREFERENCE, SUPERVISED, Config, ConfigError

OBJECTIVES = (*PREFERENCE, *POLICY_GRADIENT, *SUPERVISED, "none")
# The Generator's lessons are problems that the Teacher wrote, one of each, and what it is worth.
OF_ROLE = {"solver": OBJECTIVES, "teacher": ("none",), "generator": ("sft", "none")}


def check_trainable(config: Config) -> None:
    """Raises `ConfigError` on an objective that its role's lessons are not for.

    Of new runs and resumed ones: what an earlier version of coevo has run can still be read.
    """
    for role, possible in OF_ROLE.items():
        objective = getattr(config.agents, role).learner.objective
        if objective in possible or objective not in OBJECTIVES:  # the latter is told of by name
            continue
        where = f"agents.{role}.learner.objective={objective}"
        if role == "teacher":
            raise ConfigError(
                f"{where}: the Teacher is never trained; write learner@agents.teacher.learner=none"
            )
        raise ConfigError(
            f"{where} cannot train the Generator: its lessons are problems that the Teacher wrote, "
            f"each weighted by its utility, and {_why(objective)}; write "
            "learner@agents.generator.learner=sft, or none"
        )


def _why(objective: str) -> str:
    if objective in PREFERENCE and objective != "kto":
        return "there are no pairs of them"
    if objective in POLICY_GRADIENT:
        return "no policy drew them, so that they have no log-probabilities of the sampling"
    return f"{objective} takes no weight, and would learn from those that are worth nothing too"


def warnings(config: Config) -> Iterator[str]:
    """What a configuration trains only seemingly."""
    if config.loop.train_generator and config.agents.generator.learner.objective == "none":
        yield (
            "loop.train_generator=true, but the Generator has agents.generator.learner=none: it is "
            "never trained; write loop.train_generator=false to have it so without this line"
        )


def without_step(updates: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """(`no_step/<role>`, message) for each update, by role, that changed no weight.

    An update is what a learner returns: `steps`, those of them that were left out
    (`skipped_steps`), and the groups that gave no gradient.
    """
    found = []
    for role, update in updates.items():
        steps, skipped = update.get("steps"), update.get("skipped_steps", 0)
        if steps is None or steps > skipped:
            continue
        if steps:
            why = f"loss or gradient of all its {steps:.0f} steps is not finite"
        elif groups := update.get("groups_without_gradient", 0):
            why = f"none of its {groups:.0f} groups gives a gradient"
        else:
            why = "there was nothing to learn from"
        found.append((f"no_step/{role}", f"the {role.capitalize()} learnt nothing: {why}"))
    return found
