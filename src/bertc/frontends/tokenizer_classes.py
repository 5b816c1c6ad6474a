"""The tokenizer classes of ``transformers`` 5 that are known here: what each builds from a vocabulary.

These classes take no more than the vocabulary of a tokenizer.json: their own rules replace the rest of it.
``PreTrainedTokenizerFast`` is none of them: it takes tokenizer.json as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bertc.errors import CheckpointError
from bertc.frontends.tokenizer_settings import SpecialToken, TokenizerSettings

_BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}

# MPNet's mask token takes the space before it with it.
_MPNET_TOKENS: Mapping[str, SpecialToken] = {
    **_ROBERTA_TOKENS,
    "unk_token": "[UNK]",
    "mask_token": AddedToken("<mask>", lstrip=True),
}

Options = Mapping[str, Any]
"""The arguments of a class: its settings, special tokens among them as strings."""


@dataclass(frozen=True)
class Vocabulary:
    """What a model of the tokenizers library is made of, from tokenizer.json or from older files."""

    tokens: Any
    """Ids by token; of Unigram, a list of tokens with their scores."""
    merges: list[tuple[str, str]]
    normalizers: list[dict[str, Any]]
    """Those of tokenizer.json, in its form."""


@dataclass(frozen=True)
class TokenizerClass:
    """How a class makes a tokenizer."""

    build: Callable[[Vocabulary, Options], Tokenizer]
    """Model, normalizer and pre-tokenizer."""
    processor: Callable[[Tokenizer, Options], Any]
    """The post-processor, made when all special tokens have been added."""
    special_tokens: Mapping[str, SpecialToken]
    """The named special tokens of a folder that does not name them."""
    files: tuple[str, ...] = ()
    """The files of the vocabulary that serve where there is no tokenizer.json."""
    has_token_types: bool = False
    """Whether the second text of a pair has token type 1 where ``model_input_names`` does not say."""

    def make(self, vocabulary: Vocabulary, settings: TokenizerSettings) -> Tokenizer:
        """Return the tokenizer of a vocabulary, all settings applied but truncation and token types."""
        named = {key: settings.options.get(key, default) for key, default in self.special_tokens.items()}
        options = {**settings.options, **{key: str(token) for key, token in named.items()}}
        tokenizer = self.build(vocabulary, options)
        settings.add_tokens(tokenizer, self.special_tokens)
        tokenizer.post_processor = self.processor(tokenizer, options)
        return tokenizer


def _bert(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    tokens = vocabulary.tokens
    if isinstance(tokens, list):
        tokens = {each if isinstance(each, str) else each[0]: number for number, each in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token=options["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
        strip_accents=options.get("strip_accents"),
        lowercase=options.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _with_id(tokenizer: Tokenizer, options: Options, key: str) -> tuple[str, int]:
    """Return a special token and its id, which it has since it was added; only null has none."""
    token = options[key]
    number = tokenizer.token_to_id(token)
    if number is None:
        raise CheckpointError(f"tokenizer_config.json: {key} is {token}, which is no token")
    return token, number


def _bert_processor(tokenizer: Tokenizer, options: Options) -> Any:
    special = [_with_id(tokenizer, options, key) for key in ("cls_token", "sep_token")]
    (cls, _), (sep, _) = special
    return processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=special,
    )


def _roberta(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    model = models.BPE(
        vocabulary.tokens, vocabulary.merges, continuing_subword_prefix="", end_of_word_suffix=""
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(options.get("add_prefix_space", False))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _roberta_processor(tokenizer: Tokenizer, options: Options) -> Any:
    sep, cls = (_with_id(tokenizer, options, key) for key in ("sep_token", "cls_token"))
    return processors.RobertaProcessing(
        sep, cls, options.get("trim_offsets", True), options.get("add_prefix_space", False)
    )


def _mpnet_processor(tokenizer: Tokenizer, options: Options) -> Any:
    sep, cls = (_with_id(tokenizer, options, key) for key in ("sep_token", "cls_token"))
    return processors.RobertaProcessing(sep, cls, trim_offsets=True, add_prefix_space=False)


def _xlm_roberta(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    tokens = [(token, score) for token, score in vocabulary.tokens]
    tokenizer = Tokenizer(models.Unigram(tokens, unk_id=3, byte_fallback=False))
    for each in vocabulary.normalizers:
        if each["type"] == "Precompiled":
            tokenizer.normalizer = normalizers.Precompiled(base64.b64decode(each["precompiled_charsmap"]))
            break
    scheme = "always" if options.get("add_prefix_space", True) else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme=scheme)]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return tokenizer


def _xlm_roberta_processor(tokenizer: Tokenizer, options: Options) -> Any:
    special = [_with_id(tokenizer, options, key) for key in ("bos_token", "eos_token")]
    (bos, _), (eos, _) = special
    return processors.TemplateProcessing(
        single=[bos, "$A", eos], pair=[bos, "$A", eos, eos, "$B", eos], special_tokens=special
    )


_BERT = TokenizerClass(_bert, _bert_processor, _BERT_TOKENS, ("vocab.txt",), has_token_types=True)
_DISTILBERT = TokenizerClass(_bert, _bert_processor, _BERT_TOKENS, ("vocab.txt",))
_MPNET = TokenizerClass(_bert, _mpnet_processor, _MPNET_TOKENS, ("vocab.txt",))
_ROBERTA = TokenizerClass(_roberta, _roberta_processor, _ROBERTA_TOKENS, ("vocab.json", "merges.txt"))
_XLM_ROBERTA = TokenizerClass(_xlm_roberta, _xlm_roberta_processor, _ROBERTA_TOKENS)

TOKENIZER_CLASSES: Mapping[str, TokenizerClass] = {
    "BertTokenizer": _BERT,
    "ConvBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "LayoutLMTokenizer": _BERT,
    "MobileBertTokenizer": _BERT,
    "SqueezeBertTokenizer": _BERT,
    "DistilBertTokenizer": _DISTILBERT,
    "MPNetTokenizer": _MPNET,
    "RobertaTokenizer": _ROBERTA,
    "BartTokenizer": _ROBERTA,
    "LEDTokenizer": _ROBERTA,
    "LongformerTokenizer": _ROBERTA,
    "XLMRobertaTokenizer": _XLM_ROBERTA,
}
"""By name, without the ending "Fast", which changes nothing in ``transformers`` 5."""

AS_IT_IS = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "PythonBackend", "TokenizersBackend")
"""The classes without rules of their own: tokenizer.json is used as it is."""
