// embed: the sum of a row of each table for each token.
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "ops/binder.h"
#include "ops/op.h"

namespace bertc {
namespace {

// What ids are where a batch leaves them out.
enum class Default { kNone, kZero, kCount };

// A table that the op may have, and its ids. Rows are added in this order.
struct TableKind {
  const char* table;
  const char* ids;
  Default otherwise;
};

constexpr TableKind kKinds[] = {
    {"word", "input_ids", Default::kNone},
    {"token_type", "token_type_ids", Default::kZero},
    {"position", "position_ids", Default::kCount},
    {"task_type", "task_type_ids", Default::kZero},
};
static_assert(std::size(kKinds) <= kMostTables);

struct BoundTable {
  const TableKind* kind;
  Table table;
  std::size_t rows;
  std::size_t input;  // of the program
};

const float* bind_scale(Binder& binder, const TableKind& kind, const Tensor& table) {
  const std::string operand = std::string(kind.table) + "_scale";
  const bool quantized = table.dtype == DType::kI8;
  binder.require(quantized == binder.has(operand), "8-bit rows, and only they, need a scale");
  if (!quantized) return nullptr;
  const Tensor& scale = binder.tensor_any(operand);
  binder.require(
      scale.dtype == DType::kF32 && scale.shape.size() == 1 && scale.shape[0] >= table.shape[0],
      "tensor '" + scale.name + "' must be f32 with an element for each row of '" + table.name + "'");
  return scale.as<float>();
}

// The file pads tables with rows that no id may name: the attribute `<table>_rows` says how many are real.
BoundTable bind_table(Binder& binder, const TableKind& kind, std::size_t padded_columns) {
  const Tensor& tensor = binder.tensor_any(kind.table);
  const std::size_t input = binder.ids(kind.ids);
  binder.require(tensor.shape.size() == 2 && tensor.shape[1] == padded_columns && tensor.shape[0] > 0,
                 "tensor '" + tensor.name + "' has the wrong shape");
  binder.require(tensor.dtype == DType::kF32 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kI8,
                 "tensor '" + tensor.name + "' must be f32, f16 or i8");
  const TableType type = tensor.dtype == DType::kI8    ? TableType::kI8
                         : tensor.dtype == DType::kF32 ? TableType::kF32
                                                       : TableType::kF16;
  Table table{};
  table.rows = tensor.data;
  table.type = type;
  table.scale = bind_scale(binder, kind, tensor);
  const bool counts = kind.otherwise == Default::kCount;
  table.step = counts ? 1 : 0;
  const int64_t rows =
      binder.integer(std::string(kind.table) + "_rows", 1,
                     static_cast<int64_t>(std::min<std::size_t>(tensor.shape[0], INT32_MAX)));
  if (counts && binder.has_attribute("first_position")) {
    table.first_id = static_cast<int32_t>(binder.integer("first_position", 0, rows - 1));
  }
  return {&kind, table, static_cast<std::size_t>(rows), input};
}

class EmbedOp final : public Op {
 public:
  EmbedOp(EmbedKernel kernel, const Buffer& out, std::vector<BoundTable> tables)
      : kernel_(kernel), out_(out), tables_(std::move(tables)) {}

  void run(const Frame& frame, Part part) const override {
    const Batch& batch = frame.batch;
    const std::size_t columns = out_.padded_columns();
    Embed embed{};
    embed.count = tables_.size();
    embed.padded_columns = columns;
    for (std::size_t s = part.begin(batch.sequences); s < part.end(batch.sequences); ++s) {
      const auto first = static_cast<std::size_t>(batch.cu_seqlens[s]);
      for (std::size_t t = 0; t < tables_.size(); ++t) {
        embed.tables[t] = tables_[t].table;
        const int32_t* ids = batch.ids[tables_[t].input];
        if (ids != nullptr) embed.tables[t].ids = ids + first;
      }
      embed.tokens = static_cast<std::size_t>(batch.cu_seqlens[s + 1]) - first;
      embed.out = frame.data<float>(out_) + first * columns;
      kernel_(embed);
    }
  }

  void limit_ids(InputLimits& limits) const override {
    for (const BoundTable& bound : tables_) {
      IdLimits& limit = limits[bound.input];
      limit.rows = std::min(limit.rows, bound.rows);
      if (bound.kind->otherwise == Default::kNone) limit.required = true;
      if (bound.kind->otherwise == Default::kCount) {
        limit.length = std::min(limit.length, bound.rows - static_cast<std::size_t>(bound.table.first_id));
      }
    }
  }

 private:
  EmbedKernel kernel_;
  const Buffer& out_;
  std::vector<BoundTable> tables_;
};

}  // namespace

std::unique_ptr<Op> make_embed(Binder& binder, const Kernels& kernels) {
  binder.cu_seqlens();
  const Buffer& out = binder.output_any(0);
  binder.output(0, DType::kF32, out.columns, Rows::kTokens);
  binder.require(out.columns > 0, "the output must have columns");
  std::vector<BoundTable> tables;
  for (const TableKind& kind : kKinds) {
    if (binder.has(kind.table)) tables.push_back(bind_table(binder, kind, out.padded_columns()));
  }
  binder.require(!tables.empty(), "there is no table");
  return std::make_unique<EmbedOp>(kernels.embed, out, std::move(tables));
}

}  // namespace bertc
