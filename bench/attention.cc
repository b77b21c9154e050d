#include "bench/attention.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/fmt.h"
#include "base/rng.h"

namespace sigma::bench {

namespace {

constexpr int64_t kContext = 32768;
constexpr int kPageTokens = 256;
constexpr int kDim = 64, kQueryHeads = 32;

enum class Keys : uint8_t { random, repeated };

struct Case {
  const char* name;
  int k_heads, v_heads;
  Format k_format = Format::bf16, v_format = Format::bf16;
  int64_t v_top = 0;
  Keys keys = Keys::random;  // repeated: every four heads hold the same rows, as k_proj rows repeated to 16 heads give
};

// The first is what the others are compared with.
constexpr Case kCases[] = {
    {"attention std 32/16/16", 16, 16},
    {"attention sigma 32/4/16", 4, 16},
    {"attention sigma, K repeated to 16 heads", 16, 16, Format::bf16, Format::bf16, 0, Keys::repeated},
    {"attention sigma, q8 K", 4, 16, Format::q8_0},
    {"attention sigma, q8 K, q8 V", 4, 16, Format::q8_0, Format::q8_0},
    {"attention sigma, v-top 100", 4, 16, Format::bf16, Format::bf16, 100},
    {"attention sigma, q8 K, v-top 100", 4, 16, Format::q8_0, Format::bf16, 100},
};

// What one pass reads, at least: some milliseconds of memory's time. Nothing of it is in a cache when its turn comes
// again, since the machine reads a block that no cache holds after each (Machine::read_once).
constexpr int64_t kPassBytes = int64_t{256} << 20;

// The layers of one case, each read once in a pass.
class Layers {
 public:
  Layers(const Kernels& kernels, ThreadPool& threads, const Case& c) : case_(c), context_{kernels, threads, scratch_} {
    const CacheShape k{c.k_heads, kDim, c.k_format, kPageTokens}, v{c.v_heads, kDim, c.v_format, kPageTokens};
    const int64_t pages = kContext / kPageTokens;
    const int64_t k_bytes = pages * kernels.page_bytes(CacheKind::k, k);
    const int64_t v_bytes = pages * kernels.page_bytes(CacheKind::v, v);
    const auto layers = std::max<int64_t>(4, 1 + kPassBytes / static_cast<int64_t>(bytes()));
    k_ = Buffer(static_cast<size_t>(layers * k_bytes));
    v_ = Buffer(static_cast<size_t>(layers * v_bytes));
    for (int64_t i = 0; i < pages; ++i) pages_.push_back(static_cast<PageId>(i));
    for (int64_t layer = 0; layer < layers; ++layer) {
      views_.push_back(
          {{k, k_.data() + layer * k_bytes, k_bytes / pages}, {v, v_.data() + layer * v_bytes, v_bytes / pages}});
      if (layer == 0) {
        fill(CacheKind::k, views_[0].k);
        fill(CacheKind::v, views_[0].v);
      } else {
        std::memcpy(views_.back().k.data, k_.data(), static_cast<size_t>(k_bytes));
        std::memcpy(views_.back().v.data, v_.data(), static_cast<size_t>(v_bytes));
      }
    }
    Rng rng(13);
    for (float& x : q_) x = static_cast<float>(rng.normal());
  }

  const Case& what() const { return case_; }

  // That one layer must read: all of K, and of V all or the rows that each query head picks.
  double bytes() const {
    const auto row_bytes = [](Format format) { return static_cast<double>(format_row_bytes(format, kDim)); };
    const int64_t v_rows =
        case_.v_top > 0 ? std::min(case_.v_top * kQueryHeads, kContext * case_.v_heads) : kContext * case_.v_heads;
    return static_cast<double>(kContext * case_.k_heads) * row_bytes(case_.k_format) +
           static_cast<double>(v_rows) * row_bytes(case_.v_format);
  }
  double operations() const {
    const int64_t v_rows = case_.v_top > 0 ? case_.v_top : kContext;
    return 2.0 * kQueryHeads * kDim * static_cast<double>(kContext + v_rows);
  }

