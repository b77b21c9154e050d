// The sets of Debian packages that `sigma corpus fetch debian` knows, and the category of each package.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sigma::corpus {

std::vector<std::string> debian_set(std::string_view set);   // "small", "medium" or "large"; in order of the alphabet
std::string_view debian_category(std::string_view package);  // empty: not in any set

}  // namespace sigma::corpus
