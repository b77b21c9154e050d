#include "bench/efficiency/cells.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include "base/error.h"

namespace sigma::bench {

namespace {

struct WeightTimes {
  double common = 0, augmented_q = 0;
  std::array<double, std::size(kKeyShapes)> keys{};

  void add_layer(LayerWeights& weights, int64_t batch) {
    common += weights.common(batch);
    augmented_q += weights.augmented_q(batch);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] += weights.keys(kKeyShapes[i], batch);
  }
  void append_to(WeightRounds& rounds) const {
    rounds.common.push_back(common);
    rounds.augmented_q.push_back(augmented_q);
    for (size_t i = 0; i < keys.size(); ++i) rounds.keys[kKeyShapes[i]].push_back(keys[i]);
  }
};

constexpr float kQueryScale = 2.0f;  // scores with a standard deviation of about 3

double attention_scale(const AttentionShape& a) { return 1.0 / std::sqrt(static_cast<double>(a.q_dim)); }

template <class F>
double time_of(const F& f) {
  const double begin = seconds();
  f();
  return seconds() - begin;
}

}  // namespace

struct Bench::Sequences {
  int64_t batch, position;  // of each one's new token
  const std::vector<std::vector<PageId>>& pages;
};

struct Bench::LayerTimes {
  double store = 0, attention = 0, split = 0, combine = 0;

  void add(const LayerTimes& other) {
    store += other.store;
    attention += other.attention;
    split += other.split;
    combine += other.combine;
  }
  void append_to(StepRounds& rounds) const {
    rounds.store.push_back(store);
    rounds.attention.push_back(attention);
    rounds.split.push_back(split);
    rounds.combine.push_back(combine);
  }
};

double sum_of_steps(const Rounds& steps, int64_t& interrupted) {
  constexpr size_t kAround = 64;
  double total = 0;
  for (size_t begin = 0; begin < steps.size(); begin += kAround) {
    const auto from = steps.begin() + static_cast<int64_t>(begin);
    Rounds around(from, from + static_cast<int64_t>(std::min(kAround, steps.size() - begin)));
    std::sort(around.begin(), around.end());
    const double median = around[around.size() / 2];
    for (const double seconds : around) {
      const bool held_up = seconds > 4 * median;
      interrupted += held_up ? 1 : 0;
      total += held_up ? median : seconds;
    }
  }
  return total;
}

Bench::Bench(const Kernels& kernels, ThreadPool& threads, const Grid& grid)
    : threads_(threads), grid_(grid), machine_(threads), context_{kernels, threads, scratch_} {
  Rng rng(5);
  const AttentionShape& a = variant("half_after").config.attn;
  for (int i = 0; i < a.q_dim * a.k_dim; ++i)
    expansion_.push_back(static_cast<float>(rng.normal() / std::sqrt(static_cast<double>(a.k_dim))));
}

LayerWeights& Bench::weights(Format format) {
  auto& found = weights_[format];
  if (!found) found = std::make_unique<LayerWeights>(context_, format, grid_.ring_bytes);
  return *found;
}

ConstTensorView Bench::input(int64_t rows, int64_t cols) {
  input_.resize(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r) std::copy_n(noise_.draw(cols), cols, input_.begin() + r * cols);
  return view_of(std::as_const(input_).data(), rows, cols);
}

Bench::LayerTimes Bench::layer(const Variant& v, const PagedView& keys, const PagedView& values,
                               const Sequences& sequences) {
  const AttentionShape& a = v.config.attn;
  const int64_t batch = sequences.batch;
  const int q_dim = a.key_rope == KeyRope::key_dim ? a.k_dim : a.q_dim;
  std::vector<SeqSlice> slices;
  for (int64_t s = 0; s < batch; ++s)
    slices.push_back({s, 1, sequences.position, sequences.pages[static_cast<size_t>(s)]});
  LayerTimes times;
  const std::pair<CacheKind, const PagedView*> caches[] = {{CacheKind::k, &keys}, {CacheKind::v, &values}};
  for (const auto& [kind, cache] : caches) {
    const ConstTensorView rows = input(batch, int64_t{cache->shape.heads} * cache->shape.dim);
    times.store +=
        time_of([&, kind = kind, cache = cache] { context_.k.kv_store(context_, kind, *cache, rows, slices); });
  }
  const ConstTensorView q = input(batch, int64_t{a.q_heads} * q_dim);
  for (float& x : input_) x *= kQueryScale;
  output_.resize(static_cast<size_t>(batch * a.out_width()));
  const KeyExpansion expansion{expansion_.data(), angles_.cos(), angles_.sin()};
  AttentionTimes parts;
  times.attention = time_of([&] {
    context_.k.attention(context_, {.out = view_of(output_.data(), batch, a.out_width()),
                                    .q = q,
                                    .q_heads = a.q_heads,
                                    .q_dim = q_dim,
                                    .k = keys,
                                    .v = values,
                                    .seqs = slices,
                                    .scale = static_cast<float>(attention_scale(a)),
                                    .expansion = a.key_rope == KeyRope::after_expansion ? &expansion : nullptr,
                                    .v_top = v.v_top,
                                    .times = &parts});
  });
  // Of one sequence the last thread merges alone, of several as many as there are; choosing rows is work for all.
  const int64_t together = v.v_top > 0 ? threads_.size() : std::min<int64_t>(batch, threads_.size());
  times.combine =
      std::min(times.attention, static_cast<double>(parts.combine_ns) * 1e-9 / static_cast<double>(together));
  times.split = times.attention - times.combine;
  return times;
}

