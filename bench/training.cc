#include "bench/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace sigma::bench {

TrainBench::TrainBench(const Kernels& kernels, ThreadPool& threads, const ModelConfig& config, const TrainCase& c)
    : threads_(threads),
      case_(c),
      config_(config),
      parameters_(config, c.precision),
      network_(config, c.precision, kernels, threads, c.keep),
      optimiser_(parameters_, {}, 0, parameters_.elements()) {
  if (c.context < 1 || c.tokens % c.context != 0 || c.micro < c.context)
    throw Error("sigma bench train", "--tokens and --micro of whole rows of --context",
                fmt::format("{}, {} and {}", c.tokens, c.micro, c.context));
  parameters_.load(threads, random_reader(config, 1));
  parameters_.refresh(network_.context());
  Rng rng(2);
  for (int64_t i = 0; i < c.tokens; ++i) {
    tokens_.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab))));
    targets_.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab))));
  }
  starts_.resize(tokens_.size(), 0);
}

double TrainBench::step() {
  const auto start = std::chrono::steady_clock::now();
  parameters_.clear_gradients(threads_);
  const int64_t rows = case_.tokens / case_.context, micro = case_.micro / case_.context;
  for (int64_t row = 0; row < rows; row += micro) {
    const int64_t count = std::min(micro, rows - row);
    const auto begin = static_cast<size_t>(row * case_.context), size = static_cast<size_t>(count * case_.context);
    network_.train(parameters_,
                   {count, case_.context, std::span(tokens_).subspan(begin, size),
                    std::span(targets_).subspan(begin, size), std::span(starts_).subspan(begin, size)},
                   {.scale = 1.0 / static_cast<double>(case_.tokens)});
  }
  const Context context = network_.context();
  const TensorView gradients = parameters_.flat_gradients();
  optimiser_.step(context, parameters_, gradients, 1e-4, std::sqrt(optimiser_.gradient_squares(context, gradients)));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double TrainBench::operations() const {
  return train_operations_per_token(config_, case_.context) * static_cast<double>(case_.tokens);
}

}  // namespace sigma::bench
