"""Models and tokenizers from a folder or the hub, read as data: no code of theirs is ever run.

Weights come from safetensors alone, for a pickle runs what it likes. Code that a model brings along
(`auto_map`) stays where it is, and kernels that a configuration names are not fetched.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LARGEST_CONFIG = (
    2**23
)  # bytes of a configuration; a tokenizer's with its tokens has up to a million
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
NO_CODE = {"trust_remote_code": False}


class ModelUnavailable(RuntimeError):
    """A model's files cannot be had; the message says what was tried and what to do."""


def load_model(name: str, exact: bool = False, **options: Any) -> Any:
    """The causal language model called `name`; `options` are those of `from_pretrained`.

    Raises `ModelUnavailable` if it is none, needs code of its own, or has a tensor of another shape or
    lacks one, which transformers would fill with random numbers. With `exact`, for what we wrote
    ourselves, it also does if the model has no place for a tensor, which transformers would leave out.
    """
    from transformers import AutoModelForCausalLM

    from agents.model_files import model_folder

    with _explained(name):
        model, found = AutoModelForCausalLM.from_pretrained(
            model_folder(name),
            **NO_CODE,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told of below, by name
            **options,
        )
    if other := sorted(found["mismatched_keys"], key=str):
        tensor, stored, expected = other[0]
        raise ModelUnavailable(
            f"{len(other)} tensors in the files of {name} have another shape than config.json says, such "
            f"as {tensor}: {tuple(stored)} where a {type(model).__name__} has {tuple(expected)}; take "
            "weights and config.json from the same model"
        )
    if lacking := sorted(found["missing_keys"]):
        raise ModelUnavailable(
            f"the files of {name} lack {len(lacking)} tensors of a {type(model).__name__}, such as "
            f"{lacking[0]}; write a causal language model whose files are whole"
        )
    if exact and (surplus := sorted(found["unexpected_keys"])):
        raise ModelUnavailable(
            f"the files of {name} hold {len(surplus)} tensors that a {type(model).__name__} has no place "
            f"for, such as {surplus[0]}: they were not written by a run of this model"
        )
    for block in (model.config, model.generation_config):
        vars(block).pop("auto_map", None)  # what is saved names no code
    return model


def load_tokenizer(name: str, **options: Any) -> Any:
    """The tokenizer of the model called `name`; raises as `load_model` does."""
    from transformers import AutoTokenizer

    from agents.model_files import model_folder

    with _explained(name):
        tokenizer = AutoTokenizer.from_pretrained(model_folder(name), **NO_CODE, **options)
    tokenizer.init_kwargs.pop("auto_map", None)
    return tokenizer


def load_settings(name: str) -> tuple[Any, Any]:
    """Configuration and generation configuration of the model called `name`, the latter made from
    the former where the model has no generation_config.json; raises as `load_model` does."""
    from transformers import AutoConfig, GenerationConfig

    from agents.model_files import model_folder

    with _explained(name):
        folder = model_folder(name)
        config = AutoConfig.from_pretrained(folder, **NO_CODE)
        try:
            generation = GenerationConfig.from_pretrained(folder)
        except OSError:
            generation = GenerationConfig.from_model_config(config)
    return config, generation


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ModelUnavailable(
            f"the model {name} needs a package that is not installed: {error}"
        ) from error
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ModelUnavailable(
            f"the model {name} needs code of its own, which is never run here; write a model of an "
            "architecture that transformers itself has"
        ) from error


def check_folder(folder: Path) -> None:
    """Raises `ModelUnavailable` if a model's folder asks for code, or has pickles for its weights."""
    for file in sorted(folder.glob("*config.json")):
        config = _read(file)
        if (found := next(_code(config), None)) is not None:
            raise ModelUnavailable(
                f"{file} names code ({found}), which is never run here; if transformers has this "
                "architecture itself, remove that entry"
            )
    if (folder / "adapter_config.json").exists():
        raise ModelUnavailable(
            f"{folder} holds adapters and names another model as theirs; write a folder of a whole "
            "model, with the adapters merged into it"
        )
    if not any(folder.glob("*.safetensors")):
        for pattern in PICKLES:
            if (pickle := next(folder.glob(pattern), None)) is not None:
                raise ModelUnavailable(
                    f"{pickle} is a pickle, which can run code when it is loaded; convert the weights "
                    "to safetensors (model.save_pretrained does, on a machine that may run it)"
                )


def _read(file: Path) -> Any:
    """The JSON in a file; links are followed, for the hub's cache is made of them."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_CONFIG:
            raise ModelUnavailable(
                f"{file} is no configuration: expected a file of at most {LARGEST_CONFIG:,} bytes"
            )
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{file} cannot be read as JSON ({error})") from error


def _code(value: Any, key: str = "") -> Iterator[str]:
    """Every entry under which transformers would look for code: classes, and kernels on the hub."""
    kernels = key.endswith("_implementation") and "/" in json.dumps(value)
    if kernels or (key == "auto_map" and value):
        yield key
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _code(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _code(inner)
