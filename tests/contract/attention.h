// The harness of the attention contract tests: sequences played through kv_store and attention by a plan of calls.
#pragma once

#include "contract/pool.h"

namespace sigma::test {

struct Attention {
  int q_heads = 1, k_heads = 1, v_heads = 1;
  int q_dim = 0, k_dim = 0, v_dim = 0;  // k_dim != q_dim: with key expansion
  Format k_format = Format::f32, v_format = Format::f32;
  int page_tokens = 5;
  PageOrder order = PageOrder::shuffled;
  int64_t v_top = 0;
  VWeights v_weights = VWeights::all;
  double scale = 0.0;  // 0: 1 / sqrt(q_dim)

  bool expands() const { return k_dim != q_dim; }
  float actual_scale() const { return static_cast<float>(scale != 0.0 ? scale : 1.0 / std::sqrt(q_dim)); }
  std::string describe() const {
    return fmt::format("heads {}/{}/{}, dims {}/{}/{}, caches {}/{}, pages of {}, v_top {}", q_heads, k_heads, v_heads,
                       q_dim, k_dim, v_dim, format_info(k_format).name, format_info(v_format).name, page_tokens, v_top);
  }
};

// What one sequence feeds in, all positions. Filled with normal values.
struct Sequence {
  Sequence(const Attention& a, int64_t count, Rng& rng)
      : tokens(count), q(count, a.q_heads * a.q_dim), k(count, a.k_heads * a.k_dim), v(count, a.v_heads * a.v_dim) {
    for (const GuardedMatrix* m : {&q, &k, &v}) m->fill([&](int64_t, int64_t) { return rng.normal(); });
  }
  int64_t tokens;
  GuardedMatrix q, k, v;
};
using Sequences = std::vector<Sequence>;

inline Sequences make_sequences(const Attention& a, std::span<const int64_t> lengths, Rng& rng) {
  Sequences all;
  for (const int64_t length : lengths) all.emplace_back(a, length, rng);
  return all;
}

// One attention call: the next `rows` rows of some sequences, in this order.
struct Step {
  size_t sequence;
  int64_t rows;
};
using Plan = std::vector<std::vector<Step>>;

// The expansion matrix and the angles of every position; the same for every run.
class Expansion {
 public:
  Expansion(const Attention& a, int64_t positions)
      : matrix(a.q_dim, a.k_dim), cos(positions, a.q_dim / 2), sin(positions, a.q_dim / 2) {
    Rng rng(67);
    matrix.fill([&](int64_t, int64_t) { return rng.normal() / std::sqrt(a.k_dim); });
    const auto angle = [&](int64_t p, int64_t i) {
      return static_cast<double>(p) * std::pow(1e4, -2.0 * static_cast<double>(i) / a.q_dim);
    };
    cos.fill([&](int64_t p, int64_t i) { return std::cos(angle(p, i)); });
    sin.fill([&](int64_t p, int64_t i) { return std::sin(angle(p, i)); });
  }
  KeyExpansion args() const { return {matrix.row(0), cos.view(), sin.view()}; }

  GuardedMatrix matrix, cos, sin;
};

// Caches for some sequences and the outputs gathered so far.
class Player {
 public:
  Player(World& world, const Attention& a, const Sequences& sequences)
      : world_(world),
        a_(a),
        sequences_(sequences),
        lengths_(lengths(sequences)),
        pages_(deal_pages(lengths_, a.page_tokens, a.order)),
        k_(world.kernels(), CacheKind::k, {a.k_heads, a.k_dim, a.k_format, a.page_tokens}, page_count(pages_)),
        v_(world.kernels(), CacheKind::v, {a.v_heads, a.v_dim, a.v_format, a.page_tokens}, page_count(pages_)),
        expansion_(a, *std::max_element(lengths_.begin(), lengths_.end())),
        position_(sequences.size()) {
    for (const Sequence& s : sequences) out_.emplace_back(s.tokens, a.q_heads * a.v_dim);
    k_.age(world);
    v_.age(world);
  }

