#pragma once

#include "pgrecast/cli/lines.h"
#include "pgrecast/plan/native.h"

#include <cstddef>
#include <string>
#include <vector>

namespace pgrecast::cli {

// What of the script the server does by itself without a rewrite, by which
// locks; or nothing, where all of it is a migration's work. Ends with a
// newline.
std::string native_text(const std::vector<plan::NativeStep>& steps,
                        std::size_t columns = kColumns);

}  // namespace pgrecast::cli
