"""SentencePiece models without a tokenizer.json: files as they are read, and ids of ``AutoTokenizer``."""

from __future__ import annotations

import io
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.sentencepiece_model import read_sentencepiece
from bertc.frontends.tokenizer import read_tokenizer
from bertc.runtime.tokenization import Tokenizer
from tests.support.multilingual import SENTENCES, TEXTS
from tests.support.tiny_models import write_json

LIMIT = 200
PIECES = [
    ("<unk>", 0.0, 2),
    ("<s>", 0.0, 3),
    ("</s>", 0.0, 3),
    ("▁a", -1.5, 1),
    ("b", -2.25, 1),
    (".", 0.0, 4),
]
XLM_R, CAMEMBERT, ALBERT = "XLMRobertaTokenizer", "CamembertTokenizer", "AlbertTokenizer"
DEBERTA = "DebertaV2Tokenizer"
FILES = {
    XLM_R: "sentencepiece.bpe.model",
    CAMEMBERT: "sentencepiece.bpe.model",
    ALBERT: "spiece.model",
    DEBERTA: "spm.model",
}


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protobuf message: an integer, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(kind: int = 1, charsmap: bytes = b"") -> bytes:
    pieces = b""
    for text, score, type_ in PIECES:
        number = b"\x15" + struct.pack("<f", score)  # field 2, four bytes
        type_field = b"" if type_ == 1 else field(3, type_)
        pieces += field(1, field(1, text.encode()) + number + type_field)
    other = varint(98 << 3 | 1) + bytes(8) + field(99, b"what later versions add")
    return pieces + field(2, field(3, kind) + field(4, 32_000)) + field(3, field(2, charsmap)) + other


def write(folder: Path, name: str, model: bytes, **config: Any) -> Path:
    """A folder of a tokenizer class that has nothing but a SentencePiece model."""
    write_json(folder / "config.json", {"model_type": "bert"})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": name, **config})
    (folder / FILES[name]).write_bytes(model)
    return folder


def ours(path: Path) -> Tokenizer:
    folder = CheckpointFolder(path, "tiny")
    config = folder.read_json("tokenizer_config.json")
    return Tokenizer(read_tokenizer(folder, "", config, {}, default_class=XLM_R, limit=LIMIT), LIMIT)


def test_the_pieces_of_a_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.model").write_bytes(message(charsmap=b"table"))
    folder = CheckpointFolder(tmp_path, "tiny")
    model = read_sentencepiece(folder, "x.model")
    assert model.pieces == [(text, score) for text, score, _ in PIECES]
    added = [(token.content, token.special, token.normalized) for token in model.added]
    assert added == [("<s>", True, False), ("</s>", True, False), (".", False, False)]
    assert model.charsmap == b"table" and list(folder.hashes) == ["x.model"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it has no pieces"),
        (message()[:40], "ends within a field"),
        (message() + b"\x80", "index out of range"),
        (b"\x80" * 12, "an integer is too long"),
        (b"\x0b", "wire type 3"),
        (field(1, 5), "another type"),
        (field(1, field(2, b"xx")), "requires a buffer of 4 bytes"),
        (field(1, field(1, b"\xff")), "invalid start byte"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "x.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"x\.model is not a SentencePiece model: .*{problem}"):
        read_sentencepiece(CheckpointFolder(tmp_path, "tiny"), "x.model")


def test_a_model_that_is_not_unigram_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, XLM_R, message(kind=2))
    with pytest.raises(CheckpointError, match="is a BPE model of SentencePiece, only Unigram is supported"):
        ours(path)


def test_a_table_of_the_normalizer_that_is_damaged_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, XLM_R, message(charsmap=b"\xff\xff\xff\xff"))
    with pytest.raises(CheckpointError, match="is not a tokenizer"):
        ours(path)


def test_fairseq_numbers_its_special_tokens_first(tmp_path: Path) -> None:
    tokenizer = ours(write(tmp_path, XLM_R, message()))
    found = [
        tokenizer.token_id(token) for token in ("<s>", "<pad>", "</s>", "<unk>", "▁a", "b", ".", "<mask>")
    ]
    assert found == [0, 1, 2, 3, 4, 5, 6, 7]
    assert tokenizer(["ab b."], offsets=True).encodings[0].tokens == ["<s>", "▁a", "b", "▁", "b", ".", "</s>"]
    (tmp_path / "tokenizer.model").write_bytes((tmp_path / FILES[XLM_R]).read_bytes())
    (tmp_path / FILES[XLM_R]).unlink()
    assert ours(tmp_path).token_id("<mask>") == 7


