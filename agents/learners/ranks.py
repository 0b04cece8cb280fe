"""One model trained by several processes with FSDP2: what differs from a learner that is alone.

Every rank is given all groups of an update, works on its share of each step, and keeps a part of every
weight, gradient and optimizer state; a layer's weights are whole only while they are used. All
ranks run the same passes and take the same decisions: each pass gathers weights from all of them,
so that a rank with fewer passes, or none, would leave the others waiting.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from agents.learners import models
from agents.learners.batching import MicroBatch, Row, TokenGroup, collate
from agents.learners.forward import Forward

LOOPBACK = "127.0.0.1"
MEETING_SECONDS = 300  # until all ranks have started
COLLECTIVE_SECONDS = 1800  # for the slowest rank to come to a collective
STAND_IN = TokenGroup(prompt_ids=(0,), rows=[Row(token_ids=(0,))], pairs=[])  # see `stand_ins`
T = TypeVar("T")


class RanksApart(RuntimeError):
    """The ranks did not find each other; the message says where they were to meet."""


class Passes(Protocol):
    """The part of `Forward` that a learner uses."""

    @property
    def temperature(self) -> float: ...

    def logprobs(self, model: Any, batch: MicroBatch) -> torch.Tensor: ...

    def with_divergences(
        self, model: Any, teacher: Any, batch: MicroBatch, kind: str, mix: float
    ) -> tuple[torch.Tensor, torch.Tensor]: ...


class Alone:
    """A learner of one rank: nothing to share, and nothing to wait for."""

    rank = 0

    def shard(self, model: Any) -> None:
        """Leaves each rank a part of every weight."""

    def forward(self, forward: Forward) -> Passes:
        """The passes through a sharded model."""
        return forward

    def share(self, groups: Sequence[TokenGroup]) -> Sequence[TokenGroup]:
        """The groups that this rank works on."""
        return groups

    def stand_ins(self, own: int, pad_id: int) -> list[MicroBatch]:
        """Batches that count for nothing, for a rank that has fewer than another."""
        return []

    def exchange(self, groups: Sequence[TokenGroup], names: Sequence[str]) -> None:
        """Gives every rank what each noted down on its share of the groups."""

    def sum(self, totals: Mapping[str, float]) -> Counter[str]:
        """Each entry summed over the ranks."""
        return Counter(totals)

    def all(self, items: list[T]) -> list[T]:
        """The items of all ranks."""
        return items

    def clip(self, parameters: Iterable[torch.Tensor], largest: float) -> torch.Tensor:
        """Cuts the gradient to a norm, and returns what its norm was, over all ranks."""
        return torch.nn.utils.clip_grad_norm_(parameters, largest)

    def whole(self, value: torch.Tensor) -> torch.Tensor:
        """All of a sharded tensor, on rank 0 alone; every rank must ask."""
        return value

    def part(self, value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """This rank's part of a whole optimizer state of a parameter."""
        return value


def join(config: Any) -> Alone:
    """The world of a `LearnerConfig`; with `ranks` above 1 it waits until all are there."""
    return Ranks(config.ranks, "cuda" if config.gpus else "cpu") if config.ranks > 1 else Alone()


