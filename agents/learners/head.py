"""From states to log-probabilities, by what a causal model does itself after its last layer."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from agents.model_loading import ModelUnavailable

LOGITS_KEPT = 2**29  # elements; above it, logits are computed once more in the backward pass
CHUNK = 2**22  # elements of logits that are read at once, to stay in the processor's cache


class Head:
    """(n, d) states -> (n, vocabulary) logits, by the model's own `forward`: soft caps, scales and
    whatever else stands between its body and its logits are the model's code.

    Raises `ModelUnavailable` if that `forward` does more than to read its body's last states.
    """

    def __init__(self, causal: Any):
        self.causal = causal
        self.out_features: int = causal.config.get_text_config().vocab_size

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        output = _Output(states[None])
        model = _Causal(self.causal, _Body(self.causal.base_model, output))
        # the class's own: what Accelerate or TRL put around the model's is of whole passes
        forward = type(self.causal).forward
        try:
            logits = forward(model, return_dict=True).logits
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelUnavailable(self._unusual(str(error))) from error
        if not output.was_read:
            raise ModelUnavailable(self._unusual("its body was not called"))
        return logits.flatten(0, 1)

    def _unusual(self, reason: str) -> str:
        return (
            f"a model of type {self.causal.config.model_type} cannot be trained: its logits are not "
            f"computed from the last states of its body alone ({reason}); take another model"
        )


class _Causal:
    """A causal model to its own `forward`, but for its body."""

    def __init__(self, causal: Any, body: _Body):
        self._causal, self._body = causal, body

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._causal, name)
        return self._body if found is self._body.module else found


class _Body:
    """A model's body that has already run: whatever it is given, the output is the one given here."""

    def __init__(self, module: Any, output: _Output):
        self.module, self._output = module, output

    def __call__(self, *_: Any, **__: Any) -> _Output:
        self._output.was_read = True
        return self._output

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.module, name)
        # a decoder within, which some causal models call past the body
        return _Body(found, self._output) if isinstance(found, PreTrainedModel) else found


class _Output:
    """What a body returns, of any class of outputs: states, and nothing else."""

    def __init__(self, states: torch.Tensor):
        self.last_hidden_state, self.was_read = states, False

    def __getattr__(self, name: str) -> None:
        return None

    def __getitem__(self, place: int | slice) -> Any:
        return (self.last_hidden_state,)[place]


def target_logprobs(
    head: Any, states: torch.Tensor, targets: torch.Tensor, temperature: float
) -> torch.Tensor:
    """(n,) in float32: log π of n targets, from (n, d) states; `head` is a `Head`, or a linear layer.

    Large vocabularies are read part by part, and their logits computed again in the backward
    pass instead of kept.
    """
    per_part = max(1, LOGITS_KEPT // head.out_features)

    def part(states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = head(states)
        return _Logprobs.apply(logits, targets.to(logits.device), temperature)

    if len(targets) <= per_part:
        return part(states, targets)

    parts = zip(states.split(per_part), targets.split(per_part), strict=True)
    return torch.cat([checkpoint(part, *each, use_reentrant=False) for each in parts])


class _Logprobs(torch.autograd.Function):
    """log_softmax(logits / temperature)[target], read and differentiated a few rows at a time: no second
    table of the logits' size but the gradient."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, targets: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        ctx.save_for_backward(logits, targets)
        ctx.temperature = temperature
        found = torch.empty(len(targets), dtype=_wide(logits), device=logits.device)
        for part in _parts(logits):
            scaled = logits[part].to(found.dtype) / temperature
            found[part] = scaled.log_softmax(-1).gather(-1, targets[part, None])[:, 0]
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        logits, targets = ctx.saved_tensors
        result = torch.empty_like(logits)
        for part in _parts(logits):
            pull = gradient[part, None] / ctx.temperature
            table = (logits[part].to(gradient.dtype) / ctx.temperature).softmax(-1).mul_(-pull)
            result[part] = table.scatter_add_(-1, targets[part, None], pull)
        return result, None, None


def _wide(logits: torch.Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _parts(logits: torch.Tensor) -> list[slice]:
    step = max(1, CHUNK // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    return [slice(start, start + step) for start in range(0, len(logits), max(1, step))]
