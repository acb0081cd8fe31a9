#include "pgrecast/catalog/dependents.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>

namespace pgrecast::catalog {
namespace {

// What makes up the table: what the exchange hands over or finds on the shadow.
// A dependency among these is the table's own affair. Of partitions only what
// plan/partitions.h compares; what else a partition has is a dependent.
constexpr const char* kMembers = R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT $1::pg_catalog.oid
  UNION
  SELECT i.inhrelid FROM tree
  JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
  JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'),
owned AS (
  SELECT d.objid, d.deptype FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = $1::pg_catalog.oid AND d.deptype IN ('a', 'i')),
member(classid, objid, part) AS (
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, tree.oid,
         CASE tree.oid WHEN $1::pg_catalog.oid THEN 'table' ELSE 'partition' END
  FROM tree
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.reltoastrelid, 'toast'
  FROM pg_catalog.pg_class c
  WHERE c.oid IN (SELECT tree.oid FROM tree) AND c.reltoastrelid <> 0
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid,
         CASE t.typrelid WHEN $1::pg_catalog.oid THEN 'row type' ELSE 'partition' END
  FROM tree JOIN pg_catalog.pg_type t ON t.typrelid = tree.oid
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.typarray,
         CASE t.typrelid WHEN $1::pg_catalog.oid THEN 'row type' ELSE 'partition' END
  FROM tree JOIN pg_catalog.pg_type t ON t.typrelid = tree.oid
  WHERE t.typarray <> 0
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid,
         CASE i.indrelid WHEN $1::pg_catalog.oid THEN 'index' ELSE 'partition' END
  FROM tree JOIN pg_catalog.pg_index i ON i.indrelid = tree.oid
  UNION ALL
  SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid,
         CASE c.conrelid WHEN $1::pg_catalog.oid THEN 'constraint' ELSE 'partition' END
  FROM tree JOIN pg_catalog.pg_constraint c ON c.conrelid = tree.oid
  UNION ALL
  SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid,
         CASE d.adrelid WHEN $1::pg_catalog.oid THEN 'default' ELSE 'partition' END
  FROM tree JOIN pg_catalog.pg_attrdef d ON d.adrelid = tree.oid
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, o.objid,
         CASE o.deptype WHEN 'i' THEN 'identity' ELSE 'sequence' END
  FROM owned o
  UNION ALL
  SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 'row type'
  FROM owned o JOIN pg_catalog.pg_type t ON t.typrelid = o.objid
  UNION ALL
  SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid,
         CASE t.tgrelid WHEN $1::pg_catalog.oid THEN 'trigger' ELSE 'partition' END
  FROM tree JOIN pg_catalog.pg_trigger t ON t.tgrelid = tree.oid
  UNION ALL
  SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, 'rule'
  FROM pg_catalog.pg_rewrite r WHERE r.ev_class = $1::pg_catalog.oid
  UNION ALL
  SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, 'policy'
  FROM pg_catalog.pg_policy p WHERE p.polrelid = $1::pg_catalog.oid
  UNION ALL
  SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, 'statistics'
  FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = $1::pg_catalog.oid
  UNION ALL
  SELECT 'pg_catalog.pg_publication_rel'::pg_catalog.regclass, p.oid,
         'publication'
  FROM pg_catalog.pg_publication_rel p WHERE p.prrelid = $1::pg_catalog.oid)
)sql";

// Who depends on a member and is none, or is one in an unknown way.
constexpr const char* kDependents = R"sql(
SELECT DISTINCT d.classid::pg_catalog.regclass::pg_catalog.text, d.objid,
       COALESCE(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid),
                d.classid::pg_catalog.regclass::pg_catalog.text || ' '
                || d.objid::pg_catalog.text),
       d.deptype, m.part,
       COALESCE(pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0),
                'it'),
       COALESCE(con.contype, ''),
       COALESCE(con.conparentid <> 0, false), COALESCE(tg.tgisinternal, false),
       COALESCE(pg_catalog.pg_has_role(holder.relowner, 'USAGE')
                AND NOT EXISTS (
                  SELECT FROM pg_catalog.pg_partition_tree(holder.oid) AS t
                  JOIN pg_catalog.pg_class leaf ON leaf.oid = t.relid
                  WHERE NOT pg_catalog.pg_has_role(leaf.relowner, 'USAGE')),
                pg_catalog.pg_has_role(fn.proowner, 'USAGE')
                AND pg_catalog.has_schema_privilege(fn.pronamespace, 'CREATE'),
                false),
       COALESCE(pg_catalog.pg_get_userbyid(
                  COALESCE(holder.relowner, fn.proowner)), ''),
       fn.prosqlbody IS NOT NULL
