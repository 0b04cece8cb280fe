"""Comparison of runs: quantiles from tables, intervals by hand, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from coevo import cli, compose
from coevo.compare import change, read, table, versus
from coevo.config import ConfigError
from coevo.seed_intervals import over_seeds, student_t, welch
from coevo.store import Store
from environments import Problem


@pytest.mark.parametrize(
    ("df", "quantile"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423), (1e4, 1.9602)],
)
def test_student_t_is_the_tables(df: float, quantile: float) -> None:
    assert student_t(df) == pytest.approx(quantile, abs=6e-5)


def test_over_seeds_by_hand() -> None:
    """1, 2, 3: mean 2, deviation 1, t(2) = 4.3027, half = 4.3027 / √3 = 2.4841."""
    mean, bounds = over_seeds([1, 2, 3])
    assert mean == 2
    assert bounds == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert over_seeds([5.0]) == (5.0, None)


def test_welch_by_hand() -> None:
    """Variances 1 and 4 of 3 each: s² = 1/3 + 4/3 = 5/3, df = (5/3)² / ((1/9 + 16/9) / 2)
    = 50/17 = 2.941; t lies between t(2) and t(3)."""
    difference, bounds = welch([1, 2, 3], [0, 2, 4])
    assert difference == 0
    assert bounds is not None
    assert bounds[1] / (5 / 3) ** 0.5 == pytest.approx(student_t(50 / 17))
    assert 3.1824 < student_t(50 / 17) < 4.3027
    assert welch([1.0], [2.0, 3.0]) == (-1.5, None)


def make_run(
    folder: Path, name: str, seed: int, final: list[int], experiment: str = "default", k: int = 4
) -> Path:
    """A finished run with one problem a level (2, 3): 1 of k right at first, then `final`."""
    path = folder / name
    path.mkdir()
    config = compose.compose([f"seed={seed}", f"evaluation.k={k}"])
    config.experiment = experiment
    (path / "config.yaml").write_text(yaml.safe_dump(compose.to_plain(config)))
    problems = [
        Problem(
            domain="d", family="f", statement=f"p{level}", answer="1", difficulty={"level": level}
        )
        for level in (2, 3)
    ]
    store = Store(path / "run.db", create=True)
    for t, right in ((0, [1, 1]), (2, final)):
        rows = [(p, r, ["1"] * r + [None] * (k - r)) for p, r in zip(problems, right, strict=True)]
        with store.transaction():
            store.add_evaluation(t, "heldout", rows)
            store.add_round(t, {}, {})
    store.close()
    shares = [right / k for right in final]
    mean = sum(shares) / 2
    block = {
        "metric": f"mean@{k}", "base": 1 / k, "final": mean, "delta": mean - 1 / k,
        "delta_ci95": [0.0, 1.0], f"pass@{k}": {"base": 1.0, "final": 1.0}, "problems": 2,
        "by_level": {"2": [1 / k, shares[0]], "3": [1 / k, shares[1]]},
    }  # fmt: skip
    summary = {
        "schema": 1, "seed": seed, "rounds": 2, "benchmarks": {"heldout": block},
        "generator": {"valid_rate": [None, None], "mean_utility": [None, None]},
    }  # fmt: skip
    (path / "summary.json").write_text(json.dumps(summary))
    return path


def test_seeds_are_paired_where_they_match(tmp_path: Path) -> None:
    """Changes a: 1/4, 3/4; b: 0, 1/4. Differences by seed 1/4, 1/2: mean 0.375, sd 0.17678,
    t(1) = 12.7062, half = 12.7062 · 0.17678 / √2 = 1.5883."""
    runs = [
        make_run(tmp_path, "b1", 1, [1, 3], "b"),
        make_run(tmp_path, "a1", 1, [4, 4]),
        make_run(tmp_path, "a0", 0, [2, 2]),
        make_run(tmp_path, "b0", 0, [1, 1], "b"),
    ]
    groups = read([str(run) for run in runs[1:] + runs[:1]], "experiment")
    assert list(groups) == ["default", "b"]
    value, bounds = versus(groups["default"], groups["b"], None)
    assert value == pytest.approx(0.375)
    assert bounds == pytest.approx((0.375 - 1.5883, 0.375 + 1.5883), abs=1e-4)
    assert versus(groups["default"], groups["b"], "2")[0] == pytest.approx((1 / 4 + 3 / 4) / 2)
    rows, notes = table(groups)
    cells = {row[0]: row[1:] for row in rows}
    assert cells["seeds"] == ["2 (0, 1)", "2 (0, 1)", ""]
    assert cells["mean@4 final"] == ["75.0 ±75.0 %", "37.5 ±62.5 %", ""]  # within 0 and 1
    # one base, measured twice: the interval is that over its problems
    assert cells["mean@4 base"] == ["25.0 ±63.1 %", "25.0 ±63.1 %", ""]
    assert cells["change"][2].startswith("+37.5 [-121.3, +196.3]")
    assert "default - b: paired by seed" in notes


def test_other_seeds_get_welchs_interval(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, "a0", 0, [2, 2]), make_run(tmp_path, "a1", 1, [4, 4]),
        make_run(tmp_path, "b2", 2, [1, 1], "b"), make_run(tmp_path, "b3", 3, [1, 3], "b"),
    ]  # fmt: skip
    groups = read([str(run) for run in runs], "experiment")
    found = versus(groups["default"], groups["b"], None)
    assert found == welch([0.25, 0.75], [0.0, 0.25])
    assert "Welch" in " ".join(table(groups)[1])


def test_one_seed_has_the_interval_over_its_problems(tmp_path: Path) -> None:
    """Changes of the two problems 1/4 and 3/4: mean 1/2, sd 0.35355, 1.96 · 0.35355 / √2 = 0.49."""
    groups = read([str(make_run(tmp_path, "a", 0, [2, 4]))], "experiment")
    value, bounds = change(groups["default"], None)
    assert value == 0.5
    assert bounds == pytest.approx((0.01, 0.99), abs=1e-4)
    assert change(groups["default"], "2") == (0.25, None)  # one problem has no interval
    assert "one seed" in " ".join(table(groups)[1])


def test_by_another_key(tmp_path: Path) -> None:
    groups = read([str(make_run(tmp_path, "a", 0, [2, 4]))], "loop.feed")
    assert list(groups) == ["mixed"]


def test_arms_that_were_not_trained_alike_are_told(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a", 0, [2, 2]), make_run(tmp_path, "b", 0, [1, 1], "b")]
    for path, steps in zip(runs, (178, 16), strict=True):
        summary = json.loads((path / "summary.json").read_text())
        summary["training"] = {"solver": {"steps": steps}}
        (path / "summary.json").write_text(json.dumps(summary))
    rows, notes = table(read(list(map(str, runs)), "experiment"))
    assert rows[-1] == ["optimizer steps (Solver)", "178", "16", ""]
    assert notes[-1] == "the arms differ in optimizer steps of the Solver: default 178, b 16"


def test_the_frontier_of_each_arm(tmp_path: Path) -> None:
    """Final levels 8, 10: mean 9, deviation √2, t(1) = 12.7062, half = 12.7. An arm of which a seed has none
    has none."""
    ends = {"a0": [4, 8], "a1": [4, 10], "b0": [4, 5], "b1": [None, 5]}
    for name, reached in ends.items():
        path = make_run(tmp_path, name, int(name[1]), [2, 2], "default" if name[0] == "a" else "b")
        summary = json.loads((path / "summary.json").read_text())
        summary["frontier"] = {"by_round": [], "heldout": reached}
        (path / "summary.json").write_text(json.dumps(summary))
    rows, _ = table(read([str(tmp_path / name) for name in ends], "experiment"))
    cells = {row[0]: row[1:] for row in rows}
    assert cells["frontier base (level)"] == ["4.0", "-", ""]
    assert cells["frontier final (level)"] == ["9.0 ±12.7", "5.0", ""]


def test_a_curve_is_no_other_measure(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a", 0, [2, 2]), make_run(tmp_path, "b", 0, [1, 1], "b")]
    config = yaml.safe_load((runs[0] / "config.yaml").read_text())
    config["evaluation"] |= {"curve_every": 2, "curve_k": 2}
    (runs[0] / "config.yaml").write_text(yaml.safe_dump(config))
    for key in [key for key in config["evaluation"] if key.startswith("curve_")]:
        del config["evaluation"][key]  # as of a run of before
    (runs[1] / "config.yaml").write_text(yaml.safe_dump(config | {"experiment": "b"}))
    assert list(read(list(map(str, runs)), "experiment")) == ["default", "b"]


def test_markdown_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path, "a", 0, [2, 2]), make_run(tmp_path, "b", 0, [1, 1], "b")]
    assert cli.main(["compare", *map(str, runs), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  | default | b | default - b |"
    assert lines[1] == "| --- | --- | --- | --- |"
    assert "| pass@4 base | 100.0 ±84.2 % | 100.0 ±84.2 % |  |" in lines
    assert lines[-1].endswith("one seed, paired by problem.")


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a, same = make_run(tmp_path, "a", 0, [2, 2]), make_run(tmp_path, "same", 0, [2, 2])
    other = make_run(tmp_path, "other", 1, [2, 2], k=8)
    with pytest.raises(ConfigError, match="both experiment=default with seed 0"):
        read([str(a), str(same)], "experiment")
    with pytest.raises(ConfigError, match=r"measured differently: evaluation\.k: 4 -> 8"):
        read([str(a), str(other)], "experiment")
    with pytest.raises(ConfigError, match=r"--by loop\.fed: .*did you mean 'loop\.feed'"):
        read([str(a)], "loop.fed")
    (a / "summary.json").unlink()
    with pytest.raises(ConfigError, match="has not finished: coevo resume"):
        read([str(a)], "experiment")
