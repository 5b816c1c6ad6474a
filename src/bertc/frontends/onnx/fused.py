"""The import tables of fused operators: ONNX's Attention, and ONNX Runtime's own (domain com.microsoft)."""

from __future__ import annotations

import math

import numpy as np

from bertc.foreign.builder import ForeignBuilder
from bertc.frontends.onnx.call import Call, Row
from bertc.frontends.onnx.standard import gemm, times_sigmoid

DROPPED = -3.0e38
"""What is added to the scores of keys that nothing attends to."""


def attend(
    builder: ForeignBuilder, query: str, key: str, value: str, heads: int, scale: float, mask: str
) -> str:
    """Append attention on [batch, length, hidden] values; ``mask`` is what is added to the scores, or ""."""
    split = [builder.reshape(each, 0, 0, heads, -1) for each in (query, key, value)]
    q, v = (builder.transpose(each, 0, 2, 1, 3) for each in (split[0], split[2]))
    scores = builder.op("matmul", q, builder.transpose(split[1], 0, 2, 3, 1))
    scores = builder.op("mul", scores, builder.constant(scale))
    if mask:
        scores = builder.op("add", scores, mask)
    mixed = builder.op("matmul", builder.op("softmax", scores, axis=-1), v)
    return builder.reshape(builder.transpose(mixed, 0, 2, 1, 3), 0, 0, -1)


def added_mask(builder: ForeignBuilder, keep: str, x: str) -> str:
    """Return what is added to scores of ``x`` [batch, length, ...] for a mask, or for numbers of tokens."""
    length = builder.op("squeeze", builder.op("shape", x, start=1, end=2), axes=(0,))
    wide = builder.op("unsqueeze", builder.op("key_mask", keep, length), axes=(1, 2))
    return builder.op("where", wide, builder.constant(0.0), builder.constant(DROPPED))