class Ranks(Alone):
    """One of several processes; which one, and where they meet, is in torch's own variables RANK,
    MASTER_ADDR and MASTER_PORT. Raises `RanksApart` if they do not."""

    def __init__(self, size: int, device: str):
        try:
            self.rank = int(os.environ["RANK"])
            host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        except KeyError as missing:
            raise RanksApart(
                f"learner.ranks={size} needs processes that know their place, and {missing} is not "
                "set: write runtime=ray, which starts them"
            ) from None
        self.size = size
        try:
            store = _store(host, port, size, self.rank == 0)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
                store=store,
                rank=self.rank,
                world_size=size,
                timeout=timedelta(seconds=COLLECTIVE_SECONDS),
            )
        except RuntimeError as error:  # torch's own errors of distribution are such
            raise RanksApart(
                f"rank {self.rank} of {size} did not meet the others at {host}:{port} within "
                f"{MEETING_SECONDS} s: {error}"
            ) from error
        self.mesh = init_device_mesh(device, (size,))

    # -- the model ----------------------------------------------------------------------------

    def shard(self, model: Any) -> None:
        """Each layer is a unit, and the root with embedding and head, tied or not, is the last.

        Losses are sums divided by the `Counts` of the whole step, over all ranks: gradients are
        summed. FSDP's mean would make them `size` times too small.
        """
        root = models.causal(model)
        layers = [m for m in root.modules() if type(m).__name__ in (root._no_split_modules or ())]
        for module in (*layers, root):
            # of the root too: else a pass without backward would leave it unsharded
            fully_shard(module, mesh=self.mesh, reshard_after_forward=True)
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo has no other
        root.gathered = lambda function: function()
        register_fsdp_forward_method(root, "gathered")
        root.register_state_dict_post_hook(lambda *given: self._gather(*given))
        root.register_load_state_dict_pre_hook(_scatter)

    def forward(self, forward: Forward) -> Passes:
        return Gathered(forward)

    def _gather(self, root: Any, state: dict[str, Any], prefix: str, _: Any) -> None:
        """Trained weights in a state are whole tensors, tied ones still one; see `whole`."""
        found: dict[torch.nn.Parameter, torch.Tensor] = {}
        for name, parameter in root.named_parameters(remove_duplicate=False):
            if parameter.requires_grad and prefix + name in state:
                if parameter not in found:
                    found[parameter] = self.whole(state[prefix + name])
                state[prefix + name] = found[parameter]

    # -- the groups ---------------------------------------------------------------------------

    def share(self, groups: Sequence[TokenGroup]) -> Sequence[TokenGroup]:
        return shares(groups, self.size)[self.rank]

    def stand_ins(self, own: int, pad_id: int) -> list[MicroBatch]:
        most = max(self.all([own]))
        return [collate([STAND_IN], pad_id)] * (most - own)

    def exchange(self, groups: Sequence[TokenGroup], names: Sequence[str]) -> None:
        if not names:
            return
        dealt = shares(groups, self.size)
        own = [[getattr(group, name) for name in names] for group in dealt[self.rank]]
        noted = self.all(own)  # in the order of the ranks
        for group, values in zip((g for share in dealt for g in share), noted, strict=True):
            for name, value in zip(names, values, strict=True):
                setattr(group, name, value)

    # -- sums ---------------------------------------------------------------------------------

    def sum(self, totals: Mapping[str, float]) -> Counter[str]:
        summed: Counter[str] = Counter()
        for part in self.all([totals]):
            summed.update(part)
        return summed

    def all(self, items: list[T]) -> list[T]:
        gathered: list[list[T]] = [[] for _ in range(self.size)]
        dist.all_gather_object(gathered, items)
        return [item for part in gathered for item in part]

    def clip(self, parameters: Iterable[torch.Tensor], largest: float) -> torch.Tensor:
        norm = super().clip(parameters, largest)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    # -- whole tensors and parts --------------------------------------------------------------

    def whole(self, value: torch.Tensor) -> torch.Tensor:
        if not isinstance(value, DTensor):
            return value
        full = value.full_tensor()
        return full.cpu() if self.rank == 0 else full.new_empty(0, device="cpu")

    def part(self, value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return _dealt(value, like) if value.dim() and isinstance(like, DTensor) else value


class Gathered:
    """Passes in which FSDP takes everything between embedding and logits for one `forward`.

    Its hooks gather weights around calls of `forward`, and a pass calls body and head by themselves.
    """

    def __init__(self, forward: Forward):
        self.passes, self.temperature = forward, forward.temperature

    def logprobs(self, model: Any, batch: MicroBatch) -> torch.Tensor:
        return _within(model, lambda: self.passes.logprobs(model, batch))

    def with_divergences(
        self, model: Any, teacher: Any, batch: MicroBatch, kind: str, mix: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return _within(
            model, lambda: self.passes.with_divergences(model, teacher, batch, kind, mix)
        )


def _store(host: str, port: int, size: int, first: bool) -> Any:
    """Where the ranks meet. Those of one machine listen on its loopback interface alone: torch asks
    nobody who comes for a token."""
    listener = None
    if host == LOOPBACK:
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        os.environ |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), loopback)
        if first:
            listener = socket.create_server((host, port))
    return dist.TCPStore(  # type: ignore[attr-defined]
        host,
        port,
        size,
        first,
        timedelta(seconds=MEETING_SECONDS),
        master_listen_fd=None if listener is None else listener.detach(),
    )


def checksum(tensor: torch.Tensor) -> bytes:
    """SHA-256 of a tensor's bytes; of a sharded one, of this rank's part."""
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    data = local.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.sha256(data.tobytes()).digest()


def _within(model: Any, function: Callable[[], Any]) -> Any:
    root = models.causal(model)
    return root.gathered(function) if hasattr(root, "gathered") else function()


def shares(groups: Sequence[TokenGroup], size: int) -> list[list[TokenGroup]]:
    """The groups of each rank: the largest first, each to the rank with the fewest tokens yet."""
    dealt: list[list[TokenGroup]] = [[] for _ in range(size)]
    tokens = [0] * size
    for group in sorted(groups, key=_tokens, reverse=True):
        least = tokens.index(min(tokens))
        dealt[least].append(group)
        tokens[least] += _tokens(group)
    return dealt


def _tokens(group: TokenGroup) -> int:
    return group.longest * len(group.rows)


def _scatter(root: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Whole tensors that are loaded become this rank's parts."""
    for name, parameter in root.named_parameters(remove_duplicate=False):
        value = state.get(prefix + name)
        if value is not None and isinstance(parameter, DTensor):
            state[prefix + name] = _dealt(value, parameter)


def _dealt(value: torch.Tensor, like: DTensor) -> DTensor:
    """A whole tensor sharded as another; each rank takes its part of its own copy."""
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
