// embed: the sum of word, token type and position rows.
#include <algorithm>
#include <string>

#include "ops/binder.h"
#include "ops/op.h"

namespace bertc {
namespace {

struct BoundTable {
  Table table;
  std::size_t rows;
};

// The file pads tables with rows that no id may name: the attribute `<operand>_rows` says how many are real.
BoundTable bind_table(Binder& binder, const std::string& operand, std::size_t padded_columns,
                      const Tensor* scale) {
  const Tensor& tensor = binder.tensor_any(operand);
  binder.require(tensor.shape.size() == 2 && tensor.shape[1] == padded_columns && tensor.shape[0] > 0,
                 "tensor '" + tensor.name + "' has the wrong shape");
  const bool quantized = tensor.dtype == DType::kI8;
  binder.require(quantized || tensor.dtype == DType::kF32 || tensor.dtype == DType::kF16,
                 "tensor '" + tensor.name + "' must be f32, f16 or i8");
  binder.require(quantized == (scale != nullptr), "8-bit rows, and only they, need a scale");
  const TableType type =
      quantized ? TableType::kI8 : (tensor.dtype == DType::kF32 ? TableType::kF32 : TableType::kF16);
  return {
      {tensor.data, type, scale == nullptr ? nullptr : scale->as<float>()},
      static_cast<std::size_t>(binder.integer(operand + "_rows", 1, static_cast<int64_t>(tensor.shape[0])))};
}

class EmbedOp final : public Op {
 public:
  EmbedOp(EmbedKernel kernel, const Buffer& out, const BoundTable& word, const BoundTable& token_type,
          const BoundTable& position)
      : kernel_(kernel), out_(out), word_(word), token_type_(token_type), position_(position) {}

  void run(const Frame& frame, Part part) const override {
    const Batch& batch = frame.batch;
    const std::size_t columns = out_.padded_columns();
    for (std::size_t s = part.begin(batch.sequences); s < part.end(batch.sequences); ++s) {
      const auto first = static_cast<std::size_t>(batch.cu_seqlens[s]);
      Embed embed{};
      embed.word_ids = batch.input_ids + first;
      if (batch.token_type_ids != nullptr) embed.token_type_ids = batch.token_type_ids + first;
      if (batch.position_ids != nullptr) embed.position_ids = batch.position_ids + first;
      embed.tokens = static_cast<std::size_t>(batch.cu_seqlens[s + 1]) - first;
      embed.padded_columns = columns;
      embed.word = word_.table;
      embed.token_type = token_type_.table;
      embed.position = position_.table;
      embed.out = frame.data<float>(out_) + first * columns;
      kernel_(embed);
    }
  }

  void limit_ids(IdLimits& limits) const override {
    limits.word = std::min(limits.word, word_.rows);
    limits.token_type = std::min(limits.token_type, token_type_.rows);
    limits.position = std::min(limits.position, position_.rows);
  }

 private:
  EmbedKernel kernel_;
  const Buffer& out_;
  BoundTable word_, token_type_, position_;
};

}  // namespace

// Inputs: input_ids, token_type_ids, position_ids, word, word_scale?, position, token_type.
std::unique_ptr<Op> make_embed(Binder& binder, const Kernels& kernels) {
  for (const char* ids : {"input_ids", "token_type_ids", "position_ids"}) binder.model_input(ids, ids);
  const Buffer& out = binder.output_any(0);
  binder.output(0, DType::kF32, out.columns, Rows::kTokens);
  binder.require(out.columns > 0, "the output must have columns");
  const std::size_t columns = out.padded_columns();
  const Tensor* scale = nullptr;
  if (binder.has("word_scale")) {
    const Tensor& word = binder.tensor_any("word");
    binder.require(!word.shape.empty(), "tensor '" + word.name + "' has the wrong shape");
    scale = &binder.tensor_any("word_scale");
    binder.require(
        scale->dtype == DType::kF32 && scale->shape.size() == 1 && scale->shape[0] >= word.shape[0],
        "tensor '" + scale->name + "' must be f32 with an element for each word row");
  }
  return std::make_unique<EmbedOp>(kernels.embed, out, bind_table(binder, "word", columns, scale),
                                   bind_table(binder, "token_type", columns, nullptr),
                                   bind_table(binder, "position", columns, nullptr));
}

}  // namespace bertc
