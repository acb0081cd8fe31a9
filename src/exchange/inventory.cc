#include "pgrecast/exchange/inventory.h"

#include "pgrecast/base/text.h"

#include "inventory_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace pgrecast::exchange {
namespace {

constexpr int kHasPublicationFilters = 150000;

// What is on the table itself. (Releases of late 2026 keep a mark of their own
// among the column options, pg_attver: a WAL position, no two tables' alike.)
constexpr const char* kShape = R"sql(
SELECT 'column ' || a.attname AS fact,
       pg_catalog.format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE '
               || a.attcollation::pg_catalog.regcollation::pg_catalog.text
               ELSE '' END
       || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
       || CASE a.attgenerated WHEN '' THEN ' DEFAULT '
               ELSE ' GENERATED (' || a.attgenerated::pg_catalog.text || ') ' END
       || COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '-')
       || ' IDENTITY ' || COALESCE(NULLIF(a.attidentity::pg_catalog.text, ''), '-')
       || ' STORAGE ' || a.attstorage::pg_catalog.text
       || ' COMPRESSION ' || COALESCE(NULLIF(a.attcompression::pg_catalog.text, ''), '-')
       || ' STATISTICS ' || COALESCE(a.attstattarget, -1)::pg_catalog.text
       || COALESCE((SELECT ' ' || pg_catalog.string_agg(o.text, ' ' ORDER BY 1)
                    FROM pg_catalog.unnest(a.attoptions) AS o(text)
                    WHERE o.text NOT LIKE 'pg\_attver=%'), '') AS value
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'column order', pg_catalog.string_agg(a.attname, ', ' ORDER BY a.attnum)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint ' || c.conname, pg_catalog.pg_get_constraintdef(c.oid)
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1 AND c.contype NOT IN ('f', 't')
UNION ALL
SELECT 'index ' || ic.relname,
       CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END
       || pg_catalog.substr(def.text, pg_catalog.strpos(def.text, ' USING '))
       || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
       || CASE WHEN i.indisclustered THEN ' CLUSTERED' ELSE '' END
       || CASE WHEN i.indisreplident THEN ' REPLICA IDENTITY' ELSE '' END
       || COALESCE(' TABLESPACE ' || ts.spcname, '')
       || COALESCE((SELECT ' STATISTICS ' || pg_catalog.string_agg(
              ia.attnum || ':' || ia.attstattarget, ',' ORDER BY ia.attnum)
            FROM pg_catalog.pg_attribute ia
            WHERE ia.attrelid = i.indexrelid AND ia.attstattarget >= 0), '')
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = ic.reltablespace
CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(i.indexrelid) AS def(text)
WHERE i.indrelid = $1
UNION ALL
SELECT kind.fact, kind.value
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
CROSS JOIN LATERAL (VALUES
  ('owner', pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text),
  ('replica identity', c.relreplident::pg_catalog.text),
  ('persistence', c.relpersistence::pg_catalog.text),
  ('tablespace', ts.spcname::pg_catalog.text),
  ('access method', am.amname::pg_catalog.text),
  ('row security', pg_catalog.concat(
     CASE WHEN c.relrowsecurity THEN 'enabled ' END,
     CASE WHEN c.relforcerowsecurity THEN 'forced' END))) AS kind(fact, value)
WHERE c.oid = $1
UNION ALL
SELECT 'option ' || o.option_name, o.option_value
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL pg_catalog.pg_options_to_table(c.reloptions) AS o
WHERE c.oid = $1
UNION ALL
SELECT 'option toast.' || o.option_name, o.option_value
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_class toast ON toast.oid = c.reltoastrelid
CROSS JOIN LATERAL pg_catalog.pg_options_to_table(toast.reloptions) AS o
WHERE c.oid = $1
UNION ALL
SELECT 'comment on ' || CASE WHEN d.objsubid = 0 THEN 'table'
                        ELSE 'column ' || a.attname END, d.description
FROM pg_catalog.pg_description d
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.objoid = $1
UNION ALL
SELECT 'comment on index ' || ic.relname, d.description
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND d.objoid = i.indexrelid AND d.objsubid = 0
WHERE i.indrelid = $1
UNION ALL
SELECT CASE c.contype WHEN 'f' THEN 'foreign key comment '
                      ELSE 'comment on constraint ' END || c.conname,
       d.description
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
 AND d.objoid = c.oid
WHERE c.conrelid = $1
)sql";

// Who may do what, and the sequences behind columns.
constexpr const char* kRights = R"sql(
UNION ALL
SELECT 'grant ' || g.privilege_type || ' to '
       || CASE g.grantee WHEN 0 THEN 'PUBLIC'
          ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END,
       CASE WHEN pg_catalog.bool_or(g.is_grantable) THEN 'with grant option'
            ELSE '' END
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(
  c.relacl, pg_catalog.acldefault('r', c.relowner))) AS g
WHERE c.oid = $1
GROUP BY g.privilege_type, g.grantee
UNION ALL
SELECT 'grant ' || g.privilege_type || ' (' || a.attname || ') to '
       || CASE g.grantee WHEN 0 THEN 'PUBLIC'
          ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END,
       CASE WHEN pg_catalog.bool_or(g.is_grantable) THEN 'with grant option'
            ELSE '' END
