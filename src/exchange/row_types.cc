#include "row_types.h"

#include "pgrecast/catalog/grants.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <string_view>

namespace pgrecast::exchange {
namespace {

// Of $1, the old table, whether it is of the array, and what it says.
constexpr const char* kComments = R"sql(
SELECT d.objoid = t.typarray, pg_catalog.quote_literal(d.description)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_type t ON t.oid = c.reltype
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass
 AND d.objoid IN (t.oid, t.typarray)
WHERE c.oid = $1::pg_catalog.oid
ORDER BY 1)sql";

// Whether neither has grants of its own: another owner's are the default, too.
constexpr const char* kBothAreDefault = R"sql(
SELECT pg_catalog.bool_and(t.typacl IS NULL)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_type t ON t.oid = c.reltype
WHERE c.oid IN ($1::pg_catalog.oid, $2::pg_catalog.oid))sql";

// By the table's OID: the array's name may be another one by then.
std::string comment(catalog::Oid table, bool of_array,
                    std::string_view quoted) {
  const std::string body = fmt::format(
      R"sql(
BEGIN
  EXECUTE (
    SELECT pg_catalog.format('COMMENT ON TYPE %I.%I IS %s', n.nspname, t.typname,
                             {})
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_type r ON r.oid = c.reltype
    JOIN pg_catalog.pg_type t ON t.oid = {}
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE c.oid = {});
END)sql",
      pg::quote_literal(quoted), of_array ? "r.typarray" : "r.oid", table);
  return "DO " + pg::quote_literal(body);
}

}  // namespace

std::vector<std::string> row_type_statements(pg::Connection& connection,
                                             const ExchangeTable& table,
                                             const std::string& current_role) {
  std::vector<std::string> statements;
  if (!connection.exec(kBothAreDefault, {table.source_oid, table.shadow_oid})
           .boolean(0, 0)) {
    statements = catalog::grant_statements(
        {.relation = table.target->source.quoted(),
         .on = catalog::GrantOn::kType,
         .present = catalog::read_row_type_grants(connection, table.shadow_oid),
         .wanted = catalog::read_row_type_grants(connection, table.source_oid),
         .current_role = current_role});
  }
  const pg::Result comments = connection.exec(kComments, {table.source_oid});
  for (int row = 0; row < comments.rows(); ++row) {
    statements.push_back(comment(table.shadow_oid, comments.boolean(row, 0),
                                 comments.text(row, 1)));
  }
  return statements;
}

}  // namespace pgrecast::exchange
