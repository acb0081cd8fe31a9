#include "pgrecast/pg/array.h"

#include "pgrecast/pg/connection.h"

#include <cstddef>

namespace pgrecast::pg {

std::vector<std::string> array_elements(Connection& connection,
                                        std::string_view array) {
  const Result result = connection.exec(
      "SELECT e FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY "
      "AS u(e, n) ORDER BY n",
      {array});
  std::vector<std::string> all;
  all.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    all.emplace_back(result.text(row, 0));
  }
  return all;
}

}  // namespace pgrecast::pg
