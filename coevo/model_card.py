"""The model card of an exported model, and the command that repeats a run."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from coevo import __version__, compose
from coevo.config import Config, LearnerConfig, changed_fields, fields_of
from coevo.overrides import literal
from coevo.run_folder import RunFolder
from environments.printable import in_block, in_cell, in_code

UNTOUCHED = ("name", "runs_dir", "experiment")


def model_card(run: RunFolder, role: str, round: int) -> str:
    """Markdown: base model, how it was trained, figures with intervals, how to load it."""
    config = run.config
    block = getattr(config.agents, role)
    lines = [
        "---",
        "library_name: transformers",
        *([f"base_model: {json.dumps(block.model)}"] if "/" in block.model else []),
        "pipeline_tag: text-generation",
        "tags: [coevo, self-improvement]",
        "---",
        "",
        f"# {in_cell(run.name)}: the {role.capitalize()} after round {round}",
        "",
        f"Made by coevo {__version__} from the base model {in_code(block.model)}: a Teacher, a "
        f"Solver and a Generator co-evolved for {round} rounds on {in_code(config.environment.name)} "
        f"(experiment {in_code(config.experiment)}, seed {config.seed}). The {role.capitalize()} learned by "
        f"{_learner(block.learner)}.",
        "",
        f"Its prompts are made from the template {in_code(block.template)}"
        + (", inside the chat template." if block.policy.chat else ", without a chat template."),
        f"It was sampled at temperature {block.sampling.temperature:g}, "
        f"top-p {block.sampling.top_p:g}, at most {block.sampling.max_tokens} tokens.",
        "",
        "## Figures",
        "",
        *_figures(run.summary(), role, round),
        "",
        "## Use",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        "model = AutoModelForCausalLM.from_pretrained(FOLDER)",
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)",
        "```",
        "",
        "or `vllm serve FOLDER`.",
        "",
        "## The run again",
        "",
        in_block(command(config)),
        "",
        "and this folder: "
        + in_code(f"coevo export {run.name} --what model --role {role} --to FOLDER")
        + ".",
        "",
    ]
    return "\n".join(lines)


def _learner(learner: LearnerConfig) -> str:
    return (
        f"{learner.objective.upper()} (lr {learner.lr:g}, {learner.groups_per_step} problems a "
        f"step, {learner.epochs} epoch{'s' * (learner.epochs != 1)} a round, "
        f"gradient norm at most {learner.clip:g})"
    )


def _figures(summary: dict[str, Any] | None, role: str, round: int) -> list[str]:
    if summary is None or summary["rounds"] != round:
        return ["The run has not finished: nothing was measured yet."]
    if role == "generator":
        first, last = summary["generator"]["valid_rate"]
        worth = summary["generator"]["mean_utility"]
        return [
            "| | first round | last round |",
            "| --- | --- | --- |",
            f"| valid problems | {_percent(first)} | {_percent(last)} |",
            "| mean utility | "
            + " | ".join("none" if value is None else f"{value:.3f}" for value in worth)
            + " |",
        ]
    lines = []
    for name, figures in summary["benchmarks"].items():
        low, high = figures["delta_ci95"]
        metric = figures["metric"]
        lines += [
            f"Benchmark {in_code(name)}, {figures['problems']} problems:",
            "",
            "| | base | final | change (95 % interval) |",
            "| --- | --- | --- | --- |",
            f"| {in_cell(metric)} | {100 * figures['base']:.1f} % | {100 * figures['final']:.1f} % "
            f"| {100 * figures['delta']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] points |",
        ]
        for key in [key for key in figures if key.startswith(("pass@", "maj@"))]:
            base, final = figures[key]["base"], figures[key]["final"]
            change = 100 * (final - base)
            lines.append(
                f"| {in_cell(key)} | {100 * base:.1f} % | {100 * final:.1f} % | {change:+.1f} |"
            )
        for level, (base, final) in figures["by_level"].items():
            change = 100 * (final - base)
            lines.append(
                f"| {in_cell(f'{metric}, level {level}')} | {100 * base:.1f} % | {100 * final:.1f} % "
                f"| {change:+.1f} |"
            )
    return [*lines, "", "The interval is clustered by problem: one run, one seed."]


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"


def command(config: Config) -> str:
    """The shortest `coevo run` that composes this configuration, name and folder aside."""
    known = config.experiment in compose.group_options("experiment")
    words = [f"experiment={config.experiment}"] if known else []
    default = compose.to_plain(compose.compose(words))
    changed = {
        change.partition(":")[0] for change in changed_fields(default, compose.to_plain(config))
    }
    for path, value, _ in fields_of(config):
        if f"{path}." in compose.OPEN:
            alone = path == "environment.options" and "environment.name" in changed
            words += [f"{path}.{key}={_literal(own)}" for key, own in value.items()
                      if alone or f"{path}.{key}" in changed]  # fmt: skip
        elif path in changed and path not in UNTOUCHED[: 3 if known else 2]:
            words.append(f"{path}={literal(value)}")
    return shlex.join(["coevo", "run", *words])


def _literal(value: Any) -> str:
    """A value of an open block, in Hydra's grammar."""
    if isinstance(value, str):
        plain = value.replace("_", "").replace("-", "").replace("/", "").replace(".", "")
        if (
            plain.isalnum()
            and plain[0].isalpha()
            and value.lower() not in ("true", "false", "null")
        ):
            return value
        # a quote takes a backslash, and so does each backslash before a quote or the end
        return "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", value).replace("'", r"\'") + "'"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_literal(own)}" for key, own in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_literal, value)) + "]"
    return json.dumps(value)
