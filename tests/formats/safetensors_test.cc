// safetensors files laid out by hand: what is read from them, what is refused and with which words; folders with and
// without an index; and that the writer makes the same bytes as the reference implementation.
#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors_writer.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string with_length(const std::string& header, const std::string& data = "") {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + data;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::string open_error(const std::string& header, const std::string& data = "") {
  const std::string text = with_length(header, data);
  return error_of([&] { SafetensorsFile(bytes_of(text), "f"); });
}

const char* const kHeader =
    R"({"__metadata__":{"format":"pt","by":"hand"},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},)"
    R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"ids":{"data_offsets":[22,30],"shape":[],"dtype":"I64"},)"
    R"("none":{"dtype":"F16","shape":[0,5],"data_offsets":[22,22]}} )";

TEST(Safetensors, ReadsEveryField) {
  const std::string text = with_length(kHeader, "0123456789abcdefghijklmnopqrst");
  const SafetensorsFile f(bytes_of(text), "f");
  EXPECT_EQ(f.metadata(), (SafetensorsMetadata{{"format", "pt"}, {"by", "hand"}}));
  ASSERT_EQ(f.entries().size(), 4u);
  EXPECT_EQ(f.entries()[0].name, "a");  // in the order of their bytes
  EXPECT_EQ(f.entries()[1].name, "b");
  EXPECT_EQ(f.entries()[2].name, "none");
  EXPECT_EQ(f.entries()[3].name, "ids");
  const SafetensorsEntry* a = f.find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->format, Format::f32);
  EXPECT_EQ(a->shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(a->bytes.size(), 16u);
  EXPECT_EQ(a->bytes[0], std::byte{'0'});
  EXPECT_EQ(f.find("b")->format, Format::bf16);
  EXPECT_EQ(f.find("b")->bytes[5], std::byte{'l'});
  EXPECT_EQ(f.find("none")->format, Format::f16);
  EXPECT_TRUE(f.find("none")->bytes.empty());
  EXPECT_EQ(f.find("ids")->format, std::nullopt);
  EXPECT_EQ(f.find("ids")->dtype, "I64");
  EXPECT_TRUE(f.find("ids")->shape.empty());
  EXPECT_EQ(f.find("c"), nullptr);
}

TEST(Safetensors, KnowsTheSizesOfTypesThatAreNoWeights) {
  for (const auto& [dtype, elements] : std::initializer_list<std::pair<const char*, int>>{{"BOOL", 24},
                                                                                          {"U8", 24},
                                                                                          {"F8_E4M3", 24},
                                                                                          {"I16", 12},
                                                                                          {"U32", 6},
                                                                                          {"F64", 3},
                                                                                          {"C64", 3},
                                                                                          {"F4", 48},
                                                                                          {"F6_E2M3", 32}}) {
    const std::string header =
        fmt::format(R"({{"x":{{"dtype":"{}","shape":[{}],"data_offsets":[0,24]}}}})", dtype, elements);
    EXPECT_EQ(open_error(header, std::string(24, ' ')), "no error") << dtype;
  }
}

std::string tensor(const char* fields) { return fmt::format(R"({{"x":{{{}}}}})", fields); }

