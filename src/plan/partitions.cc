#include "pgrecast/plan/partitions.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace pgrecast::plan {
namespace {

using catalog::Oid;

// $1 the source, $2 the shadow, a partitioned table: (what, remedy).
constexpr const char* kUnfit = R"sql(
WITH RECURSIVE part AS (
  SELECT $2::pg_catalog.oid AS oid
  UNION ALL
  SELECT i.inhrelid FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid),
source AS (
  SELECT c.oid, c.relname, c.relnamespace, c.relreplident, c.relrowsecurity
  FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid)
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, f.oid, 0)
         || CASE WHEN f.confrelid = source.oid AND f.conrelid <> source.oid
              THEN ' references the table, which becomes a partitioned one'
              ELSE ' would belong to a partitioned table, where it cannot be added without a check of all rows under the lock' END,
       'drop it, and create it again after the migration'
FROM source JOIN pg_catalog.pg_constraint f
  ON f.contype = 'f' AND f.conparentid = 0 AND source.oid IN (f.conrelid, f.confrelid)
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 0)
         || ' is a row trigger with transition tables, which a partitioned table cannot have',
       'drop it, or make it a statement trigger'
FROM source JOIN pg_catalog.pg_trigger t ON t.tgrelid = source.oid
WHERE NOT t.tgisinternal AND (t.tgtype & 1) = 1
  AND (t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL)
UNION ALL
SELECT 'publication ' || p.pubname || CASE
         WHEN NOT p.pubviaroot THEN
           ' publishes the table, and would publish its partitions as tables of their own, which its subscribers do not have'
         WHEN source.relreplident <> 'd' THEN
           ' publishes the table with a replica identity that is not the default, which partitions would not have'
         ELSE ' publishes the table, and the new one has no primary key: its updates would fail' END,
       CASE WHEN NOT p.pubviaroot THEN
              'ALTER PUBLICATION .. SET (publish_via_partition_root = true)'
            WHEN source.relreplident <> 'd' THEN
              'ALTER TABLE .. REPLICA IDENTITY DEFAULT, or take the table out of the publication'
            ELSE 'give the new table a primary key, or take the table out of the publication' END
FROM source JOIN pg_catalog.pg_publication_rel r ON r.prrelid = source.oid
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE NOT pg_catalog.starts_with(p.pubname, 'pgrecast_')
  AND (NOT p.pubviaroot OR source.relreplident <> 'd' OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_index k WHERE k.indrelid = $2::pg_catalog.oid AND k.indisprimary))
UNION ALL
SELECT pg_catalog.format('column %s is an identity column of a partitioned table', a.attname),
       'use a sequence of its own: DEFAULT nextval(..)'
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $2::pg_catalog.oid AND a.attidentity <> '' AND NOT a.attisdropped
UNION ALL
SELECT pg_catalog.format('there is %s %s in schema %s already',
         CASE WHEN taken.relname IS NULL THEN 'a type' ELSE 'a relation' END,
         mine.relname, n.nspname),
       'give the partition, or its index, another name'
FROM source
JOIN pg_catalog.pg_namespace n ON n.oid = source.relnamespace
JOIN (
  SELECT c.relname, c.relkind FROM part JOIN pg_catalog.pg_class c ON c.oid = part.oid
  WHERE part.oid <> $2::pg_catalog.oid
  UNION ALL
  SELECT ic.relname, ic.relkind FROM part JOIN pg_catalog.pg_index i ON i.indrelid = part.oid
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  WHERE NOT pg_catalog.starts_with(ic.relname, 'pgrecast_key')) AS mine ON true
LEFT JOIN pg_catalog.pg_class taken
  ON taken.relnamespace = source.relnamespace AND taken.relname = mine.relname
  AND taken.oid <> source.oid
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i
                  WHERE i.indexrelid = taken.oid AND i.indrelid = source.oid)
LEFT JOIN pg_catalog.pg_type type
  ON type.typnamespace = source.relnamespace AND type.typname = mine.relname
  AND mine.relkind IN ('r', 'p')
WHERE taken.oid IS NOT NULL OR type.oid IS NOT NULL OR mine.relname = source.relname
UNION ALL
SELECT pg_catalog.format('index %s has a tablespace of its own, which its leaves would not have', ic.relname),
       'leave TABLESPACE out, and move the leaves'' indexes after the migration'
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
WHERE i.indrelid = $2::pg_catalog.oid AND ic.reltablespace <> 0
UNION ALL
SELECT pg_catalog.format('%s has no partition that can hold a row', relname),
       'add CREATE TABLE .. PARTITION OF ..'
