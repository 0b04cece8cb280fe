"""A run from its first round to its summary: starting, resuming, interrupting, finishing."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
from agents.remote import InlineRuntime, Runtime, WorkerLost, make_runtime
from coevo import checkpoint, compose, curve, failures, load_check, places
from coevo.claim import RunError, Watch, check_name, guarded, locked, new_folder
from coevo.clock import Clock
from coevo.config import Config, ConfigError, changed_fields
from coevo.curriculum import Curriculum, Standing
from coevo.damage import check, whole_rounds
from coevo.decontamination import EvaluationSets, registered
from coevo.failing import alarms
from coevo.files import write_whole
from coevo.finished import finished
from coevo.gate import Gate
from coevo.length_check import check_lengths
from coevo.loop import Loop
from coevo.machine_check import check_runs_dir
from coevo.means import check_means
from coevo.record import RoundRecord
from coevo.run_folder import check_files, held_out, make_environment
from coevo.seeding import derive
from coevo.seeds import check_levels, read_seeds, reference_lessons, sample_seeds, tell
from coevo.store import Store
from coevo.summary import digest, summarize
from coevo.team import Team
from coevo.tracking import RoundReport, RunInfo, make_tracker
from coevo.trainable import check_trainable, without_step
from coevo.trust import confirm
from coevo.unbegun import GONE, Made
from environments.printable import printable

# What may differ when a run goes on: it decides when and where things are done, not which.
FREE = re.compile(
    r"rounds:|runtime\.|tracker\.|name:|runs_dir:|checkpoint\."
    r"|agents\.\w+\.policy\.endpoint\.(?!structured|price|extra)"
    r"|agents\.\w+\.learner\.mismatch_kl_max:"
)
# Of these, what leads elsewhere is said when it changes.
TOLD = re.compile(
    r"runtime\.address:|tracker\.wandb\.|agents\.\w+\.policy\.endpoint\.(url:|key_env:|cache:|fields)"
)


# -- entry points ---------------------------------------------------------------------------------


def start(config: Config) -> dict[str, Any]:
    """Runs a new run to its end and returns its summary.

    Raises `ConfigError`, `RunError` or `Interrupted`.
    """
    given = check_start(config)  # before anything is written
    made = Made(Path(config.runs_dir))
    try:
        folder = new_folder(config, made)
        with (
            locked(folder),
            closing(Store(folder / "run.db")) as store,
            guarded(folder, made) as watch,
        ):
            return _drive(config, watch, store, given)
    except BaseException as error:
        if made.discard() and GONE not in str(error):  # the name is free for the next try
            print(printable(f"{made.folder}: {GONE}"), file=sys.stderr, flush=True)
        raise


def check_start(config: Config) -> Given:
    """What a new run of this configuration starts from, once it is known that it can start.

    Writes nothing. Raises `ConfigError` if engine, model, environment, seeds or evaluation sets are
    not there, or the name is in use.
    """
    config.runs_dir = places.expanded(config.runs_dir)
    check_name(config)
    check_runs_dir(Path(config.runs_dir))
    check_means(config)
    environment = make_environment(config.environment)
    check_levels(environment, config.curriculum)
    given = _given(config, environment)
    check_lengths(config, environment, given.heldout)
    return given


def resume(
    folder: Path,
    overrides: Sequence[str] = (),
    allow_changes: bool = False,
    trust: bool = False,
) -> dict[str, Any]:
    """Goes on from the last whole round, with more rounds if asked for.

    A changed configuration is refused with the list of changed fields, except for what changes
    nothing of what a round does (`FREE`), unless it is allowed. What the folder asks for beyond
    itself is refused unless the overrides give it too, or `trust` confirms it.
    """
    if not (folder / "run.db").exists():
        raise RunError(f"{folder} is not the folder of a run: it has no run.db")
    check_files(folder)
    for override in overrides:
        if (key := override.partition("=")[0].lstrip("+")) in ("name", "runs_dir"):
            raise ConfigError(f"{override}: {key} is that of the folder; move the folder {folder}")
    saved = compose.load(folder / "config.yaml")
    config = compose.from_plain(saved, compose.single_keys(overrides))
    config.name, config.runs_dir = folder.name, str(folder.parent)
    changes = changed_fields(compose.completed(saved), compose.to_plain(config))
    refused = [change for change in changes if not FREE.match(change)]
    if refused and not allow_changes:
        raise ConfigError(
            "the configuration differs from that of the run: "
            + "; ".join(refused)
            + " (write --allow-changes to resume all the same)"
        )
    check_trainable(config)
    confirm(config, folder, overrides, trust=trust)
    for change in changes:
        if TOLD.match(change):
            print(printable(f"from here on with another {change}"), flush=True)
    check_means(config)
    with locked(folder), closing(Store(folder / "run.db")) as store, guarded(folder) as watch:
        run_id = store.meta("wandb_id") or ""
        if not compose.as_written(folder / "config.yaml", run_id) and not allow_changes:
            raise ConfigError(
                f"{folder / 'config.yaml'} was edited, is damaged, or is another run's: put it back, "
                "or write --allow-changes to go on with what it says"
            )
        if (summary := finished(config, folder, store, changes)) is not None:
            return summary
        environment = make_environment(config.environment)
        strange = {p.domain for p in store.problems()} - {environment.name}
        if strange and any(change.startswith("environment.name:") for change in changes):
            raise ConfigError(
                f"environment.name={config.environment.name}: the run has problems of "
                f"{', '.join(sorted(strange))}, which only that environment can judge; start a new run"
            )
        given = _given(config, environment)
        check_lengths(config, environment, given.heldout)
        compose.save(config, folder / "config.yaml", run_id)
        return _drive(config, watch, store, given)


def _drive(config: Config, watch: Watch, store: Store, given: Given) -> dict[str, Any]:
    """Runs to the end; a learner that dies is taken up again from the last checkpoint."""
    for attempt in range(config.runtime.restarts + 1):
        session = Session(config, watch, store, given)
        try:
            return session.run()
        except WorkerLost as error:
            lost = error
        except Exception as error:
            session.foreign = not failures.explained(error)
            raise
        finally:
            session.close()
        if attempt < config.runtime.restarts:
            print(printable(f"{lost}; going on from the last checkpoint"), flush=True)
    raise RunError(f"{lost}; {watch.then()}") from lost


# -- one session ----------------------------------------------------------------------------------


class Session:
    """One process working on a run: opens everything, drives the rounds, closes everything."""

    def __init__(self, config: Config, watch: Watch, store: Store, given: Given):
        self.config, self.watch, self.folder = config, watch, watch.folder
        self.store, self.given = store, given
        self.clock = Clock()
        self.environment = make_environment(config.environment)
        self.tracker = make_tracker(config.tracker, self.folder)
        self.runtime: Runtime = InlineRuntime()
        self.told: set[str] = set()
        self.foreign = False  # whether it ends with an error that is none of ours

    def run(self) -> dict[str, Any]:
        config, first = self.config, self._rewind() + 1
        last = max(config.rounds, first - 1)
        self.watch.check()
        self.runtime = make_runtime(
            config.runtime.kind,
            config.runtime.address,
            config.runtime.restarts,
            self.folder / "logs",
        )
        self.team = Team(config, self.runtime)
        self.runtime.wait_built()  # before a round: what cannot be loaded is known now
        if first == 0:
            load_check.check(self.team, self.environment, self.given.seeds)
        self.tracker.start(self._info(first))
        self.watch.note("metrics.jsonl", "run.db-wal")
        self.curriculum = self._curriculum()
        self.loop = Loop(
            config, self.environment, self.given.heldout, self.given.sets, self.team,
            self.curriculum, self.store, self.clock, self.tracker,
        )  # fmt: skip
        if first == 0:
            self._commit(self._set_up())
        else:
            source = checkpoint.folder_of(self._checkpoints(), first - 1)
            checkpoint.require(source, self.versions, [m.name for m in self.team.trained()])
            self.team.load(source, self.versions)
            load_check.check(self.team, self.environment, self.given.seeds)
        for t in range(max(first, 1), last + 1):
            record = self.loop.round(t)
            every = config.evaluation.every
            if t == config.rounds or (every and t % every == 0):
                record.scores = self.loop.evaluate(t)
            if curve.due(config, t):
                record.curve = self.loop.curve(t)
            self._commit(record)
        summary = self._finish()
        self.watch.check()
        return summary

    def _rewind(self) -> int:
        """Goes back to the newest round that both database and checkpoint have; -1 if none.

        Raises `RunError` if there are rounds but no usable checkpoint.
        """
        self.versions: dict[str, int] = {}
        done, lost = whole_rounds(self.store)
        if lost:
            print(f"passed over: {lost}", flush=True)
        elif done < 0:
            self.store.forget_after(-1)
            return -1
        try:
            folder, state, damaged = checkpoint.newest(self._checkpoints(), done)
        except checkpoint.CheckpointError as error:
            what = f"{lost}; {error}" if lost else str(error)
            raise RunError(f"{self.folder} cannot be resumed: {what}") from error
        for message in damaged:
            print(printable(f"passed over: {message}; going back to {folder.name}"), flush=True)
        self.versions = state["versions"]
        self.store.forget_after(state["round"])
        check(self.store)
        return state["round"]

    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def _info(self, first: int) -> RunInfo:
        return RunInfo(
            name=self.folder.name,
            folder=self.folder,
            seed=self.config.seed,
            experiment=self.config.experiment,
            rounds=self.config.rounds,
            first_round=first if first > 0 else 0,
            config=compose.to_plain(self.config),
            wandb_id=self.store.meta("wandb_id") or "",
            environment=self.environment.name,
            families=tuple(self.environment.families),
            levels=tuple(self.environment.levels),
            past={
                row["round"]: _told(row["metrics"], row["seconds"]) for row in self.store.rounds()
            },
        )

    def _curriculum(self) -> Curriculum:
        """The curriculum as the database has it."""
        new_problems = self.config.loop.new_problems
        curriculum = Curriculum(self.config.curriculum, new_problems, self.config.utility)
        curriculum.admit(self.store.problems())
        for _, problem_id, _ in self.store.batches():
            curriculum.queue.pop(problem_id, None)
        for _, problem_id, version, correct, attempts, _ in self.store.zones():
            curriculum.record(problem_id, Standing(correct, attempts, version))
        return curriculum

    def _set_up(self) -> RoundRecord:
        """Round 0: the base evaluation, the seeds, the initial SFT if it is on."""
        record = RoundRecord(round=0, admitted=self.given.seeds)
        self.curriculum.admit(self.given.seeds)
        for problem in self.given.seeds:
            self.loop.gate.remember(problem)
        record.scores = self.loop.evaluate(0)
        if curve.due(self.config, 0):
            record.curve = self.loop.curve(0)
        if self.config.loop.initial_sft and self.team.solver.learner:
            template = self.config.agents.solver.template
            lessons = reference_lessons(self.given.seeds, self.environment, template)
            with self.clock.part("learn"):
                record.updates["solver"] = self.team.solver.learn(
                    lessons,
                    derive(self.config.seed, "initial_sft"),
                    objective="sft",
                    epochs=self.config.loop.initial_sft_epochs,
                )
            record.versions["solver"] = self.team.solver.version
        return record

    def _commit(self, record: RoundRecord) -> None:
        """Checkpoint, then database, then trackers: the database row is what makes a round whole."""
        t = record.round
        self.tracker.phase(t, "commit")
        self.watch.check()
        versions = {member.name: member.version for member in self.team.members()}
        root = self._checkpoints()
        written = checkpoint.write(
            root, t, self.team.save,
            {"versions": versions, "wandb_id": self.store.meta("wandb_id"), "seed": self.config.seed},
        )  # fmt: skip
        if t <= 1:
            self._read_back(written)
        metrics = record.metrics(self.curriculum)
        seconds, costs = self.clock.lap()
        record.write(self.store, metrics, seconds, costs, self.given.heldout)
        checkpoint.prune(root, self.config.checkpoint.keep)
        self.tracker.log_round(
            RoundReport(
                round=t,
                rounds=self.config.rounds,
                metrics=_told(metrics, seconds),
                problems=record.table(self.curriculum),
                success_map=record.success_map(self.curriculum),
                seconds_left=self._seconds_left(t),
                failing=[told for _, told in alarms(record.outcomes)] + self._idle(record),
            )
        )

    def _read_back(self, written: Path) -> None:
        """Proves on a run's first checkpoints that it can be resumed: of round 0, and of round 1, in
        which learners have weights of their own and an optimizer's state. Raises `RunError` if not."""
        for member in self.team.trained():
            try:
                member.read_back(written)
            except WorkerLost:
                raise
            except Exception as error:  # whatever a library's reader raises: safetensors' own, say
                shutil.rmtree(written)  # no run goes on from it
                role = f"agents.{member.name}"
                raise RunError(
                    f"the run could not be resumed, and stops before more is spent on it: {error}. The "
                    f"fault is coevo's or transformers', in what they write of this model; write "
                    f"another {role}.model, or train adapters ({role}.learner.lora.rank=16)"
                ) from error

    def _idle(self, record: RoundRecord) -> list[str]:
        """Which roles learnt nothing, each once in a session."""
        idle = [one for one in without_step(record.updates) if one[0] not in self.told]
        self.told |= {kind for kind, _ in idle}
        return [f"{told} (said once)" for _, told in idle]

    def _seconds_left(self, t: int) -> float | None:
        """The median of the rounds so far for each round to come; None before there is one."""
        totals = [row["seconds"]["total"] for row in self.store.rounds() if row["round"] > 0]
        if not totals:
            return None
        return statistics.median(totals) * max(0, self.config.rounds - t)

    def _finish(self) -> dict[str, Any]:
        """The summary, written whole; weights and pool are in the digest."""
        weights = {member.name: member.weights() for member in self.team.trained()}
        summary = summarize(
            self.config, self.store, self.curriculum, digest(weights, self.curriculum)
        )
        write_whole(self.folder / "summary.json", [json.dumps(summary, indent=1)])
        name = self.folder.name
        newest = checkpoint.folder_of(self._checkpoints(), self.store.last_round())
        self.store.settle()
        self.tracker.log_artifact(f"{name}-memory", "dataset", self.folder / "run.db")
        self.tracker.log_artifact(f"{name}-checkpoint", "checkpoint", newest)
        self.tracker.finish(summary)
        return summary

    def close(self) -> None:
        self.tracker.close()
        self.runtime.close(logs=self.foreign)


def _told(metrics: Mapping[str, float], seconds: Mapping[str, float]) -> dict[str, float]:
    """What trackers are told of a round."""
    return {**metrics, **{f"seconds/{part}": spent for part, spent in seconds.items()}}


# -- before anything is written ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a run starts from: its seeds, its held-out problems, and all that may not leak."""

    seeds: list[environments.Problem]
    heldout: list[environments.Problem]
    sets: EvaluationSets


def _given(config: Config, environment: environments.Environment) -> Given:
    """Raises `ConfigError` if an evaluation set cannot be read or the gate would refuse a seed."""
    reserved = held_out(config, environment)
    sets = registered(config, reserved)
    gate = Gate(environment, reserved, config.curriculum.near_duplicates, sets)
    tell(f"environment.name={config.environment.name}", environment.left_out)
    curriculum = config.curriculum
    if curriculum.seed_file is None:
        seeds = sample_seeds(environment, curriculum, config.seed, gate)
    else:
        seeds = read_seeds(curriculum.seed_file, environment, gate, curriculum.seed_rows == "any")
    return Given(seeds=seeds, heldout=reserved, sets=sets)
