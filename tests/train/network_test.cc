// The trainer's forward and backward pass: against the golden models of an independent PyTorch implementation, against
// finite differences, and against the engine's forward pass.
#include "train/network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/json.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "train/gemm.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

const std::string kGolden = std::string(SIGMA_TEST_DATA) + "/golden";

std::vector<float> floats(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry* entry = file.find(name);
  if (entry == nullptr) return {};
  std::vector<float> values(entry->bytes.size() / 4);
  std::memcpy(values.data(), entry->bytes.data(), entry->bytes.size());
  return values;
}

double value(ConstTensorView x, int64_t i) {
  return x.dtype == DType::f64 ? x.row<double>(0)[i] : static_cast<double>(x.row<float>(0)[i]);
}

// A model with its network and a micro-batch.
struct Trial {
  Trial(const ModelConfig& model, Precision precision, const WeightReader& reader, int64_t row_count, int64_t length,
        Network::Keep keep = Network::Keep::everything, int thread_count = 2)
      : config(model),
        threads(thread_count),
        kernels(precision.real == DType::f64 ? reference_kernels() : cpu_kernels()),
        parameters(config, precision),
        network(config, precision, kernels, threads, keep),
        rows(row_count),
        context(length) {
    parameters.load(threads, reader);
    parameters.refresh(network.context());
    tokens.resize(static_cast<size_t>(rows * context));
    targets = starts = tokens;
  }
  void random_tokens(uint64_t seed, bool documents) {
    Rng rng(seed);
    int32_t start = 0;
    for (int64_t i = 0; i < rows * context; ++i) {
      const auto at = static_cast<size_t>(i);
      const auto t = static_cast<int32_t>(i % context);
      if (t == 0 || (documents && rng.below(7) == 0)) start = t;
      tokens[at] = static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab)));
      targets[at] =
          documents && rng.below(5) == 0 ? -1 : static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab)));
      starts[at] = start;
    }
  }
  TokenRows batch() const { return {rows, context, tokens, targets, starts}; }
  double train(const LossOptions& options) {
    parameters.clear_gradients(threads);
    return network.train(parameters, batch(), options);
  }

  ModelConfig config;
  ThreadPool threads;
  const Kernels& kernels;
  Parameters parameters;
  Network network;
  int64_t rows, context;
  std::vector<int32_t> tokens, targets, starts;
};

// --- golden models ---

class Golden : public testing::TestWithParam<std::string> {
 protected:
  const std::string folder = kGolden + "/" + GetParam();
  const Checkpoint source = Checkpoint::open(folder);
  const SafetensorsFile golden{folder + "/golden.safetensors"};

  std::unique_ptr<Trial> trial(Precision precision, Network::Keep keep = Network::Keep::everything) const {
    const auto bytes = golden.find("tokens")->bytes;
    std::vector<int64_t> ids(bytes.size() / 8);
    std::memcpy(ids.data(), bytes.data(), bytes.size());
    auto t = std::make_unique<Trial>(source.config(), precision, checkpoint_reader(source), 1,
                                     static_cast<int64_t>(ids.size()), keep);
    t->tokens.assign(ids.begin(), ids.end());
    for (size_t i = 0; i < ids.size(); ++i) t->targets[i] = i + 1 < ids.size() ? t->tokens[i + 1] : -1;
    return t;
  }
};

// Relative error of a vector: norm of the difference over the norm.
double distance(const std::vector<double>& got, const std::vector<float>& want) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(got[i] - static_cast<double>(want[i]), 2);
    size += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(difference / size);
}

// The gradient, or its products with cosines from both sides, as the golden file has them.
double gradient_distance(const SafetensorsFile& golden, const Parameters::Tensor& t) {
  const std::string& name = t.spec.name;
  std::vector<double> all(static_cast<size_t>(t.spec.elements()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = value(t.gradient, static_cast<int64_t>(i));
  if (t.spec.cols == 0) {
    const std::vector<float> want = floats(golden, "grad." + name);
    EXPECT_EQ(want.size(), all.size()) << name;
    return distance(all, want);
  }
  std::vector<double> right(static_cast<size_t>(t.spec.rows)), left(static_cast<size_t>(t.spec.cols));
  for (int64_t r = 0; r < t.spec.rows; ++r)
    for (int64_t i = 0; i < t.spec.cols; ++i) {
      const double g = all[static_cast<size_t>(r * t.spec.cols + i)];
      right[static_cast<size_t>(r)] += g * std::cos(static_cast<double>(i + 1));
      left[static_cast<size_t>(i)] += g * std::cos(static_cast<double>(r + 1));
    }
  const std::vector<float> want_right = floats(golden, "grad_right." + name);
  const std::vector<float> want_left = floats(golden, "grad_left." + name);
  EXPECT_EQ(want_right.size(), right.size()) << name;
  EXPECT_EQ(want_left.size(), left.size()) << name;
  return std::max(distance(right, want_right), distance(left, want_left));
}

TEST_P(Golden, Logits) {
  const std::vector<float> want = floats(golden, "logits");
  for (const auto& [precision, tolerance] : {std::pair{Precision::f64(), 1e-6}, {Precision::f32(), 1e-4}}) {
    const auto t = trial(precision);
    const std::vector<double> got = t->network.logits(t->parameters, t->batch());
    ASSERT_EQ(got.size(), want.size());
    const auto vocab = static_cast<size_t>(t->config.vocab);
    for (size_t row = 0; row < want.size(); row += vocab) {
      double largest = 0, difference = 0;
      for (size_t i = row; i < row + vocab; ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(want[i])));
        difference = std::max(difference, std::abs(got[i] - static_cast<double>(want[i])));
      }
      ASSERT_LE(difference, tolerance * largest) << "token " << row / vocab;
    }
  }
}

