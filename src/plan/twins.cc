#include "pgrecast/plan/twins.h"

#include "pgrecast/base/text.h"
#include "pgrecast/catalog/rename_columns.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/clone.h"

#include "hidden.h"
#include "search_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>

namespace pgrecast::plan {
namespace {

using catalog::DependentView;
using catalog::Oid;
using catalog::QualifiedName;

constexpr const char* kRemedy =
    "drop it, and create it again after the migration";

// Of each of $1, in their order: its query, a plain view's options, what a
// REFRESH changes, and whether there was one.
constexpr const char* kOriginals = R"sql(
SELECT pg_catalog.rtrim(pg_catalog.pg_get_viewdef(v.oid), '; '),
       COALESCE(' WITH (' || pg_catalog.array_to_string(v.reloptions, ', ')
                || ')', ''),
       pg_catalog.concat_ws('/', v.relfilenode, v.xmin), v.relispopulated
FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS u(oid, n)
JOIN pg_catalog.pg_class v ON v.oid = u.oid
ORDER BY u.n)sql";

// What a materialized view has besides its query and its indexes, as statements
// on $2 (quoted).
constexpr const char* kColumns = R"sql(
SELECT pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET %s',
                         $2::pg_catalog.text, a.attname, s.what)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
CROSS JOIN LATERAL (VALUES
  (1, CASE WHEN a.attstorage <> t.typstorage THEN 'STORAGE '
        || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END),
  (2, CASE a.attcompression WHEN 'p' THEN 'COMPRESSION pglz'
                            WHEN 'l' THEN 'COMPRESSION lz4' END),
  (3, CASE WHEN a.attstattarget >= 0 THEN 'STATISTICS ' || a.attstattarget END),
  (4, (SELECT '(' || pg_catalog.string_agg(o.text, ', ') || ')'
       FROM pg_catalog.unnest(a.attoptions) AS o(text)
       WHERE o.text NOT LIKE 'pg\_attver=%'))) AS s(place, what)
WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
  AND s.what IS NOT NULL
UNION ALL
SELECT pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s',
         $2::pg_catalog.text,
         CASE c.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
FROM pg_catalog.pg_class c
WHERE c.oid = $1::pg_catalog.oid AND c.relreplident IN ('f', 'n'))sql";

// $1: sources and originals, $2: shadows and twins, in the same order. Twins
// that read anything else than what takes the place of what the original reads.
constexpr const char* kAstray = R"sql(
WITH pair AS (
  SELECT p.was, p.now
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]),
                  pg_catalog.unnest($2::pg_catalog.oid[])) AS p(was, now)),
used(reader, relation, attname) AS (
  SELECT r.ev_class, d.refobjid, COALESCE(a.attname, '')
  FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.objid = r.oid
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  LEFT JOIN pg_catalog.pg_attribute a
    ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0
  WHERE r.ev_type = '1' AND d.refobjid <> r.ev_class
    AND r.ev_class IN (SELECT p.was FROM pair p UNION SELECT p.now FROM pair p)),
wanted AS (
  SELECT reader.now, COALESCE(other.now, u.relation), u.attname
  FROM used u JOIN pair reader ON reader.was = u.reader
  LEFT JOIN pair other ON other.was = u.relation),
there AS (
  SELECT u.reader, u.relation, u.attname
  FROM used u WHERE u.reader IN (SELECT p.now FROM pair p))
SELECT DISTINCT p.was
FROM (((TABLE wanted) EXCEPT (TABLE there))
      UNION ALL ((TABLE there) EXCEPT (TABLE wanted))) AS x(oid, relation, attname)
JOIN pair p ON p.now = x.oid)sql";

// What the owners of $3 need to read the new ones, where they may read the old.
constexpr const char* kGrants = R"sql(
SELECT DISTINCT pg_catalog.format('GRANT SELECT ON %s TO %I',
         p.now::pg_catalog.regclass, pg_catalog.pg_get_userbyid(v.relowner))
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]),
                pg_catalog.unnest($2::pg_catalog.oid[])) AS p(was, now)
JOIN pg_catalog.pg_class c ON c.oid = p.was
CROSS JOIN pg_catalog.pg_class v
WHERE v.oid = ANY ($3::pg_catalog.oid[])
  AND NOT pg_catalog.pg_has_role(v.relowner, c.relowner, 'USAGE')
  AND pg_catalog.has_table_privilege(v.relowner, c.oid, 'SELECT'))sql";

