#include "search_path.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <algorithm>

namespace pgrecast::plan {

void add_schema(std::vector<std::string>& path, const std::string& schema) {
  if (std::ranges::find(path, schema) == path.end()) path.push_back(schema);
}

void set_search_path(pg::Connection& connection,
                     const std::vector<std::string>& path) {
  std::vector<std::string> quoted;
  for (const std::string& schema : path) {
    quoted.push_back(pg::quote_identifier(schema));
  }
  connection.exec("SELECT pg_catalog.set_config('search_path', $1, true)",
                  {join(quoted, ", ")});
}

}  // namespace pgrecast::plan
