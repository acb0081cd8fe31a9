#include "pgrecast/plan/clone.h"

#include "pgrecast/base/error.h"
#include "pgrecast/pg/array.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/child.h"

#include <fmt/format.h>

namespace pgrecast::plan {
namespace {

using catalog::Oid;
using catalog::QualifiedName;

// Runs what `query` answers, statement by statement: the server quotes names
// and prints definitions, so that no text is rewritten here.
void exec_each(pg::Connection& connection, const std::string& query,
               const std::vector<pg::Param>& params) {
  const pg::Result statements = connection.exec(query, params);
  for (int row = 0; row < statements.rows(); ++row) {
    connection.exec(std::string(statements.text(row, 0)));
  }
}

// The identity's sequences are created with names of the server's choice; the
// schema is another, so the original's names are free.
constexpr const char* kIdentityNames = R"sql(
SELECT pg_catalog.format('ALTER SEQUENCE %s RENAME TO %I',
         d2.objid::pg_catalog.regclass, s1.relname)
FROM pg_catalog.pg_depend d1
JOIN pg_catalog.pg_class s1 ON s1.oid = d1.objid AND s1.relkind = 'S'
JOIN pg_catalog.pg_attribute a1 ON a1.attrelid = d1.refobjid AND a1.attnum = d1.refobjsubid
JOIN pg_catalog.pg_attribute a2 ON a2.attrelid = $2::pg_catalog.regclass AND a2.attname = a1.attname
JOIN pg_catalog.pg_depend d2 ON d2.refobjid = a2.attrelid AND d2.refobjsubid = a2.attnum
  AND d2.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d2.deptype = 'i'
  AND d2.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class s2 ON s2.oid = d2.objid AND s2.relkind = 'S'
WHERE d1.refobjid = $1::pg_catalog.oid AND d1.deptype = 'i'
  AND d1.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d1.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND s1.relname <> s2.relname)sql";

// LIKE .. INCLUDING IDENTITY makes bigint sequences that end where the source's
// do. As the source has it, ALTER COLUMN .. TYPE widens it as by hand.
constexpr const char* kIdentityTypes = R"sql(
SELECT pg_catalog.format('ALTER SEQUENCE %s AS %s',
         d2.objid::pg_catalog.regclass, pg_catalog.format_type(q1.seqtypid, -1))
FROM pg_catalog.pg_depend d1
JOIN pg_catalog.pg_sequence q1 ON q1.seqrelid = d1.objid
JOIN pg_catalog.pg_attribute a1 ON a1.attrelid = d1.refobjid AND a1.attnum = d1.refobjsubid
JOIN pg_catalog.pg_attribute a2 ON a2.attrelid = $2::pg_catalog.regclass AND a2.attname = a1.attname
JOIN pg_catalog.pg_depend d2 ON d2.refobjid = a2.attrelid AND d2.refobjsubid = a2.attnum
  AND d2.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d2.deptype = 'i'
  AND d2.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_sequence q2 ON q2.seqrelid = d2.objid
WHERE d1.refobjid = $1::pg_catalog.oid AND d1.deptype = 'i'
  AND d1.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d1.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND q1.seqtypid <> q2.seqtypid)sql";

// Since 15 a sequence may be UNLOGGED beside a table that is not.
constexpr const char* kIdentityPersistence = R"sql(
SELECT pg_catalog.format('ALTER SEQUENCE %s SET UNLOGGED',
         d2.objid::pg_catalog.regclass)
FROM pg_catalog.pg_depend d1
JOIN pg_catalog.pg_class s1
  ON s1.oid = d1.objid AND s1.relkind = 'S' AND s1.relpersistence = 'u'
