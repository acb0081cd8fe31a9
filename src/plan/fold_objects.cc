#include "pgrecast/pg/quote.h"

#include "folder.h"
#include "script_grants.h"
#include "script_statistics.h"
#include "search_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

namespace pgrecast::plan {
namespace {

bool has_index(pg::Connection& connection, catalog::Oid table,
               const std::string& name) {
  return !connection
              .exec(
                  "SELECT FROM pg_catalog.pg_index i"
                  " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
                  " WHERE i.indrelid = $1::pg_catalog.oid AND c.relname = $2",
                  {table, name})
              .empty();
}

}  // namespace

using catalog::Column;

void Folder::apply(const script::Statement& statement,
                   const script::CreateIndex& body) {
  Folding& folding = folding_of(statement, body.table);
  refuse_only(folding, body.table);
  run_on_clone(statement, folding);
  folding.changes.push_back(
      fmt::format("index {} added", body.name.value_or("(unnamed)")));
}

// Whose clone has the index; nullptr: none. Not where the statement, by the
// search path, means something of another schema.
Folding* Folder::owner_of(const script::ObjectName& index) {
  Folding* owner = nullptr;
  for (Folding& folding : foldings_) {
    if (!index.schema &&
        is_hidden(*connection_, folding.table->source.name.schema, index.name,
                  settings_.now().at("search_path"))) {
      continue;
    }
    if (index.schema && *index.schema != folding.table->source.name.schema) {
      continue;
    }
    if (has_index(*connection_, folding.shadow_oid, index.name)) {
      owner = &folding;
    }
  }
  return owner;
}

void Folder::refuse_index(const script::ObjectName& index, bool if_exists,
                          const char* remedy) {
  if (if_exists && !is_found(*connection_, index.schema, index.name,
                             settings_.now().at("search_path"))) {
    return;
  }
  // One of ours that the script has dropped already.
  const bool ours = std::ranges::any_of(foldings_, [&](const Folding& folding) {
    return has_index(*connection_, folding.table->source.oid, index.name);
  });
  if (if_exists && ours) return;
  refuse(index.span.begin,
         fmt::format("{} is no index of a table that this script changes",
                     index.name),
         remedy);
}

void Folder::apply(const script::Statement& statement,
                   const script::DropIndex& body) {
  for (const script::ObjectName& index : body.indexes) {
    Folding* const owner = owner_of(index);
    if (owner == nullptr) {
      refuse_index(index, body.if_exists,
                   "drop it outside of the migration: it needs no rewrite");
      continue;
    }
    run_script_sql(statement, "DROP INDEX " +
                                  pg::quote_qualified(
                                      owner->table->shadow.schema, index.name));
    owner->changes.push_back(fmt::format("index {} dropped", index.name));
  }
}

void Folder::apply(const script::Statement& statement,
                   const script::AlterIndex& body) {
  Folding* const owner = owner_of(body.index);
  if (owner == nullptr) {
    refuse_index(body.index, body.if_exists,
                 "change it outside of the migration: that needs no rewrite");
    return;
  }
  run_script_sql(statement,
                 script_->with_object_replaced(
                     statement, pg::quote_qualified(owner->table->shadow.schema,
                                                    body.index.name)));
  owner->changes.push_back(
      body.renamed_to ? fmt::format("index {} renamed to {}", body.index.name,
                                    *body.renamed_to)
                      : fmt::format("index {} altered", body.index.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::CommentOnTable& body) {
  Folding& folding = folding_of(statement, body.table);
  using Part = script::CommentOnTable::Part;
  if (body.part == Part::kConstraint) {
    refuse_foreign_key(folding, statement.span.begin, body.name);
  }
  run_on_clone(statement, folding);
  folding.changes.push_back(
      body.part == Part::kTable
          ? std::string("comment on the table")
          : fmt::format("comment on {} {}",
                        body.part == Part::kColumn ? "column" : "constraint",
                        body.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::CommentOnObject& body) {
  const bool on_index = body.kind == script::CommentOnObject::Kind::kIndex;
  Folding* const owner =
      on_index ? owner_of(body.object) : made_statistics(body.object);
  if (owner == nullptr) {
    refuse(body.object.span.begin,
           on_index
               ? fmt::format("{} is no index of a table that this script "
                             "changes",
                             body.object.name)
               : fmt::format("{} are no statistics that this script has made",
                             body.object.name),
           "comment on it outside of the migration: that needs no rewrite");
  }
  run_script_sql(statement,
                 script_->with_object_replaced(
                     statement, pg::quote_qualified(owner->table->shadow.schema,
                                                    body.object.name)));
  owner->changes.push_back(fmt::format(
      "comment on {} {}", on_index ? "index" : "statistics", body.object.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::ChangeGrants& body) {
  Folding& folding = folding_of(statement, body.table);
  if (!folding.grants.begun()) {
    folding.first_grant = statement.span.begin;
    std::map<std::string, std::string> names;
    for (const Column& column : folding.at_first) {
      const Column* now = find_attnum(folding.columns, column.attnum);
      if (now != nullptr) names[column.name] = now->name;
    }
    folding.grants.begin(*connection_, folding.table->source,
                         folding.table->shadow, folding.shadow_oid, names);
  }
  run_on_clone(statement, folding);
}

void Folder::finish_grants(Folding& folding, TableTarget& target) {
  if (!folding.grants.begun()) return;
  if (folding.grants.clone_oid() != folding.shadow_oid) {
    refuse(folding.first_grant,
           "what is granted here is gone with the CREATE TABLE behind it",
           "put it behind CREATE TABLE");
  }
  target.grants = folding.grants.finish(*connection_);
  for (const ScriptGrant& change : target.grants) {
    target.changes.push_back(in_words(change));
  }
}

// Whose clone has statistics that the script made; nullptr: none.
Folding* Folder::made_statistics(const script::ObjectName& name) {
  for (Folding& folding : foldings_) {
    if (name.schema && *name.schema != folding.table->source.name.schema) {
      continue;
    }
    const script::ObjectName on_clone{.schema = folding.table->shadow.schema,
                                      .name = name.name,
                                      .span = name.span};
    if (find_statistics(*connection_, folding.shadow_oid, on_clone, "")) {
      return &folding;
    }
  }
  return nullptr;
}

void Folder::apply(const script::Statement& statement,
                   const script::CreateStatistics& body) {
  Folding& folding = folding_of(statement, body.table);
  const catalog::QualifiedName name{
      .schema = schema_of_new_statistics(*connection_, body.statistics,
                                         settings_.now().at("search_path")),
      .name = body.statistics.name};
  const std::string& schema = folding.table->source.name.schema;
  if (name.schema != schema) {
    refuse(body.statistics.span.begin,
           fmt::format("the statistics would be in schema {}, and their table "
                       "is in {}",
                       name.schema, schema),
           fmt::format("write {}, and move them after the migration",
                       pg::quote_qualified(schema, name.name)));
  }
  const bool dropped = std::ranges::find(folding.dropped_statistics, name) !=
                       folding.dropped_statistics.end();
  const bool made = made_statistics(body.statistics) != nullptr;
  if (made || (!dropped && are_there(*connection_, name))) {
    if (body.if_not_exists) return;
    refuse(body.statistics.span.begin,
           fmt::format("statistics {} are there already", name.display()),
           "choose another name, or drop them in the script before");
  }
  run_script_sql(statement, script_->with_statistics_replaced(
                                statement,
                                pg::quote_qualified(
                                    folding.table->shadow.schema, name.name),
                                folding.table->shadow.quoted()));
  folding.changes.push_back(fmt::format("statistics {} added", name.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::DropStatistics& body) {
  for (const script::ObjectName& statistics : body.statistics) {
    if (Folding* const made = made_statistics(statistics)) {
      run_script_sql(
          statement,
          "DROP STATISTICS " +
              pg::quote_qualified(made->table->shadow.schema, statistics.name));
      made->changes.push_back(
          fmt::format("statistics {} dropped", statistics.name));
      continue;
    }
    Folding* const owner = source_statistics(statistics);
    if (owner == nullptr && (!body.if_exists || are_anothers(statistics))) {
      refuse(statistics.span.begin,
             fmt::format("{} are no statistics of a table that this script "
                         "changes",
                         statistics.name),
             "drop them outside of the migration: that needs no rewrite");
    }
    if (owner == nullptr) continue;
    owner->changes.push_back(
        fmt::format("statistics {} dropped", statistics.name));
  }
}

// Whether there are any of that name that are on no table of the script's.
bool Folder::are_anothers(const script::ObjectName& name) {
  std::vector<std::string> sources;
  for (const Folding& folding : foldings_) {
    sources.push_back(std::to_string(folding.table->source.oid));
  }
  return are_on_others(*connection_, pg::array_literal(sources), name,
                       settings_.now().at("search_path"));
}

// Whose source has them; from now on they count as dropped.
Folding* Folder::source_statistics(const script::ObjectName& name) {
  for (Folding& folding : foldings_) {
    const auto found = find_statistics(*connection_, folding.table->source.oid,
                                       name, settings_.now().at("search_path"));
    auto& dropped = folding.dropped_statistics;
    if (!found || std::ranges::find(dropped, *found) != dropped.end()) {
      continue;
    }
    dropped.push_back(*found);
    return &folding;
  }
  return nullptr;
}

}  // namespace pgrecast::plan
