#include "dependents_state.h"

namespace pgrecast::exchange {
namespace {

// rel: the sources, and all that reads or mentions one by a rule; part: what
// can be depended on; used: who does.
constexpr const char* kUsed = R"sql(
WITH RECURSIVE rel(oid) AS (
  SELECT s.oid FROM pg_catalog.unnest($1) AS s(oid)
  UNION
  SELECT r.ev_class FROM rel
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid = rel.oid
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid),
part(classid, objid) AS (
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, r.oid
  FROM rel r
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, c.reltype
  FROM rel r JOIN pg_catalog.pg_class c ON c.oid = r.oid AND c.reltype <> 0
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.typarray
  FROM rel r JOIN pg_catalog.pg_class c ON c.oid = r.oid
  JOIN pg_catalog.pg_type t ON t.oid = c.reltype
  WHERE t.typarray <> 0),
used(classid, objid) AS (
  SELECT DISTINCT d.classid, d.objid FROM part p
  JOIN pg_catalog.pg_depend d
    ON d.refclassid = p.classid AND d.refobjid = p.objid)
)sql";

// A redefinition writes the dependencies again, so that their xmin is new;
// other changes write the dependent's own row, or its comment's.
constexpr const char* kDependents = R"sql(
SELECT COALESCE(pg_catalog.string_agg(pg_catalog.concat_ws(':', d.classid,
         d.objid, d.objsubid, d.refobjid, d.deptype, d.xmin, v.xmin), ' '
         ORDER BY d.classid, d.objid, d.objsubid, d.refobjid, d.refobjsubid),
       '')
  || ' ' || (SELECT COALESCE(pg_catalog.string_agg(pg_catalog.concat_ws(':',
         u.classid, u.objid, r.xmin, c.xmin, p.xmin, t.xmin, a.xmin, s.xmin),
         ' ' ORDER BY u.classid, u.objid), '')
     FROM used u
     LEFT JOIN pg_catalog.pg_rewrite r ON r.oid = u.objid
       AND u.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     LEFT JOIN pg_catalog.pg_constraint c ON c.oid = u.objid
       AND u.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
     LEFT JOIN pg_catalog.pg_policy p ON p.oid = u.objid
       AND u.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
     LEFT JOIN pg_catalog.pg_trigger t ON t.oid = u.objid
       AND u.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
     LEFT JOIN pg_catalog.pg_attrdef a ON a.oid = u.objid
       AND u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
     LEFT JOIN pg_catalog.pg_class s ON s.oid = u.objid AND s.relkind = 'S'
       AND u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
  || ' ' || (SELECT COALESCE(pg_catalog.string_agg(pg_catalog.concat_ws(':',
         x.classoid, x.objoid, x.objsubid, x.xmin), ' '
         ORDER BY x.classoid, x.objoid, x.objsubid), '')
     FROM (SELECT u.classid, u.objid FROM used u
           UNION SELECT p.classid, p.objid FROM part p) AS all_of
     JOIN pg_catalog.pg_description x
       ON x.classoid = all_of.classid AND x.objoid = all_of.objid)
  || ' ' || (SELECT COALESCE(pg_catalog.string_agg(pg_catalog.concat_ws(':',
         l.classoid, l.objoid, l.objsubid, l.provider, l.label), ' '
         ORDER BY l.classoid, l.objoid, l.objsubid, l.provider), '')
     FROM (SELECT u.classid, u.objid FROM used u
           UNION SELECT p.classid, p.objid FROM part p) AS all_of
     JOIN pg_catalog.pg_seclabel l
       ON l.classoid = all_of.classid AND l.objoid = all_of.objid)
FROM part p
JOIN pg_catalog.pg_depend d ON d.refclassid = p.classid AND d.refobjid = p.objid
LEFT JOIN pg_catalog.pg_rewrite r
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
LEFT JOIN pg_catalog.pg_class v ON v.oid = r.ev_class)sql";

// Not by xmin, where hold_dependents() writes the rows once more. Sequences are
// none of these: they are locked, and let go of their columns
// before the replay.
constexpr const char* kUnlocked = R"sql(,
ours(classid, objid) AS (
  SELECT u.classid, u.objid FROM used u
  WHERE u.classid IN ('pg_catalog.pg_proc'::pg_catalog.regclass,
                      'pg_catalog.pg_trigger'::pg_catalog.regclass,
                      'pg_catalog.pg_policy'::pg_catalog.regclass,
                      'pg_catalog.pg_rewrite'::pg_catalog.regclass,
                      'pg_catalog.pg_statistic_ext'::pg_catalog.regclass,
                      'pg_catalog.pg_publication_rel'::pg_catalog.regclass)),
mentioned(classid, objid) AS (
  SELECT d.refclassid, d.refobjid FROM ours o
  JOIN pg_catalog.pg_depend d ON d.classid = o.classid AND d.objid = o.objid
  UNION
  SELECT o.classid, o.objid FROM ours o),
fact(text) AS (
  SELECT pg_catalog.concat_ws(':', 'f', f.oid, n.nspname,
           pg_catalog.md5(f::pg_catalog.text))
  FROM mentioned m JOIN pg_catalog.pg_proc f ON f.oid = m.objid
  JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
  WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  UNION ALL
  SELECT pg_catalog.concat_ws(':', 'r', c.oid, n.nspname, c.relname)
  FROM mentioned m JOIN pg_catalog.pg_class c ON c.oid = m.objid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  UNION ALL
  SELECT pg_catalog.concat_ws(':', 't', t.oid, n.nspname, t.typname)
  FROM mentioned m JOIN pg_catalog.pg_type t ON t.oid = m.objid
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
  UNION ALL
  SELECT pg_catalog.concat_ws(':', 's', s.oid, pg_catalog.md5(s::pg_catalog.text),
           pg_catalog.md5(x.description))
  FROM ours o JOIN pg_catalog.pg_statistic_ext s ON s.oid = o.objid
  LEFT JOIN pg_catalog.pg_description x
    ON x.classoid = o.classid AND x.objoid = o.objid
  WHERE o.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass
  UNION ALL
  SELECT pg_catalog.concat_ws(':', 'p', p.oid, p.xmin)
  FROM ours o JOIN pg_catalog.pg_publication_rel r ON r.oid = o.objid
  JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
  WHERE o.classid = 'pg_catalog.pg_publication_rel'::pg_catalog.regclass)
SELECT COALESCE(pg_catalog.string_agg(fact.text, ' ' ORDER BY fact.text), '')
FROM fact)sql";

}  // namespace

std::string dependents_state_query() {
  return std::string(kUsed) + kDependents;
}

std::string unlocked_state_query() {
  return std::string(kUsed) + kUnlocked;
}

}  // namespace pgrecast::exchange
