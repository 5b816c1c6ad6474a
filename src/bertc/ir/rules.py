"""Shape rules: from the types of an op's operands to those of its outputs, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping

from bertc.errors import GraphError
from bertc.ir import formulas
from bertc.ir.graph import SEQUENCES_PLUS_ONE, Attribute, Dimension, DType, TensorType
from bertc.ir.op import Types
from bertc.ir.reference import TABLES
from bertc.ports import SELECTED, SEQUENCES, TOKENS
from bertc.primitives.region import IDS, NUMBERS, ROWS, Region, RegionError, RowsOf, check

Attributes = Mapping[str, Attribute]
Result = tuple[TensorType, ...]

_FLOATS = (DType.F32, DType.F16)
_WORDS = (*_FLOATS, DType.I8)


def _fail(message: str) -> None:
    raise GraphError(message)


def _same(found: Dimension, expected: Dimension, what: str) -> None:
    if found != expected:
        _fail(f"{what} is {found}, expected {expected}")


def _typed(types: Types, name: str, rank: int, *dtypes: DType) -> TensorType:
    """Return the type of an operand, which must have one of ``dtypes`` (by default float32) and that rank."""
    value, wanted = types[name], dtypes or (DType.F32,)
    if value.dtype not in wanted or len(value.shape) != rank:
        names = " or ".join(dtype.value for dtype in wanted)
        _fail(f"input {name!r} is {value}, expected {names} of rank {rank}")
    return value


def _rows(types: Types, name: str, *dtypes: DType) -> TensorType:
    typed = _typed(types, name, 2, *dtypes)
    if typed.shape[0] not in (TOKENS, SEQUENCES, SELECTED):
        _fail(f"input {name!r} has {typed.shape[0]} rows, expected tokens, sequences or selected")
    return typed


def _vector(types: Types, name: str, length: Dimension, dtype: DType = DType.F32) -> None:
    """Check the dtype and length of a vector, if it is there."""
    if name in types:
        _same(_typed(types, name, 1, dtype).shape[0], length, f"length of {name}")


def _by_place(types: Types, rows: Dimension, width: Dimension, *vectors: str) -> None:
    """Check vectors of rows that are the first or the last token of their sequence, and what tells those."""
    found = [name for name in vectors if name in types]
    for name in found:
        _vector(types, name, width)
    if bool(found) != ("cu_seqlens" in types):
        _fail(f"input 'cu_seqlens' goes with {' and '.join(map(repr, vectors))}, and only with them")
    if found:
        _same(rows, TOKENS, "rows of x")
        _vector(types, "cu_seqlens", SEQUENCES_PLUS_ONE, DType.I32)


def _width(value: TensorType) -> int:
    width = value.shape[-1]
    if not isinstance(width, int):
        raise GraphError(f"the last dimension of {value} must be a number")
    return width


def elementwise(types: Types, _: Attributes) -> Result:
    """Return the type of ``x``."""
    return (_rows(types, "x"),)


def add(types: Types, _: Attributes) -> Result:
    """Return the type of ``a`` and ``b``, which must not differ."""
    a, b = _rows(types, "a"), _rows(types, "b")
    if a != b:
        _fail(f"operands differ: {a} and {b}")
    return (a,)


multiply = add


def concat(types: Types, _: Attributes) -> Result:
    """Return the rows of ``a`` and ``b``, with the columns of both."""
    a, b = _rows(types, "a", DType.F32), _rows(types, "b", DType.F32)
    _same(b.shape[0], a.shape[0], "rows of b")
    return (TensorType(DType.F32, (a.shape[0], _width(a) + _width(b))),)


def embed(types: Types, attributes: Attributes) -> Result:
    """Return a row for each token, as wide as the tables, of which there are one to four."""
    width: Dimension = 0
    for name, ids in TABLES.items():
        if (name in types) != (ids in types):
            _fail(f"inputs {name!r} and {ids!r} go together")
        if name in types:
            table = _typed(types, name, 2, *(_WORDS if name == "word" else _FLOATS))
            width = width or _width(table)
            _same(table.shape[1], width, f"width of {name}")
            _vector(types, ids, TOKENS, DType.I32)
    if not width:
        _fail(f"there is no table: it takes {', '.join(TABLES)}")
    if ("word" in types and types["word"].dtype == DType.I8) != ("word_scale" in types):
        _fail("input 'word_scale' goes with 8-bit word rows, and only with them")
    if "word_scale" in types:
        _vector(types, "word_scale", types["word"].shape[0])
    _vector(types, "cu_seqlens", SEQUENCES_PLUS_ONE, DType.I32)
    first, positions = attributes["first_position"], types["position"].shape[0] if "position" in types else 1
    if not 0 <= int(first) < int(positions):
        _fail(f"attribute 'first_position' is {first}, of {positions} positions")
    return (TensorType(DType.F32, (TOKENS, width)),)


def _per_column(types: Types, *vectors: str) -> Result:
    x = _rows(types, "x")
    for name in vectors:
        _vector(types, name, x.shape[1])
    return (x,)


def layer_norm(types: Types, attributes: Attributes) -> Result:
    """Return the type of ``x``; ``gamma`` and ``beta`` have a number for each of its columns."""
    if attributes["rms"] not in (0, 1):
        _fail(f"attribute 'rms' is {attributes['rms']}, expected 0 or 1")
    return _per_column(types, "gamma", "beta")


def channel_affine(types: Types, attributes: Attributes) -> Result:
    """Return the type of ``x``; its vectors have a number for each of its columns."""
    (x,) = _per_column(types, "multiplier", "offset")
    _by_place(types, x.shape[0], x.shape[1], "first_offset", "last_offset")
    order = attributes["hadamard"]
    if not formulas.can_mix(int(x.shape[1]), int(order)):
        _fail(f"attribute 'hadamard' is {order}: {x.shape[1]} columns have no so many parts to mix")
    return (x,)


def quantize_rows(types: Types, attributes: Attributes) -> Result:
    """Return the types of ``x`` in 8 bits, and of a scale and a zero point for each row."""
    (x,) = channel_affine(types, attributes)
    _vector(types, "static", 2)
    if "static" in types and attributes["hadamard"] != 1:
        _fail("attribute 'hadamard' and input 'static' do not go together")
    rows = x.shape[:1]
    return TensorType(DType.U8, x.shape), TensorType(DType.F32, rows), TensorType(DType.I32, rows)


def layer_norm_quantize(types: Types, attributes: Attributes) -> Result:
    """Return the type of ``x``, and what :func:`quantize_rows` gives of it."""
    return (*layer_norm(types, attributes), *quantize_rows(types, attributes))


def layer_norm_bf16(types: Types, attributes: Attributes) -> Result:
    """Return the type of ``x``, and the same in bf16."""
    (x,) = layer_norm(types, attributes)
    return x, TensorType(DType.BF16, x.shape)


def cast_bf16(types: Types, _: Attributes) -> Result:
    """Return the type of ``x`` in bf16."""
    return (TensorType(DType.BF16, _rows(types, "x").shape),)


def _product(
    types: Types, attributes: Attributes, dtype: DType, weight_dtype: DType, *vectors: str
) -> TensorType:
    """Return float32 [rows, out] for a linear layer with ``x`` and ``weight`` of these dtypes.

    ``weight`` is [out, in], or of a gated layer [2 out, in].
    """
    x, weight = _rows(types, "x", dtype), _typed(types, "weight", 2, weight_dtype)
    _same(weight.shape[1], x.shape[1], "input width of weight")
    _vector(types, "bias", weight.shape[0])
    _by_place(types, x.shape[0], weight.shape[0], "first_bias", "last_bias", *vectors)
    rows, gated = int(weight.shape[0]), int(attributes["gated"])
    if gated not in (0, 1) or (gated and (rows % 2 or "residual" in types)):
        _fail(f"attribute 'gated' is {gated}: it is 0, or 1 for an even number of rows without a residual")
    out = TensorType(DType.F32, (x.shape[0], rows // 2 if gated else rows))
    if types.get("residual", out) != out:
        _fail(f"input 'residual' is {types['residual']}, expected {out}")
    return out


def _stored(out: TensorType, types: Types, attributes: Attributes) -> Result:
    """Return the type of ``out`` as an op stores it that can store 8 bits by a static scale."""
    dtype = DType(attributes["out_dtype"])
    _vector(types, "static", 2)
    if (dtype == DType.U8) != ("static" in types):
        _fail("input 'static' goes with out_dtype 'u8', and only with it")
    return (TensorType(dtype, out.shape),)


def linear(types: Types, attributes: Attributes) -> Result:
    """Return float32 [rows, out]."""
    return (_product(types, attributes, DType.F32, DType.F32),)


def linear_bf16(types: Types, attributes: Attributes) -> Result:
    """Return [rows, out] in ``out_dtype``."""
    out = _product(types, attributes, DType.BF16, DType.BF16)
    return (TensorType(DType(attributes["out_dtype"]), out.shape),)


def linear_int8(types: Types, attributes: Attributes) -> Result:
    """Return [rows, out] in ``out_dtype``; ``scale`` and ``zero_point`` are of each row, or one for all."""
    shifts = "first_offset", "last_offset"
    out = _product(types, attributes, DType.U8, DType.I8, *shifts)
    if "static" not in types and any(name in types for name in shifts):
        _fail("'first_offset' and 'last_offset' are of an output in 8 bits")
    length = _typed(types, "scale", 1).shape[0]
    _same(length, 1 if length == 1 else out.shape[0], "length of scale")
    _vector(types, "zero_point", length, DType.I32)
    _vector(types, "weight_scale", types["weight"].shape[0])
    return _stored(out, types, attributes)


def attention_columns(types: Types, attributes: Attributes) -> tuple[int, int]:
    """Return the columns of the queries, and those of the keys, which are as many as those of the values.

    Each of ``num_key_value_heads`` is shared by as many neighboring heads.
    """
    heads = int(attributes["num_attention_heads"])
    sharers = int(attributes["num_key_value_heads"]) or heads
    columns = (
        _width(types["query"]) if "query" in types else _width(types["qkv"]) // (heads + 2 * sharers) * heads
    )
    return columns, columns // heads * sharers


def attention(types: Types, attributes: Attributes) -> Result:
    """Return a row for each token, as wide as ``query``, or as the queries in ``qkv``."""
    separate = [name for name in ("query", "key", "value") if name in types]
    if len(separate) != (0 if "qkv" in types else 3):
        _fail("inputs 'query', 'key' and 'value' go together, or 'qkv' stands for them")
    found = [_rows(types, name, DType.F32, DType.BF16) for name in separate or ("qkv",)]
    for each in found:
        _same(each.shape[0], TOKENS, "rows of queries, keys and values")
    heads, sharers = int(attributes["num_attention_heads"]), int(attributes["num_key_value_heads"])
    if heads < 1 or sharers < 0 or (sharers and heads % sharers):
        _fail(f"{heads} attention heads do not divide into {sharers} that have keys and values")
    width, shared = attention_columns(types, attributes)
    if width % heads:
        _fail(f"{width} columns do not divide into {heads} attention heads")
    if separate and found[1:] != [TensorType(found[0].dtype, (TOKENS, shared))] * 2:
        _fail(f"query, key and value differ: {', '.join(map(str, found))}")
    _same(_width(found[0]), width if separate else width + 2 * shared, "width of qkv")
    _vector(types, "cu_seqlens", SEQUENCES_PLUS_ONE, DType.I32)
    _vector(types, "attended", TOKENS, DType.I32)
    if "distance_bias" in types:
        bias = _typed(types, "distance_bias", 2)
        _same(bias.shape[0], heads, "rows of distance_bias")
        if _width(bias) % 2 == 0:
            _fail(f"width of distance_bias is {_width(bias)}, expected an odd number: 0 is in the middle")
    if "slopes" in types and "distance_bias" in types:
        _fail("inputs 'slopes' and 'distance_bias' exclude each other")
    _vector(types, "slopes", heads)
    _positions(types, width // heads, int(attributes["window"]))
    _disentangled(types, width, int(attributes["window"]))
    if "buckets" in types and width != shared:
        _fail("input 'buckets' goes with no shared heads of keys and values")
    return _stored(TensorType(DType.F32, (TOKENS, width)), types, attributes)


def _positions(types: Types, head_size: int, window: int) -> None:
    """Check what attention knows of where tokens are."""
    for name in ("position_ids", "places"):
        _vector(types, name, TOKENS, DType.I32)
    if ("rotary" in types) != ("position_ids" in types):
        _fail("inputs 'rotary' and 'position_ids' go together")
    if "rotary" in types and (_width(_typed(types, "rotary", 2)) not in range(2, head_size + 1, 2)):
        _fail(f"width of rotary is {_width(types['rotary'])}, expected an even number of at most {head_size}")
    if window < 0:
        _fail(f"attribute 'window' is {window}, expected 0 for none or a number of tokens")
    if "places" in types and not window and "buckets" not in types:
        _fail("input 'places' goes with a window or with buckets, and only with them")


def _disentangled(types: Types, width: int, window: int) -> None:
    """Check the rows that queries and keys meet by their distance, and what says which."""
    tables = [name for name in ("position_keys", "position_queries") if name in types]
    if bool(tables) != ("buckets" in types):
        _fail("input 'buckets' goes with 'position_keys' and 'position_queries', and only with them")
    if not tables:
        return
    if window or not {"rotary", "distance_bias", "slopes"}.isdisjoint(types):
        _fail("input 'buckets' goes with no window, 'rotary', 'distance_bias' or 'slopes'")
    buckets = _typed(types, "buckets", 2, DType.I32)
    _same(buckets.shape[0], 1, "rows of buckets")
    if _width(buckets) % 2 == 0:
        _fail(f"width of buckets is {_width(buckets)}, expected an odd number: 0 is in the middle")
    found = [_typed(types, name, 2, DType.F32, DType.BF16) for name in tables]
    if len(set(found)) > 1:
        _fail(f"position_keys and position_queries differ: {found[0]} and {found[1]}")
    _same(_width(found[0]), width, f"width of {tables[0]}")


def select_rows(types: Types, _: Attributes) -> Result:
    """Return a row for each selected token, as wide as ``x``."""
    x = _rows(types, "x", DType.F32)
    _same(x.shape[0], TOKENS, "rows of x")
    _vector(types, "selected", SELECTED, DType.I32)
    return (TensorType(DType.F32, (SELECTED, x.shape[1])),)


def pool(types: Types, _: Attributes) -> Result:
    """Return a row for each sequence, as wide as ``x``."""
    x = _rows(types, "x")
    _same(x.shape[0], TOKENS, "rows of x")
    _vector(types, "cu_seqlens", SEQUENCES_PLUS_ONE, DType.I32)
    _vector(types, "pooled", TOKENS, DType.I32)
    return (TensorType(DType.F32, (SEQUENCES, x.shape[1])),)


def host(types: Types, attributes: Attributes) -> Result:
    """Return the rows that a region gives: a row for each token or sequence."""
    _vector(types, "cu_seqlens", SEQUENCES_PLUS_ONE, DType.I32)
    for name in IDS:
        _vector(types, name, TOKENS, DType.I32)
    rows = {name: _rows(types, name) for name in ROWS if name in types}
    if any(value.shape[0] == SELECTED for value in rows.values()):
        _fail("the host computes on whole sequences, not on selected tokens")
    try:
        columns = check(
            Region.from_json(str(attributes["region"])),
            {name: RowsOf(value.shape[0] == TOKENS, _width(value)) for name, value in rows.items()},
            _width(_typed(types, NUMBERS, 1)) if NUMBERS in types else 0,
            per_token=attributes["rows"] == TOKENS,
        )
    except RegionError as error:
        raise GraphError(str(error)) from None
    return (TensorType(DType.F32, (str(attributes["rows"]), columns)),)
