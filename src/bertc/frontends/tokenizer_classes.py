"""The tokenizer classes of ``transformers`` 5 that are known here: what each builds from a vocabulary.

These classes take no more than the vocabulary of a tokenizer.json: their own rules replace the rest of it. Of
a SentencePiece model they take the pieces, which some of them number in their own way.
``PreTrainedTokenizerFast`` is none of them: it takes tokenizer.json as it is.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bertc.errors import CheckpointError
from bertc.frontends.sentencepiece_model import Piece
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
    added: Sequence[AddedToken] | None = None
    """What a SentencePiece model matches as wholes; None for any other vocabulary."""


@dataclass(frozen=True)
class TokenizerClass:
    """How a class makes a tokenizer."""

    build: Callable[[Vocabulary, Options], Tokenizer]
    """Model, normalizer and pre-tokenizer."""
    processor: Callable[[Tokenizer, Options], Any]
    """The post-processor, made when all special tokens have been added."""
    special_tokens: Mapping[str, SpecialToken]
    """The named special tokens of a folder that does not name them."""
    files: tuple[tuple[str, ...], ...] = ()
    """The files of the vocabulary that serve where there is no tokenizer.json, the ones that count first."""
    has_token_types: bool = False
    """Whether the second text of a pair has token type 1 where ``model_input_names`` does not say."""
    number: Callable[[Sequence[Piece], Options], Sequence[Piece]] = lambda pieces, _: pieces
    """The vocabulary made of SentencePiece's pieces."""
    extra: tuple[SpecialToken, ...] = ()
    """Special tokens without a name, of a folder with a tokenizer.json that names none."""
    keeps_processor: bool = False
    """Whether the post-processor of a tokenizer.json counts more than the class's own."""

    def make(self, vocabulary: Vocabulary, settings: TokenizerSettings) -> Tokenizer:
        """Return the tokenizer of a vocabulary, all settings applied but truncation and token types."""
        named = {
            key: _like(default, settings.options.get(key, default))
            for key, default in self.special_tokens.items()
        }
        options = {**settings.options, **{key: str(token) for key, token in named.items()}}
        extra = settings.extra
        if settings.names_no_extra:
            extra = self.extra if vocabulary.added is None else tuple(vocabulary.added)
        if vocabulary.added is not None:
            pieces = self.number(vocabulary.tokens, options)
            vocabulary = dataclasses.replace(vocabulary, tokens=pieces)
        tokenizer = self.build(vocabulary, options)
        settings = dataclasses.replace(settings, options={**settings.options, **named}, extra=extra)
        settings.add_tokens(tokenizer, self.special_tokens)
        tokenizer.post_processor = self.processor(tokenizer, options)
        return tokenizer


def _like(default: SpecialToken, token: SpecialToken) -> SpecialToken:
    """Return a token, which is matched as the class's default where the folder says nothing of it."""
    if isinstance(default, AddedToken) and isinstance(token, str):
        return AddedToken(token, lstrip=default.lstrip, special=True)
    return token


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


def _unigram(
    vocabulary: Vocabulary, options: Options, unknown: int, steps: Sequence[Any] = (), *, splits: bool = True
) -> Tokenizer:
    """Return a tokenizer that splits at white space; ``steps`` normalize before SentencePiece's own table."""
    tokens = [(token, score) for token, score in vocabulary.tokens]
    tokenizer = Tokenizer(models.Unigram(tokens, unk_id=unknown, byte_fallback=False))
    tables = [
        each["precompiled_charsmap"] for each in vocabulary.normalizers if each["type"] == "Precompiled"
    ]
    steps = [*steps, *(normalizers.Precompiled(base64.b64decode(table)) for table in tables[:1])]
    if steps:
        tokenizer.normalizer = steps[0] if len(steps) == 1 else normalizers.Sequence(steps)
    scheme = "always" if options.get("add_prefix_space", True) else "never"
    spaces = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaces]) if splits else spaces
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return tokenizer


