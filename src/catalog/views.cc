#include "pgrecast/catalog/views.h"

#include "pgrecast/catalog/dependents.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>

namespace pgrecast::catalog {
namespace {

// $1, $2: sources and what they become; $3, $4, $5: of each renamed column its
// table, its name and its new name. The rules that a view may have beside its
// own definition do not count: they are carried by themselves.
constexpr const char* kViews = R"sql(
WITH RECURSIVE pair AS (
  SELECT p.source, p.target
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]),
                  pg_catalog.unnest($2::pg_catalog.oid[]))
    AS p(source, target)),
renamed AS (
  SELECT r.source, r.was, r.now
  FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.oid[]),
                  pg_catalog.unnest($4::pg_catalog.text[]),
                  pg_catalog.unnest($5::pg_catalog.text[]))
    AS r(source, was, now)),
reach(oid) AS (
  SELECT p.source FROM pair p
  UNION
  SELECT r.ev_class FROM reach
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid = reach.oid
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
  WHERE r.ev_class <> reach.oid),
twin(oid) AS (
  SELECT c.oid FROM reach
  JOIN pg_catalog.pg_class c ON c.oid = reach.oid AND c.relkind = 'm'
  UNION
  SELECT c.oid FROM twin
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = twin.oid AND r.ev_type = '1'
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.objid = r.oid
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')
  WHERE c.oid <> twin.oid AND c.oid IN (SELECT x.oid FROM reach x)),
anew(oid) AS (
  SELECT twin.oid FROM twin
  UNION ALL
  SELECT r.ev_class FROM pair p
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid = p.source AND d.refobjsubid > 0
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
  JOIN pg_catalog.pg_attribute a
    ON a.attrelid = p.source AND a.attnum = d.refobjsubid
  LEFT JOIN renamed m ON m.source = p.source AND m.was = a.attname
  LEFT JOIN pg_catalog.pg_attribute n
    ON n.attrelid = p.target AND n.attname = COALESCE(m.now, a.attname)
   AND n.attnum > 0 AND NOT n.attisdropped
  WHERE (n.atttypid, n.atttypmod, n.attcollation)
        IS DISTINCT FROM (a.atttypid, a.atttypmod, a.attcollation)
  UNION
  SELECT r.ev_class FROM anew
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid = anew.oid
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
  WHERE r.ev_class <> anew.oid)
SELECT v.oid, n.nspname, v.relname, pg_catalog.pg_get_userbyid(v.relowner),
       v.relkind = 'm', d.refobjid,
       d.refobjid IN (SELECT p.source FROM pair p),
       v.oid IN (SELECT a.oid FROM anew a),
       v.oid IN (SELECT w.oid FROM twin w)
FROM reach
JOIN pg_catalog.pg_class v ON v.oid = reach.oid AND v.relkind IN ('v', 'm')
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.ev_type = '1'
JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
 AND d.objid = r.oid
 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE d.refobjid <> v.oid AND d.refobjid IN (SELECT x.oid FROM reach x)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 6)sql";

// Who depends on a view that is created anew, or on its row type, and is
// neither part of it nor such a view itself: nothing of that is carried. But
// for rules of other relations that we own: they are dropped and made again.
// ($2: the sources, whose own rules are not.)
constexpr const char* kHangers = R"sql(
WITH anew AS (SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid),
part(classid, objid) AS (
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, a.oid
  FROM anew a
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid
  FROM anew a JOIN pg_catalog.pg_type t ON t.typrelid = a.oid
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.typarray
  FROM anew a JOIN pg_catalog.pg_type t ON t.typrelid = a.oid
  WHERE t.typarray <> 0
  UNION ALL
  SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid
  FROM anew a JOIN pg_catalog.pg_rewrite r ON r.ev_class = a.oid
  UNION ALL
  SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid
  FROM anew a JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.oid
  UNION ALL
  SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid
  FROM anew a JOIN pg_catalog.pg_trigger t ON t.tgrelid = a.oid
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid
  FROM anew a JOIN pg_catalog.pg_index i ON i.indrelid = a.oid
  UNION ALL
  SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid
  FROM anew a JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = a.oid),
