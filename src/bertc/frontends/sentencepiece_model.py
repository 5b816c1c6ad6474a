"""Reads SentencePiece's ``.model`` files without SentencePiece and without protobuf.

Such a file is one protobuf message, ``ModelProto`` of ``sentencepiece_model.proto``. Of its fields those are
read that the tokenizer classes of ``transformers`` use: the pieces with scores and types, the kind of model,
and the table of the normalizer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from tokenizers import AddedToken

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder

Piece = tuple[str, float]
Value = TypeVar("Value", int, bytes)

_KINDS = {1: "Unigram", 2: "BPE", 3: "word", 4: "character"}
"""``TrainerSpec.ModelType``."""
_UNIGRAM = 1
_CONTROL, _USER_DEFINED = 3, 4
"""``SentencePiece.Type`` of pieces that are matched as wholes."""
_FIXED_SIZES = {1: 8, 5: 4}
"""The bytes of a value by the wire types that say no length."""


@dataclass(frozen=True)
class SentencePieceModel:
    """A Unigram model as SentencePiece trained it."""

    pieces: list[Piece]
    """The tokens with their logarithmic probabilities, by SentencePiece's own numbers."""
    added: tuple[AddedToken, ...]
    """Control pieces, which are special, and pieces that users defined, which are not."""
    charsmap: bytes
    """The normalizer's precompiled table; empty if there is none."""


def read_sentencepiece(folder: CheckpointFolder, file: str) -> SentencePieceModel:
    """Read a file of the folder. Raises ``CheckpointError`` if it is damaged, or no Unigram model."""
    pieces: list[Piece] = []
    added: list[AddedToken] = []
    kind, charsmap = _UNIGRAM, b""
    try:
        for number, value in _fields(bytes(folder.map(file))):
            if number == 1:
                piece, type_ = _piece(value)
                pieces.append(piece)
                if type_ in (_CONTROL, _USER_DEFINED):
                    added.append(AddedToken(piece[0], normalized=False, special=type_ == _CONTROL))
            elif number == 2:
                kind = _last(value, 3, kind)
            elif number == 3:
                charsmap = _last(value, 2, charsmap)
    except (IndexError, TypeError, ValueError, struct.error) as error:
        raise CheckpointError(f"{folder.path / file} is not a SentencePiece model: {error}") from None
    if kind != _UNIGRAM:
        path = str(folder.path)
        raise CheckpointError(
            f"{folder.path / file} is a {_KINDS.get(kind, kind)} model of SentencePiece, only Unigram is "
            "supported. Make a tokenizer.json with transformers: "
            f"AutoTokenizer.from_pretrained({path!r}).save_pretrained({path!r})"
        )
    if not pieces:
        raise CheckpointError(f"{folder.path / file} is not a SentencePiece model: it has no pieces")
    return SentencePieceModel(pieces, tuple(added), charsmap)


def _piece(message: int | bytes) -> tuple[Piece, int]:
    """Return a piece with its score, and its type (NORMAL, which is 1, where it says none)."""
    text, score, type_ = b"", struct.pack("<f", 0.0), 1
    for number, value in _fields(message):
        if number == 1:
            text = _of_type(value, bytes)
        elif number == 2:
            score = _of_type(value, bytes)
        elif number == 3:
            type_ = _of_type(value, int)
    return (text.decode(), struct.unpack("<f", score)[0]), type_


def _last(message: int | bytes, wanted: int, default: Value) -> Value:
    """Return the field of a message that counts, the last one of its number."""
    found = default
    for number, value in _fields(message):
        if number == wanted:
            found = _of_type(value, type(default))
    return found


def _of_type(value: int | bytes, kind: type[Value]) -> Value:
    if not isinstance(value, kind):
        raise TypeError("a field has another type")
    return value


def _fields(message: int | bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message, number and value: an integer, or bytes of any other type."""
    data, at = _of_type(message, bytes), 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise ValueError(f"a field has the wire type {wire}")
        if at + size > len(data):
            raise ValueError("it ends within a field")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an integer of seven bits a byte, the lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("an integer is too long")
