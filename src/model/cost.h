// What one decode step of a model must store, read and compute, by part: the arithmetic behind every claim about speed.
// Nothing is measured here; with a machine's limits it says how long a step takes at best.
#pragma once

#include <cstdint>
#include <optional>

#include "model/config.h"
#include "tensor/format.h"

namespace sigma {

class Checkpoint;

// Bytes of weights that a step reads, by part of the model. The embedding counts where it is the head: of its rows a
// step looks up only one.
struct WeightBytes {
  double projections = 0;  // q, k, v, o, their biases, the key expansion
  double augmented_q = 0, ffn = 0, head = 0, norms = 0;
  double total() const { return projections + augmented_q + ffn + head + norms; }
};
// All matrices in one format, everything else in f32.
WeightBytes weight_bytes(const ModelConfig& config, Format format);
// As the files have them.
WeightBytes weight_bytes(const Checkpoint& checkpoint);

struct CostCase {
  int64_t context = 1;  // positions that each sequence attends to, its new one among them
  int64_t batch = 1;    // sequences, a token of each
  Format k_format = Format::bf16, v_format = Format::bf16;
  int64_t v_top = 0;  // selective V; 0: all rows
};

// One of the two caches, all layers and sequences.
struct CacheCost {
  double elements_stored = 0, bytes_stored = 0;
  double elements_read = 0, bytes_read = 0;
};

// A multiply-add is two.
struct StepFlops {
  double projections = 0, augmented_q = 0, ffn = 0, head = 0;
  double expansion = 0;  // of cached keys (after_expansion) or of the query (key_dim)
  double scores = 0, values = 0;
  double attention() const { return expansion + scores + values; }
  double total() const { return projections + augmented_q + ffn + head + attention(); }
};

struct StepCost {
  CacheCost k, v;
  WeightBytes weights;
  StepFlops flops;
  double cache_bytes_read() const { return k.bytes_read + v.bytes_read; }
  double cache_bytes_stored() const { return k.bytes_stored + v.bytes_stored; }
  double bytes() const { return cache_bytes_read() + cache_bytes_stored() + weights.total(); }
};
StepCost step_cost(const ModelConfig& config, const WeightBytes& weights, const CostCase& c);

// The part of `theirs` that `ours` saves: 0.375 of cache bytes for Sigma-1.5B over its standard model.
inline double gain_over(double ours, double theirs) { return 1.0 - ours / theirs; }

// Bytes that one token's rows take in both caches, all layers, pages' padding left out.
double cache_bytes_per_token(const ModelConfig& config, Format k_format, Format v_format);
// Sequences of `c.context` tokens, in whole pages, that fit `memory_bytes` beside the weights; c.batch is not used.
int64_t largest_batch(const ModelConfig& config, const WeightBytes& weights, const CostCase& c, int64_t page_tokens,
                      double memory_bytes);

// What a kernel set computes in, for a format of weights or of the K cache.
enum class Arithmetic : uint8_t { f32, bf16, int8 };
Arithmetic arithmetic_of(Format format);

// Seconds that attention takes with nothing to wait for, all threads, one sequence, all layers: linear in context.
struct AttentionWork {
  double fixed = 0, per_position = 0;
  double at(double context) const { return fixed + per_position * context; }
};

struct MachineLimits {
  double read = 0;            // bytes per second from memory, all threads together
  double operations[3] = {};  // per second, by Arithmetic
  // With these a prediction takes in what attention does besides waiting for memory; work of none: not known.
  AttentionWork work;
  double read_alone = 0;  // bytes per second of one thread while the others do not read
  int threads = 1;
};

// Seconds of a step that reads at the machine's limit or, where that takes longer, computes at it. Attention whose work
// is known, which keys and values share as they share its multiply-adds: keys are fetched ahead of the work on them, so
// that the longer of both decides; values come by turns with theirs (time_by_turns).
struct StepTime {
  double store = 0, attention = 0, augmented_q = 0, rest = 0;  // rest: every other weight
  double total() const { return store + attention + augmented_q + rest; }
};
StepTime predict_step(const StepCost& cost, const CostCase& c, Format weights, const MachineLimits& limits);

// Seconds in which every thread by turns reads a part of `bytes` and works on it, `work` seconds of each thread in all:
// who reads alone reads at one thread's speed, those who read together share the machine's. Nothing is hidden where
// every thread has a path of its own to memory; where they share one, the others' reading goes on while one works.
double time_by_turns(double bytes, double work, const MachineLimits& limits);

// One side of a comparison; its context is what is looked for.
struct Contender {
  const ModelConfig* config = nullptr;
  WeightBytes weights;
  CostCase c;
};
// The shortest context at which a step of `ours` moves no more bytes than one of `theirs`; none up to 2^24.
std::optional<int64_t> break_even_context(const Contender& ours, const Contender& theirs);

}  // namespace sigma
