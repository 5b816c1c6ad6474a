"""Folders with a tokenizer in every form that is read, by what is particular about them."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers

from tests.support.tiny_models import CHINESE, SPECIAL_TOKENS, WORDS, make_tokenizer

CASED = [
    "The",
    "CAFE",
    "cafe",
    "Café",
    "café",
    "London",
    "Paris",
    "Zürich",
    "A",
    "B",
    "C",
    "P",
    "[",
    "]",
    "<",
    ">",
]
BRAND = {
    "content": "<brand>",
    "lstrip": False,
    "normalized": True,
    "rstrip": False,
    "single_word": False,
    "special": False,
}
AT = {**BRAND, "content": "@", "special": True, "normalized": False}


@cache
def _wordpiece() -> str:
    """A cased vocabulary: whether texts are lower-cased, or lose their accents, shows in the ids."""
    state = json.loads(make_tokenizer(400).to_str())
    vocabulary = state["model"]["vocab"]
    kept = [token for token in vocabulary if not token.startswith("[unused")]
    more = [
        *kept,
        *CASED,
        *(f"##{each}" for each in "ABCDEFGHIJKLMNOPQRSTUVWXYZéü"),
        "我们",
        "##京",
        "[unused7]",
    ]
    state["model"]["vocab"] = {token: index for index, token in enumerate(dict.fromkeys(more))}
    state["normalizer"]["lowercase"] = False
    return json.dumps(state)


SPACES = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


@cache
def _byte_level() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS, WORDS.title(), "café Zürich 北京"], trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return str(tokenizer.to_str())


@cache
def unigram() -> str:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [*special, "\u2581", *WORDS.split(), *(f"\u2581{word}" for word in WORDS.split()), *CHINESE]
    pieces += [chr(code) for code in range(97, 123)]
    tokenizer = Tokenizer(
        models.Unigram([(each, -float(i % 50)) for i, each in enumerate(dict.fromkeys(pieces))], unk_id=3)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return str(tokenizer.to_str())


def _bert(**config: Any) -> dict[str, Any]:
    return {"tokenizer.json": json.loads(_wordpiece()), "tokenizer_config.json": config}


def _fast(**config: Any) -> dict[str, Any]:
    return _bert(**{"tokenizer_class": "PreTrainedTokenizerFast", **config})


def _roberta(**config: Any) -> dict[str, Any]:
    return {
        "config.json": {"model_type": "roberta"},
        "tokenizer.json": json.loads(_byte_level()),
        "tokenizer_config.json": config,
    }


def _xlm_roberta(**config: Any) -> dict[str, Any]:
    config = {"tokenizer_class": "XLMRobertaTokenizer", **config}
    return {"tokenizer.json": json.loads(unigram()), "tokenizer_config.json": config}


def _albert(**config: Any) -> dict[str, Any]:
    special = {"cls_token": "<s>", "sep_token": "</s>"}  # the class fails where the vocabulary lacks them
    return _xlm_roberta(**{"tokenizer_class": "AlbertTokenizer", **special, **config})


def _rembert(**config: Any) -> dict[str, Any]:
    files = _albert(tokenizer_class="RemBertTokenizer", **config)
    return _with(files, "tokenizer.json", pre_tokenizer=SPACES)


def _deberta(**config: Any) -> dict[str, Any]:
    special = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return _roberta(**{"tokenizer_class": "DebertaTokenizer", **special, **config})


def _deberta_v2(**config: Any) -> dict[str, Any]:
    special = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return _with(
        _xlm_roberta(**{"tokenizer_class": "DebertaV2Tokenizer", **special, **config}),
        "tokenizer.json",
        pre_tokenizer={"type": "Sequence", "pretokenizers": [SPACES]},
    )


def _mpnet(**config: Any) -> dict[str, Any]:
    files = {"config.json": {"model_type": "mpnet"}, **_vocab_txt(**config)}
    files["vocab.txt"] = f"<s>\n<pad>\n</s>\n<unk>\n{files['vocab.txt']}"
    return files


def _vocab_txt(**config: Any) -> dict[str, Any]:
    tokens = json.loads(_wordpiece())["model"]["vocab"]
    return {"vocab.txt": "".join(f"{token}\n" for token in tokens), "tokenizer_config.json": config}


def _merges_txt(**config: Any) -> dict[str, Any]:
    model = json.loads(_byte_level())["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    return {
        "config.json": {"model_type": "roberta"},
        "vocab.json": model["vocab"],
        "merges.txt": f"#version: 0.2\n{merges}",
        "tokenizer_config.json": config,
    }


def _with(files: dict[str, Any], file: str, **changes: Any) -> dict[str, Any]:
    return {**files, file: {**files.get(file, {}), **changes}}


def _processed(**processor: Any) -> dict[str, Any]:
    return {"post_processor": processor}


NO_TYPES = ["input_ids", "attention_mask"]
TYPES = [*NO_TYPES, "token_type_ids"]
LEFT = {"direction": "Left", "max_length": 7, "strategy": "LongestFirst", "stride": 0}
BERT_PROCESSING = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
OFFSETS = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
MAP = {"cls_token": "[CLS]", "mask_token": {**AT, "content": "[MASK]", "lstrip": True}}


def _charsmap() -> str:
    """The smallest table of SentencePiece that does something: it makes "a" of "q"."""
    units = [0] * 256  # a double-array trie
    units[ord("q")] = 0x70 << 10 | 1 << 8 | ord("q")  # its leaf is at ord("q") ^ 0x70, which is 1
    units[1] = 1 << 31  # the leaf: the replacement begins at 0
    return base64.b64encode(struct.pack("<257I", 1024, *units) + b"a\0").decode()


PRECOMPILED = {
    "type": "Sequence",
    "normalizers": [{"type": "Lowercase"}, {"type": "Precompiled", "precompiled_charsmap": _charsmap()}],
}

FOLDERS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "bert": _bert,
    "bert, no tokenizer_config.json": lambda: {"tokenizer.json": json.loads(_wordpiece())},
    "bert, class named": lambda: _bert(tokenizer_class="BertTokenizer"),
    "bert, Fast": lambda: _bert(tokenizer_class="BertTokenizerFast"),
    "bert, class in config.json": lambda: _with(
        _bert(), "config.json", model_type="bert", tokenizer_class="PreTrainedTokenizerFast"
    ),
    "bert, Electra": lambda: _bert(tokenizer_class="ElectraTokenizer"),
    "bert, DistilBert": lambda: _bert(tokenizer_class="DistilBertTokenizer"),
    "bert, cased": lambda: _bert(do_lower_case=False),
    "bert, strip_accents": lambda: _bert(do_lower_case=False, strip_accents=True),
    "bert, no strip_accents": lambda: _bert(strip_accents=False),
    "bert, no Chinese": lambda: _bert(tokenize_chinese_chars=False),
    "bert, added_tokens_decoder": lambda: _bert(added_tokens_decoder={"416": BRAND, "417": AT}),
    "bert, empty added_tokens_decoder": lambda: _bert(added_tokens_decoder={}),
    "bert, added_tokens_decoder out of order": lambda: _bert(
        added_tokens_decoder={"999": BRAND, "5": {**AT, "lstrip": True, "rstrip": True}}
    ),
    "bert, added_tokens.json": lambda: {**_bert(), "added_tokens.json": {"<brand>": 450, "@": 451}},
    "bert, added_tokens.json, one special": lambda: {
        **_bert(additional_special_tokens=["@"]),
        "added_tokens.json": {"<brand>": 450, "@": 451},
    },
    "bert, added_tokens.json beside the decoder": lambda: {
        **_bert(added_tokens_decoder={"450": AT}),
        "added_tokens.json": {"<brand>": 450},
        "special_tokens_map.json": {"cls_token": "[unused7]"},
    },
    "bert, other special tokens": lambda: _bert(cls_token="the", sep_token="[unused7]", mask_token="dog"),
    "bert, special tokens that are new": lambda: _bert(cls_token="<c>", bos_token="<b>"),
    "bert, special tokens as objects": lambda: _bert(
        mask_token={"__type": "AddedToken", **BRAND, "content": "[MASK]", "lstrip": True},
        additional_special_tokens=[{"__type": "AddedToken", **BRAND}],
    ),
    "bert, special_tokens_map.json": lambda: {**_bert(), "special_tokens_map.json": MAP},
    "bert, special_tokens_map.json overrides": lambda: {
        **_bert(cls_token="dog", extra_special_tokens=["sea"]),
        "special_tokens_map.json": {**MAP, "cls_token": "the", "extra_special_tokens": ["<brand>"]},
    },
    "bert, additional_special_tokens of the map": lambda: {
        **_bert(),
        "special_tokens_map.json": {"additional_special_tokens": ["<brand>", "dog"]},
    },
    "bert, a named token of its own": lambda: _bert(
        brand_token="<brand>", extra_special_tokens={"dog_token": "dog"}
    ),
    "bert, extra_special_tokens": lambda: _bert(extra_special_tokens=["<brand>", "dog"]),
    "bert, split_special_tokens": lambda: _bert(split_special_tokens=True),
    "bert, no token types": lambda: _bert(model_input_names=NO_TYPES),
    "bert, the template of tokenizer.json": lambda: _with(
        _bert(),
        "tokenizer.json",
        **_processed(**json.loads(processors.TemplateProcessing(single="$A").__getstate__())),
    ),
    "bert, left": lambda: _bert(truncation_side="left"),
    "bert, left, no token types": lambda: _bert(truncation_side="left", model_input_names=NO_TYPES),
    "bert, left by tokenizer.json": lambda: _with(_bert(), "tokenizer.json", truncation=LEFT),
    "bert, truncation of an old tokenizer.json": lambda: _with(
        _bert(), "tokenizer.json", truncation={k: v for k, v in LEFT.items() if k != "direction"}
    ),
    "bert, right against tokenizer.json": lambda: _with(
        _bert(truncation_side="right"), "tokenizer.json", truncation=LEFT
    ),
    "bert, padding_side": lambda: _bert(padding_side="left"),
    "fast": _fast,
    "fast, lower-case flag": lambda: _fast(do_lower_case=True, strip_accents=True),
    "fast, TokenizersBackend": lambda: _fast(tokenizer_class="TokenizersBackend"),
    "fast, token types": lambda: _fast(model_input_names=TYPES),
    "fast, left": lambda: _fast(truncation_side="left", model_input_names=TYPES),
    "fast, added_tokens_decoder": lambda: _fast(
        added_tokens_decoder={"416": BRAND, "4": {**AT, "content": "[MASK]", "lstrip": True}}
    ),
    "fast, added_tokens.json": lambda: {**_fast(), "added_tokens.json": {"<brand>": 450}},
    "fast, special tokens": lambda: _fast(cls_token="dog", additional_special_tokens=["<brand>"]),
    "fast, split_special_tokens": lambda: _fast(split_special_tokens=True),
    "fast, padding of tokenizer.json": lambda: _with(
        _fast(),
        "tokenizer.json",
        padding={
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "dog",
        },
    ),
    "fast, no post-processor": lambda: _with(_fast(), "tokenizer.json", post_processor=None),
    "fast, no post-processor, token types": lambda: _with(
        _fast(model_input_names=TYPES), "tokenizer.json", post_processor=None
    ),
    "fast, BertProcessing": lambda: _with(_fast(), "tokenizer.json", post_processor=BERT_PROCESSING),
    "fast, BertProcessing, token types": lambda: _with(
        _fast(model_input_names=TYPES), "tokenizer.json", post_processor=BERT_PROCESSING
    ),
    "fast, offsets alone": lambda: _with(_fast(), "tokenizer.json", post_processor=OFFSETS),
    "fast, two post-processors": lambda: _with(
        _fast(),
        "tokenizer.json",
        **_processed(type="Sequence", processors=[OFFSETS, BERT_PROCESSING]),
    ),
    "roberta": _roberta,
    "roberta, add_prefix_space": lambda: _roberta(add_prefix_space=True),
    "roberta, token types": lambda: _roberta(model_input_names=TYPES),
    "roberta, left": lambda: _roberta(truncation_side="left"),
    "roberta, left, add_prefix_space": lambda: _roberta(truncation_side="left", add_prefix_space=True),
    "roberta, added tokens": lambda: _roberta(added_tokens_decoder={"0": BRAND, "1": AT}),
    "roberta, special tokens": lambda: _roberta(cls_token="dog", sep_token="<mask>", trim_offsets=False),
    "roberta, Fast": lambda: _roberta(tokenizer_class="RobertaTokenizerFast"),
    "roberta, as it is": lambda: _roberta(tokenizer_class="PreTrainedTokenizerFast", add_prefix_space=True),
    "roberta, BertTokenizer": lambda: {
        **_bert(tokenizer_class="BertTokenizer"),
        "config.json": {"model_type": "roberta"},
    },
    "xlm-roberta": _xlm_roberta,
    "xlm-roberta, no prefix": lambda: _xlm_roberta(add_prefix_space=False),
    "xlm-roberta, left": lambda: _xlm_roberta(truncation_side="left"),
    "xlm-roberta, charsmap": lambda: _with(_xlm_roberta(), "tokenizer.json", normalizer=PRECOMPILED),
    "camembert": lambda: _xlm_roberta(tokenizer_class="CamembertTokenizer"),
    "camembert, extra_special_tokens": lambda: _xlm_roberta(
        tokenizer_class="CamembertTokenizer", extra_special_tokens=["<brand>"], mask_token="dog"
    ),
    "albert": _albert,
    "albert, cased": lambda: _with(
        _albert(do_lower_case=False, keep_accents=True),
        "tokenizer.json",
        normalizer=PRECOMPILED,
        post_processor=None,
    ),
    "rembert": _rembert,
    "rembert, lower case": lambda: _with(
        _rembert(do_lower_case=True, keep_accents=False), "tokenizer.json", normalizer=PRECOMPILED
    ),
    "big_bird": lambda: _with(
        _albert(tokenizer_class="BigBirdTokenizer", mask_token="<mask>"),
        "tokenizer.json",
        pre_tokenizer=SPACES,
    ),
    "luke": lambda: _merges_txt(tokenizer_class="LukeTokenizer"),
    "deberta": _deberta,
    "deberta, spaces": lambda: _deberta(add_prefix_space=True, mask_token="<mask>"),
    "deberta-v2": _deberta_v2,
    "deberta-v2, lower case": lambda: _deberta_v2(do_lower_case=True, split_by_punct=True),
    "deberta-v2, charsmap": lambda: _with(_deberta_v2(), "tokenizer.json", normalizer=PRECOMPILED),
    "deberta-v2, no prefix": lambda: _deberta_v2(add_prefix_space=False, mask_token="dog"),
    "vocab.txt": _vocab_txt,
    "vocab.txt, cased": lambda: _vocab_txt(do_lower_case=False, strip_accents=False),
    "vocab.txt, no Chinese": lambda: _vocab_txt(tokenize_chinese_chars=False),
    "vocab.txt, special tokens": lambda: _vocab_txt(unk_token="dog", cls_token="the", mask_token="<brand>"),
    "vocab.txt, added_tokens.json": lambda: {**_vocab_txt(), "added_tokens.json": {"<brand>": 450}},
    "vocab.txt, left": lambda: _vocab_txt(truncation_side="left"),
    "vocab.txt, odd lines": lambda: {
        "vocab.txt": "\n".join([*SPECIAL_TOKENS, "a", "", "dog", "a ", "##\u3000"])
    },
    "mpnet": _mpnet,
    "mpnet, cased": lambda: _mpnet(do_lower_case=False, strip_accents=False),
    "mpnet, mask": lambda: _mpnet(mask_token="<mask>"),
    "mpnet, mask as an object": lambda: _mpnet(
        mask_token={"__type": "AddedToken", **AT, "content": "<mask>"}
    ),
    "mpnet, special tokens": lambda: _mpnet(unk_token="dog", cls_token="the", sep_token="[SEP]"),
    "mpnet, left": lambda: _mpnet(truncation_side="left", tokenizer_class="MPNetTokenizerFast"),
    "mpnet, token types": lambda: _mpnet(model_input_names=TYPES),
    "mpnet, tokenizer.json": lambda: {
        **_mpnet(tokenizer_class="MPNetTokenizer"),
        "tokenizer.json": {
            **json.loads(_wordpiece()),
            "added_tokens": [{**AT, "id": 900, "content": "<mask>"}],
        },
    },
    "merges.txt": _merges_txt,
    "merges.txt, add_prefix_space": lambda: _merges_txt(add_prefix_space=True),
    "merges.txt, mask": lambda: _merges_txt(
        mask_token={"__type": "AddedToken", **BRAND, "content": "<mask>", "lstrip": True}
    ),
}
