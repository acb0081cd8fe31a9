#include "pgrecast/plan/plan.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/text.h"
#include "pgrecast/catalog/dependents.h"
#include "pgrecast/catalog/places.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/clone.h"
#include "pgrecast/plan/fold.h"
#include "pgrecast/plan/leaf.h"
#include "pgrecast/plan/leaf_keys.h"
#include "pgrecast/plan/partitions.h"
#include "pgrecast/plan/preconditions.h"
#include "pgrecast/plan/refused_plan.h"
#include "pgrecast/plan/try_readers.h"
#include "pgrecast/plan/twins.h"

#include "foreign_keys.h"
#include "hidden.h"
#include "measure.h"
#include "oracle.h"
#include "script_settings.h"
#include "sequences.h"
#include "short_wait.h"
#include "taken_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace pgrecast::plan {
namespace {

using catalog::Table;

// NAMEDATALEN - 1. The server cuts longer names with only a notice, so two
// names could silently become one.
constexpr std::size_t kIdentifierBytesMax = 63;

// `text` cut to fit with `suffix`, and told apart by a hash where it was cut.
std::string fitted(const std::string& text, const std::string& suffix) {
  if (text.size() + suffix.size() <= kIdentifierBytesMax) return text + suffix;
  const std::string hash = "_" + stable_hash(text);
  return std::string(utf8_prefix(
             text, kIdentifierBytesMax - suffix.size() - hash.size())) +
         hash + suffix;
}

std::string ordinal_suffix(std::size_t ordinal) {
  return ordinal == 0 ? "" : fmt::format("_{}", ordinal + 1);
}

void append(std::vector<Refusal>& to, std::vector<Refusal> from) {
  std::ranges::move(from, std::back_inserter(to));
}

// Whether names in a schema can be looked up at all; where there is no such
// schema, there is no such table either.
bool may_use(pg::Connection& connection, const std::string& schema) {
  return connection
      .exec(
          "SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1"
          " AND NOT pg_catalog.has_schema_privilege(oid, 'USAGE')",
          {schema})
      .empty();
}

// The tables that the script names, in the order of their first mention.
void read_sources(pg::Connection& connection, const script::Script& script,
                  Plan& plan, std::vector<Refusal>& refusals) {
  std::vector<Table>& sources = plan.sources;
  std::vector<catalog::Oid> unread;
  pg::Transaction lookup(connection,
                         pg::Transaction::Isolation::kRepeatableRead);
  ScriptSettings now(connection, script, plan.settings_at_start);
  for (const script::Statement& statement : script.statements()) {
    try {
      now.follow(statement);
    } catch (const Refused& refused) {
      append(refusals, refused.refusals());
    }
    plan.subjects.emplace_back();
    const script::TableName* name = script::table_of(statement);
    if (name == nullptr) continue;
    if (name->schema && !may_use(connection, *name->schema)) {
      refusals.push_back(
          {script.error_at(
               name->span.begin,
               fmt::format("the role may not use schema {}", *name->schema),
               ""),
           "GRANT USAGE ON SCHEMA .. TO the role"});
      continue;
    }
    const auto oid = now.find_relation(name->schema, name->name);
    if (!oid) {
      refusals.push_back(
          {script.error_at(name->span.begin,
                           fmt::format("there is no table {}", name->name), ""),
           "correct the name, or qualify it with its schema"});
      continue;
    }
    if (std::ranges::find(unread, *oid) != unread.end()) continue;
    const auto known = std::ranges::find(sources, *oid, &Table::oid);
    if (known == sources.end()) {
      try {
        // Even its size waits for a lock.
        wait_for_seconds(connection, *oid, name->name, [&] {
          sources.push_back(catalog::read_table(connection, *oid));
          plan.fingerprints.push_back(catalog::read_fingerprint(
              connection, *oid, plan.names.publication));
        });
      } catch (const Refused& refused) {
        append(refusals, refused.refusals());
        unread.push_back(*oid);
        continue;
      }
    }
    plan.subjects.back() = static_cast<std::size_t>(
        std::ranges::find(sources, *oid, &Table::oid) - sources.begin());
  }
  lookup.rollback();
}

void check_sources(pg::Connection& connection, const Plan& plan,
                   const AskOfSource& ask, std::vector<Refusal>& refusals) {
  for (const Table& source : plan.sources) {
    append(refusals, table_refusals(connection, source, plan.names));
    if (ask) append(refusals, ask(connection, source));
  }
}

// Behind those that come of the script.
void add_warnings(pg::Connection& connection, Plan& plan) {
  std::ranges::move(server_warnings(connection),
                    std::back_inserter(plan.warnings));
  std::ranges::move(oid_warnings(connection, plan.sources),
                    std::back_inserter(plan.warnings));
}

std::vector<FoldTable> place_tables(const std::vector<Table>& sources,
                                    const Names& names) {
  // Schema for schema, as names are unique in each.
  std::map<std::string, std::size_t> ordinals;
  std::vector<FoldTable> placed;
  for (const Table& source : sources) {
    const std::size_t ordinal =
        ordinals.try_emplace(source.name.schema, ordinals.size()).first->second;
    placed.push_back({.source = source,
                      .shadow = {.schema = names.shadow_schema(ordinal),
                                 .name = source.name.name},
                      .retired = {.schema = names.retired_schema(ordinal),
                                  .name = source.name.name}});
  }
  return placed;
}

bool changes_rows_below(const Table& source,
                        const script::Statement& statement) {
  if (!source.is_parent) return false;
  const auto* update = std::get_if<script::Update>(&statement.body);
  const auto* remove = std::get_if<script::Delete>(&statement.body);
  return (update != nullptr && !update->table.only) ||
         (remove != nullptr && !remove->table.only);
}

// What can be said of a whole table, and not of one that is a part or a child
// of another.
std::vector<Refusal> unfit_for_parts(pg::Connection& connection,
                                     const script::Script& script,
                                     const Plan& plan) {
  std::vector<Refusal> refusals;
  for (std::size_t i = 0; i < plan.subjects.size(); ++i) {
    const script::Statement& statement = script.statements()[i];
    if (!plan.subjects[i]) continue;
    const Table& source = plan.sources[*plan.subjects[i]];
    if (changes_rows_below(source, statement)) {
      refusals.push_back(
          {script.error_at(
               statement.span.begin,
               fmt::format("this changes rows of the tables that inherit from "
                           "{}, too",
                           source.name.display()),
               ""),
           "write ONLY before the table's name"});
    }
    if (!std::holds_alternative<script::CreateTable>(statement.body)) continue;
    const char* why =
        source.is_leaf()   ? "is a partition, whose shape is that of the "
                             "table that it is a part of"
        : source.inherits  ? "inherits from another table, and a whole new "
                             "shape would not"
        : source.is_parent ? "is inherited by others, and a whole new shape "
                             "would not be"
                           : nullptr;
    if (why == nullptr) continue;
    refusals.push_back(
        {script.error_at(statement.span.begin,
                         fmt::format("{} {}", source.name.display(), why), ""),
         "change with ALTER TABLE what is its own"});
  }
  for (const Table& source : plan.sources) {
    if (!source.is_leaf() && !source.inherits) continue;
    const pg::Result above = connection.exec(
        "WITH RECURSIVE above(oid) AS ("
        " SELECT i.inhparent FROM pg_catalog.pg_inherits i"
        " WHERE i.inhrelid = $1::pg_catalog.oid"
        " UNION SELECT i.inhparent FROM above"
        " JOIN pg_catalog.pg_inherits i ON i.inhrelid = above.oid)"
        " SELECT above.oid FROM above ORDER BY 1",
        {source.oid});
    for (int row = 0; row < above.rows(); ++row) {
      const auto whole = std::ranges::find(
          plan.sources, above.number<catalog::Oid>(row, 0), &Table::oid);
      if (whole == plan.sources.end()) continue;
      refusals.push_back({fmt::format("the script names {}, and its {} {}",
                                      whole->name.display(),
                                      source.is_leaf() ? "partition" : "child",
                                      source.name.display()),
                          "migrate them one after the other"});
    }
  }
  return refusals;
}

// A table of whose shadow there is any hope: where there is none, the fold
// would only repeat the reason in other words.
bool may_be_cloned(pg::Connection& connection, const Table& source) {
  return (source.kind == 'r' || source.partitioned()) &&
         source.key.has_value() && !hides_rows(connection, source);
}

// Empty, in schemas of their own; answers what holds names there. `unlike`: of
// partitions that are not as the clones are, whatever the script does.
std::vector<catalog::Oid> make_clones(pg::Connection& connection,
                                      const std::vector<FoldTable>& placed,
                                      Plan& plan,
                                      std::vector<Refusal>& unlike) {
  plan.schemas.clear();
  unlike.clear();
  std::map<std::string, std::string> schemas;
  for (const FoldTable& table : placed) {
    const bool first =
        schemas.emplace(table.source.name.schema, table.shadow.schema).second;
    for (const std::string& schema :
         {table.shadow.schema, table.retired.schema}) {
      if (!first) continue;
      connection.exec("CREATE SCHEMA " + pg::quote_identifier(schema));
      close_schema(connection, schema);
      plan.schemas.push_back(schema);
    }
    create_clone(connection, table.source, table.shadow);
    if (!table.source.partitioned()) continue;
    const auto shadow = catalog::find_relation(connection, table.shadow.schema,
                                               table.shadow.name);
    append(unlike, unlike_partitions(connection, table.source, shadow.value()));
  }
  std::vector<catalog::Oid> held;
  for (const auto& [schema, of_clones] : schemas) {
    std::ranges::move(hold_names(connection, plan.taken, schema, of_clones),
                      std::back_inserter(held));
  }
  return held;
}

// In a transaction of the caller's. Where the server would have to avoid a name
// that is free beside the clones, all is done once more with that name held: by
// hand a later statement may tell of the one that it chose.
std::vector<FoldTable> fold_into(pg::Connection& connection,
                                 const script::Script& script, Plan& plan,
                                 std::vector<Refusal>& unlike) {
  const std::vector<FoldTable> placed = place_tables(plan.sources, plan.names);
  plan.taken.clear();
  Folded folded;
  for (;;) {
    connection.exec("SAVEPOINT clones");
    const auto held = make_clones(connection, placed, plan, unlike);
    folded = fold(connection, script, placed,
                  {.settings = plan.settings_at_start,
                   .now = plan.now,
                   .assume_immutable = plan.assume_immutable,
                   .taken = plan.taken});
    if (folded.taken.empty()) {
      release_names(connection, held);
      connection.exec("RELEASE SAVEPOINT clones");
      break;
    }
    plan.taken.merge(folded.taken);
    connection.exec("ROLLBACK TO SAVEPOINT clones");
  }
  plan.targets = std::move(folded.targets);
  plan.foreign_keys_of = std::move(folded.foreign_keys_of);
  plan.settings = std::move(folded.settings);
  plan.notes = std::move(folded.notes);
  std::ranges::move(folded.warnings, std::back_inserter(plan.warnings));
  for (std::size_t i = 0; i < placed.size(); ++i) {
    if (!placed[i].source.partitioned()) continue;
    plan.targets[i].source_partitions =
        partition_shape(connection, placed[i].source.oid);
  }
  return placed;
}

Refusal no_clone(const pg::SqlError& error) {
  return {fmt::format("an empty copy of the table cannot be made: {}",
                      error.what()),
          "grant what is missing, or report it with the definition of the "
          "table"};
}

void make_shadows(pg::Connection& connection, const script::Script& script,
                  Plan& plan, const LookAtShadows& look = {}) {
  std::vector<Refusal> refusals;
  std::vector<FoldTable> tables;
  try {
    tables = fold_into(connection, script, plan, refusals);
  } catch (const Refused& refused) {
    append(refusals, refused.refusals());
    throw RefusedPlan(std::move(refusals), warnings_of(refused));
  }
  append(refusals, foreign_key_problems(connection, tables, plan.targets));
  std::vector<TriedTable> tried;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const FoldTable& table = tables[i];
    const catalog::Oid oid =
        catalog::find_relation(connection, table.shadow.schema,
                               table.shadow.name)
            .value();
    std::ranges::move(
        narrow_sequences(connection, table.source, oid, plan.targets[i]),
        std::back_inserter(plan.warnings));
    tried.push_back(
        {.source = table.source.name,
         .shadow = table.shadow,
         .shape = {
             .source = table.source.oid,
             .target = oid,
             .renamed = plan.targets[i].renamed,
             .dropped_statistics = plan.targets[i].dropped_statistics,
             .dropped_foreign_keys = plan.targets[i].dropped_foreign_keys}});
    append(refusals, catalog::dependents_on_dropped_columns(
                         connection, tried.back().shape));
    append(refusals, catalog::readers_by_place(connection, tried.back().shape));
    append(refusals, borrowed_identities(connection, table.source, oid));
    if (is_partitioned(connection, oid)) {
      append(refusals, unfit_for_partitions(connection, table.source, oid));
      own_partitions(connection, plan.targets[i], oid);
    }
  }
  std::vector<catalog::Reshaped> shapes;
  for (const TriedTable& table : tried) shapes.push_back(table.shape);
  append(refusals, unfit_leaf_keys(connection, shapes));
  if (refusals.empty()) {
    append(refusals, try_readers(connection, tried, plan.names));
    std::ranges::move(twin_warnings(connection, tried),
                      std::back_inserter(plan.warnings));
  }
  if (refusals.empty() && look) look(connection, plan);
  for (const TriedTable& table : tried) {
    strip_indexes(connection, table.shape.target, table.shadow);
    hide_rows(connection, table.shape.source, table.shadow);
  }
  for (const FoldTable& table : tables) {
    if (!table.source.is_leaf()) continue;
    add_bound(connection, table.source.oid, table.shadow);
  }
  if (!refusals.empty()) throw Refused(std::move(refusals));
}

