#include "carried.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace pgrecast::exchange {
namespace {

using catalog::Oid;

constexpr int kHasPublicationFilters = 150000;

// Statements that give the table of name $2 (quoted) what $1 has. Triggers,
// rules and policies are copied; the retired table keeps its own.
constexpr const char* kOwnObjects = R"sql(
SELECT s.statement FROM (
  SELECT 1 AS kind, t.tgname AS name, s.place, s.statement
  FROM pg_catalog.pg_trigger t
  CROSS JOIN LATERAL (VALUES
    (1, pg_catalog.pg_get_triggerdef(t.oid)),
    (2, CASE t.tgenabled WHEN 'O' THEN NULL ELSE pg_catalog.format(
          'ALTER TABLE %s %s TRIGGER %I', $2::pg_catalog.text,
          CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
               WHEN 'A' THEN 'ENABLE ALWAYS' END, t.tgname) END),
    (3, pg_catalog.format('COMMENT ON TRIGGER %I ON %s IS %L', t.tgname, $2,
          pg_catalog.obj_description(t.oid, 'pg_trigger')))) AS s(place, statement)
  -- Those of a leaf that are the whole table's come with being attached.
  WHERE t.tgrelid = $1::pg_catalog.oid AND NOT t.tgisinternal AND t.tgparentid = 0
    AND (s.place <> 3
         OR pg_catalog.obj_description(t.oid, 'pg_trigger') IS NOT NULL)
  UNION ALL
  SELECT 2, r.rulename, s.place, s.statement
  FROM pg_catalog.pg_rewrite r
  CROSS JOIN LATERAL (VALUES
    (1, pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid), '; ')),
    (2, CASE r.ev_enabled WHEN 'O' THEN NULL ELSE pg_catalog.format(
          'ALTER TABLE %s %s RULE %I', $2,
          CASE r.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
               WHEN 'A' THEN 'ENABLE ALWAYS' END, r.rulename) END),
    (3, pg_catalog.format('COMMENT ON RULE %I ON %s IS %L', r.rulename, $2,
          pg_catalog.obj_description(r.oid, 'pg_rewrite')))) AS s(place, statement)
  WHERE r.ev_class = $1::pg_catalog.oid
    AND (s.place <> 3
         OR pg_catalog.obj_description(r.oid, 'pg_rewrite') IS NOT NULL)
  UNION ALL
  SELECT 3, p.polname, s.place, s.statement
  FROM pg_catalog.pg_policy p
  CROSS JOIN LATERAL (VALUES
    (1, pg_catalog.concat(
       pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO ', p.polname, $2,
         CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
         CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
              WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END),
       (SELECT pg_catalog.string_agg(
                 CASE m.role WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(
                   pg_catalog.pg_get_userbyid(m.role)) END, ', ')
        FROM pg_catalog.unnest(p.polroles) AS m(role)),
       ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
       ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
       || ')')),
    (3, pg_catalog.format('COMMENT ON POLICY %I ON %s IS %L', p.polname, $2,
          pg_catalog.obj_description(p.oid, 'pg_policy')))) AS s(place, statement)
  WHERE p.polrelid = $1::pg_catalog.oid
    AND (s.place <> 3
         OR pg_catalog.obj_description(p.oid, 'pg_policy') IS NOT NULL)
  UNION ALL
  SELECT 4, '', s.place, s.statement
  FROM pg_catalog.pg_class c
  CROSS JOIN LATERAL (VALUES
    -- The new table may have had it while it was the shadow.
    (1, pg_catalog.format('ALTER TABLE %s %s ROW LEVEL SECURITY', $2,
          CASE WHEN c.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END)),
    (2, CASE WHEN c.relforcerowsecurity THEN
          pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', $2) END)
    ) AS s(place, statement)
  WHERE c.oid = $1::pg_catalog.oid) AS s
WHERE s.statement IS NOT NULL
ORDER BY s.kind, s.name, s.place)sql";

