// A source that is a leaf partition: the old table is detached, the new one is
// attached in its place, while the table above goes on.

#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/leaf.h"

#include "carried.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::exchange {
namespace {

using catalog::Oid;

// The table above, the bound, and the default partition, if there is one.
constexpr const char* kLink = R"sql(
SELECT p.oid, pg_catalog.format('%I.%I', pn.nspname, p.relname),
       pg_catalog.pg_get_expr(c.relpartbound, c.oid),
       d.oid, pg_catalog.quote_ident(dn.nspname) || '.' || pg_catalog.quote_ident(d.relname)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
JOIN pg_catalog.pg_partitioned_table pt ON pt.partrelid = p.oid
LEFT JOIN pg_catalog.pg_class d ON d.oid = pt.partdefid
LEFT JOIN pg_catalog.pg_namespace dn ON dn.oid = d.relnamespace
WHERE c.oid = $1::pg_catalog.oid AND c.relispartition)sql";

// What the leaf has of its own on the triggers that it has of the table above.
// $2: its name, quoted. (Before 15 they count as the server's own, and are as
// enabled as those above; plan/leaf.cc sees to that.)
constexpr const char* kTriggers = R"sql(
SELECT s.statement
FROM pg_catalog.pg_trigger t
CROSS JOIN LATERAL (VALUES
  (CASE WHEN NOT t.tgisinternal THEN
     pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', $2::pg_catalog.text,
       CASE t.tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'D' THEN 'DISABLE'
         WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' END,
       t.tgname) END),
  (pg_catalog.format('COMMENT ON TRIGGER %I ON %s IS ', t.tgname, $2)
   || pg_catalog.quote_literal(pg_catalog.obj_description(t.oid, 'pg_trigger')))
  ) AS s(statement)
WHERE t.tgrelid = $1::pg_catalog.oid AND t.tgparentid <> 0
  AND t.tgconstraint = 0 AND s.statement IS NOT NULL
ORDER BY t.tgname, s.statement)sql";

void lock(Oid oid, std::string name, Carried& carried) {
  const auto& known = carried.other_oids;
  if (std::ranges::find(known, oid) != known.end()) return;
  carried.other_oids.push_back(oid);
  carried.other_tables.push_back(std::move(name));
}

}  // namespace

void carry_leaves(pg::Connection& connection,
                  const std::vector<ExchangeTable>& tables, Carried& carried) {
  for (const ExchangeTable& table : tables) {
    const pg::Result link = connection.exec(kLink, {table.source_oid});
    if (link.empty()) continue;
    const auto whole_oid = link.number<Oid>(0, 0);
    const std::string whole(link.text(0, 1));
    carried.wholes.insert(whole_oid);
    lock(whole_oid, "ONLY " + whole, carried);
    if (!link.is_null(0, 3)) {
      lock(link.number<Oid>(0, 3), std::string(link.text(0, 4)), carried);
    }
    const std::string name = table.target->source.quoted();
    carried.detach.push_back(
        fmt::format("ALTER TABLE {} DETACH PARTITION {}", whole, name));
    carried.attach.push_back(fmt::format(
        "ALTER TABLE {} ATTACH PARTITION {} {}", whole, name, link.text(0, 2)));
    carried.attach.push_back(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}",
                                         name, plan::kBoundCheck));
    const pg::Result triggers =
        connection.exec(kTriggers, {table.source_oid, name});
    for (int row = 0; row < triggers.rows(); ++row) {
      carried.attach.emplace_back(triggers.text(row, 0));
    }
  }
}

}  // namespace pgrecast::exchange
