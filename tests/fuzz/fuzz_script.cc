#include "fuzz/script_target.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

// Any text is a script or a ScriptError; whatever else is thrown ends the run.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are char
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  pgrecast::script::FuzzScript::run(input);
  return 0;
}
