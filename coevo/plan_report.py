"""A plan, printed: models, placement, memory, GPUs, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevo import footprint
from coevo.misfits import Member
from coevo.placement import Actor, Gpu, fullest
from coevo.plan import Plan, group_of
from coevo.screen import plain

TIGHT = 0.95  # share of a GPU above which an estimate's error decides
PARTS = ("weights", "adapters", "gradients", "optimizer", "gathered", "bf16 copies", "KV cache",
         "activations", "logits", "overhead")  # fmt: skip
COLOURS = {"ok": "green", "tight": "yellow", "over": "red"}


def render(plan: Plan, console: Console) -> None:
    """Prints the plan; its tables fold to the console's width."""
    config = plan.config
    _line(console, f"Plan of experiment {config.experiment}: an estimate; nothing is started.")
    _show(console, "Models", models(plan))
    _show(console, "Placement", actors(plan))
    held = [actor for actor in plan.actors if actor.footprint is not None]
    if held:
        where = " on each of its GPUs" if any(actor.gpus for actor in held) else ""
        _show(console, f"Memory of a worker{where}, GiB", memory(held))
    if any(gpu.actors for gpu in plan.layout.gpus):
        _show(console, "GPUs, GiB", gpus(plan))
    _title(console, "Notes")
    for note in notes(plan):
        _line(console, f"- {note}")
    if plan.fits:
        _title(console, "Everything fits.")
        return
    _title(console, "What does not fit:")
    for misfit in plan.misfits:
        console.print(plain(misfit.where, "red"), soft_wrap=True)
        _line(console, f"  {misfit.why}")
        _line(console, f"  write {misfit.write}")


def _line(console: Console, text: str) -> None:
    """One line; whole when piped, so that what is to be written can be copied."""
    console.print(plain(text), soft_wrap=not console.is_terminal)


def _title(console: Console, text: str) -> None:
    console.print()
    _line(console, text)


def _show(console: Console, title: str, table: Table) -> None:
    _title(console, title)
    console.print(table, highlight=False)


