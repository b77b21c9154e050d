#include "train/gemm.h"

#include <dlfcn.h>

#include <array>
#include <chrono>
#include <cstring>
#include <dnnl.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/fmt.h"

namespace sigma {

namespace {

struct Shape {
  int64_t m, n, k;
};

Shape shape_of(const Gemm& g) {
  const bool at = g.a_op == Op::transposed, bt = g.b_op == Op::transposed;
  const Shape s{g.out.rows, g.out.cols, at ? g.a.rows : g.a.cols};
  SIGMA_CHECK_EQ(at ? g.a.cols : g.a.rows, s.m);
  SIGMA_CHECK_EQ(bt ? g.b.rows : g.b.cols, s.n);
  SIGMA_CHECK_EQ(bt ? g.b.cols : g.b.rows, s.k);
  SIGMA_CHECK(g.a.dtype == g.b.dtype);
  return s;
}

void gemm_f64(const Gemm& g, const Shape& s) {
  for (int64_t i = 0; i < s.m; ++i) {
    auto* out = g.out.row<double>(i);
    if (g.store == Store::overwrite) std::fill_n(out, s.n, 0.0);
    for (int64_t k = 0; k < s.k; ++k) {
      const double a = g.a_op == Op::plain ? g.a.row<double>(i)[k] : g.a.row<double>(k)[i];
      if (g.b_op == Op::plain) {
        const auto* b = g.b.row<double>(k);
        for (int64_t j = 0; j < s.n; ++j) out[j] += a * b[j];
      } else {
        for (int64_t j = 0; j < s.n; ++j) out[j] += a * g.b.row<double>(j)[k];
      }
    }
  }
}

// Everything a primitive is made for: sizes, row strides in elements, types, transposes, store.
using Key = std::array<int64_t, 8>;
struct KeyHash {
  size_t operator()(const Key& key) const {
    uint64_t h = 0;
    for (const int64_t x : key) h = (h ^ static_cast<uint64_t>(x)) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
    return h;
  }
};

struct Product {
  dnnl::matmul primitive;
  dnnl::memory a, b, out, scratch;
  std::unordered_map<int, dnnl::memory> arguments;
};

dnnl::memory::data_type type_of(DType type) {
  SIGMA_CHECK(type == DType::f32 || type == DType::bf16);
  return type == DType::f32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

int64_t stride_of(ConstTensorView v) { return v.row_bytes / dtype_bytes(v.dtype); }

// One thread's primitives. oneDNN runs each on the thread that calls it: the threads are ours.
class Library {
 public:
  Library() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using SetThreads = void (*)(int);
    const auto set_threads = reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
    if (set_threads != nullptr) set_threads(1);  // of this thread only
  }

  void run(const Gemm& g, const Shape& s) {
    const int64_t flags = (g.a_op == Op::transposed ? 1 : 0) | (g.b_op == Op::transposed ? 2 : 0) |
                          (g.store == Store::add ? 4 : 0) | (g.a.dtype == DType::bf16 ? 8 : 0) |
                          (g.out.dtype == DType::bf16 ? 16 : 0);
    const Key key{s.m, s.n, s.k, stride_of(g.a), stride_of(g.b), stride_of(g.out), flags, 0};
    auto found = products_.find(key);
    if (found == products_.end()) found = products_.emplace(key, make(g, s)).first;
    Product& p = found->second;
    const size_t scratch_bytes = p.scratch.get_desc().get_size();
    if (scratch_.size() < scratch_bytes) scratch_ = Buffer(scratch_bytes);
    p.a.set_data_handle(const_cast<std::byte*>(g.a.data));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    p.b.set_data_handle(const_cast<std::byte*>(g.b.data));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    p.out.set_data_handle(g.out.data);
    p.scratch.set_data_handle(scratch_.data());
    p.primitive.execute(stream_, p.arguments);
  }

 private:
  Product make(const Gemm& g, const Shape& s) {
    using Desc = dnnl::memory::desc;
    using Dims = dnnl::memory::dims;
    const auto matrix = [](int64_t rows, int64_t cols, ConstTensorView v, Op op) {
      return Desc({rows, cols}, type_of(v.dtype), op == Op::plain ? Dims{stride_of(v), 1} : Dims{1, stride_of(v)});
    };
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (g.store == Store::add) {
      dnnl::post_ops add;
      add.append_sum();
      attributes.set_post_ops(add);
    }
    const dnnl::matmul::primitive_desc desc(
        {matrix(s.m, s.k, g.a, g.a_op), matrix(s.k, s.n, g.b, g.b_op), matrix(s.m, s.n, g.out, Op::plain)}, attributes,
        engine_);
    Product p{dnnl::matmul(desc),
              dnnl::memory(desc.src_desc(), engine_, nullptr),
              dnnl::memory(desc.weights_desc(), engine_, nullptr),
              dnnl::memory(desc.dst_desc(), engine_, nullptr),
              dnnl::memory(desc.scratchpad_desc(), engine_, nullptr),
              {}};
    p.arguments = {
        {DNNL_ARG_SRC, p.a}, {DNNL_ARG_WEIGHTS, p.b}, {DNNL_ARG_DST, p.out}, {DNNL_ARG_SCRATCHPAD, p.scratch}};
    return p;
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  std::unordered_map<Key, Product, KeyHash> products_;
  Buffer scratch_;
};

// Rows of the piece of out that one task computes, by shape alone. Pieces are whole rows, because oneDNN's faster
// products (brgemm) take b and out without gaps between rows only; and few, because each packs b anew: up to 64 rows
// are one piece, however wide.
int64_t piece_rows(int64_t m) {
  const int64_t most = std::max<int64_t>(64, std::min<int64_t>(512, m / (m < 1024 ? 2 : 4)));
  return round_up(ceil_div(m, ceil_div(m, most)), 16);
}

// Rows [first, first + count) of op(x).
ConstTensorView op_rows(ConstTensorView x, Op op, int64_t first, int64_t count) {
  if (op == Op::plain) return x.slice_rows(first, count);
  x.data += first * dtype_bytes(x.dtype);
  x.cols = count;
  return x;
}

}  // namespace

void gemm_tile(const Gemm& g) {
  const Shape s = shape_of(g);
  if (s.m == 0 || s.n == 0) return;
  if (g.a.dtype == DType::f64) return gemm_f64(g, s);
  thread_local Library library;
  library.run(g, s);
}

void gemm(ThreadPool& threads, const Gemm& g) {
  const Shape s = shape_of(g);
  if (s.m == 0 || s.n == 0) return;
  const int64_t most = piece_rows(s.m);
  threads.run(ceil_div(s.m, most), [&](int64_t task) {
    const int64_t first = task * most, rows = std::min(most, s.m - first);
    Gemm piece = g;
    piece.out = g.out.slice_rows(first, rows);
    piece.a = op_rows(g.a, g.a_op, first, rows);
    gemm_tile(piece);
  });
}

bool gemm_has_bf16() {
  return static_cast<int>(dnnl::get_effective_cpu_isa()) >= static_cast<int>(dnnl::cpu_isa::avx512_core);
}

double measure_gemm_rate(ThreadPool& threads, DType activations) {
  constexpr int64_t kRows = 512, kWidth = 2048;
  const auto square = [&](int64_t rows, Buffer& buffer, DType type) {
    buffer = Buffer(static_cast<size_t>(rows * kWidth * dtype_bytes(type)));
    return TensorView{buffer.data(), type, rows, kWidth, kWidth * dtype_bytes(type)};
  };
  Buffer x_bytes, w_bytes, y_bytes;
  const TensorView x = square(kRows, x_bytes, activations), w = square(kWidth, w_bytes, activations);
  const TensorView y = square(kRows, y_bytes, activations);
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const auto start = std::chrono::steady_clock::now();
    linear(threads, y, x, w);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, 2.0 * kRows * kWidth * kWidth / seconds);
  }
  return best;
}

std::string gemm_library() {
  const dnnl_version_t* v = dnnl::version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}

}  // namespace sigma
