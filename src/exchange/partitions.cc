#include "partitions.h"

#include "pgrecast/catalog/shape.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <string_view>

namespace pgrecast::exchange {
namespace {

constexpr const char* kFacts = R"sql(
WITH part AS (
  SELECT c.*, t.parentrelid
  FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS t
  JOIN pg_catalog.pg_class c ON c.oid = t.relid
  WHERE t.level > 0)
SELECT 'partition ' || part.relname,
       pg_catalog.concat_ws(' ',
         (SELECT p.relname FROM pg_catalog.pg_class p WHERE p.oid = part.parentrelid),
         pg_catalog.pg_get_expr(part.relpartbound, part.oid),
         pg_catalog.pg_get_partkeydef(part.oid),
         'OWNER ' || pg_catalog.pg_get_userbyid(part.relowner),
         'GRANTS ' || part.relacl::pg_catalog.text,
         'OPTIONS ' || part.reloptions::pg_catalog.text,
         'METHOD ' || part.relam, 'TABLESPACE ' || part.reltablespace,
         part.relkind, part.relpersistence, part.relreplident,
         part.relrowsecurity, part.relforcerowsecurity)
FROM part
UNION ALL
SELECT 'partition ' || part.relname || ' column ' || a.attname,
       pg_catalog.concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
         a.attcollation, a.attnotnull, a.attgenerated, a.attidentity,
         a.attstorage, a.attcompression, a.attstattarget, a.attacl,
         pg_catalog.pg_get_expr(d.adbin, d.adrelid))
FROM part
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = part.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT 'partition ' || part.relname || ' constraint ' || c.conname,
       pg_catalog.pg_get_constraintdef(c.oid)
FROM part JOIN pg_catalog.pg_constraint c ON c.conrelid = part.oid AND c.contype <> 't'
UNION ALL
SELECT 'partition ' || part.relname || ' index ' || ic.relname,
       pg_catalog.concat_ws(' ',
         pg_catalog.substr(def.text, pg_catalog.strpos(def.text, ' USING ') + 1),
         CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
         CASE WHEN i.indisunique THEN 'UNIQUE' END,
         'OF ' || (SELECT p.relname FROM pg_catalog.pg_inherits h
                   JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
                   WHERE h.inhrelid = ic.oid))
FROM part
JOIN pg_catalog.pg_index i ON i.indrelid = part.oid
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(ic.oid) AS def(text)
UNION ALL
SELECT 'partition ' || part.relname || ' comment on '
         || COALESCE('column ' || a.attname, 'table'), d.description
FROM part
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = part.oid
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = part.oid AND a.attnum = d.objsubid AND d.objsubid > 0
UNION ALL
SELECT 'partition ' || part.relname || ' trigger ' || t.tgname,
       pg_catalog.pg_get_triggerdef(t.oid)
FROM part JOIN pg_catalog.pg_trigger t
  ON t.tgrelid = part.oid AND NOT t.tgisinternal AND t.tgparentid = 0)sql";

}  // namespace

std::vector<std::string> move_partitions(const plan::TableTarget& target) {
  std::vector<std::string> statements;
  for (const plan::Partition& partition : target.partitions) {
    statements.push_back(
        fmt::format("ALTER TABLE {} SET SCHEMA {}",
                    pg::quote_qualified(target.shadow.schema, partition.name),
                    pg::quote_identifier(target.source.schema)));
  }
  return statements;
}

Inventory read_partition_facts(pg::Connection& connection,
                               const plan::TableTarget& target,
                               catalog::Oid root) {
  if (!target.partitioned()) return {};
  Inventory facts = catalog::facts_of(connection.exec(kFacts, {root}));
  const pg::Result schema = connection.exec(
      "SELECT pg_catalog.count(*) FROM pg_catalog.pg_partition_tree("
      "$1::pg_catalog.oid) AS t JOIN pg_catalog.pg_class c ON c.oid = t.relid"
      " JOIN pg_catalog.pg_class root ON root.oid = $1::pg_catalog.oid"
      " WHERE c.relnamespace = root.relnamespace",
      {root});
  facts["partitions beside their root"] = schema.text(0, 0);
  return facts;
}

std::vector<std::string> partition_differences(const plan::TableTarget& target,
                                               Inventory before,
                                               const Inventory& now,
                                               const Inventory& root_now) {
  if (target.key_index_is_ours) {
    std::size_t heap = 0;
    const auto names = target.key_index_names();
    for (const catalog::QualifiedName& name : target.heaps()) {
      before.erase(
          fmt::format("partition {} index {}", name.name, names.at(heap++)));
    }
  }
  for (const auto& [fact, value] : now) {
    static constexpr std::string_view kConstraint = " constraint ";
    const auto at = fact.find(kConstraint);
    if (at == std::string::npos || before.contains(fact)) continue;
    const auto of_root = root_now.find(fact.substr(at + 1));
    if (of_root != root_now.end() && of_root->second == value) {
      before.emplace(fact, value);
    }
  }
  return exchange::differences(before, now);
}

}  // namespace pgrecast::exchange