StepCell Bench::step(int64_t prefix, int64_t batch, int rounds, Where where) {
  const int64_t tokens = round_up(prefix + kTokens, kPageTokens);
  const auto pages = sequence_pages(batch, tokens);
  angles_.extend(variant("half_after").config.rope.frequencies(variant("half_after").config.attn.q_dim), tokens);
  const auto make_ring = [&](CacheKind kind, const CacheShape& shape, int copies) {
    const int64_t row = shape.heads * format_row_bytes(shape.format, shape.dim);
    const int64_t slots =
        where == Where::caches ? 1 : ring_slots(row * batch * tokens, row * batch * (prefix + 1), grid_.ring_bytes);
    return std::make_unique<CacheRing>(context_.k, threads_, kind, shape, batch, tokens, slots, copies);
  };
  const auto values = make_ring(CacheKind::v, value_shape(), 1);
  std::array<std::unique_ptr<CacheRing>, kKeysCount> keys;
  for (int i = 0; i < kKeysCount; ++i) {
    const auto kind = static_cast<Keys>(i);
    keys[static_cast<size_t>(i)] = make_ring(CacheKind::k, key_shape(kind), kind == Keys::repeated ? 4 : 1);
  }
  const std::vector<Format> formats = where == Where::memory ? grid_.weights : std::vector<Format>();

  StepCell cell{.prefix = prefix, .batch = batch};
  const size_t sides = variants().size(), turns = sides + formats.size();
  const int layers = variants()[0].config.layers;
  for (int round = -1; round < rounds; ++round) {  // the first warms up
    const double read = machine_.read_once();
    if (round < 3)
      for (const Peak kind : {Peak::f32, Peak::bf16, Peak::int8}) {
        double& best = cell.operations[static_cast<size_t>(kind)];
        best = std::max(best, machine_.peak_once(kind));
      }
    std::vector<LayerTimes> times(sides);
    std::vector<WeightTimes> weight_times(formats.size());
    const Sequences sequences{batch, prefix + std::max(round, 0) % kTokens, pages};
    for (int layer_index = 0; layer_index < layers; ++layer_index)
      for (size_t turn = 0; turn < turns; ++turn) {
        // Another order every time, so that nobody always follows the same neighbour.
        const size_t i = (turn * (layer_index % 2 == 0 ? 1 : turns - 1) + static_cast<size_t>(layer_index)) % turns;
        if (i < sides) {
          const Variant& v = variants()[i];
          times[i].add(layer(v, keys[static_cast<size_t>(v.keys)]->next(), values->next(), sequences));
        } else {
          weight_times[i - sides].add_layer(weights(formats[i - sides]), batch);
        }
      }
    for (size_t i = 0; i < formats.size(); ++i) weight_times[i].common += weights(formats[i]).head(batch);
    if (round < 0) continue;
    cell.read.push_back(read);
    for (size_t i = 0; i < sides; ++i) times[i].append_to(cell.steps[variants()[i].name]);
    for (size_t i = 0; i < formats.size(); ++i)
      weight_times[i].append_to(cell.weights[std::string(format_info(formats[i]).name)]);
  }
  return cell;
}

WholeCell Bench::whole(int64_t output, const std::function<void(int64_t)>& progress) {
  constexpr int kParts = 16;  // of the generation, samples between
  const char* const names[] = {"std", "sigma"};
  const int64_t tokens = round_up(output, kPageTokens);
  const auto pages = sequence_pages(1, tokens);
  LayerWeights& augmented = weights(Format::q8_0);
  std::vector<std::unique_ptr<CacheRing>> keys, values;
  for (const char* name : names) {
    const int layers = variant(name).config.layers;
    keys.push_back(std::make_unique<CacheRing>(context_.k, threads_, CacheKind::k, key_shape(variant(name).keys), 1,
                                               tokens, layers));
    values.push_back(std::make_unique<CacheRing>(context_.k, threads_, CacheKind::v, value_shape(), 1, tokens, layers));
  }
  // One token of both, layer by layer.
  const auto step = [&](int64_t position) {
    std::array<double, 2> times{};
    for (int layer_index = 0; layer_index < variants()[0].config.layers; ++layer_index)
      for (size_t turn = 0; turn < 2; ++turn) {
        const size_t i = (turn + static_cast<size_t>(layer_index)) % 2;
        const Variant& v = variant(names[i]);
        if (v.augmented()) times[i] += augmented.augmented_q(1);
        const LayerTimes t = layer(v, keys[i]->next(), values[i]->next(), {1, position, pages});
        times[i] += t.store + t.attention;
      }
    return times;
  };
  WholeCell cell{.output = output};
  for (const int64_t sample : grid_.samples)
    if (sample <= output) cell.samples.push_back(std::min(sample, output - 1));
  for (const char* name : names) cell.sampled[name].resize(cell.samples.size());
  step(0);
  for (int part = 0; part < kParts; ++part) {
    const int64_t begin = output * part / kParts, end = output * (part + 1) / kParts;
    std::array<Rounds, 2> steps;
    for (int64_t position = begin; position < end; ++position) {
      const auto times = step(position);
      for (size_t i = 0; i < 2; ++i) steps[i].push_back(times[i]);
      if (progress) progress(position + 1);
    }
    for (size_t i = 0; i < 2; ++i) cell.seconds[names[i]] += sum_of_steps(steps[i], cell.interrupted);
    for (int repeat = 0; repeat < 2; ++repeat)
      for (size_t s = 0; s < cell.samples.size(); ++s) {
        const auto times = step(cell.samples[s]);
        for (size_t i = 0; i < 2; ++i) cell.sampled[names[i]][s].push_back(times[i]);
      }
  }
  return cell;
}

}  // namespace sigma::bench
