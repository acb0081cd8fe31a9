// Views on the sources, at any depth. Those whose columns stay what they are
// are replaced and keep their OIDs, so that views on them need nothing; the
// others are dropped, from the top, and created anew, from the bottom.

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
SELECT pg_catalog.format('ALTER VIEW %I.%I OWNER TO %I', n.nspname, v.relname,
                         pg_catalog.pg_get_userbyid(v.relowner)),
       pg_catalog.format(' VIEW %I.%I%s AS %s', n.nspname, v.relname,
         ' WITH (' || pg_catalog.array_to_string(v.reloptions, ', ') || ')',
         pg_catalog.rtrim(pg_catalog.pg_get_viewdef(v.oid), '; '))
FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS u(oid, n)
JOIN pg_catalog.pg_class v ON v.oid = u.oid
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
ORDER BY u.n)sql";

// What a view that was created anew lacks still. Rules are carry_readers'.
constexpr const char* kBelongings = R"sql(
WITH view AS (
  SELECT v.oid, v.relowner, u.n,
         pg_catalog.format('%I.%I', n.nspname, v.relname) AS name
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
         WHEN 0 THEN pg_catalog.format('COMMENT ON VIEW %s IS %L', v.name,
                                       x.description)
         ELSE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', v.name,
                                a.attname, x.description) END
  FROM view v
  JOIN pg_catalog.pg_description x ON x.objoid = v.oid
   AND x.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  LEFT JOIN pg_catalog.pg_attribute a
    ON a.attrelid = v.oid AND a.attnum = x.objsubid AND x.objsubid > 0
  UNION ALL
  SELECT v.n, 5, '',
         pg_catalog.format('ALTER VIEW %s OWNER TO %I', v.name,
                           pg_catalog.pg_get_userbyid(v.relowner))
  FROM view v) AS s(n, kind, sub, statement)
ORDER BY s.n, s.kind, s.sub)sql";

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

void carry_views(pg::Connection& connection,
                 const std::vector<ExchangeTable>& tables, Carried& carried) {
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
    carried.after.push_back(fmt::format("CREATE{}{}",
                                        view.anew ? "" : " OR REPLACE",
                                        definitions.text(row, 1)));
    if (!view.anew) continue;
    anew.push_back(view.oid);
    carried.views_anew.push_back({.oid = view.oid, .name = view.name});
  }
  for (int row = definitions.rows() - 1; row >= 0; --row) {
    const DependentView& view = views[static_cast<std::size_t>(row)];
    carried.lock_views.emplace_back(definitions.text(row, 0));
    carried.locked_views.push_back(view.name);
    if (view.anew) carried.before.push_back("DROP VIEW " + view.name.quoted());
  }
  const pg::Result belongings =
      connection.exec(kBelongings, {catalog::oid_array(anew)});
  for (int row = 0; row < belongings.rows(); ++row) {
    carried.after.emplace_back(belongings.text(row, 0));
  }
}

}  // namespace pgrecast::exchange