TEST(Safetensors, RefusesBadHeaders) {
  const std::string four(4, ' ');
  const auto f32 = [](const char* shape, const char* offsets) {
    return tensor(fmt::format(R"("dtype":"F32","shape":{},"data_offsets":{})", shape, offsets).c_str());
  };
  const std::pair<std::string, std::string> cases[] = {
      {"", "[f: header] expected valid JSON, found a fault at byte 1"},
      {"{", "[f: header] expected valid JSON"},
      {"{}{}", "[f: header] expected valid JSON, found a fault at byte 3"},
      {"[]", "[f] expected an object, found an array"},
      {"7", "[f] expected an object, found a number"},
      {R"({"x":1})", "[f: x] expected an object, found a number"},
      {R"({"__metadata__":[]})", "[f: __metadata__] expected an object, found an array"},
      {R"({"__metadata__":{"a":1}})", "[f: __metadata__: a] expected a string, found a number"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", "[f: __metadata__: a] expected one value, found two"},
      {R"({"__metadata__":{},"__metadata__":{}})", "[f: __metadata__] expected one entry, found two"},
      {tensor(""), "[f: x] expected dtype, shape and data_offsets, found not all of them"},
      {tensor(R"("dtype":"F32","data_offsets":[0,4])"),
       "[f: x] expected dtype, shape and data_offsets, found not all of"},
      {tensor(R"("dtype":"F32","shape":[1])"), "[f: x] expected dtype, shape and data_offsets, found not all of them"},
      {tensor(R"("strides":[1])"), "[f: x: strides] expected dtype, shape and data_offsets, found this key"},
      {tensor(R"("dtype":"F32","dtype":"F32")"), "[f: x: dtype] expected one value, found two"},
      {tensor(R"("shape":[],"shape":[])"), "[f: x: shape] expected one value, found two"},
      {tensor(R"("data_offsets":[0,4],"data_offsets":[0,4])"), "[f: x: data_offsets] expected one value, found two"},
      {tensor(R"("dtype":"Q4")"), "[f: x: dtype] expected a type of the safetensors format, found \"Q4\""},
      {tensor(R"("dtype":7)"), "[f: x: dtype] expected a string, found a number"},
      {tensor(R"("shape":7)"), "[f: x: shape] expected an array, found a number"},
      {tensor(R"("data_offsets":{})"), "[f: x: data_offsets] expected an array, found an object"},
      {f32("[1]", "[0]"), "[f: x: data_offsets] expected a begin and an end, found 1 numbers"},
      {f32("[1]", "[]"), "[f: x: data_offsets] expected a begin and an end, found 0 numbers"},
      {f32("[1]", "[0,2,4]"), "[f: x: data_offsets] expected a begin and an end, found 3 numbers"},
      {f32("[-1]", "[0,4]"), "[f: x: shape] expected a whole number from 0 to 2^63 - 1, found a number"},
      {f32("[1.0]", "[0,4]"), "[f: x: shape] expected a whole number from 0 to 2^63 - 1, found a number"},
      {f32("[[1]]", "[0,4]"), "[f: x: shape] expected a whole number from 0 to 2^63 - 1, found an array"},
      {f32("[9223372036854775808]", "[0,4]"),
       "[f: x: shape] expected a whole number from 0 to 2^63 - 1, found 9223372036854775808"},
      {f32("[99999999999999999999]", "[0,4]"),
       "[f: x: shape] expected a whole number from 0 to 2^63 - 1, found a number"},
      {f32("[1]", "[4,8]"), "[f: x] expected data_offsets from 0, found 4"},
      {f32("[1]", "[0,8]"), "[f: x] expected data_offsets up to 0 to 4, found 8"},
      {f32("[2]", "[0,4]"), "[f: x] expected 64 bits of data (F32 of [2]), found 4 bytes"},
      {f32("[0]", "[0,0]"), "[f] expected 0 bytes of data, found 4 bytes"},
      {f32("[4294967296,4294967296]", "[0,4]"),
       "[f: x] expected a size in bits below 2^64, found 4294967296 x 4294967296"},
      {f32("[9223372036854775807]", "[0,4]"), "[f: x] expected a size in bits below 2^64, found 9223372036854775807"},
      {tensor(R"("dtype":"F4","shape":[7],"data_offsets":[0,4])"),
       "[f: x] expected 28 bits of data (F4 of [7]), found 4 bytes"},
      {"{}", "[f] expected 0 bytes of data, found 4 bytes"},
  };
  for (const auto& [header, message] : cases) {
    const std::string found = open_error(header, four);
    EXPECT_NE(found.find(message), std::string::npos) << header << "\n  " << found;
  }
  EXPECT_EQ(open_error(f32("[1]", "[0,4]"), four), "no error");
}

TEST(Safetensors, RefusesOverlapsHolesAndDuplicates) {
  const auto two = [](const char* name, const char* offsets) {
    return fmt::format(R"({{"x":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},)"
                       R"("{}":{{"dtype":"F32","shape":[1],"data_offsets":{}}}}})",
                       name, offsets);
  };
  const std::string eight(8, ' ');
  EXPECT_EQ(open_error(two("y", "[4,8]"), eight), "no error");
  EXPECT_EQ(open_error(two("y", "[0,4]"), eight), "[f: y] expected data_offsets from 4, found 0");
  EXPECT_EQ(open_error(two("y", "[2,6]"), eight), "[f: y] expected data_offsets from 4, found 2");
  EXPECT_EQ(open_error(two("y", "[5,9]"), eight), "[f: y] expected data_offsets from 4, found 5");
  EXPECT_EQ(open_error(two("y", "[4,3]"), eight), "[f: y] expected data_offsets up to 4 to 8, found 3");
  EXPECT_EQ(open_error(two("x", "[4,8]"), eight), "[f: x] expected one entry, found two");
}

TEST(Safetensors, RefusesBadLengths) {
  const auto error = [](const std::string& text) { return error_of([&] { SafetensorsFile(bytes_of(text), "f"); }); };
  EXPECT_EQ(error(""), "[f] expected a safetensors file (8 bytes of header length first), found 0 bytes");
  EXPECT_EQ(error("1234567"), "[f] expected a safetensors file (8 bytes of header length first), found 7 bytes");
  EXPECT_EQ(error(std::string(8, '\xff') + "{}"),
            "[f] expected a header of at most 2 bytes, found 18446744073709551615");
  const std::string whole = with_length(kHeader, std::string(30, ' '));
  EXPECT_EQ(error(whole), "no error");
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_NE(error(whole.substr(0, n)), "no error") << n;
  EXPECT_NE(error(whole + " "), "no error");
}

TEST(Safetensors, DeepNestingIsNoRecursion) {
  EXPECT_EQ(open_error(std::string(100'000, '[')), "[f] expected an object, found an array");
  const std::string deep = R"({"weight_map":{},"x":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_TRUE(parse_safetensors_index(deep, "f").empty());
}

TEST(Safetensors, ReadsAnIndex) {
  const auto map = parse_safetensors_index(
      R"({"metadata":{"total_size":12,"more":[{"weight_map":{"z":1}}]},"weight_map":{"b":"2.safetensors","a":"1"}})",
      "i");
  EXPECT_EQ(map, (std::vector<std::pair<std::string, std::string>>{{"b", "2.safetensors"}, {"a", "1"}}));
}

TEST(Safetensors, RefusesABadIndex) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "[i] expected an object, found an array"},
      {"{}", "[i] expected a weight_map, found none"},
      {R"({"weight_map":[]})", "[i: weight_map] expected an object, found an array"},
      {R"({"weight_map":{},"weight_map":{}})", "[i: weight_map] expected one entry, found two"},
      {R"({"weight_map":{"a":1}})", "[i: a] expected a file name, found a number"},
      {R"({"weight_map":{"a":{}}})", "[i: a] expected a file name, found an object"},
      {R"({"weight_map":{"a":"x","a":"y"}})", "[i: a] expected one file, found two"},
      {R"({"weight_map":{"a":"../x"}})", "[i: a] expected the name of a file in the same folder, found \"../x\""},
      {R"({"weight_map":{"a":"/x"}})", "[i: a] expected the name of a file in the same folder, found \"/x\""},
      {R"({"weight_map":{"a":".."}})", "[i: a] expected the name of a file in the same folder, found \"..\""},
      {R"({"weight_map":{"a":""}})", "[i: a] expected the name of a file in the same folder, found \"\""},
      {R"({"weight_map":{"a":"x\u0000y"}})",
       "[i: a] expected the name of a file in the same folder, found \"x\\x00y\""},
      {R"({"weight_map":{"a":"x")", "[i] expected valid JSON, found a fault at byte 23"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(error_of([&, t = text] { parse_safetensors_index(t, "i"); }), message) << text;
  }
}

// Tensors whose bytes are their own name, repeated.
const std::vector<TensorSpec> kTensors = {
    {"h", Format::f16, {3}}, {"w", Format::f32, {2, 3}}, {"b", Format::bf16, {1, 5}}};
void own_name(size_t i, FileWriter& out) {
  const uint64_t bytes = tensor_bytes(kTensors[i]);
  for (uint64_t at = 0; at < bytes; ++at) out.write(kTensors[i].name);
}

TEST(Safetensors, WritesTheBytesOfTheReference) {
  const test::TempFolder folder;
  write_safetensors(folder.path("x"), kTensors, own_name);
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("h":{"dtype":"F16","shape":[3],"data_offsets":[24,30]},)"
      R"("b":{"dtype":"BF16","shape":[1,5],"data_offsets":[30,40]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(folder.path("x")), with_length(padded, std::string(24, 'w') + "hhhhhh" + std::string(10, 'b')));
}

// Loads a file and writes what it holds.
void copy(const SafetensorsFile& from, const std::string& to) {
  std::vector<TensorSpec> tensors;
  for (const SafetensorsEntry& e : from.entries()) tensors.push_back({e.name, e.format.value(), e.shape});
  write_safetensors(
      to, tensors, [&](size_t i, FileWriter& out) { out.write(from.entries()[i].bytes); }, from.metadata());
}

TEST(Safetensors, SaveLoadSaveIsByteEqual) {
  const test::TempFolder folder;
  write_safetensors(folder.path("a"), kTensors, own_name, {{"z", "\"quoted\" \n \xc3\xa9"}, {"a", ""}});
  const SafetensorsFile loaded(folder.path("a"));
  EXPECT_EQ(loaded.metadata()[0].second, "\"quoted\" \n \xc3\xa9");
  copy(loaded, folder.path("b"));
  EXPECT_EQ(read_file(folder.path("b")), read_file(folder.path("a")));
  write_safetensors(folder.path("empty"), {}, own_name, {});
  EXPECT_EQ(read_file(folder.path("empty")), with_length("{}      "));
}

TEST(Safetensors, FilesOfAnotherImplementationLoadAndSaveByteEqual) {
  const test::TempFolder folder;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SIGMA_TEST_DATA "/golden/shards")) {
    if (entry.path().extension() != ".safetensors") continue;
    copy(SafetensorsFile(entry.path().string()), folder.path("x"));
    EXPECT_EQ(read_file(folder.path("x")), read_file(entry.path().string())) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 0);
}

TEST(SafetensorsFolder, ReadsOneFile) {
  const test::TempFolder folder;
  write_safetensors_folder(folder.path(), kTensors, own_name);
  EXPECT_TRUE(std::filesystem::exists(folder.path("model.safetensors")));
  const SafetensorsFolder loaded(folder.path());
  EXPECT_EQ(loaded.files().size(), 1u);
  EXPECT_EQ(loaded.entries().size(), 3u);
  EXPECT_EQ(loaded.find("h")->bytes.size(), 6u);
  EXPECT_EQ(loaded.find("x"), nullptr);
}

TEST(SafetensorsFolder, ShardsBySizeAndReadsThemBack) {
  const test::TempFolder folder;
  write_safetensors_folder(folder.path(), kTensors, own_name, 16);  // 6, 24 and 10 bytes: one each
  const std::string index = read_file(folder.path("model.safetensors.index.json"));
  EXPECT_EQ(index, R"({
  "metadata": {
    "total_size": 40
  },
  "weight_map": {
    "b": "model-00003-of-00003.safetensors",
    "h": "model-00001-of-00003.safetensors",
    "w": "model-00002-of-00003.safetensors"
  }
}
)");
  const SafetensorsFolder loaded(folder.path());
  EXPECT_EQ(loaded.files().size(), 3u);
  ASSERT_EQ(loaded.entries().size(), 3u);
  EXPECT_EQ(loaded.entries()[1]->name, "w");
  for (const TensorSpec& t : kTensors) {
    const SafetensorsEntry* e = loaded.find(t.name);
    ASSERT_NE(e, nullptr);
    EXPECT_EQ(e->shape, t.shape);
    EXPECT_EQ(e->bytes.size(), tensor_bytes(t));
    EXPECT_EQ(e->bytes.back(), static_cast<std::byte>(t.name[0]));
  }
  const test::TempFolder other;
  write_safetensors_folder(other.path(), kTensors, own_name, 30);  // 6 + 24, 10
  EXPECT_EQ(SafetensorsFolder(other.path()).files().size(), 2u);
}