// {0}: column list, {1}: row filter. add, drop, both with a hole for the name.
constexpr const char* kPublications = R"sql(
SELECT pg_catalog.format('ALTER PUBLICATION %I DROP TABLE ', p.pubname),
       pg_catalog.format('ALTER PUBLICATION %I ADD TABLE ', p.pubname),
       pg_catalog.concat({0}, ' WHERE (' || {1} || ')')
FROM pg_catalog.pg_publication_rel r
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = $1::pg_catalog.oid AND p.pubname <> $2
ORDER BY p.pubname)sql";

// schema, name, definition, owner, target, comment, OID.
constexpr const char* kStatistics = R"sql(
SELECT n.nspname, s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid),
       pg_catalog.pg_get_userbyid(s.stxowner), COALESCE(s.stxstattarget, -1),
       pg_catalog.obj_description(s.oid, 'pg_statistic_ext'), s.oid
FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = $1::pg_catalog.oid
ORDER BY s.stxname)sql";

// sequence, its kind, column; and the columns of the table $2 whose defaults
// use it.
constexpr const char* kSequences = R"sql(
SELECT s.oid, n.nspname, s.relname, d.deptype, a.attname, q.seqincrement,
       (SELECT pg_catalog.min(na.attname::pg_catalog.text)
        FROM pg_catalog.pg_depend u
        JOIN pg_catalog.pg_attrdef ad ON ad.oid = u.objid
        JOIN pg_catalog.pg_attribute na
          ON na.attrelid = ad.adrelid AND na.attnum = ad.adnum
        WHERE u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
          AND u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND u.refobjid = s.oid AND ad.adrelid = $2::pg_catalog.oid),
       pg_catalog.obj_description(s.oid, 'pg_class'),
       pg_catalog.format_type(q.seqtypid, -1), a.atttypid
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1::pg_catalog.oid AND d.deptype IN ('a', 'i')
ORDER BY s.oid)sql";

// provider, label, column (NULL: the table's own).
constexpr const char* kLabels = R"sql(
SELECT l.provider, l.label, a.attname
FROM pg_catalog.pg_seclabel l
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = l.objoid AND a.attnum = l.objsubid AND l.objsubid <> 0
WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND l.objoid = $1::pg_catalog.oid
  AND (l.objsubid = 0 OR NOT a.attisdropped)
ORDER BY l.provider, l.objsubid)sql";

// Whoever called nextval() by the sequence's name while we held it has looked
// up its OID already, and goes on with the old sequence: it would hand out what
// the new one hands out, too. So the old one ends at its last value, and he
// gets an error. (One that was never called begins with its last value and
// cannot be ended so; a first call in those milliseconds is left to chance.)
std::string end_sequence(const std::string& sequence) {
  const std::string body = fmt::format(
      R"sql(
DECLARE
  s record;
BEGIN
  SELECT q.last_value AS v, q.is_called, p.seqincrement > 0 AS up,
         p.seqmin, p.seqmax INTO s
  FROM {0} AS q, pg_catalog.pg_sequence AS p
  WHERE p.seqrelid = {1}::pg_catalog.regclass;
  IF NOT s.is_called THEN RETURN; END IF;
  EXECUTE pg_catalog.format(
    'ALTER SEQUENCE %s NO CYCLE START WITH %s MINVALUE %s MAXVALUE %s', {1}, s.v,
    CASE WHEN NOT s.up THEN s.v WHEN s.v > s.seqmin THEN s.seqmin
         ELSE s.v - 1 END,
    CASE WHEN s.up THEN s.v WHEN s.v < s.seqmax THEN s.seqmax
         ELSE s.v + 1 END);
END)sql",
      sequence, pg::quote_literal(sequence));
  return "DO " + pg::quote_literal(body);
}

class Reader {
 public:
  Reader(pg::Connection& connection, const std::vector<ExchangeTable>& tables,
         const ExchangeOptions& options)
      : connection_(connection), tables_(tables), options_(options) {}