FROM pg_catalog.pg_depend d
JOIN member m ON m.classid = d.refclassid AND m.objid = d.refobjid
LEFT JOIN pg_catalog.pg_rewrite rw
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
 AND rw.oid = d.objid
LEFT JOIN pg_catalog.pg_constraint con
  ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
 AND con.oid = d.objid
LEFT JOIN pg_catalog.pg_trigger tg
  ON d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
 AND tg.oid = d.objid
LEFT JOIN pg_catalog.pg_policy pol
  ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
 AND pol.oid = d.objid
LEFT JOIN pg_catalog.pg_proc fn
  ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
 AND fn.oid = d.objid
LEFT JOIN pg_catalog.pg_class holder
  ON holder.oid = COALESCE(rw.ev_class, con.conrelid, tg.tgrelid,
                           pol.polrelid)
WHERE m.part <> 'toast'
  AND NOT (d.deptype IN ('a', 'i', 'n', 'P', 'S')
           AND EXISTS (SELECT FROM member x WHERE x.classid = d.classid
                                              AND x.objid = d.objid))
  AND NOT (m.part = 'partition' AND COALESCE(con.conparentid, 0) <> 0)
  -- Children are plan/parent.h's affair.
  AND NOT (m.part = 'table' AND d.deptype = 'n' AND d.objsubid = 0 AND d.refobjsubid = 0
           AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
           AND EXISTS (SELECT FROM pg_catalog.pg_inherits i
                       WHERE i.inhrelid = d.objid AND i.inhparent = d.refobjid))
ORDER BY 3, 5)sql";

// What the members themselves depend on in ways that an exchange would lose.
constexpr const char* kBonds = R"sql(
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid),
       CASE d.deptype
         WHEN 'e' THEN 'is a member of '
         WHEN 'x' THEN 'is marked DEPENDS ON '
         WHEN 'P' THEN 'is a part of '
         WHEN 'S' THEN 'is a part of '
         ELSE 'depends in an unknown way ("' || d.deptype::pg_catalog.text || '") on ' END
       || pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
FROM pg_catalog.pg_depend d
JOIN member m ON m.classid = d.classid AND m.objid = d.objid
WHERE d.deptype NOT IN ('a', 'i', 'n') AND m.part <> 'toast'
  AND NOT (d.deptype IN ('P', 'S')
           AND EXISTS (SELECT FROM member x WHERE x.classid = d.refclassid
                                              AND x.objid = d.refobjid))
  -- What a leaf has of the table that it is a part of: it is attached again.
  AND NOT (d.deptype IN ('P', 'S') AND EXISTS (
    SELECT FROM pg_catalog.pg_inherits h
    JOIN pg_catalog.pg_class leaf ON leaf.oid = h.inhrelid
     AND leaf.relispartition AND leaf.relkind = 'r'
    WHERE h.inhrelid = $1::pg_catalog.oid AND h.inhparent IN (
      SELECT x.indrelid FROM pg_catalog.pg_index x
      WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND x.indexrelid = d.refobjid
      UNION ALL
      SELECT x.conrelid FROM pg_catalog.pg_constraint x
      WHERE d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
        AND x.oid = d.refobjid
      UNION ALL
      SELECT x.tgrelid FROM pg_catalog.pg_trigger x
      WHERE d.refclassid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
        AND x.oid = d.refobjid)))
