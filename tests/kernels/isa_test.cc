// The ISA sets: what is offered can run, and no set leaves code behind that another would run.
#include "kernels/cpu/isa.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace sigma {
namespace {

TEST(Isa, SetsAreNamedAfterTheirIsaAndComplete) {
  const std::pair<const Kernels*, std::string_view> sets[] = {{avx512_bf16_kernels(), "avx512_bf16"},
                                                              {avx512_kernels(), "avx512"},
                                                              {avx2_kernels(), "avx2"},
                                                              {neon_kernels(), "neon"},
                                                              {scalar_kernels(), "scalar"}};
  EXPECT_NE(scalar_kernels(), nullptr);
  for (const auto& [set, name] : sets) {
    if (set == nullptr) continue;
    EXPECT_EQ(set->name, name);
    EXPECT_TRUE(set->pack && set->matmul && set->rms_norm && set->rope && set->swiglu && set->page_bytes &&
                set->kv_store && set->kv_load && set->attention && set->gradients);
  }
  if (avx512_kernels() != nullptr) {
    EXPECT_NE(avx2_kernels(), nullptr) << "a CPU with AVX-512 has AVX2";
  }
  if (avx512_bf16_kernels() != nullptr) {
    EXPECT_NE(avx512_kernels(), nullptr) << "a CPU with AVX-512's BF16 has the rest of it";
  }
}

// Global symbols of an ISA's objects must name that ISA: another one (an inline function of a library, say) would be
// merged by the linker with the same function from elsewhere, and the copy that stays may not run on every CPU.
TEST(Isa, ObjectsDefineNothingOutsideTheirNamespace) {
  const std::filesystem::path build = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  int symbols = 0;
  for (const std::string isa : {"avx512_bf16", "avx512", "avx2", "scalar", "neon"}) {
    std::ifstream objects(build / ("isa_objects_" + isa + ".txt"));     // written by src/kernels/CMakeLists.txt
    const std::string in_namespace = std::to_string(isa.size()) + isa;  // as names are mangled
    for (std::string object; std::getline(objects, object);) {
      std::FILE* nm = ::popen(("nm --defined-only --extern-only '" + object + "' 2>/dev/null").c_str(), "r");
      ASSERT_NE(nm, nullptr);
      char line[4096];
      while (std::fgets(line, sizeof line, nm) != nullptr) {
        const std::string_view symbol(line);
        ++symbols;
        // What compilers add for exceptions, and sanitizers for their checks (names of function types among it), is the
        // same everywhere.
        if (symbol.find("DW.ref.") != symbol.npos || symbol.find("__clang_call_terminate") != symbol.npos ||
            symbol.find("asan") != symbol.npos || symbol.find(" _ZTSF") != symbol.npos ||
            symbol.find(" _ZTIF") != symbol.npos)
          continue;
        EXPECT_NE(symbol.find(in_namespace), symbol.npos) << object << ": " << line;
      }
      ::pclose(nm);
    }
  }
  if (symbols == 0) GTEST_SKIP() << "no nm, or not in the build folder";
}

}  // namespace
}  // namespace sigma
