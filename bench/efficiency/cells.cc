#include "bench/efficiency/cells.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include "base/error.h"

namespace sigma::bench {

namespace {

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
};

// W_down (silu(W_gate x) * (W_up x)), a layer's weights after another's.
class Bench::AugmentedQuery {
 public:
  AugmentedQuery(Bench& bench, Format format, int64_t layers)
      : bench_(bench),
        gate_(bench.context_.k, bench.threads_, format, a().aug_dim, a().q_width(), layers),
        up_(bench.context_.k, bench.threads_, format, a().aug_dim, a().q_width(), layers),
        down_(bench.context_.k, bench.threads_, format, a().q_width(), a().aug_dim, layers) {}
  static const AttentionShape& a() { return variant("sigma").config.attn; }
  static int64_t layer_bytes(Format format) {
    return 3 * int64_t{a().aug_dim} * format_row_bytes(format, a().q_width());
  }
  static int64_t layers(Format format, int64_t ring_bytes) {
    return std::max<int64_t>(1, ceil_div(ring_bytes, layer_bytes(format)));
  }

  // Seconds of one layer.
  double run(int64_t batch) {
    const Context& context = bench_.context_;
    const ConstTensorView x = bench_.input(batch, a().q_width());
    const PackedMatrix &gate = gate_.next(), &up = up_.next(), &down = down_.next();
    Arena::Scope scope(bench_.scratch_);
    const TensorView g = view_of(bench_.scratch_.take<float>(batch * a().aug_dim), batch, a().aug_dim);
    const TensorView u = view_of(bench_.scratch_.take<float>(batch * a().aug_dim), batch, a().aug_dim);
    const TensorView q = view_of(bench_.scratch_.take<float>(batch * a().q_width()), batch, a().q_width());
    return time_of([&] {
      const std::array<MatmulJob, 2> first = {{{&gate, g}, {&up, u}}};
      const std::array<MatmulJob, 1> last = {{{&down, q}}};
      context.k.matmul(context, x, first);
      context.k.swiglu(context, g, g, u);
      context.k.matmul(context, g, last);
    });
  }