TEST(SafetensorsFolder, LeavesNothingWhenTheSourceFails) {
  for (const uint64_t shard_bytes : {uint64_t{16}, kDefaultShardBytes}) {
    const test::TempFolder folder;
    const auto fail_late = [](size_t i, FileWriter& out) {
      if (i == 2) throw Error("source", "data", "none");
      own_name(i, out);
    };
    EXPECT_EQ(error_of([&] { write_safetensors_folder(folder.path(), kTensors, fail_late, shard_bytes); }),
              "[source] expected data, found none");
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
}

TEST(SafetensorsFolder, LeavesNoShardsWhenALaterOneCannotBeNamed) {
  const test::TempFolder folder;
  const std::string obstacle = folder.path("model-00002-of-00003.safetensors");
  std::filesystem::create_directories(obstacle + "/x");  // rename onto it fails
  EXPECT_NE(error_of([&] { write_safetensors_folder(folder.path(), kTensors, own_name, 16); }), "no error");
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) left.push_back(entry.path().string());
  EXPECT_EQ(left, std::vector<std::string>{obstacle});
}

TEST(SafetensorsFolder, RefusesToMixTheTwoForms) {
  const test::TempFolder folder;
  write_safetensors_folder(folder.path(), kTensors, own_name);
  EXPECT_EQ(
      error_of([&] { write_safetensors_folder(folder.path(), kTensors, own_name, 16); }),
      fmt::format("[{}] expected a folder without model.safetensors, to write model.safetensors.index.json, found "
                  "one with it",
                  folder.path()));
}

