#include "session/workspace.h"

#include <cstdlib>
#include <new>

namespace bertc {

void AlignedBytes::Free::operator()(std::byte* bytes) const { std::free(bytes); }

std::byte* AlignedBytes::reserve(std::size_t bytes) {
  if (bytes > capacity_) {
    data_.reset();
    capacity_ = 0;
    const std::size_t rounded = round_up(bytes, kAlignment);
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
    if (data_ == nullptr) throw std::bad_alloc();
    capacity_ = rounded;
  }
  return data_.get();
}

void Workspace::reserve(const Program& program, std::size_t tokens, std::size_t sequences,
                        std::size_t scratch_bytes) {
  const std::vector<std::size_t>& slots = program.slots();
  slot_offsets_.resize(slots.size());
  std::size_t offset = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slot_offsets_[i] = offset;
    offset += round_up(slots[i] * tokens, kAlignment);
  }
  arena_data_ = arena_.reserve(offset);
  scratch_data_ = scratch_.reserve(scratch_bytes);
  if (cu_seqlens_.size() < sequences + 1) cu_seqlens_.resize(sequences + 1);
}

const int32_t* Workspace::rebase(const int32_t* cu_seqlens, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i <= last; ++i) cu_seqlens_[i - first] = cu_seqlens[i] - cu_seqlens[first];
  return cu_seqlens_.data();
}

}  // namespace bertc