UNION ALL
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid),
       'depends in an unknown way ("' || d.deptype::pg_catalog.text || '") on '
       || pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0)
FROM pg_catalog.pg_shdepend d
JOIN member m ON m.classid = d.classid AND m.objid = d.objid
WHERE d.dbid = (SELECT db.oid FROM pg_catalog.pg_database db
                WHERE db.datname = pg_catalog.current_database())
  AND (d.deptype NOT IN ('o', 'a', 'r', 't')
       OR d.refclassid NOT IN (
            'pg_catalog.pg_authid'::pg_catalog.regclass,
            'pg_catalog.pg_tablespace'::pg_catalog.regclass))
UNION ALL
SELECT pg_catalog.pg_describe_object(l.classoid, l.objoid, l.objsubid),
       'has a security label of provider ' || l.provider || ' ("'
       || l.label || '")'
FROM pg_catalog.pg_seclabel l
JOIN member m ON m.classid = l.classoid AND m.objid = l.objoid
WHERE m.part NOT IN ('table', 'sequence')
ORDER BY 1, 2)sql";

// What does not show in pg_depend: (object, reason, remedy).
constexpr const char* kHidden = R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT $1::pg_catalog.oid
  UNION
  SELECT i.inhrelid FROM tree
  JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
  JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relkind = 'p')
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0) AS what,
       'is no ordinary table' AS reason,
       'name the ordinary table that holds the rows' AS remedy
FROM pg_catalog.pg_class c
WHERE c.oid = $1::pg_catalog.oid AND c.relkind NOT IN ('r', 'p')
UNION ALL
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0),
       CASE WHEN c.relkind = 'f' THEN 'is a foreign table'
            WHEN i.inhdetachpending THEN 'is being detached'
            ELSE 'lies in another schema than the table that it is a part of' END,
       CASE WHEN c.relkind = 'f' THEN 'detach it, and attach it again afterwards'
            WHEN i.inhdetachpending THEN 'ALTER TABLE .. DETACH PARTITION .. FINALIZE'
            ELSE 'ALTER TABLE .. SET SCHEMA' END
FROM tree
JOIN pg_catalog.pg_inherits i ON i.inhrelid = tree.oid AND tree.oid <> $1::pg_catalog.oid
JOIN pg_catalog.pg_class c ON c.oid = tree.oid
JOIN pg_catalog.pg_class root ON root.oid = $1::pg_catalog.oid
WHERE c.relkind NOT IN ('r', 'p') OR i.inhdetachpending
   OR c.relnamespace <> root.relnamespace
UNION ALL
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0),
       'is a typed table of ' || pg_catalog.format_type(c.reloftype, -1),
       'ALTER TABLE .. NOT OF; then run again'
FROM pg_catalog.pg_class c
WHERE c.oid = $1::pg_catalog.oid AND c.reloftype <> 0
UNION ALL
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_class'::pg_catalog.regclass, i.inhrelid, 0),
       'is a partition of '
       || pg_catalog.pg_describe_object(
         'pg_catalog.pg_class'::pg_catalog.regclass, i.inhparent, 0),
       'name the table that it is a part of, or detach it beforehand'
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid
-- A leaf is plan/leaf.h's affair; others plan/child.h's and plan/parent.h's.
WHERE i.inhrelid = $1::pg_catalog.oid AND k.relispartition AND k.relkind <> 'r'
UNION ALL
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0),
       'is invalid: CREATE INDEX CONCURRENTLY has failed, or is not done yet',
       'DROP INDEX it, or REINDEX INDEX CONCURRENTLY'
