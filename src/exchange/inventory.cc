#include "pgrecast/exchange/inventory.h"

#include "pgrecast/catalog/shape.h"
#include "pgrecast/plan/child.h"
#include "pgrecast/plan/leaf.h"
#include "pgrecast/plan/parent.h"

#include "inventory_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace pgrecast::exchange {
namespace {

constexpr int kHasPublicationFilters = 150000;

// Of the entry g of an ACL: to whom, and, of several entries, by whose grant.
constexpr const char* kGrantee = R"sql(CASE g.grantee WHEN 0 THEN 'PUBLIC'
  ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END)sql";
constexpr const char* kGrantors = R"sql(pg_catalog.string_agg(
  pg_catalog.pg_get_userbyid(g.grantor)::pg_catalog.text
  || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END, ', '
  ORDER BY pg_catalog.pg_get_userbyid(g.grantor)))sql";

// Who may do what by whose grant, and the sequences behind columns. {0}, {1}:
// kGrantee, kGrantors.
constexpr const char* kRights = R"sql(
UNION ALL
SELECT 'grant ' || g.privilege_type || ' to '
       || {0},
       {1}
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(
  c.relacl, pg_catalog.acldefault('r', c.relowner))) AS g
WHERE c.oid = $1
GROUP BY g.privilege_type, g.grantee
UNION ALL
SELECT 'grant ' || g.privilege_type || ' (' || a.attname || ') to '
       || {0},
       {1}
FROM pg_catalog.pg_attribute a
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS g
WHERE a.attrelid = $1 AND NOT a.attisdropped
GROUP BY g.privilege_type, g.grantee, a.attname
UNION ALL
SELECT 'row type grant ' || g.privilege_type || ' to '
       || {0},
       {1}
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_type t ON t.oid = c.reltype
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(
  t.typacl, pg_catalog.acldefault('T', t.typowner))) AS g
WHERE c.oid = $1 AND c.relkind IN ('r', 'p')
GROUP BY g.privilege_type, g.grantee
UNION ALL
SELECT 'row type comment' || CASE x.objoid WHEN t.oid THEN '' ELSE ' (array)' END,
       x.description
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_type t ON t.oid = c.reltype
JOIN pg_catalog.pg_description x
  ON x.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass
 AND x.objoid IN (t.oid, t.typarray)
WHERE c.oid = $1 AND c.relkind IN ('r', 'p')
UNION ALL
SELECT 'security label' || COALESCE(' (' || a.attname || ')', '') || ' of '
       || l.provider, l.label
FROM pg_catalog.pg_seclabel l
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = l.objoid AND a.attnum = l.objsubid AND l.objsubid <> 0
WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND l.objoid = $1
  AND (l.objsubid = 0 OR NOT a.attisdropped)
UNION ALL
SELECT 'owned sequence ' || n.nspname || '.' || s.relname,
       'by column ' || a.attname
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1 AND d.deptype = 'a'
UNION ALL
SELECT 'identity grant ' || g.privilege_type || ' on the sequence of '
       || a.attname || ' to '
       || {0},
       {1}
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(
  s.relacl, pg_catalog.acldefault('s', s.relowner))) AS g
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1 AND d.deptype = 'i'
GROUP BY g.privilege_type, g.grantee, a.attname
UNION ALL
SELECT 'identity comment of ' || a.attname, x.description
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN pg_catalog.pg_description x
  ON x.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND x.objoid = s.oid AND x.objsubid = 0
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1 AND d.deptype = 'i'
)sql";

// What hangs off it. Names in quotes where they need them: without_casts()
// reads some of it. {0}, {1}: columns and filter of a publication's entry.
constexpr const char* kDependents = R"sql(
UNION ALL
SELECT 'foreign key ' || c.conname, pg_catalog.regexp_replace(
         pg_catalog.pg_get_constraintdef(c.oid), ' NOT VALID$', '')
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1 AND c.contype = 'f' AND c.conparentid = 0
UNION ALL
SELECT 'referenced by ' || c.conrelid::pg_catalog.regclass::pg_catalog.text
       || ' ' || c.conname, pg_catalog.regexp_replace(
         pg_catalog.pg_get_constraintdef(c.oid), ' NOT VALID$', '')
       || COALESCE(' -- ' || pg_catalog.obj_description(c.oid, 'pg_constraint'),
                   '')
FROM pg_catalog.pg_constraint c
WHERE c.confrelid = $1 AND c.conrelid <> c.confrelid AND c.contype = 'f'
  AND c.conparentid = 0
UNION ALL
SELECT 'trigger ' || t.tgname,
       t.tgenabled::pg_catalog.text || ' ' || pg_catalog.pg_get_triggerdef(t.oid)
       || COALESCE(' -- ' || pg_catalog.obj_description(t.oid, 'pg_trigger'), '')
