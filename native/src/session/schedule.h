// How a batch is cut into chunks of whole sequences, and whether threads share chunks or each take
// their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bertc {

// Whole sequences [first, last) of a batch.
struct Chunk {
  std::size_t first;
  std::size_t last;
};

struct Schedule {
  std::vector<Chunk> chunks;
  // True: all threads work on each chunk together and meet after each op (few tokens). False: each
  // thread takes chunks of its own through all layers, with no barrier.
  bool cooperative = false;
  std::size_t max_tokens = 0;     // of a chunk
  std::size_t max_sequences = 0;  // of a chunk
  std::size_t max_seqlen = 0;

  // Reuses the memory that the schedule already has.
  void plan(const int32_t* cu_seqlens, std::size_t sequences, std::size_t threads);

 private:
  std::size_t busiest(const int32_t* cu_seqlens, std::size_t threads);

  std::vector<std::size_t> loads_;  // of each thread, in tokens
};

}  // namespace bertc