class GoldenGradients : public Golden {};

TEST_P(GoldenGradients, AreThoseOfTheOracle) {
  const Json about = read_json(folder + "/golden.json");
  for (const auto& [precision, tolerance] : {std::pair{Precision::f64(), 1e-6}, {Precision::f32(), 2e-4}}) {
    const auto t = trial(precision);
    const double targets = static_cast<double>(t->context - 1);
    const double loss = t->train({.scale = 1.0 / targets}) / targets;
    EXPECT_NEAR(loss, about["loss"].get<double>(), tolerance * loss);
    for (const Parameters::Tensor& tensor : t->parameters.tensors())
      EXPECT_LE(gradient_distance(golden, tensor), tolerance) << tensor.spec.name;
  }
}

TEST_P(Golden, RecomputedActivationsGiveTheSameBits) {
  const auto kept = trial(Precision::f32()), again = trial(Precision::f32(), Network::Keep::residuals);
  EXPECT_EQ(kept->train({.scale = 0.1}), again->train({.scale = 0.1}));
  const TensorView a = kept->parameters.flat_gradients(), b = again->parameters.flat_gradients();
  EXPECT_EQ(std::memcmp(a.data, b.data, static_cast<size_t>(a.row_bytes)), 0);
  if (kept->config.layers > 1) {
    EXPECT_LT(again->network.peak_bytes(), kept->network.peak_bytes());
  }
}

enum class Cases { all, with_gradients };
std::vector<std::string> cases(Cases wanted) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (!fs::exists(entry.path() / "golden.safetensors")) continue;
    if (wanted == Cases::all || read_json(entry.path() / "golden.json").contains("loss"))
      names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}
INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(cases(Cases::all)),
                         [](const auto& test) { return test.param; });
INSTANTIATE_TEST_SUITE_P(Models, GoldenGradients, testing::ValuesIn(cases(Cases::with_gradients)),
                         [](const auto& test) { return test.param; });

// --- finite differences ---

ModelConfig small(KeyRope key_rope, int k_heads, int v_heads) {
  ModelConfig c;
  c.dim = 14;
  c.layers = 2;
  c.ffn_dim = 22;
  c.vocab = 31;
  c.max_tokens = 512;
  c.attn = {.q_heads = 6,
            .k_heads = k_heads,
            .v_heads = v_heads,
            .q_dim = 8,
            .k_dim = 8,
            .v_dim = 5,
            .aug_dim = 0,
            .key_rope = key_rope};
  if (key_rope != KeyRope::full) c.attn.k_dim = 4;
  return c;
}

// Along random directions of every tensor (one number can hide a fault, a direction hardly), with masked documents and
// targets, z-loss and several tiles of queries.
void check_differences(const ModelConfig& config, int64_t rows, int64_t context) {
  config.validate("test");
  Trial t(config, Precision::f64(), random_reader(config, 5), rows, context);
  Rng rng(17);
  for (const Parameters::Tensor& tensor : t.parameters.tensors())  // no zero biases, no norms of one
    for (int64_t i = 0; i < tensor.spec.elements(); ++i) tensor.weight.row<double>(0)[i] += 0.2 * rng.normal();
  t.random_tokens(3, true);
  const LossOptions options{.scale = 1.0, .z_weight = 0.03};
  t.train(options);
  const auto loss = [&] {  // the z-loss is part of what train() returns, not of evaluate()
    Parameters& p = t.parameters;
    std::vector<double> keep(p.flat_gradients().row<double>(0), p.flat_gradients().row<double>(0) + p.elements());
    const double sum = t.network.train(p, t.batch(), options);
    std::copy(keep.begin(), keep.end(), p.flat_gradients().row<double>(0));
    return sum;
  };
  for (const Parameters::Tensor& tensor : t.parameters.tensors()) {
    const auto size = static_cast<size_t>(tensor.spec.elements());
    std::vector<double> direction(size), before(tensor.weight.row<double>(0), tensor.weight.row<double>(0) + size);
    double expected = 0;
    for (size_t i = 0; i < size; ++i) {
      direction[i] = rng.normal();
      expected += direction[i] * tensor.gradient.row<double>(0)[i];
    }
    constexpr double kStep = 1e-5;
    double sides[2];
    for (const int side : {0, 1}) {
      for (size_t i = 0; i < size; ++i)
        tensor.weight.row<double>(0)[i] = before[i] + (side == 0 ? -kStep : kStep) * direction[i];
      sides[side] = loss();
    }
    std::copy(before.begin(), before.end(), tensor.weight.row<double>(0));
    const double measured = (sides[1] - sides[0]) / (2 * kStep);
    EXPECT_NEAR(measured, expected, 1e-6 * std::abs(expected) + 1e-5) << tensor.spec.name;
    EXPECT_NE(expected, 0.0) << tensor.spec.name;
  }
}

