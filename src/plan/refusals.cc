#include "refusals.h"

#include <cstddef>
#include <string>

namespace pgrecast::plan {

std::vector<Refusal> read_refusals(const pg::Result& rows) {
  std::vector<Refusal> refusals;
  refusals.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) {
    refusals.push_back({.what = std::string(rows.text(row, 0)),
                        .remedy = std::string(rows.text(row, 1))});
  }
  return refusals;
}

}  // namespace pgrecast::plan