FROM pg_catalog.pg_index i
WHERE i.indrelid = $1::pg_catalog.oid AND NOT i.indisvalid
UNION ALL
-- Made on the shadow, each holds the OID of the source still.
SELECT own.what, 'names the OID of its own table, and would mean the old one '
       'after the exchange', 'drop it, and make it again afterwards'
FROM (
  SELECT pg_catalog.pg_describe_object(
           'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, 0),
         pg_catalog.pg_get_expr(d.adbin, d.adrelid)
  FROM pg_catalog.pg_attrdef d WHERE d.adrelid = $1::pg_catalog.oid
  UNION ALL
  SELECT pg_catalog.pg_describe_object(
           'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0),
         pg_catalog.pg_get_constraintdef(c.oid)
  FROM pg_catalog.pg_constraint c
  WHERE c.conrelid = $1::pg_catalog.oid AND c.contype IN ('c', 'x')
  UNION ALL
  SELECT pg_catalog.pg_describe_object(
           'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0),
         pg_catalog.pg_get_indexdef(i.indexrelid)
  FROM pg_catalog.pg_index i WHERE i.indrelid = $1::pg_catalog.oid)
  AS own(what, printed)
WHERE pg_catalog.strpos(own.printed, pg_catalog.quote_literal(
        $1::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text)
      || '::regclass') > 0
UNION ALL
SELECT 'subscription ' || COALESCE(s.subname, r.srsubid::pg_catalog.text),
       'writes into the table',
       'remove the table from the subscription''s publication and refresh the '
       'subscription: after an exchange it would skip changes without a word'
FROM pg_catalog.pg_subscription_rel r
LEFT JOIN (SELECT oid, subname FROM pg_catalog.pg_subscription) s
  ON s.oid = r.srsubid
WHERE r.srrelid IN (SELECT tree.oid FROM tree)
UNION ALL
SELECT 'publication ' || p.pubname,
       'is FOR ALL TABLES: it would publish the shadow from its first row, '
       'which no subscriber has',
       'publish the tables by name instead while the migration runs'
FROM pg_catalog.pg_publication p WHERE p.puballtables
UNION ALL
SELECT 'publication ' || p.pubname,
       'must be altered and belongs to ' || pg_catalog.pg_get_userbyid(p.pubowner),
       'run as a member of that role'
FROM pg_catalog.pg_publication_rel r
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = $1::pg_catalog.oid AND p.pubname <> $2
  AND NOT pg_catalog.pg_has_role(p.pubowner, 'USAGE')
UNION ALL
SELECT 'statistics object ' || n.nspname || '.' || s.stxname,
       'must be altered and belongs to ' || pg_catalog.pg_get_userbyid(s.stxowner),
       'run as a member of that role'
FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = $1::pg_catalog.oid
  AND NOT (pg_catalog.pg_has_role(s.stxowner, 'USAGE')
           AND pg_catalog.pg_has_role(s.stxowner, $3))
UNION ALL
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0),
       'is not enforced, as its triggers are disabled; made again it would be',
       'ALTER TABLE .. ENABLE TRIGGER ALL, or drop the constraint'
FROM pg_catalog.pg_constraint c
WHERE $1::pg_catalog.oid IN (c.conrelid, c.confrelid)
  AND EXISTS (SELECT FROM pg_catalog.pg_trigger tg
              WHERE tg.tgconstraint = c.oid AND tg.tgisinternal
                AND tg.tgenabled <> 'O')
UNION ALL
SELECT pg_catalog.pg_describe_object(
         'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0),
       'must be re-created, for which the rights on '
       || c.confrelid::pg_catalog.regclass::pg_catalog.text || ' do not suffice',
       'grant REFERENCES and UPDATE (for LOCK TABLE) on it'
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1::pg_catalog.oid AND c.contype = 'f'
  AND c.conparentid = 0 AND c.confrelid <> c.conrelid
  AND NOT (pg_catalog.has_table_privilege(
             c.confrelid, 'UPDATE, DELETE, TRUNCATE')
           AND pg_catalog.has_any_column_privilege(c.confrelid, 'REFERENCES'))
ORDER BY 1, 2)sql";

// Grants that somebody passed on: they are given again by the same role, so
// that it can take them back. $1: a table (with its columns and identities) or
// views. {0}: what it takes to SET ROLE.
constexpr const char* kGrantors = R"sql(
WITH granted AS (
  SELECT c.oid, c.relname, c.relnamespace, c.relowner, c.relkind
  FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::pg_catalog.oid[])
  UNION ALL
  SELECT s.oid, s.relname, s.relnamespace, s.relowner, s.relkind
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = ANY ($1::pg_catalog.oid[]) AND d.deptype = 'i'),
acl AS (
  SELECT g.oid, x.grantor, x.grantee
  FROM granted g
  JOIN pg_catalog.pg_class c ON c.oid = g.oid
  CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
  UNION ALL
  SELECT g.oid, x.grantor, x.grantee
  FROM granted g
  JOIN pg_catalog.pg_attribute a ON a.attrelid = g.oid AND NOT a.attisdropped
  CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS x
  UNION ALL
  SELECT g.oid, x.grantor, x.grantee
  FROM granted g
  JOIN pg_catalog.pg_type t ON t.typrelid = g.oid AND g.relkind IN ('r', 'p')
  CROSS JOIN LATERAL pg_catalog.aclexplode(t.typacl) AS x)
SELECT DISTINCT pg_catalog.format('a grant on %I.%I to %s', n.nspname, g.relname,
         CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE
           pg_catalog.pg_get_userbyid(acl.grantee)::pg_catalog.text END),
       may.reason, may.remedy
FROM granted g
JOIN pg_catalog.pg_namespace n ON n.oid = g.relnamespace
JOIN acl ON acl.oid = g.oid AND acl.grantor <> g.relowner
CROSS JOIN LATERAL (
  SELECT pg_catalog.pg_get_userbyid(acl.grantor)::pg_catalog.text AS grantor,
         pg_catalog.pg_get_userbyid(g.relowner)::pg_catalog.text AS owner) AS r
CROSS JOIN LATERAL (VALUES
  (NOT pg_catalog.pg_has_role(acl.grantor, '{0}'),
   'was passed on by ' || r.grantor || ', as whom the role may not act',
   'run as a member of ' || r.grantor || ', or let ' || r.owner
   || ' grant it instead'),
  (NOT pg_catalog.has_schema_privilege(acl.grantor, g.relnamespace, 'USAGE'),
   'was passed on by ' || r.grantor || ', who may not use schema ' || n.nspname
   || ' any more',
   'GRANT USAGE ON SCHEMA ' || n.nspname || ' TO ' || r.grantor || ', or let '
   || r.owner || ' grant it instead')
  ) AS may(lacks, reason, remedy)
WHERE may.lacks
ORDER BY 1, 2)sql";

