// select_rows: the rows of the tokens that a request selects.
#include <algorithm>

#include "ops/binder.h"
#include "ops/op.h"

namespace bertc {
namespace {

class SelectRowsOp final : public Op {
 public:
  SelectRowsOp(const Buffer& x, const Buffer& out) : x_(x), out_(out) {}

  void run(const Frame& frame, Part part) const override {
    const Batch& batch = frame.batch;
    const std::size_t columns = x_.padded_columns();
    for (std::size_t i = part.begin(batch.selected_count); i < part.end(batch.selected_count); ++i) {
      const std::size_t token = static_cast<std::size_t>(batch.selected[i]) - batch.first_token;
      std::copy_n(frame.data<float>(x_) + token * columns, columns, frame.data<float>(out_) + i * columns);
    }
  }

 private:
  const Buffer& x_;
  const Buffer& out_;
};

}  // namespace

std::unique_ptr<Op> make_select_rows(Binder& binder, const Kernels&) {
  const Buffer& x = binder.input("x", DType::kF32);
  binder.require(x.rows == Rows::kTokens, "x must have a row per token");
  binder.selected();
  return std::make_unique<SelectRowsOp>(x, binder.output(0, DType::kF32, x.columns, Rows::kSelected));
}

}  // namespace bertc
