// Memory of a call: arenas that do not overlap, are reused, and are large enough.
#include "session/workspace.h"

#include <algorithm>
#include <cstring>

#include "kernels/attention/attention_template.h"
#include "test.h"

namespace bertc {
namespace {

using test::check;
using test::count;

constexpr std::size_t kSlots[] = {64, 4, 1536, 192, 1};

void check_slots(const Workspace& workspace, std::size_t tokens) {
  for (std::size_t i = 0; i < std::size(kSlots); ++i) {
    const std::size_t start = workspace.slot_offsets()[i];
    check(reinterpret_cast<std::uintptr_t>(workspace.arena() + start) % kAlignment == 0,
          "a slot is not aligned");
    if (i > 0) {
      const std::size_t end = workspace.slot_offsets()[i - 1] + kSlots[i - 1] * tokens;
      check(start >= end, count(tokens, "tokens: slots overlap"));
    }
    std::memset(workspace.arena() + start, 1, kSlots[i] * tokens);  // sanitizers see if it is there
  }
}

BERTC_TEST(slots_have_room_for_all_rows_and_do_not_overlap) {
  Program program(select_kernels(choose_isa("scalar")));
  for (const std::size_t bytes : kSlots) program.add_slot(bytes);
  Workspace workspace;
  for (const std::size_t tokens : {1, 7, 64, 513, 5}) {
    workspace.reserve(program, tokens, tokens, 100 * tokens);
    check_slots(workspace, tokens);
    std::memset(workspace.scratch(), 1, 100 * tokens);
  }
}

BERTC_TEST(memory_is_used_again_and_grows) {
  AlignedBytes bytes;
  std::byte* const first = bytes.reserve(1000);
  check(bytes.reserve(10) == first && bytes.reserve(1000) == first, "a smaller need moved the memory");
  std::memset(bytes.reserve(100000), 1, 100000);
}

BERTC_TEST(bounds_of_a_chunk_count_from_its_first_token) {
  Program program(select_kernels(choose_isa("scalar")));
  Workspace workspace;
  workspace.reserve(program, 10, 2, 0);
  const int32_t cu_seqlens[] = {0, 3, 5, 12, 13};
  const int32_t* of_chunk = workspace.rebase(cu_seqlens, 1, 3);
  check(of_chunk[0] == 0 && of_chunk[1] == 2 && of_chunk[2] == 9, "other bounds");
}

template <class Element>
std::size_t attention_scratch_used(std::size_t length, std::size_t head_dim) {
  auto* const start = reinterpret_cast<std::byte*>(std::uintptr_t{64});  // nothing is read or written
  Attention attention{};
  attention.queries = attention.keys = length;
  attention.head_dim = head_dim;
  attention.scratch = start;
  const attention::Scratch<Element> scratch(attention);
  const auto* end = reinterpret_cast<std::byte*>(scratch.bias + 2 * attention_columns(length));
  return static_cast<std::size_t>(end - start);
}

BERTC_TEST(attention_scratch_is_enough_for_every_sequence_up_to_the_longest) {
  for (std::size_t head_dim = 16; head_dim <= 256; head_dim += 16) {
    std::size_t most = 0;
    for (std::size_t length = 1; length <= 1100; ++length) {
      most = std::max({most, attention_scratch_used<float>(length, head_dim),
                       attention_scratch_used<uint16_t>(length, head_dim)});
      check(attention_scratch_bytes(length, head_dim) >= most, count(length, "tokens do not fit"));
    }
  }
}

BERTC_TEST(attention_scratch_grows_with_the_length) {
  for (std::size_t head_dim = 16; head_dim <= 256; head_dim += 16) {
    for (std::size_t length = 1; length <= 1100; ++length) {
      check(attention_scratch_bytes(length, head_dim) <= attention_scratch_bytes(length + 1, head_dim),
            count(length, "tokens need more than one more"));
    }
  }
}

}  // namespace
}  // namespace bertc