constexpr int kHasSetOption = 160000;  // GRANT role .. WITH SET FALSE

constexpr int kHasSchemaPublications = 150000;

constexpr const char* kSchemaPublications = R"sql(
SELECT 'publication ' || p.pubname,
       'publishes schema ' || n.nspname || ' as a whole: the new table would '
       'enter it, and the old one leave it, behind its subscribers'' backs',
       'publish the tables by name instead while the migration runs'
FROM pg_catalog.pg_publication_namespace pn
JOIN pg_catalog.pg_publication p ON p.oid = pn.pnpubid
JOIN pg_catalog.pg_namespace n ON n.oid = pn.pnnspid
WHERE pn.pnnspid = (SELECT c.relnamespace FROM pg_catalog.pg_class c
                    WHERE c.oid = $1::pg_catalog.oid)
   OR n.nspname LIKE 'pgrecast%'
ORDER BY 1)sql";

struct Dependent {
  std::string catalog;      // pg_rewrite
  std::string description;  // as pg_describe_object says
  char deptype = ' ';
  std::string part;     // of the table: 'table', 'row type', 'identity', ..
  std::string part_of;  // described
  char contype = ' ';
  bool inherited = false;  // a constraint of a partition
  bool internal = false;   // a trigger of the server's own
  bool may_alter = false;  // we are a member of the owner of that relation
  std::string owner;
  bool atomic = false;  // a function whose body the server keeps parsed
};