JOIN pg_catalog.pg_attribute a1 ON a1.attrelid = d1.refobjid AND a1.attnum = d1.refobjsubid
JOIN pg_catalog.pg_attribute a2 ON a2.attrelid = $2::pg_catalog.regclass AND a2.attname = a1.attname
JOIN pg_catalog.pg_depend d2 ON d2.refobjid = a2.attrelid AND d2.refobjsubid = a2.attnum
  AND d2.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d2.deptype = 'i'
  AND d2.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE d1.refobjid = $1::pg_catalog.oid AND d1.deptype = 'i'
  AND d1.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d1.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)sql";

constexpr const char* kChecks = R"sql(
SELECT pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text,
         conname, pg_catalog.pg_get_constraintdef(oid))
FROM pg_catalog.pg_constraint
WHERE conrelid = $1::pg_catalog.oid AND contype = 'c' ORDER BY oid)sql";

// Since 18 NOT NULL may be NOT VALID, which LIKE does not keep: old rows break
// it.
constexpr const char* kLooseNotNulls = R"sql(
SELECT pg_catalog.format('ALTER TABLE %1$s DROP CONSTRAINT %2$I, ADD CONSTRAINT %3$I %4$s',
         $2::pg_catalog.text, copy.conname, c.conname, pg_catalog.pg_get_constraintdef(c.oid))
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_catalog.pg_attribute b
  ON b.attrelid = $2::pg_catalog.regclass AND b.attname = a.attname
JOIN pg_catalog.pg_constraint copy
  ON copy.conrelid = b.attrelid AND copy.contype = 'n' AND copy.conkey = ARRAY[b.attnum]
WHERE c.conrelid = $1::pg_catalog.oid AND c.contype = 'n' AND NOT c.convalidated)sql";

constexpr const char* kColumnOptions = R"sql(
SELECT pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', $2::pg_catalog.text,
         attname, attstattarget)
FROM pg_catalog.pg_attribute
WHERE attrelid = $1::pg_catalog.oid AND attnum > 0 AND NOT attisdropped
  AND attstattarget >= 0
UNION ALL
SELECT pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', $2::pg_catalog.text, attname,
         pg_catalog.array_to_string(attoptions, ', '))
FROM pg_catalog.pg_attribute
WHERE attrelid = $1::pg_catalog.oid AND attnum > 0 AND NOT attisdropped
  AND attoptions IS NOT NULL)sql";

constexpr const char* kComments = R"sql(
SELECT pg_catalog.format('COMMENT ON TABLE %s IS %L', $2::pg_catalog.text, d.description)
FROM pg_catalog.pg_description d
WHERE d.objoid = $1::pg_catalog.oid AND d.objsubid = 0
  AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
UNION ALL
SELECT pg_catalog.format('COMMENT ON CONSTRAINT %I ON %s IS %L', c.conname, $2::pg_catalog.text,
         d.description)
FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_description d
  ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
WHERE c.conrelid = $1::pg_catalog.oid AND c.contype IN ('c', 'n'))sql";

constexpr const char* kReplicaIdentity = R"sql(
SELECT pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', $2::pg_catalog.text,
         CASE relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
FROM pg_catalog.pg_class
WHERE oid = $1::pg_catalog.oid AND relreplident IN ('f', 'n'))sql";

