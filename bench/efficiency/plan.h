// What the efficiency study compares, over which contexts, and how much memory that takes: decided before anything is
// measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "model/cost.h"

namespace sigma::bench {

// What a K cache holds. Variants with the same keys take turns on one ring of buffers.
enum class Keys : uint8_t { std, repeated, sigma, sigma_q8, half };
inline constexpr int kKeysCount = 5;

// One side of the comparison. The first of all is what the others are compared with.
struct Variant {
  std::string name, title;  // "sigma_q8_k", "Sigma, q8 K"
  ModelConfig config;
  Keys keys = Keys::std;
  Format k_format = Format::bf16;
  int64_t v_top = 0;
  Format v_format = Format::bf16;

  bool augmented() const { return config.attn.aug_dim > 0; }
  CostCase cost_case(int64_t context, int64_t batch) const {
    return {.context = context, .batch = batch, .k_format = k_format, .v_format = v_format, .v_top = v_top};
  }
};
// The published shapes of 1.5B (arXiv 2501.13629, Table 14): STD 32/16/16 heads, Sigma 32/4/16 with its augmented
// query, and what may be done to Sigma.
const std::vector<Variant>& variants();
const Variant& variant(const std::string& name);

inline constexpr int kPageTokens = 256;
inline constexpr int kTokens = 10;  // generated after each prefix, as the paper's kernel measurement has it

// What the study measures. Contexts and lengths in tokens.
struct Grid {
  bool quick = false;
  std::vector<int64_t> kernel_prefixes;    // of the kernel measurement (KET)
  std::vector<int64_t> prefixes, outputs;  // of whole generations (CEET)
  std::vector<int64_t> samples;            // prefixes at which a step is measured
  int64_t batch = 8;                       // of the second column of everything
  std::vector<int64_t> batch_samples;      // its prefixes that fit
  std::vector<int64_t> batch_left_out;     // and those that do not
  std::vector<Format> weights;             // formats of weights
  // A pass measures every context; rounds of several passes are spread over time, as the machine's speeds are.
  int passes = 6, batch_passes = 2, rounds = 5;  // rounds: of a pass
  double whole_seconds = 0;                      // what the generation that is run whole may take
  int64_t ring_bytes = 0;                        // that every ring of buffers is long at least
};

struct GridOptions {
  bool quick = false;
  int64_t max_prefix = 65536, max_output = 65536, batch = 8;
  double memory_bytes = 0;   // that the study may take
  double whole_seconds = 0;  // 0: 20 minutes, 1 if quick
  int64_t ring_bytes = 0;    // 0: eight times the last-level cache
};
// Error when even one sequence's longest context does not fit: says the largest grid that does. Prefixes of the batch
// that do not fit are left out.
Grid make_grid(const GridOptions& options);

// Bytes of cache buffers that a cell takes, every ring at least `ring_bytes` long.
double cell_bytes(int64_t prefix, int64_t batch, int64_t ring_bytes);
// Shape of a variant's cache, and buffers of a ring of such caches with this many tokens for each of `batch` sequences.
CacheShape key_shape(const Variant& v);
CacheShape value_shape(const Variant& v);
int64_t ring_slots(int64_t slot_bytes, int64_t touched_bytes, int64_t ring_bytes);

// The sum over a generation of `output` tokens after `prefix` of a step's time, which is known at some contexts and
// taken to be linear between them, is a sum of those times with these weights.
std::vector<double> generation_weights(const std::vector<double>& contexts, int64_t prefix, int64_t output);

// A generation that is run whole: the longest without a prefix whose steps of both models take no longer than
// `seconds` at `read` bytes per second.
int64_t whole_output(const Grid& grid, double read);

}  // namespace sigma::bench