  void play(const Plan& plan) {
    for (const auto& call : plan) {
      std::vector<SeqSlice> slices;
      int64_t rows = 1;  // row 0 belongs to nobody
      for (const Step& step : call) {
        slices.push_back(
            {.row = rows, .rows = step.rows, .position = position_[step.sequence], .pages = pages_[step.sequence]});
        rows += step.rows;
      }
      const GuardedMatrix k = gather(call, slices, rows, &Sequence::k), v = gather(call, slices, rows, &Sequence::v);
      k_.store(world_, k, slices);
      v_.store(world_, v, slices);
      attend(call, slices, gather(call, slices, rows, &Sequence::q));
      for (const Step& step : call) position_[step.sequence] += step.rows;
    }
  }
  // Stores every position without computing anything.
  void store_all() {
    for (size_t s = 0; s < sequences_.size(); ++s) {
      const SeqSlice slice{.row = 0, .rows = lengths_[s], .position = 0, .pages = pages_[s]};
      k_.store(world_, sequences_[s].k, {&slice, 1});
      v_.store(world_, sequences_[s].v, {&slice, 1});
    }
  }
  // Attention alone for rows [position, position + rows) of a sequence, later positions being stored already.
  void attend_at(size_t sequence, int64_t position, int64_t rows) {
    const std::vector<Step> call{{sequence, rows}};
    position_[sequence] = position;
    const std::vector<SeqSlice> slices{{.row = 1, .rows = rows, .position = position, .pages = pages_[sequence]}};
    attend(call, slices, gather(call, slices, rows + 1, &Sequence::q));
  }

  const GuardedMatrix& out(size_t sequence) const { return out_[sequence]; }
  const Attention& attention() const { return a_; }
  const Sequence& sequence(size_t s) const { return sequences_[s]; }
  const Expansion& expansion() const { return expansion_; }
  std::vector<float> keys(size_t s) const { return k_.load(world_.kernels(), pages_[s], lengths_[s]); }
  std::vector<float> values(size_t s) const { return v_.load(world_.kernels(), pages_[s], lengths_[s]); }

 private:
  static std::vector<int64_t> lengths(const Sequences& sequences) {
    std::vector<int64_t> all;
    for (const Sequence& s : sequences) all.push_back(s.tokens);
    return all;
  }
  GuardedMatrix gather(const std::vector<Step>& call, const std::vector<SeqSlice>& slices, int64_t rows,
                       GuardedMatrix Sequence::*part) const {
    GuardedMatrix batch(rows, (sequences_[0].*part).cols(), 3);
    for (size_t i = 0; i < call.size(); ++i) {
      const GuardedMatrix& from = sequences_[call[i].sequence].*part;
      for (int64_t r = 0; r < slices[i].rows; ++r)
        std::memcpy(batch.row(slices[i].row + r), from.row(slices[i].position + r),
                    static_cast<size_t>(batch.cols()) * sizeof(float));
    }
    return batch;
  }
  void attend(const std::vector<Step>& call, const std::vector<SeqSlice>& slices, const GuardedMatrix& q) {
    const GuardedMatrix out(q.rows(), a_.q_heads * a_.v_dim, 5);
    const KeyExpansion expansion = expansion_.args();
    const AttentionArgs args{.out = out.view(),
                             .q = q.view(),
                             .q_heads = a_.q_heads,
                             .q_dim = a_.q_dim,
                             .k = k_.view(),
                             .v = v_.view(),
                             .seqs = slices,
                             .scale = a_.actual_scale(),
                             .expansion = a_.expands() ? &expansion : nullptr,
                             .v_top = a_.v_top,
                             .v_weights = a_.v_weights};
    world_.call([&](const Context& c) { c.k.attention(c, args); });
    EXPECT_TRUE(out.intact() && q.intact() && k_.intact() && v_.intact());
    for (int64_t c = 0; c < out.cols(); ++c)
      EXPECT_EQ(std::bit_cast<uint32_t>(out.at(0, c)), 0xffffffffu) << "nobody's row";
    for (size_t i = 0; i < call.size(); ++i)
      for (int64_t r = 0; r < slices[i].rows; ++r)
        std::memcpy(out_[call[i].sequence].row(slices[i].position + r), out.row(slices[i].row + r),
                    static_cast<size_t>(out.cols()) * sizeof(float));
  }

  World& world_;
  Attention a_;
  const Sequences& sequences_;
  std::vector<int64_t> lengths_;
  std::vector<std::vector<PageId>> pages_;
  Pool k_, v_;
  Expansion expansion_;
  std::vector<int64_t> position_;
  std::vector<GuardedMatrix> out_;
};

}  // namespace sigma::test