// One row an index of table $1, by statements on $2 (quoted): name, whether it
// is unique or excludes, CREATE INDEX, the constraint, and what follows. The
// definition that the server prints names the table right behind ON; that part
// alone is exchanged, and only if it is exactly what it must be. Of a
// partitioned table it prints ON ONLY, which is left out: the index is made on
// all leaves. There a constraint cannot use an index that exists.
constexpr const char* kIndexes = R"sql(
SELECT ic.relname, i.indisunique OR i.indisexclusion,
       CASE WHEN whole.constraint_makes_it THEN ''
            WHEN pg_catalog.starts_with(def.text, def.head || def.only || def.on_table || ' ')
            THEN def.head || $2::pg_catalog.text
                 || pg_catalog.substr(def.text,
                      pg_catalog.length(def.head || def.only || def.on_table) + 1) END,
       CASE WHEN whole.constraint_makes_it THEN
              pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text, con.conname,
                                pg_catalog.pg_get_constraintdef(con.oid))
            WHEN con.oid IS NOT NULL THEN
              pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s USING INDEX %I%s%s',
                $2::pg_catalog.text, con.conname,
                CASE con.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, ic.relname,
                CASE WHEN con.condeferrable THEN ' DEFERRABLE' ELSE '' END,
                CASE WHEN con.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END) END,
       ARRAY(SELECT pg_catalog.format('ALTER INDEX %I.%I SET TABLESPACE %I', $3::pg_catalog.text, ic.relname, s.spcname)
             FROM pg_catalog.pg_tablespace s WHERE s.oid = ic.reltablespace)
       || ARRAY(SELECT pg_catalog.format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s',
                       $3::pg_catalog.text, ic.relname, a.attnum, a.attstattarget)
                FROM pg_catalog.pg_attribute a WHERE a.attrelid = ic.oid AND a.attstattarget >= 0)
       || ARRAY(SELECT pg_catalog.format('ALTER TABLE %s CLUSTER ON %I', $2::pg_catalog.text, ic.relname)
                WHERE i.indisclustered)
       || ARRAY(SELECT pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I',
                       $2::pg_catalog.text, ic.relname)
                WHERE i.indisreplident)
       || ARRAY(SELECT pg_catalog.format('COMMENT ON INDEX %I.%I IS %L', $3::pg_catalog.text, ic.relname,
                       d.description)
                FROM pg_catalog.pg_description d
                WHERE d.objoid = ic.oid AND d.objsubid = 0
                  AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass)
       || ARRAY(SELECT pg_catalog.format('COMMENT ON CONSTRAINT %I ON %s IS %L', con.conname,
                       $2::pg_catalog.text, d.description)
                FROM pg_catalog.pg_description d
                WHERE d.objoid = con.oid AND d.objsubid = 0
                  AND d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass),
       i.indisvalid, con.contype = 'p'
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint con
  ON con.conindid = ic.oid AND con.conrelid = c.oid AND con.contype IN ('p', 'u', 'x')
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_indexdef(ic.oid) AS text,
  CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END
    || pg_catalog.quote_ident(ic.relname) || ' ON ' AS head,
  CASE ic.relkind WHEN 'I' THEN 'ONLY ' ELSE '' END AS only,
  pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS on_table) AS def
CROSS JOIN LATERAL (SELECT con.oid IS NOT NULL AND (ic.relkind = 'I' OR con.contype = 'x'
  OR pg_catalog.to_jsonb(con)->>'conperiod' = 'true') AS constraint_makes_it) AS whole
WHERE i.indrelid = $1::pg_catalog.oid
ORDER BY ic.oid)sql";

// " PARTITION BY ..", or nothing.
std::string partition_key(pg::Connection& connection, Oid table) {
  return std::string(
      connection
          .exec("SELECT COALESCE(' PARTITION BY ' || "
                "pg_catalog.pg_get_partkeydef($1::pg_catalog.oid), '')",
                {table})
          .text(0, 0));
}

// Every level, parents first, all beside their root. What a partition has of
// its own and does not get here, unlike_partitions() finds.
constexpr const char* kPartitions = R"sql(
SELECT c.oid, c.relname, p.relname, pg_catalog.pg_get_expr(c.relpartbound, c.oid)
FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS t
JOIN pg_catalog.pg_class c ON c.oid = t.relid
JOIN pg_catalog.pg_class p ON p.oid = t.parentrelid
WHERE t.level > 0 ORDER BY t.level, c.oid)sql";

constexpr const char* kColumnComments = R"sql(
SELECT pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', $2::pg_catalog.text, a.attname,
         d.description)
FROM pg_catalog.pg_description d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
WHERE d.objoid = $1::pg_catalog.oid AND d.objsubid > 0
  AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass)sql";