@cache
def trained(
    special: tuple[str, ...] = (),
    defined: tuple[str, ...] = (),
    rule: str = "nmt_nfkc",
    pieces: tuple[str, ...] = (),
) -> bytes:
    """A small model of many languages, as SentencePiece itself trains it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3),
        model_writer=model,
        vocab_size=600,
        hard_vocab_limit=False,
        character_coverage=0.98,
        normalization_rule_name=rule,
        control_symbols=list(special),
        user_defined_symbols=list(defined),
        minloglevel=2,
        **({"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1} if special else {}),
        **{f"{kind}_id": number for number, kind in enumerate(KINDS[: len(pieces)])},
        **{f"{kind}_piece": piece for kind, piece in zip(KINDS, pieces, strict=False)},
    )
    return model.getvalue()


KINDS = ("pad", "bos", "eos", "unk")
DEBERTA_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
ALBERT_TOKENS = ("[CLS]", "[SEP]", "[MASK]")
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "xlm-roberta": (XLM_R, {}, {}),
    "xlm-roberta, no table": (XLM_R, {"rule": "identity"}, {}),
    "xlm-roberta, no prefix": (XLM_R, {}, {"add_prefix_space": False}),
    "xlm-roberta, other special tokens": (XLM_R, {}, {"pad_token": "<p>", "mask_token": "▁the"}),
    "xlm-roberta, user-defined": (XLM_R, {"defined": (".", "e-mail")}, {}),
    "xlm-roberta, extra tokens": (XLM_R, {"defined": (".",)}, {"additional_special_tokens": ["London"]}),
    "camembert": (CAMEMBERT, {}, {}),
    "camembert, user-defined": (CAMEMBERT, {"defined": (",", "piano")}, {"mask_token": "<m>"}),
    "camembert, no extra tokens": (CAMEMBERT, {}, {"extra_special_tokens": []}),
    "albert": (ALBERT, {"special": ALBERT_TOKENS}, {}),
    "albert, cased": (ALBERT, {"special": ALBERT_TOKENS}, {"do_lower_case": False, "keep_accents": True}),
    "albert, user-defined": (ALBERT, {"special": ALBERT_TOKENS, "defined": ("(", ".", "—")}, {}),
    "deberta-v2": (DEBERTA, {"pieces": DEBERTA_TOKENS}, {}),
    "deberta-v2, lower case": (
        DEBERTA,
        {"pieces": DEBERTA_TOKENS, "defined": (".",)},
        {"do_lower_case": True, "split_by_punct": True},
    ),
    "deberta-v2, other special tokens": (
        DEBERTA,
        {"rule": "identity"},
        {"cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"},
    ),
    "albert, left": (ALBERT, {"special": ALBERT_TOKENS}, {"truncation_side": "left"}),
}


@pytest.mark.parametrize("name", CASES)
def test_ids_are_those_of_autotokenizer(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("google.protobuf")
    tokenizer_class, options, config = CASES[name]
    path = write(tmp_path, tokenizer_class, trained(**options), **config)
    theirs, tokenizer = transformers.AutoTokenizer.from_pretrained(path), ours(path)
    texts = [*TEXTS, "", "  ", "``quoted'' <mask> [MASK] a <s>b</s> <unk>[CLS]", "a <m>  b <p> c <s>NOTUSED"]
    pairs = list(zip(texts, reversed(texts), strict=True))
    for items, arguments in ((texts, (texts,)), (pairs, tuple(map(list, zip(*pairs, strict=True))))):
        expected = theirs(*arguments, truncation=True, max_length=LIMIT)["input_ids"]
        for item, encoding, ids in zip(items, tokenizer(items).encodings, expected, strict=True):
            assert encoding.ids == ids, (item, encoding.tokens, theirs.convert_ids_to_tokens(ids))
