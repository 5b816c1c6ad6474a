// linear, linear_bf16, linear_int8: one class, three bindings.
#include <utility>

#include "ops/binder.h"
#include "ops/op.h"
#include "ops/row_quantization.h"
#include "ops/weight_bound.h"

namespace bertc {
namespace {

class Linear final : public Op {
 public:
  struct Operands {
    const Buffer* x = nullptr;
    const Buffer* scale = nullptr;       // int8, where rows have their own
    const Buffer* zero_point = nullptr;  // as scale
    const Buffer* residual = nullptr;    // may be absent
    const Buffer* out = nullptr;
    bool by_place = false;
  };

  Linear(const Operands& operands, GemmKernel kernel, const Gemm& constants, std::size_t blocks)
      : operands_(operands), kernel_(kernel), constants_(constants), blocks_(blocks) {}

  // Threads share the columns: each reads its part of the weights, and all of the few rows.
  void run(const Frame& frame, Part part) const override {
    Gemm gemm = constants_;
    gemm.rows = frame.rows(*operands_.x);
    gemm.a = frame.data<std::byte>(*operands_.x);
    if (operands_.scale != nullptr) {
      gemm.row_scale = frame.data<float>(*operands_.scale);
      gemm.row_zero_point = frame.data<int32_t>(*operands_.zero_point);
    }
    if (operands_.residual != nullptr) gemm.residual = frame.data<float>(*operands_.residual);
    gemm.out = frame.data<std::byte>(*operands_.out);
    gemm.scratch = frame.scratch;
    if (operands_.by_place) gemm.places = places_from(frame, 0);
    const std::size_t each = gemm.gated ? 2 : 1;  // gate and value
    kernel_(gemm, each * part.begin(blocks_), each * part.end(blocks_));
  }

  std::size_t scratch_bytes(std::size_t) const override {
    return gemm_scratch_bytes(operands_.x->padded_columns());
  }

 private:
  Operands operands_;
  GemmKernel kernel_;
  Gemm constants_;
  std::size_t blocks_;
};

// Whether all numbers lie in -63..63, so that two products with unsigned 8 bits fit 16 bits.
bool fits_seven_bits(const Tensor& weight) {
  std::size_t count = 1;
  for (const std::size_t size : weight.shape) count *= size;
  const auto* numbers = weight.as<int8_t>();
  uint8_t highest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto shifted = static_cast<uint8_t>(numbers[i] + 63);
    highest = shifted > highest ? shifted : highest;
  }
  return highest <= 2 * 63;
}

// What the three kinds of weights differ in.
struct WeightKind {
  DType dtype;
  std::size_t depth;  // elements of a row that lie side by side in the packed layout
};

GemmOutput output_of(const Binder& binder, const Buffer& out, const WeightKind& kind) {
  const bool integers = kind.dtype == DType::kI8;
  if (out.dtype == DType::kU8 && integers) return GemmOutput::kU8;
  if (out.dtype == DType::kI32 && integers) return GemmOutput::kI32;
  binder.require(out.dtype == DType::kF32 || out.dtype == DType::kBf16, "output must be f32 or bf16");
  return out.dtype == DType::kBf16 ? GemmOutput::kBf16 : GemmOutput::kF32;
}

bool bind_gated(Binder& binder) {
  return binder.has_attribute("gated") && binder.integer("gated", 1, 1) == 1;
}

// The columns of the product, of which there are two for one of a gated output.
std::size_t product_columns(const Gemm& gemm, const Buffer& out) {
  return out.padded_columns() * (gemm.gated ? 2 : 1);
}

// Checks and fills in all but the kind's own operands.
Gemm bind_common(Binder& binder, const WeightKind& kind, Linear::Operands& operands, std::size_t& blocks) {
  const std::size_t depth = operands.x->columns;
  const Buffer& out = binder.output_any(0);
  binder.require(out.columns > 0 && out.rows == operands.x->rows,
                 "output '" + out.name + "' has the wrong form");
  blocks = out.padded_columns() / kBlockColumns;
  const std::size_t groups = (depth + kind.depth - 1) / kind.depth;
  operands.out = &out;

  Gemm gemm{};
  gemm.output = output_of(binder, out, kind);
  gemm.gated = bind_gated(binder);
  const std::size_t columns = product_columns(gemm, out);
  gemm.a_stride = operands.x->padded_columns();
  gemm.b =
      binder.tensor("weight", kind.dtype, {columns / kBlockColumns, groups, kBlockColumns, kind.depth}).data;
  gemm.depth_groups = groups;
  gemm.bias = binder.tensor("bias", DType::kF32, {columns}).as<float>();
  gemm.biases = bind_place_vectors(binder, "bias", columns);
  if (gemm.output == GemmOutput::kU8)
    gemm.offsets = bind_place_vectors(binder, "offset", out.padded_columns());
  operands.by_place = bind_places(binder, *operands.x, {gemm.biases, gemm.offsets});
  gemm.activation = static_cast<Activation>(binder.choice(
      "activation",
      {"none", "gelu", "gelu_tanh", "relu", "tanh", "sigmoid", "silu", "quick_gelu", "mish", "log1p_relu"}));
  gemm.out_stride = out.padded_columns();
  binder.require(!gemm.gated || (gemm.output != GemmOutput::kI32 && !binder.has("residual")),
                 "a gated layer has no residual, and no sums as its output");
  if (binder.has("residual")) {
    operands.residual = &binder.input("residual", DType::kF32, out.columns);
    binder.require(operands.residual->rows == out.rows, "the residual has other rows than the output");
    gemm.residual_stride = operands.residual->padded_columns();
  }
  return gemm;
}

// By what the file says of the weights, which is checked. Those of 7 bits are bounded in pairs: 2 * 63 < 128.
GemmKernel choose_int8_kernel(Binder& binder, const Kernels& kernels) {
  const Tensor& weight = binder.tensor_any("weight");
  const bool seven_bits = binder.integer("weight_bits", 7, 8) == 7;
  binder.require(!seven_bits || fits_seven_bits(weight),
                 "the weights are said to have 7 bits, but some lie outside of -63..63");
  auto bound = WeightBound::kNone;
  if (binder.has_attribute("weight_bound")) {
    bound = static_cast<WeightBound>(binder.choice("weight_bound", {"none", "pairs", "fours"}));
  }
  binder.require(keeps_bound(weight, bound),
                 "the weights are said to be bounded, but those of a group add up to more than 128");
  if (bound == WeightBound::kFours) return kernels.gemm_int8_fours;
  return seven_bits || bound == WeightBound::kPairs ? kernels.gemm_int8_pairs : kernels.gemm_int8;
}

std::unique_ptr<Op> make_float_linear(Binder& binder, const WeightKind& kind, GemmKernel kernel) {
  Linear::Operands operands;
  std::size_t blocks = 0;
  operands.x = &binder.input("x", kind.dtype);
  const Gemm gemm = bind_common(binder, kind, operands, blocks);
  return std::make_unique<Linear>(operands, kernel, gemm, blocks);
}

}  // namespace

