#include "model/cost.h"

#include <gtest/gtest.h>

#include "model/checkpoint.h"

namespace sigma {
namespace {

ModelConfig published(const char* name) {
  const std::string path = std::string(SIGMA_SOURCE_DIR) + "/configs/" + name + ".json";
  return config_from_hf(read_json(path), path);
}

const ModelConfig kSigma = published("sigma-1.5b"), kStd = published("std-1.5b");

double cache_gain(const CostCase& ours, const CostCase& theirs) {
  return gain_over(step_cost(kSigma, {}, ours).cache_bytes_read(), step_cost(kStd, {}, theirs).cache_bytes_read());
}

// Every size different, so that none can stand in for another.
ModelConfig odd_model(KeyRope rope) {
  ModelConfig c;
  c.dim = 52, c.layers = 3, c.ffn_dim = 76, c.vocab = 97, c.max_tokens = 128;
  c.attn = {.q_heads = 12, .k_heads = 2, .v_heads = 4, .q_dim = 20, .k_dim = 10, .v_dim = 28, .aug_dim = 44};
  c.attn.key_rope = rope;
  c.tied = true;
  return c;
}

TEST(Cost, SigmaReadsThreeEighthsLessThanItsStandardModel) {
  for (const int64_t context : {1, 1000, 65536}) {
    EXPECT_DOUBLE_EQ(cache_gain({.context = context}, {.context = context}), 0.375);
    EXPECT_DOUBLE_EQ(cache_gain({.context = context, .batch = 8}, {.context = context, .batch = 8}), 0.375);
  }
  const StepCost cost = step_cost(kSigma, {}, {.context = 2048});
  EXPECT_DOUBLE_EQ(cost.k.elements_read, 26.0 * 2048 * 4 * 64);
  EXPECT_DOUBLE_EQ(cost.v.elements_read, 26.0 * 2048 * 16 * 64);
  EXPECT_DOUBLE_EQ(cost.k.elements_stored + cost.v.elements_stored, 26.0 * 20 * 64);
  EXPECT_DOUBLE_EQ(cache_bytes_per_token(kSigma, Format::bf16, Format::bf16), 26 * 20 * 64 * 2.0);
}

TEST(Cost, SelectiveVReadsAsManyRowsAsQueryHeadsPick) {
  const StepCost cost = step_cost(kSigma, {}, {.context = 32768, .v_top = 100});
  EXPECT_DOUBLE_EQ(cost.v.elements_read, 26.0 * 32 * 100 * 64);
  EXPECT_NEAR(cache_gain({.context = 32768, .v_top = 100}, {.context = 32768}), 0.872, 0.001);
  EXPECT_NEAR(cache_gain({.context = 65536, .v_top = 100}, {.context = 65536}), 0.873, 0.002);
  // Never more than there is.
  EXPECT_DOUBLE_EQ(step_cost(kSigma, {}, {.context = 50, .v_top = 100}).v.elements_read, 26.0 * 16 * 50 * 64);
  EXPECT_DOUBLE_EQ(step_cost(kSigma, {}, {.context = 64, .v_top = 64}).flops.values, 26.0 * 2 * 32 * 64 * 64);
}

TEST(Cost, QuantisedRowsAreWholeBlocks) {
  const StepCost cost =
      step_cost(odd_model(KeyRope::key_dim), {}, {.context = 5, .k_format = Format::q8_0, .v_format = Format::f16});
  EXPECT_DOUBLE_EQ(cost.k.bytes_read, 3.0 * 5 * 2 * 34);  // 10 elements in a block of 32 and its scale
  EXPECT_DOUBLE_EQ(cost.v.bytes_read, 3.0 * 5 * 4 * 28 * 2);
}

TEST(Cost, FlopsByPart) {
  const CostCase c{.context = 7, .batch = 5};
  const StepFlops key = step_cost(odd_model(KeyRope::key_dim), {}, c).flops;
  EXPECT_DOUBLE_EQ(key.projections, 2.0 * 5 * 3 * (52 * (12 * 20 + 2 * 10 + 4 * 28) + 12 * 28 * 52));
  EXPECT_DOUBLE_EQ(key.augmented_q, 2.0 * 5 * 3 * 3 * 240 * 44);
  EXPECT_DOUBLE_EQ(key.ffn, 2.0 * 5 * 3 * 3 * 52 * 76);
  EXPECT_DOUBLE_EQ(key.head, 2.0 * 5 * 52 * 97);
  EXPECT_DOUBLE_EQ(key.scores, 2.0 * 5 * 3 * 7 * 12 * 10);
  EXPECT_DOUBLE_EQ(key.values, 2.0 * 5 * 3 * 7 * 12 * 28);
  EXPECT_DOUBLE_EQ(key.expansion, 2.0 * 5 * 3 * 12 * 20 * 10);  // of each query head, once
  const StepFlops after = step_cost(odd_model(KeyRope::after_expansion), {}, c).flops;
  EXPECT_DOUBLE_EQ(after.scores, 2.0 * 5 * 3 * 7 * 12 * 20);
  EXPECT_DOUBLE_EQ(after.expansion, 2.0 * 5 * 3 * 7 * 2 * 20 * 10);  // of each cached key
}

TEST(Cost, WeightsByPart) {
  const ParameterCount n = count_parameters(kSigma);
  const WeightBytes bytes = weight_bytes(kSigma, Format::bf16);
  EXPECT_DOUBLE_EQ(bytes.augmented_q, 2.0 * static_cast<double>(n.augmented_q));
  EXPECT_DOUBLE_EQ(bytes.ffn, 2.0 * static_cast<double>(n.ffn));
  EXPECT_DOUBLE_EQ(bytes.projections, 2.0 * static_cast<double>(n.attention));
  EXPECT_DOUBLE_EQ(bytes.head, 2.0 * static_cast<double>(n.embedding));  // tied
  EXPECT_DOUBLE_EQ(bytes.norms, 4.0 * static_cast<double>(n.norms));
  EXPECT_DOUBLE_EQ(weight_bytes(kSigma, Format::q8_0).ffn, 34.0 / 32 * static_cast<double>(n.ffn));
  ModelConfig untied = kSigma;
  untied.tied = false;
  EXPECT_DOUBLE_EQ(weight_bytes(untied, Format::bf16).total(), bytes.total());
}

TEST(Cost, WeightsOfACheckpointAreThoseOfItsFiles) {
  for (const char* name : {"aug", "half_dim_after", "sigma_k4_v6"}) {
    const Checkpoint checkpoint = Checkpoint::open(std::string(SIGMA_TEST_DATA) + "/golden/" + name);
    const WeightBytes read = weight_bytes(checkpoint), computed = weight_bytes(checkpoint.config(), Format::f32);
    EXPECT_DOUBLE_EQ(read.projections, computed.projections) << name;
    EXPECT_DOUBLE_EQ(read.augmented_q, computed.augmented_q) << name;
    EXPECT_DOUBLE_EQ(read.total(), computed.total()) << name;
  }
  const Checkpoint untied = Checkpoint::open(std::string(SIGMA_TEST_DATA) + "/golden/all_together_untied");
  EXPECT_EQ(weight_bytes(untied).head, static_cast<double>(untied.tensors().at("lm_head.weight").bytes.size()));
}

// What the augmented query adds in weights is what the K cache saves at some context.
TEST(Cost, BreakEvenByWeightsAndBatch) {
  const auto found = [](Format format, int64_t batch, int64_t v_top = 0) {
    const CostCase c{.batch = batch, .v_top = v_top};
    return break_even_context({&kSigma, weight_bytes(kSigma, format), c},
                              {&kStd, weight_bytes(kStd, format), {.batch = batch}});
  };
  const double saved = 26.0 * 12 * 64 * 2;  // bytes of K a token
  const double added = weight_bytes(kSigma, Format::bf16).total() - weight_bytes(kStd, Format::bf16).total() - saved;
  EXPECT_NEAR(static_cast<double>(*found(Format::bf16, 1)), added / saved, 2);
  EXPECT_NEAR(static_cast<double>(*found(Format::q4_0, 1)), 6000, 500);
  EXPECT_NEAR(static_cast<double>(*found(Format::q8_0, 1)), 12000, 500);
  EXPECT_NEAR(static_cast<double>(*found(Format::bf16, 1)), 22500, 500);
  EXPECT_NEAR(static_cast<double>(*found(Format::q8_0, 8)), static_cast<double>(*found(Format::q8_0, 1)) / 8, 2);
  EXPECT_LT(*found(Format::q8_0, 1, 100), *found(Format::q8_0, 1));
  // A model with more of everything never breaks even; with less, at once.
  const WeightBytes none;
  EXPECT_FALSE(break_even_context({&kStd, none, {}}, {&kSigma, none, {}}));
  EXPECT_EQ(break_even_context({&kSigma, none, {}}, {&kStd, none, {}}), 1);
}

TEST(Cost, LargestBatchInAMemory) {
  const WeightBytes weights = weight_bytes(kStd, Format::q8_0);
  const double sequence = 26 * 32 * 64 * 2.0 * 1024;
  EXPECT_EQ(largest_batch(kStd, weights, {.context = 1000}, 256, weights.total() + 3.5 * sequence), 3);
  EXPECT_EQ(largest_batch(kStd, weights, {.context = 1000}, 256, 1e6), 0);
}

TEST(Cost, PredictionIsTheSlowerOfReadingAndComputing) {
  const WeightBytes weights = weight_bytes(kSigma, Format::q8_0);
  const CostCase c{.context = 4096};
  const StepCost cost = step_cost(kSigma, weights, c);
  MachineLimits limits{.read = 1e9};
  EXPECT_DOUBLE_EQ(predict_step(cost, c, Format::q8_0, limits).total(), cost.bytes() / 1e9);
  limits.operations[static_cast<int>(Arithmetic::bf16)] = 1e6;  // attention over a bf16 cache
  const StepTime slow = predict_step(cost, c, Format::q8_0, limits);
  EXPECT_DOUBLE_EQ(slow.attention, cost.flops.attention() / 1e6);
  EXPECT_DOUBLE_EQ(slow.augmented_q, weights.augmented_q / 1e9);
}

TEST(Cost, WorkByTurnsWithReading) {
  MachineLimits limits{.read = 60, .read_alone = 30, .threads = 2};
  EXPECT_NEAR(time_by_turns(120, 1.5, limits), 2 + 1.5, 1e-12);  // a path each: nothing is hidden
  limits.read = 30;
  // One path for two: each reads for 2 s if alone, works for 1.5 s, and finds the other reading 2 / 3.5 of the time.
  EXPECT_NEAR(time_by_turns(120, 1.5, limits), 2 * (1 + 2 / 3.5) + 1.5, 1e-12);
  EXPECT_NEAR(time_by_turns(120, 1e-9, limits), 4, 1e-6);
  EXPECT_DOUBLE_EQ(time_by_turns(120, 0, limits), 4);
  EXPECT_DOUBLE_EQ(time_by_turns(0, 1.5, limits), 1.5);
  limits.read_alone = 0;  // not measured: an equal share
  EXPECT_NEAR(time_by_turns(120, 1.5, limits), 5.5, 1e-12);
  // More threads never take longer than one after the other, nor less than reading or work alone.
  limits = {.read = 100, .read_alone = 30, .threads = 16};
  for (const double work : {0.1, 1.0, 10.0}) {
    const double seconds = time_by_turns(120, work, limits);
    EXPECT_GT(seconds, std::max(1.2, work));
    EXPECT_LT(seconds, 1.2 + work + 120 / 30.0 / 16);
  }
  const CostCase c{.context = 4096, .batch = 3};
  const StepCost cost = step_cost(kSigma, {}, c);
  limits.work = {.fixed = 1e-3, .per_position = 1e-6};
  const double half = 3 * (1e-3 + 4096e-6) / 2;  // keys and values have as many multiply-adds
  for (const double read : {1e6, 1e12}) {        // keys: reading decides, then work does
    limits.read = read;
    EXPECT_DOUBLE_EQ(predict_step(cost, c, Format::bf16, limits).attention,
                     std::max(cost.k.bytes_read / read, half) + time_by_turns(cost.v.bytes_read, half, limits));
  }
}

}  // namespace
}  // namespace sigma