  Carried read() && {
    for (const ExchangeTable& table : tables_) {
      owner(table);
      labels(table);
      sequences(table);
      statistics(table);
    }
    for (const ExchangeTable& table : tables_) own_objects(table);
    carry_foreign_keys(connection_, tables_, carried_);
    for (const ExchangeTable& table : tables_) publications(table);
    carry_views(connection_, tables_, options_.twins, carried_);
    carry_readers(connection_, tables_, carried_);
    carry_leaves(connection_, tables_, carried_);
    carry_children(connection_, tables_, carried_);
    return std::move(carried_);
  }

 private:
  void owner(const ExchangeTable& table);
  void labels(const ExchangeTable& table);
  void sequences(const ExchangeTable& table);
  void identity(const ExchangeTable& table, const pg::Result& of_source,
                int row, const std::string& column);
  void statistics(const ExchangeTable& table);
  void retire_statistics(const plan::TableTarget& target,
                         const pg::Result& statistics, int row);
  void own_objects(const ExchangeTable& table);
  void publications(const ExchangeTable& table);

  // What the source's column is called on the new table; that may have none.
  static std::string renamed(const ExchangeTable& table,
                             const std::string& column) {
    const auto found = table.renamed.find(column);
    return found == table.renamed.end() ? column : found->second;
  }

  bool shadow_has_column(const ExchangeTable& table,
                         const std::string& column) {
    return !connection_
                .exec(
                    "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = "
                    "$1::pg_catalog.oid AND attname = $2 AND attnum > 0 AND "
                    "NOT attisdropped",
                    {table.shadow_oid, column})
                .empty();
  }

  pg::Connection& connection_;
  const std::vector<ExchangeTable>& tables_;
  const ExchangeOptions& options_;
  std::set<std::pair<std::string, std::string>> retired_statistics_;
  Carried carried_;
};

// It got the source's when it was made; that may have changed hands since.
void Reader::owner(const ExchangeTable& table) {
  const pg::Result result = connection_.exec(
      "SELECT pg_catalog.pg_get_userbyid(s.relowner) "
      "FROM pg_catalog.pg_class s, pg_catalog.pg_class n "
      "WHERE s.oid = $1::pg_catalog.oid AND n.oid = $2::pg_catalog.oid "
      "AND s.relowner <> n.relowner",
      {table.source_oid, table.shadow_oid});
  if (result.empty()) return;
  carried_.after.push_back(
      fmt::format("ALTER TABLE {} OWNER TO {}", table.target->source.quoted(),
                  pg::quote_identifier(result.text(0, 0))));
}

// Masking goes by them: the new table has them from the first moment in which
// others can see it.
void Reader::labels(const ExchangeTable& table) {
  const pg::Result result = connection_.exec(kLabels, {table.source_oid});
  const std::string name = table.target->source.quoted();
  for (int row = 0; row < result.rows(); ++row) {
    std::string object = "TABLE " + name;
    if (!result.is_null(row, 2)) {
      const std::string column =
          renamed(table, std::string(result.text(row, 2)));
      if (!shadow_has_column(table, column)) continue;
      object = fmt::format("COLUMN {}.{}", name, pg::quote_identifier(column));
    }
    carried_.after.push_back(
        fmt::format("SECURITY LABEL FOR {} ON {} IS {}",
                    pg::quote_identifier(result.text(row, 0)), object,
                    pg::quote_literal(result.text(row, 1))));
  }
}

void Reader::sequences(const ExchangeTable& table) {
  const pg::Result result =
      connection_.exec(kSequences, {table.source_oid, table.shadow_oid});
  for (int row = 0; row < result.rows(); ++row) {
    const std::string column(result.text(row, 4));
    std::string new_column = renamed(table, column);
    if (!shadow_has_column(table, new_column)) {
      new_column = result.text(row, 6);  // follows the default
    }
    // Without a column it stays, and moves, with the old table.
    if (new_column.empty()) continue;
    const std::string sequence =
        pg::quote_qualified(result.text(row, 1), result.text(row, 2));
    const catalog::QualifiedName name{
        .schema = std::string(result.text(row, 1)),
        .name = std::string(result.text(row, 2))};
    if (result.text(row, 3) == "i") {
      identity(table, result, row, new_column);
      continue;
    }
    carried_.lock_sequences.push_back(
        fmt::format("ALTER SEQUENCE {} OWNED BY NONE", sequence));
    carried_.locked_sequences.push_back(name);
    carried_.after.push_back(fmt::format(
        "ALTER SEQUENCE {} OWNED BY {}.{}", sequence,
        table.target->source.quoted(), pg::quote_identifier(new_column)));
  }
}

