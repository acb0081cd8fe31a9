#include "pgrecast/plan/child.h"

#include "pgrecast/base/text.h"
#include "pgrecast/catalog/shape.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include "refusals.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::plan {
namespace {

using catalog::Oid;
using catalog::QualifiedName;
using catalog::Table;

constexpr const char* kParents = R"sql(
SELECT i.inhparent, n.nspname, p.relname
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid AND NOT k.relispartition
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
WHERE i.inhrelid = $1::pg_catalog.oid AND k.relkind = 'r'
ORDER BY i.inhseqno)sql";

// $1: (what, remedy).
constexpr const char* kUnfit = R"sql(
SELECT child.said || ' inherits from ' || parent.said
         || CASE WHEN p.relkind = 'r'
                 THEN ', which belongs to ' || pg_catalog.pg_get_userbyid(p.relowner)
                 ELSE ', which cannot be locked' END,
       CASE WHEN p.relkind = 'r'
            THEN 'run as a member of ' || pg_catalog.pg_get_userbyid(p.relowner)
            ELSE 'ALTER TABLE .. NO INHERIT, and INHERIT after the migration' END
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid
 AND k.relkind = 'r' AND NOT k.relispartition
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
CROSS JOIN LATERAL pg_catalog.pg_describe_object(
  'pg_catalog.pg_class'::pg_catalog.regclass, k.oid, 0) AS child(said)
CROSS JOIN LATERAL pg_catalog.pg_describe_object(
  'pg_catalog.pg_class'::pg_catalog.regclass, p.oid, 0) AS parent(said)
WHERE i.inhrelid = $1::pg_catalog.oid
  AND (p.relkind <> 'r' OR NOT pg_catalog.pg_has_role(p.relowner, 'USAGE'))
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0)
         || ' is inherited and not valid: it cannot come to the new table as it is',
       'ALTER TABLE .. VALIDATE CONSTRAINT; or drop it'
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_class k ON k.oid = c.conrelid
 AND k.relkind = 'r' AND NOT k.relispartition
WHERE c.conrelid = $1::pg_catalog.oid AND c.contype IN ('c', 'n')
  AND c.coninhcount > 0 AND NOT c.convalidated
ORDER BY 1)sql";

constexpr const char* kFacts = R"sql(
SELECT 'inherits from ' || pg_catalog.format('%I.%I', n.nspname, p.relname),
       pg_catalog.row_number() OVER (ORDER BY i.inhseqno)::pg_catalog.text
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid AND NOT k.relispartition
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
WHERE i.inhrelid = $1 AND k.relkind = 'r'
UNION ALL
SELECT 'inherited column ' || a.attname,
       pg_catalog.concat_ws(' ', a.attislocal, a.attinhcount)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class k ON k.oid = a.attrelid AND NOT k.relispartition
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  AND (a.attinhcount > 0 OR NOT a.attislocal)
UNION ALL
SELECT 'inherited constraint ' || c.conname,
       pg_catalog.concat_ws(' ', c.conislocal, c.coninhcount, c.connoinherit)
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_class k ON k.oid = c.conrelid AND NOT k.relispartition
WHERE c.conrelid = $1 AND c.contype IN ('c', 'n')
  AND (c.coninhcount > 0 OR NOT c.conislocal)
)sql";

// A column's type, as CREATE TABLE says it.
constexpr const char* kColumnType = R"sql(
       pg_catalog.format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))
       || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE '
               || a.attcollation::pg_catalog.regcollation::pg_catalog.text
               ELSE '' END)sql";

// Of $1, each after the other: what stands between the brackets of a CREATE
// TABLE that makes the stand-in of a child. The expression of a generated
// column is the child's.
std::string inherited_columns_query() {
  return fmt::format(R"sql(
SELECT COALESCE(pg_catalog.string_agg({}
         || CASE WHEN a.attgenerated = '' THEN ''
                 ELSE ' GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
                      || CASE a.attgenerated WHEN 's' THEN ') STORED' ELSE ') VIRTUAL' END END,
         ', ' ORDER BY a.attnum), '')
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attinhcount > 0)sql",
                     kColumnType);
}

