// attention: softmax attention on the fused [tokens, (heads + 2 * heads of keys) * head_dim] array, in which
// neighboring heads may share keys and values. Inputs: qkv,
// cu_seqlens, static?, with which the output is in 8 bits, attended?, flags: the tokens of a sequence before
// the first one without are its keys (all, where its first token has none), distance_bias?, what is added
// to scores by head and distance, slopes?, what they lose by distance instead, rotary?, cosines and sines by
// position, position_ids?, which says where positions do not count from 0, places?, by which windows and
// buckets are measured where tokens are not one apart, and buckets?, which say by distance what rows of
// position_keys? and position_queries? queries and keys meet.
#include <algorithm>
#include <utility>
#include <vector>

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

// The rows that a distance names, and the two tables that they are of; null where a step has none.
struct Disentangled {
  std::vector<int32_t> buckets;  // a copy: what is checked is what is used
  std::size_t rows = 0;
  const std::byte* keys = nullptr;
  const std::byte* queries = nullptr;
  bool bf16 = false;
};

const std::byte* bind_positions(Binder& binder, const std::string& operand, DType dtype, std::size_t width,
                                std::size_t rows) {
  if (!binder.has(operand)) return nullptr;
  const Tensor& tensor = binder.tensor_any(operand);
  const std::size_t group = dtype == DType::kBf16 ? 2 : 1;
  bool fits = tensor.dtype == dtype;
  if (operand == "position_keys") {
    fits = fits && tensor.shape.size() == 4 && tensor.shape[0] * kBlockColumns >= rows &&
           tensor.shape[1] == width / group && tensor.shape[2] == kBlockColumns && tensor.shape[3] == group;
  } else {
    fits = fits && tensor.shape.size() == 2 && tensor.shape[0] >= rows && tensor.shape[1] == width;
    binder.require(static_cast<std::size_t>(binder.integer("position_queries_rows", 1, INT32_MAX)) == rows,
                   "attribute 'position_queries_rows' must say how many rows buckets name");
  }
  binder.require(fits, "tensor '" + tensor.name + "' must be " + std::string(dtype_name(dtype)) +
                           " with a row for each of buckets, as wide as the output");
  return tensor.as<std::byte>();
}

Disentangled bind_disentangled(Binder& binder, std::size_t width, bool bf16) {
  if (!binder.has("buckets")) return {};
  const Tensor& tensor = binder.tensor_any("buckets");
  binder.require(tensor.dtype == DType::kI32 && tensor.shape.size() == 2 && tensor.shape[0] == 1 &&
                     tensor.shape[1] >= 2 * kLanes && tensor.shape[1] % 2 == 0,
                 "tensor '" + tensor.name + "' must be i32 with one even row of 32 or more");
  Disentangled found;
  found.buckets.assign(tensor.as<int32_t>(), tensor.as<int32_t>() + tensor.shape[1]);
  bool rises = found.buckets.front() == 0;
  for (std::size_t i = 1; i < found.buckets.size(); ++i) {
    const bool at_end = i < kLanes || i > found.buckets.size() - kLanes;
    const int64_t step = static_cast<int64_t>(found.buckets[i]) - found.buckets[i - 1];
    rises = rises && (step == 0 || (step == 1 && !at_end));
  }
  binder.require(rises,
                 "tensor '" + tensor.name + "' must rise from 0 by 0 or 1, 16 numbers alike at either end");
  const DType dtype = bf16 ? DType::kBf16 : DType::kF32;
  found.bf16 = bf16;
  found.rows = static_cast<std::size_t>(found.buckets.back()) + 1;
  found.keys = bind_positions(binder, "position_keys", dtype, width, found.rows);
  found.queries = bind_positions(binder, "position_queries", dtype, width, found.rows);
  binder.require(found.keys != nullptr || found.queries != nullptr,
                 "buckets go with position_keys and position_queries");
  return found;
}

Reach bind_reach(Binder& binder) {
  const std::size_t places = binder.flags("places");
  if (binder.has_attribute("window")) {
    return {static_cast<std::size_t>(binder.integer("window", 1, INT32_MAX)), places};
  }
  binder.require(places == kNoFlags || binder.has("buckets"),
                 "places go with a window or with buckets, and only with them");
  return {0, places};
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
    Disentangled disentangled;
  };

  AttentionOp(const Buffer& qkv, const Buffer& out, Constants constants, AttentionKernel kernel)
      : qkv_(qkv),
        out_(out),
        constants_(std::move(constants)),
        head_dim_(out.columns / constants_.heads),
        kernel_(kernel) {}

  // Threads share the (sequence, head) pairs, which are independent.
  void run(const Frame& frame, Part part) const override {
    const std::size_t heads = constants_.heads, units = frame.batch.sequences * heads;
    for (std::size_t unit = part.begin(units); unit < part.end(units); ++unit) {
      run_head(frame, unit / heads, unit % heads);
    }
  }

  std::size_t scratch_bytes(std::size_t max_seqlen) const override {
    return attention_scratch_bytes(max_seqlen, head_dim_, constants_.disentangled.rows);
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
    if (const Disentangled& disentangled = constants_.disentangled; disentangled.rows > 0) {
      const std::size_t column = head * head_dim_ * (disentangled.bf16 ? 2 : 4);
      attention.buckets = disentangled.buckets.data();
      attention.reach = disentangled.buckets.size() / 2;
      attention.rows = disentangled.rows;
      if (disentangled.keys != nullptr) attention.position_keys = disentangled.keys + column * kBlockColumns;
      if (disentangled.queries != nullptr) attention.position_queries = disentangled.queries + column;
      attention.position_width = width;
      attention.bf16_positions = disentangled.bf16;
    }
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
  Disentangled disentangled = bind_disentangled(binder, out.columns, wanted != 0);
  const DistanceBias bias = bind_distance_bias(binder, heads);
  const float* slopes = bind_slopes(binder, heads);
  const Rotary rotary = bind_rotary(binder, out.columns / heads);
  const Reach reach = bind_reach(binder);
  binder.require(disentangled.rows == 0 || (bias.rows == nullptr && slopes == nullptr &&
                                            rotary.table == nullptr && reach.window == 0 && sharers == 1),
                 "buckets go with no distance_bias, slopes, rotary, window or shared heads");
  while (by_precision[wanted] == nullptr) --wanted;
  return std::make_unique<AttentionOp>(
      qkv, out,
      AttentionOp::Constants{heads, sharers, binder.number("scale"), bind_output_scale(binder, out),
                             binder.flags("attended"), bias, slopes, rotary, reach, std::move(disentangled)},
      by_precision[wanted]);
}

}  // namespace bertc
