// The instruction sets that kernels are written for, in rising order, and which one to use.
#pragma once

#include <string_view>
#include <vector>

namespace bertc {

enum class Isa : int { kScalar, kAvx2, kAvx512, kAvx512Bf16 };

// "scalar", "avx2", "avx512_vnni", "avx512_bf16".
std::string_view isa_name(Isa isa);

// What this processor and operating system can run, in rising order; never empty.
std::vector<Isa> supported_isas();

// The instruction set of that name, or the best one if the name is empty. Throws bertc::Error if the
// name is unknown or this processor cannot run it.
Isa choose_isa(std::string_view name);

}  // namespace bertc
