#include "program/program.h"

#include <algorithm>
#include <utility>

namespace bertc {
namespace {

// Far beyond any encoder; small enough that sizes computed from them cannot overflow.
constexpr std::size_t kMaxColumns = 1 << 20;
constexpr std::size_t kMaxSlotBytes = kMaxColumns * 4;
constexpr std::size_t kMaxSlots = 4096;
constexpr std::size_t kMaxSteps = 65536;
constexpr std::size_t kMaxElements = std::size_t{1} << 40;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kProgram, message); }

}  // namespace

// Sessions share a finished program, and run it while other threads hold it.
void Program::require_unfinished() const {
  if (finished_) fail("the program is finished: nothing can be added to it");
}

void Program::add_slot(std::size_t bytes_per_row) {
  require_unfinished();
  if (bytes_per_row == 0 || bytes_per_row > kMaxSlotBytes || slots_.size() == kMaxSlots) {
    fail("arena slot " + std::to_string(slots_.size()) + " has an impossible size");
  }
  slots_.push_back(bytes_per_row);
}

void Program::add_tensor(Tensor tensor, std::size_t bytes) {
  require_unfinished();
  std::size_t expected = dtype_size(tensor.dtype);
  for (const std::size_t size : tensor.shape) {
    if (size == 0 || size > kMaxElements / expected)
      fail("tensor '" + tensor.name + "' has an impossible shape");
    expected *= size;
  }
  if (bytes < expected) fail("tensor '" + tensor.name + "' holds fewer bytes than its shape needs");
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % kAlignment != 0) {
    fail("tensor '" + tensor.name + "' is not aligned to 64 bytes");
  }
  const std::string name = tensor.name;
  if (!tensors_.emplace(name, std::move(tensor)).second) fail("two tensors are called '" + name + "'");
}

void Program::add_buffer(Buffer buffer) {
  require_unfinished();
  const std::string name = buffer.name;
  if (buffer.columns > kMaxColumns) fail("buffer '" + name + "' is too wide");
  if (buffer.slot >= slots_.size() || buffer.row_bytes() > slots_[buffer.slot]) {
    fail("buffer '" + name + "' does not fit its arena slot");
  }
  if (!buffers_.emplace(name, std::move(buffer)).second) fail("two buffers are called '" + name + "'");
}

void Program::add_input(const std::string& name, DType dtype, Rows rows, std::size_t columns) {
  require_unfinished();
  const bool known =
      std::any_of(inputs_.begin(), inputs_.end(), [&](const Input& i) { return i.name == name; });
  if (known || name == "cu_seqlens") fail("two inputs are called '" + name + "'");
  if (inputs_.size() == kMaxInputs) fail("the program has too many inputs");
  const bool is_selected = name == "selected";
  const bool fits = is_selected    ? rows == Rows::kSelected && dtype == DType::kI32 && columns == 0
                    : columns == 0 ? rows == Rows::kTokens && dtype == DType::kI32
                                   : rows != Rows::kSelected && dtype == DType::kF32;
  if (!fits)
    fail("input '" + name + "' is neither ids nor f32 with a row per token or sequence, nor selected");
  limits_[inputs_.size()].required = is_selected || columns != 0;
  const auto found = buffers_.find(name);
  if (columns == 0) {
    if (found != buffers_.end() || tensors_.count(name) != 0) {
      fail("ids and something else are called '" + name + "'");
    }
    if (!is_selected) ids_.emplace(name, inputs_.size());
    inputs_.push_back({name, dtype, rows, nullptr});
    return;
  }
  if (found == buffers_.end() || found->second.dtype != dtype || found->second.rows != rows ||
      found->second.columns != columns) {
    fail("input '" + name + "' has no buffer that fits it");
  }
  if (std::exchange(written_[name], true)) fail("input '" + name + "' comes after a step that writes it");
  takes_rows_ = true;
  inputs_.push_back({name, dtype, rows, &found->second});
}

bool Program::takes_selected() const {
  return std::any_of(inputs_.begin(), inputs_.end(),
                     [](const Input& input) { return input.rows == Rows::kSelected; });
}

void Program::add_step(StepSpec spec) {
  require_unfinished();
  if (steps_.size() == kMaxSteps) fail("the program has too many steps");
  const auto& table = op_table();
  const auto row =
      std::find_if(table.begin(), table.end(), [&](const OpRow& r) { return spec.op == r.name; });
  if (row == table.end()) fail("step '" + spec.name + "': there is no op '" + spec.op + "'");
  for (const auto& [operand, input] : spec.inputs) {
    if (buffers_.count(input) != 0 && !written_[input]) {
      fail("step '" + spec.name + "' reads '" + input + "' before any step has written it");
    }
  }
  const bool selects = std::any_of(spec.outputs.begin(), spec.outputs.end(), [&](const std::string& name) {
    const auto found = buffers_.find(name);
    return found != buffers_.end() && found->second.rows == Rows::kSelected;
  });
  if (selects && !takes_selected()) fail("step '" + spec.name + "' needs the input 'selected'");
  Binder binder(spec, buffers_, tensors_, ids_);
  std::unique_ptr<Op> op = row->make(binder, kernels_);
  binder.require_all_known();
  for (const std::string& output : spec.outputs) {
    if (std::exchange(written_[output], true)) fail("two steps write '" + output + "'");
  }
  op->limit_ids(limits_);
  steps_.push_back({std::move(spec), std::move(op)});
}

void Program::add_output(const std::string& name, const std::string& buffer) {
  require_unfinished();
  const auto found = buffers_.find(buffer);
  if (found == buffers_.end() || !written_[buffer] || found->second.columns == 0) {
    fail("output '" + name + "' is no matrix that a step writes");
  }
  if (outputs_.size() == kMaxOutputs) fail("the program has too many outputs");
  outputs_.push_back({name, &found->second});
}

void Program::finish() {
  require_unfinished();
  if (outputs_.empty()) fail("the program has no outputs");
  std::map<std::string, OutputSet> needed;
  for (std::size_t i = 0; i < outputs_.size(); ++i) needed[outputs_[i].buffer->name] |= OutputSet{1} << i;
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    for (const std::string& output : step->spec.outputs) step->needed_by |= needed[output];
    for (const auto& [operand, input] : step->spec.inputs) needed[input] |= step->needed_by;
  }
  finished_ = true;
}

std::size_t Program::scratch_bytes(std::size_t max_seqlen) const {
  std::size_t bytes = 0;
  for (const Step& step : steps_) bytes = std::max(bytes, step.op->scratch_bytes(max_seqlen));
  return bytes;
}

}  // namespace bertc
