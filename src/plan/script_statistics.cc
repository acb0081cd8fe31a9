#include "script_statistics.h"

#include "search_path.h"

namespace pgrecast::plan {

std::optional<catalog::QualifiedName> find_statistics(
    pg::Connection& connection, catalog::Oid table,
    const script::ObjectName& name, const std::string& search_path) {
  const pg::Result found = ask_under(
      connection, search_path,
      "SELECT n.nspname FROM pg_catalog.pg_statistic_ext s"
      " JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace"
      " WHERE s.stxrelid = $1::pg_catalog.oid AND s.stxname = $2"
      "  AND CASE WHEN $3 = '' THEN pg_catalog.pg_statistics_obj_is_visible("
      "s.oid) ELSE n.nspname = $3 END",
      {table, name.name, name.schema.value_or("")});
  if (found.empty()) return std::nullopt;
  return catalog::QualifiedName{.schema = std::string(found.text(0, 0)),
                                .name = name.name};
}

bool are_on_others(pg::Connection& connection, const std::string& tables,
                   const script::ObjectName& name,
                   const std::string& search_path) {
  const pg::Result found = ask_under(
      connection, search_path,
      "SELECT FROM pg_catalog.pg_statistic_ext s"
      " JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace"
      " WHERE s.stxrelid <> ALL ($1::pg_catalog.oid[]) AND s.stxname = $2"
      "  AND CASE WHEN $3 = '' THEN pg_catalog.pg_statistics_obj_is_visible("
      "s.oid) ELSE n.nspname = $3 END",
      {tables, name.name, name.schema.value_or("")});
  return !found.empty();
}

std::string schema_of_new_statistics(pg::Connection& connection,
                                     const script::ObjectName& name,
                                     const std::string& search_path) {
  if (name.schema) return *name.schema;
  const pg::Result schema =
      ask_under(connection, search_path,
                "SELECT COALESCE(pg_catalog.current_schema(), '')", {});
  return std::string(schema.text(0, 0));
}

bool has_statistics(pg::Connection& connection, catalog::Oid table) {
  return !connection
              .exec(
                  "SELECT FROM pg_catalog.pg_statistic_ext"
                  " WHERE stxrelid = $1::pg_catalog.oid",
                  {table})
              .empty();
}

bool are_there(pg::Connection& connection, const catalog::QualifiedName& name) {
  return !connection
              .exec(
                  "SELECT FROM pg_catalog.pg_statistic_ext s"
                  " JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace"
                  " WHERE n.nspname = $1 AND s.stxname = $2",
                  {name.schema, name.name})
              .empty();
}

}  // namespace pgrecast::plan
