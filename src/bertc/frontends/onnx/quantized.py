"""The import tables of quantized operators. Weights are dequantized; what rounds activations is left out.

The compiler rounds activations on its own, so the file's rounding of them is no part of the model. The
weights keep what theirs has lost, and a note says so.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from bertc.foreign.graph import Constant, Tensor, array_of
from bertc.frontends.onnx.call import WEIGHTS, Call, Row
from bertc.frontends.onnx.fused import embed_layer_norm, packed_attention

Array = np.ndarray[Any, Any]

LOWEST = float(np.finfo(np.float32).min)
ACTIVATIONS = "the source rounds activations to 8 bits as it runs: that is left out, bertc rounds on its own"


def _dequantize(call: Call, x: int, scale: int, zero_point: int, axis: int = 1) -> str:
    """Append ``(x - zero_point) * scale``; along ``axis`` where the scale is a vector."""
    builder = call.builder
    wide = builder.cast(call[x], "float32")
    parameters = []
    for index in (scale, zero_point):
        if not call[index]:
            continue
        value = builder.cast(call[index], "float32")
        known = builder.known(call[index])
        rank = len(builder.constants[call[x]].shape) if call[x] in builder.constants else 0
        if known is not None and known.ndim == 1 and known.size > 1 and rank > 1:
            value = builder.reshape(value, *(-1 if each == axis % rank else 1 for each in range(rank)))
        elif known is not None and known.size == 1:
            value = builder.reshape(value)
        parameters.append(value)
    if len(parameters) == 2:
        wide = builder.op("sub", wide, parameters[1])
    number = builder.op("mul", wide, parameters[0])
    if call[x] not in builder.constants:
        return number
    call.notes.add(WEIGHTS.format(bits=8))
    # The lowest float, of a mask, is one step beyond the floats when it is spread out again.
    return builder.op("max", builder.op("min", number, builder.constant(-LOWEST)), builder.constant(LOWEST))


def _dequantize_linear(call: Call) -> str:
    if call[0] in call.rounded:
        return call[0]
    if call.get("block_size", 0):
        raise call.error("a block_size is not supported")
    return _dequantize(call, 0, 1, 2, call.get("axis", 1))


def _quantize_linear(call: Call) -> str:
    return _unrounded(call, call.builder.cast(call[0], "float32"), call[1])


def _unrounded(call: Call, value: str, scale: str) -> str:
    """Return a value in the place of the whole numbers that the file has for it, each of which is a scale."""
    call.notes.add(ACTIVATIONS)
    call.rounded[value] = scale
    return value


def _dynamic_quantize_linear(call: Call) -> tuple[str, ...]:
    one, zero = call.builder.constant(1.0), call.builder.constant(0.0)
    return _unrounded(call, call.builder.cast(call[0], "float32"), one), one, zero


def _weight(call: Call, index: int, zero_point: int) -> str:
    """Return a matrix of whole numbers, its zero points subtracted, as floats."""
    call.notes.add(WEIGHTS.format(bits=8))
    weight = call.builder.cast(call[index], "float32")
    if not call[zero_point]:
        return weight
    return call.builder.op("sub", weight, call.builder.cast(call[zero_point], "float32"))


def _activation(call: Call, index: int) -> str:
    if call[index] not in call.rounded:
        raise call.error("its first operand comes from no quantization of an activation")
    return call[index]


def _matmul_integer(call: Call) -> str:
    """Return what the sums of whole numbers stand for, in the scale that whole numbers have."""
    x = _activation(call, 0)
    return call.builder.op("div", call.builder.op("matmul", x, _weight(call, 1, 3)), call.rounded[x])


def _matmul_integer_to_float(call: Call) -> str:
    """com.microsoft.MatMulIntegerToFloat: A, B, a_scale, b_scale, a_zero_point, b_zero_point, bias."""
    builder = call.builder
    weight = builder.op("mul", _weight(call, 1, 5), call[3])
    out = builder.op("matmul", _activation(call, 0), weight)
    return builder.op("add", out, call[6]) if call[6] else out


def _dynamic_quantize_matmul(call: Call) -> str:
    """com.microsoft.DynamicQuantizeMatMul: A, B, b_scale, b_zero_point, bias."""
    builder = call.builder
    call.notes.add(ACTIVATIONS)
    out = builder.op("matmul", call[0], builder.op("mul", _weight(call, 1, 3), call[2]))
    return builder.op("add", out, call[4]) if call[4] else out


def _number(call: Call, index: int) -> str:
    """Return an operand, followed by its scale and zero point, as the number that it stands for."""
    if call[index] in call.rounded:
        return call[index]
    return _dequantize(call, index, index + 1, index + 2, -1)


def _qlinear_matmul(call: Call) -> str:
    """QLinearMatMul: a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point."""
    weight = _number(call, 3)
    return _unrounded(call, call.builder.op("matmul", _activation(call, 0), weight), call[6])


def _qgemm(call: Call) -> str:
    """com.microsoft.QGemm: A, scale, zero point, B, scale, zero point, C in the product of scales, Y's."""
    builder = call.builder
    if call.get("transA", 0) or call.get("alpha", 1.0) != 1.0:
        raise call.error("transA and alpha are not supported")
    weight = _number(call, 3)
    weight = builder.transpose(weight, 1, 0) if call.get("transB", 0) else weight
    out = builder.op("matmul", _activation(call, 0), weight)
    if call[6]:
        bias = builder.op("mul", builder.cast(call[6], "float32"), builder.op("mul", call[1], call[4]))
        out = builder.op("add", out, bias)
    return _unrounded(call, out, call[7]) if call[7] else out


