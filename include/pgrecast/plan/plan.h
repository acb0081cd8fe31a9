#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/measured_time.h"
#include "pgrecast/plan/native.h"
#include "pgrecast/plan/refused_plan.h"
#include "pgrecast/plan/taken_name.h"
#include "pgrecast/plan/target.h"
#include "pgrecast/script/script.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {

// What a migration makes in the database, by name. Found again by the
// migration's name alone, on any host.
struct Names {
  std::string migration;
  std::string publication;
  std::string slot;  // [a-z0-9_], unique in the cluster: it has the database

  // `ordinal` counts the schemas of the sources, from 0: two tables of one
  // name may belong to one migration.
  std::string shadow_schema(std::size_t ordinal) const;
  std::string retired_schema(std::size_t ordinal) const;
  // `ordinal` counts the schemas of the twins' originals (twins.h).
  std::string twin_schema(std::size_t ordinal) const;
  // Where the original script is tried, in a transaction that is rolled back.
  std::string by_hand_schema(std::size_t ordinal,
                             const std::string& suffix) const;
};

// Throws UsageError for a name that is empty or not valid UTF-8.
Names make_names(const std::string& migration, catalog::Oid database);

// What a migration will do. Plain values.
struct Plan {
  Names names;
  // Those under which the script begins, as if run by hand; and those under
  // which the rows are made, with what the script sets. The latter are recorded
  // with the migration.
  catalog::Settings settings_at_start;
  catalog::Settings settings;
  std::string now;  // see FoldRules
  std::vector<std::string> assume_immutable;
  std::vector<catalog::Table> sources;  // one a target, in the same order
  // Of the sources, by the snapshot that read them.
  std::vector<catalog::Fingerprint> fingerprints;
  std::vector<TableTarget> targets;
  // By the place of a statement: what the foreign keys are called that it adds.
  std::map<std::size_t, std::vector<std::string>> foreign_keys_of;
  // What the script would do by hand; none where it was not tried.
  std::vector<NativeStep> native;
  // What each statement of the script is about: an index into `sources`, none
  // where it names no table, or one that only the script makes.
  std::vector<std::optional<std::size_t>> subjects;
  std::vector<MeasuredTime> measured;  // as `targets`; empty: notes say why
  std::vector<std::string> schemas;    // to be made, for shadows and retired
  std::set<TakenName> taken;           // which by hand would be avoided
  std::vector<std::string> warnings;
  std::vector<std::string> notes;  // what has no effect, or was not tried
};

// Looks at shadows that are complete, with their indexes and without rows, in
// the transaction that made them; may write nothing.
using LookAtShadows = std::function<void(pg::Connection&, const Plan&)>;

// What the caller has against a table that the script names.
using AskOfSource =
    std::function<std::vector<Refusal>(pg::Connection&, const catalog::Table&)>;

// Reads script and catalogs, and checks every precondition that can be checked
// in this database; then proves on a sample of the rows that the target is what
// the script makes by hand. Changes nothing: the clones are made in a
// transaction that is rolled back. `connection` is a session with an empty
// search_path and no transaction.
//
// `look` is called once, where nothing stands in the way; `ask` for each table
// of the script, in no transaction.
//
// Throws RefusedPlan with all the reasons there are, `found` by the caller
// first: also what stands in the script's way where the server already says no.
// DataRejected where rows of the sample break the script.
Plan make_plan(pg::Connection& connection, const script::Script& script,
               const Names& names, std::vector<Refusal> found = {},
               const std::vector<std::string>& assume_immutable = {},
               const LookAtShadows& look = {}, const AskOfSource& ask = {});

// What can be told of a script of which some statements are not taken, as
// `found` says: of the server, and of the tables that the others name as they
// are now; nothing of what the script does to them.
RefusedPlan plan_of_part(pg::Connection& connection,
                         const script::Script& script, const Names& names,
                         std::vector<Refusal> found,
                         const AskOfSource& ask = {});

// Makes the schemas and the shadows of `plan`, without indexes, in the caller's
// transaction; the targets become what the server made of them now. Throws
// SqlError (42P06) where somebody has made one of the schemas, and Refused
// where anything else fails.
void build_shadows(pg::Connection& connection, const script::Script& script,
                   Plan& plan);

}  // namespace pgrecast::plan
