// pool: one row per sequence, of its tokens from the first on that the flags `pooled` are set for (one of
// all, if there are none). Inputs: x, cu_seqlens, pooled?; normalize: rows divided by their L2 norm.
#include "ops/binder.h"
#include "ops/op.h"

namespace bertc {
namespace {

class PoolOp final : public Op {
 public:
  PoolOp(const Buffer& x, const Buffer& out, Pooling mode, std::size_t pooled, PoolKernel kernel)
      : x_(x), out_(out), mode_(mode), pooled_(pooled), kernel_(kernel) {}

  void run(const Frame& frame, Part part) const override {
    const std::size_t first = part.begin(frame.batch.sequences);
    const std::size_t columns = x_.padded_columns();
    kernel_({.x = frame.data<float>(x_),
             .cu_seqlens = frame.batch.cu_seqlens + first,
             .pooled = flags_of(frame, pooled_),
             .sequences = part.end(frame.batch.sequences) - first,
             .padded_columns = columns,
             .mode = mode_,
             .out = frame.data<float>(out_) + first * columns});
  }

  void limit_ids(InputLimits& limits) const override { limit_flags(limits, pooled_); }

 private:
  const Buffer& x_;
  const Buffer& out_;
  Pooling mode_;
  std::size_t pooled_;
  PoolKernel kernel_;
};

class NormalizeOp final : public Op {
 public:
  NormalizeOp(const Buffer& x, const Buffer& out, NormalizeKernel kernel)
      : x_(x), out_(out), kernel_(kernel) {}

  void run(const Frame& frame, Part part) const override {
    const std::size_t first = part.begin(frame.rows(x_));
    const std::size_t columns = x_.padded_columns();
    kernel_(frame.data<float>(x_) + first * columns, part.end(frame.rows(x_)) - first, columns,
            frame.data<float>(out_) + first * columns);
  }

 private:
  const Buffer& x_;
  const Buffer& out_;
  NormalizeKernel kernel_;
};

}  // namespace

std::unique_ptr<Op> make_pool(Binder& binder, const Kernels& kernels) {
  const Buffer& x = binder.input("x", DType::kF32);
  binder.require(x.rows == Rows::kTokens, "x must have a row per token");
  binder.cu_seqlens();
  const auto mode = static_cast<Pooling>(binder.choice(
      "mode", {"cls", "mean", "max", "lasttoken", "sum", "mean_sqrt_len_tokens", "weightedmean"}));
  return std::make_unique<PoolOp>(x, binder.output(0, DType::kF32, x.columns, Rows::kSequences), mode,
                                  binder.flags("pooled"), kernels.pool);
}

std::unique_ptr<Op> make_normalize(Binder& binder, const Kernels& kernels) {
  const Buffer& x = binder.input("x", DType::kF32);
  return std::make_unique<NormalizeOp>(x, binder.output(0, DType::kF32, x.columns, x.rows),
                                       kernels.normalize);
}

}  // namespace bertc
