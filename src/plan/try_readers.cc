#include "pgrecast/plan/try_readers.h"

#include "pgrecast/catalog/rename_columns.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/twins.h"

#include "definitions.h"
#include "search_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace pgrecast::plan {
namespace {

using catalog::DependentView;
using catalog::QualifiedName;

// The conditions of policies that mention a source, or are its own: of which
// policy, on which relation, the condition. The relation's name is printed as
// all others are.
constexpr const char* kConditions = R"sql(
SELECT pg_catalog.format('policy %s on table %s.%s', p.polname, n.nspname,
                         c.relname),
       p.polrelid::pg_catalog.regclass, pg_catalog.pg_get_expr(e.tree, p.polrelid)
FROM pg_catalog.pg_policy p
JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (VALUES (p.polqual), (p.polwithcheck)) AS e(tree)
WHERE e.tree IS NOT NULL
  AND (p.polrelid = ANY ($1::pg_catalog.oid[])
       OR p.oid IN (
         SELECT d.objid FROM pg_catalog.pg_depend d
         WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
           AND d.refobjid = ANY ($1::pg_catalog.oid[])))
ORDER BY p.oid)sql";

class Trial {
 public:
  Trial(pg::Connection& connection, const std::vector<TriedTable>& tables)
      : connection_(connection), tables_(tables) {
    for (const TriedTable& table : tables) {
      shapes_.push_back(table.shape);
      sources_.push_back(table.shape.source);
      add_schema(shadow_schemas_, table.shadow.schema);
      add_schema(schemas_, table.source.schema);
    }
    views_ = catalog::dependent_views(connection, shapes_);
    std::erase_if(views_, [](const DependentView& view) {
      return !view.direct && !view.anew;
    });
    for (const DependentView& view : views_)
      add_schema(schemas_, view.name.schema);
    std::vector<catalog::Oid> both = sources_;
    for (const DependentView& view : views_) {
      if (!view.anew) continue;
      anew_.push_back(view.oid);
      both.push_back(view.oid);
    }
    others_ = tables_with_rules(connection, both);
    for (const QualifiedName& other : others_)
      add_schema(schemas_, other.schema);
  }

  std::vector<Refusal> run() {
    give_old_names();
    set_search_path(connection_, schemas_);
    const std::vector<std::string> definitions = view_definitions();
    const pg::Result conditions =
        connection_.exec(kConditions, {catalog::oid_array(sources_)});
    const std::vector<Definition> others =
        read_definitions(connection_, sources_, anew_, shadow_schemas_.front());
    std::vector<std::string> path = shadow_schemas_;
    path.insert(path.end(), schemas_.begin(), schemas_.end());
    set_search_path(connection_, path);
    for (std::size_t i = 0; i < views_.size(); ++i) {
      make("view " + views_[i].name.display(), views_[i].name.name,
           definitions[i]);
    }
    for (int row = 0; row < conditions.rows(); ++row) {
      make(std::string(conditions.text(row, 0)),
           fmt::format("pgrecast_condition_{}", row),
           fmt::format("SELECT FROM {} WHERE {}", conditions.text(row, 1),
                       conditions.text(row, 2)));
    }
    make_stand_ins();
    // A function's body may go through a rule, which acts for the table's
    // owner; where policies are an error, forced ones would be.
    connection_.exec(
        "SELECT pg_catalog.set_config('row_security', 'on', true)");
    for (const Definition& other : others) {
      if (is_on_the_live_one(other) || is_dropped(other)) continue;
      attempt(other.what, other.sql, other.remedy);
      connection_.exec("ROLLBACK TO SAVEPOINT try_reader");
    }
    return std::move(refusals_);
  }

 private:
  // Statistics that the script drops: others may have their name by now.
  bool is_dropped(const Definition& definition) const {
    return std::ranges::any_of(tables_, [&](const TriedTable& table) {
      return std::ranges::any_of(
          table.shape.dropped_statistics, [&](const QualifiedName& name) {
            return definition.what == fmt::format("statistics object {}.{}",
                                                  name.schema, name.name);
          });
    });
  }

  // The definitions name the columns as they are called now.
  void give_old_names() {
    for (const TriedTable& table : tables_) {
      std::map<std::string, std::string> back;
      for (const auto& [was, now] : table.shape.renamed) back[now] = was;
      for (const std::string& statement :
           catalog::rename_columns(connection_, table.shape.target, back)
               .statements(table.shadow)) {
        connection_.exec(statement);
      }
    }
  }

