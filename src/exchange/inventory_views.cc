// The part of an inventory that tells of views: all that read the table, at any
// depth. Apart from the rest, since few tables have any.

#include "inventory_query.h"

namespace pgrecast::exchange {

// Facts of a view's text (its query, its columns' types and defaults, its
// rules' actions) begin with "view text": where a column's type changes, the
// server prints other casts, and they may differ.
const char* view_inventory_query() {
  return R"sql(
WITH RECURSIVE reach(oid) AS (
  SELECT $1::pg_catalog.oid
  UNION
  SELECT r.ev_class FROM reach
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid = reach.oid
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
  WHERE r.ev_class <> reach.oid),
v AS (
  SELECT c.*, n.nspname || '.' || c.relname AS name
  FROM reach
  JOIN pg_catalog.pg_class c ON c.oid = reach.oid AND c.relkind IN ('v', 'm')
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid <> $1)
SELECT 'view ' || v.name, pg_catalog.concat_ws(' ', v.relkind,
         'OWNER', pg_catalog.pg_get_userbyid(v.relowner),
         'OPTIONS', v.reloptions::pg_catalog.text,
         CASE WHEN v.relispopulated THEN 'POPULATED' END)
FROM v
UNION ALL
SELECT 'view columns of ' || v.name, pg_catalog.string_agg(a.attname, ', '
         ORDER BY a.attnum)
FROM v JOIN pg_catalog.pg_attribute a
  ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY v.name
UNION ALL
SELECT 'view text ' || v.name, pg_catalog.pg_get_viewdef(v.oid)
FROM v
UNION ALL
SELECT 'view text ' || v.name || ' types', pg_catalog.string_agg(
         pg_catalog.format_type(a.atttypid, a.atttypmod), ', '
         ORDER BY a.attnum)
FROM v JOIN pg_catalog.pg_attribute a
  ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY v.name
UNION ALL
SELECT 'view text ' || v.name || ' default ' || a.attname,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid)
FROM v
JOIN pg_catalog.pg_attrdef d ON d.adrelid = v.oid
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.adrelid AND a.attnum = d.adnum
UNION ALL
SELECT 'view text ' || v.name || ' rule ' || r.rulename,
       pg_catalog.pg_get_ruledef(r.oid)
FROM v
JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.ev_type <> '1'
UNION ALL
SELECT 'view rule ' || v.name || ' ' || r.rulename, pg_catalog.concat_ws(' ',
         r.ev_type, r.ev_enabled, r.is_instead,
         pg_catalog.obj_description(r.oid, 'pg_rewrite'))
FROM v
JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.ev_type <> '1'
UNION ALL
SELECT 'view uses ' || v.name || ' ' || r.rulename, pg_catalog.string_agg(
         DISTINCT pg_catalog.pg_describe_object(d.refclassid, d.refobjid,
                                                d.refobjsubid), ', ')
FROM v
JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
 AND d.objid = r.oid
 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
GROUP BY v.name, r.rulename
UNION ALL
SELECT 'view trigger ' || v.name || ' ' || t.tgname, pg_catalog.concat_ws(' ',
         t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid), '--',
         pg_catalog.obj_description(t.oid, 'pg_trigger'))
FROM v
JOIN pg_catalog.pg_trigger t ON t.tgrelid = v.oid AND NOT t.tgisinternal
UNION ALL
SELECT 'view comment ' || v.name || COALESCE(' ' || a.attname, ''),
       x.description
FROM v
JOIN pg_catalog.pg_description x ON x.objoid = v.oid
 AND x.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = v.oid AND a.attnum = x.objsubid AND x.objsubid > 0
UNION ALL
SELECT 'view comment ' || v.name || ' query', x.description
FROM v
JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.ev_type = '1'
JOIN pg_catalog.pg_description x ON x.objoid = r.oid
 AND x.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
UNION ALL
SELECT 'view grant ' || v.name || ' ' || g.privilege_type || ' to '
       || CASE g.grantee WHEN 0 THEN 'PUBLIC'
          ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END,
       pg_catalog.string_agg(
         pg_catalog.pg_get_userbyid(g.grantor)::pg_catalog.text
         || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END, ', '
         ORDER BY pg_catalog.pg_get_userbyid(g.grantor))
FROM v
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(
  v.relacl, pg_catalog.acldefault('r', v.relowner))) AS g
GROUP BY v.name, g.privilege_type, g.grantee
UNION ALL
SELECT 'view grant ' || v.name || ' ' || g.privilege_type || ' (' || a.attname
       || ') to ' || CASE g.grantee WHEN 0 THEN 'PUBLIC'
          ELSE pg_catalog.pg_get_userbyid(g.grantee)::pg_catalog.text END,
       pg_catalog.string_agg(
         pg_catalog.pg_get_userbyid(g.grantor)::pg_catalog.text
         || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END, ', '
         ORDER BY pg_catalog.pg_get_userbyid(g.grantor))
FROM v
JOIN pg_catalog.pg_attribute a ON a.attrelid = v.oid AND NOT a.attisdropped
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS g
GROUP BY v.name, a.attname, g.privilege_type, g.grantee)sql";
}

}  // namespace pgrecast::exchange