void clone_partitions(pg::Connection& connection, const catalog::Table& source,
                      const QualifiedName& shadow) {
  const pg::Result all = connection.exec(kPartitions, {source.oid});
  for (int row = 0; row < all.rows(); ++row) {
    const auto oid = all.number<Oid>(row, 0);
    const std::string name =
        pg::quote_qualified(shadow.schema, all.text(row, 1));
    connection.exec(fmt::format(
        "CREATE TABLE {} PARTITION OF {} {}{}{}", name,
        pg::quote_qualified(shadow.schema, all.text(row, 2)), all.text(row, 3),
        partition_key(connection, oid), storage_clauses(connection, oid)));
    const std::vector<pg::Param> both = {oid, name};
    exec_each(connection, kColumnOptions, both);
    exec_each(connection, kColumnComments, both);
    exec_each(connection, kComments, both);
  }
}

std::vector<ShadowIndex> read_index_statements(pg::Connection& connection,
                                               Oid table,
                                               const QualifiedName& onto) {
  const pg::Result result =
      connection.exec(kIndexes, {table, onto.quoted(), onto.schema});
  std::vector<ShadowIndex> indexes;
  for (int row = 0; row < result.rows(); ++row) {
    if (result.is_null(row, 2)) {
      throw Refused(fmt::format("the definition of index {} cannot be read",
                                result.text(row, 0)),
                    "please report it, with the definition of the index");
    }
    indexes.push_back(
        {.name = std::string(result.text(row, 0)),
         .unique = result.boolean(row, 1),
         .from_script = false,
         .create = std::string(result.text(row, 2)),
         .constraint = result.optional_text(row, 3),
         .then = pg::array_elements(connection, result.text(row, 4))});
  }
  return indexes;
}

}  // namespace

// reloptions as WITH (..): fillfactor='70', toast.autovacuum_enabled='off'.
std::string storage_clauses(pg::Connection& connection, Oid source) {
  const pg::Result result = connection.exec(R"sql(
SELECT COALESCE((SELECT am.amname FROM pg_catalog.pg_am am WHERE am.oid = c.relam), ''),
       COALESCE((SELECT pg_catalog.string_agg(o.prefix || pg_catalog.quote_ident(o.option_name)
                   || '=' || pg_catalog.quote_literal(o.option_value), ', ')
                 FROM (SELECT '' AS prefix, (pg_catalog.pg_options_to_table(c.reloptions)).*
                       UNION ALL
                       SELECT 'toast.', (pg_catalog.pg_options_to_table(t.reloptions)).*
                       FROM pg_catalog.pg_class t WHERE t.oid = c.reltoastrelid) AS o), ''),
       COALESCE((SELECT s.spcname FROM pg_catalog.pg_tablespace s WHERE s.oid = c.reltablespace), '')
FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid)sql",
                                            {source});
  std::string clauses;
  if (const auto method = result.text(0, 0); !method.empty()) {
    clauses += " USING " + pg::quote_identifier(method);
  }
  if (const auto options = result.text(0, 1); !options.empty()) {
    clauses += fmt::format(" WITH ({})", options);
  }
  if (const auto tablespace = result.text(0, 2); !tablespace.empty()) {
    clauses += " TABLESPACE " + pg::quote_identifier(tablespace);
  }
  return clauses;
}

