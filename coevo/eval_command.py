"""`coevo eval`: a run's base and final weights, or a model alone, measured on a benchmark."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.model_files import ModelUnavailable, model_folder
from agents.remote import make_runtime
from coevo import compose
from coevo.config import Config, ConfigError, nearest
from coevo.evaluate import Measured, Score, changes, difference, estimates, grouped, measure
from coevo.means import check_means
from coevo.run_folder import RunFolder, find_run, make_environment, open_run, run_names
from coevo.team import Team, to_sampling
from environments import Environment, Problem
from environments.benchmark import heldout

BENCHMARKS: dict[str, Callable[[Environment, int], list[Problem]]] = {"heldout": heldout}
SHORT = {
    "k": "evaluation.k",
    "per_cell": "evaluation.per_cell",
    "temperature": "evaluation.sampling.temperature",
    "top_p": "evaluation.sampling.top_p",
    "max_tokens": "evaluation.sampling.max_tokens",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for on the command line, `SHORT` names written out."""

    benchmark: str
    seed: int
    overrides: list[str]


def main(
    target: str, words: Sequence[str], like: str | None, to: Path | None, save_completions: bool
) -> int:
    """Measures, prints a table and writes `eval-<benchmark>.json` into the run (or into `to`)."""
    request = parse(words)
    run, config = resolve(target, request, like)
    folder = to or (run.path if run else None)
    if save_completions and folder is None:
        raise ConfigError("--save-completions for a model needs --to DIR: where to write them")
    measured, checkpoint_round = measure_all(config, run, request)
    result = report(measured, config, request) | {
        "target": target,
        "round": checkpoint_round,
        "model": config.agents.solver.model,
    }
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"eval-{request.benchmark}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(result, indent=1) + "\n")
        temporary.replace(path)
    render(result, Console(highlight=False))
    if folder is not None:
        print(f"written: {path}")
        if save_completions:
            print(f"written: {write_completions(folder, request.benchmark, measured)}")
    return 0


def parse(words: Sequence[str]) -> Request:
    """Splits `key=value` words into our own and those of the configuration.

    Raises `ConfigError` on a benchmark, seed or key that does not exist.
    """
    benchmark, seed, overrides = "heldout", 0, []
    known = [*SHORT, "benchmark", "seed", *compose.all_keys(), *compose.groups()]
    for word in words:
        key, _, value = word.partition("=")
        if key == "benchmark":
            if value not in BENCHMARKS:
                hint = nearest(value, list(BENCHMARKS))
                raise ConfigError(
                    f"{word}: no such benchmark{hint}; one of {', '.join(BENCHMARKS)}"
                )
            benchmark = value
        elif key == "seed":
            if not value.isascii() or not value.isdigit():
                raise ConfigError(f"{word}: write a whole number from 0, such as seed=0")
            seed = int(value)
        elif key in SHORT:
            overrides.append(f"{SHORT[key]}={value}")
        elif key.lstrip("+~").split("@")[0] in known or key.startswith(compose.OPEN):
            overrides.append(word)
        else:
            raise ConfigError(f"{word}: there is no key {key!r}{nearest(key, known)}")
    return Request(benchmark, seed, overrides)


def resolve(target: str, request: Request, like: str | None) -> tuple[RunFolder | None, Config]:
    """The run, if the target is one, and the configuration to measure with.

    A model takes environment and template from the run `like`, from the experiment of its own name
    (`smollm2`), or from the default experiment, in this order.
    """
    try:
        find_run(target)
    except ConfigError as error:
        if (Path(target) / "config.json").is_file() or "/" in target or _is_model(target):
            return None, model_config(target, request, like)
        hint = nearest(target, ["tiny", "smollm2", *run_names()])
        raise ConfigError(
            f"{error if Path(target).is_dir() else _neither(target)}{hint}"
        ) from error
    if like is not None:
        raise ConfigError("--like RUN is for a model: a run has its own configuration")
    run = open_run(target)
    return run, of_run(run.path, request.overrides)


def _is_model(name: str) -> bool:
    return name in ("tiny", "smollm2")


def _neither(target: str) -> str:
    return f"{target!r} is neither a run nor a model (tiny, smollm2, a model folder, org/name)"


def of_run(path: Path, overrides: Sequence[str]) -> Config:
    """A run's configuration with overrides of single keys, and `runtime=inline`."""
    single = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "runtime":
            override = f"runtime.kind={value}"
        elif key.split("@")[0] in compose.groups():
            raise ConfigError(
                f"{override} chooses a group, and a run has made its choices: write single keys, "
                f"such as {key.split('@')[-1]}.…=…"
            )
        single.append(override)
    return compose.from_plain(compose.load(path / "config.yaml"), single)


def model_config(model: str, request: Request, like: str | None) -> Config:
    """The configuration that a model alone is measured with."""
    if like is not None:
        config = of_run(find_run(like), request.overrides)
    else:
        overrides = request.overrides
        chosen = any(override.startswith("experiment=") for override in overrides)
        if not chosen and model in compose.group_options("experiment"):
            overrides = [f"experiment={model}", *overrides]
        config = compose.compose(overrides)
    try:
        model_folder(model)
    except ModelUnavailable as error:
        if not _is_model(model):
            raise ConfigError(str(error)) from error
        raise
    solver = config.agents.solver
    solver.model, solver.policy.name, solver.learner.objective = model, "hf", "none"
    return config


