// Any bytes as a file of any form (the first byte says which): what comes out is UTF-8, also after cleaning and
// masking, and text with nothing left to mask is left alone.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "corpus/clean.h"
#include "corpus/extract.h"
#include "corpus/quality.h"
#include "text/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  if (size == 0) return 0;
  constexpr corpus::Form kForms[] = {corpus::Form::html, corpus::Form::markdown, corpus::Form::rst,
                                     corpus::Form::info, corpus::Form::texinfo,  corpus::Form::latex,
                                     corpus::Form::plain};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  corpus::Extracted e = corpus::extract(kForms[data[0] % std::size(kForms)], bytes);
  const auto require = [](bool good) {
    if (!good) std::abort();
  };
  require(unicode::is_utf8(e.text) && unicode::is_utf8(e.title));
  corpus::clean_text(e.text);
  require(unicode::is_utf8(e.text));
  corpus::Measurer measurer;
  corpus::refusal(measurer.measure(e.text), {});
  corpus::mask_personal(e.text);
  require(unicode::is_utf8(e.text));
  return 0;
}
