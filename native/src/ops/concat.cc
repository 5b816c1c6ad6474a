// concat: the columns of two activations side by side.
#include <algorithm>

#include "ops/binder.h"
#include "ops/op.h"

namespace bertc {
namespace {

class ConcatOp final : public Op {
 public:
  ConcatOp(const Buffer& a, const Buffer& b, const Buffer& out) : a_(a), b_(b), out_(out) {}

  void run(const Frame& frame, Part part) const override {
    const std::size_t columns = out_.padded_columns(), rows = frame.rows(out_);
    for (std::size_t row = part.begin(rows); row < part.end(rows); ++row) {
      float* out = frame.data<float>(out_) + row * columns;
      float* end = out + columns;
      out = std::copy_n(frame.data<float>(a_) + row * a_.padded_columns(), a_.columns, out);
      out = std::copy_n(frame.data<float>(b_) + row * b_.padded_columns(), b_.columns, out);
      std::fill(out, end, 0.0f);
    }
  }

 private:
  const Buffer& a_;
  const Buffer& b_;
  const Buffer& out_;
};

}  // namespace

std::unique_ptr<Op> make_concat(Binder& binder, const Kernels&) {
  const Buffer& a = binder.input("a", DType::kF32);
  const Buffer& b = binder.input("b", DType::kF32);
  binder.require(a.rows == b.rows, "a and b have different rows");
  return std::make_unique<ConcatOp>(a, b, binder.output(0, DType::kF32, a.columns + b.columns, a.rows));
}

}  // namespace bertc
