#include "fuzz/decoder_target.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

// Any bytes decode or are refused; whatever else is thrown ends the run.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are char
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  pgrecast::pgoutput::FuzzStream().run(input);
  return 0;
}
