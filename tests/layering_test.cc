// The rules of the house that an include line can break: layers include only what tests/layers.txt allows, a
// third-party library is included by one file, and platforms are told apart in base/ and kernels/ only.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file, folder;  // relative to the root; the layer, apps or bench
  int line = 0;
  std::string path;
  bool quoted = false;
};

struct Source {
  std::string file, folder;
  std::vector<std::string> lines;
};

bool is_directive(const std::string& line) {
  const size_t first = line.find_first_not_of(" \t");
  return first != std::string::npos && line[first] == '#';
}

using Allowed = std::map<std::string, std::set<std::string>>;

Allowed parse_layers(std::istream& text) {
  Allowed allowed;
  for (std::string line; std::getline(text, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with('#') || colon == std::string::npos) continue;
    std::istringstream names(line.substr(colon + 1));
    std::set<std::string>& below = allowed[line.substr(0, colon)];
    for (std::string name; names >> name;) below.insert(name);
  }
  return allowed;
}

Source read_source(const fs::path& root, const fs::path& path) {
  Source source{.file = fs::relative(path, root).string(), .folder = {}, .lines = {}};
  const fs::path relative(source.file);
  auto part = relative.begin();
  source.folder = *part == "src" ? (++part)->string() : part->string();
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) source.lines.push_back(line);
  return source;
}

std::vector<Source> read_tree(const fs::path& root) {
  std::vector<Source> sources;
  for (const char* folder : {"src", "apps", "bench"}) {
    for (auto entry = fs::recursive_directory_iterator(root / folder); entry != fs::end(entry); ++entry) {
      if (entry->path().filename().string().starts_with('.')) {  // an environment of some tool, not ours
        entry.disable_recursion_pending();
        continue;
      }
      const fs::path extension = entry->path().extension();
      if (extension != ".h" && extension != ".cc" && extension != ".cu" && extension != ".cuh") continue;
      sources.push_back(read_source(root, entry->path()));
    }
  }
  return sources;
}

std::vector<Include> includes_of(const Source& source) {
  static const std::regex pattern(R"rx(^\s*#\s*include\s*(["<])([^">]+)[">])rx");
  std::vector<Include> includes;
  for (size_t i = 0; i < source.lines.size(); ++i) {
    std::smatch match;
    if (!is_directive(source.lines[i]) || !std::regex_search(source.lines[i], match, pattern)) continue;
    includes.push_back({source.file, source.folder, static_cast<int>(i) + 1, match[2], match[1] == "\""});
  }
  return includes;
}

std::string place(const Include& include) { return include.file + ":" + std::to_string(include.line); }

// Edges between folders that layers.txt does not allow.
std::vector<std::string> forbidden_edges(const std::vector<Source>& sources, const Allowed& allowed) {
  std::vector<std::string> faults;
  for (const Source& source : sources) {
    if (!allowed.contains(source.folder)) {
      faults.push_back(source.file + ": folder " + source.folder + " is not in layers.txt");
      continue;
    }
    for (const Include& include : includes_of(source)) {
      if (!include.quoted) continue;
      const std::string target = include.path.substr(0, include.path.find('/'));
      const bool inside = target == include.folder && include.path.find('/') != std::string::npos;
      if (inside || allowed.at(source.folder).contains(target)) continue;
      faults.push_back(place(include) + ": " + include.folder + " may not include \"" + include.path + "\"");
    }
  }
  return faults;
}

// The library an angle-bracketed header belongs to; empty for the language's, the system's and the compiler's own, and
// for the frameworks that may be used anywhere.
std::string library_of(const std::string& header) {
  static const std::regex free_of_charge(
      R"((gtest|gmock|benchmark|cuda|linux|sys|asm|netinet|arpa|net)/.*|cuda.*|[a-z0-9_]*intrin\.h|arm_neon\.h|cpuid\.h|)"
      R"((dirent|dlfcn|fcntl|getopt|glob|grp|netdb|poll|pthread|pwd|sched|signal|spawn|syslog|termios|unistd)\.h)");
  if (std::regex_match(header, free_of_charge)) return {};
  if (header.find('.') == std::string::npos) return {};  // <vector>
  static const std::set<std::string> c = {"assert.h", "errno.h",  "float.h",  "limits.h",  "locale.h",
                                          "math.h",   "stdarg.h", "stddef.h", "stdint.h",  "stdio.h",
                                          "stdlib.h", "string.h", "time.h",   "inttypes.h"};
  if (c.contains(header)) return {};
  const size_t slash = header.find('/');
  if (slash != std::string::npos) return header.substr(0, slash);
  // archive.h and archive_entry.h, dnnl.hpp and dnnl_version.h: one library.
  return header.substr(0, header.find_first_of("._"));
}

