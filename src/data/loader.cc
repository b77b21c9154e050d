#include "data/loader.h"

#include "base/error.h"
#include "base/rng.h"
#include "net/digest.h"

namespace sigma {
namespace {

// A seed of its own for every use.
uint64_t derive(uint64_t seed, uint64_t part, uint64_t epoch) {
  return Rng(Rng(Rng(seed).next() ^ part).next() ^ epoch).next();
}

std::vector<double> weights_of(const LoaderOptions& options) {
  std::vector<double> weights;
  for (const LoaderPart& part : options.parts) weights.push_back(part.weight);
  return weights;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void digest_tokens(Digest& digest, std::span<const std::byte> bytes) {
  constexpr size_t kPieces = 1024, kPieceBytes = size_t{16} << 10;
  if (bytes.size() <= kPieces * kPieceBytes) return digest.update(text_of(bytes));
  for (size_t i = 0; i < kPieces; ++i) {
    const size_t step = (bytes.size() - kPieceBytes) / (kPieces - 1);
    const size_t at = i + 1 == kPieces ? bytes.size() - kPieceBytes : i * step;
    digest.update(text_of(bytes.subspan(at, kPieceBytes)));
  }
}

}  // namespace

Loader::Loader(const LoaderOptions& options) : options_(options), mixture_(weights_of(options)) {
  if (options.context < 1 || options.context > (int64_t{1} << 30))
    throw Error("context", "1 to 2^30 tokens", fmt::format("{}", options.context));
  for (const LoaderPart& part : options.parts) {
    Part& made = parts_.emplace_back();
    if (part.weight == 0) continue;
    std::vector<Shard> shards;
    for (const std::string& prefix : shard_prefixes(part.path)) {
      require_vocabulary(prefix, options.tokenizer, options.vocab);
      shards.emplace_back(prefix);
    }
    made.stream = std::make_unique<TokenStream>(
        std::move(shards),
        StreamOptions{.split = options.split, .validation = options.validation, .vocab = options.vocab});
    const uint64_t tokens = made.stream->tokens();
    if (tokens < static_cast<uint64_t>(options.context) + 1)
      throw Error(part.path,
                  fmt::format("{} tokens at least in its {} documents (one row)", options.context + 1,
                              options.split == Split::train ? "training" : "validation"),
                  fmt::format("{} in {} documents", tokens, made.stream->documents()));
    made.windows = tokens / static_cast<uint64_t>(options.context);
  }
}

uint64_t Loader::epoch_rows(size_t part) const { return parts_[part].windows; }
uint64_t Loader::tokens(size_t part) const { return parts_[part].stream ? parts_[part].stream->tokens() : 0; }
uint64_t Loader::documents(size_t part) const { return parts_[part].stream ? parts_[part].stream->documents() : 0; }

Loader::Place Loader::place(uint64_t position) const {
  const auto [part, row] = mixture_(position);
  const uint64_t windows = parts_[part].windows, epoch = row / windows;
  return {part, epoch, Permutation(windows, derive(options_.seed, part, epoch))(row % windows)};
}

void Loader::batch(TokenBatch& out, uint64_t position, int64_t rows) const {
  const int64_t width = options_.context + 1;
  out.rows = rows;
  out.context = options_.context;
  out.tokens.resize(static_cast<size_t>(rows * width));
  out.starts.resize(static_cast<size_t>(rows * width));
  for (int64_t r = 0; r < rows; ++r) {
    const Place at = place(position + static_cast<uint64_t>(r));
    const TokenStream& stream = *parts_[at.part].stream;
    const uint64_t shift = derive(~options_.seed, at.part, at.epoch) % stream.tokens();
    stream.read(out.tokens.data() + r * width, out.starts.data() + r * width,
                shift + at.window * static_cast<uint64_t>(options_.context), width);
  }
}

TokenBatch Loader::batch(uint64_t position, int64_t rows) const {
  TokenBatch out;
  batch(out, position, rows);
  return out;
}

std::string Loader::fingerprint() const {
  Digest digest(Digest::Kind::sha256);
  digest.update(fmt::format("order 1, seed {}, context {}, validation {}, split {}\n", options_.seed, options_.context,
                            options_.validation, static_cast<int>(options_.split)));
  for (size_t i = 0; i < parts_.size(); ++i) {
    digest.update(fmt::format("part of weight {}\n", options_.parts[i].weight));
    if (!parts_[i].stream) continue;
    for (const Shard& shard : parts_[i].stream->shards()) {
      digest.update(fmt::format("shard {} {}\n", shard.idx_bytes().size(), shard.bin_bytes().size()));
      digest.update(text_of(shard.idx_bytes()));
      digest_tokens(digest, shard.bin_bytes());
    }
  }
  return digest.hex();
}

}  // namespace sigma