own(classid, objid) AS (
  SELECT p.classid, p.objid FROM part p
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, v.reltoastrelid
  FROM anew a JOIN pg_catalog.pg_class v ON v.oid = a.oid)
SELECT DISTINCT
       COALESCE(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid),
                d.classid::pg_catalog.regclass::pg_catalog.text || ' '
                || d.objid::pg_catalog.text),
       'depends on '
       || pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0)
       || ', which must be created anew with the new table',
       'drop it, and create it again after the migration'
FROM pg_catalog.pg_depend d
JOIN part p ON p.classid = d.refclassid AND p.objid = d.refobjid
LEFT JOIN pg_catalog.pg_rewrite r
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
 AND r.oid = d.objid AND r.ev_type <> '1'
 AND r.ev_class <> ALL ($2::pg_catalog.oid[])
LEFT JOIN pg_catalog.pg_class holder ON holder.oid = r.ev_class
WHERE NOT (d.deptype IN ('a', 'i', 'n')
           AND EXISTS (SELECT FROM own x WHERE x.classid = d.classid
                                           AND x.objid = d.objid))
  AND NOT (d.deptype IN ('a', 'n') AND r.oid IS NOT NULL
           AND pg_catalog.pg_has_role(holder.relowner, 'USAGE')
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
UNION ALL
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid),
       'is tied to '
       || pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0)
       || ', and would lose that when it is created anew',
       'remove that beforehand, and restore it afterwards'
FROM pg_catalog.pg_depend d
JOIN part p ON p.classid = d.classid AND p.objid = d.objid
WHERE d.deptype NOT IN ('a', 'i', 'n')
UNION ALL
SELECT pg_catalog.pg_describe_object(l.classoid, l.objoid, l.objsubid),
       'has a security label of provider ' || l.provider || ' ('
       || l.label || '), and would lose it when it is created anew',
       'remove the label beforehand, and restore it afterwards'
FROM pg_catalog.pg_seclabel l
JOIN part p ON p.classid = l.classoid AND p.objid = l.objoid
UNION ALL
SELECT 'type ' || pg_catalog.format_type(t.oid, -1),
       own.what || ', which it would lose when its view is created anew',
       own.remedy
FROM part p
JOIN pg_catalog.pg_type t
  ON p.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = p.objid
CROSS JOIN LATERAL (VALUES
  (t.typacl IS NOT NULL, 'has grants of its own',
   'REVOKE them: no right on a view''s row type is needed'),
  (EXISTS (SELECT FROM pg_catalog.pg_description d
           WHERE d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass
             AND d.objoid = t.oid), 'has a comment of its own',
   'COMMENT ON TYPE .. IS NULL, and set it again afterwards')
  ) AS own(there, what, remedy)
WHERE own.there
ORDER BY 1, 2)sql";

constexpr int kHasSetOption = 160000;  // GRANT role .. WITH SET FALSE

// {0}: what it takes to give a relation to a role.
constexpr const char* kRights = R"sql(
SELECT CASE WHEN v.relkind = 'm' THEN 'materialized view ' ELSE 'view ' END
       || v.oid::pg_catalog.regclass::pg_catalog.text,
       may.reason, may.remedy
FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS u(oid)
JOIN pg_catalog.pg_class v ON v.oid = u.oid
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
CROSS JOIN LATERAL (
  SELECT pg_catalog.pg_get_userbyid(v.relowner)::pg_catalog.text AS owner) AS o
CROSS JOIN LATERAL (VALUES
  (NOT (pg_catalog.pg_has_role(v.relowner, 'USAGE')
        AND pg_catalog.pg_has_role(v.relowner, '{0}')),
   'must be created anew with the new table, and belongs to ' || o.owner,
   'run as a member of ' || o.owner),
  (NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE'),
   'must be created anew, for which the rights on schema ' || n.nspname
   || ' do not suffice',
   'GRANT CREATE ON SCHEMA ' || n.nspname || ' TO the role'),
  (pg_catalog.pg_get_userbyid(v.relowner) <> current_user
   AND NOT pg_catalog.has_schema_privilege(v.relowner, n.oid, 'CREATE'),
   'must be created anew, and given to ' || o.owner
   || ' again, who may not create in schema ' || n.nspname,
   'GRANT CREATE ON SCHEMA ' || n.nspname || ' TO ' || o.owner)
  ) AS may(lacks, reason, remedy)
