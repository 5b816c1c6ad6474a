"""Each op of the import table computes what PyTorch does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.errors import CheckpointError
from bertc.foreign.graph import ForeignGraph
from bertc.foreign.interpreter import run
from bertc.foreign.typed_builder import TypedBuilder
from bertc.frontends.aten import Value, Values
from bertc.frontends.aten.tensors import constant

torch = pytest.importorskip("torch")

IDS = torch.arange(10).reshape(2, 5)
X = torch.linspace(-2, 2, 40).reshape(2, 5, 4)
Y = torch.linspace(0.5, 3, 40).reshape(2, 5, 4)
MASK = IDS % 3 == 0
CASES: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("add.Tensor", (X, Y), {"alpha": 2}),
    ("add.Tensor", (IDS, Y[..., 0]), {}),
    ("rsub.Scalar", (MASK.float(), 1.0), {}),
    ("rsub.Scalar", (IDS, 7, 2), {}),
    ("div.Tensor", (IDS, IDS + 3), {}),
    ("div.Tensor_mode", (IDS, IDS + 3), {"rounding_mode": "floor"}),
    ("floor_divide.default", (Y, X), {}),
    ("pow.Tensor_Scalar", (Y, 2), {}),
    ("clamp.default", (X, -1, 1.5), {}),
    ("clamp_min.default", (X, 0.25), {}),
    ("maximum.default", (X, Y), {}),
    ("rsqrt.default", (Y,), {}),
    ("log1p.default", (Y,), {}),
    ("square.default", (X,), {}),
    *(
        (f"{name}.default", (X,), {})
        for name in ("gelu", "silu", "mish", "softplus", "relu", "sigmoid", "erf")
    ),
    ("gelu.default", (X,), {"approximate": "tanh"}),
    ("ne.Scalar", (IDS, 4), {}),
    ("ge.Tensor", (X, Y), {}),
    ("bitwise_not.default", (MASK,), {}),
    ("logical_and.default", (MASK, IDS), {}),
    ("where.self", (MASK, IDS, IDS.float()), {}),
    ("masked_fill.Scalar", (X[..., 0], MASK, -1e9), {}),
    ("softmax.int", (X, -1), {}),
    ("log_softmax.int", (X, 1), {}),
    ("layer_norm.default", (X, [4], Y[0, 0], X[0, 0]), {"eps": 1e-3}),
    ("layer_norm.default", (X, [4]), {}),
    ("native_layer_norm.default", (X, [4], None, None, 1e-5), {}),
    ("linear.default", (X, Y[0]), {}),
    ("addmm.default", (X[0, 0], X[0], Y[0, :4]), {"beta": 0.5, "alpha": 2}),
    ("baddbmm.default", (X[..., :1], X, Y.transpose(1, 2)), {}),
    ("scaled_dot_product_attention.default", (X, Y, X), {}),
    ("scaled_dot_product_attention.default", (X, Y, X), {"attn_mask": ~MASK[:, None], "scale": 0.3}),
    ("scaled_dot_product_attention.default", (X, Y, X), {"attn_mask": IDS[:, None].float()}),
    ("sum.default", (MASK,), {}),
    ("sum.dim_IntList", (X, [1], True), {}),
    ("mean.dim", (X, [-1]), {}),
    ("max.dim", (X, 1), {}),
    ("amax.default", (X, [1, 2]), {}),
    ("linalg_vector_norm.default", (X, 2, [-1], True), {}),
    ("cumsum.default", (MASK, 1), {}),
    ("flatten.using_ints", (X, 1), {}),
    ("unflatten.int", (X, -1, [2, 2]), {}),
    ("permute.default", (X, [-1, 0, 1]), {}),
    ("transpose.int", (X, -1, 0), {}),
    ("t.default", (X[0],), {}),
    ("squeeze.dim", (X[:1], 0), {}),
    ("squeeze.dim", (X, 0), {}),
    ("expand.default", (X[:, :1], [3, -1, 5, -1]), {}),
    ("repeat.default", (X, [2, 1, 1, 3]), {}),
    ("select.int", (X, 1, -1), {}),
    ("slice.Tensor", (X, 1, 1, -1), {}),
    ("slice.Tensor", (X, 1, None, None, 2), {}),
    ("narrow.default", (X, 1, 2, 2), {}),
    ("split.Tensor", (X, 2, 1), {}),
    ("split_with_sizes.default", (X, [1, 4], 1), {}),
    ("chunk.default", (X, 3, -1), {}),
    ("unbind.int", (X, 1), {}),
    ("cat.default", ([X, Y], -1), {}),
    ("stack.default", ([X, Y], 1), {}),
    ("index.Tensor", (X, [torch.tensor([[0], [1]]), torch.tensor([[1, 2]])]), {}),
    ("index.Tensor", (X, [None, torch.tensor([3, 0])]), {}),
    ("index_put.default", (X, [MASK], torch.tensor(7.0)), {}),
    ("index_select.default", (X, 1, torch.tensor([3, 0])), {}),
    ("gather.default", (X[..., 0], 1, torch.tensor([[4], [0]])), {}),
    ("embedding.default", (Y[0], IDS % 5), {}),
    ("triu.default", (X, 1), {}),
    ("new_zeros.default", (X, [2, 3]), {}),
    ("full.default", ([2, 3], 4), {}),
    ("full_like.default", (IDS, 2), {}),
    ("arange.start_step", (1, 9, 3), {}),
    ("to.dtype", (X, torch.int64), {}),
    ("type_as.default", (IDS, X), {}),
    ("conv1d.default", (X, Y.reshape(-1)[:30].reshape(2, 5, 3), X[0, 0, :2]), {"padding": [1]}),
    ("conv1d.padding", (X, Y[0].reshape(5, 1, 4)), {"padding": "same", "groups": 5}),
    (
        "convolution.default",
        (X, Y[0].reshape(5, 1, 4)[..., :2], Y[0, :, 0], [2], [1], [2], False, [0], 5),
        {},
    ),
    *((f"{name}.default", (X,), {}) for name in ("leaky_relu", "elu", "selu", "hardsigmoid", "hardswish")),
    ("elu.default", (X,), {"alpha": 0.5}),
    ("glu.default", (X,), {}),
    ("glu.default", (X.transpose(1, 2), 1), {}),
    ("logsumexp.default", (X, [1]), {}),
    ("logsumexp.default", (X, [-1], True), {}),
    ("constant_pad_nd.default", (X, [1, 2, 0, 1], 0.5), {}),
)


def imported(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
    """The results of an op as the foreign graph's interpreter computes them."""
    op, _, overload = name.partition(".")
    builder = TypedBuilder()

    def value(argument: Any) -> Any:
        if isinstance(argument, torch.Tensor):
            return constant(builder, argument)
        return [value(each) for each in argument] if isinstance(argument, list) else argument

    builder.begin("test", op)
    schema = getattr(getattr(torch.ops.aten, op), overload)._schema.arguments
    given = {each.name: each.default_value for each in schema if each.has_default_value()}
    given.update({each.name: value(argument) for each, argument in zip(schema, arguments, strict=False)})
    given.update({each: value(argument) for each, argument in options.items()})
    found = Values(builder).call(
        op, {each.name: given[each.name] for each in schema if each.name in given}, name, name
    )
    results = [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, Value)]
    graph = ForeignGraph({}, builder.constants, tuple(builder.nodes), {}, 1, 1)
    values = run(graph, {"unused": np.zeros((1, 1))}, results)
    return [(values[each], builder.shapes[each], builder.dtypes[each]) for each in results]


