"""Keeps transformers' progress bars and advice off the user's console."""

from __future__ import annotations


def quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