std::unique_ptr<Op> make_linear(Binder& binder, const Kernels& kernels) {
  return make_float_linear(binder, {DType::kF32, 1}, kernels.gemm_f32);
}

std::unique_ptr<Op> make_linear_bf16(Binder& binder, const Kernels& kernels) {
  return make_float_linear(binder, {DType::kBf16, 2}, kernels.gemm_bf16);
}

// Inputs: x, scale?, zero_point?, weight, column_scale, column_sum, bias, first_bias?, last_bias?, residual?,
// static?, first_offset?, last_offset?, cu_seqlens?. Without the scale and zero point of each row, those of
// the columns hold what the rows share. With `static` the output is in 8 bits, shifted by the offsets.
std::unique_ptr<Op> make_linear_int8(Binder& binder, const Kernels& kernels) {
  Linear::Operands operands;
  std::size_t blocks = 0;
  operands.x = &binder.input("x", DType::kU8);
  binder.require(operands.x->columns <= kMaxInt8Depth, "too many columns for exact 32-bit sums");
  const bool rows_differ = binder.has("scale");
  binder.require(rows_differ == binder.has("zero_point"), "scale and zero point go together");
  if (rows_differ) {
    operands.scale = &binder.input("scale", DType::kF32, 0);
    operands.zero_point = &binder.input("zero_point", DType::kI32, 0);
    binder.require(operands.scale->rows == operands.x->rows && operands.zero_point->rows == operands.x->rows,
                   "scale and zero point must have a row for each row of x");
  }
  Gemm gemm = bind_common(binder, {DType::kI8, 4}, operands, blocks);
  const std::vector<std::size_t> columns = {product_columns(gemm, *operands.out)};
  gemm.column_scale = binder.tensor("column_scale", DType::kF32, columns).as<float>();
  gemm.column_sum = binder.tensor("column_sum", DType::kI32, columns).as<int32_t>();
  gemm.out_scale = bind_output_scale(binder, *operands.out);
  return std::make_unique<Linear>(operands, choose_int8_kernel(binder, kernels), gemm, blocks);
}

}  // namespace bertc
