// An op: one step of a program, bound to its operands and checked, ready to run.
//
// Adding one: a class in ops/<op>.cc with a `make_<op>` function, a row in ops.inc, and a row of the
// same name in src/bertc/ir/ops.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/tensor.h"
#include "kernels/kernels.h"

namespace bertc {

// The most inputs of a program, cu_seqlens aside.
inline constexpr std::size_t kMaxInputs = 16;

// The tokens that a pass through the program works on: whole sequences. cu_seqlens counts from the
// first of them.
struct Batch {
  std::array<const int32_t*, kMaxInputs> ids;  // by input of the program; null: left out
  const int32_t* cu_seqlens;
  std::size_t tokens;
  std::size_t sequences;
  std::size_t first_token;  // of the request
  const int32_t* selected;  // tokens of the request, all in this pass
  std::size_t selected_count;
};

// One pass: its batch, and its memory.
struct Frame {
  Batch batch;
  std::byte* arena;
  const std::size_t* slot_offsets;
  std::byte* scratch;         // of this thread
  uint64_t* attention_ticks;  // null, or what this thread's attention adds its times to

  template <class T>
  T* data(const Buffer& buffer) const {
    return reinterpret_cast<T*>(arena + slot_offsets[buffer.slot]);
  }
  std::size_t rows(const Buffer& buffer) const {
    return buffer.rows == Rows::kTokens      ? batch.tokens
           : buffer.rows == Rows::kSequences ? batch.sequences
                                             : batch.selected_count;
  }
};

// A thread's share of an op: part `index` of `count`. What an element becomes never depends on it.
struct Part {
  std::size_t index;
  std::size_t count;

  std::size_t begin(std::size_t total) const { return total * index / count; }
  std::size_t end(std::size_t total) const { return total * (index + 1) / count; }
};

// What ops demand of an input, so that nothing reads beyond a table.
struct IdLimits {
  std::size_t rows = SIZE_MAX;    // ids are below it
  std::size_t length = SIZE_MAX;  // of a sequence, if the ids are left out and count its tokens
  bool required = false;          // whether an op has no default for it
};
using InputLimits = std::array<IdLimits, kMaxInputs>;

// Flags are ids 0 and 1 that callers may leave out; an op without them has no place among the inputs.
inline constexpr std::size_t kNoFlags = SIZE_MAX;

inline const int32_t* flags_of(const Frame& frame, std::size_t input) {
  return input == kNoFlags ? nullptr : frame.batch.ids[input];
}

inline void limit_flags(InputLimits& limits, std::size_t input) {
  if (input != kNoFlags && limits[input].rows > 2) limits[input].rows = 2;
}

class Op {
 public:
  virtual ~Op() = default;
  virtual void run(const Frame& frame, Part part) const = 0;
  // Bytes of scratch that one thread needs for sequences of up to max_seqlen tokens.
  virtual std::size_t scratch_bytes(std::size_t /*max_seqlen*/) const { return 0; }
  virtual void limit_ids(InputLimits& /*limits*/) const {}
};

class Binder;
using MakeOp = std::unique_ptr<Op> (*)(Binder& binder, const Kernels& kernels);

struct OpRow {
  const char* name;
  MakeOp make;
};

// The op table, from ops.inc.
const std::vector<OpRow>& op_table();

}  // namespace bertc
