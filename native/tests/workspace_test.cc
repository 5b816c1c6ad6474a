// Memory of a call: arenas that do not overlap, are reused, and are large enough.
#include "session/workspace.h"

#include <algorithm>
#include <cstring>
#include <vector>

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

// Writes zeros of attention with rows of distances, and returns whether it stayed inside of its scratch.
bool stays_inside(AttentionKernel kernel, bool bf16, std::size_t length, std::size_t head_dim) {
  constexpr std::size_t kReach = 160;
  std::vector<int32_t> buckets(2 * kReach);
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    buckets[i] = static_cast<int32_t>(std::max<std::size_t>(std::min(i, 2 * kReach - 16), 15) - 15);
  }
  Attention attention{};
  attention.queries = attention.keys = length;
  attention.head_dim = attention.in_stride = attention.out_stride = attention.position_width = head_dim;
  attention.scale = 1.0f;
  attention.reach = kReach;
  attention.buckets = buckets.data();
  attention.rows = static_cast<std::size_t>(buckets.back()) + 1;
  attention.bf16_positions = bf16;
  const std::vector<float> zeros(std::max(length, attention.rows + 16) * head_dim);
  attention.query = attention.key = attention.value = zeros.data();
  attention.position_keys = attention.position_queries = zeros.data();
  std::vector<float> out(length * head_dim);
  attention.out = out.data();
  const std::size_t bytes = attention_scratch_bytes(length, head_dim, attention.rows);
  constexpr std::size_t kBehind = 256;
  std::vector<std::byte> memory(kAlignment + bytes + kBehind, std::byte{0xA5});
  const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
  attention.scratch = memory.data() + (kAlignment - at % kAlignment) % kAlignment;
  kernel(attention);
  const std::byte* end = attention.scratch + bytes;
  return std::all_of(end, end + kBehind, [](std::byte each) { return each == std::byte{0xA5}; });
}

BERTC_TEST(scores_by_distance_stay_inside_their_scratch) {
  for (const Isa isa : supported_isas()) {
    const Kernels kernels = select_kernels(isa);
    const AttentionKernel by_type[] = {kernels.attention_f32, kernels.attention_bf16, kernels.attention_int8};
    for (std::size_t type = 0; type < std::size(by_type); ++type) {
      for (const std::size_t length : {1, 17, 64, 65, 128, 130, 300}) {
        for (const std::size_t head_dim : {16, 48, 64}) {
          check(by_type[type] == nullptr || stays_inside(by_type[type], type > 0, length, head_dim),
                count(length, "tokens write behind their scratch"));
        }
      }
    }
  }
}

}  // namespace
}  // namespace bertc
