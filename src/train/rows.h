// Where a trainer's tokens come from: any function of a position, so that a run can begin anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"

namespace sigma {

// Rows of a training batch, one after another. Token t of a row attends to positions [starts[t], t] of it.
struct TrainRows {
  std::vector<int32_t> tokens, targets, starts;  // [rows * context]; a negative target has no loss
};

struct RowSource {
  // Rows [position, position + rows); the same for the same arguments, always.
  std::function<void(TrainRows& out, uint64_t position, int64_t rows)> read;
  std::string fingerprint;  // of everything that decides what read() gives
};

// Every token predicts the next. With documents apart a token sees its own document only, and a document's last token
// predicts nothing; else rows are one text.
enum class Documents : uint8_t { together, apart };
RowSource loader_rows(std::shared_ptr<const Loader> loader, Documents documents);

}  // namespace sigma