def _xlm_roberta(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    return _unigram(vocabulary, options, 3)


def _number_xlm_roberta(pieces: Sequence[Piece], options: Options) -> list[Piece]:
    """Number as fairseq: its special tokens in place of SentencePiece's <unk>, <s> and </s>."""
    special = [(options[f"{key}_token"], 0.0) for key in ("bos", "pad", "eos", "unk", "mask")]
    return [*special[:4], *pieces[3:], special[4]]


def _camembert(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    tokens = [token for token, _ in vocabulary.tokens]
    unknown = options["unk_token"]
    return _unigram(vocabulary, options, tokens.index(unknown) if unknown in tokens else 0)


def _number_camembert(pieces: Sequence[Piece], options: Options) -> list[Piece]:
    """Number as fairseq, with places that nothing uses, as CamemBERT was trained."""
    pad, unk, mask = (options[f"{key}_token"] for key in ("pad", "unk", "mask"))
    unused = ("<s>NOTUSED", 0.0), ("</s>NOTUSED", 0.0), ("<unk>NOTUSED", -100.0)
    return [unused[0], (pad, 0.0), unused[1], (unk, 0.0), unused[2], *pieces[1:], (mask, 0.0)]


def _plain_letters(options: Options, *, by_default: bool) -> list[Any]:
    """Return the steps that replace quotes, take accents away and lower the case, as options say."""
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not options.get("keep_accents", not by_default):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if options.get("do_lower_case", by_default):
        steps.append(normalizers.Lowercase())
    return steps


def _albert(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    return _unigram(vocabulary, options, 1, _plain_letters(options, by_default=True))


def _rembert(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    steps = _plain_letters(options, by_default=False)
    steps.insert(2, normalizers.Replace(Regex(" {2,}"), " "))
    return _unigram(vocabulary, options, 2, steps, splits=False)


def _big_bird(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    unknown = (options["unk_token"], 0.0)
    tokens = [(token, score) for token, score in vocabulary.tokens]
    number = tokens.index(unknown) if unknown in tokens else 100
    tokenizer = _unigram(vocabulary, options, number, splits=False)
    spaces = normalizers.Replace(Regex(r" {2,}"), "\u2581")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(left=False, right=False), spaces])
    return tokenizer


def _deberta_v2(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    tokens = [(token, score) for token, score in vocabulary.tokens]
    unknown = (options["unk_token"], 0.0)
    number = tokens.index(unknown) if unknown in tokens else options.get("unk_id", 1)
    tokenizer = Tokenizer(models.Unigram(tokens, unk_id=number, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            *([normalizers.Lowercase()] if options.get("do_lower_case") else []),
            normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
            normalizers.NFC(),
            normalizers.Strip(left=False, right=True),
        ]
    )
    scheme = "always" if options.get("add_prefix_space", True) else "first"
    marks = [pre_tokenizers.Punctuation(behavior="isolated")] if options.get("split_by_punct") else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*marks, pre_tokenizers.Metaspace(prepend_scheme=scheme)]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return tokenizer


def _deberta_processor(tokenizer: Tokenizer, options: Options) -> Any:
    special = [_with_id(tokenizer, options, key) for key in ("cls_token", "sep_token")]
    (cls, _), (sep, _) = special
    return processors.TemplateProcessing(
        single=[cls, "$A", sep], pair=[cls, "$A", sep, sep, "$B", sep], special_tokens=special
    )


def _albert_processor(tokenizer: Tokenizer, options: Options) -> Any:
    (_, cls), (_, sep) = (_with_id(tokenizer, options, key) for key in ("cls_token", "sep_token"))
    return processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],  # so called whatever they are
    )


def _xlm_roberta_processor(tokenizer: Tokenizer, options: Options) -> Any:
    special = [_with_id(tokenizer, options, key) for key in ("bos_token", "eos_token")]
    (bos, _), (eos, _) = special
    return processors.TemplateProcessing(
        single=[bos, "$A", eos], pair=[bos, "$A", eos, eos, "$B", eos], special_tokens=special
    )


def _esm(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    """Return a tokenizer that takes each entry of the vocabulary wherever it stands, the longest first."""
    tokens = vocabulary.tokens
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=options["unk_token"]))
    entries = "|".join(re.escape(each) for each in sorted(tokens, key=len, reverse=True))
    steps = [pre_tokenizers.Split(Regex(entries), "isolated"), pre_tokenizers.WhitespaceSplit()]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return tokenizer


