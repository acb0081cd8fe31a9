#pragma once

#include "pgrecast/catalog/table.h"

#include <optional>
#include <string>

namespace pgrecast::plan {

// Why a key column of `from` must not become `to`; nullopt when it may.
//
// A conversion passes that is known to give different keys different values,
// to keep their order (verification walks both tables side by side by key
// ranges), and to have a way back (a row that only the shadow has is looked up
// by the source's key).
std::optional<std::string> key_conversion_problem(const catalog::Column& from,
                                                  const catalog::Column& to);

}  // namespace pgrecast::plan