// An identity's sequence cannot change hands: the shadow has one of its own,
// which takes over name, place in the sequence, and comment. (Grants are the
// caller's: they are read again under the lock.)
void Reader::identity(const ExchangeTable& table, const pg::Result& of_source,
                      int row, const std::string& column) {
  const pg::Result result =
      connection_.exec(kSequences, {table.shadow_oid, table.shadow_oid});
  for (int i = 0; i < result.rows(); ++i) {
    if (result.text(i, 3) != "i" || result.text(i, 4) != column) continue;
    const std::string name(of_source.text(row, 2));
    const std::string schema(of_source.text(row, 1));
    // The same value again: no change, but nextval() waits from here on, also
    // for those who call it by the sequence's name.
    carried_.lock_sequences.push_back(
        fmt::format("ALTER SEQUENCE {} INCREMENT BY {}",
                    pg::quote_qualified(schema, name), of_source.text(row, 5)));
    carried_.locked_sequences.push_back({.schema = schema, .name = name});
    if (result.text(i, 2) != name) {
      // Another identity's may have that name, until it gets its own.
      const std::string between =
          pg::quote_identifier(fmt::format("pgrecast {}", result.text(i, 0)));
      carried_.before.insert(
          carried_.before.begin(),
          fmt::format("ALTER SEQUENCE {} RENAME TO {}",
                      pg::quote_qualified(result.text(i, 1), result.text(i, 2)),
                      between));
      carried_.before.push_back(
          fmt::format("ALTER SEQUENCE {}.{} RENAME TO {}",
                      pg::quote_identifier(result.text(i, 1)), between,
                      pg::quote_identifier(name)));
    }
    // LIKE .. INCLUDING IDENTITY makes bigint sequences whatever the column.
    if (result.text(i, 9) == of_source.text(row, 9) &&
        result.text(i, 8) != of_source.text(row, 8)) {
      carried_.before.push_back(
          fmt::format("ALTER SEQUENCE {} AS {}",
                      pg::quote_qualified(result.text(i, 1), name),
                      of_source.text(row, 8)));
    }
    const std::string moved = pg::quote_qualified(schema, name);
    Carried::Identity handover;
    handover.from = of_source.number<Oid>(row, 0);
    handover.to = result.number<Oid>(i, 0);
    handover.name = moved;
    carried_.identities.push_back(std::move(handover));
    const std::string retired =
        pg::quote_qualified(table.target->retired.schema, name);
    carried_.after.push_back(fmt::format(
        "SELECT pg_catalog.setval({}::pg_catalog.regclass, last_value, "
        "is_called) FROM {}",
        pg::quote_literal(moved), retired));
    carried_.after.push_back(end_sequence(retired));
    if (!of_source.is_null(row, 7)) {
      carried_.after.push_back(
          fmt::format("COMMENT ON SEQUENCE {} IS {}", moved,
                      pg::quote_literal(of_source.text(row, 7))));
    }
  }
}

