// Views on the sources, at any depth. Those whose columns stay what they are
// are replaced and keep their OIDs, so that views on them need nothing; the
// others are dropped, from the top, and created anew, from the bottom, or a
// twin that was made before takes the place (plan/twins.h).

#include "pgrecast/base/assert.h"
#include "pgrecast/pg/quote.h"

#include "carried.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::exchange {
namespace {

using catalog::DependentView;
using catalog::Oid;

// The lock, and CREATE [OR REPLACE] VIEW with a hole. With its options, as
// CREATE OR REPLACE VIEW drops what is left out, and without security_barrier
// rows are shown that should not be.
constexpr const char* kDefinitions = R"sql(
SELECT pg_catalog.format('ALTER %s %I.%I OWNER TO %I', kind.name, n.nspname,
                         v.relname, pg_catalog.pg_get_userbyid(v.relowner)),
       pg_catalog.format(' VIEW %I.%I%s AS %s', n.nspname, v.relname,
         ' WITH (' || pg_catalog.array_to_string(v.reloptions, ', ') || ')',
         pg_catalog.rtrim(pg_catalog.pg_get_viewdef(v.oid), '; '))
FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS u(oid, n)
JOIN pg_catalog.pg_class v ON v.oid = u.oid
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
CROSS JOIN LATERAL (VALUES (
  CASE v.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END)) AS kind(name)
ORDER BY u.n)sql";

// Sets what there is once more: of a materialized view's first column.
constexpr const char* kGentleLocks = R"sql(
SELECT DISTINCT ON (v.oid)
       pg_catalog.format('ALTER MATERIALIZED VIEW %I.%I ALTER COLUMN %I '
                         'SET STATISTICS %s', n.nspname, v.relname, a.attname,
                         COALESCE(a.attstattarget, -1))
FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS u(oid)
JOIN pg_catalog.pg_class v ON v.oid = u.oid
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY v.oid, a.attnum)sql";

// What a view that was created anew lacks still. Rules are carry_readers'.
constexpr const char* kBelongings = R"sql(
WITH view AS (
  SELECT v.oid, v.relowner, u.n,
         pg_catalog.format('%I.%I', n.nspname, v.relname) AS name,
         CASE v.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END
           AS kind_of
  FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS u(oid, n)
  JOIN pg_catalog.pg_class v ON v.oid = u.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace)
SELECT s.statement FROM (
  SELECT v.n, 1 AS kind, a.attnum::pg_catalog.text AS sub,
         pg_catalog.format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s',
           v.name, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid))
  FROM view v
  JOIN pg_catalog.pg_attrdef d ON d.adrelid = v.oid
  JOIN pg_catalog.pg_attribute a
    ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL
  SELECT v.n, 2, t.tgname, pg_catalog.pg_get_triggerdef(t.oid)
  FROM view v
  JOIN pg_catalog.pg_trigger t ON t.tgrelid = v.oid AND NOT t.tgisinternal
  UNION ALL
  SELECT v.n, 3, t.tgname,
         pg_catalog.format('COMMENT ON TRIGGER %I ON %s IS %L', t.tgname, v.name,
                           x.description)
  FROM view v
  JOIN pg_catalog.pg_trigger t ON t.tgrelid = v.oid AND NOT t.tgisinternal
  JOIN pg_catalog.pg_description x ON x.objoid = t.oid
   AND x.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
  UNION ALL
  SELECT v.n, 4, x.objsubid::pg_catalog.text, CASE x.objsubid
         WHEN 0 THEN pg_catalog.format('COMMENT ON %s %s IS %L', v.kind_of,
                                       v.name, x.description)
         ELSE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', v.name,
                                a.attname, x.description) END
  FROM view v
  JOIN pg_catalog.pg_description x ON x.objoid = v.oid
   AND x.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  LEFT JOIN pg_catalog.pg_attribute a
    ON a.attrelid = v.oid AND a.attnum = x.objsubid AND x.objsubid > 0
  UNION ALL
  SELECT v.n, 4, r.rulename,
         pg_catalog.format('COMMENT ON RULE %I ON %s IS %L', r.rulename, v.name,
                           x.description)
  FROM view v
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.ev_type = '1'
  JOIN pg_catalog.pg_description x ON x.objoid = r.oid
   AND x.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  UNION ALL
  SELECT v.n, 5, '',
         pg_catalog.format('ALTER %s %s OWNER TO %I', v.kind_of, v.name,
                           pg_catalog.pg_get_userbyid(v.relowner))
  FROM view v
  UNION ALL
  SELECT v.n, 6, s.stxname, x.statement
  FROM view v
  JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = v.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
  CROSS JOIN LATERAL (VALUES
    (pg_catalog.pg_get_statisticsobjdef(s.oid)),
    (pg_catalog.format('ALTER STATISTICS %I.%I OWNER TO %I', n.nspname,
       s.stxname, pg_catalog.pg_get_userbyid(s.stxowner))),
    (pg_catalog.format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname,
       s.stxname, COALESCE(s.stxstattarget, -1))),
    (pg_catalog.format('COMMENT ON STATISTICS %I.%I IS %L', n.nspname,
       s.stxname, pg_catalog.obj_description(s.oid, 'pg_statistic_ext')))
    ) AS x(statement)) AS s(n, kind, sub, statement)