char first(std::string_view text) {
  return text.empty() ? ' ' : text.front();
}

// A view is no rule to whoever made it.
std::string described(std::string_view by_server) {
  constexpr std::string_view kOfAView = "rule _RETURN on ";
  if (by_server.starts_with(kOfAView)) by_server.remove_prefix(kOfAView.size());
  return std::string(by_server);
}

Dependent read_dependent(const pg::Result& result, int row) {
  int column = 2;
  Dependent dependent;
  dependent.catalog = result.text(row, 0);
  dependent.description = described(result.text(row, column++));
  dependent.deptype = first(result.text(row, column++));
  dependent.part = result.text(row, column++);
  dependent.part_of = result.text(row, column++);
  dependent.contype = first(result.text(row, column++));
  dependent.inherited = result.boolean(row, column++);
  dependent.internal = result.boolean(row, column++);
  dependent.may_alter = result.boolean(row, column++);
  dependent.owner = result.text(row, column++);
  dependent.atomic = result.boolean(row, column++);
  return dependent;
}

Refusal needs_owner(const Dependent& dependent) {
  if (dependent.atomic) {
    return {.what = fmt::format("{} must be replaced with the new table, for "
                                "which the rights do not suffice",
                                dependent.description),
            .remedy = fmt::format("run as a member of {}, with CREATE on the "
                                  "function's schema",
                                  dependent.owner)};
  }
  return {.what = fmt::format(
              "{} must be re-created with the new table, and belongs to {}",
              dependent.description, dependent.owner),
          .remedy = fmt::format("run as a member of {}", dependent.owner)};
}

Refusal not_carried(const Dependent& dependent) {
  const bool by_type = dependent.part == "row type";
  return {
      .what = fmt::format("{} depends on {} and would stay with the old table",
                          dependent.description, dependent.part_of),
      .remedy = by_type
                    ? "drop it, or let it use a type of its own (CREATE TYPE)"
                    : "drop it, and create it again after the migration"};
}

// Views, and rules and policies of other relations, and functions whose bodies
// are kept parsed: their definitions name the table, and are replayed.
bool names_the_table(const Dependent& dependent) {
  return dependent.catalog == "pg_rewrite" ||
         dependent.catalog == "pg_policy" ||
         (dependent.catalog == "pg_proc" && dependent.atomic);
}

// The closed world: nullopt only for what src/exchange carries.
std::optional<Refusal> refusal_of(const Dependent& dependent) {
  constexpr std::string_view kKnownDeptypes = "ain";
  if (kKnownDeptypes.find(dependent.deptype) == std::string_view::npos) {
    return not_carried(dependent);
  }
  // The very same sequence is handed over: whoever uses it, goes on.
  if (dependent.part == "sequence") return std::nullopt;
  const bool on_rows =
      dependent.part == "table" || dependent.part == "constraint";
  if (on_rows && names_the_table(dependent)) {
    if (!dependent.may_alter) return needs_owner(dependent);
    return std::nullopt;
  }
  if (dependent.catalog == "pg_constraint" && dependent.contype == 'f' &&
      (on_rows || dependent.part == "index")) {
    // That of the whole table is told of by itself.
    if (dependent.inherited) return std::nullopt;
    if (!dependent.may_alter) return needs_owner(dependent);
    return std::nullopt;
  }
  // The triggers behind a foreign key, on its other table: they come and go
  // with the constraint.
  if (dependent.catalog == "pg_trigger" && dependent.internal &&
      dependent.part == "constraint") {
    return std::nullopt;
  }
  return not_carried(dependent);
}