// Before the transaction's snapshot is taken: the rows that it sees are then
// those of the tables as they are now. Not for long behind somebody's lock.
void lock_sources(pg::Connection& connection, const Plan& plan) {
  for (const Table& source : plan.sources) {
    wait_for_seconds(connection, source.oid, source.name.display(), [&] {
      connection.exec(
          fmt::format("LOCK TABLE {} IN ACCESS SHARE MODE", source.whole()));
    });
  }
}

void try_by_hand(pg::Connection& connection, const script::Script& script,
                 Plan& plan) {
  try {
    prove_folding(connection, script, plan);
  } catch (const pg::SqlError& error) {
    throw Refused(fmt::format("the script cannot be tried on a sample of the "
                              "rows: {}",
                              error.what()),
                  "report it with the script and the definition of the table");
  }
}

}  // namespace

std::vector<std::string> warnings_of(const Refused& refused) {
  const auto* plan = dynamic_cast<const RefusedPlan*>(&refused);
  return plan == nullptr ? std::vector<std::string>() : plan->warnings();
}

std::string Names::shadow_schema(std::size_t ordinal) const {
  return fitted("pgrecast_" + migration, ordinal_suffix(ordinal));
}

std::string Names::retired_schema(std::size_t ordinal) const {
  return fitted("pgrecast_" + migration, "_retired" + ordinal_suffix(ordinal));
}

