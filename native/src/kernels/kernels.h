// The kernels of one instruction set.
#pragma once

#include "kernels/attention/kernel.h"
#include "kernels/embed/kernel.h"
#include "kernels/gemm/kernel.h"
#include "kernels/isa.h"
#include "kernels/layer_norm/kernel.h"
#include "kernels/peak/kernel.h"
#include "kernels/pool/kernel.h"
#include "kernels/quantize_rows/kernel.h"

namespace bertc {

struct Kernels {
  Isa isa = kIsas[0];
  GemmKernel gemm_f32 = nullptr;
  GemmKernel gemm_bf16 = nullptr;
  GemmKernel gemm_int8 = nullptr;
  GemmKernel gemm_int8_pairs = nullptr;  // weights bounded in pairs: the same sums, faster without VNNI
  GemmKernel gemm_int8_fours = nullptr;  // and in fours
  AttentionKernel attention_f32 = nullptr;
  AttentionKernel attention_bf16 = nullptr;  // null where bf16 products are no faster: use float32
  AttentionKernel attention_int8 = nullptr;  // null where 8-bit products are no faster: use the others
  LayerNormKernel layer_norm = nullptr;
  QuantizeRowsKernel quantize_rows = nullptr;
  CastBf16Kernel cast_bf16 = nullptr;
  EmbedKernel embed = nullptr;
  PoolKernel pool = nullptr;
  NormalizeKernel normalize = nullptr;
  PeakKernel peak_f32 = nullptr;
  PeakKernel peak_bf16 = nullptr;
  PeakKernel peak_int8 = nullptr;
  PeakKernel peak_int8_fours = nullptr;
};

// By the table in kernels.inc and the features of the set alone, whatever processor this is.
Kernels select_kernels(const Isa& isa);

}  // namespace bertc
