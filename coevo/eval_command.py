"""`coevo eval`: a run's base and final weights, or a model alone, measured on a benchmark."""

from __future__ import annotations

import copy
import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from agents.model_files import NAMES, ModelUnavailable, model_folder
from agents.remote import make_runtime
from coevo import checkpoint, compose, load_check
from coevo.config import Config, ConfigError, EnvironmentConfig, nearest
from coevo.eval_report import Timed, render, report, write
from coevo.evaluate import measure
from coevo.length_check import check_lengths
from coevo.means import check_means
from coevo.prompt_check import warnings
from coevo.run_folder import (
    FolderRefused,
    RunFolder,
    find_run,
    held_out,
    make_environment,
    open_run,
    run_names,
)
from coevo.team import Team, to_sampling
from coevo.trust import confirm
from environments import benchmarks
from environments.benchmark_set import PUBLISHED
from environments.benchmarks import Benchmark
from environments.printable import printable

OWN = "heldout"  # the held-out problems of the run's own environment
TEXT_TOKENS = 1024  # of a completion on free text, where nothing else is asked for
SHORT = {
    "k": "evaluation.k",
    "per_cell": "evaluation.per_cell",
    "temperature": "evaluation.sampling.temperature",
    "top_p": "evaluation.sampling.top_p",
    "max_tokens": "evaluation.sampling.max_tokens",
}
TEXT = (benchmarks.SET, "math_text", "reasoning_gym")  # environments of free text
READS = {"nope": "strings", "tiny": "arithmetic"}  # what the packaged models were trained on
EXPERIMENT = {"nope": "default", "tiny": "arithmetic"}  # and what they are measured as
NO_CURVE = "evaluation.curve_every=0"  # a measurement has none, whatever its k and per_cell
OF_A_FILE = ("path", "sha256", "rows", "tolerance")  # words of a published set alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for on the command line, `SHORT` names written out.

    `file` holds the words of `OF_A_FILE`; `limit` is how many problems, None for all.
    """

    benchmark: str = OWN
    seed: int = 0
    limit: int | None = None
    file: dict[str, str] = dataclasses.field(default_factory=dict)
    overrides: list[str] = dataclasses.field(default_factory=list)

    def gives(self, key: str) -> bool:
        return any(override.partition("=")[0] == key for override in self.overrides)

    @property
    def label(self) -> str:
        """What the files are called after: a limited measurement replaces no whole one."""
        return self.benchmark if self.limit is None else f"{self.benchmark}-limit{self.limit}"


def main(
    target: str,
    words: Sequence[str],
    like: str | None,
    to: Path | None,
    save_completions: bool,
    trust: bool = False,
) -> int:
    """Measures, prints a table and writes `eval-<benchmark>.json` into the run (or into `to`)."""
    request = parse(words)
    run, config = resolve(target, request, like)
    if like is not None or run is not None:
        own = find_run(like) if like is not None else find_run(target)
        confirm_used(config, own, request, is_run=run is not None, trust=trust)
    folder = to or (run.path if run else None)
    if save_completions and folder is None:
        raise ConfigError("--save-completions for a model needs --to DIR: where to write them")
    config, benchmark = prepare(config, request)
    for told in warnings(config):
        if told.startswith("agents.solver."):
            print(f"warning: {told}", file=sys.stderr)
    measured, checkpoint_round = measure_all(config, run, benchmark, request.seed)
    result = report(measured, config, benchmark, request.seed, request.limit) | {
        "target": target,
        "round": checkpoint_round,
        "rounds": config.rounds if run else None,
        "model": config.agents.solver.model,
    }
    written = write(folder, request.label, result, measured, save_completions) if folder else []
    render(result, Console(highlight=False))
    for path in written:
        print(printable(f"written: {path}"))
    return 0


def parse(words: Sequence[str]) -> Request:
    """Splits `key=value` words into our own and those of the configuration.

    Raises `ConfigError` on a benchmark, number or key that does not exist.
    """
    benchmark, numbers, file, overrides = OWN, {}, {}, []
    ours = ("benchmark", "seed", "limit", *OF_A_FILE)
    known = [*SHORT, *ours, *compose.all_keys(), *compose.groups()]
    for word in words:
        key, _, value = word.partition("=")
        if key == "benchmark":
            names = [OWN, *benchmarks.names()]
            if value not in names:
                raise ConfigError(
                    f"{word}: no such benchmark{nearest(value, names)}; one of {', '.join(names)}"
                )
            benchmark = value
        elif key in ("seed", "limit"):
            lowest = 1 if key == "limit" else 0
            if not value.isascii() or not value.isdigit() or int(value) < lowest:
                raise ConfigError(
                    f"{word}: write a whole number from {lowest}, such as {key}={lowest}"
                )
            numbers[key] = int(value)
        elif key in OF_A_FILE:
            file[key] = value
        elif key in SHORT:
            overrides.append(f"{SHORT[key]}={value}")
        elif key.lstrip("+~").split("@")[0] in known or key.startswith(compose.OPEN):
            overrides.append(word)
        else:
            raise ConfigError(f"{word}: there is no key {key!r}{nearest(key, known)}")
    if file and benchmark not in PUBLISHED:
        word = next(f"{key}={value}" for key, value in file.items())
        raise ConfigError(
            f"{word} goes with a published set: write benchmark=NAME with one of "
            f"{', '.join(PUBLISHED)}"
        )
    request = Request(
        benchmark=benchmark,
        seed=numbers.get("seed", 0),
        limit=numbers.get("limit"),
        file=file,
        overrides=overrides,
    )
    if benchmark != OWN and request.gives(SHORT["per_cell"]):
        raise ConfigError(
            f"per_cell is for benchmark={OWN}: {benchmark} is always the same problems; "
            "write limit=N for fewer"
        )
    return request


def resolve(target: str, request: Request, like: str | None) -> tuple[RunFolder | None, Config]:
    """The run, if the target is one, and the configuration to measure with.

    A model takes environment and template from the run `like`, from the experiment of its own name
    (`smollm2`), or from the default experiment, in this order.
    """
    try:
        find_run(target)
    except FolderRefused:
        raise
    except ConfigError as error:
        if (Path(target) / "config.json").is_file() or "/" in target or _is_model(target):
            return None, model_config(target, request, like)
        hint = nearest(target, [*NAMES, *run_names()])
        raise ConfigError(
            f"{error if Path(target).is_dir() else _neither(target)}{hint}"
        ) from error
    if like is not None:
        raise ConfigError("--like RUN is for a model: a run has its own configuration")
    run = open_run(target)  # its environment is made from the configuration with the overrides
    return run, of_run(run.path, request.overrides)


def _is_model(name: str) -> bool:
    return name in NAMES


def _neither(target: str) -> str:
    return f"{target!r} is neither a run nor a model ({', '.join(NAMES)}, a model folder, org/name)"


def confirm_used(
    config: Config, folder: Path, request: Request, *, is_run: bool, trust: bool
) -> None:
    """Raises `ConfigError` if measuring needs what the run's folder asks for beyond itself.

    `is_run`: the run itself is measured, and not a model of the user's choice in its way.
    """
    used = _measuring(config, is_run)
    if request.benchmark != OWN:
        used.environment = EnvironmentConfig()  # the benchmark brings its own
    if not is_run:
        used.agents.solver.model = NAMES[0]  # the user's own word
    keys = ("environment", "agents", "runtime")
    confirm(used, folder, request.overrides, trust=trust, only=keys)


def of_run(path: Path, overrides: Sequence[str]) -> Config:
    """A run's configuration with overrides of single keys, and `runtime=inline`.

    Name and place of the run are those of its folder, whatever is written in it.
    """
    words = [NO_CURVE, *compose.single_keys(overrides)]
    config = compose.from_plain(compose.load(path / "config.yaml"), words)
    config.name, config.runs_dir = path.name, str(path.parent)
    return config


def model_config(model: str, request: Request, like: str | None) -> Config:
    """The configuration that a model alone is measured with; its policy is `hf` unless chosen."""
    if like is not None:
        config = of_run(find_run(like), request.overrides)
    else:
        overrides = [NO_CURVE, *request.overrides]
        chosen = any(override.startswith("experiment=") for override in overrides)
        experiment = EXPERIMENT.get(model, model)
        if not chosen and experiment in compose.group_options("experiment"):
            overrides = [f"experiment={experiment}", *overrides]
        if not request.gives("learner@agents.solver.learner"):
            overrides = [*overrides, "learner@agents.solver.learner=none"]
        config = compose.compose(overrides)
    try:
        model_folder(model)
    except ModelUnavailable as error:
        if not _is_model(model):
            raise ConfigError(str(error)) from error
        raise
    solver = config.agents.solver
    solver.model, solver.learner.objective = model, "none"
    if not any(map(request.gives, ("policy@agents.solver.policy", "agents.solver.policy.name"))):
        solver.policy.name = "hf"
    return config


def prepare(config: Config, request: Request) -> tuple[Config, Benchmark]:
    """The problems, and the configuration that they are measured with.

    A benchmark brings its own environment. Where the Solver's own asks in another way, its template
    (which may be worked examples of something else) is left out, and completions of free text may be
    `TEXT_TOKENS` long; both only if the command line says nothing else.
    """
    config = copy.deepcopy(config)
    own = config.environment.name
    if request.benchmark == OWN:
        environment = make_environment(config.environment)
        problems = held_out(config, environment)
        options = config.environment.options
        found = Benchmark(
            name=OWN,
            environment=own,
            options=options,
            problems=tuple(problems),
            left_out=environment.left_out,
        )
    else:
        try:
            found = benchmarks.open_benchmark(request.benchmark, **request.file)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"benchmark={request.benchmark}: {error}") from error
        config.environment = EnvironmentConfig(name=found.environment, options=found.options)
        text = found.environment in TEXT
        solver = config.agents.solver
        reads = READS.get(solver.model, found.environment)
        if reads != found.environment and solver.policy.name != "rules":
            raise ConfigError(
                f"benchmark={request.benchmark}: the model {solver.model} reads the words of {reads} alone; "
                "write another model"
            )
        if own != ("math_text" if found.environment == benchmarks.SET else found.environment):
            if not request.gives("agents.solver.template"):
                solver.template = "{prompt}"
            if text and not request.gives(SHORT["max_tokens"]):
                config.evaluation.sampling.max_tokens = TEXT_TOKENS
    if request.limit is not None:
        chosen = benchmarks.first(found.problems, request.limit)
        found = dataclasses.replace(found, problems=tuple(chosen))
    return config, found


def _measuring(config: Config, is_run: bool) -> Config:
    """The configuration with nothing but what is needed to measure the Solver."""
    config = copy.deepcopy(config)
    config.loop = dataclasses.replace(config.loop, feed="teacher", train_generator=False)
    config.agents.teacher.policy.name = "rules"  # only the environment's own verdicts are needed
    config.agents.teacher.learner.objective = "none"
    if not is_run:
        config.agents.solver.learner.objective = "none"
    return config


def measure_all(
    config: Config, run: RunFolder | None, benchmark: Benchmark, seed: int
) -> tuple[dict[str, Timed], int | None]:
    """Measurements by weights, `base` and `final` or `model`, and the checkpoint's round.

    The weights of a run that has not finished are `round N` instead of `final`.
    """
    config = _measuring(config, run is not None)
    check_means(config)
    k, sampling = config.evaluation.k, to_sampling(config.evaluation.sampling)
    environment = make_environment(config.environment)
    check_lengths(config, environment, benchmark.problems, training=False)
    newest = run.newest_checkpoint() if run else None  # before anything slow
    runtime = make_runtime(config.runtime.kind, config.runtime.address, config.runtime.restarts)
    try:
        team = Team(config, runtime)
        load_check.check(team, environment, benchmark.problems)

        def measured(weights: str) -> Timed:
            print(f"measuring {weights}: {len(benchmark.problems)} problems x {k}", file=sys.stderr)
            start = time.perf_counter()
            rows = measure(
                team.solver, team.teacher, benchmark.problems, k, sampling, benchmark.name, seed
            )
            return Timed(rows, time.perf_counter() - start)

        if newest is None:
            return {"model": measured("model")}, None
        folder, state = newest
        summary = run.summary() if run else None
        finished = summary is not None and summary["rounds"] == state["round"]
        latest = "final" if finished else f"round {state['round']}"
        base = measured("base")
        if not team.trained():  # nothing of it was ever changed
            return {"base": base, latest: base}, state["round"]
        checkpoint.require(folder, state["versions"], [m.name for m in team.trained()])
        team.load(folder, state["versions"])
        load_check.check(team, environment, benchmark.problems)
        return {"base": base, latest: measured(latest)}, state["round"]
    finally:
        runtime.close()