def _qlinear_elementwise(primitive: str) -> Row:
    """com.microsoft.QLinearAdd and QLinearMul: A, scale, zero point, B, scale, zero point, C's."""

    def convert(call: Call) -> str:
        operands = [_number(call, index) for index in (0, 3)]
        return _unrounded(call, call.builder.op(primitive, *operands), call[6])

    return Row(f"QLinear{primitive.title()}", convert)


def _qattention(call: Call) -> str:
    """com.microsoft.QAttention: input, weight, bias, scales, mask_index, zero points, past."""
    if call.get("unidirectional", 0) or call[8]:
        raise call.error("only encoders are supported")
    builder = call.builder
    weight = builder.op("mul", _weight(call, 1, 7), call[4])
    packed = builder.op("add", builder.op("matmul", _activation(call, 0), weight), call[2])
    columns = builder.constants[call[1]].shape[1]
    return packed_attention(call, packed, columns, int(call.attributes["num_heads"]), 5, 99)


def _qlinear_softmax(call: Call) -> str:
    """com.microsoft.QLinearSoftmax: X, scale, zero point, those of the result."""
    return _unrounded(call, call.builder.op("softmax", _number(call, 0), axis=call.get("axis", -1)), call[3])


def _qlinear_concat(call: Call) -> str:
    """com.microsoft.QLinearConcat: the result's scale and zero point, then X, scale, zero point of each."""
    parts = [_number(call, index) for index in range(2, len(call.inputs), 3)]
    return _unrounded(call, call.builder.op("concat", *parts, axis=call.attributes["axis"]), call[0])


def _qembed_layer_norm(call: Call) -> tuple[str, ...]:
    """com.microsoft.QEmbedLayerNormalization: ids, types, tables and norm, mask, scales, zero points."""
    tables = [
        _dequantize(call, index, index + 6, index + 11, 0) if call[index] else "" for index in range(2, 7)
    ]
    return embed_layer_norm(dataclasses.replace(call, inputs=(call[0], call[1], *tables, call[7])))


