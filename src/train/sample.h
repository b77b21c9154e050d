// Text from a checkpoint of a run, by the engine that will serve it.
#pragma once

#include <cstdint>
#include <string>

#include "base/parallel.h"

namespace sigma {

// What the model at `path` makes of the prompt, `tokens` tokens at temperature 0.8.
std::string sample_text(const std::string& path, const std::string& prompt, int64_t tokens, uint64_t seed,
                        ThreadPool& threads);

}  // namespace sigma
