"""Dropout, and whatever else a model does at random in training: off, unless a learner asks for it.

`model.eval()` turns all of it off, that of modules and that of functions that ask `self.training`
(attention, OPT's and Falcon's layers, the noise of routers). transformers' gradient checkpointing asks
the same flag of each layer, so there it is on until the layer itself runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def steps(model: Any, dropout: bool) -> Iterator[None]:
    """Within it, passes are those of optimizer steps, backward included; before and after, the model is
    in `eval` mode."""
    hooks = []
    for layer in () if dropout else _recomputed(model):
        hooks.append(layer.register_forward_pre_hook(_off))
        hooks.append(layer.register_forward_hook(_on, always_call=True))
    try:
        settle(model, dropout)
        yield
    finally:
        for hook in hooks:
            hook.remove()
        model.eval()


def settle(model: Any, dropout: bool) -> None:
    """The flags of a step, whatever they are now: TRL's trainers call `model.train()`."""
    model.train(dropout)
    for layer in () if dropout else _recomputed(model):
        layer.training = True


def _recomputed(model: Any) -> list[Any]:
    """Layers that gradient checkpointing runs once more in the backward pass."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [
        module
        for module in model.modules()
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
    ]


def _off(layer: Any, *_: Any) -> None:
    layer.training = False


def _on(layer: Any, *_: Any) -> None:
    layer.training = True