ORDER BY s.n, s.kind, s.sub, s.statement LIKE 'CREATE %' DESC)sql";

std::vector<Oid> oids_of(const std::vector<DependentView>& views) {
  std::vector<Oid> oids;
  for (const DependentView& view : views) oids.push_back(view.oid);
  return oids;
}

}  // namespace

std::vector<catalog::Reshaped> reshaped(
    const std::vector<ExchangeTable>& tables) {
  std::vector<catalog::Reshaped> all;
  for (const ExchangeTable& table : tables) {
    catalog::Reshaped one;
    one.source = table.source_oid;
    one.target = table.shadow_oid;
    one.renamed = table.renamed;
    all.push_back(std::move(one));
  }
  return all;
}

namespace {

// Extended statistics are empty until ANALYZE fills them.
void analyze_statistics(pg::Connection& connection, Carried& carried) {
  const pg::Result result = connection.exec(
      "SELECT DISTINCT s.stxrelid FROM pg_catalog.pg_statistic_ext s "
      "WHERE s.stxrelid = ANY ($1::pg_catalog.oid[])",
      {catalog::oid_array(carried.materialized_oids)});
  for (int row = 0; row < result.rows(); ++row) {
    const auto view = std::ranges::find(
        carried.views_anew, result.number<Oid>(row, 0), &Carried::View::oid);
    carried.afterwards.push_back("ANALYZE " + view->name.quoted());
  }
}

// Statements that put the view in place again, after the tables.
std::string made_again(const DependentView& view,
                       const std::vector<plan::Twin>& twins,
                       std::string_view definition) {
  if (!view.twin) {
    return fmt::format("CREATE{}{}", view.anew ? "" : " OR REPLACE",
                       definition);
  }
  const auto twin = std::ranges::find(twins, view.oid, &plan::Twin::original);
  PGRECAST_ASSERT(twin != twins.end(), "view={}", view.name.display());
  return fmt::format("ALTER {} {} SET SCHEMA {}",
                     view.materialized ? "MATERIALIZED VIEW" : "VIEW",
                     twin->place.quoted(),
                     pg::quote_identifier(view.name.schema));
}

}  // namespace

void carry_views(pg::Connection& connection,
                 const std::vector<ExchangeTable>& tables,
                 const std::vector<plan::Twin>& twins, Carried& carried) {
  std::vector<DependentView> views =
      catalog::dependent_views(connection, reshaped(tables));
  carried.has_views = !views.empty();
  std::erase_if(views, [](const DependentView& view) {
    return !view.direct && !view.anew;  // follows by OID
  });
  if (views.empty()) return;
  const pg::Result definitions =
      connection.exec(kDefinitions, {catalog::oid_array(oids_of(views))});
  std::vector<Oid> anew;
  for (int row = 0; row < definitions.rows(); ++row) {
    const DependentView& view = views[static_cast<std::size_t>(row)];
    carried.after.push_back(made_again(view, twins, definitions.text(row, 1)));
    if (!view.anew) continue;
    anew.push_back(view.oid);
    carried.views_anew.push_back({.oid = view.oid,
                                  .name = view.name,
                                  .materialized = view.materialized});
    if (view.materialized) carried.materialized_oids.push_back(view.oid);
  }
  for (const plan::Twin& twin : twins) {
    // Nobody reads it; but it may just be vacuumed.
    carried.lock_gently.push_back(
        fmt::format("ALTER {} {} OWNER TO {}",
                    twin.materialized ? "MATERIALIZED VIEW" : "VIEW",
                    twin.place.quoted(), pg::quote_identifier(twin.owner)));
  }
  for (int row = definitions.rows() - 1; row >= 0; --row) {
    const DependentView& view = views[static_cast<std::size_t>(row)];
    carried.lock_views.emplace_back(definitions.text(row, 0));
    carried.locked_views.push_back(view.name);
    if (!view.anew) continue;
    carried.before.push_back(fmt::format(
        "DROP {} {}", view.materialized ? "MATERIALIZED VIEW" : "VIEW",
        view.name.quoted()));
  }
  const pg::Result belongings =
      connection.exec(kBelongings, {catalog::oid_array(anew)});
  for (int row = 0; row < belongings.rows(); ++row) {
    carried.after.emplace_back(belongings.text(row, 0));
  }
  const pg::Result gentle = connection.exec(
      kGentleLocks, {catalog::oid_array(carried.materialized_oids)});
  for (int row = 0; row < gentle.rows(); ++row) {
    carried.lock_gently.emplace_back(gentle.text(row, 0));
  }
  analyze_statistics(connection, carried);
}

}  // namespace pgrecast::exchange
