// Learning rate and batch size over a phase of training, as functions of how far it has come: no state.
#pragma once

#include <cstdint>

namespace sigma {

enum class Decay : uint8_t { constant, cosine, linear, wsd };

// Distances are rows of tokens from the start of the phase.
struct Schedule {
  int64_t total_rows = 0;
  int64_t warmup_rows = 0;  // the rate rises from 0 in a straight line
  double rate = 0;          // after the warm-up
  double final_rate = 0;    // at the end, unless constant
  Decay decay = Decay::constant;
  int64_t decay_rows = 0;  // wsd: of the straight descent at the end

  int64_t batch_rows = 0;      // of the first step
  int64_t batch_rows_end = 0;  // 0: the same; else a multiple of batch_rows, reached after ramp_rows
  int64_t ramp_rows = 0;

  // Rows of the step that begins at `row`: a multiple of batch_rows while the ramp lasts, never beyond the end.
  int64_t batch(int64_t row) const;
  // The rate of the step of `rows` rows that begins at `row`. The warm-up counts the step itself (the first rate is not
  // zero), the descent what came before it.
  double learning_rate(int64_t row, int64_t rows) const;
  // Steps from `row` to the end.
  int64_t steps_from(int64_t row) const;
};

}  // namespace sigma
