// quantize_rows and cast_bf16: an activation in the form that the next matrix product takes.
#include "ops/binder.h"
#include "ops/op.h"
#include "ops/row_quantization.h"

namespace bertc {
namespace {

class QuantizeRowsOp final : public Op {
 public:
  QuantizeRowsOp(Binder& binder, QuantizeRowsKernel kernel)
      : kernel_(kernel),
        x_(binder.input("x", DType::kF32)),
        quantized_(binder.output(0, DType::kU8, x_.columns, x_.rows)),
        scale_(binder.output(1, DType::kF32, 0, x_.rows)),
        zero_point_(binder.output(2, DType::kI32, 0, x_.rows)),
        quantization_(bind_row_quantization(binder, x_)),
        by_place_(bind_places(binder, x_, {quantization_.offsets})) {}

  void run(const Frame& frame, Part part) const override {
    const std::size_t first = part.begin(frame.rows(x_));
    const std::size_t columns = x_.padded_columns();
    kernel_({.x = frame.data<float>(x_) + first * columns,
             .places = by_place_ ? places_from(frame, first) : RowPlaces{},
             .rows = part.end(frame.rows(x_)) - first,
             .padded_columns = columns,
             .quantization = quantization_,
             .quantized = frame.data<uint8_t>(quantized_) + first * columns,
             .scale = frame.data<float>(scale_) + first,
             .zero_point = frame.data<int32_t>(zero_point_) + first});
  }

 private:
  QuantizeRowsKernel kernel_;
  const Buffer& x_;
  const Buffer& quantized_;
  const Buffer& scale_;
  const Buffer& zero_point_;
  RowQuantization quantization_;
  bool by_place_;
};

class CastBf16Op final : public Op {
 public:
  CastBf16Op(Binder& binder, CastBf16Kernel kernel)
      : kernel_(kernel),
        x_(binder.input("x", DType::kF32)),
        out_(binder.output(0, DType::kBf16, x_.columns, x_.rows)) {}

  void run(const Frame& frame, Part part) const override {
    const std::size_t columns = x_.padded_columns();
    const std::size_t first = part.begin(frame.rows(x_));
    const std::size_t count = part.end(frame.rows(x_)) - first;
    kernel_(frame.data<float>(x_) + first * columns, count * columns,
            frame.data<uint16_t>(out_) + first * columns);
  }

 private:
  CastBf16Kernel kernel_;
  const Buffer& x_;
  const Buffer& out_;
};

}  // namespace

std::unique_ptr<Op> make_quantize_rows(Binder& binder, const Kernels& kernels) {
  return std::make_unique<QuantizeRowsOp>(binder, kernels.quantize_rows);
}

std::unique_ptr<Op> make_cast_bf16(Binder& binder, const Kernels& kernels) {
  return std::make_unique<CastBf16Op>(binder, kernels.cast_bf16);
}

}  // namespace bertc
