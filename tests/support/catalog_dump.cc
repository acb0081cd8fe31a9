#include "support/catalog_dump.h"

namespace pgrecast::test {
namespace {

// A row of a catalog as JSON, less OIDs, numbers of columns, statistics and
// trees; what they mean is added in words.
constexpr const char* kFacts = R"sql(
WITH ns AS (
  SELECT n.oid, n.nspname FROM pg_namespace n
  WHERE n.nspname !~ '^(pg_|pgrecast|information_schema$)'),
rel AS (
  SELECT c.oid, c.relkind, c.relowner, format('%I.%I', n.nspname, c.relname)
    AS name
  FROM pg_class c JOIN ns n ON n.oid = c.relnamespace),
fact(object, row) AS (
  SELECT 'relation ' || r.name, to_jsonb(c) - ARRAY['oid', 'relname',
      'relnamespace', 'reltype', 'reloftype', 'relowner', 'relam',
      'relfilenode', 'reltablespace', 'relpages', 'reltuples', 'relallvisible',
      'relallfrozen', 'reltoastrelid', 'relhasindex', 'relnatts',
      'relhasrules', 'relhastriggers', 'relfrozenxid', 'relminmxid', 'relacl',
      'relrewrite', 'relpartbound', 'reloptions']
    || jsonb_build_object('owner', c.relowner::regrole, 'method',
      (SELECT amname FROM pg_am a WHERE a.oid = c.relam), 'space',
      (SELECT spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace),
      'of type', c.reloftype::regtype, 'toast',
      (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid),
      'acl', (SELECT array_agg(x::text ORDER BY x::text) FROM
        aclexplode(COALESCE(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN
          's'::"char" ELSE 'r'::"char" END, c.relowner))) e,
        LATERAL concat_ws(' ', e.grantee::regrole, e.privilege_type,
          e.is_grantable, 'by', e.grantor::regrole) x),
      'options', (SELECT array_agg(o ORDER BY o) FROM unnest(c.reloptions) o),
      'row type acl', (SELECT t.typacl::text FROM pg_type t
        WHERE t.oid = c.reltype))
  FROM rel r JOIN pg_class c USING (oid)
  UNION ALL
  SELECT format('column %s.%I', r.name, a.attname), to_jsonb(a) - ARRAY[
      'attrelid', 'attname', 'atttypid', 'attnum', 'attcacheoff',
      'attcollation', 'attmissingval', 'atthasmissing', 'attlen', 'attbyval',
      'attalign', 'attacl', 'atttypmod', 'attoptions', 'attndims']
    || jsonb_build_object('type', format_type(a.atttypid, a.atttypmod),
      'collation', a.attcollation::regcollation, 'default',
      (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
       WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum), 'place',
      (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = a.attrelid
       AND b.attnum > 0 AND b.attnum < a.attnum AND NOT b.attisdropped),
      'options', (SELECT array_agg(o ORDER BY o) FROM unnest(a.attoptions) o
       WHERE o NOT LIKE 'pg\_attver=%'),
      'acl', (SELECT array_agg(x::text ORDER BY x::text) FROM
        aclexplode(a.attacl) e,
        LATERAL concat_ws(' ', e.grantee::regrole, e.privilege_type,
          e.is_grantable, 'by', e.grantor::regrole) x))
  FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
   AND NOT a.attisdropped
  UNION ALL
  SELECT format('constraint %I on %s', c.conname, r.name), to_jsonb(c) - ARRAY[
      'oid', 'conname', 'connamespace', 'conrelid', 'contypid', 'conindid',
      'conparentid', 'confrelid', 'conkey', 'confkey', 'conpfeqop',
      'conppeqop', 'conffeqop', 'conexclop', 'conbin', 'confdelsetcols']
    || jsonb_build_object('def', pg_get_constraintdef(c.oid), 'index',
      c.conindid::regclass, 'own triggers', (SELECT
        string_agg(t.tgenabled::text, '' ORDER BY t.tgenabled::text)
        FROM pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgisinternal))
  FROM rel r JOIN pg_constraint c ON c.conrelid = r.oid
  UNION ALL
  SELECT 'index ' || r.name, to_jsonb(i) - ARRAY['indexrelid', 'indrelid',
      'indkey', 'indcollation', 'indclass', 'indoption', 'indexprs', 'indpred',
      'indcheckxmin']
    || jsonb_build_object('def', pg_get_indexdef(i.indexrelid))
  FROM rel r JOIN pg_index i ON i.indexrelid = r.oid
  UNION ALL
  SELECT format('trigger %I on %s', t.tgname, r.name), to_jsonb(t) - ARRAY[
      'oid', 'tgrelid', 'tgparentid', 'tgname', 'tgfoid', 'tgconstrrelid',
      'tgconstrindid', 'tgconstraint', 'tgattr', 'tgargs', 'tgqual']
    || jsonb_build_object('def', pg_get_triggerdef(t.oid))
  FROM rel r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
  UNION ALL
  SELECT format('rule %I on %s', w.rulename, r.name), to_jsonb(w) - ARRAY[
      'oid', 'rulename', 'ev_class', 'ev_qual', 'ev_action']
    || jsonb_build_object('def', pg_get_ruledef(w.oid))
  FROM rel r JOIN pg_rewrite w ON w.ev_class = r.oid
  UNION ALL
  SELECT format('policy %I on %s', p.polname, r.name), to_jsonb(p) - ARRAY[
      'oid', 'polname', 'polrelid', 'polroles', 'polqual', 'polwithcheck']
    || jsonb_build_object('roles', (SELECT array_agg(o::regrole::text ORDER BY
         o::regrole::text) FROM unnest(p.polroles) o),
       'using', pg_get_expr(p.polqual, p.polrelid),
       'check', pg_get_expr(p.polwithcheck, p.polrelid))
  FROM rel r JOIN pg_policy p ON p.polrelid = r.oid
  UNION ALL
  SELECT format('statistics %I.%I', n.nspname, s.stxname), to_jsonb(s) - ARRAY[
      'oid', 'stxrelid', 'stxname', 'stxnamespace', 'stxowner', 'stxkeys',
      'stxexprs']
    || jsonb_build_object('def', pg_get_statisticsobjdef(s.oid), 'owner',
       s.stxowner::regrole, 'filled', EXISTS (SELECT FROM
         pg_statistic_ext_data d WHERE d.stxoid = s.oid))
  FROM ns n JOIN pg_statistic_ext s ON s.stxnamespace = n.oid
  UNION ALL
  SELECT format('publication %I of %s', p.pubname, e.prrelid::regclass),
    to_jsonb(p) - ARRAY['oid', 'pubname', 'pubowner']
    || to_jsonb(e) - ARRAY['oid', 'prpubid', 'prrelid', 'prqual', 'prattrs']
    || jsonb_build_object('owner', p.pubowner::regrole, 'columns',
      (SELECT to_jsonb(t)->>'attnames' FROM pg_publication_tables t
       WHERE t.pubname = p.pubname AND format('%I.%I', t.schemaname,
         t.tablename)::regclass = e.prrelid), 'filter',
      (SELECT to_jsonb(t)->>'rowfilter' FROM pg_publication_tables t
       WHERE t.pubname = p.pubname AND format('%I.%I', t.schemaname,
         t.tablename)::regclass = e.prrelid))
  FROM pg_publication p JOIN pg_publication_rel e ON e.prpubid = p.oid
  WHERE p.pubname NOT LIKE 'pgrecast%'
  UNION ALL
  SELECT 'sequence ' || r.name, to_jsonb(s) - ARRAY['seqrelid', 'seqtypid']
    || jsonb_build_object('type', s.seqtypid::regtype)
  FROM rel r JOIN pg_sequence s ON s.seqrelid = r.oid
  UNION ALL
  SELECT 'function ' || p.oid::regprocedure, to_jsonb(p) - ARRAY['oid',
      'pronamespace', 'proowner', 'prolang', 'prosupport', 'prorettype',
      'proargtypes', 'proallargtypes', 'proargdefaults', 'prosqlbody',
      'proacl', 'protrftypes', 'provariadic']
    || jsonb_build_object('def', pg_get_functiondef(p.oid), 'owner',
      p.proowner::regrole, 'acl', (SELECT array_agg(x::text ORDER BY x::text)
        FROM unnest(p.proacl) x))
  FROM ns n JOIN pg_proc p ON p.pronamespace = n.oid AND p.prokind <> 'a'
  UNION ALL
  SELECT format('comment on %s %s', i.type, i.identity),
         to_jsonb(d) - ARRAY['objoid', 'classoid', 'objsubid']
  FROM pg_description d, LATERAL pg_identify_object(d.classoid, d.objoid,
                                                    d.objsubid) i
  WHERE d.objoid >= 16384 AND i.identity !~ 'pgrecast'
  UNION ALL
  SELECT format('label on %s %s', i.type, i.identity),
         to_jsonb(d) - ARRAY['objoid', 'classoid', 'objsubid']
  FROM pg_seclabel d, LATERAL pg_identify_object(d.classoid, d.objoid,
                                                 d.objsubid) i
  WHERE d.objoid >= 16384 AND i.identity !~ 'pgrecast'
  UNION ALL
  SELECT DISTINCT format('%s %s depends on', i.type, i.identity),
         jsonb_build_object(d.deptype, format('%s %s', j.type, j.identity))
  FROM pg_depend d,
    LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i,
    LATERAL pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid) j
  WHERE d.objid >= 16384
    AND i.identity !~ 'pgrecast|_ConstraintTrigger_|^pg_toast'
    AND j.identity !~ '_ConstraintTrigger_|^pg_toast')
SELECT fact.object || ': ' || each.key || ' = ' || each.value
FROM fact, LATERAL jsonb_each_text(fact.row) each
WHERE each.value IS NOT NULL
ORDER BY 1)sql";

}  // namespace

std::vector<std::string> catalog_dump(Session& superuser) {
  superuser.exec("SET search_path = ''");
  std::vector<std::string> lines;
  for (const Row& row : superuser.query_rows(kFacts)) {
    std::string line = row[0];
    for (char& c : line) {
      if (c == '\n') c = ' ';
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace pgrecast::test
