#include "kernels/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <string>

#include "common/error.h"

namespace bertc {

#if defined(__x86_64__)
namespace {

// By CPUID, since Clang 15 has no names for these three in __builtin_cpu_supports.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
}

bool has_in_leaf_7_1(int bit) {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << bit)) != 0;
}

bool has_avx_vnni() { return has_in_leaf_7_1(4); }
bool has_avx512_bf16() { return has_in_leaf_7_1(5); }

}  // namespace

// __builtin_cpu_supports also asks whether the operating system saves the registers; what is asked of CPUID
// alone counts only beside it.
Features processor_features() {
  __builtin_cpu_init();
  Features found = 0;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
    found |= feature::kAvx2;
    if (has_avx_vnni()) found |= feature::kAvxVnni;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    found |= feature::kAvx512;
    if (has_avx512_bf16()) found |= feature::kAvx512Bf16;
  }
  if (__builtin_cpu_supports("avx512vnni")) found |= feature::kAvx512Vnni;
  return found;
}
#else
Features processor_features() { return 0; }
#endif

std::vector<Isa> supported_isas(Features processor) {
  std::vector<Isa> isas;
  for (const Isa& isa : kIsas) {
    if (has_all(processor, isa.features)) isas.push_back(isa);
  }
  return isas;
}

Isa choose_isa(std::string_view name, Features processor) {
  const std::vector<Isa> isas = supported_isas(processor);
  if (name.empty()) return isas.back();
  std::string known;
  for (const Isa& isa : isas) {
    if (isa.name == name) return isa;
    known += (known.empty() ? "" : ", ") + std::string(isa.name);
  }
  throw Error(ErrorKind::kInput, "instruction set '" + std::string(name) +
                                     "' is unknown or not on this processor: choose one of " + known);
}

}  // namespace bertc