FROM source WHERE NOT EXISTS (
  SELECT FROM part JOIN pg_catalog.pg_class c ON c.oid = part.oid WHERE c.relkind = 'r')
ORDER BY 1)sql";

// What default privileges put there: who may read a partition by its own name
// is not held up by the root's policies.
void revoke_from_others(pg::Connection& connection, const TableTarget& target,
                        const Partition& partition) {
  const std::string name =
      pg::quote_qualified(target.shadow.schema, partition.name);
  const pg::Result others = connection.exec(
      "SELECT DISTINCT g.grantee = 0, pg_catalog.pg_get_userbyid(g.grantee)"
      " FROM pg_catalog.pg_class c"
      " CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS g"
      " WHERE c.oid = $1::pg_catalog.regclass AND g.grantee <> c.relowner",
      {name});
  for (int row = 0; row < others.rows(); ++row) {
    connection.exec(fmt::format(
        "REVOKE ALL ON TABLE {} FROM {} CASCADE", name,
        others.boolean(row, 0) ? std::string("PUBLIC")
                               : pg::quote_identifier(others.text(row, 1))));
  }
}

}  // namespace

std::vector<Partition> read_partitions(pg::Connection& connection, Oid shadow) {
  const pg::Result result = connection.exec(
      "SELECT c.relname, t.isleaf AND c.relkind = 'r'"
      " FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS t"
      " JOIN pg_catalog.pg_class c ON c.oid = t.relid"
      " WHERE t.level > 0 ORDER BY t.level, c.relname",
      {shadow});
  std::vector<Partition> partitions;
  for (int row = 0; row < result.rows(); ++row) {
    partitions.push_back({.name = std::string(result.text(row, 0)),
                          .leaf = result.boolean(row, 1)});
  }
  return partitions;
}

bool is_partitioned(pg::Connection& connection, Oid shadow) {
  return connection
      .exec(
          "SELECT relkind = 'p' FROM pg_catalog.pg_class"
          " WHERE oid = $1::pg_catalog.oid",
          {shadow})
      .boolean(0, 0);
}

ShadowIndex our_key_index(const TableTarget& target) {
  std::vector<std::string> columns;
  for (const std::string& column : target.shadow_key) {
    columns.push_back(pg::quote_identifier(column));
  }
  ShadowIndex index = target.key_index;
  index.unique = !target.partitioned();
  const auto names = target.key_index_names();
  std::size_t heap = 0;
  for (const catalog::QualifiedName& name : target.heaps()) {
    std::string create = fmt::format(
        "CREATE {}INDEX {}{} ON {} ({})", index.unique ? "UNIQUE " : "",
        heap == 0 ? "" : "IF NOT EXISTS ",  // what follows may be repeated
        pg::quote_identifier(names.at(heap)), name.quoted(),
        join(columns, ", "));
    if (heap++ == 0) {
      index.create = std::move(create);
    } else {
      index.then.push_back(std::move(create));
    }
  }
  return index;
}

std::vector<Refusal> unfit_for_partitions(pg::Connection& connection,
                                          const catalog::Table& source,
                                          Oid shadow) {
  const pg::Result result = connection.exec(kUnfit, {source.oid, shadow});
  std::vector<Refusal> refusals;
  for (int row = 0; row < result.rows(); ++row) {
    refusals.push_back({.what = fmt::format("{}: {}", source.name.display(),
                                            result.text(row, 0)),
                        .remedy = std::string(result.text(row, 1))});
  }
  return refusals;
}

void own_partitions(pg::Connection& connection, const TableTarget& target,
                    Oid shadow) {
  const pg::Result owner = connection.exec(
      "SELECT pg_catalog.pg_get_userbyid(relowner), pg_catalog.pg_get_userbyid("
      "relowner) = current_user FROM pg_catalog.pg_class"
      " WHERE oid = $1::pg_catalog.oid",
      {shadow});
  for (const Partition& partition : target.partitions) {
    revoke_from_others(connection, target, partition);
    if (owner.boolean(0, 1)) continue;
    connection.exec(
        fmt::format("ALTER TABLE {} OWNER TO {}",
                    pg::quote_qualified(target.shadow.schema, partition.name),
                    pg::quote_identifier(owner.text(0, 0))));
  }
}

}  // namespace pgrecast::plan