  std::vector<std::string> view_definitions() {
    std::vector<catalog::Oid> oids;
    for (const DependentView& view : views_) oids.push_back(view.oid);
    const pg::Result result = connection_.exec(
        "SELECT pg_catalog.rtrim(pg_catalog.pg_get_viewdef(u.oid), '; ') "
        "FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY "
        "AS u(oid, n) ORDER BY u.n",
        {catalog::oid_array(oids)});
    std::vector<std::string> definitions;
    for (int row = 0; row < result.rows(); ++row) {
      definitions.emplace_back(result.text(row, 0));
    }
    return definitions;
  }

  void make(const std::string& what, const std::string& name,
            const std::string& query) {
    attempt(what, fmt::format("CREATE VIEW {} AS {}", here(name), query));
  }

  std::string here(const std::string& name) const {
    return pg::quote_qualified(shadow_schemas_.front(), name);
  }

  // For tables that have a rule which mentions a source.
  void make_stand_ins() {
    for (const QualifiedName& other : others_) {
      connection_.exec(fmt::format("CREATE TABLE IF NOT EXISTS {} (LIKE {})",
                                   here(other.name), other.quoted()));
    }
  }

  // A name that hides what was to be found in our schemas.
  bool is_on_the_live_one(const Definition& definition) {
    if (definition.on.empty()) return false;
    const pg::Result result = connection_.exec(
        "SELECT n.nspname FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.oid = pg_catalog.to_regclass($1)::pg_catalog.oid",
        {definition.on});
    return result.empty() ||
           std::ranges::find(shadow_schemas_, result.text(0, 0)) ==
               shadow_schemas_.end();
  }

  void attempt(const std::string& what, const std::string& statement,
               const std::string& remedy = "") {
    connection_.exec("SAVEPOINT try_reader");
    try {
      connection_.exec(statement);
    } catch (const pg::SqlError& error) {
      connection_.exec("ROLLBACK TO SAVEPOINT try_reader");
      // Somebody's shadow or index has the name: the exchange will tell.
      if (error.sqlstate() == pg::sqlstate::kDuplicateTable ||
          error.sqlstate() == pg::sqlstate::kDuplicateObject) {
        return;
      }
      if (error.remedy() != Remedy::kFail) throw;
      const bool rights =
          error.sqlstate() == pg::sqlstate::kInsufficientPrivilege;
      refusals_.push_back(
          {.what = fmt::format("{} {}: {}", what,
                               rights ? "must be made again, for which rights "
                                        "are missing"
                                      : "does not work with the new shape",
                               error.what()),
           .remedy = !remedy.empty() ? remedy
                     : rights
                         ? "grant them to the role, or drop it, and create it "
                           "again after the migration"
                         : "drop it, and create it again after the migration"});
    }
  }

  pg::Connection& connection_;
  const std::vector<TriedTable>& tables_;
  std::vector<catalog::Reshaped> shapes_;
  std::vector<catalog::Oid> sources_;
  std::vector<DependentView> views_;
  std::vector<catalog::Oid> anew_;  // of views_
  std::vector<QualifiedName> others_;
  std::vector<std::string> shadow_schemas_;
  std::vector<std::string> schemas_;
  std::vector<Refusal> refusals_;
};

}  // namespace

std::vector<Refusal> try_readers(pg::Connection& connection,
                                 const std::vector<TriedTable>& tables,
                                 const Names& names) {
  std::vector<catalog::Reshaped> shapes;
  for (const TriedTable& table : tables) shapes.push_back(table.shape);
  std::vector<Refusal> refusals = catalog::uncarried_views(connection, shapes);
  connection.exec("SAVEPOINT try_readers");
  auto found = Trial(connection, tables).run();
  connection.exec("ROLLBACK TO SAVEPOINT try_readers");
  std::ranges::move(found, std::back_inserter(refusals));
  if (!refusals.empty()) return refusals;
  std::vector<Twin> twins = read_twins(connection, shapes);
  std::vector<std::string> schemas;
  connection.exec("SAVEPOINT try_twins");
  refusals = make_twins(connection, tables, names, twins, schemas);
  connection.exec("ROLLBACK TO SAVEPOINT try_twins");
  return refusals;
}

}  // namespace pgrecast::plan
