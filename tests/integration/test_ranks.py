"""A learner of two ranks, each a Ray actor on CPU: it learns what one rank learns, and dies as one.

Sums over ranks are taken in another order than sums in one process, so that weights agree to the
last digits of float32 and not bit for bit: 1.2e-7 was the largest deviation after two updates.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents import handles
from agents.learners import ranks
from agents.learners.batching import Row, TokenGroup
from agents.learners.learner import Learner
from agents.model_files import TINY
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Completion, Group
from agents.remote import InlineRuntime, Placement, RayGroup, RayRuntime, RuntimeUnfit, WorkerLost
from coevo import footprint, plan
from coevo.architecture import KNOWN
from coevo.compose import compose
from coevo.config import ConfigError, LearnerConfig, LoraConfig, RoleConfig
from environments.arithmetic import Arithmetic
from tests.families import save_family
from tests.integration.small import read, run
from tests.integration.test_runtimes import RAY, Killer

TOLERANCE = 1e-6  # absolute, of weights; learning moves them by 4e-4
SECONDS = 30.0  # within which a dead rank must be noticed; it takes about one
# Steps of three groups and of one, so that a rank has none; a micro-batch a group; two epochs.
CONFIG = LearnerConfig(
    lr=1e-4,
    threads=1,
    groups_per_step=3,
    epochs=2,
    tokens_per_micro_batch=64,
    kl_weight=0.1,
    correction="truncate",
)
TWO_RANKS = "agents.solver.learner.ranks=2"
FEW_ACTORS = ("loop.feed=teacher", "loop.train_generator=false", "agents.solver.workers=1")


# -- groups ---------------------------------------------------------------------------------------


def written(update: int) -> list[Group]:
    """Four sums with a right answer and one to three wrong ones."""
    groups = []
    for number, wrong in enumerate((1, 3, 2, 1)):
        a, b = 7 * number + update, 5 + number
        answers = [a + b, *(a + b + i + 1 for i in range(wrong))]
        texts = [f"{a}+{b}={answer}#{answer}" for answer in answers]
        groups.append(
            Group(
                problem_id=f"{a}+{b}",
                prompt=f"S:{a}+{b}?",
                completions=tuple(Completion(text=t, finish_reason="reference") for t in texts),
                rewards=(1.0,) + (0.0,) * wrong,
                pairs=tuple((0, i + 1) for i in range(wrong)),
            )
        )
    return groups


def drawn(update: int) -> list[Group]:
    """The same questions with completions of the tiny model, two to four each."""
    groups, problem = written(update), Arithmetic().parse_problem("7+5")
    prompts = [Prompt(text=g.prompt, task="solve", problem=problem) for g in groups]
    sampled = HFPolicy("tiny").sample(prompts, 4, Sampling(max_tokens=24), range(4))
    return [
        Group(
            problem_id=group.problem_id,
            prompt=group.prompt,
            completions=tuple(completions[: len(group.completions)]),
            rewards=group.rewards,
        )
        for group, completions in zip(groups, sampled, strict=True)
    ]


GROUPS: dict[str, Callable[[int], list[Group]]] = {"dpo": written, "grpo": drawn, "kto": drawn}


def deviation(one: bytes, other: bytes) -> float:
    """The largest difference of a weight, but for one in a hundred thousand.

    The gradient of a few weights is rounding alone. Adam's first step is the gradient's sign, so these
    move either way, depending on the order of sums and on the processor.
    """
    a, b = safetensors.torch.load(one), safetensors.torch.load(other)
    assert a.keys() == b.keys()
    apart = torch.cat([(a[name] - b[name]).abs().flatten() for name in a])
    return apart.topk(1 + apart.numel() // 100_000).values[-1].item()


def content(path: Path) -> Any:
    """A file's bytes; of safetensors, which writes its metadata in any order, what is in it."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    with safetensors.safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        return file.metadata(), {n: (t.shape, t.tobytes()) for n, t in tensors.items()}


def alone() -> Learner:
    return Learner("tiny", CONFIG)


def start(ray: RayRuntime, model: str, config: LearnerConfig) -> RayGroup:
    handle = ray.start(
        "learner", partial(Learner, model, config), Placement(ranks=2, stateful=True)
    )
    assert isinstance(handle, RayGroup)
    return handle


