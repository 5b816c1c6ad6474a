"""How a folder wants its embedding model to be called: prompts, lengths, expansion, what is left out.

The rules are those of sentence-transformers 6.2, with which PyLate's folders are read as well.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer

from bertc.artifact.embedding_facts import DOCUMENT, QUERY, SIMILARITIES, EmbeddingFacts, QueryExpansion
from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.sentence_transformers import CONFIG, SentenceModules, is_pylate

_PREFIXES = {QUERY: "query_prefix", DOCUMENT: "document_prefix"}
"""PyLate's key of what it puts before texts, by the prompt that it becomes."""
_KNOBS = ("query_length", "document_length", "query_expansion")
_PYLATE_KEYS = (
    *_KNOBS,
    *_PREFIXES.values(),
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "skiplist_words",
)
_LENGTH = 32
"""The length of expanded queries where PyLate's config does not say it."""
_MULTI_VECTOR_SIMILARITIES = ("maxsim", "meanmaxsim")


class EmbeddingConfig:
    """The configs of a folder that embeds: of the model, and of the transformer."""

    def __init__(
        self, folder: CheckpointFolder, modules: SentenceModules | None, transformer: Mapping[str, Any]
    ) -> None:
        self._where = folder.path / CONFIG
        self._config = folder.read_json_if_there(CONFIG)
        self._modules = modules
        self._token_level = modules is not None and modules.head == "late_interaction"
        knobs = _pylate_knobs(self._config) if self._token_level else {}
        self._knobs = {**knobs, **{key: transformer[key] for key in _KNOBS if key in transformer}}

    def register_prefixes(self, tokenizer_json: str) -> str:
        """Return the tokenizer, which takes PyLate's prefixes that are in its vocabulary for one token each.

        PyLate inserts their ids; as text, one would be split where the tokenizer does not expect it.
        """
        tokenizer = Tokenizer.from_str(tokenizer_json)
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        tokens = []
        for key in _PREFIXES.values():
            prefix = str(self._config.get(key) or "")
            spellings = [each for each in (prefix, *prefix.split(None, 1)[:1]) if each in vocabulary]
            if spellings and tokenizer.encode(spellings[0], add_special_tokens=False).tokens != spellings[:1]:
                tokens.append(AddedToken(spellings[0], normalized=False, special=True))
        if not tokens:
            return tokenizer_json
        tokenizer.add_special_tokens(tokens)
        return str(tokenizer.to_str())

    def lengths(self, plain: int, longest: int) -> dict[str, int]:
        """Return the longest sequence by the task of a text, "" for none, within the model's ``longest``."""
        found = {"": plain, QUERY: self._size("query_length"), DOCUMENT: self._size("document_length")}
        return {task: min(length, longest) for task, length in found.items() if length is not None}

    def facts(
        self, tokenizer_json: str, mask_token: str | None, lengths: Mapping[str, int], longest: int
    ) -> EmbeddingFacts:
        """Return what the artifact keeps. Raises ``CheckpointError`` for a value that makes no sense."""
        prompts = self._prompts()
        default = self._config.get("default_prompt_name")
        if default is not None and default not in prompts:
            raise self._error("default_prompt_name", default, f"one of {', '.join(map(repr, prompts))}")
        similarity = self._config.get("similarity_fn_name")
        known = [each for each in SIMILARITIES if (each in _MULTI_VECTOR_SIMILARITIES) == self._token_level]
        vocabulary = Tokenizer.from_str(tokenizer_json).get_vocab(with_added_tokens=True)
        modules = () if self._modules is None else self._modules.modules
        limit = max(lengths.values())
        tasks = self._mask.get("skiplist_tasks") or [DOCUMENT]
        return EmbeddingFacts(
            prompts={name: text for name, text in prompts.items() if text or name not in (QUERY, DOCUMENT)},
            default_prompt_name=default,
            include_prompt=all(module.include_prompt for module in modules),
            similarity_fn_name=similarity if similarity in known else None,
            truncate_dim=self._size("truncate_dim", self._config),
            max_active_dims=self._size("max_active_dims", self._config),
            max_lengths={task: length for task, length in lengths.items() if length < limit},
            query_expansion=self._expansion(vocabulary, mask_token, longest),
            skipped_token_ids=tuple(
                sorted({vocabulary[word] for word in self._skiplist() if word in vocabulary})
            ),
            skip_tasks=(tasks,) if isinstance(tasks, str) else tuple(map(str, tasks)),
        )

    @property
    def expansion_length(self) -> int | None:
        """The tokens of an expanded query, if queries are expanded."""
        return None if self._raw_expansion is None else self._size("length", self._raw_expansion)

    @property
    def partial_attention(self) -> bool:
        """Whether nothing attends to the tokens that queries are expanded by."""
        return self._raw_expansion is not None and self._raw_expansion.get("attend") is not True

    @property
    def _raw_expansion(self) -> Mapping[str, Any] | None:
        found = self._knobs.get("query_expansion")
        if found is None:
            return None
        if not isinstance(found, dict) or found.get("strategy") not in ("fixed", "min"):
            raise self._error("query_expansion", found, "null, or a strategy fixed or min with a length")
        return found

    @property
    def _mask(self) -> Mapping[str, Any]:
        mask = {} if self._modules is None else self._modules.mask
        if mask.get("keep_only_token_ids"):
            raise CheckpointError(
                "keep_only_token_ids of the MultiVectorMask is not supported: set it to null"
            )
        return mask

    def _expansion(
        self, vocabulary: Mapping[str, int], mask_token: str | None, longest: int
    ) -> QueryExpansion | None:
        raw, length = self._raw_expansion, self.expansion_length
        if raw is None or length is None:
            return None
        if length > longest:
            raise self._error(
                "the length of query_expansion", length, f"at most the model's {longest} tokens"
            )
        token = raw.get("token") or mask_token
        if token not in vocabulary:
            raise self._error("the token of query_expansion", token, "a token of the vocabulary")
        attends = raw.get("attend") is True
        return QueryExpansion(length, vocabulary[str(token)], attends, cuts=raw["strategy"] == "fixed")

    def _prompts(self) -> dict[str, str]:
        """Return the prompts by name; those that sentence-transformers knows by itself are always there."""
        saved = self._config.get("prompts") or {}
        if not isinstance(saved, dict) or not all(
            isinstance(each, (str, type(None))) for each in saved.values()
        ):
            raise self._error("prompts", saved, "texts by name")
        prompts = {QUERY: "", DOCUMENT: "", **{name: text or "" for name, text in saved.items()}}
        for name, key in _PREFIXES.items() if self._token_level else ():
            if key in self._config:
                prefix = str(self._config[key] or "")
                prompts[name] = prefix + prompts[name].removeprefix(prefix)
        return prompts

    def _skiplist(self) -> list[str]:
        words = self._mask.get("skiplist_words")
        if self._token_level and is_pylate(self._config):
            words = self._config.get("skiplist_words")
            words = list(string.punctuation) if words is None else words
        return [str(word) for word in words or ()]

    def _size(self, key: str, config: Mapping[str, Any] | None = None) -> int | None:
        value = (self._knobs if config is None else config).get(key)
        if value is None or (type(value) is int and value > 0):
            return value
        raise self._error(key, value, "a positive integer")

    def _error(self, key: str, value: Any, expected: str) -> CheckpointError:
        return CheckpointError(f"{self._where}: {key} is {value!r}, expected {expected}")


def _pylate_knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what PyLate's config says as the transformer's config of sentence-transformers says it."""
    knobs = {
        key: config[key]
        for key in _KNOBS
        if key in config and (config[key] is not None or key == "query_expansion")
    }
    if "query_expansion" in knobs or not any(key in config for key in _PYLATE_KEYS):
        return knobs
    if config.get("do_query_expansion") is False:
        return {**knobs, "query_expansion": None}
    attend = config.get("attend_to_expansion_tokens", config.get("attend_to_mask_tokens"))
    length = knobs.pop("query_length", None) or _LENGTH
    return {**knobs, "query_expansion": {"strategy": "fixed", "attend": bool(attend), "length": length}}