std::string Names::twin_schema(std::size_t ordinal) const {
  return fitted("pgrecast_" + migration, "_views" + ordinal_suffix(ordinal));
}

std::string Names::by_hand_schema(std::size_t ordinal,
                                  const std::string& suffix) const {
  return fitted("pgrecast_" + migration,
                "_by_hand" + suffix + ordinal_suffix(ordinal));
}

Names make_names(const std::string& migration, catalog::Oid database) {
  if (migration.empty()) throw UsageError("the migration's name is empty");
  if (script::find_invalid_utf8(migration) != std::string::npos) {
    throw UsageError("the migration's name is not valid UTF-8");
  }
  Names names;
  names.migration = migration;
  names.publication = fitted("pgrecast_" + migration, "");
  constexpr std::size_t kReadable = 30;
  std::string readable;
  for (const char c : migration.substr(0, kReadable)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool upper = c >= 'A' && c <= 'Z';
    readable += plain ? c : upper ? static_cast<char>(c - 'A' + 'a') : '_';
  }
  names.slot =
      fmt::format("pgrecast_{}_{}", readable,
                  stable_hash(fmt::format("{}/{}", database, migration)));
  return names;
}

Plan make_plan(pg::Connection& connection, const script::Script& script,
               const Names& names, std::vector<Refusal> found,
               const std::vector<std::string>& assume_immutable,
               const LookAtShadows& look, const AskOfSource& ask) {
  Plan plan;
  plan.names = names;
  plan.assume_immutable = assume_immutable;
  plan.settings_at_start = catalog::read_script_settings(connection);
  append(found, server_refusals(connection));
  const std::size_t before = found.size();
  read_sources(connection, script, plan, found);
  if (plan.sources.empty() && found.size() == before) {
    found.push_back({"the script names no table", "add a statement"});
  }
  append(found, unfit_for_parts(connection, script, plan));
  const bool all_there =
      found.size() == before &&
      std::ranges::all_of(plan.sources, [&](const Table& source) {
        return may_be_cloned(connection, source);
      });
  check_sources(connection, plan, ask, found);
  if (all_there) {
    pg::Transaction transaction(connection,
                                pg::Transaction::Isolation::kRepeatableRead);
    try {
      lock_sources(connection, plan);
      // That of the transaction, in which the script is tried by hand, too.
      plan.now = connection
                     .exec(
                         "SELECT pg_catalog.to_char(pg_catalog.now()"
                         " AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
                     .text(0, 0);
      plan.now += "+00";
      if (found.empty()) try_on_empty_clones(connection, script, plan);
      make_shadows(connection, script, plan,
                   found.empty() ? look : LookAtShadows{});
      // What cannot start need not be proved.
      if (found.empty()) {
        try_by_hand(connection, script, plan);
        measure(connection, script, plan);
      }
    } catch (const Refused& refused) {
      append(found, refused.refusals());
      std::ranges::move(warnings_of(refused),
                        std::back_inserter(plan.warnings));
    } catch (const pg::SqlError& error) {
      // Where something else is wrong, this is likely to follow from it.
      if (found.empty()) found.push_back(no_clone(error));
    }
    transaction.rollback();
  }
  add_warnings(connection, plan);
  if (!found.empty()) {
    throw RefusedPlan(std::move(found), std::move(plan.warnings));
  }
  return plan;
}

RefusedPlan plan_of_part(pg::Connection& connection,
                         const script::Script& script, const Names& names,
                         std::vector<Refusal> found, const AskOfSource& ask) {
  Plan plan;
  plan.names = names;
  plan.settings_at_start = catalog::read_script_settings(connection);
  append(found, server_refusals(connection));
  // A table that is not there may be what one of the others makes.
  std::vector<Refusal> may_follow;
  read_sources(connection, script, plan, may_follow);
  check_sources(connection, plan, ask, found);
  add_warnings(connection, plan);
  return {std::move(found), std::move(plan.warnings)};
}

void build_shadows(pg::Connection& connection, const script::Script& script,
                   Plan& plan) {
  try {
    make_shadows(connection, script, plan);
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() == pg::sqlstate::kDuplicateSchema) throw;
    throw Refused({no_clone(error)});
  }
}

}  // namespace pgrecast::plan
