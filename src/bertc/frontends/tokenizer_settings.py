"""What a folder's files say of its tokenizer, merged in the order of ``transformers`` 5.

Source: ``PreTrainedTokenizerBase._from_pretrained`` and ``TokenizersBackend.__init__`` of that library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_EXTRA = "extra_special_tokens"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_OLD_EXTRA = "additional_special_tokens"

SpecialToken = str | AddedToken


@dataclass(frozen=True)
class TokenizerSettings:
    """The keys of tokenizer_config.json and of its older companions."""

    options: Mapping[str, Any]
    """The arguments of the tokenizer's class, the named special tokens among them."""
    own: tuple[SpecialToken, ...]
    """Special tokens under names that only this model knows."""
    extra: tuple[SpecialToken, ...]
    """Special tokens without a name."""
    names_no_extra: bool
    """Whether the folder says nothing of special tokens without a name, not even that there are none."""
    added: Mapping[int, AddedToken]
    """What is matched as a whole, in the order in which it is added; the numbers need not become the ids."""

    def add_tokens(self, tokenizer: Tokenizer, defaults: Mapping[str, SpecialToken]) -> None:
        """Give ``tokenizer`` the added and special tokens that it lacks; ``defaults`` are the class's own."""
        named = {**defaults, **{key: self.options[key] for key in NAMED_TOKENS if key in self.options}}
        special = [*(named[key] for key in NAMED_TOKENS if named.get(key) is not None), *self.own]
        there = tokenizer.get_added_tokens_decoder().values()
        same = {repr(token) for token in there}
        missing = [token for _, token in sorted(self.added.items()) if repr(token) not in same]
        known = {token.content for token in [*there, *missing]}
        for each in [*special, *self.extra]:
            if str(each) not in known:
                missing.append(AddedToken(each, special=True) if isinstance(each, str) else each)
        names = set(map(str, special))
        for token in missing:
            if token.content in names:
                token.special = True
        tokenizer.add_tokens(missing)


def read_settings(
    folder: CheckpointFolder, subfolder: str, config: Mapping[str, Any], tokenizer: Mapping[str, Any] | None
) -> TokenizerSettings:
    """Merge tokenizer_config.json (``config``), its older companions, and what tokenizer.json holds.

    special_tokens_map.json and added_tokens.json count only where tokenizer_config.json has no
    ``added_tokens_decoder``. Raises ``CheckpointError`` for what is no token.
    """
    options = dict(config)
    if not options.get(_EXTRA) and _OLD_EXTRA in options:
        options[_EXTRA] = options.pop(_OLD_EXTRA)
    try:
        if "added_tokens_decoder" in options:
            decoder = options["added_tokens_decoder"]
            added = {int(number): _token(each) for number, each in decoder.items()}
        else:
            _merge(options, folder.read_json_if_there(f"{subfolder}special_tokens_map.json"))
            added = _older_tokens(options, folder.read_json_if_there(f"{subfolder}added_tokens.json"))
            for each in (tokenizer or {}).get("added_tokens", ()):
                added[each["id"]] = _token(each)
        by_content = {token.content: token for token in added.values()}
        for key in NAMED_TOKENS:
            if options.get(key) is not None:
                token = _special(options[key])
                options[key] = by_content.get(str(token), token)
        extra, own = _extra_tokens(options)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder.path / subfolder}: the special or added tokens of the tokenizer are damaged ({error})"
        ) from None
    names_no_extra = isinstance(options.get(_EXTRA, {}), dict)
    return TokenizerSettings(options, own, extra, names_no_extra, added)


def _merge(options: dict[str, Any], special_tokens_map: Mapping[str, Any]) -> None:
    """Let special_tokens_map.json override tokenizer_config.json; of extra tokens, both count."""
    for key, value in special_tokens_map.items():
        there = options.get(key)
        if key == _EXTRA and isinstance(value, list):
            options[key] = [*(there if isinstance(there, list) else ()), *map(_as_special, value)]
        elif key == _OLD_EXTRA and isinstance(value, list):
            options[key] = list(map(_as_special, value))
        else:
            options[key] = value if key == _EXTRA else _as_special(value)
    if _OLD_EXTRA in options:
        options.setdefault(_EXTRA, options.pop(_OLD_EXTRA))


def _older_tokens(options: Mapping[str, Any], added_tokens: Mapping[str, int]) -> dict[int, AddedToken]:
    """Return what added_tokens.json holds: normalized unless it is special."""
    extra = options.get(_EXTRA) or []
    special = {str(each) for each in [*(options.get(key) for key in NAMED_TOKENS), *extra]}
    return {
        int(number): AddedToken(content, normalized=content not in special, special=content in special)
        for content, number in added_tokens.items()
    }


def _extra_tokens(options: Mapping[str, Any]) -> tuple[tuple[SpecialToken, ...], tuple[SpecialToken, ...]]:
    """Return special tokens without a name, and those under names that only this model knows."""
    own = {
        key: value
        for key, value in options.items()
        if key.endswith("_token") and key not in NAMED_TOKENS and isinstance(value, (str, dict, AddedToken))
    }
    extra = options.get(_EXTRA) or []
    if isinstance(extra, dict):
        own.update(extra)
        extra = []
    return tuple(map(_special, extra)), tuple(map(_special, own.values()))


def _as_special(value: Any) -> Any:
    return _token({**value, "special": True}) if isinstance(value, dict) else value


def _special(value: Any) -> SpecialToken:
    return value if isinstance(value, (str, AddedToken)) else _token(value)


def _token(value: Mapping[str, Any]) -> AddedToken:
    return AddedToken(value["content"], **{key: value[key] for key in _FLAGS if key in value})