// The same, of what it has of its own as well as of its parents: naming it
// makes it local. A CHECK is added afterwards.
std::string local_columns_query() {
  return fmt::format(R"sql(
SELECT COALESCE(pg_catalog.string_agg(part.text, ', ' ORDER BY part.place, part.number), '')
FROM (
  SELECT 1 AS place, a.attnum::pg_catalog.int8 AS number, {} AS text
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attinhcount > 0 AND a.attislocal
  UNION ALL
  SELECT 2, c.oid::pg_catalog.int8,
         pg_catalog.format('CONSTRAINT %I %s', c.conname, pg_catalog.pg_get_constraintdef(c.oid))
  FROM pg_catalog.pg_constraint c
  WHERE c.conrelid = $1::pg_catalog.oid AND c.contype = 'n'
    AND c.coninhcount > 0 AND c.conislocal) AS part)sql",
                     kColumnType);
}

// Constraints of $1 as statements on $2 (quoted), where {0} holds.
constexpr const char* kConstraints = R"sql(
SELECT pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text,
         c.conname, pg_catalog.pg_get_constraintdef(c.oid))
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1::pg_catalog.oid AND {} ORDER BY c.oid)sql";

constexpr const char* kInheritedNotNulls =
    "c.contype = 'n' AND c.coninhcount > 0";
constexpr const char* kLocalChecks = "c.contype = 'c' AND c.conislocal";
constexpr const char* kInheritedChecks =
    "c.contype = 'c' AND c.coninhcount > 0";
// NO INHERIT, so that no child has got it by inheriting.
constexpr const char* kNotNullsAlone =
    "c.contype = 'n' AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_constraint mine "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = mine.conrelid "
    "AND a.attnum = mine.conkey[1] "
    "JOIN pg_catalog.pg_attribute b ON b.attrelid = c.conrelid "
    "AND b.attnum = c.conkey[1] AND b.attname = a.attname "
    "WHERE mine.conrelid = $2::pg_catalog.regclass AND mine.contype = 'n')";
constexpr const char* kAllChecks = "c.contype = 'c'";

// Identities are nothing to be inherited.
constexpr const char* kIdentities = R"sql(
SELECT pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY '
         '(START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s %s)', $2::pg_catalog.text,
         a.attname, CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END,
         q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
         CASE WHEN q.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_depend d ON d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'i'
JOIN pg_catalog.pg_sequence q ON q.seqrelid = d.objid
WHERE a.attrelid = $1::pg_catalog.oid AND a.attidentity <> '' AND NOT a.attisdropped
ORDER BY a.attnum)sql";

constexpr const char* kColumnComments = R"sql(
SELECT pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', $2::pg_catalog.text, a.attname,
         d.description)
FROM pg_catalog.pg_description d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
WHERE d.objoid = $1::pg_catalog.oid AND d.objsubid > 0
  AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass)sql";

// What `query` answers for the two, statement by statement.
void exec_each(pg::Connection& connection, const std::string& query, Oid of,
               const QualifiedName& onto) {
  const pg::Result statements = connection.exec(query, {of, onto.quoted()});
  for (int row = 0; row < statements.rows(); ++row) {
    connection.exec(std::string(statements.text(row, 0)));
  }
}

void add_constraints(pg::Connection& connection, const char* which, Oid of,
                     const QualifiedName& onto) {
  exec_each(connection, fmt::format(fmt::runtime(kConstraints), which), of,
            onto);
}

std::string inherit(const QualifiedName& child, const QualifiedName& parent) {
  return fmt::format("ALTER TABLE {} INHERIT {}", child.quoted(),
                     parent.quoted());
}

std::string leave(const QualifiedName& child, const QualifiedName& parent) {
  return fmt::format("ALTER TABLE {} NO INHERIT {}", child.quoted(),
                     parent.quoted());
}

// What is the same whoever the parents are.
catalog::Facts marks_of(pg::Connection& connection, Oid table) {
  catalog::Facts facts = catalog::facts_of(connection.exec(kFacts, {table}));
  std::erase_if(facts, [](const auto& fact) {
    return fact.first.starts_with("inherits from ");
  });
  return facts;
}

}  // namespace