namespace {

// Columns, and what is theirs.
void make_columns(pg::Connection& connection, const catalog::Table& source,
                  const QualifiedName& shadow) {
  const std::vector<pg::Param> both = {source.oid, shadow.quoted()};
  const std::string storage = storage_clauses(connection, source.oid);
  if (source.inherits) {
    make_child(connection, source, shadow, storage);
  } else {
    connection.exec(fmt::format(
        "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED "
        "INCLUDING IDENTITY INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING "
        "COMMENTS){}{}",
        shadow.quoted(), source.name.quoted(),
        partition_key(connection, source.oid), storage));
    exec_each(connection, kChecks, both);
  }
  exec_each(connection, kIdentityNames, both);
  exec_each(connection, kIdentityTypes, both);
  exec_each(connection, kIdentityPersistence, both);
  exec_each(connection, kLooseNotNulls, both);
  exec_each(connection, kColumnOptions, both);
}

// Indexes and the rest: where it is partitioned, partitions get theirs.
void finish_clone(pg::Connection& connection, const catalog::Table& source,
                  const QualifiedName& shadow) {
  for (const ShadowIndex& index :
       read_index_statements(connection, source.oid, shadow)) {
    if (!index.create.empty()) connection.exec(index.create);
    if (index.constraint) connection.exec(*index.constraint);
    for (const std::string& statement : index.then) connection.exec(statement);
  }
  const std::vector<pg::Param> both = {source.oid, shadow.quoted()};
  exec_each(connection, kComments, both);
  exec_each(connection, kReplicaIdentity, both);
  own_table(connection, source.owner, shadow);
}

}  // namespace

void create_clone(pg::Connection& connection, const catalog::Table& source,
                  const QualifiedName& shadow) {
  make_columns(connection, source, shadow);
  if (source.partitioned()) clone_partitions(connection, source, shadow);
  finish_clone(connection, source, shadow);
}

void create_clone_without_partitions(pg::Connection& connection,
                                     const catalog::Table& source,
                                     const QualifiedName& clone) {
  make_columns(connection, source, clone);
  finish_clone(connection, source, clone);
}

void own_table(pg::Connection& connection, const std::string& owner,
               const QualifiedName& shadow) {
  const pg::Result me = connection.exec("SELECT current_user");
  if (me.text(0, 0) == owner) return;
  connection.exec(
      fmt::format("GRANT USAGE, CREATE ON SCHEMA {0} TO {1}; ALTER TABLE {2} "
                  "OWNER TO {1}",
                  pg::quote_identifier(shadow.schema),
                  pg::quote_identifier(owner), shadow.quoted()));
}

ClonedIndexes read_indexes(pg::Connection& connection, Oid shadow_oid,
                           const QualifiedName& shadow) {
  ClonedIndexes cloned;
  cloned.indexes = read_index_statements(connection, shadow_oid, shadow);
  const pg::Result late = connection.exec(R"sql(
SELECT pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text, conname,
         pg_catalog.pg_get_constraintdef(c.oid)),
       CASE WHEN d.description IS NOT NULL THEN
         pg_catalog.format('COMMENT ON CONSTRAINT %I ON %s IS %L', conname, $2::pg_catalog.text,
                           d.description) END
FROM pg_catalog.pg_constraint c
LEFT JOIN pg_catalog.pg_description d
  ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
WHERE conrelid = $1::pg_catalog.oid AND contype IN ('c', 'n') AND NOT convalidated
ORDER BY c.oid)sql",
                                          {shadow_oid, shadow.quoted()});
  for (int row = 0; row < late.rows(); ++row) {
    cloned.late_constraints.emplace_back(late.text(row, 0));
    if (!late.is_null(row, 1)) {
      cloned.late_constraints.emplace_back(late.text(row, 1));
    }
  }
  return cloned;
}

void strip_indexes(pg::Connection& connection, Oid shadow_oid,
                   const QualifiedName& shadow) {
  exec_each(connection, R"sql(
SELECT pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', $2::pg_catalog.text, conname)
FROM pg_catalog.pg_constraint
WHERE conrelid = $1::pg_catalog.oid
  AND (contype IN ('p', 'u', 'x') OR (contype IN ('c', 'n') AND NOT convalidated)))sql",
            {shadow_oid, shadow.quoted()});
  exec_each(connection, R"sql(
SELECT pg_catalog.format('DROP INDEX %s', indexrelid::pg_catalog.regclass)
FROM pg_catalog.pg_index WHERE indrelid = $1::pg_catalog.oid)sql",
            {shadow_oid});
}

}  // namespace pgrecast::plan