void add_reasons(const pg::Result& result, std::vector<Refusal>& refusals) {
  for (int row = 0; row < result.rows(); ++row) {
    refusals.push_back(
        {.what = fmt::format("{} {}", result.text(row, 0), result.text(row, 1)),
         .remedy = std::string(result.text(row, 2))});
  }
}

// A dependent of the source on one of its columns that the new shape lacks. $3,
// $4: the columns that the script renames, and their new names.
constexpr const char* kColumnDependents = R"sql(
SELECT DISTINCT
       pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid),
       a.attname
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
LEFT JOIN ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]),
                     pg_catalog.unnest($4::pg_catalog.text[]))
  AS m(was, now) ON m.was = a.attname
LEFT JOIN pg_catalog.pg_attribute n
  ON n.attrelid = $2::pg_catalog.oid
 AND n.attname = COALESCE(m.now, a.attname) AND NOT n.attisdropped
LEFT JOIN pg_catalog.pg_constraint con
  ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
 AND con.oid = d.objid
WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1::pg_catalog.oid AND d.refobjsubid > 0
  AND (con.contype = 'f'
       OR d.classid IN ('pg_catalog.pg_rewrite'::pg_catalog.regclass,
                        'pg_catalog.pg_trigger'::pg_catalog.regclass,
                        'pg_catalog.pg_policy'::pg_catalog.regclass,
                        'pg_catalog.pg_proc'::pg_catalog.regclass,
                        'pg_catalog.pg_publication_rel'::pg_catalog.regclass,
                        'pg_catalog.pg_statistic_ext'::pg_catalog.regclass))
  AND n.attname IS NULL
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_statistic_ext s
    JOIN pg_catalog.pg_namespace sn ON sn.oid = s.stxnamespace
    JOIN ROWS FROM (pg_catalog.unnest($5::pg_catalog.text[]),
                    pg_catalog.unnest($6::pg_catalog.text[]))
      AS dropped(schema, name)
      ON dropped.schema = sn.nspname AND dropped.name = s.stxname
    WHERE d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass
      AND s.oid = d.objid)
  AND NOT (con.contype = 'f' AND con.conrelid = $1::pg_catalog.oid
           AND con.conname = ANY ($7::pg_catalog.text[]))
ORDER BY 1, 2)sql";

// A sequence whose column the new shape lacks stays with the old table, and is
// dropped with it.
constexpr const char* kSequenceDependents = R"sql(
SELECT pg_catalog.pg_describe_object(u.classid, u.objid, u.objsubid),
       d.refobjsubid, a.attname,
       pg_catalog.pg_describe_object(d.classid, d.objid, 0)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN pg_catalog.pg_depend u
  ON u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND u.refobjid = s.oid AND u.deptype = 'n'
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1::pg_catalog.oid AND d.deptype = 'a'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attrdef ad
                  WHERE u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                    AND ad.oid = u.objid
                    AND ad.adrelid IN ($1::pg_catalog.oid, $2::pg_catalog.oid))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute n
                  WHERE n.attrelid = $2::pg_catalog.oid
                    AND n.attname = COALESCE(
                      (SELECT m.now
                       FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]),
                              pg_catalog.unnest($4::pg_catalog.text[]))
                         AS m(was, now)
                       WHERE m.was = a.attname), a.attname)
                    AND NOT n.attisdropped)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x
                  JOIN pg_catalog.pg_attrdef ad ON ad.oid = x.objid
                   AND ad.adrelid = $2::pg_catalog.oid
                  WHERE x.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                    AND x.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND x.refobjid = s.oid)
ORDER BY 1)sql";

}  // namespace