WHERE may.lacks
ORDER BY 1, 2)sql";

// $1: views that are built on the new table beforehand, $2: the sources. What
// they show there must be what their REFRESH will show: the new table has its
// policies only at the exchange. And each reads as its owner.
constexpr const char* kBeforehand = R"sql(
WITH twin AS (
  SELECT v.oid, v.relkind, v.relowner, v.reloptions,
         pg_catalog.pg_get_userbyid(v.relowner)::pg_catalog.text AS owner,
         CASE WHEN v.relkind = 'm' THEN 'materialized view ' ELSE 'view ' END
         || v.oid::pg_catalog.regclass::pg_catalog.text AS what
  FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS u(oid)
  JOIN pg_catalog.pg_class v ON v.oid = u.oid)
SELECT t.what, 'is to be filled beforehand, while the row security of '
         || s.oid::pg_catalog.regclass::pg_catalog.text
         || ' decides what its owner ' || t.owner || ' may see',
       'drop it, and create it again after the migration'
FROM twin t
JOIN pg_catalog.pg_roles o ON o.oid = t.relowner
JOIN pg_catalog.pg_class s ON s.oid = ANY ($2::pg_catalog.oid[])
WHERE s.relrowsecurity AND NOT o.rolbypassrls AND NOT o.rolsuper
  AND (s.relforcerowsecurity
       OR NOT pg_catalog.pg_has_role(t.relowner, s.relowner, 'USAGE'))
UNION
SELECT t.what, 'is to be filled beforehand, and its owner ' || t.owner
         || ' may not read all columns of '
         || r.oid::pg_catalog.regclass::pg_catalog.text,
       'GRANT SELECT ON ' || r.oid::pg_catalog.regclass::pg_catalog.text
         || ' TO ' || t.owner
FROM twin t
JOIN pg_catalog.pg_rewrite w ON w.ev_class = t.oid AND w.ev_type = '1'
JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
 AND d.objid = w.oid
 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class r ON r.oid = d.refobjid AND r.oid <> t.oid
WHERE (r.oid = ANY ($2::pg_catalog.oid[])
       OR r.oid IN (SELECT x.oid FROM twin x))
  AND NOT pg_catalog.pg_has_role(t.relowner, r.relowner, 'USAGE')
  AND NOT pg_catalog.has_table_privilege(t.relowner, r.oid, 'SELECT')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_options_to_table(t.reloptions) AS o
                  WHERE o.option_name = 'security_invoker'
                    AND o.option_value::pg_catalog.bool)
UNION
SELECT 'index ' || i.indexrelid::pg_catalog.regclass::pg_catalog.text,
       'is invalid: CREATE INDEX CONCURRENTLY has failed, or is not done yet',
       'DROP INDEX it, or REINDEX INDEX CONCURRENTLY'
FROM twin t
JOIN pg_catalog.pg_index i ON i.indrelid = t.oid AND NOT i.indisvalid
UNION
SELECT 'statistics object ' || n.nspname || '.' || s.stxname,
       'must be made anew and belongs to '
         || pg_catalog.pg_get_userbyid(s.stxowner),
       'run as a member of that role'
FROM twin t
JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = t.oid
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
WHERE NOT (pg_catalog.pg_has_role(s.stxowner, 'USAGE')
           AND pg_catalog.pg_has_role(s.stxowner, $3))
ORDER BY 1, 2)sql";