def _matmul_nbits(call: Call) -> str:
    """com.microsoft.MatMulNBits: A, B [N, blocks, block bytes], scales, zero_points, g_idx, bias."""
    builder = call.builder
    bits, block = int(call.get("bits", 4)), int(call.attributes["block_size"])
    rows, columns = int(call.attributes["N"]), int(call.attributes["K"])
    if bits not in (2, 4, 8) or call[4]:
        order = " in another order (g_idx)" if call[4] else ""
        raise call.error(f"weights of {bits} bits{order} are not supported")
    blocks = -(-columns // block)
    packed, scales = (builder.constants.get(call[index]) for index in (1, 2))
    points = builder.constants.get(call[3]) if call[3] else None
    sizes = (rows * blocks * block * bits // 8, rows * blocks)
    found = tuple(-1 if each is None else math.prod(each.shape) for each in (packed, scales))
    if packed is None or scales is None or found != sizes or packed.dtype != np.uint8:
        raise call.error("its weights do not have the size that N, K, bits and block_size say")

    def weight() -> Array:
        numbers = _unpack(array_of(packed), bits).reshape(rows, blocks, block).astype(np.float32)
        scale = array_of(scales).reshape(rows, blocks, 1)
        zero = _zero_points(points, bits, rows, blocks)
        whole = ((numbers - zero) * scale).reshape(rows, -1)[:, :columns]
        return np.ascontiguousarray(whole.T, np.float32)

    _check_points(call, points, bits, rows, blocks)
    call.notes.add(WEIGHTS.format(bits=bits))
    matrix = builder.constant(Tensor((columns, rows), np.dtype(np.float32), weight))
    out = builder.op("matmul", call[0], matrix)
    return builder.op("add", out, call[5]) if call[5] else out


def _gather_block_quantized(call: Call) -> str:
    """com.microsoft.GatherBlockQuantized: a table of blocks in its rows, indices, scales, zero points."""
    builder, bits, block = call.builder, int(call.get("bits", 4)), int(call.get("block_size", 128))
    table, scales = (builder.constants.get(call[index]) for index in (0, 2))
    points = builder.constants.get(call[3]) if call[3] else None
    if table is None or scales is None or len(table.shape) != 2 or call.get("gather_axis", 0) != 0:
        raise call.error("only rows of a constant table are supported")
    rows, width = table.shape
    middled = table.dtype == np.uint8
    packed = middled and bits < 8
    columns = width * 8 // bits if packed else width
    blocks = -(-columns // block)
    if call.get("quantize_axis", 1) not in (1, -1) or math.prod(scales.shape) != rows * blocks:
        raise call.error("its scales do not have the size that the table and block_size say")
    _check_points(call, points, bits, rows, blocks)

    def dense() -> Array:
        numbers = array_of(table)
        numbers = (_unpack(numbers, bits) if packed else numbers).astype(np.float32)
        zero = _zero_points(points, bits, rows, blocks) if middled or points is not None else np.zeros(1)
        steps = np.repeat(array_of(scales).reshape(rows, blocks), block, axis=1)[:, :columns]
        middle = np.repeat(np.broadcast_to(zero, (rows, blocks, 1))[..., 0], block, axis=1)[:, :columns]
        return np.asarray((numbers - middle) * steps, np.float32)

    call.notes.add(WEIGHTS.format(bits=bits))
    rows_of = builder.constant(Tensor((rows, columns), np.dtype(np.float32), dense))
    return builder.op("gather", rows_of, call[1], axis=0)


def _unpack(array: Array, bits: int) -> Array:
    """Return the numbers in bytes, the lowest bits first, along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (array[..., None] >> shifts) & (2**bits - 1)
    return np.asarray(numbers.reshape(*array.shape[:-1], -1))


def _check_points(call: Call, points: Constant | None, bits: int, rows: int, blocks: int) -> None:
    if points is None:
        return
    size = rows * (-(-blocks * bits // 8) if points.dtype == np.uint8 else blocks)
    if math.prod(points.shape) != size:
        raise call.error("its zero points do not have the size that bits and block_size say")


def _zero_points(points: Constant | None, bits: int, rows: int, blocks: int) -> Array:
    """Return a zero point for each block [rows, blocks, 1], or the middle of the range for all."""
    if points is None:
        return np.full(1, 2 ** (bits - 1), np.float32)
    array = array_of(points)
    if array.dtype == np.uint8:
        array = _unpack(array.reshape(rows, -1), bits)[:, :blocks]
    return np.asarray(array.reshape(rows, blocks, 1), np.float32)


STANDARD_TABLE = (
    Row("QuantizeLinear", _quantize_linear),
    Row("DequantizeLinear", _dequantize_linear),
    Row("DynamicQuantizeLinear", _dynamic_quantize_linear),
    Row("MatMulInteger", _matmul_integer),
    Row("QLinearMatMul", _qlinear_matmul),
)
MICROSOFT_TABLE = (
    Row("QuantizeLinear", _quantize_linear),
    Row("DequantizeLinear", _dequantize_linear),
    Row("MatMulIntegerToFloat", _matmul_integer_to_float),
    Row("DynamicQuantizeMatMul", _dynamic_quantize_matmul),
    Row("QAttention", _qattention),
    Row("QGemm", _qgemm),
    Row("QLinearSoftmax", _qlinear_softmax),
    Row("QLinearConcat", _qlinear_concat),
    Row("QEmbedLayerNormalization", _qembed_layer_norm),
    Row("MatMulNBits", _matmul_nbits),
    Row("GatherBlockQuantized", _gather_block_quantized),
    *(_qlinear_elementwise(primitive) for primitive in ("add", "mul")),
)
