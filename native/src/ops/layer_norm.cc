// layer_norm, layer_norm_quantize, layer_norm_bf16: one class, with or without a second output.
#include "ops/binder.h"
#include "ops/op.h"
#include "ops/row_quantization.h"

namespace bertc {
namespace {

class LayerNormOp final : public Op {
 public:
  struct Operands {
    const Buffer* x = nullptr;
    const Buffer* y = nullptr;
    const Buffer* bf16 = nullptr;
    const Buffer* quantized = nullptr;
    const Buffer* scale = nullptr;
    const Buffer* zero_point = nullptr;
    bool by_place = false;
  };

  LayerNormOp(const Operands& operands, LayerNormKernel kernel, const LayerNorm& constants)
      : operands_(operands), kernel_(kernel), constants_(constants) {}

  void run(const Frame& frame, Part part) const override {
    const std::size_t rows = frame.rows(*operands_.x);
    const std::size_t first = part.begin(rows);
    const std::size_t at = first * constants_.padded_columns;
    LayerNorm in = constants_;
    in.rows = part.end(rows) - first;
    in.x = frame.data<float>(*operands_.x) + at;
    in.y = frame.data<float>(*operands_.y) + at;
    if (operands_.bf16 != nullptr) in.bf16 = frame.data<uint16_t>(*operands_.bf16) + at;
    if (operands_.quantized != nullptr) {
      in.quantized = frame.data<uint8_t>(*operands_.quantized) + at;
      in.scale = frame.data<float>(*operands_.scale) + first;
      in.zero_point = frame.data<int32_t>(*operands_.zero_point) + first;
      if (operands_.by_place) in.places = places_from(frame, first);
    }
    kernel_(in);
  }

 private:
  Operands operands_;
  LayerNormKernel kernel_;
  LayerNorm constants_;
};

LayerNorm bind_common(Binder& binder, LayerNormOp::Operands& operands) {
  operands.x = &binder.input("x", DType::kF32);
  operands.y = &binder.output(0, DType::kF32, operands.x->columns, operands.x->rows);
  LayerNorm in{};
  in.columns = operands.x->columns;
  in.padded_columns = operands.x->padded_columns();
  in.gamma = binder.tensor("gamma", DType::kF32, {in.padded_columns}).as<float>();
  in.beta = binder.tensor("beta", DType::kF32, {in.padded_columns}).as<float>();
  in.epsilon = binder.number("epsilon");
  binder.require(in.epsilon >= 0, "epsilon must not be negative");
  in.rms = binder.has_attribute("rms") && binder.integer("rms", 0, 1) == 1;
  return in;
}

}  // namespace

std::unique_ptr<Op> make_layer_norm(Binder& binder, const Kernels& kernels) {
  LayerNormOp::Operands operands;
  const LayerNorm in = bind_common(binder, operands);
  return std::make_unique<LayerNormOp>(operands, kernels.layer_norm, in);
}

std::unique_ptr<Op> make_layer_norm_quantize(Binder& binder, const Kernels& kernels) {
  LayerNormOp::Operands operands;
  LayerNorm in = bind_common(binder, operands);
  const Rows rows = operands.x->rows;
  operands.quantized = &binder.output(1, DType::kU8, in.columns, rows);
  operands.scale = &binder.output(2, DType::kF32, 0, rows);
  operands.zero_point = &binder.output(3, DType::kI32, 0, rows);
  in.quantization = bind_row_quantization(binder, *operands.x);
  operands.by_place = bind_places(binder, *operands.x, {in.quantization.offsets});
  return std::make_unique<LayerNormOp>(operands, kernels.layer_norm, in);
}

std::unique_ptr<Op> make_layer_norm_bf16(Binder& binder, const Kernels& kernels) {
  LayerNormOp::Operands operands;
  const LayerNorm in = bind_common(binder, operands);
  operands.bf16 = &binder.output(1, DType::kBf16, in.columns, operands.x->rows);
  return std::make_unique<LayerNormOp>(operands, kernels.layer_norm, in);
}

}  // namespace bertc
