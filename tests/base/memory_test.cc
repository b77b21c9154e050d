#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sigma {
namespace {

bool all_zero(const Buffer& buffer) {
  for (size_t i = 0; i < buffer.size(); ++i)
    if (buffer.data()[i] != std::byte{0}) return false;
  return true;
}

TEST(Buffer, IsAlignedAndZeroAtEverySize) {
  for (const size_t bytes : {size_t{1}, size_t{4097}, size_t{64} << 10, (size_t{2} << 20) + 5, size_t{20} << 20}) {
    const Buffer buffer(bytes);
    EXPECT_EQ(buffer.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kCacheLine, 0u);
    EXPECT_TRUE(all_zero(buffer));
  }
  EXPECT_EQ(Buffer().data(), nullptr);
}

TEST(Buffer, NeighboursDoNotOverlapAndNewOnesAreZero) {
  std::vector<Buffer> kept;
  for (int round = 0; round < 3; ++round) {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 100; ++i) {
      buffers.emplace_back(size_t{1000003});
      ASSERT_TRUE(all_zero(buffers.back()));
      std::memset(buffers.back().data(), i + 1, buffers.back().size());
    }
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(buffers[i].data()[0], static_cast<std::byte>(i + 1));
      EXPECT_EQ(buffers[i].data()[1000002], static_cast<std::byte>(i + 1));
    }
    kept.push_back(std::move(buffers[50]));  // the others of its slab go
  }
  for (const Buffer& buffer : kept) {
    EXPECT_EQ(buffer.data()[0], std::byte{51});
    EXPECT_EQ(buffer.data()[1000002], std::byte{51});
  }
}

TEST(Buffer, Moves) {
  Buffer a(size_t{100} << 10);
  a.data()[7] = std::byte{42};
  Buffer b(std::move(a));
  EXPECT_EQ(b.data()[7], std::byte{42});
  Buffer c(size_t{32} << 20);
  c = std::move(b);
  EXPECT_EQ(c.size(), size_t{100} << 10);
  EXPECT_EQ(c.data()[7], std::byte{42});
}

TEST(Buffer, RefusesWhatTheMachineLacks) {
  for (const size_t bytes : {size_t{1} << 60, SIZE_MAX - 5, SIZE_MAX}) EXPECT_THROW(Buffer{bytes}, Error);
}

TEST(Arena, ScopesGiveBackAndPiecesStayApart) {
  Arena arena;
  std::byte* first = nullptr;
  {
    const Arena::Scope scope(arena);
    first = arena.take<std::byte>(100);
    auto* second = arena.take<float>(1 << 20);  // more than the first block holds
    std::memset(first, 1, 100);
    std::memset(second, 2, sizeof(float) << 20);
    EXPECT_EQ(first[99], std::byte{1});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % kCacheLine, 0u);
  }
  EXPECT_GE(arena.peak_bytes(), (sizeof(float) << 20) + 100);
  const Arena::Scope scope(arena);
  EXPECT_EQ(arena.take<std::byte>(1), first);
}

TEST(Memory, RequireMemoryNamesBothAmounts) {
  if (available_memory() == 0) GTEST_SKIP() << "the system does not say what is available";
  require_memory(1, "test");
  try {
    require_memory(uint64_t{1} << 60, "model");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "model");
  }
}

}  // namespace
}  // namespace sigma
