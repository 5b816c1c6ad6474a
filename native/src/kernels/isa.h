// Instruction sets: names for sets of features of a processor. They are no ladder: of two sets, neither has
// to hold the other.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace bertc {

// A set of the features below, a bit each.
using Features = uint32_t;

namespace feature {
inline constexpr Features kAvx2 = 1 << 0;    // and FMA and F16C
inline constexpr Features kAvx512 = 1 << 1;  // F, BW, DQ and VL
inline constexpr Features kAvx512Vnni = 1 << 2;
inline constexpr Features kAvx512Bf16 = 1 << 3;
inline constexpr Features kAvxVnni = 1 << 4;  // VNNI in 256 bits, without AVX-512
}  // namespace feature

// What a kernel needs by its file's suffix: all that the compiler may use there
// (native/cmake/isa_flags.cmake).
namespace needs {
inline constexpr Features kScalar = 0;
inline constexpr Features kAvx2 = feature::kAvx2;
inline constexpr Features kAvxVnni = kAvx2 | feature::kAvxVnni;
inline constexpr Features kAvx512 = kAvx2 | feature::kAvx512 | feature::kAvx512Vnni;
inline constexpr Features kAvx512Bf16 = kAvx512 | feature::kAvx512Bf16;
}  // namespace needs

constexpr bool has_all(Features features, Features needed) { return (features & needed) == needed; }

// A kernel may be used where all that it needs is among these features.
struct Isa {
  std::string_view name;
  Features features;
};

// THE table of instruction sets, in rising order of preference.
inline constexpr Isa kIsas[] = {
    {"scalar", needs::kScalar},          {"avx2", needs::kAvx2},
    {"avx_vnni", needs::kAvxVnni},       {"avx512_vnni", needs::kAvx512},
    {"avx512_bf16", needs::kAvx512Bf16},
};

// What this processor and operating system can run.
Features processor_features();

// The rows of the table that a processor can run, in its order: "scalar" is always the first.
std::vector<Isa> supported_isas(Features processor = processor_features());

// The instruction set of that name, or the last supported one if the name is empty. Throws bertc::Error if
// the name is unknown or the processor cannot run it.
Isa choose_isa(std::string_view name, Features processor = processor_features());

}  // namespace bertc