// Each after those that it reads.
std::vector<DependentView> in_order(
    std::vector<DependentView> views,
    const std::map<Oid, std::set<Oid>>& reads_of) {
  std::vector<DependentView> ordered;
  std::set<Oid> visited;
  std::map<Oid, const DependentView*> by_oid;
  for (const DependentView& view : views) by_oid[view.oid] = &view;
  const std::function<void(Oid)> visit = [&](Oid oid) {
    const auto found = by_oid.find(oid);
    if (found == by_oid.end() || !visited.insert(oid).second) return;
    for (const Oid read : reads_of.at(oid)) visit(read);
    ordered.push_back(*found->second);
  };
  for (const DependentView& view : views) visit(view.oid);
  return ordered;
}

struct Renamings {
  std::vector<Oid> tables;
  std::vector<std::string> was, now;
};

Renamings renamings_of(const std::vector<Reshaped>& tables) {
  Renamings all;
  for (const Reshaped& table : tables) {
    for (const auto& [was, now] : table.renamed) {
      all.tables.push_back(table.source);
      all.was.push_back(was);
      all.now.push_back(now);
    }
  }
  return all;
}

}  // namespace

std::string oid_array(const std::vector<Oid>& oids) {
  std::string text = "{";
  for (const Oid oid : oids) {
    text += fmt::format("{}{}", text.size() > 1 ? "," : "", oid);
  }
  return text + "}";
}

std::vector<DependentView> dependent_views(
    pg::Connection& connection, const std::vector<Reshaped>& tables) {
  std::vector<Oid> sources;
  std::vector<Oid> targets;
  for (const Reshaped& table : tables) {
    sources.push_back(table.source);
    targets.push_back(table.target);
  }
  const Renamings renamed = renamings_of(tables);
  const pg::Result result = connection.exec(
      kViews,
      {oid_array(sources), oid_array(targets), oid_array(renamed.tables),
       pg::array_literal(renamed.was), pg::array_literal(renamed.now)});
  std::vector<DependentView> views;
  std::map<Oid, std::set<Oid>> reads_of;
  for (int row = 0; row < result.rows(); ++row) {
    const auto oid = result.number<Oid>(row, 0);
    if (views.empty() || views.back().oid != oid) {
      DependentView view;
      view.oid = oid;
      view.name = {.schema = std::string(result.text(row, 1)),
                   .name = std::string(result.text(row, 2))};
      view.owner = result.text(row, 3);
      view.materialized = result.boolean(row, 4);
      view.anew = result.boolean(row, 7);
      view.twin = result.boolean(row, 8);
      views.push_back(std::move(view));
    }
    reads_of[oid].insert(result.number<Oid>(row, 5));
    views.back().direct = views.back().direct || result.boolean(row, 6);
  }
  return in_order(std::move(views), reads_of);
}

std::vector<Refusal> uncarried_views(pg::Connection& connection,
                                     const std::vector<Reshaped>& tables) {
  std::vector<Refusal> refusals;
  std::vector<Oid> sources;
  for (const Reshaped& table : tables) sources.push_back(table.source);
  std::vector<Oid> anew;
  std::vector<Oid> beforehand;
  for (const DependentView& view : dependent_views(connection, tables)) {
    if (view.anew) anew.push_back(view.oid);
    if (view.twin) beforehand.push_back(view.oid);
  }
  if (anew.empty()) return refusals;
  const bool by_option = connection.server_version() >= kHasSetOption;
  const auto add = [&](const pg::Result& result) {
    for (int row = 0; row < result.rows(); ++row) {
      refusals.push_back({.what = fmt::format("{} {}", result.text(row, 0),
                                              result.text(row, 1)),
                          .remedy = std::string(result.text(row, 2))});
    }
  };
  add(connection.exec(kHangers, {oid_array(anew), oid_array(sources)}));
  const char* const can_be = by_option ? "SET" : "MEMBER";
  add(connection.exec(kBeforehand,
                      {oid_array(beforehand), oid_array(sources), can_be}));
  add(connection.exec(fmt::format(fmt::runtime(kRights), can_be),
                      {oid_array(anew)}));
  std::ranges::move(uncarried_grants(connection, anew),
                    std::back_inserter(refusals));
  return refusals;
}

}  // namespace pgrecast::catalog