def _table(*headings: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(
            heading, overflow="fold", justify="right" if heading in numbers else "left"
        )
    return table


# -- tables ---------------------------------------------------------------------------------------


def models(plan: Plan) -> Table:
    table = _table("role", "model", "parameters", "rollouts", "learner", numbers=("parameters",))
    for member in plan.members:
        role = member.role
        size = _count(member.model.parameters) if member.model else "unknown" * member.loads
        rollouts = f"{role.policy.name} {role.policy.dtype}" if member.loads else role.policy.name
        table.add_row(*map(plain, (member.name, role.model, size, rollouts, _training(member))))
    return table


def _count(parameters: int) -> str:
    """Such as 8.19 B or 860 k."""
    unit, name = next(((u, n) for u, n in ((1e9, "B"), (1e6, "M")) if parameters >= u), (1e3, "k"))
    return f"{parameters / unit:.3g} {name}"


def _training(member: Member) -> str:
    """Such as `dpo, LoRA r64, adamw, bfloat16`."""
    if not member.trained:
        return "none"
    learner = member.role.learner
    kind = f"LoRA r{learner.lora.rank}" if learner.lora.rank else "full"
    return f"{learner.objective}, {kind}, {learner.optimizer}, {learner.dtype}"


def actors(plan: Plan) -> Table:
    numbers = ("workers", "GPUs", "threads")
    table = _table("actor", *numbers, "where", numbers=numbers)
    for actor in plan.actors:
        places = [_place(plan, gpus) for gpus in plan.layout.of[actor.name]]
        missing = actor.workers - len(places)
        where = ", ".join(dict.fromkeys(places)) + ("; " if places and missing else "")
        where += f"no room for {missing}" if missing else ""
        row = (actor.name, str(actor.workers), f"{actor.gpus:g}", str(actor.threads), where)
        table.add_row(*map(plain, row))
    return table


def _place(plan: Plan, gpus: Sequence[Gpu]) -> str:
    if gpus:
        return f"node {gpus[0].node} GPU {'+'.join(str(gpu.index) for gpu in gpus)}"
    if plan.config.runtime.kind == "inline":
        return "CPU, this process"
    return "CPU, any node" if plan.config.runtime.address else "CPU, this machine"


def memory(held: Sequence[Actor]) -> Table:
    """Parts by rows, actors by columns."""
    names = [actor.name for actor in held]
    table = _table("", *names, numbers=names)
    sizes = [actor.footprint for actor in held if actor.footprint is not None]
    for part in PARTS:
        if any(size.parts.get(part) for size in sizes):
            table.add_row(part, *(_gib(size.parts.get(part, 0.0)) for size in sizes))
    table.add_row("at work", *(_gib(size.working) for size in sizes), style="bold")
    table.add_row("at rest", *(_gib(size.resting) for size in sizes))
    if any(size.asleep != size.resting for size in sizes):
        table.add_row("asleep", *(_gib(size.asleep) for size in sizes))
    table.add_row("host", *(_gib(size.host) for size in sizes))
    return table


def _gib(amount: float) -> str:
    if 0 < amount < 0.005:
        return "<0.01"
    return f"{amount:.2f}" if amount else "-"


def gpus(plan: Plan) -> Table:
    """Each GPU that is used: its fullest turn, and what is left then."""
    numbers = ("taken", "needs", "of", "left")
    table = _table("GPU", "fullest while", *numbers, "", numbers=numbers)
    limit = plan.config.runtime.gpu_gib
    for gpu in plan.layout.gpus:
        if gpu.actors:
            needs, turn = fullest(gpu.actors)
            state = "over" if needs > limit else "tight" if needs > TIGHT * limit else "ok"
            works = f"{turn.name} works" if turn else "-"
            figures = (f"{1 - gpu.free:g}", f"{needs:.1f}", f"{limit:g}", f"{limit - needs:.1f}")
            table.add_row(gpu.name, works, *figures, Text(state, COLOURS[state]))
    return table


# -- notes ----------------------------------------------------------------------------------------


def notes(plan: Plan) -> Iterator[str]:
    """What the tables do not say."""
    config = plan.config
    for member in plan.members:
        if member.role.policy.name == "vllm" and member.model is not None:
            yield _cache_note(member)
        if member.trained and member.model is not None:
            yield _batch_note(member, plan)
        if member.role.policy.name == "endpoint":
            yield (
                f"{member.name}: {member.role.model} is served at "
                f"{member.role.policy.endpoint.url}, on other machines than these"
            )
    if any(gpu.actors for gpu in plan.layout.gpus):
        total = f"{config.runtime.nodes} x {config.runtime.node_gpus}"
        yield (
            f"assumed: {total} GPUs of {config.runtime.gpu_gib:g} GiB "
            "(runtime.nodes, runtime.node_gpus, runtime.gpu_gib)"
        )
        yield "at rest, between its turns, a learner keeps its weights and optimizer on its GPUs"
    if any(a.footprint and a.footprint.asleep != a.footprint.resting for a in plan.actors):
        yield "an engine is asleep while a learner works"
    yield (f"host memory of all workers: {plan.host:.1f} GiB, without Ray and the data of the run")
    yield (
        "activations (arXiv 2205.05198), overheads and the length of prompts are estimates; the "
        "rest is counted"
    )


def _cache_note(member: Member) -> str:
    assert member.model is not None
    settings = member.role.policy.vllm
    each = footprint.cache_bytes(member.role, member.model)
    count = int(settings.kv_cache_gib * footprint.GIB // (each * settings.max_model_len))
    return (
        f"{member.name}: the KV cache of {settings.kv_cache_gib:g} GiB holds {count} sequences of "
        f"{settings.max_model_len:,} tokens at once ({each:,} bytes a token)"
    )


def _batch_note(member: Member, plan: Plan) -> str:
    learner, sequences = member.role.learner, group_of(member, plan.config)
    length = member.prompt + member.role.sampling.max_tokens
    tokens = footprint.micro_batch_tokens(learner, sequences, length)
    whole = (
        f"{sequences} sequences of one problem, never split"
        if tokens > learner.tokens_per_micro_batch
        else "tokens_per_micro_batch"
    )
    return f"{member.name} learner: a micro-batch of up to {tokens:,} tokens ({whole})"
