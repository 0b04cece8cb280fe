"""Settings that ask for something which another setting rules out: refused, never ignored."""

from __future__ import annotations

from coevo.config import Config, ConfigError


def check_unused(config: Config) -> None:
    """Raises `ConfigError` on the first setting that would be accepted and then do nothing."""
    loop, solver = config.loop, config.agents.solver.learner
    if loop.initial_sft and solver.objective == "none":
        raise ConfigError(
            "loop.initial_sft=true trains the Solver, which has agents.solver.learner=none; write "
            "loop.initial_sft=false, or a learner such as learner@agents.solver.learner=dpo"
        )
    if loop.initial_sft and solver.rft_weight > 0:
        raise ConfigError(
            "loop.initial_sft=true trains the Solver by sft, and "
            f"agents.solver.learner.rft_weight={solver.rft_weight:g} adds to the loss of preferences or "
            "rewards; write agents.solver.learner.rft_weight=0, or "
            "loop.initial_sft=false"
        )
    if loop.initial_sft_epochs > 1 and not loop.initial_sft:
        raise ConfigError(
            f"loop.initial_sft_epochs={loop.initial_sft_epochs} is of loop.initial_sft, which is "
            "false; write loop.initial_sft=true, or leave it out"
        )
    if loop.refine == "never" and (loop.train_generator or loop.feed != "teacher"):
        raise ConfigError(
            "loop.refine=never lets no new problem into the pool, and the Generator learns from the "
            "Teacher's new problems; write loop.feed=teacher loop.train_generator=false, or "
            "loop.refine=every_round"
        )
    teacher = config.agents.teacher
    if teacher.policy.name == "rules" and not teacher.prompts.verify:
        asked = {"judge": teacher.judge == "always", "canaries": teacher.canaries > 0}
        for key in (key for key, wanted in asked.items() if wanted):
            raise ConfigError(
                f"agents.teacher.{key}={getattr(teacher, key)} asks a model for verdicts, and this "
                "Teacher has policy rules; give it a model, such as policy@agents.teacher.policy=hf "
                "with prompts@agents.teacher.prompts=math, or leave it out"
            )
    for role in ("solver", "generator"):
        learner = getattr(config.agents, role).learner
        if learner.teacher and learner.objective != "distill":
            raise ConfigError(
                f"agents.{role}.learner.teacher={learner.teacher} is of objective distill, and this "
                f"is {learner.objective}; write learner@agents.{role}.learner=distill, or leave it out"
            )
    if config.runtime.address is not None and config.runtime.kind != "ray":
        raise ConfigError(
            f"runtime.address={config.runtime.address} is of a Ray cluster, and the runtime is "
            f"{config.runtime.kind}; write runtime=ray, or runtime.address=null"
        )