def _esm_processor(tokenizer: Tokenizer, options: Options) -> Any:
    special = [_with_id(tokenizer, options, key) for key in ("cls_token", "eos_token")]
    (cls, _), (eos, _) = special
    return processors.TemplateProcessing(
        single=[cls, "$A", eos], pair=[cls, "$A", eos, "$B", eos], special_tokens=special
    )


_BERT = TokenizerClass(_bert, _bert_processor, _BERT_TOKENS, (("vocab.txt",),), has_token_types=True)
_DISTILBERT = TokenizerClass(_bert, _bert_processor, _BERT_TOKENS, (("vocab.txt",),))
_MPNET = TokenizerClass(_bert, _mpnet_processor, _MPNET_TOKENS, (("vocab.txt",),))
_ROBERTA = TokenizerClass(_roberta, _roberta_processor, _ROBERTA_TOKENS, (("vocab.json", "merges.txt"),))
_LUKE = dataclasses.replace(_ROBERTA, extra=("<ent>", "<ent2>", "[UNK]", "[PAD]", "[MASK]", "[MASK2]"))
_FAIRSEQ_FILES = (("tokenizer.model",), ("sentencepiece.bpe.model",))
_XLM_ROBERTA = TokenizerClass(
    _xlm_roberta, _xlm_roberta_processor, _ROBERTA_TOKENS, _FAIRSEQ_FILES, number=_number_xlm_roberta
)
_CAMEMBERT = TokenizerClass(
    _camembert,
    _xlm_roberta_processor,
    {**_ROBERTA_TOKENS, "mask_token": AddedToken("<mask>", lstrip=True, special=True)},
    _FAIRSEQ_FILES,
    number=_number_camembert,
    extra=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
)
_ALBERT = TokenizerClass(
    _albert,
    _albert_processor,
    {**_BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "pad_token": "<pad>"},
    (("tokenizer.model",), ("spiece.model",)),
    keeps_processor=True,
)
_ESM = TokenizerClass(
    _esm,
    _esm_processor,
    {f"{name}_token": f"<{name}>" for name in ("unk", "cls", "pad", "mask", "eos")},
    (("vocab.txt",),),
)
_DEBERTA_TOKENS = {**_BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]"}
_DEBERTA = TokenizerClass(
    _roberta, _deberta_processor, _DEBERTA_TOKENS, (("vocab.json", "merges.txt"),), has_token_types=True
)
_DEBERTA_V2 = TokenizerClass(
    _deberta_v2, _bert_processor, _DEBERTA_TOKENS, (("spm.model",),), has_token_types=True
)
_BIG_BIRD = TokenizerClass(
    _big_bird,
    _bert_processor,
    {
        **_BERT_TOKENS,
        **{f"{key}_token": _ROBERTA_TOKENS[f"{key}_token"] for key in ("bos", "eos", "unk", "pad")},
        "mask_token": AddedToken("[MASK]", lstrip=True),
    },
    (("spiece.model",),),
)
_REMBERT = dataclasses.replace(_ALBERT, build=_rembert, files=(), keeps_processor=False)

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
    "LukeTokenizer": _LUKE,
    "LongformerTokenizer": _ROBERTA,
    "XLMRobertaTokenizer": _XLM_ROBERTA,
    "CamembertTokenizer": _CAMEMBERT,
    "AlbertTokenizer": _ALBERT,
    "RemBertTokenizer": _REMBERT,
    "BigBirdTokenizer": _BIG_BIRD,
    "EsmTokenizer": _ESM,
    "DebertaTokenizer": _DEBERTA,
    "DebertaV2Tokenizer": _DEBERTA_V2,
}
"""By name, without the ending "Fast", which changes nothing in ``transformers`` 5."""

AS_IT_IS = (
    *("PreTrainedTokenizer", "PreTrainedTokenizerFast", "PythonBackend", "TokenizersBackend"),
    "EsmcTokenizer",
)
"""The classes without rules of their own, or with one vocabulary alone: tokenizer.json is used as it is."""
