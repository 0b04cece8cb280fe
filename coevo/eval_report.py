"""What `coevo eval` found: the content of its file, and the table on the screen."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from coevo.config import Config
from coevo.evaluate import Measured, Score, changes, difference, estimates, grouped, tally
from coevo.files import write_whole
from coevo.level_table import level_tables, of_estimates
from coevo.screen import plain, points, share
from environments.benchmarks import Benchmark, checksum

CUT_OFF = 0.05  # share of completions that ended at the limit of tokens, from which we warn
LISTED = 5  # problems that are named on the screen; the file names all
LEFT_OUT = 50  # rows likewise


@dataclass(frozen=True, slots=True)
class Timed:
    """A measurement and the seconds that drawing and judging took."""

    rows: list[Measured]
    seconds: float


def report(
    measured: dict[str, Timed],
    config: Config,
    benchmark: Benchmark,
    seed: int,
    limit: int | None,
) -> dict[str, Any]:
    """The content of `eval-<benchmark>.json`; `difference` is the block of `summary.json`.

    `problems_sha256` is the same for everybody who measured the same problems.
    """
    scores = {weights: [row.score for row in one.rows] for weights, one in measured.items()}
    first = next(iter(scores.values()))
    ids = {score.problem_id for score in first}
    result: dict[str, Any] = {
        "schema": 1,
        "benchmark": benchmark.name,
        "environment": config.environment.name,
        "problems": len(first),
        "limit": limit,
        "problems_sha256": checksum(benchmark.problems),
        "files": [dataclasses.asdict(file) for file in benchmark.files],
        "not_scorable": [
            dataclasses.asdict(one) for one in benchmark.unscorable if one.problem_id in ids
        ],
        "repeated": list(benchmark.repeated),
        "left_out": [dataclasses.asdict(one) for one in benchmark.left_out],
        "compared_as_words": [one for one in benchmark.in_words if one in ids],
        "tolerance": config.environment.options.get("tolerance"),
        "k": first[0].k,
        "per_cell": config.evaluation.per_cell if benchmark.name == "heldout" else None,
        "seed": seed,
        "sampling": dataclasses.asdict(config.evaluation.sampling),
        "template": config.agents.solver.template,
        "chat": config.agents.solver.policy.chat,
        "weights": {weights: _split(own, estimates) for weights, own in scores.items()},
        "completions": {
            weights: tally(one.rows) | {"seconds": round(one.seconds, 3)}
            for weights, one in measured.items()
        },
    }
    if "base" in scores:
        base, final = scores.values()
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
        groups = grouped(first, key)
        names = sorted(groups, key=int) if key == "level" else list(groups)
        ids = {name: {score.problem_id for score in groups[name]} for name in names}
        result[f"by_{key}"] = {
            name: figures([row for row, s in zip(rows, first, strict=True) if s.problem_id in own])
            for name, own in ids.items()
        }
    return result


# -- files ----------------------------------------------------------------------------------------


def write(
    folder: Path,
    label: str,
    result: dict[str, Any],
    measured: dict[str, Timed],
    completions: bool,
) -> list[Path]:
    """Writes the result, and the completions if wanted; each file is there whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"eval-{label}.json"]
    write_whole(written[0], [json.dumps(result, indent=1)])
    if completions:
        written.append(folder / f"eval-{label}.completions.jsonl")
        write_whole(written[1], _completions(measured))
    return written


def _completions(measured: dict[str, Timed]) -> Iterable[str]:
    """Every completion with its verdict, one JSON object a line."""
    for weights, timed in measured.items():
        for one in timed.rows:
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
                    "detail": verdict.detail,
                    "finish_reason": completion.finish_reason,
                }
                yield json.dumps(row, ensure_ascii=False)


# -- the screen -----------------------------------------------------------------------------------


