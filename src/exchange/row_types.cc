#include "row_types.h"

#include "pgrecast/catalog/grants.h"

namespace pgrecast::exchange {
namespace {

// $1, $2: the old and the new table, $3: the schema that this will be in.
constexpr const char* kComments = R"sql(
SELECT pg_catalog.format('COMMENT ON TYPE %I.%I IS %L', $3::pg_catalog.text,
                         now.typname, d.description)
FROM pg_catalog.pg_type old_row
JOIN pg_catalog.pg_type new_row ON new_row.typrelid = $2::pg_catalog.oid
CROSS JOIN LATERAL (VALUES (old_row.oid, new_row.oid),
                           (old_row.typarray, new_row.typarray)) AS pair(was, now)
JOIN pg_catalog.pg_type now ON now.oid = pair.now
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objoid = pair.was
WHERE old_row.typrelid = $1::pg_catalog.oid
ORDER BY 1)sql";

}  // namespace

std::vector<std::string> row_type_statements(pg::Connection& connection,
                                             const ExchangeTable& table,
                                             const std::string& current_role) {
  auto statements = catalog::grant_statements(
      {.relation = table.target->source.quoted(),
       .on = catalog::GrantOn::kType,
       .present = catalog::read_row_type_grants(connection, table.shadow_oid),
       .wanted = catalog::read_row_type_grants(connection, table.source_oid),
       .current_role = current_role});
  const pg::Result comments = connection.exec(
      kComments,
      {table.source_oid, table.shadow_oid, table.target->source.schema});
  for (int row = 0; row < comments.rows(); ++row) {
    statements.emplace_back(comments.text(row, 0));
  }
  return statements;
}

}  // namespace pgrecast::exchange
