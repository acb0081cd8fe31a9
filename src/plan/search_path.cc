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

pg::Result ask_under(pg::Connection& connection, const std::string& search_path,
                     const char* query, const std::vector<pg::Param>& params) {
  connection.exec("SELECT pg_catalog.set_config('search_path', $1, true)",
                  {search_path});
  pg::Result result = connection.exec(query, params);
  connection.exec("SET LOCAL search_path = ''");
  return result;
}

bool is_hidden(pg::Connection& connection, const std::string& schema,
               const std::string& name, const std::string& search_path) {
  return ask_under(connection, search_path, R"sql(
SELECT COALESCE(pg_catalog.array_position(s.path, $2::pg_catalog.name)
                  > pg_catalog.array_position(s.path, f.nspname),
                pg_catalog.array_position(s.path, $2::pg_catalog.name) IS NULL)
FROM (SELECT pg_catalog.current_schemas(true)) AS s(path)
LEFT JOIN (SELECT n.nspname FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           WHERE c.oid = pg_catalog.to_regclass($1)) AS f ON true)sql",
                   {pg::quote_identifier(name), schema})
      .boolean(0, 0);
}

bool is_found(pg::Connection& connection,
              const std::optional<std::string>& schema, const std::string& name,
              const std::string& search_path) {
  return ask_under(connection, search_path,
                   "SELECT pg_catalog.to_regclass($1) IS NOT NULL",
                   {schema ? pg::quote_qualified(*schema, name)
                           : pg::quote_identifier(name)})
      .boolean(0, 0);
}

}  // namespace pgrecast::plan
