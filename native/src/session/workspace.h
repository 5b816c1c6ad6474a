// The memory of one pass through a program: arena, scratch, and small tables. Grows, never shrinks,
// and is reused, so that a warm run allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "program/program.h"

namespace bertc {

class AlignedBytes {
 public:
  // At least `bytes` bytes, aligned to a cache line; what was there is lost when it grows.
  std::byte* reserve(std::size_t bytes);

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t capacity_ = 0;
};

class Workspace {
 public:
  // Makes room for a chunk of so many tokens and sequences, and for scratch.
  void reserve(const Program& program, std::size_t tokens, std::size_t sequences, std::size_t scratch_bytes);

  // cu_seqlens of sequences [first, last), counted from the first's first token. Valid until the
  // next call.
  const int32_t* rebase(const int32_t* cu_seqlens, std::size_t first, std::size_t last);

  std::byte* arena() const { return arena_data_; }
  std::byte* scratch() const { return scratch_data_; }
  const std::size_t* slot_offsets() const { return slot_offsets_.data(); }

 private:
  AlignedBytes arena_, scratch_;
  std::byte* arena_data_ = nullptr;
  std::byte* scratch_data_ = nullptr;
  std::vector<std::size_t> slot_offsets_;
  std::vector<int32_t> cu_seqlens_;
};

}  // namespace bertc