def measure_all(
    config: Config, run: RunFolder | None, request: Request
) -> tuple[dict[str, list[Measured]], int | None]:
    """Measurements by weights, `base` and `final` or `model`, and the checkpoint's round."""
    config = copy.deepcopy(config)
    config.loop = dataclasses.replace(config.loop, feed="teacher", train_generator=False)
    config.agents.teacher.policy.name = "rules"  # only the environment's own verdicts are needed
    if run is None:
        config.agents.solver.learner.objective = "none"
    check_means(config)
    environment = make_environment(config.environment)
    problems = BENCHMARKS[request.benchmark](environment, config.evaluation.per_cell)
    k, sampling = config.evaluation.k, to_sampling(config.evaluation.sampling)
    checkpoint = run.newest_checkpoint() if run else None  # before anything slow
    runtime = make_runtime(config.runtime.kind, config.runtime.address, config.runtime.restarts)
    try:
        team = Team(config, runtime)

        def measured(weights: str) -> list[Measured]:
            print(f"measuring {weights}: {len(problems)} problems x {k}", file=sys.stderr)
            return measure(
                team.solver, team.teacher, problems, k, sampling, request.benchmark, request.seed
            )

        if checkpoint is None:
            return {"model": measured("model")}, None
        folder, state = checkpoint
        base = measured("base")
        if not team.trained():  # nothing of it was ever changed
            return {"base": base, "final": base}, state["round"]
        team.load(folder, state["versions"])
        return {"base": base, "final": measured("final")}, state["round"]
    finally:
        runtime.close()


def report(measured: dict[str, list[Measured]], config: Config, request: Request) -> dict[str, Any]:
    """The content of `eval-<benchmark>.json`; `difference` is the block of `summary.json`."""
    scores = {weights: [one.score for one in rows] for weights, rows in measured.items()}
    first = next(iter(scores.values()))
    result: dict[str, Any] = {
        "schema": 1,
        "benchmark": request.benchmark,
        "environment": config.environment.name,
        "problems": len(first),
        "k": first[0].k,
        "per_cell": config.evaluation.per_cell,
        "seed": request.seed,
        "sampling": dataclasses.asdict(config.evaluation.sampling),
        "weights": {weights: _split(own, estimates) for weights, own in scores.items()},
    }
    if "base" in scores:
        base, final = scores["base"], scores["final"]
        result["difference"] = difference(base, final)
        if len(base) == 1:
            result["difference"]["delta_ci95"] = None
        result["change"] = _split(list(zip(base, final, strict=True)), _changes)
    return result


def _changes(pairs: Sequence[tuple[Score, Score]]) -> dict[str, dict[str, Any]]:
    return changes([base for base, _ in pairs], [final for _, final in pairs])


def _split(rows: list[Any], figures: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Figures of all rows, by level and by family; a row is a score, or a pair of scores."""
    result: dict[str, Any] = {"all": figures(rows)}
    for key in ("level", "family"):
        first = [row[0] if isinstance(row, tuple) else row for row in rows]
        ids = {name: {s.problem_id for s in own} for name, own in grouped(first, key).items()}
        result[f"by_{key}"] = {
            name: figures([row for row, s in zip(rows, first, strict=True) if s.problem_id in own])
            for name, own in ids.items()
        }
    return result


def write_completions(folder: Path, benchmark: str, measured: dict[str, list[Measured]]) -> Path:
    """Every completion with its verdict, one JSON object a line."""
    path = folder / f"eval-{benchmark}.completions.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for weights, rows in measured.items():
            for one in rows:
                pairs = zip(one.completions, one.verdicts, strict=True)
                for sample, (completion, verdict) in enumerate(pairs):
                    row = {
                        "weights": weights,
                        "problem_id": one.problem.id,
                        "statement": one.problem.statement,
                        "family": one.problem.family,
                        "level": one.problem.level,
                        "gold": one.problem.answer,
                        "sample": sample,
                        "text": completion.text,
                        "status": verdict.status,
                        "answer": verdict.answer,
                        "finish_reason": completion.finish_reason,
                    }
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def render(result: dict[str, Any], console: Console) -> None:
    """The table: at most 60 columns wide, all figures in percent or points."""
    sampling = result["sampling"]
    console.print(
        f"{result['benchmark']} of {result['environment']}: {result['problems']} problems "
        f"x {result['k']} samples, temperature {sampling['temperature']:g}, "
        f"top-p {sampling['top_p']:g}, seed {result['seed']}"
    )
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("")
    weights = result["weights"]
    for name in weights:
        table.add_column(f"{name}, %", justify="right")
    if "change" in result:
        table.add_column("change, points", justify="right")
    mean = f"mean@{result['k']}"
    rows = [(name, "all", None, name) for name in next(iter(weights.values()))["all"]]
    for key in ("level", "family"):
        groups = next(iter(weights.values()))[f"by_{key}"]
        rows += [(f"{key} {group}" if key == "level" else group, f"by_{key}", group, mean)
                 for group in groups]  # fmt: skip
    for label, part, group, measure_name in rows:
        cells = [_value(_pick(own, part, group)[measure_name]) for own in weights.values()]
        if "change" in result:
            cells.append(_change(_pick(result["change"], part, group)[measure_name]))
        table.add_row(label, *cells)
    console.print(table)
    console.print("95 % intervals, clustered by problem", style="dim")


def _pick(block: dict[str, Any], part: str, group: str | None) -> dict[str, Any]:
    return block[part] if group is None else block[part][group]


def _value(figure: dict[str, Any]) -> str:
    if figure["ci95"] is None:
        return f"{100 * figure['value']:.1f}"
    low, high = figure["ci95"]
    half = max(high - figure["value"], figure["value"] - low)  # one side may be cut at 0 or 1
    return f"{100 * figure['value']:.1f} ±{100 * half:.1f}"


def _change(figure: dict[str, Any]) -> str:
    if figure["ci95"] is None:
        return f"{100 * figure['delta']:+.1f}"
    low, high = (f"{100 * bound:+.1f}" for bound in figure["ci95"])
    return f"{100 * figure['delta']:+.1f} [{low}, {high}]"