void append(std::vector<std::string>& to, std::vector<std::string> from) {
  std::ranges::move(from, std::back_inserter(to));
}

std::vector<std::string> column_of(const pg::Result& result) {
  std::vector<std::string> all;
  for (int row = 0; row < result.rows(); ++row) {
    all.emplace_back(result.text(row, 0));
  }
  return all;
}

std::string kind_of(const Twin& twin) {
  return twin.materialized ? "materialized view" : "view";
}

// CREATE, and what must follow, of what is to be like `twin.original`.
std::vector<std::string> statements(pg::Connection& connection,
                                    const Twin& twin, const QualifiedName& as,
                                    std::string_view query,
                                    std::string_view options) {
  if (!twin.materialized) {
    return {fmt::format("CREATE VIEW {}{} AS {}", as.quoted(), options, query)};
  }
  std::vector<std::string> all = {fmt::format(
      "CREATE MATERIALIZED VIEW {}{} AS {} WITH NO DATA", as.quoted(),
      storage_clauses(connection, twin.original), query)};
  append(all,
         column_of(connection.exec(kColumns, {twin.original, as.quoted()})));
  for (ShadowIndex& index :
       read_indexes(connection, twin.original, as).indexes) {
    all.push_back(std::move(index.create));
    append(all, std::move(index.then));
  }
  return all;
}

pg::Result read_originals(pg::Connection& connection,
                          const std::vector<Twin>& twins) {
  std::vector<Oid> oids;
  for (const Twin& twin : twins) oids.push_back(twin.original);
  return connection.exec(kOriginals, {catalog::oid_array(oids)});
}

class Maker {
 public:
  Maker(pg::Connection& connection, const std::vector<TriedTable>& tables,
        std::vector<Twin>& twins)
      : connection_(connection), tables_(tables), twins_(twins) {
    for (const TriedTable& table : tables) {
      add_schema(shadow_schemas_, table.shadow.schema);
      add_schema(schemas_, table.source.schema);
      was_.push_back(table.shape.source);
      now_.push_back(table.shape.target);
    }
    for (const Twin& twin : twins) add_schema(schemas_, twin.name.schema);
  }

  void place(const Names& names, std::vector<std::string>& made) {
    std::set<std::string> schemas;
    for (const Twin& twin : twins_) schemas.insert(twin.name.schema);
    std::map<std::string, std::string> places;
    for (const std::string& schema : schemas) {
      const std::string ours = names.twin_schema(places.size());
      places[schema] = ours;
      add_schema(shadow_schemas_, ours);
      if (std::ranges::find(made, ours) != made.end()) continue;
      connection_.exec("CREATE SCHEMA " + pg::quote_identifier(ours));
      close_schema(connection_, ours);
      made.push_back(ours);
    }
    for (Twin& twin : twins_) {
      twin.place = {.schema = places[twin.name.schema], .name = twin.name.name};
    }
  }