TEST(FiniteDifferences, FewerKeysThanValues) { check_differences(small(KeyRope::full, 2, 3), 2, 9); }
TEST(FiniteDifferences, MoreKeysThanValues) { check_differences(small(KeyRope::full, 3, 2), 2, 9); }
TEST(FiniteDifferences, KeysExpandedBeforeTheirRotation) {
  check_differences(small(KeyRope::after_expansion, 2, 6), 2, 9);
}
TEST(FiniteDifferences, QueriesNarrowedToTheKeys) { check_differences(small(KeyRope::key_dim, 6, 1), 2, 9); }
TEST(FiniteDifferences, EverythingTogether) {
  for (const KeyRope key_rope : {KeyRope::after_expansion, KeyRope::key_dim}) {
    ModelConfig c = small(key_rope, 2, 3);
    c.attn.aug_dim = 11;
    c.attention_bias = AttentionBias::qkvo;
    c.qk_norm = true;
    c.tied = true;
    check_differences(c, 3, 7);
  }
}
TEST(FiniteDifferences, SeveralTiles) {
  ModelConfig c = small(KeyRope::full, 1, 2);
  c.layers = 1;
  check_differences(c, 1, 301);
}

// --- the CPU kernels against the reference in f64 ---

double norm_of_difference(const Parameters& a, const Parameters& b) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double x = value(a.flat_gradients(), i), y = value(b.flat_gradients(), i);
    difference += (x - y) * (x - y);
    size += y * y;
  }
  return std::sqrt(difference / size);
}

TEST(Precisions, AgreeWithF64) {
  ModelConfig c = small(KeyRope::after_expansion, 2, 3);
  c.dim = 64;
  c.ffn_dim = 96;
  c.attn = {.q_heads = 6,
            .k_heads = 2,
            .v_heads = 3,
            .q_dim = 32,
            .k_dim = 16,
            .v_dim = 48,
            .aug_dim = 80,
            .key_rope = KeyRope::after_expansion};
  const WeightReader reader = random_reader(c, 7);
  const auto trial = [&](Precision p) {
    auto t = std::make_unique<Trial>(c, p, reader, 2, 150);
    t->random_tokens(9, true);
    return t;
  };
  const auto exact = trial(Precision::f64());
  const double loss = exact->train({.scale = 0.01});
  const auto single = trial(Precision::f32());
  EXPECT_NEAR(single->train({.scale = 0.01}), loss, 1e-5 * loss);
  EXPECT_LT(norm_of_difference(single->parameters, exact->parameters), 1e-5);
  EXPECT_NEAR(single->network.evaluate(single->parameters, single->batch()), loss, 1e-5 * loss);
  if (!gemm_has_bf16()) GTEST_SKIP() << "no bf16 on this machine";
  const auto half = trial(Precision::bf16());
  EXPECT_NEAR(half->train({.scale = 0.01}), loss, 2e-3 * loss);
  EXPECT_LT(norm_of_difference(half->parameters, exact->parameters), 2e-2);
}

TEST(Precisions, AnyNumberOfThreadsGivesTheSameBits) {
  ModelConfig c = small(KeyRope::full, 2, 3);
  c.attn.aug_dim = 40;
  const WeightReader reader = random_reader(c, 7);
  for (const Precision p : {Precision::f32(), Precision::bf16()}) {
    if (p.mixed() && !gemm_has_bf16()) continue;
    std::vector<std::unique_ptr<Trial>> trials;
    for (const int count : {1, 2, 3}) {
      trials.push_back(std::make_unique<Trial>(c, p, reader, 3, 140, Network::Keep::everything, count));
      trials.back()->random_tokens(9, true);
      trials.back()->train({.scale = 0.01});
      const TensorView a = trials.front()->parameters.flat_gradients(), b = trials.back()->parameters.flat_gradients();
      EXPECT_EQ(std::memcmp(a.data, b.data, static_cast<size_t>(a.row_bytes)), 0) << count << " threads";
    }
  }
}

TEST(Operations, AreCountedByHand) {
  ModelConfig c = small(KeyRope::full, 2, 3);
  const double layer = 14 * (48 + 16 + 15) + 30 * 14 + 3 * 14 * 22;
  const double attention = 5.0 * 6 * (8 + 5);  // 9 tokens see 5 positions on average
  EXPECT_DOUBLE_EQ(train_operations_per_token(c, 9), 6 * (2 * layer + 31 * 14) + 6 * 2 * attention);
}

}  // namespace
}  // namespace sigma
