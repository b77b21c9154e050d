#include "bench/efficiency/cells.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <tuple>
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

double median_of(Rounds rounds) {
  std::sort(rounds.begin(), rounds.end());
  return rounds[rounds.size() / 2];
}

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

Bench::Bench(const Kernels& kernels, ThreadPool& threads, Grid grid)
    : threads_(threads), grid_(std::move(grid)), machine_(threads), context_{kernels, threads, scratch_} {}

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

void Bench::prepare_expansion(const Variant& v, int64_t tokens) {
  const AttentionShape& a = v.config.attn;
  if (a.key_rope != KeyRope::after_expansion) return;
  const float scale = 1 / std::sqrt(static_cast<float>(a.k_dim));
  expansion_.resize(static_cast<size_t>(a.q_dim * a.k_dim));
  for (float& x : expansion_) x = scale * *noise_.draw(1);
  angles_.extend(v.config.rope.frequencies(a.q_dim), tokens);
}

StepCell Bench::step(int64_t prefix, int64_t batch, int rounds) {
  const std::vector<Variant>& sides = variants();
  const int64_t tokens = round_up(prefix + kTokens, kPageTokens);
  const auto pages = sequence_pages(batch, tokens);
  const auto make_ring = [&](CacheKind kind, const CacheShape& shape, int copies) {
    const int64_t row = shape.heads * format_row_bytes(shape.format, shape.dim);
    const int64_t slots = ring_slots(row * batch * tokens, row * batch * (prefix + 1), grid_.ring_bytes);
    return std::make_unique<CacheRing>(context_.k, threads_, kind, shape, batch, tokens, slots, copies);
  };
  const auto values = make_ring(CacheKind::v, value_shape(sides[0]), 1);
  std::array<std::unique_ptr<CacheRing>, kKeysCount> keys;
  for (const Variant& v : sides) {
    prepare_expansion(v, tokens);
    if (auto& ring = keys[static_cast<size_t>(v.keys)]; !ring)
      ring = make_ring(CacheKind::k, key_shape(v), v.keys == Keys::repeated ? 4 : 1);
  }
  const std::vector<Format>& formats = grid_.weights;

  StepCell cell{.prefix = prefix, .batch = batch};
  const size_t turns = sides.size() + formats.size();
  const int layers = sides[0].config.layers;
  const int between = prefix < 16384 ? 13 : 4;     // layers between two readings of the limit
  for (int round = -1; round < rounds; ++round) {  // the first warms up
    double read_ns = 0, alone_ns = 0;              // of a byte, summed over the readings
    int readings = 0;
    if (round < 3)
      for (const Peak kind : {Peak::f32, Peak::bf16, Peak::int8}) {
        double& best = cell.operations[static_cast<size_t>(kind)];
        best = std::max(best, machine_.peak_once(kind));
      }
    std::vector<LayerTimes> times(sides.size());
    std::vector<WeightTimes> weight_times(formats.size());
    const Sequences sequences{batch, prefix + std::max(round, 0) % kTokens, pages};
    for (int layer_index = 0; layer_index < layers; ++layer_index) {
      if (layer_index % between == 0) {
        read_ns += 1e9 / machine_.read_once();
        alone_ns += 1e9 / machine_.read_alone_once();
        ++readings;
      }
      for (size_t turn = 0; turn < turns; ++turn) {
        // Another order every time, so that nobody always follows the same neighbour.
        const size_t i = (turn * (layer_index % 2 == 0 ? 1 : turns - 1) + static_cast<size_t>(layer_index)) % turns;
        if (i < sides.size()) {
          const Variant& v = sides[i];
          times[i].add(layer(v, keys[static_cast<size_t>(v.keys)]->next(), values->next(), sequences));
        } else {
          weight_times[i - sides.size()].add_layer(weights(formats[i - sides.size()]), batch);
        }
      }
    }
    for (size_t i = 0; i < formats.size(); ++i) weight_times[i].common += weights(formats[i]).head(batch);
    if (round < 0) continue;
    cell.read.push_back(readings * 1e9 / read_ns);
    cell.read_alone.push_back(readings * 1e9 / alone_ns);
    for (size_t i = 0; i < sides.size(); ++i) times[i].append_to(cell.steps[sides[i].name]);
    for (size_t i = 0; i < formats.size(); ++i)
      weight_times[i].append_to(cell.weights[std::string(format_info(formats[i]).name)]);
  }
  return cell;
}

