#include "kernels/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <string>

#include "common/error.h"

namespace bertc {
namespace {

constexpr std::string_view kNames[] = {"scalar", "avx2", "avx512_vnni", "avx512_bf16"};

#if defined(__x86_64__)
// By CPUID, since Clang 15 has no names for these two in __builtin_cpu_supports.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
}

bool has_avx512_bf16() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 5)) != 0;
}
#endif

bool supported([[maybe_unused]] Isa isa) {
  if (isa == Isa::kScalar) return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  if (isa == Isa::kAvx2) return avx2;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  if (isa == Isa::kAvx512) return avx512;
  return avx512 && has_avx512_bf16();
#else
  return false;
#endif
}

}  // namespace

std::string_view isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
    if (supported(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa choose_isa(std::string_view name) {
  const std::vector<Isa> isas = supported_isas();
  if (name.empty()) return isas.back();
  std::string known;
  for (const Isa isa : isas) {
    if (isa_name(isa) == name) return isa;
    known += (known.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw Error(ErrorKind::kInput, "instruction set '" + std::string(name) +
                                     "' is unknown or not on this processor: choose one of " + known);
}

}  // namespace bertc
