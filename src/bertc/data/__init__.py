"""Small texts that travel with the package. We wrote all of them; nothing here is downloaded."""

from __future__ import annotations

from importlib import resources


def sample_texts() -> list[str]:
    """64 short and medium texts in many languages: what a certificate is measured on by default.

    Their order is fixed, so that two compilations of one checkpoint measure the same thing.
    """
    return resources.files(__name__).joinpath("sample_texts.txt").read_text("utf-8").splitlines()
