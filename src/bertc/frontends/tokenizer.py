"""Makes tokenizer.json as an artifact keeps it: minified, checked, with the folder's overrides applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder

TOKENIZER = "tokenizer.json"
_NORMALIZER_OPTIONS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""The option of tokenizer.json's BertNormalizer that each key of tokenizer_config.json overrides."""


def read_tokenizer(
    folder: CheckpointFolder, subfolder: str, config: Mapping[str, Any], sentence_config: Mapping[str, Any]
) -> str:
    """Return the tokenizer's JSON, with "padding" and "truncation" null.

    ``transformers`` lets tokenizer_config.json override the normalizer, and sentence-transformers
    lower-cases texts itself when sentence_bert_config.json says so: both are written into the JSON.
    Raises ``CheckpointError`` if the file is missing or the ``tokenizers`` library refuses it.
    """
    file = subfolder + TOKENIZER
    if not folder.has(file):
        raise CheckpointError(
            f"{file} is missing in {folder.path}. Write it with transformers: "
            f"AutoTokenizer.from_pretrained({str(folder.path)!r}).save_pretrained({str(folder.path)!r})"
        )
    data = folder.read_json(file)
    data["padding"] = data["truncation"] = None
    normalizer = data.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        normalizer.update({new: config[old] for old, new in _NORMALIZER_OPTIONS.items() if old in config})
    if sentence_config.get("do_lower_case"):
        steps = [{"type": "Lowercase"}, *([normalizer] if normalizer else [])]
        data["normalizer"] = {"type": "Sequence", "normalizers": steps}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    try:
        Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{folder.path / file} is not a tokenizer: {error}") from None
    return text


def tokens_beyond(tokenizer_json: str, vocab_size: int) -> list[str]:
    """Return the tokens whose ids lie beyond the last row of a table of ``vocab_size`` rows, sorted by id."""
    ids = Tokenizer.from_str(tokenizer_json).get_vocab(with_added_tokens=True)
    return sorted((token for token, number in ids.items() if number >= vocab_size), key=ids.__getitem__)


def has_token(tokenizer_json: str, token: str) -> bool:
    """Return whether the tokenizer has an entry for the token."""
    return Tokenizer.from_str(tokenizer_json).token_to_id(token) is not None