std::vector<Refusal> uncarried_grants(pg::Connection& connection,
                                      const std::vector<Oid>& relations) {
  const bool by_option = connection.server_version() >= kHasSetOption;
  std::vector<Refusal> refusals;
  add_reasons(connection.exec(fmt::format(fmt::runtime(kGrantors),
                                          by_option ? "SET" : "MEMBER"),
                              {oid_array(relations)}),
              refusals);
  return refusals;
}

std::vector<Refusal> uncarried_dependents(pg::Connection& connection,
                                          const Table& table,
                                          const std::string& own_publication) {
  std::vector<Refusal> refusals;
  const std::string members = kMembers;
  const pg::Result dependents =
      connection.exec(members + kDependents, {table.oid});
  for (int row = 0; row < dependents.rows(); ++row) {
    auto refusal = refusal_of(read_dependent(dependents, row));
    if (!refusal) continue;
    // One object may depend on several parts: a line for each object.
    const bool known = std::ranges::any_of(refusals, [&](const Refusal& other) {
      return other.what.starts_with(
          fmt::format("{} ", described(dependents.text(row, 2))));
    });
    if (!known) refusals.push_back(std::move(*refusal));
  }
  const pg::Result bonds = connection.exec(members + kBonds, {table.oid});
  for (int row = 0; row < bonds.rows(); ++row) {
    refusals.push_back(
        {.what = fmt::format("{} {}, which the new table would lose",
                             bonds.text(row, 0), bonds.text(row, 1)),
         .remedy = "remove that beforehand, and restore it afterwards"});
  }
  const bool by_option = connection.server_version() >= kHasSetOption;
  add_reasons(connection.exec(kHidden, {table.oid, own_publication,
                                        by_option ? "SET" : "MEMBER"}),
              refusals);
  if (connection.server_version() >= kHasSchemaPublications) {
    add_reasons(connection.exec(kSchemaPublications, {table.oid}), refusals);
  }
  std::ranges::move(uncarried_grants(connection, {table.oid}),
                    std::back_inserter(refusals));
  return refusals;
}

std::vector<Refusal> dependents_on_dropped_columns(pg::Connection& connection,
                                                   const Reshaped& table) {
  std::vector<std::string> was;
  std::vector<std::string> now;
  for (const auto& [before, after] : table.renamed) {
    was.push_back(before);
    now.push_back(after);
  }
  std::vector<std::string> schemas;
  std::vector<std::string> names;
  for (const QualifiedName& dropped : table.dropped_statistics) {
    schemas.push_back(dropped.schema);
    names.push_back(dropped.name);
  }
  const std::vector<pg::Param> params = {table.source, table.target,
                                         pg::array_literal(was),
                                         pg::array_literal(now)};
  std::vector<pg::Param> and_dropped = params;
  and_dropped.emplace_back(pg::array_literal(schemas));
  and_dropped.emplace_back(pg::array_literal(names));
  and_dropped.emplace_back(pg::array_literal(std::vector<std::string>(
      table.dropped_foreign_keys.begin(), table.dropped_foreign_keys.end())));
  const pg::Result columns = connection.exec(kColumnDependents, and_dropped);
  std::vector<Refusal> refusals;
  refusals.reserve(static_cast<std::size_t>(columns.rows()));
  for (int row = 0; row < columns.rows(); ++row) {
    refusals.push_back(
        {.what =
             fmt::format("{} needs column {}, which the new table does not "
                         "have",
                         described(columns.text(row, 0)), columns.text(row, 1)),
         .remedy = "drop it, and create it again after the migration"});
  }
  const pg::Result sequences = connection.exec(kSequenceDependents, params);
  for (int row = 0; row < sequences.rows(); ++row) {
    refusals.push_back(
        {.what = fmt::format("{} uses {}, which belongs to column {}; the new "
                             "table does not have that column",
                             sequences.text(row, 0), sequences.text(row, 3),
                             sequences.text(row, 2)),
         .remedy =
             "release the sequence with ALTER SEQUENCE .. OWNED BY NONE"});
  }
  return refusals;
}

}  // namespace pgrecast::catalog