 private:
  Bench& bench_;
  MatrixRing gate_, up_, down_;
};

Bench::Bench(const Kernels& kernels, ThreadPool& threads, const Grid& grid)
    : threads_(threads), grid_(grid), machine_(threads), context_{kernels, threads, scratch_} {
  Rng rng(5);
  const AttentionShape& a = variant("half_after").config.attn;
  for (int i = 0; i < a.q_dim * a.k_dim; ++i)
    expansion_.push_back(static_cast<float>(rng.normal() / std::sqrt(static_cast<double>(a.k_dim))));
}

ConstTensorView Bench::input(int64_t rows, int64_t cols) {
  input_.resize(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r) std::copy_n(noise_.draw(cols), cols, input_.begin() + r * cols);
  return view_of(std::as_const(input_).data(), rows, cols);
}

double Bench::product(std::initializer_list<const PackedMatrix*> w, int64_t batch) {
  const ConstTensorView x = input(batch, (*w.begin())->cols);
  Arena::Scope scope(scratch_);
  std::vector<MatmulJob> jobs;
  for (const PackedMatrix* matrix : w)
    jobs.push_back({matrix, view_of(scratch_.take<float>(batch * matrix->rows), batch, matrix->rows)});
  return time_of([&] { context_.k.matmul(context_, x, jobs); });
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

AttentionCell Bench::attention(int64_t prefix, int64_t batch, int rounds) {
  const int64_t tokens = round_up(prefix + kTokens, kPageTokens);
  const auto pages = sequence_pages(batch, tokens);
  angles_.extend(variant("half_after").config.rope.frequencies(variant("half_after").config.attn.q_dim), tokens);
  const auto make_ring = [&](CacheKind kind, const CacheShape& shape, int copies) {
    const int64_t row = shape.heads * format_row_bytes(shape.format, shape.dim);
    const int64_t slots = ring_slots(row * batch * tokens, row * batch * (prefix + 1), grid_.ring_bytes);
    return std::make_unique<CacheRing>(context_.k, threads_, kind, shape, batch, tokens, slots, copies);
  };
  const auto values = make_ring(CacheKind::v, value_shape(), 1);
  std::array<std::unique_ptr<CacheRing>, kKeysCount> keys;
  for (int i = 0; i < kKeysCount; ++i) {
    const auto kind = static_cast<Keys>(i);
    keys[static_cast<size_t>(i)] = make_ring(CacheKind::k, key_shape(kind), kind == Keys::repeated ? 4 : 1);
  }
  std::vector<std::unique_ptr<AugmentedQuery>> augmented;
  for (const Format format : grid_.weights)
    augmented.push_back(
        std::make_unique<AugmentedQuery>(*this, format, AugmentedQuery::layers(format, grid_.ring_bytes)));

  AttentionCell cell{.prefix = prefix, .batch = batch};
  const size_t sides = variants().size(), turns = sides + augmented.size();
  const int layers = variants()[0].config.layers;
  for (int round = -1; round < rounds; ++round) {  // the first warms up
    const double read = machine_.read_once();
    std::vector<LayerTimes> times(sides);
    std::vector<double> augmented_times(augmented.size());
    const Sequences sequences{batch, prefix + std::max(round, 0) % kTokens, pages};
    for (int layer_index = 0; layer_index < layers; ++layer_index)
      for (size_t turn = 0; turn < turns; ++turn) {
        // Another order every time, so that nobody always follows the same neighbour.
        const size_t i = (turn * (layer_index % 2 == 0 ? 1 : turns - 1) + static_cast<size_t>(layer_index)) % turns;
        if (i >= sides) {
          augmented_times[i - sides] += augmented[i - sides]->run(batch);
          continue;
        }
        const Variant& v = variants()[i];
        const LayerTimes t = layer(v, keys[static_cast<size_t>(v.keys)]->next(), values->next(), sequences);
        times[i].store += t.store;
        times[i].attention += t.attention;
        times[i].split += t.split;
        times[i].combine += t.combine;
      }
    if (round < 0) continue;
    cell.read.push_back(read);
    for (size_t i = 0; i < sides; ++i) {
      StepRounds& step = cell.steps[variants()[i].name];
      step.store.push_back(times[i].store);
      step.attention.push_back(times[i].attention);
      step.split.push_back(times[i].split);
      step.combine.push_back(times[i].combine);
    }
    for (size_t i = 0; i < augmented.size(); ++i)
      cell.augmented_q[std::string(format_info(grid_.weights[i]).name)].push_back(augmented_times[i]);
  }
  return cell;
}

WeightsCell Bench::weights(Format format, int64_t batch, int rounds) {
  const ModelConfig& c = variants()[0].config;
  const AttentionShape& a = c.attn;
  const int64_t body = (2 * int64_t{a.q_width()} + a.v_width()) * format_row_bytes(format, c.dim) +
                       3 * int64_t{c.ffn_dim} * format_row_bytes(format, c.dim);
  const int64_t layers = std::max<int64_t>(1, ceil_div(grid_.ring_bytes, body));
  const auto ring = [&](Format f, int64_t rows, int64_t cols, int64_t count) {
    return std::make_unique<MatrixRing>(context_.k, threads_, f, rows, cols, count);
  };
  const auto o = ring(format, c.dim, a.out_width(), layers), gate = ring(format, c.ffn_dim, c.dim, layers),
             up = ring(format, c.ffn_dim, c.dim, layers), down = ring(format, c.dim, c.ffn_dim, layers),
             head = ring(format, c.vocab, c.dim, 1);
  // Distinct shapes of keys: a q, k and v of its own for each, since they are read together.
  struct Projections {
    const Variant* v;
    std::unique_ptr<MatrixRing> q, k, values, expand;
  };
  std::vector<Projections> sides;
  const int64_t qkv = (a.q_width() + 2 * a.v_width()) * format_row_bytes(format, c.dim);
  const int64_t count = std::max<int64_t>(1, ceil_div(grid_.ring_bytes, qkv));
  for (const char* name : {"std", "sigma", "half_after", "half_key"}) {
    const Variant& v = variant(name);
    const AttentionShape& shape = v.config.attn;
    sides.push_back({&v, ring(format, shape.q_width(), c.dim, count), ring(format, shape.k_width(), c.dim, count),
                     ring(format, shape.v_width(), c.dim, count), nullptr});
    if (shape.key_rope == KeyRope::key_dim) sides.back().expand = ring(Format::f32, shape.k_dim, shape.q_dim, 1);
  }
  AugmentedQuery augmented(*this, format, AugmentedQuery::layers(format, grid_.ring_bytes));
  angles_.extend(c.rope.frequencies(a.q_dim), batch);
  std::vector<float> norm(static_cast<size_t>(c.dim), 1.0f);

  // Everything but projections, FFN and attention: two norms and the rotation of q and k; the FFN's activation.
  const auto small = [&] {
    Arena::Scope scope(scratch_);
    const ConstTensorView x = input(batch, c.ffn_dim);
    const TensorView g = view_of(scratch_.take<float>(batch * c.ffn_dim), batch, c.ffn_dim);
    const TensorView h = view_of(scratch_.take<float>(batch * c.dim), batch, c.dim);
    const ConstTensorView row{x.data, x.dtype, batch, c.dim, x.row_bytes};
    return time_of([&] {
      for (int i = 0; i < 2; ++i) context_.k.rms_norm(context_, h, row, norm.data(), 1e-5f);
      for (int i = 0; i < 2; ++i)
        context_.k.rope(context_, h, a.q_dim, angles_.cos().slice_rows(0, batch), angles_.sin().slice_rows(0, batch));
      context_.k.swiglu(context_, g, x, x);
    });
  };

  WeightsCell cell{.format = format, .batch = batch};
  for (int round = -1; round < rounds; ++round) {
    const double read = machine_.read_once();
    double common = 0, augmented_q = 0;
    std::vector<double> qkv_times(sides.size());
    for (int layer_index = 0; layer_index < c.layers; ++layer_index) {
      for (size_t turn = 0; turn < sides.size(); ++turn) {
        const size_t i = (turn + static_cast<size_t>(layer_index)) % sides.size();
        Projections& side = sides[i];
        qkv_times[i] += product({&side.q->next(), &side.k->next(), &side.values->next()}, batch);
        if (side.expand) qkv_times[i] += product(side.expand->next(), batch * a.q_heads);
      }
      augmented_q += augmented.run(batch);
      common += product(o->next(), batch) + product({&gate->next(), &up->next()}, batch) +
                product(down->next(), batch) + small();
    }
    common += product(head->next(), batch);
    if (round < 0) continue;
    cell.read.push_back(read);
    cell.common.push_back(common);
    cell.augmented_q.push_back(augmented_q);
    for (size_t i = 0; i < sides.size(); ++i) cell.qkv[sides[i].v->name].push_back(qkv_times[i]);
  }
  return cell;
}

WholeCell Bench::whole(int64_t output, const std::function<void(int64_t)>& progress) {
  constexpr int kParts = 16;  // of the generation, samples between
  const char* const names[] = {"std", "sigma"};
  const int64_t tokens = round_up(output, kPageTokens);
  const auto pages = sequence_pages(1, tokens);
  AugmentedQuery augmented(*this, Format::q8_0, AugmentedQuery::layers(Format::q8_0, grid_.ring_bytes));
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
        if (v.augmented()) times[i] += augmented.run(1);
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
    for (int64_t position = begin; position < end; ++position) {
      const auto times = step(position);
      for (size_t i = 0; i < 2; ++i) cell.seconds[names[i]] += times[i];
      if (progress) progress(position + 1);
    }
    for (int repeat = 0; repeat < 2; ++repeat)
      for (size_t s = 0; s < cell.samples.size(); ++s) {
        const auto times = step(cell.samples[s]);
        for (size_t i = 0; i < 2; ++i) cell.sampled[names[i]][s].push_back(times[i]);
      }
  }
  return cell;
}

}  // namespace sigma::bench