void Reader::statistics(const ExchangeTable& table) {
  const plan::TableTarget& target = *table.target;
  const pg::Result built = connection_.exec(kStatistics, {table.shadow_oid});
  const pg::Result result = connection_.exec(kStatistics, {table.source_oid});
  std::set<std::string> on_shadow;
  for (int row = 0; row < built.rows(); ++row) {
    on_shadow.emplace(built.text(row, 1));
  }
  std::set<std::string> on_source;
  bool created = false;
  for (int row = 0; row < result.rows(); ++row) {
    const std::string name(result.text(row, 1));
    const std::string qualified =
        pg::quote_qualified(result.text(row, 0), name);
    retire_statistics(target, result, row);
    const catalog::QualifiedName full{
        .schema = std::string(result.text(row, 0)), .name = name};
    if (std::ranges::find(target.dropped_statistics, full) !=
        target.dropped_statistics.end()) {
      continue;
    }
    // What the script makes is in the table's own schema.
    if (full.schema == target.source.schema && on_shadow.contains(name)) {
      on_source.insert(name);
      carried_.after.push_back(
          fmt::format("ALTER STATISTICS {} SET SCHEMA {}",
                      pg::quote_qualified(target.shadow.schema, name),
                      pg::quote_identifier(result.text(row, 0))));
    } else {
      created = true;
      carried_.after.emplace_back(result.text(row, 2));
    }
    carried_.after.push_back(
        fmt::format("ALTER STATISTICS {} OWNER TO {}", qualified,
                    pg::quote_identifier(result.text(row, 3))));
    carried_.after.push_back(
        fmt::format("ALTER STATISTICS {} SET STATISTICS {}", qualified,
                    result.text(row, 4)));
    if (!result.is_null(row, 5)) {
      carried_.after.push_back(
          fmt::format("COMMENT ON STATISTICS {} IS {}", qualified,
                      pg::quote_literal(result.text(row, 5))));
    }
  }
  for (const std::string& name : on_shadow) {
    if (on_source.contains(name)) continue;
    carried_.after.push_back(
        fmt::format("ALTER STATISTICS {} SET SCHEMA {}",
                    pg::quote_qualified(target.shadow.schema, name),
                    pg::quote_identifier(target.source.schema)));
  }
  if (created) {
    carried_.afterwards.push_back("ANALYZE " + target.source.quoted());
  }
}

// Out of the way of the new ones. Those of several schemas come into one.
void Reader::retire_statistics(const plan::TableTarget& target,
                               const pg::Result& statistics, int row) {
  const std::string_view schema = statistics.text(row, 0);
  std::string name(statistics.text(row, 1));
  if (!retired_statistics_.emplace(target.retired.schema, name).second) {
    const std::string free =
        fmt::format("pgrecast_{}", statistics.text(row, 6));
    carried_.before.push_back(fmt::format("ALTER STATISTICS {} RENAME TO {}",
                                          pg::quote_qualified(schema, name),
                                          pg::quote_identifier(free)));
    name = free;
  }
  carried_.before.push_back(fmt::format(
      "ALTER STATISTICS {} SET SCHEMA {}", pg::quote_qualified(schema, name),
      pg::quote_identifier(target.retired.schema)));
}

void Reader::own_objects(const ExchangeTable& table) {
  const pg::Result result = connection_.exec(
      kOwnObjects, {table.source_oid, table.target->source.quoted()});
  for (int row = 0; row < result.rows(); ++row) {
    carried_.after.emplace_back(result.text(row, 0));
  }
}

void Reader::publications(const ExchangeTable& table) {
  const bool filters = connection_.server_version() >= kHasPublicationFilters;
  const std::string query = fmt::format(
      fmt::runtime(kPublications),
      filters ? "(SELECT ' (' || pg_catalog.string_agg("
                "pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) "
                "|| ')' FROM pg_catalog.pg_attribute a "
                "WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs))"
              : "''",
      filters ? "pg_catalog.pg_get_expr(r.prqual, r.prrelid)"
              : "NULL::pg_catalog.text");
  const pg::Result result =
      connection_.exec(query, {table.source_oid, options_.own_publication});
  for (int row = 0; row < result.rows(); ++row) {
    carried_.after.push_back(fmt::format("{}{}", result.text(row, 0),
                                         table.target->retired.quoted()));
    // ONLY: others that inherit from it have entries of their own, or none.
    carried_.after.push_back(
        fmt::format("{}{}{}{}", result.text(row, 1),
                    table.target->partitioned() ? "" : "ONLY ",
                    table.target->source.quoted(), result.text(row, 2)));
  }
}

}  // namespace

Carried read_carried(pg::Connection& connection,
                     const std::vector<ExchangeTable>& tables,
                     const ExchangeOptions& options) {
  return Reader(connection, tables, options).read();
}

}  // namespace pgrecast::exchange
