"""Small texts that travel with the package. We wrote all of them; nothing here is downloaded."""

from __future__ import annotations

from importlib import resources


def sample_texts() -> list[str]:
    """Return some 700 texts of one word to a hundred, in many languages and of many kinds.

    They calibrate and certify a model by default. Their order is fixed, so that two compilations
    of one checkpoint see the same thing.
    """
    return resources.files(__name__).joinpath("sample_texts.txt").read_text("utf-8").splitlines()