  // Seconds of one layer, over a pass of all.
  double measure() {
    const SeqSlice slice{.row = 0, .rows = 1, .position = kContext - 1, .pages = pages_};
    const double begin = seconds();
    for (const auto& [k, v] : views_)
      context_.k.attention(context_, {.out = view_of(out_.data(), 1, kQueryHeads * kDim),
                                      .q = view_of(std::as_const(q_).data(), 1, kQueryHeads * kDim),
                                      .q_heads = kQueryHeads,
                                      .q_dim = kDim,
                                      .k = k,
                                      .v = v,
                                      .seqs = {&slice, 1},
                                      .scale = 0.125f,
                                      .v_top = case_.v_top});
    return (seconds() - begin) / static_cast<double>(views_.size());
  }

 private:
  struct Layer {
    PagedView k, v;
  };

  void fill(CacheKind kind, const PagedView& pool) {
    const int64_t heads = pool.shape.heads;
    std::vector<float> rows(static_cast<size_t>(kPageTokens * heads * kDim));
    Rng rng(kind == CacheKind::k ? 7 : 11);
    const int64_t copies = kind == CacheKind::k && case_.keys == Keys::repeated ? 4 : 1;
    for (int64_t t = 0; t < kContext; t += kPageTokens) {
      for (int64_t row = 0; row < kPageTokens * heads; ++row) {
        float* const x = rows.data() + row * kDim;
        if (row % copies > 0) {
          std::memcpy(x, x - kDim, kDim * sizeof(float));
        } else {
          for (int i = 0; i < kDim; ++i) x[i] = static_cast<float>(rng.normal());
        }
      }
      const SeqSlice slice{.row = 0, .rows = kPageTokens, .position = t, .pages = pages_};
      context_.k.kv_store(context_, kind, pool, view_of(std::as_const(rows).data(), kPageTokens, heads * kDim),
                          {&slice, 1});
    }
  }

  const Case& case_;
  Arena scratch_;
  Context context_;
  Buffer k_, v_;  // [layer][page]
  std::vector<PageId> pages_;
  std::vector<Layer> views_;
  std::vector<float> q_ = std::vector<float>(kQueryHeads * kDim), out_ = q_;
};

}  // namespace

void bench_attention(const Kernels& kernels, ThreadPool& threads, const KernelOptions& options,
                     const std::function<void(const Result&)>& report) {
  const auto wanted = [&](const Case& c) { return std::string(c.name).find(options.filter) != std::string::npos; };
  if (std::none_of(std::begin(kCases), std::end(kCases), wanted)) return;
  Machine machine(threads);
  std::vector<std::unique_ptr<Layers>> benches;
  for (const Case& c : kCases)
    if (&c == kCases || wanted(c)) benches.push_back(std::make_unique<Layers>(kernels, threads, c));
  for (const auto& bench : benches) bench->measure();
  struct Turns {
    std::vector<double> times, ratios, reads, shares;
  };
  std::vector<Turns> all(benches.size());
  double before = machine.read_once();
  const auto turn = [&](size_t i) {
    const double time = benches[i]->measure(), after = machine.read_once(), read = std::max(before, after);
    all[i].times.push_back(time);
    all[i].reads.push_back(read);
    all[i].shares.push_back(benches[i]->bytes() / read / time);
    before = after;
  };
  for (int round = 0; round < std::max(5, options.rounds); ++round) {
    if (benches.size() == 1) turn(0);
    for (size_t i = 1; i < benches.size(); ++i) {
      turn(0);
      turn(i);
      all[i].ratios.push_back(all[0].times.back() / all[i].times.back());
    }
  }
  for (size_t i = 0; i < benches.size(); ++i) {
    const Layers& b = *benches[i];
    Result result{.name = b.what().name,
                  .k_cache = std::string(format_info(b.what().k_format).name),
                  .v_cache = std::string(format_info(b.what().v_format).name),
                  .context = kContext,
                  .threads = threads.size(),
                  .ours = spread_of(all[i].times),
                  .bytes = b.bytes(),
                  .operations = b.operations(),
                  .limit = {"read", spread_of(all[i].reads).median},
                  .share = spread_of(all[i].shares).median};
    if (i > 0) {
      result.against = kCases[0].name;
      result.theirs = spread_of(all[0].times);
      result.ratio = spread_of(all[i].ratios).median;
    }
    if (wanted(b.what())) report(result);
  }
}

}  // namespace sigma::bench