@pytest.mark.parametrize(
    ("name", "arguments", "options"), CASES, ids=lambda each: each if isinstance(each, str) else ""
)
def test_an_op_computes_what_pytorch_does(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    op, _, overload = name.partition(".")
    expected = getattr(getattr(torch.ops.aten, op), overload)(*arguments, **options)
    found = imported(name, arguments, options)
    expected = [*expected] if isinstance(expected, list | tuple) else [expected]
    for (array, shape, dtype), tensor in zip(found, expected, strict=False):
        assert tuple(array.shape) == shape == tuple(tensor.shape)
        assert dtype.kind == tensor.numpy().dtype.kind
        np.testing.assert_allclose(array, tensor.numpy(), rtol=1e-5, atol=1e-6)
    assert found


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("index.Tensor", (X, [MASK]), "how many depends on the input"),
        ("index_put.default", (X, [torch.tensor([0])], X[0]), "writes into a part of a value"),
        ("scaled_dot_product_attention.default", (X, X, X, None, 0.0, True), "for decoders"),
        ("bitwise_not.default", (IDS,), "for truths alone"),
        ("linalg_vector_norm.default", (X, 1), "only the norm of order 2"),
        ("to.dtype", (X, torch.complex64), "the dtype torch.complex64 is not supported"),
        ("topk.default", (X, 2), "the op 'topk' is not supported"),
        ("matmul.default", (X, Y), r"its inputs \[2, 5, 4\], \[2, 5, 4\] do not fit it"),
    ],
)
def test_an_op_that_is_not_supported_is_told(name: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        imported(name, arguments, {})


def test_what_is_written_in_place_is_read_by_all_that_share_it() -> None:
    builder = TypedBuilder()
    values = Values(builder)
    values["x"] = Value(builder.input("input_ids", (2, 5)))
    values["copy"] = values.call("clone", {"self": values["x"]}, "clone", "clone")
    values["same"] = values.call("detach", {"self": values["x"]}, "detach", "detach")
    values["sum"] = values.call("add_", {"self": values["x"], "other": 1}, "add", "add")
    assert values["x"] is values["same"] is values["sum"]
    assert values["copy"] == "input_ids"
    values["view"] = values.call("unsqueeze", {"self": values["x"], "dim": 0}, "view", "view")
    with pytest.raises(CheckpointError, match="writes into a part of another value"):
        values.call("add_", {"self": values["x"], "other": 1}, "add", "add")
