"""A learner's model: all of its weights, or LoRA adapters beside frozen ones; on disk and as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from transformers.core_model_loading import revert_weight_conversion

from agents import adapters
from agents.learners import targets
from agents.model_files import ModelUnavailable, model_folder
from agents.model_loading import load_model, load_settings, load_tokenizer

ADAPTER_SEED = 0  # of the adapters' random start: the same in every run, as the base model is
DEFAULT = "default"  # PEFT's name for the only adapters of a model
LARGEST_FILE = "5GB"  # of a checkpoint's weights, before they are divided among several


def load(name: str, config: Any, role: str = DEFAULT, base: Any = None) -> tuple[Any, Any, str]:
    """Model in `eval` mode, tokenizer and device; `config` is a `LearnerConfig`.

    Full training holds float32 weights. With `lora.rank` the base is frozen in `config.dtype` and
    the adapters, called as the role, are float32. With more than one GPU the layers are spread over
    them. `base` is a model with another role's adapters, beside which these are put. Raises
    `ValueError` if the model lacks a layer that `lora.targets` names.
    """
    if base is not None:
        with torch.random.fork_rng():
            torch.manual_seed(ADAPTER_SEED)
            base.add_adapter(role, _lora(config, causal(base)))
        base.peft_config[role].base_model_name_or_path = str(model_folder(name))  # as PEFT's own
        return base.eval(), load_tokenizer(name), device(config.gpus)
    lora = config.lora.rank > 0
    dtype = getattr(torch, config.dtype) if lora else torch.float32
    place = device(config.gpus)
    spread: dict[str, Any] = {"device_map": "auto"} if config.gpus > 1 else {}
    model = load_model(name, dtype=dtype, **spread)
    if not spread:
        model.to(place)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if lora:
        model = with_adapters(model, _lora(config, model), role)
    return model.eval(), load_tokenizer(name), place


@contextmanager
def before_training(learner: Any) -> Iterator[Any]:
    """The model as it was before any training: without its adapters, or loaded once more, frozen."""
    if has_adapters(learner.model):
        with learner.model.disable_adapter():
            yield learner.model
    else:
        yield _frozen(learner, learner.name)


def teacher(learner: Any) -> Any:
    """The model whose distribution is distilled. Raises `ModelUnavailable` where its tokens are others."""
    name = learner.config.teacher
    if name not in learner.frozen:
        tokenizer = load_tokenizer(name)
        if tokenizer.get_vocab() != learner.tokenizer.get_vocab():
            raise ModelUnavailable(
                f"learner.teacher={name} has another vocabulary than {learner.name}: distillation "
                "compares distributions over the same tokens; write a teacher of the same family"
            )
    return _frozen(learner, name)


def _frozen(learner: Any, name: str) -> Any:
    if name not in learner.frozen:
        dtype = getattr(torch, learner.config.dtype)
        model = load_model(name, dtype=dtype)
        learner.frozen[name] = model.eval().requires_grad_(False).to(learner.device)
    return learner.frozen[name]


def device(gpus: float) -> str:
    """Where tensors go. Raises `RuntimeError` if GPUs were asked for and there are none: nothing
    falls back to the CPU unseen."""
    if gpus > 0 and not torch.cuda.is_available():
        raise RuntimeError(
            f"gpus={gpus:g}, but torch sees no GPU here: write gpus=0 to use the CPU"
        )
    return "cuda" if gpus > 0 else "cpu"


def with_adapters(model: Any, settings: Any, role: str = DEFAULT) -> Any:
    """The model with LoRA adapters that do nothing yet."""
    from peft import get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(ADAPTER_SEED)
        return get_peft_model(model, settings, adapter_name=role)


def activate(model: Any, role: str) -> None:
    """Of several roles' adapters on one base, those of this role work and are trained."""
    if has_adapters(model) and model.active_adapter != role:
        model.set_adapter(role)


def _lora(config: Any, model: Any) -> Any:
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    names = targets.chosen(model, config.lora.targets)

    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=names,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
    )


def has_adapters(model: Any) -> bool:
    return hasattr(model, "peft_config")


def causal(model: Any) -> Any:
    """The causal language model itself, which the adapters are inside of."""
    return model.get_base_model() if has_adapters(model) else model


def weights(
    model: Any, dtype: torch.dtype, role: str = DEFAULT, as_in_files: bool = False
) -> bytes:
    """What a policy takes over, in safetensors format: the adapters alone, or else every weight in
    the dtype given, without tied copies.

    Names and layouts are those of the model's `state_dict`, or of its published files, where
    experts lie one by one that transformers keeps in one tensor.
    """
    if has_adapters(model):
        return adapters.pack(_adapter_state(model, role), _adapter_settings(model, role))
    again = _named_again(model)
    state = {
        name: tensor.detach().to(dtype)
        for name, tensor in model.state_dict().items()
        if name not in again
    }
    if as_in_files:
        state = revert_weight_conversion(model, state)
    return safetensors.torch.save(
        {name: tensor.contiguous().cpu() for name, tensor in state.items()}
    )


