// A program: checked ops over planned buffers. Built op by op, then immutable and shared.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/tensor.h"
#include "ops/binder.h"
#include "ops/op.h"

namespace bertc {

class Program {
 public:
  // One bit per output.
  using OutputSet = uint32_t;
  static constexpr std::size_t kMaxOutputs = 32;

  explicit Program(const Kernels& kernels) : kernels_(kernels) {}
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Each checks what it adds and throws Error (kProgram) that names it. A step's operands must have
  // been added before it, and written by an earlier step. After finish() nothing can be added.
  void add_slot(std::size_t bytes_per_row);
  void add_tensor(Tensor tensor, std::size_t bytes);
  void add_buffer(Buffer buffer);
  // columns 0: ids, which embed ops read, or the input `selected`. Else rows of f32, which go to the
  // buffer of that name.
  void add_input(const std::string& name, DType dtype, Rows rows, std::size_t columns);
  void add_step(StepSpec step);
  void add_output(const std::string& name, const std::string& buffer);
  void finish();
  bool finished() const { return finished_; }

  struct Step {
    StepSpec spec;
    std::unique_ptr<Op> op;
    OutputSet needed_by = 0;
  };
  struct Input {
    std::string name;
    DType dtype;
    Rows rows;
    const Buffer* buffer;  // null: no rows of f32
    std::size_t columns() const { return buffer == nullptr ? 0 : buffer->columns; }
  };
  struct Output {
    std::string name;
    const Buffer* buffer;
  };

  const Isa& isa() const { return kernels_.isa; }
  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Input>& inputs() const { return inputs_; }
  // Whether one of them is rows of f32.
  bool takes_rows() const { return takes_rows_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  const std::vector<std::size_t>& slots() const { return slots_; }
  // By input.
  const InputLimits& limits() const { return limits_; }
  std::size_t scratch_bytes(std::size_t max_seqlen) const;

 private:
  void require_unfinished() const;
  bool takes_selected() const;

  Kernels kernels_;
  std::vector<std::size_t> slots_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, Buffer> buffers_;
  std::map<std::string, bool> written_;
  std::vector<Step> steps_;
  std::vector<Input> inputs_;
  std::map<std::string, std::size_t> ids_;  // the places of those inputs that are ids
  std::vector<Output> outputs_;
  InputLimits limits_{};
  bool takes_rows_ = false;
  bool finished_ = false;
};

}  // namespace bertc