FROM pg_catalog.pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal
UNION ALL
SELECT 'rule ' || r.rulename,
       r.ev_enabled::pg_catalog.text || ' ' || pg_catalog.pg_get_ruledef(r.oid)
       || COALESCE(' -- ' || pg_catalog.obj_description(r.oid, 'pg_rewrite'), '')
FROM pg_catalog.pg_rewrite r WHERE r.ev_class = $1
UNION ALL
SELECT 'policy ' || p.polname, pg_catalog.concat(
         p.polpermissive, ' ', p.polcmd, ' ',
         (SELECT pg_catalog.string_agg(m.role::pg_catalog.regrole
                   ::pg_catalog.text, ', ' ORDER BY m.role)
          FROM pg_catalog.unnest(p.polroles) AS m(role)),
         ' USING ', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
         ' CHECK ', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
         ' -- ', pg_catalog.obj_description(p.oid, 'pg_policy'))
FROM pg_catalog.pg_policy p WHERE p.polrelid = $1
UNION ALL
-- Its columns by name: the server prints them in the table's order.
SELECT 'statistics ' || n.nspname || '.' || s.stxname,
       s.stxkind::pg_catalog.text || ' ON '
       || COALESCE((SELECT pg_catalog.string_agg(
              pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attname)
            FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys)), '')
       -- Not as an array, in whose quotes a cast would be none (printed.h).
       || COALESCE(' ' || pg_catalog.array_to_string(
            pg_catalog.pg_get_statisticsobjdef_expressions(s.oid), ', '), '')
       || ' OWNER ' || pg_catalog.pg_get_userbyid(s.stxowner)
       || ' TARGET ' || COALESCE(s.stxstattarget, -1)
       || COALESCE(' -- '
            || pg_catalog.obj_description(s.oid, 'pg_statistic_ext'), '')
FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = $1
UNION ALL
SELECT 'publication ' || p.pubname, pg_catalog.concat({0}, ' WHERE ', {1})
FROM pg_catalog.pg_publication_rel r
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = $1
UNION ALL
SELECT 'used by ' || pg_catalog.pg_describe_object(d.classid, d.objid, 0),
       pg_catalog.concat_ws(' ', 'columns', pg_catalog.string_agg(
         a.attname::pg_catalog.text, ', ' ORDER BY a.attname),
         r.ev_enabled, r.is_instead,
         pg_catalog.obj_description(d.objid, 'pg_rewrite'))
FROM pg_catalog.pg_depend d
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0
LEFT JOIN pg_catalog.pg_rewrite r
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
 AND r.oid = d.objid
LEFT JOIN pg_catalog.pg_policy p
  ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
 AND p.oid = d.objid
WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1
  AND (r.ev_class <> $1 OR p.polrelid <> $1
       OR d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
GROUP BY d.classid, d.objid, r.ev_enabled, r.is_instead
)sql";

}  // namespace

std::string inventory_query(int server_version) {
  const bool filters = server_version >= kHasPublicationFilters;
  const char* columns =
      "(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ',' "
      "ORDER BY a.attname) "
      "FROM pg_catalog.pg_attribute a "
      "WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs))";
  const char* filter = "pg_catalog.pg_get_expr(r.prqual, r.prrelid)";
  return std::string(catalog::shape_query()) +
         fmt::format(fmt::runtime(kRights), kGrantee, kGrantors) +
         fmt::format(fmt::runtime(kDependents), filters ? columns : "''",
                     filters ? filter : "''") +
         "UNION ALL" + plan::leaf_facts_query() + "UNION ALL" +
         plan::child_facts_query() + "UNION ALL" + plan::parent_facts_query();
}

Inventory read_inventory(pg::Connection& connection, catalog::Oid table) {
  // Whose oid the parameter is, the first comparison says.
  Inventory inventory = catalog::facts_of(
      connection.exec(inventory_query(connection.server_version()), {table}));
  inventory.merge(
      catalog::facts_of(connection.exec(view_inventory_query(), {table})));
  return inventory;
}

bool handed_over(const std::string& fact) {
  constexpr std::array<std::string_view, 19> kHandedOver = {
      "owner",          "grant ",          "owned sequence ",
      "trigger ",       "identity grant ", "identity comment ",
      "rule ",          "policy ",         "row security",
      "statistics ",    "publication ",    "view ",
      "foreign key",    "referenced by ",  "used by ",
      "security label", "partition ",      "row type ",
      "inherit"};
  return std::ranges::any_of(kHandedOver, [&](std::string_view prefix) {
    return fact.starts_with(prefix);
  });
}

}  // namespace pgrecast::exchange