  // The definitions name the columns as they are called now; the schemas of
  // sources and originals are the search_path while they are printed, and those
  // of shadows and twins stand before them when they are read. No text is
  // rewritten.
  std::vector<Refusal> make() {
    std::vector<catalog::ColumnRenaming> renamings;
    for (const TriedTable& table : tables_) {
      std::map<std::string, std::string> back;
      for (const auto& [was, now] : table.shape.renamed) back[now] = was;
      renamings.push_back(
          catalog::rename_columns(connection_, table.shape.target, back));
      run(renamings.back().statements(table.shadow));
    }
    // An index's is named by itself, where it is not the database's own.
    connection_.exec(
        "SELECT pg_catalog.set_config('default_tablespace', '', true)");
    set_search_path(connection_, schemas_);
    const pg::Result originals = read_originals(connection_, twins_);
    std::vector<std::string> path = shadow_schemas_;
    path.insert(path.end(), schemas_.begin(), schemas_.end());
    set_search_path(connection_, path);
    for (std::size_t i = 0; i < twins_.size(); ++i) {
      if (auto refusal = make_one(twins_[i], originals, static_cast<int>(i))) {
        return {std::move(*refusal)};
      }
    }
    std::vector<Refusal> refusals = astray();
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      run(renamings[i].undo(tables_[i].shadow));
    }
    set_search_path(connection_, {});
    std::vector<Oid> originals_of_twins(was_.begin() + std::ssize(tables_),
                                        was_.end());
    run(column_of(connection_.exec(
        kGrants, {catalog::oid_array(was_), catalog::oid_array(now_),
                  catalog::oid_array(originals_of_twins)})));
    return refusals;
  }

 private:
  void run(const std::vector<std::string>& all) {
    for (const std::string& statement : all) connection_.exec(statement);
  }

  std::optional<Refusal> make_one(const Twin& twin, const pg::Result& originals,
                                  int row) {
    try {
      run(statements(connection_, twin, twin.place, originals.text(row, 0),
                     originals.text(row, 1)));
      own_table(connection_, twin.owner, twin.place);
    } catch (const pg::SqlError& error) {
      if (error.remedy() != Remedy::kFail) throw;
      return Refusal{
          .what = fmt::format("{} {} cannot be made on the new "
                              "table: {}",
                              kind_of(twin), twin.name.display(), error.what()),
          .remedy = kRemedy};
    }
    was_.push_back(twin.original);
    now_.push_back(
        catalog::find_relation(connection_, twin.place.schema, twin.place.name)
            .value());
    return std::nullopt;
  }

  // Where a name of another schema hides one that was to be found in ours.
  std::vector<Refusal> astray() {
    const pg::Result result = connection_.exec(
        kAstray, {catalog::oid_array(was_), catalog::oid_array(now_)});
    std::vector<Refusal> refusals;
    for (int row = 0; row < result.rows(); ++row) {
      const auto twin = std::ranges::find(twins_, result.number<Oid>(row, 0),
                                          &Twin::original);
      refusals.push_back(
          {.what = fmt::format("{} {} cannot be made on the new table: another "
                               "relation has the name of one that it reads",
                               kind_of(*twin), twin->name.display()),
           .remedy = kRemedy});
    }
    return refusals;
  }

  pg::Connection& connection_;
  const std::vector<TriedTable>& tables_;
  std::vector<Twin>& twins_;
  std::vector<std::string> shadow_schemas_;  // and those of the twins
  std::vector<std::string> schemas_;
  std::vector<Oid> was_;  // sources, then originals
  std::vector<Oid> now_;  // what takes their places
};

}  // namespace

std::vector<Twin> read_twins(pg::Connection& connection,
                             const std::vector<catalog::Reshaped>& tables) {
  std::vector<Twin> twins;
  for (const DependentView& view :
       catalog::dependent_views(connection, tables)) {
    if (!view.twin) continue;
    Twin twin;
    twin.original = view.oid;
    twin.name = view.name;
    twin.owner = view.owner;
    twin.materialized = view.materialized;
    twins.push_back(std::move(twin));
  }
  if (twins.empty()) return twins;
  const pg::Result originals = read_originals(connection, twins);
  // One of them may be gone by now.
  if (originals.rows() != static_cast<int>(twins.size())) {
    return read_twins(connection, tables);
  }
  int row = 0;
  for (Twin& twin : twins) {
    twin.populated = originals.boolean(row, 3);
    if (twin.materialized) twin.refreshed = originals.text(row, 2);
    twin.made_by =
        join(statements(connection, twin, twin.name, originals.text(row, 0),
                        originals.text(row, 1)),
             ";\n");
    twin.made_by += ";\nowner " + twin.owner;
    ++row;
  }
  return twins;
}

std::vector<Refusal> make_twins(pg::Connection& connection,
                                const std::vector<TriedTable>& tables,
                                const Names& names, std::vector<Twin>& twins,
                                std::vector<std::string>& schemas) {
  if (twins.empty()) return {};
  Maker maker(connection, tables, twins);
  maker.place(names, schemas);
  return maker.make();
}

std::vector<std::string> twin_warnings(pg::Connection& connection,
                                       const std::vector<TriedTable>& tables) {
  std::vector<catalog::Reshaped> shapes;
  for (const TriedTable& table : tables) shapes.push_back(table.shape);
  std::vector<std::string> warnings;
  for (const Twin& twin : read_twins(connection, shapes)) {
    if (!twin.materialized || !twin.populated) continue;
    warnings.push_back(fmt::format(
        "materialized view {} is filled from the new table right before the "
        "exchange: from there on it shows rows as of then, newer than those of "
        "its last REFRESH; a REFRESH meanwhile makes it be filled again",
        twin.name.display()));
  }
  return warnings;
}

}  // namespace pgrecast::plan
