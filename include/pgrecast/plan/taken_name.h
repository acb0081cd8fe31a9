#pragma once

#include <compare>
#include <string>

namespace pgrecast::plan {

// A name that something else has in the schema of a source, so that by hand the
// server would not choose it: t_a_check, say, where an older table was renamed
// and its constraints were not.
struct TakenName {
  std::string schema;
  std::string name;
  bool constraint = false;  // else a relation
  // NOLINTNEXTLINE(modernize-use-nullptr): version 14 takes <=> 0 for one.
  auto operator<=>(const TakenName&) const = default;
};

}  // namespace pgrecast::plan