def render(result: dict[str, Any], console: Console) -> None:
    """The table, with figures in percent or points; it fits in 60 columns."""
    sampling = result["sampling"]
    own = f" of {result['environment']}" if result["benchmark"] == "heldout" else ""
    limit = f" (limit={result['limit']})" if result["limit"] else ""
    heading = (
        f"{result['benchmark']}{own}: {result['problems']} problems{limit} "
        f"x {result['k']} samples, temperature {sampling['temperature']:g}, "
        f"top-p {sampling['top_p']:g}, max_tokens {sampling['max_tokens']}, seed {result['seed']}"
    )
    console.print(plain(heading))
    console.print(_table(result))
    if len(next(iter(result["weights"].values()))["by_level"]) > 1:
        measures = of_estimates(result["k"], result["weights"], result.get("change"))
        for table in level_tables(result["benchmark"], measures, console):
            console.print(Padding(table, (1, 0, 0, 0), expand=False))
    console.print("95 % intervals, clustered by problem", style="dim")
    if (latest := list(result["weights"])[-1]).startswith("round "):
        why = "the run has not finished, or its last checkpoint is damaged"
        console.print(plain(f"{latest} of {result['rounds']}: {why}", "yellow"))
    for weights, counts in result["completions"].items():
        console.print(plain(_told(weights, counts)))
    for warning in _warnings(result):
        console.print(plain(f"warning: {warning}", "yellow"))
    for one in result["left_out"][:LEFT_OUT]:
        console.print(plain(f"left out: {one['where']}: {one['reason']}"), soft_wrap=True)
    if len(result["left_out"]) > LEFT_OUT:
        console.print(f"and {len(result['left_out']) - LEFT_OUT} more, which the result file lists")
    for file in result["files"]:
        console.print(plain(f"file: {file['path']} sha256 {file['sha256']}"), soft_wrap=True)
    console.print(plain(f"problems: sha256 {result['problems_sha256']}"), soft_wrap=True)


def _table(result: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("")
    weights = result["weights"]
    for name in weights:
        table.add_column(plain(f"{name}, %"), justify="right")
    if "change" in result:
        table.add_column("change, points", justify="right")
    mean = f"mean@{result['k']}"
    rows = [(name, "all", None, name) for name in next(iter(weights.values()))["all"]]
    families = next(iter(weights.values()))["by_family"]
    if len(families) > 1:
        rows += [(family, "by_family", family, mean) for family in families]
    for label, part, group, measure_name in rows:
        cells = [_value(_pick(own, part, group)[measure_name]) for own in weights.values()]
        if "change" in result:
            cells.append(_change(_pick(result["change"], part, group)[measure_name]))
        table.add_row(plain(label), *cells)
    return table


def _told(weights: str, counts: dict[str, Any]) -> str:
    verdicts = [f"{count} {status}" for status, count in counts["verdicts"].items() if count]
    extra = [
        f"{counts[key]} {told}"
        for key, told in (("cut_off", "cut off at max_tokens"), ("failed", "without a reply"))
        if counts[key]
    ]
    ends = f"; of these {', '.join(extra)}" if extra else ""
    return (
        f"{weights}: {counts['completions']} completions: {', '.join(verdicts)}{ends}; "
        f"{counts['completion_tokens']:,} tokens, {counts['seconds']:.1f} s"
    )


def _warnings(result: dict[str, Any]) -> Iterable[str]:
    for weights, counts in result["completions"].items():
        share = counts["cut_off"] / counts["completions"]
        if share >= CUT_OFF:
            yield (
                f"{share:.0%} of the completions of {weights} were cut off at "
                f"max_tokens={result['sampling']['max_tokens']}; write a larger max_tokens=… to "
                "measure the model and not the limit"
            )
    if out := result["left_out"]:
        yield f"{len(out)} rows cannot be used: they are left out of the set, and of every figure"
    if lost := result["not_scorable"]:
        some = "; ".join(f"{one['where']}: {one['answer'][:40]!r}" for one in lost[:LISTED])
        more = f"; and {len(lost) - LISTED} more" if len(lost) > LISTED else ""
        yield (
            f"{len(lost)} of the problems are not scorable: their reference answers cannot be read, "
            f"so they count as wrong whatever is answered ({some}{more})"
        )
    if words := result["compared_as_words"]:
        yield f"{len(words)} reference answers are words, and are compared as words"
    if result["repeated"]:
        yield f"{len(result['repeated'])} statements are in the file twice, as it was published"


def _pick(block: dict[str, Any], part: str, group: str | None) -> dict[str, Any]:
    return block[part] if group is None else block[part][group]


def _value(figure: dict[str, Any]) -> str:
    return share(figure["value"], figure["ci95"])


def _change(figure: dict[str, Any]) -> str:
    return points(figure["delta"], figure["ci95"])
