// Reads the input as an index and the tokens it speaks of: a length of the index in two bytes, the index, the tokens.
// Documents lie one after another within the tokens; the stream of both splits is what the documents say.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "data/stream.h"

namespace sigma {
namespace {

struct Input {
  std::span<const std::byte> idx, bin;
  Shard open() const { return Shard(idx, bin, "input"); }
};

Input take_apart(std::span<const std::byte> bytes) {
  if (bytes.size() < 2) return {bytes, {}};
  const size_t wanted = std::to_integer<size_t>(bytes[0]) | std::to_integer<size_t>(bytes[1]) << 8;
  const std::span<const std::byte> rest = bytes.subspan(2);
  const size_t size = std::min(wanted, rest.size());
  return {rest.first(size), rest.subspan(size)};
}

std::vector<int32_t> document(const Shard& shard, uint64_t d) {
  const uint64_t begin = shard.document_begin(d), end = shard.document_begin(d + 1);
  SIGMA_CHECK_LE(begin, end);
  SIGMA_CHECK_LE(end, shard.tokens());
  std::vector<int32_t> tokens(end - begin);
  shard.read(tokens.data(), begin, end - begin);
  return tokens;
}

void read_stream(const Input& input, Split split, uint64_t tokens_in_all) {
  std::vector<Shard> shards;
  shards.push_back(input.open());
  shards.push_back(input.open());
  const TokenStream stream(std::move(shards), {.split = split, .validation = 0.4});
  SIGMA_CHECK_LE(stream.tokens(), 2 * tokens_in_all);
  if (stream.tokens() == 0) return;
  const uint64_t count = stream.tokens() + 3;
  std::vector<int32_t> tokens(count), starts(count), token(1), start(1);
  stream.read(tokens.data(), starts.data(), 0, static_cast<int64_t>(count));
  for (uint64_t i = 0; i < count; ++i) {
    SIGMA_CHECK(starts[i] >= 0 && static_cast<uint64_t>(starts[i]) <= i);
    stream.read(token.data(), start.data(), i, 1);
    SIGMA_CHECK_EQ(token[0], tokens[i]);
  }
}

void read_shard(const Input& input) {
  const Shard shard = input.open();
  uint64_t tokens = 0;
  SIGMA_CHECK_EQ(shard.document_begin(0), 0u);
  for (uint64_t d = 0; d < shard.documents(); ++d) tokens += document(shard, d).size();
  SIGMA_CHECK_EQ(tokens, shard.tokens());
  SIGMA_CHECK_EQ(shard.document_begin(shard.documents()), tokens);
  if (shard.documents() > 2000 || tokens > 5000) return;
  read_stream(input, Split::train, tokens);
  read_stream(input, Split::validation, tokens);
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    sigma::read_shard(sigma::take_apart(std::as_bytes(std::span(data, size))));
  } catch (const sigma::Error&) {
  }
  return 0;
}
