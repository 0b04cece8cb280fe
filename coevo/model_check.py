"""Whether a model's files can be read, known without its weights."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from coevo.architecture import config_file

TOKENIZERS = (  # any of these makes one, by transformers' names
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
    "spiece.model", "sentencepiece.bpe.model", "tekken.json",
)  # fmt: skip
INDEX = "model.safetensors.index.json"


def of_hub(model: str) -> str:
    """Why a model of the hub cannot be had; empty if its configuration is here or can be fetched."""
    if config_file(model) is not None:
        return ""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        if not _resolves(constants.ENDPOINT):  # at once, where the library tries again and again
            raise LocalEntryNotFoundError("no such host")
        hf_hub_download(model, "config.json")
    except GatedRepoError:
        return "the hub gives it only to those who have accepted its terms; do so, and set HF_TOKEN"
    except RepositoryNotFoundError:
        return "the hub has no such model, or shows it only with a token; set HF_TOKEN if it is private"
    except LocalEntryNotFoundError:
        return (
            "there is no such folder, and the Hugging Face hub cannot be reached, nor is the model in "
            "its cache; write a folder with the model, or run `hf download` where there is a network"
        )
    except EntryNotFoundError:
        return "it has no config.json on the hub, so that it is no model of transformers"
    except (HfHubHTTPError, OSError) as error:
        return f"the hub does not give it: {str(error).splitlines()[0]}"
    return ""


def _resolves(url: str) -> bool:
    """Whether a server's name has an address; taken for granted behind a proxy, which asks for it."""
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except OSError:
        return False
    return True


def of_folder(folder: Path) -> str:
    """Why a model's folder cannot be used, by its configuration and tokenizer; empty if nothing is known
    against it."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return f"{file} cannot be read as JSON ({error})"
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return f"{file} names no model_type, so that transformers cannot know its architecture"
    return _tokenizer(folder)


def _tokenizer(folder: Path) -> str:
    settings = folder / "tokenizer_config.json"
    if settings.is_file():
        try:
            if not isinstance(json.loads(settings.read_bytes()), dict):
                raise ValueError("it is no block of settings")
        except (OSError, ValueError, RecursionError) as error:
            return f"{settings} cannot be read as JSON ({error})"
    file = folder / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        try:
            Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises Exception itself
            return f"{file} cannot be read as a tokenizer ({str(error)[:200]})"
        return ""
    if not any((folder / name).is_file() for name in TOKENIZERS) and not any(
        folder.glob("*.tiktoken")
    ):
        return f"{folder} has no tokenizer: it needs tokenizer.json, as save_pretrained writes it"
    return ""


def weights(folder: Path) -> str:
    """Why a folder's weights cannot be loaded; empty if all of their files are there, and as long as
    they say. Reads their headers alone."""
    index, files = folder / INDEX, {"model.safetensors"}
    if index.is_file():
        try:
            files = set(map(str, json.loads(index.read_bytes())["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{index} cannot be read ({error})"
        missing = sorted(file for file in files if not (folder / file).is_file())
        if missing:
            return f"{folder} lacks {missing[0]}, which {INDEX} names"
    elif not (folder / "model.safetensors").is_file():
        return f"{folder} holds no weights: it has no model.safetensors"
    return next(filter(None, map(_damage, (folder / file for file in sorted(files)))), "")


def _damage(file: Path) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            return ""
    except (SafetensorError, OSError) as error:
        return f"{file} is damaged or only half there ({error}); fetch it again"