std::vector<Parent> read_parents(pg::Connection& connection, Oid table) {
  const pg::Result result = connection.exec(kParents, {table});
  std::vector<Parent> parents;
  for (int row = 0; row < result.rows(); ++row) {
    parents.push_back({.oid = result.number<Oid>(row, 0),
                       .name = {.schema = std::string(result.text(row, 1)),
                                .name = std::string(result.text(row, 2))}});
  }
  return parents;
}

std::vector<Refusal> unfit_child(pg::Connection& connection,
                                 const Table& table) {
  return read_refusals(connection.exec(kUnfit, {table.oid}));
}

const char* child_facts_query() {
  return kFacts;
}

// Columns come from a model that has all of them, in their order; those that
// are named besides are local. To the end it is left again: what the stand-in
// does not have is then the child's alone.
void make_child(pg::Connection& connection, const Table& source,
                const QualifiedName& shadow, const std::string& storage) {
  const QualifiedName above = {.schema = shadow.schema,
                               .name = kStandIn + std::to_string(source.oid)};
  const QualifiedName model = {.schema = shadow.schema,
                               .name = above.name + "_model"};
  const auto elements = [&](const std::string& query) {
    return std::string(connection.exec(query, {source.oid}).text(0, 0));
  };
  connection.exec(fmt::format("CREATE TABLE {} ({})", above.quoted(),
                              elements(inherited_columns_query())));
  add_constraints(connection, kInheritedNotNulls, source.oid, above);
  connection.exec(fmt::format(
      "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED "
      "INCLUDING STORAGE INCLUDING COMPRESSION)",
      model.quoted(), source.name.quoted()));
  connection.exec(fmt::format("CREATE TABLE {} ({}) INHERITS ({}){}",
                              shadow.quoted(), elements(local_columns_query()),
                              model.quoted(), storage));
  connection.exec(inherit(shadow, above));
  connection.exec(leave(shadow, model));
  connection.exec("DROP TABLE " + model.quoted());
  add_constraints(connection, kLocalChecks, source.oid, shadow);
  add_constraints(connection, kInheritedChecks, source.oid, above);
  add_constraints(connection, kNotNullsAlone, source.oid, shadow);
  exec_each(connection, kIdentities, source.oid, shadow);
  exec_each(connection, kColumnComments, source.oid, shadow);
}

QualifiedName copy_columns(pg::Connection& connection, Oid table,
                           const QualifiedName& name,
                           const std::string& schema) {
  QualifiedName copy = {.schema = schema, .name = std::to_string(table)};
  connection.exec(fmt::format("CREATE TABLE {} (LIKE {} INCLUDING GENERATED)",
                              copy.quoted(), name.quoted()));
  add_constraints(connection, kAllChecks, table, copy);
  return copy;
}

std::vector<Refusal> try_inherit(pg::Connection& connection,
                                 const Table& source,
                                 const QualifiedName& shadow,
                                 const std::string& schema) {
  const Oid oid =
      catalog::find_relation(connection, shadow.schema, shadow.name).value();
  const std::vector<Parent> stand_ins = read_parents(connection, oid);
  try {
    const QualifiedName old =
        copy_columns(connection, source.oid, source.name, schema);
    for (const Parent& parent : read_parents(connection, source.oid)) {
      const QualifiedName copy =
          copy_columns(connection, parent.oid, parent.name, schema);
      connection.exec(inherit(old, copy));
      connection.exec(leave(old, copy));
      connection.exec(inherit(shadow, copy));
    }
    for (const Parent& above : stand_ins) {
      connection.exec(leave(shadow, above.name));
    }
  } catch (const pg::SqlError& error) {
    if (error.remedy() != Remedy::kFail) throw;
    return {{.what = fmt::format("{} cannot inherit again with its new shape: "
                                 "{}",
                                 source.name.display(), error.what()),
             .remedy = "ALTER TABLE .. NO INHERIT, and INHERIT after the "
                       "migration"}};
  }
  const auto lines = catalog::differences(marks_of(connection, source.oid),
                                          marks_of(connection, oid));
  if (lines.empty()) return {};
  return {{.what = fmt::format("inheriting again, {} would not be the child "
                               "that it was: {}",
                               source.name.display(), join(lines, "; ")),
           .remedy = "leave what it inherits as it is"}};
}

}  // namespace pgrecast::plan
