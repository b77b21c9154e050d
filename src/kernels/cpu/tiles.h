// Tile kernels: R rows of activations times one panel of 32 outputs, a run of blocks of k.
#pragma once

#include "kernels/cpu/activations.h"
#include "kernels/packed.h"

namespace sigma::SIGMA_ISA {

// acc (f32 [R, 32]) (=|+=) activations (R rows, `blocks` blocks) times weights; = where the run is the first of k.
using Tile = void (*)(float* acc, const std::byte* a, const std::byte* w, int64_t blocks, bool first);

// What matmul knows about a layout.
struct LayoutKernels {
  Activations activations;
  int64_t activation_bytes;     // of one row's share of a block
  int64_t block_bytes;          // of a block of a panel
  int64_t chunk_blocks;         // so many stay in the L1 cache
  Tile tile[kMaxTileRows + 1];  // by R; the first is null
};

const LayoutKernels& layout_kernels(Layout layout);

}  // namespace sigma::SIGMA_ISA
