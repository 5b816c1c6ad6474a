#include "queue/merged_batch.h"

#include <cstring>
#include <string>

namespace bertc {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInput, message); }

std::size_t rows_of(const RunRequest& request, Rows rows) {
  return rows == Rows::kTokens      ? request.tokens
         : rows == Rows::kSequences ? request.sequences
                                    : request.selected;
}

std::size_t row_bytes(const Program::Input& input) {
  return input.buffer == nullptr ? sizeof(int32_t) : input.buffer->columns * sizeof(float);
}

std::size_t row_bytes(const Program::Output& output) {
  return output.buffer->columns * dtype_size(output.buffer->dtype);
}

bool is_selection(const Program::Input& input) {
  return input.buffer == nullptr && input.rows == Rows::kSelected;
}

}  // namespace

bool can_merge(const RunRequest& a, const RunRequest& b) {
  for (std::size_t i = 0; i < a.inputs.size(); ++i) {
    if ((a.inputs[i] == nullptr) != (b.inputs[i] == nullptr)) return false;
  }
  for (std::size_t i = 0; i < a.outputs.size(); ++i) {
    if ((a.outputs[i] == nullptr) != (b.outputs[i] == nullptr)) return false;
  }
  return true;
}

void check_bounds(const RunRequest& request, const Program& program) {
  if (request.sequences == 0) fail("cu_seqlens must hold at least one sequence: [0, length]");
  bool valid = request.cu_seqlens[0] == 0;
  for (std::size_t i = 0; i < request.sequences; ++i) {
    valid = valid && request.cu_seqlens[i] < request.cu_seqlens[i + 1];
  }
  if (!valid || static_cast<std::size_t>(request.cu_seqlens[request.sequences]) != request.tokens) {
    fail("cu_seqlens must increase from 0 to the number of tokens, " + std::to_string(request.tokens));
  }
  const std::vector<Program::Input>& inputs = program.inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (request.inputs[i] == nullptr || !is_selection(inputs[i])) continue;
    const auto* selected = static_cast<const int32_t*>(request.inputs[i]);
    for (std::size_t j = 0; j < request.selected; ++j) {
      const int32_t least = j == 0 ? 0 : selected[j - 1] + 1;
      if (selected[j] < least || static_cast<std::size_t>(selected[j]) >= request.tokens) {
        fail("selected must increase, and name tokens of the request");
      }
    }
  }
}

RunRequest MergedBatch::merge(const Program& program, const std::vector<const RunRequest*>& requests) {
  RunRequest merged{};
  cu_seqlens_.assign(1, 0);
  const std::vector<Program::Input>& inputs = program.inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs_[i].clear();
  for (const RunRequest* request : requests) {
    const auto first = static_cast<int32_t>(merged.tokens);
    for (std::size_t i = 1; i <= request->sequences; ++i) {
      cu_seqlens_.push_back(first + request->cu_seqlens[i]);
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (request->inputs[i] == nullptr) continue;
      const auto* from = static_cast<const std::byte*>(request->inputs[i]);
      const std::size_t rows = rows_of(*request, inputs[i].rows), before = inputs_[i].size();
      inputs_[i].insert(inputs_[i].end(), from, from + rows * row_bytes(inputs[i]));
      if (!is_selection(inputs[i])) continue;
      auto* selected = reinterpret_cast<int32_t*>(inputs_[i].data() + before);
      for (std::size_t j = 0; j < rows; ++j) selected[j] += first;
    }
    merged.tokens += request->tokens;
    merged.sequences += request->sequences;
    merged.selected += request->selected;
  }
  merged.cu_seqlens = cu_seqlens_.data();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    // A selection may be empty: it is there all the same.
    inputs_[i].reserve(1);
    merged.inputs[i] = requests[0]->inputs[i] == nullptr ? nullptr : inputs_[i].data();
  }
  const std::vector<Program::Output>& outputs = program.outputs();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (requests[0]->outputs[i] == nullptr) continue;
    outputs_[i].resize(rows_of(merged, outputs[i].buffer->rows) * row_bytes(outputs[i]) + 1);
    merged.outputs[i] = outputs_[i].data();
  }
  return merged;
}

void MergedBatch::scatter(const Program& program, const std::vector<const RunRequest*>& requests) const {
  const std::vector<Program::Output>& outputs = program.outputs();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::byte* from = outputs_[i].data();
    for (const RunRequest* request : requests) {
      if (request->outputs[i] == nullptr) break;  // none of them has it
      const std::size_t bytes = rows_of(*request, outputs[i].buffer->rows) * row_bytes(outputs[i]);
      std::memcpy(request->outputs[i], from, bytes);
      from += bytes;
    }
  }
}

void MergedBatch::run(const Session& session, const std::vector<const RunRequest*>& requests) {
  if (requests.size() == 1) {
    session.run(*requests[0]);
    return;
  }
  session.run(merge(session.program(), requests));
  scatter(session.program(), requests);
}

}  // namespace bertc
