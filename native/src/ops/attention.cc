// attention: softmax attention on the fused [tokens, (heads + 2 * heads of keys) * head_dim] array, in which
// neighboring heads may share keys and values. Inputs: qkv,
// cu_seqlens, static?, with which the output is in 8 bits, attended?, flags: the tokens of a sequence before
// the first one without are its keys (all, where its first token has none), distance_bias?, what is added
// to scores by head and distance, slopes?, what they lose by distance instead, rotary?, cosines and sines by
// position, position_ids?, which says where positions do not count from 0, and places?, by which a window is
// measured where tokens are not one apart.
#include <algorithm>

#include "ops/binder.h"
#include "ops/op.h"
#include "ops/row_quantization.h"

namespace bertc {
namespace {

// [heads][2 * reach], as the kernel takes a row of it; null where a step has none.
struct DistanceBias {
  const float* rows;
  std::size_t reach;
};

DistanceBias bind_distance_bias(Binder& binder, std::size_t heads) {
  if (!binder.has("distance_bias")) return {nullptr, 0};
  const Tensor& tensor = binder.tensor_any("distance_bias");
  binder.require(tensor.dtype == DType::kF32 && tensor.shape.size() == 2 && tensor.shape[0] == heads &&
                     tensor.shape[1] >= 2 * kLanes && tensor.shape[1] % 2 == 0,
                 "tensor '" + tensor.name + "' must be f32 with an even row of 32 or more for each head");
  return {tensor.as<float>(), tensor.shape[1] / 2};
}

// [heads], padded; null where a step has none.
const float* bind_slopes(Binder& binder, std::size_t heads) {
  if (!binder.has("slopes")) return nullptr;
  binder.require(!binder.has("distance_bias"), "slopes and distance_bias exclude each other");
  return binder.tensor("slopes", DType::kF32, {(heads + kLanes - 1) / kLanes * kLanes}).as<float>();
}

// A step with a table has a place for ids, given or not, so that their limits hold for every sequence.
struct Rotary {
  const float* table;
  std::size_t rows;
  std::size_t half;
  std::size_t positions;  // the place of the ids among the inputs, or kNoFlags
};

Rotary bind_rotary(Binder& binder, std::size_t head_dim) {
  const std::size_t positions = binder.flags("position_ids");
  binder.require(binder.has("rotary") == (positions != kNoFlags), "rotary and position_ids go together");
  if (positions == kNoFlags) return {nullptr, 0, 0, kNoFlags};
  const Tensor& table = binder.tensor_any("rotary");
  binder.require(table.dtype == DType::kF32 && table.shape.size() == 2 && table.shape[1] > 0 &&
                     table.shape[1] % (2 * kLanes) == 0 && table.shape[1] <= head_dim,
                 "tensor '" + table.name + "' must be f32, its rows a multiple of 32, at most a head wide");
  const auto rows = binder.integer("rotary_rows", 1, static_cast<int64_t>(table.shape[0]));
  return {table.as<float>(), static_cast<std::size_t>(rows), table.shape[1] / 2, positions};
}

// How far a query sees; 0: everything.
struct Reach {
  std::size_t window;
  std::size_t places;  // as Rotary::positions
};

Reach bind_reach(Binder& binder) {
  const std::size_t places = binder.flags("places");
  if (binder.has_attribute("window")) {
    return {static_cast<std::size_t>(binder.integer("window", 1, INT32_MAX)), places};
  }
  binder.require(places == kNoFlags, "places go with a window, and only with it");
  return {0, kNoFlags};
}

std::size_t bind_sharers(Binder& binder, std::size_t heads) {
  if (!binder.has_attribute("num_key_value_heads")) return 1;
  const auto apart =
      static_cast<std::size_t>(binder.integer("num_key_value_heads", 1, static_cast<int64_t>(heads)));
  binder.require(heads % apart == 0, "num_key_value_heads must divide num_attention_heads");
  return heads / apart;
}

class AttentionOp final : public Op {
 public:
  struct Constants {
    std::size_t heads;
    std::size_t sharers;  // how many of them read the same keys and values
    float scale;
    StaticScale out_scale;
    std::size_t attended;
    DistanceBias bias;
    const float* slopes;
    Rotary rotary;
    Reach reach;
  };

  AttentionOp(const Buffer& qkv, const Buffer& out, const Constants& constants, AttentionKernel kernel)
      : qkv_(qkv),
        out_(out),
        constants_(constants),
        head_dim_(out.columns / constants.heads),
        kernel_(kernel) {}

  // Threads share the (sequence, head) pairs, which are independent.
  void run(const Frame& frame, Part part) const override {
    const std::size_t heads = constants_.heads, units = frame.batch.sequences * heads;
    for (std::size_t unit = part.begin(units); unit < part.end(units); ++unit) {
      run_head(frame, unit / heads, unit % heads);
    }
  }

  std::size_t scratch_bytes(std::size_t max_seqlen) const override {
    return attention_scratch_bytes(max_seqlen, head_dim_);
  }

