// What mentions a source from elsewhere and is no view's own query: rules and
// policies of other relations, and functions whose bodies the server keeps
// parsed (BEGIN ATOMIC). All of them name the table by its OID.

#include "pgrecast/pg/quote.h"

#include "carried.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::exchange {
namespace {

using catalog::Oid;

// $1: sources, $2: views that are created anew. Rules of such a view, and rules
// of others that mention a source or such a view: dropped, and made again. A
// source's own rules are not among them.
constexpr const char* kRules = R"sql(
SELECT r.oid, c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname),
       c.relkind = 'v', c.oid = ANY ($2::pg_catalog.oid[]),
       pg_catalog.format('DROP RULE %I ON %I.%I', r.rulename, n.nspname,
                         c.relname),
       pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid), '; '),
       CASE r.ev_enabled WHEN 'O' THEN '' ELSE
         pg_catalog.format('ALTER TABLE %I.%I %s RULE %I', n.nspname, c.relname,
           CASE r.ev_enabled WHEN 'D' THEN 'DISABLE'
             WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' END,
           r.rulename) END,
       COALESCE(pg_catalog.format('COMMENT ON RULE %I ON %I.%I IS ', r.rulename,
                                  n.nspname, c.relname)
         || pg_catalog.quote_literal(
              pg_catalog.obj_description(r.oid, 'pg_rewrite')), ''),
       pg_catalog.format('ALTER VIEW %I.%I OWNER TO %I', n.nspname, c.relname,
                         pg_catalog.pg_get_userbyid(c.relowner)),
       n.nspname, c.relname
FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_type <> '1' AND c.oid <> ALL ($1::pg_catalog.oid[])
  AND (c.oid = ANY ($2::pg_catalog.oid[])
       OR r.oid IN (
         SELECT d.objid FROM pg_catalog.pg_depend d
         WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
           AND d.refobjid = ANY ($1::pg_catalog.oid[]
                                 || $2::pg_catalog.oid[])))
ORDER BY r.oid)sql";

constexpr const char* kPolicies = R"sql(
SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname),
       pg_catalog.concat(
         pg_catalog.format('ALTER POLICY %I ON %I.%I', p.polname, n.nspname,
                           c.relname),
         ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
         ' WITH CHECK ('
           || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_catalog.pg_policy p
JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid <> ALL ($1::pg_catalog.oid[])
  AND p.oid IN (
    SELECT d.objid FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refobjid = ANY ($1::pg_catalog.oid[]))
ORDER BY p.oid)sql";

// OR REPLACE: OID, owner, grants and comment stay; DEPENDS ON EXTENSION does
// not.
constexpr const char* kFunctions = R"sql(
SELECT pg_catalog.pg_get_functiondef(p.oid)
       || COALESCE((
         SELECT pg_catalog.string_agg(pg_catalog.format(
                  ';ALTER ROUTINE %s DEPENDS ON EXTENSION %I',
                  p.oid::pg_catalog.regprocedure, e.extname), '')
         FROM pg_catalog.pg_depend x
         JOIN pg_catalog.pg_extension e ON e.oid = x.refobjid
         WHERE x.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
           AND x.objid = p.oid AND x.deptype = 'x'
           AND x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass),
         '')
FROM pg_catalog.pg_proc p
WHERE p.prosqlbody IS NOT NULL
  AND p.oid IN (
    SELECT d.objid FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND (d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
           AND d.refobjid = ANY ($1::pg_catalog.oid[])
           OR d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
           AND d.refobjid IN (
             SELECT x.oid FROM pg_catalog.pg_constraint x
             WHERE x.conrelid = ANY ($1::pg_catalog.oid[]))))
ORDER BY p.oid)sql";

class Readers {
 public:
  Readers(pg::Connection& connection, const std::vector<ExchangeTable>& tables,
          Carried& carried)
      : connection_(connection), carried_(carried) {
    std::vector<Oid> sources;
    for (const ExchangeTable& table : tables) {
      sources.push_back(table.source_oid);
    }
    sources_ = catalog::oid_array(sources);
  }

  void carry() {
    rules();
    policies();
    const pg::Result functions = connection_.exec(kFunctions, {sources_});
    for (int row = 0; row < functions.rows(); ++row) {
      carried_.after.emplace_back(functions.text(row, 0));
    }
  }

 private:
  void rules();
  void policies();

  void lock(Oid oid, std::string_view name) {
    const auto& known = carried_.other_oids;
    if (std::ranges::find(known, oid) != known.end()) return;
    carried_.other_oids.push_back(oid);
    carried_.other_tables.emplace_back(name);
  }

  void append(std::string_view statement) {
    if (!statement.empty()) carried_.after.emplace_back(statement);
  }

  pg::Connection& connection_;
  Carried& carried_;
  std::string sources_;
};

void Readers::rules() {
  std::vector<Oid> anew;
  for (const Carried::View& view : carried_.views_anew) {
    anew.push_back(view.oid);
  }
  const pg::Result result =
      connection_.exec(kRules, {sources_, catalog::oid_array(anew)});
  std::vector<std::string> drops;
  for (int row = 0; row < result.rows(); ++row) {
    if (!result.boolean(row, 3)) {
      lock(result.number<Oid>(row, 1), result.text(row, 2));
    } else if (!result.boolean(row, 4)) {
      carried_.lock_views.emplace_back(result.text(row, 9));
      carried_.locked_views.push_back(
          {.schema = std::string(result.text(row, 10)),
           .name = std::string(result.text(row, 11))});
    }
    drops.emplace_back(result.text(row, 5));
    for (const int part : {6, 7, 8}) append(result.text(row, part));
  }
  // Before the views: a rule of another relation may mention one.
  carried_.before.insert(carried_.before.begin(), drops.begin(), drops.end());
}

void Readers::policies() {
  const pg::Result result = connection_.exec(kPolicies, {sources_});
  for (int row = 0; row < result.rows(); ++row) {
    lock(result.number<Oid>(row, 0), result.text(row, 1));
    append(result.text(row, 2));
  }
}

}  // namespace

void carry_readers(pg::Connection& connection,
                   const std::vector<ExchangeTable>& tables, Carried& carried) {
  Readers(connection, tables, carried).carry();
}

}  // namespace pgrecast::exchange