def _scale(call: Call, width: int, heads: int) -> float:
    return float(call.get("scale") or 1.0 / math.sqrt(width // heads))


def _key_mask(call: Call, index: int) -> str:
    """Return what is added to the scores for a mask operand: of 0 and 1 [batch, length], or lengths."""
    return added_mask(call.builder, call[index], call[0]) if call[index] else ""


def _with_bias(call: Call, mask: str, index: int) -> str:
    bias = call[index]
    return call.builder.op("add", mask, bias) if mask and bias else mask or bias


def _attention(call: Call) -> str:
    """com.microsoft.Attention: input, weights [in, 3 hidden], bias, mask_index, past, attention_bias."""
    _refuse(call, "unidirectional", "do_rotary", "past_present_share_buffer")
    if call[4] or call[6]:
        raise call.error("a past is for decoders: only encoders are supported")
    builder, heads = call.builder, int(call.attributes["num_heads"])
    packed = builder.op("matmul", call[0], call[1])
    packed = builder.op("add", packed, call[2]) if call[2] else packed
    return packed_attention(call, packed, call.builder.constants[call[1]].shape[1], heads, 3, 5)


def packed_attention(call: Call, packed: str, columns: int, heads: int, mask: int, bias: int) -> str:
    """Append attention on a product of ``columns``: queries, keys, values; two operands may mask it."""
    sizes = call.get("qkv_hidden_sizes") or [columns // 3] * 3
    if len({*sizes}) > 1:
        raise call.error(f"queries, keys and values have {sizes} columns: only equal ones are supported")
    query, key, value = (call.builder.part(packed, 2, i * sizes[0], (i + 1) * sizes[0]) for i in range(3))
    added = _with_bias(call, _key_mask(call, mask), bias)
    return attend(call.builder, query, key, value, heads, _scale(call, sizes[0], heads), added)


def _multi_head_attention(call: Call) -> str:
    """com.microsoft.MultiHeadAttention: query, key, value, bias, key_padding_mask, attention_bias, past."""
    _refuse(call, "unidirectional")
    if call[6] or call[7] or not (call[1] and call[2]):
        raise call.error("only queries, keys and values apart, without a past, are supported")
    builder, heads = call.builder, int(call.attributes["num_heads"])
    parts = list(call.inputs[:3])
    scale = call.get("scale")
    if call[3]:
        bias = call.known(3, "bias")
        parts = [
            builder.op("add", part, builder.constant(each))
            for part, each in zip(parts, np.split(bias, 3), strict=True)
        ]
        scale = scale or 1.0 / math.sqrt(bias.size // 3 // heads)
    if not scale:
        raise call.error("it says neither 'scale' nor a bias, by which the heads' size is known")
    added = _with_bias(call, _key_mask(call, 4), 5)
    return attend(builder, parts[0], parts[1], parts[2], heads, float(scale), added)


def _standard_attention(call: Call) -> str:
    """ONNX's Attention: Q, K, V, attn_mask, of rank 3 or 4."""
    _refuse(call, "is_causal", "softcap", "qk_matmul_output_mode", "left_window_size", "right_window_size")
    if call[4] or call[5]:
        raise call.error("a past is for decoders: only encoders are supported")
    builder, heads = call.builder, call.get("q_num_heads")
    mask = builder.op("score_mask", call[3]) if call[3] else ""
    if heads is not None:
        if not call.get("scale"):
            raise call.error("operands of rank 3 need the attribute 'scale'")
        return attend(builder, call[0], call[1], call[2], int(heads), float(call.get("scale")), mask)
    scores = builder.op("matmul", call[0], builder.transpose(call[1], 0, 1, 3, 2))
    if call.get("scale"):
        scores = builder.op("mul", scores, builder.constant(float(call.get("scale"))))
    else:
        width = builder.cast(builder.op("shape", call[0], start=3, end=4), "float32")
        scores = builder.op("div", scores, builder.op("sqrt", width))
    if mask:
        scores = builder.op("add", scores, mask)
    return builder.op("matmul", builder.op("softmax", scores, axis=-1), call[2])


def _refuse(call: Call, *attributes: str) -> None:
    for name in attributes:
        value = call.get(name)
        if value and value != -1:
            raise call.error(f"{name} is {value}, which an encoder does not need and is not supported")


def embed_layer_norm(call: Call) -> tuple[str, ...]:
    """com.microsoft.EmbedLayerNormalization: ids, segments, three tables, gamma, beta, mask, position ids."""
    builder = call.builder
    word = builder.op("gather", call[2], call[0], axis=0)
    if call[8]:
        positions = call[8]
    else:
        length = builder.op("squeeze", builder.op("shape", call[0], start=1, end=2), axes=(0,))
        zero, one = (builder.constant(np.array(number, np.int64)) for number in (0, 1))
        positions = builder.op("range", zero, length, one)
    total = builder.op("add", word, builder.op("gather", call[3], positions, axis=0))
    if call[1] and call[4]:
        total = builder.op("add", total, builder.op("gather", call[4], call[1], axis=0))
    normed = builder.layer_norm(total, call[5], call[6], call.get("epsilon", 1e-12))
    return normed, call[7], total


def _skip_layer_norm(call: Call) -> tuple[str, ...]:
    """com.microsoft.SkipLayerNormalization: input, skip, gamma, beta, bias."""
    builder = call.builder
    first = builder.op("add", call[0], call[4]) if call[4] else call[0]
    total = builder.op("add", first, call[1])
    return builder.layer_norm(total, call[2], call[3], call.get("epsilon", 1e-12)), "", "", total


def _bias_gelu(call: Call) -> str:
    return call.builder.gelu(call.builder.op("add", call[0], call[1]), approximate=False)


def _fast_gelu(call: Call) -> str:
    x = call.builder.op("add", call[0], call[1]) if call[1] else call[0]
    return call.builder.gelu(x, approximate=True)


def _fused_matmul(call: Call) -> str:
    builder = call.builder
    if call.get("transBatchA", 0) or call.get("transBatchB", 0):
        raise call.error("transBatchA and transBatchB are not supported")
    operands = []
    for index, flag in ((0, "transA"), (1, "transB")):
        rank = 4 if call[index] not in builder.constants else len(builder.constants[call[index]].shape)
        perm = (*range(rank - 2), rank - 1, rank - 2)
        operands.append(builder.transpose(call[index], *perm) if call.get(flag, 0) else call[index])
    out = builder.op("matmul", *operands)
    alpha = float(call.get("alpha", 1.0))
    return out if alpha == 1.0 else builder.op("mul", out, builder.constant(alpha))


def _fused_gemm(call: Call) -> str:
    kind = call.get("activation", "")
    out = gemm(call)
    if kind not in ("Tanh", "Relu", "Sigmoid"):
        raise call.error(f"the activation {kind!r} is not supported")
    return call.builder.op(kind.lower(), out)


STANDARD_TABLE = (Row("Attention", _standard_attention, 23),)
MICROSOFT_TABLE = (
    Row("Attention", _attention),
    Row("MultiHeadAttention", _multi_head_attention),
    Row("EmbedLayerNormalization", embed_layer_norm),
    Row("SkipLayerNormalization", _skip_layer_norm),
    Row("Gelu", lambda call: call.builder.gelu(call[0], approximate=False)),
    Row("FastGelu", _fast_gelu),
    Row("BiasGelu", _bias_gelu),
    Row("QuickGelu", times_sigmoid(1.702)),
    Row("FusedMatMul", _fused_matmul),
    Row("FusedGemm", _fused_gemm),
)
