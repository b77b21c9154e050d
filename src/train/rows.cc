#include "train/rows.h"

#include <algorithm>

namespace sigma {

RowSource loader_rows(std::shared_ptr<const Loader> loader, Documents documents) {
  RowSource source;
  source.fingerprint = loader->fingerprint();
  source.read = [loader = std::move(loader), documents](TrainRows& out, uint64_t position, int64_t rows) {
    const TokenBatch batch = loader->batch(position, rows);
    const auto context = static_cast<size_t>(batch.context), size = static_cast<size_t>(rows) * context;
    for (std::vector<int32_t>* v : {&out.tokens, &out.targets, &out.starts}) v->resize(size);
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r)
      for (size_t t = 0; t < context; ++t) {
        const size_t from = r * (context + 1) + t, to = r * context + t;
        const bool apart = documents == Documents::apart;
        const bool last = batch.starts[from + 1] == static_cast<int32_t>(t + 1);  // of its document
        out.tokens[to] = batch.tokens[from];
        out.targets[to] = apart && last ? -1 : batch.tokens[from + 1];
        out.starts[to] = apart ? batch.starts[from] : 0;
      }
  };
  return source;
}

}  // namespace sigma