// Tokens of which a variant reads no more than half of what the largest cache holds. Selective V at contexts of another
// order: what its lists cost a token falls as they grow.
static int64_t work_tokens(const Variant& v) {
  int64_t tokens = v.v_top > 0 ? 16384 : 4096;
  const auto bytes = [&] {
    return step_cost(v.config, {}, v.cost_case(tokens, 1)).cache_bytes_read() / v.config.layers;
  };
  while (tokens > 2 * kPageTokens && bytes() > 0.5 * static_cast<double>(last_level_cache_bytes())) tokens /= 2;
  return tokens;
}

WorkCell Bench::work(std::span<const Variant> sides, int rounds) {
  struct Side {
    const Variant& variant;
    int64_t tokens;
    CacheRing k, v;
    std::vector<std::vector<PageId>> pages;
  };
  std::vector<Side> all;
  for (const Variant& v : sides) {
    const int64_t tokens = work_tokens(v);
    prepare_expansion(v, tokens);
    all.push_back({v, tokens, CacheRing(context_.k, threads_, CacheKind::k, key_shape(v), 1, tokens, 1),
                   CacheRing(context_.k, threads_, CacheKind::v, value_shape(v), 1, tokens, 1),
                   sequence_pages(1, tokens)});
  }
  WorkCell cell;
  for (int round = -1; round < rounds; ++round)
    for (size_t at = 0; at < 2; ++at)
      for (Side& side : all) {
        VariantWork& work = cell[side.variant.name];
        work.prefix[at] = (at == 0 ? side.tokens / 2 : side.tokens) - kTokens;
        LayerTimes times;
        const Sequences sequences{1, work.prefix[at] + std::max(round, 0) % kTokens, side.pages};
        layer(side.variant, side.k.next(), side.v.next(), sequences);  // into the caches
        for (int l = 0; l < side.variant.config.layers; ++l)
          times.add(layer(side.variant, side.k.next(), side.v.next(), sequences));
        if (round >= 0) work.seconds[at].push_back(times.attention);
      }
  return cell;
}

void Bench::whole(int64_t output, int first, const std::function<bool(const WholePart&)>& done) {
  constexpr int64_t kStretch = 64, kBetween = 8;  // steps: of a stretch, between two measurements of a sample
  const char* const names[] = {"std", "sigma"};
  const int64_t tokens = round_up(output, kPageTokens);
  const auto pages = sequence_pages(1, tokens);
  LayerWeights& augmented = weights(Format::q8_0);
  std::vector<std::unique_ptr<CacheRing>> keys, values;
  for (const char* name : names) {
    const Variant& v = variant(name);
    for (const auto& [kind, shape, rings] :
         {std::tuple(CacheKind::k, key_shape(v), &keys), std::tuple(CacheKind::v, value_shape(v), &values)})
      rings->push_back(std::make_unique<CacheRing>(context_.k, threads_, kind, shape, 1, tokens, v.config.layers));
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
  std::vector<double> contexts;
  for (const int64_t sample : grid_.samples)
    if (sample <= output) contexts.push_back(static_cast<double>(std::min(sample + 1, output)));
  step(0);
  for (int part = first; part < kWholeParts; ++part) {
    WholePart cell{.part = part};
    const int64_t end = output * (part + 1) / kWholeParts;
    for (int64_t begin = output * part / kWholeParts; begin < end; begin += kStretch) {
      const int64_t steps = std::min(kStretch, end - begin);
      const std::vector<double> parts = generation_weights(contexts, begin, steps);
      std::array<Rounds, 2> times;
      std::vector<std::array<Rounds, 2>> samples(contexts.size());
      const auto run = [&](int64_t position, std::array<Rounds, 2>& list) {
        const auto both = step(position);
        for (size_t side = 0; side < 2; ++side) list[side].push_back(both[side]);
      };
      for (int64_t i = 0; i < steps; ++i) {
        run(begin + i, times);
        if (i % kBetween != 0) continue;
        for (size_t s = 0; s < contexts.size(); ++s)
          if (parts[s] != 0) run(static_cast<int64_t>(contexts[s]) - 1, samples[s]);
      }
      cell.read.push_back(machine_.read_once());
      for (size_t side = 0; side < 2; ++side) {
        cell.seconds[names[side]] += std::accumulate(times[side].begin(), times[side].end(), 0.0);
        cell.typical[names[side]] += median_of(times[side]) * static_cast<double>(steps);
        for (size_t s = 0; s < contexts.size(); ++s)
          if (parts[s] != 0) cell.integrated[names[side]] += parts[s] * median_of(samples[s][side]);
      }
    }
    if (!done(cell)) return;
  }
}

}  // namespace sigma::bench