def take_over(model: Any, received: bytes) -> Any:
    """The model with weights that `weights` wrote; adapters are put beside its own.

    Raises `RuntimeError` if a tensor is missing, unexpected or of another shape.
    """
    state = safetensors.torch.load(received)
    settings = adapters.adapter_config(received)
    if settings is not None:
        return _take_over_adapters(model, state, settings)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = sorted(set(missing) - _named_again(model))
    if unexpected or missing:
        raise RuntimeError(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    return model


def _named_again(model: Any) -> set[str]:
    """Further names of parameters that have one already, such as a head that is the embedding."""
    known: set[int] = set()
    again = set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in known:
            again.add(name)
        known.add(id(parameter))
    return again


# Of PEFT's settings, those that say what the tensors mean.
SETTINGS = ("r", "lora_alpha", "target_modules", "task_type", "fan_in_fan_out", "use_rslora")


def _take_over_adapters(model: Any, state: dict[str, Any], settings: dict[str, Any]) -> Any:
    from peft import LoraConfig

    if not has_adapters(model):
        kept = {key: settings[key] for key in SETTINGS if key in settings}
        model = with_adapters(model, LoraConfig(**kept))
        model.eval().requires_grad_(False)
    _set_adapters(model, state, DEFAULT)
    return model


def _set_adapters(model: Any, state: dict[str, Any], role: str) -> None:
    """Raises `RuntimeError` if the tensors are not those of the role's adapters."""
    from peft import set_peft_model_state_dict

    expected = {name: tensor.shape for name, tensor in _adapter_state(model, role).items()}
    given = {name: tensor.shape for name, tensor in state.items()}
    if differing := dict(given.items() ^ expected.items()):
        raise RuntimeError(f"adapters do not fit: {sorted(differing)[:4]}")
    set_peft_model_state_dict(model, state, adapter_name=role)


def _adapter_state(model: Any, role: str = DEFAULT) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, adapter_name=role, save_embedding_layers=False)
    return {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}


def _adapter_settings(model: Any, role: str) -> dict[str, Any]:
    settings = model.peft_config[role].to_dict()
    settings["target_modules"] = sorted(settings["target_modules"])
    del settings[
        "base_model_name_or_path"
    ]  # a folder of this machine, and these bytes are digested
    return {key: value for key, value in settings.items() if _plain(value)}


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


# -- checkpoints ----------------------------------------------------------------------------------


def save(model: Any, folder: Path, state: dict[str, Any], role: str = DEFAULT) -> None:
    """Writes what `from_pretrained` loads: every weight, or the role's adapters alone."""
    if not has_adapters(model):
        write_model(model, folder, state)
        return
    model.save_pretrained(folder, state_dict=state, selected_adapters=[role])
    if role != DEFAULT:  # PEFT gives those a folder of their own
        for file in (folder / role).iterdir():
            file.rename(folder / file.name)
        (folder / role).rmdir()


def write_model(model: Any, folder: Path, state: dict[str, Any] | None = None) -> None:
    """Writes a whole model, in several files if it is large, with the generation configuration as it
    is: transformers reads some that it refuses to write (a temperature beside `do_sample: false`)."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        model.save_pretrained(folder, state_dict=state, max_shard_size=LARGEST_FILE)
    finally:
        model.generation_config = own
    own.to_json_file(folder / "generation_config.json")


def restore(model: Any, folder: Path, role: str = DEFAULT) -> None:
    """Takes over the weights that `save` wrote, bit for bit.

    A whole model's files may have other names and shapes than its `state_dict` (experts one by one),
    and may be several: transformers reads them back as it wrote them. Raises `RuntimeError` if a
    tensor is missing, unexpected or of another shape.
    """
    if has_adapters(model):
        state = safetensors.torch.load_file(folder / "adapter_model.safetensors")
        _set_adapters(model, state, role)
    else:
        written = load_model(str(folder), exact=True, dtype=torch.float32)
        model.load_state_dict(written.state_dict())


def merge(name: str, checkpoint: Path, to: Path) -> None:
    """Writes the model `name` with a checkpoint's adapters added into its weights, in the type that
    its own are stored in."""
    state = safetensors.torch.load_file(checkpoint / "adapter_model.safetensors")
    settings = json.loads((checkpoint / "adapter_config.json").read_bytes())
    # not by PEFT's from_pretrained: it also does what else a configuration asks for
    model = _take_over_adapters(load_model(name, dtype=torch.float32), state, settings)
    stored = load_settings(name)[0].dtype or torch.float32
    write_model(model.merge_and_unload().to(stored), to)
    load_tokenizer(name).save_pretrained(to)
