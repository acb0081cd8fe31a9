#include "taken_names.h"

#include "pgrecast/base/text.h"
#include "pgrecast/catalog/views.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::plan {
namespace {

using catalog::Oid;
using catalog::QualifiedName;

// $1 source, $2 clone, $3 all sources, $4 foreign keys that the script drops.
constexpr const char* kConstraints = R"sql(
SELECT DISTINCT n.nspname, mine.conname
FROM pg_catalog.pg_class source
JOIN pg_catalog.pg_namespace n ON n.oid = source.relnamespace
JOIN pg_catalog.pg_constraint mine ON mine.conrelid = $2::pg_catalog.oid
JOIN pg_catalog.pg_constraint other
  ON other.connamespace = n.oid AND other.conname = mine.conname
WHERE source.oid = $1::pg_catalog.oid
  -- Their names are chosen as by hand (Folder::take_constraint_names).
  AND mine.contype <> 'f'
  -- Foreign keys and triggers have no clone.
  AND CASE WHEN other.contype IN ('f', 't')
        THEN other.conrelid <> source.oid
             OR other.conname::pg_catalog.text <> ALL ($4::pg_catalog.text[])
        ELSE other.conrelid <> ALL ($3::pg_catalog.oid[])
             AND NOT EXISTS (
               SELECT FROM pg_catalog.unnest($3::pg_catalog.oid[]) AS u(oid)
               CROSS JOIN LATERAL pg_catalog.pg_partition_tree(u.oid) AS t
               WHERE t.relid = other.conrelid) END)sql";

// Indexes and the sequences of identities have clones; that of a serial has
// none, and goes on.
constexpr const char* kRelations = R"sql(
WITH belongs(relation, to_table, cloned) AS NOT MATERIALIZED (
  SELECT i.indexrelid, i.indrelid, true FROM pg_catalog.pg_index i
  UNION ALL
  SELECT d.objid, d.refobjid, d.deptype = 'i'
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.deptype IN ('a', 'i'))
SELECT DISTINCT n.nspname, other.relname
FROM pg_catalog.pg_class source
JOIN pg_catalog.pg_namespace n ON n.oid = source.relnamespace
JOIN belongs b ON b.to_table = $2::pg_catalog.oid
JOIN pg_catalog.pg_class mine ON mine.oid = b.relation
JOIN pg_catalog.pg_class other
  ON other.relnamespace = n.oid AND other.relname = mine.relname
WHERE source.oid = $1::pg_catalog.oid AND other.oid <> ALL ($3::pg_catalog.oid[])
  AND NOT EXISTS (SELECT FROM belongs o WHERE o.relation = other.oid AND o.cloned
                  AND o.to_table = ANY ($3::pg_catalog.oid[])))sql";

Oid make(pg::Connection& connection, const char* kind,
         const QualifiedName& name, const std::string& of) {
  connection.exec(fmt::format("CREATE {} {}{}", kind, name.quoted(), of));
  return catalog::find_relation(connection, name.schema, name.name).value();
}

void read_into(std::set<TakenName>& names, const pg::Result& result,
               bool constraints) {
  for (int row = 0; row < result.rows(); ++row) {
    names.insert({.schema = std::string(result.text(row, 0)),
                  .name = std::string(result.text(row, 1)),
                  .constraint = constraints});
  }
}

}  // namespace

std::set<TakenName> taken_names(
    pg::Connection& connection, Oid source, Oid clone,
    const std::vector<Oid>& sources,
    const std::set<std::string>& dropped_foreign_keys) {
  const std::string all = catalog::oid_array(sources);
  const std::vector<std::string> dropped(dropped_foreign_keys.begin(),
                                         dropped_foreign_keys.end());
  std::set<TakenName> names;
  read_into(names,
            connection.exec(kConstraints,
                            {source, clone, all, pg::array_literal(dropped)}),
            true);
  read_into(names, connection.exec(kRelations, {source, clone, all}), false);
  return names;
}

std::vector<Oid> hold_names(pg::Connection& connection,
                            const std::set<TakenName>& names,
                            const std::string& schema,
                            const std::string& of_clones) {
  std::vector<Oid> held;
  std::vector<std::string> checks;
  for (const TakenName& taken : names) {
    if (taken.schema != schema) continue;
    if (taken.constraint) {
      checks.push_back(fmt::format("CONSTRAINT {} CHECK (true)",
                                   pg::quote_identifier(taken.name)));
    } else {
      held.push_back(make(connection, "SEQUENCE",
                          {.schema = of_clones, .name = taken.name}, ""));
    }
  }
  if (checks.empty()) return held;
  held.push_back(make(connection, "TABLE",
                      {.schema = of_clones, .name = "pgrecast names"},
                      fmt::format(" ({})", join(checks, ", "))));
  return held;
}

void release_names(pg::Connection& connection, const std::vector<Oid>& held) {
  const pg::Result drops = connection.exec(
      "SELECT pg_catalog.format('DROP %s %s', CASE relkind WHEN 'S' THEN"
      " 'SEQUENCE' ELSE 'TABLE' END, oid::pg_catalog.regclass)"
      " FROM pg_catalog.pg_class WHERE oid = ANY ($1::pg_catalog.oid[])",
      {catalog::oid_array(held)});
  for (int row = 0; row < drops.rows(); ++row) {
    connection.exec(std::string(drops.text(row, 0)));
  }
}

}  // namespace pgrecast::plan