def tied(folder: Path) -> str:
    """The tiny model with its embedding as head."""
    model = AutoModelForCausalLM.from_pretrained(TINY)
    model.config.tie_word_embeddings = True
    model.lm_head.weight = model.model.embed_tokens.weight
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(TINY).save_pretrained(folder)
    return str(folder)


def kill(handle: RayGroup, rank: int) -> None:
    os.kill(handle.processes()[rank], signal.SIGKILL)


@pytest.fixture(scope="class")
def ray() -> Iterator[RayRuntime]:
    runtime = RayRuntime()
    yield runtime
    runtime.close()


@pytest.fixture(scope="class")
def two(ray: RayRuntime) -> RayGroup:
    """A learner of two ranks, for most tests; its state before any training is in `fresh`."""
    return start(ray, "tiny", LearnerConfig(**{**vars(CONFIG), "ranks": 2}))


@pytest.fixture(scope="class")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    alone().save(folder)
    return folder


# -- the learner ----------------------------------------------------------------------------------


class TestTwoRanks:
    @pytest.mark.parametrize("objective", GROUPS)
    def test_they_learn_what_one_learns(self, objective: str, two: RayGroup, fresh: Path) -> None:
        """Weights and metrics of two updates; and the same bits when it is done again."""
        one, results = alone(), set()
        given = [(GROUPS[objective](version), version, version, objective) for version in (1, 2)]
        expected = [one.update(*arguments) for arguments in given]
        for _ in range(2):
            two.call("load", fresh, 0)
            got = [two.call("update", *arguments) for arguments in given]
            results.add(two.call("weights"))
        (weights,) = results
        assert deviation(weights, one.weights()) < TOLERANCE
        assert deviation(weights, alone().weights()) > 100 * TOLERANCE
        for ours, theirs in zip(got, expected, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
            assert ours["steps"] == 4 and ours["skipped_steps"] == 0

    @pytest.mark.parametrize("kind", ["adapters", "tied", "gemma2", "falcon"])
    def test_adapters_tied_embeddings_and_families(
        self, kind: str, ray: RayRuntime, tmp_path: Path
    ) -> None:
        """Adapters beside a frozen bfloat16 base; a head that is the embedding, activations computed
        again in the backward pass; families with soft caps, or with dropout in the layer itself. All
        are saved, and go on with one rank."""
        own: dict[str, Any] = {"lora": LoraConfig(rank=4), "dtype": "bfloat16"}
        model = "tiny"
        if kind != "adapters":
            own = {"gradient_checkpointing": True}
            made = tied if kind == "tied" else partial(save_family, kind)
            model = str(made(tmp_path / "model"))
        first, second = (LearnerConfig(**{**vars(CONFIG), **own, "ranks": n}) for n in (1, 2))
        one = Learner(model, first)
        two = start(ray, model, second)
        for learner in (one.update, partial(two.call, "update")):
            learner(written(1), 1, 1)
        before = one.weights()
        assert deviation(two.call("weights"), before) < TOLERANCE
        two.call("save", tmp_path / "saved")
        one.load(tmp_path / "saved", 1)
        for learner in (one.update, partial(two.call, "update")):
            learner(written(2), 2, 2)
        assert deviation(two.call("weights"), one.weights()) < TOLERANCE
        assert deviation(before, one.weights()) > TOLERANCE

    def test_a_checkpoint_of_two_ranks_goes_on_with_one(
        self, two: RayGroup, fresh: Path, tmp_path: Path
    ) -> None:
        two.call("load", fresh, 0)
        two.call("update", written(1), 1, 1)
        two.call("save", tmp_path)
        one = alone()
        one.load(tmp_path, 1)
        assert one.weights() == two.call("weights")
        one.update(written(2), 2, 2)
        two.call("update", written(2), 2, 2)
        assert deviation(one.weights(), two.call("weights")) < TOLERANCE

    def test_a_checkpoint_of_one_rank_goes_on_with_two(self, two: RayGroup, tmp_path: Path) -> None:
        """With the same files, the same tensors in them, and the same descriptions."""
        one = alone()
        one.update(written(1), 1, 1)
        one.save(tmp_path / "one")
        two.call("load", tmp_path / "one", 1)
        two.call("save", tmp_path / "two")
        names = sorted(path.name for path in (tmp_path / "one").iterdir())
        assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
        for name in names:
            assert content(tmp_path / "one" / name) == content(tmp_path / "two" / name)
        one.update(written(2), 2, 2)
        two.call("update", written(2), 2, 2)
        assert deviation(one.weights(), two.call("weights")) < TOLERANCE

    def test_a_loss_that_is_not_finite_on_one_rank_skips_the_step_on_all(
        self, two: RayGroup, fresh: Path
    ) -> None:
        """One group of two has a NaN weight: only its rank sees a NaN."""
        two.call("load", fresh, 0)
        good, bad = (
            Group(
                problem_id=group.prompt,
                prompt=group.prompt,
                completions=group.completions[:1],
                rewards=(weight,),
            )
            for group, weight in zip(written(1), (1.0, float("nan")), strict=False)
        )
        metrics = two.call("update", [good, bad], 1, 1, "sft", 1)
        assert metrics["skipped_steps"] == 1 and "loss" not in metrics
        one = alone()
        assert two.call("weights") == one.weights()
        one.update([good], 2, 2, "sft", 1)
        assert two.call("update", [good], 2, 2, "sft", 1)["skipped_steps"] == 0
        assert deviation(two.call("weights"), one.weights()) < TOLERANCE

    def test_a_mistake_of_all_ranks_is_raised_as_it_is(self, two: RayGroup, fresh: Path) -> None:
        """And they work on together: nothing was touched."""
        two.call("load", fresh, 0)
        before = two.call("weights")
        unreadable = Completion(text="?", token_ids=(10**6,), logprobs=(-1.0,))
        group = Group(problem_id="x", prompt="S:1+1?", completions=(unreadable,), rewards=(1.0,))
        with pytest.raises(ValueError, match="outside the model's vocabulary"):
            two.call("update", [group], 1, 1, "sft")
        assert two.call("weights") == before

    def test_they_listen_on_the_loopback_interface_alone(self, two: RayGroup) -> None:
        """Where they meet, and where each waits for the other."""
        two.call("weights")
        found = [
            connection.laddr.ip.removeprefix("::ffff:")
            for process in two.processes()
            for connection in psutil.Process(process).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(found) >= 5  # of Ray one each, of gloo one each, and the store
        assert set(found) == {"127.0.0.1"}

    def test_a_killed_rank_is_noticed_and_ends_the_other(self, two: RayGroup) -> None:
        """The last test of this learner."""
        processes, start = two.processes(), time.monotonic()
        kill(two, 1)
        for _ in range(2):
            with pytest.raises(WorkerLost, match=r"learner rank \d died"):
                two.call("update", written(1), 1, 1)
        while any(Path(f"/proc/{process}").exists() for process in processes):
            assert time.monotonic() - start < SECONDS
            threading.Event().wait(0.05)

    def test_a_rank_that_fails_or_dies_alone_ends_the_others(
        self, ray: RayRuntime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rank 0 waits for rank 1, as in a collective."""

        def waiting() -> Any:
            class Waiting:
                def fail(self) -> None:
                    if os.environ["RANK"] == "1":
                        raise KeyError("out of memory, say")
                    threading.Event().wait()

                def die(self) -> None:
                    if os.environ["RANK"] == "1":
                        os.kill(os.getpid(), signal.SIGKILL)
                    threading.Event().wait()

            return Waiting()

        monkeypatch.setattr(handles, "GRACE_SECONDS", 0.5)
        for method, error in (("fail", KeyError), ("die", WorkerLost)):
            handle = ray.start("learner", waiting, Placement(ranks=2, stateful=True))
            with pytest.raises(error, match=r"out of memory, say|learner rank 1 died"):
                handle.call(method)
            with pytest.raises(WorkerLost):
                handle.call(method)

    def test_the_gpus_of_all_ranks_are_counted(self, ray: RayRuntime) -> None:
        with pytest.raises(RuntimeUnfit, match="learner asks for 2 x 1 GPUs"):
            ray.start("learner", alone, Placement(ranks=2, gpus=1, stateful=True))


# -- whole runs -----------------------------------------------------------------------------------


def test_a_run_with_a_killed_rank_is_the_run_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second rank of the Solver's learner dies before its update in round 2."""
    undisturbed, folder = run(tmp_path / "undisturbed", *RAY, *FEW_ACTORS, TWO_RANKS)
    assert read(folder).last_round() == 2
    killer = Killer(monkeypatch, "learn", lambda loop: loop.team.solver.learner.processes()[1:])
    summary, _ = run(tmp_path / "killed", *RAY, *FEW_ACTORS, TWO_RANKS)
    assert killer.killed
    assert "solver learner rank" in capsys.readouterr().out
    assert summary["digest"] == undisturbed["digest"]


# -- parts ----------------------------------------------------------------------------------------


def test_groups_are_dealt_by_their_tokens() -> None:
    """Sizes 9, 6, 4, 3: 9 | 6, then 4 to the second (10), then 3 to the first (12)."""
    groups = [
        TokenGroup(prompt_ids=(1,), rows=[Row(token_ids=(1,) * (size - 1))], pairs=[])
        for size in (4, 9, 3, 6)
    ]
    dealt = [[group.longest for group in share] for share in ranks.shares(groups, 2)]
    assert dealt == [[9, 3], [6, 4]]
    assert ranks.shares(groups[:1], 2) == [groups[:1], []]


def test_ranks_that_do_not_meet_say_where(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(ranks, "MEETING_SECONDS", 1)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ranks.RanksApart, match="'RANK' is not set: write runtime=ray"):
        ranks.Ranks(2, "cpu")
    for name, value in (("RANK", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", str(port))):
        monkeypatch.setenv(name, value)
    with pytest.raises(ranks.RanksApart, match=f"rank 1 of 2 did not meet .*127.0.0.1:{port}"):
        ranks.Ranks(2, "cpu")


def test_one_process_cannot_be_two_ranks() -> None:
    with pytest.raises(RuntimeUnfit, match="write runtime=ray"):
        InlineRuntime().start("learner", alone, Placement(ranks=2))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("runtime=inline", "write runtime=ray"),
        ("agents.solver.learner.gpus=2", r"learner\.gpus=2 is of each of 2 ranks"),
        ("agents.solver.learner.gpus=0.5", "a whole GPU of their own"),
        ("agents.solver.learner.backend=trl", "trains in one process"),
        ("agents.solver.learner.optimizer=adafactor", "write .*optimizer=adamw"),
    ],
)
def test_what_does_not_go_with_ranks_is_refused(override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        compose([TWO_RANKS, override])


def test_a_plan_shares_weights_gradients_and_optimizer() -> None:
    """Qwen3-8B on four ranks. Whole on each: embedding and head (2 · 151,936 · 4,096) and two of 36
    layers, with as much for gradients, 8 bytes each."""
    model = KNOWN["Qwen/Qwen3-8B"]

    def parts(count: int) -> dict[str, float]:
        learner = LearnerConfig(gpus=1, dtype="bfloat16", ranks=count)
        return footprint.learner(RoleConfig(learner=learner), model, 1, 256, 1000).parts

    one, four = parts(1), parts(4)
    for name in ("weights", "gradients"):
        assert four[name] == pytest.approx(one[name] / 4)
    assert four["activations"] == one["activations"]  # of micro-batches of its own
    root = 2 * 151_936 * 4096
    layers = model.parameters - root
    assert four["gathered"] * footprint.GIB == pytest.approx(8 * (root + 2 * layers / 36))
    assert one["gathered"] == 0


def test_a_plan_places_every_rank() -> None:
    made = plan.make(compose([TWO_RANKS, "agents.solver.learner.gpus=1", "runtime.node_gpus=2"]))
    assert made.fits
    assert [gpu.name for (gpu,) in made.layout.of["solver learner"]] == [
        "node 1 GPU 0", "node 1 GPU 1",
    ]  # fmt: skip
    few = plan.make(compose([TWO_RANKS, "agents.solver.learner.gpus=1", "runtime.node_gpus=1"]))
    assert "agents.solver.learner.ranks=1" in few.misfits[0].write