std::vector<std::string> shared_libraries(const std::vector<Source>& sources) {
  std::map<std::string, std::set<std::string>> users;
  for (const Source& source : sources) {
    for (const Include& include : includes_of(source)) {
      if (include.quoted) continue;
      const std::string library = library_of(include.path);
      if (!library.empty()) users[library].insert(source.file);
    }
  }
  std::vector<std::string> faults;
  for (const auto& [library, files] : users) {
    if (files.size() < 2) continue;
    std::string fault = library + " is included by more than one file:";
    for (const std::string& file : files) fault += " " + file;
    faults.push_back(fault);
  }
  return faults;
}

// #if on a system or a processor outside of base/ and kernels/ (bench/ measures the machine itself).
std::vector<std::string> platform_conditions(const std::vector<Source>& sources) {
  static const std::regex pattern(
      R"(^\s*#\s*(el)?if.*(__linux__|__unix__|__APPLE__|_WIN32|__x86_64__|__i386__|__aarch64__|__arm__|__ARM_|__AVX|__SSE|)"
      R"(__FMA__|__F16C__|__CUDA|__HIP))");
  std::vector<std::string> faults;
  for (const Source& source : sources) {
    if (source.folder == "base" || source.folder == "kernels" || source.folder == "bench") continue;
    for (size_t i = 0; i < source.lines.size(); ++i) {
      if (!is_directive(source.lines[i]) || !std::regex_search(source.lines[i], pattern)) continue;
      faults.push_back(source.file + ":" + std::to_string(i + 1) + ": " + source.lines[i]);
    }
  }
  return faults;
}

std::string listed(const std::vector<std::string>& faults) {
  std::string text;
  for (const std::string& fault : faults) text += "  " + fault + "\n";
  return text;
}

std::vector<Source> example(const std::string& file, const std::string& folder, std::vector<std::string> lines) {
  return {{.file = file, .folder = folder, .lines = std::move(lines)}};
}

TEST(Layering, TheTreeKeepsTheRules) {
  const fs::path root = SIGMA_SOURCE_DIR;
  std::ifstream layers(root / "tests" / "layers.txt");
  const Allowed allowed = parse_layers(layers);
  const std::vector<Source> sources = read_tree(root);
  ASSERT_GT(allowed.size(), 8U);
  ASSERT_GT(sources.size(), 20U);
  EXPECT_TRUE(forbidden_edges(sources, allowed).empty()) << listed(forbidden_edges(sources, allowed));
  EXPECT_TRUE(shared_libraries(sources).empty()) << listed(shared_libraries(sources));
  EXPECT_TRUE(platform_conditions(sources).empty()) << listed(platform_conditions(sources));
}

// Edges only point down: no layer reaches itself through others.
TEST(Layering, TheListHasNoCircles) {
  std::ifstream layers(fs::path(SIGMA_SOURCE_DIR) / "tests" / "layers.txt");
  Allowed left = parse_layers(layers);
  while (!left.empty()) {
    const auto lowest = std::find_if(left.begin(), left.end(), [&](const auto& layer) {
      return std::none_of(layer.second.begin(), layer.second.end(),
                          [&](const auto& below) { return left.contains(below); });
    });
    ASSERT_NE(lowest, left.end()) << "a circle through " << left.begin()->first;
    left.erase(lowest);
  }
}

TEST(Layering, BrokenRulesAreSeen) {
  std::istringstream text("# comment\nbase:\nnet: base\n");
  const Allowed allowed = parse_layers(text);
  EXPECT_EQ(forbidden_edges(example("src/net/a.cc", "net", {"#include \"base/x.h\"", "#include \"net/a.h\""}), allowed)
                .size(),
            0U);
  EXPECT_EQ(forbidden_edges(example("src/base/a.cc", "base", {"  #  include \"net/a.h\""}), allowed).size(), 1U);
  EXPECT_EQ(forbidden_edges(example("src/net/a.cc", "net", {"#include \"a.h\""}), allowed).size(), 1U);
  EXPECT_EQ(forbidden_edges(example("src/new/a.cc", "new", {}), allowed).size(), 1U);

  std::vector<Source> two =
      example("src/net/a.cc", "net", {"#include <archive.h>", "#include <vector>", "#include <unistd.h>"});
  EXPECT_EQ(shared_libraries(two).size(), 0U);
  two.push_back(
      {.file = "src/net/b.cc", .folder = "net", .lines = {"#include <archive_entry.h>", "#include <vector>"}});
  EXPECT_EQ(shared_libraries(two).size(), 1U);

  const std::vector<std::string> platform = {"#if defined(__x86_64__)"};
  EXPECT_EQ(platform_conditions(example("src/net/a.cc", "net", platform)).size(), 1U);
  EXPECT_EQ(platform_conditions(example("src/base/a.cc", "base", platform)).size(), 0U);
}

}  // namespace
