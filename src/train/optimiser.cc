#include "train/optimiser.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sigma {

namespace {

// Elements one task takes; also the blocks in which squares are added up. A multiple of a cache line.
constexpr int64_t kBlock = int64_t{1} << 16;

template <class View>
View elements(View flat, int64_t first, int64_t count) {
  flat.data += first * dtype_bytes(flat.dtype);
  flat.cols = count;
  return flat;
}

// Pieces of the tensors that lie in [begin, end), none longer than kBlock: f(tensor, first, count), first counted from
// the start of the tensor.
struct Piece {
  const Parameters::Tensor* tensor;
  int64_t first, count;
};
std::vector<Piece> pieces_of(const Parameters& parameters, int64_t begin, int64_t end) {
  std::vector<Piece> pieces;
  for (const Parameters::Tensor& t : parameters.tensors()) {
    const int64_t last = std::min(t.spec.elements(), end - t.offset);
    for (int64_t first = std::max<int64_t>(0, begin - t.offset); first < last; first += kBlock)
      pieces.push_back({&t, first, std::min(kBlock, last - first)});
  }
  return pieces;
}

TensorView flat(TensorView x) {
  x.cols = x.rows * x.cols;
  x.rows = 1;
  return x;
}

}  // namespace

Optimiser::Optimiser(const Parameters& parameters, const OptimiserOptions& options, int64_t begin, int64_t end)
    : options_(options),
      begin_(begin),
      end_(end),
      mean_(static_cast<size_t>(end - begin) * sizeof(float)),
      square_(static_cast<size_t>(end - begin) * sizeof(float)) {
  SIGMA_CHECK(parameters.precision().real == DType::f32);
  SIGMA_CHECK_LE(end, parameters.elements());
}

double Optimiser::gradient_squares(const Context& context, ConstTensorView gradients) const {
  SIGMA_CHECK_EQ(gradients.cols, end_ - begin_);
  const int64_t blocks = ceil_div(end_ - begin_, kBlock);
  std::vector<double> sums(static_cast<size_t>(blocks));
  context.threads.run(blocks, [&](int64_t block) {
    const int64_t first = block * kBlock;
    sums[static_cast<size_t>(block)] =
        context.k.gradients->sum_of_squares(elements(gradients, first, std::min(kBlock, gradients.cols - first)));
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

void Optimiser::step(const Context& context, Parameters& parameters, ConstTensorView gradients, double rate,
                     double gradient_norm) {
  SIGMA_CHECK_EQ(gradients.cols, end_ - begin_);
  ++updates_;
  const auto n = static_cast<double>(updates_);
  AdamW common{.rate = rate,
               .beta1 = options_.beta1,
               .beta2 = options_.beta2,
               .eps = options_.eps,
               .correction1 = 1.0 - std::pow(options_.beta1, n),
               .correction2 = 1.0 - std::pow(options_.beta2, n)};
  if (options_.clip > 0 && gradient_norm > options_.clip) common.gradient_scale = options_.clip / gradient_norm;
  const std::vector<Piece> pieces = pieces_of(parameters, begin_, end_);
  context.threads.run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    const Parameters::Tensor& t = *piece.tensor;
    const auto moments = [&](const Buffer& buffer) {
      return view_of(buffer.as<float>() + t.offset + piece.first - begin_, 1, piece.count);
    };
    AdamW own = common;
    own.decay = t.decays() ? options_.weight_decay : 0.0;
    const TensorView copy = t.copy.data == nullptr ? TensorView{} : elements(flat(t.copy), piece.first, piece.count);
    context.k.gradients->adamw(elements(flat(t.weight), piece.first, piece.count), moments(mean_), moments(square_),
                               elements(gradients, t.offset + piece.first - begin_, piece.count), copy, own);
  });
}

}  // namespace sigma