TEST(SafetensorsFolder, RefusesFoldersThatDoNotAddUp) {
  const test::TempFolder folder;
  const auto error = [&] { return error_of([&] { SafetensorsFolder f(folder.path()); }); };
  const std::string index = folder.path("model.safetensors.index.json");
  EXPECT_EQ(error(), fmt::format("[{}] expected a folder with model.safetensors or model.safetensors.index.json, found "
                                 "neither",
                                 folder.path()));
  write_safetensors_folder(folder.path(), kTensors, own_name, 16);
  const std::string good = read_file(index);
  Json json = parse_json(good, index);
  json["weight_map"].erase("b");
  json["weight_map"]["c"] = "model-00003-of-00003.safetensors";
  write_file(index, json.dump());
  EXPECT_EQ(error(),
            fmt::format("[{}/model-00003-of-00003.safetensors] expected tensor c (the index says so), found no "
                        "such tensor",
                        folder.path()));
  write_safetensors(folder.path("model-00003-of-00003.safetensors"), kTensors, own_name);
  write_file(index, good);
  EXPECT_EQ(error(), fmt::format("[{}] expected every tensor of the shards (5), found 3", index));
  std::filesystem::remove(folder.path("model-00003-of-00003.safetensors"));
  EXPECT_NE(error().find("model-00003-of-00003.safetensors] expected a readable file"), std::string::npos);
}

TEST(SafetensorsFolder, ReadsTheGoldenModels) {
  const SafetensorsFolder f(SIGMA_TEST_DATA "/golden/gqa");
  EXPECT_GT(f.files().size(), 1u);
  EXPECT_NE(f.find("model.embed_tokens.weight"), nullptr);
}

}  // namespace
}  // namespace sigma