FROM pg_catalog.pg_attribute a
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS g
WHERE a.attrelid = $1 AND NOT a.attisdropped
GROUP BY g.privilege_type, g.grantee, a.attname
UNION ALL
SELECT CASE d.deptype WHEN 'i' THEN 'identity of column ' || a.attname
            ELSE 'owned sequence ' || n.nspname || '.' || s.relname END,
       CASE d.deptype WHEN 'i' THEN s.relname
         || ' ' || pg_catalog.format_type(q.seqtypid, -1)
         || ' START ' || q.seqstart || ' INCREMENT ' || q.seqincrement
         || ' MIN ' || q.seqmin || ' MAX ' || q.seqmax || ' CACHE ' || q.seqcache
         || CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END
            ELSE 'by column ' || a.attname END
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1 AND d.deptype IN ('a', 'i')
UNION ALL
SELECT 'identity grant ' || g.privilege_type || ' on the sequence of '
       || a.attname || ' to '
       || CASE g.grantee WHEN 0 THEN 'PUBLIC'
          ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END,
       CASE WHEN pg_catalog.bool_or(g.is_grantable) THEN 'with grant option'
            ELSE '' END
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

// What hangs off it. {0}, {1}: columns and filter of a publication's entry.
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
         p.polroles::pg_catalog.regrole[]::pg_catalog.text,
         ' USING ', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
         ' CHECK ', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
         ' -- ', pg_catalog.obj_description(p.oid, 'pg_policy'))
FROM pg_catalog.pg_policy p WHERE p.polrelid = $1
UNION ALL
SELECT 'statistics ' || n.nspname || '.' || s.stxname,
       pg_catalog.substr(def.text, pg_catalog.strpos(def.text, s.stxname))
       || ' OWNER ' || pg_catalog.pg_get_userbyid(s.stxowner)
       || ' TARGET ' || COALESCE(s.stxstattarget, -1)
       || COALESCE(' -- '
            || pg_catalog.obj_description(s.oid, 'pg_statistic_ext'), '')
FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
CROSS JOIN LATERAL pg_catalog.pg_get_statisticsobjdef(s.oid) AS def(text)
WHERE s.stxrelid = $1
UNION ALL
SELECT 'publication ' || p.pubname, pg_catalog.concat({0}, ' WHERE ', {1})
FROM pg_catalog.pg_publication_rel r
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = $1
UNION ALL
SELECT 'view ' || n.nspname || '.' || v.relname,
       pg_catalog.concat(v.reloptions::pg_catalog.text, ' ',
                         pg_catalog.pg_get_viewdef(v.oid))
FROM pg_catalog.pg_class v
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
WHERE v.relkind = 'v' AND v.oid IN (
  SELECT r.ev_class FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = $1)
)sql";

}  // namespace

std::string inventory_query(int server_version) {
  const bool filters = server_version >= kHasPublicationFilters;
  const char* columns =
      "(SELECT pg_catalog.string_agg(a.attname, ',' ORDER BY a.attname) "
      "FROM pg_catalog.pg_attribute a "
      "WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs))";
  const char* filter = "pg_catalog.pg_get_expr(r.prqual, r.prrelid)";
  return std::string(kShape) + kRights +
         fmt::format(fmt::runtime(kDependents), filters ? columns : "''",
                     filters ? filter : "''");
}

Inventory inventory_of(const pg::Result& result) {
  Inventory inventory;
  for (int row = 0; row < result.rows(); ++row) {
    inventory.emplace(result.text(row, 0), result.text(row, 1));
  }
  return inventory;
}

Inventory read_inventory(pg::Connection& connection, catalog::Oid table) {
  // Whose oid the parameter is, the first comparison says.
  return inventory_of(
      connection.exec(inventory_query(connection.server_version()), {table}));
}

bool handed_over(const std::string& fact) {
  constexpr std::array<std::string_view, 14> kHandedOver = {
      "owner",       "grant ",          "owned sequence ",
      "trigger ",    "identity grant ", "identity comment ",
      "rule ",       "policy ",         "row security",
      "statistics ", "publication ",    "view ",
      "foreign key", "referenced by "};
  return std::ranges::any_of(kHandedOver, [&](std::string_view prefix) {
    return fact.starts_with(prefix);
  });
}

std::vector<std::string> differences(const Inventory& expected,
                                     const Inventory& actual) {
  std::vector<std::string> lines;
  for (const auto& [fact, value] : expected) {
    const auto found = actual.find(fact);
    if (found == actual.end()) {
      lines.push_back(fmt::format("{} is missing (was: {})", fact, value));
    } else if (found->second != value) {
      lines.push_back(fmt::format("{} is '{}', should be '{}'", fact,
                                  found->second, value));
    }
  }
  for (const auto& [fact, value] : actual) {
    if (!expected.contains(fact)) {
      lines.push_back(fmt::format("{} was not there (is: {})", fact, value));
    }
  }
  return lines;
}

}  // namespace pgrecast::exchange