  void limit_ids(InputLimits& limits) const override {
    limit_flags(limits, constants_.attended);
    const Rotary& rotary = constants_.rotary;
    if (rotary.positions == kNoFlags) return;
    IdLimits& ids = limits[rotary.positions];
    ids.rows = std::min(ids.rows, rotary.rows);
    ids.length = std::min(ids.length, rotary.rows);
  }

 private:
  // The ids of an input from a token on, null if there are none.
  static const int32_t* ids_from(const Frame& frame, std::size_t input, std::size_t token) {
    const int32_t* ids = flags_of(frame, input);
    return ids == nullptr ? nullptr : ids + token;
  }

  void run_head(const Frame& frame, std::size_t sequence, std::size_t head) const {
    const auto first = static_cast<std::size_t>(frame.batch.cu_seqlens[sequence]);
    const std::size_t size = dtype_size(qkv_.dtype);
    const std::size_t width = out_.columns;
    const std::byte* row = frame.data<std::byte>(qkv_) + first * qkv_.row_bytes();
    const std::size_t shared = width + head / constants_.sharers * head_dim_;
    Attention attention{};
    attention.query = row + head * head_dim_ * size;
    attention.key = row + shared * size;
    attention.value = row + (shared + width / constants_.sharers) * size;
    attention.in_stride = qkv_.padded_columns();
    attention.bf16_in = qkv_.dtype == DType::kBf16;
    attention.out =
        frame.data<std::byte>(out_) + first * out_.row_bytes() + head * head_dim_ * dtype_size(out_.dtype);
    attention.out_stride = out_.padded_columns();
    attention.bf16_out = out_.dtype == DType::kBf16;
    attention.out_scale = constants_.out_scale;
    attention.queries = static_cast<std::size_t>(frame.batch.cu_seqlens[sequence + 1]) - first;
    attention.keys = attention.queries;
    if (const int32_t* attended = flags_of(frame, constants_.attended); attended != nullptr) {
      const int32_t* end = attended + first + attention.queries;
      const auto keys = static_cast<std::size_t>(std::find(attended + first, end, 0) - (attended + first));
      if (keys > 0) attention.keys = keys;
    }
    attention.head_dim = head_dim_;
    attention.scale = constants_.scale;
    if (constants_.bias.rows != nullptr) {
      attention.distance_bias = constants_.bias.rows + 2 * constants_.bias.reach * head;
      attention.reach = constants_.bias.reach;
    }
    if (constants_.slopes != nullptr) attention.slope = constants_.slopes[head];
    attention.rotary = constants_.rotary.table;
    attention.half = constants_.rotary.half;
    attention.positions = ids_from(frame, constants_.rotary.positions, first);
    attention.window = constants_.reach.window;
    attention.places = ids_from(frame, constants_.reach.places, first);
    attention.scratch = frame.scratch;
    attention.ticks = frame.attention_ticks;
    kernel_(attention);
  }

  const Buffer& qkv_;
  const Buffer& out_;
  Constants constants_;
  std::size_t head_dim_;
  AttentionKernel kernel_;
};

}  // namespace

std::unique_ptr<Op> make_attention(Binder& binder, const Kernels& kernels) {
  const Buffer& qkv = binder.input_any("qkv");
  const Buffer& out = binder.output_any(0);
  binder.cu_seqlens();
  for (const Buffer* buffer : {&qkv, &out}) {
    binder.require(buffer->dtype == DType::kF32 || buffer->dtype == DType::kBf16 ||
                       (buffer == &out && out.dtype == DType::kU8),
                   "'" + buffer->name + "' must be f32 or bf16");
    binder.require(buffer->rows == Rows::kTokens, "'" + buffer->name + "' must have a row per token");
  }
  const auto heads = static_cast<std::size_t>(binder.integer("num_attention_heads", 1, 1 << 16));
  binder.require(out.columns > 0 && out.columns % (heads * kLanes) == 0,
                 "columns must be a multiple of 16 for each head");
  const std::size_t sharers = bind_sharers(binder, heads);
  binder.require(qkv.columns == out.columns + 2 * (out.columns / sharers),
                 "qkv must hold queries as wide as the output, and the keys and values of their heads");
  // The kernel of the wanted precision, or of the next higher one that is there.
  const AttentionKernel by_precision[] = {kernels.attention_f32, kernels.attention_bf16,
                                          kernels.attention_int8};
  std::size_t wanted = 0;
  if (binder.has_attribute("compute_dtype")) wanted = binder.choice("compute_dtype", {"f32", "bf16", "int8"});
  while (by_precision[wanted] == nullptr) --wanted;
  return std::make_unique<AttentionOp>(
      qkv, out,
      AttentionOp::Constants{heads, sharers, binder.number("scale"), bind_output_scale(binder, out),
                             binder.flags("attended"), bind_distance_bias(binder, heads),
                             bind_slopes(binder, heads), bind_rotary(binder, out.columns / heads),
                             bind_reach(binder)},
      by_precision[wanted]);
}

}  // namespace bertc
