#pragma once

#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/taken_name.h"
#include "pgrecast/plan/target.h"
#include "pgrecast/script/script.h"

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {

// A source and the clone on which the script is to run.
struct FoldTable {
  catalog::Table source;
  catalog::QualifiedName shadow;
  catalog::QualifiedName retired;
};

// What the values of the script's expressions rest on, beside the rows.
struct FoldRules {
  catalog::Settings settings;  // those under which the script begins
  // The moment that now() is in the whole migration, in UTC: 2026-11-25
  // 18:20:57.123456+00.
  std::string now;
  // Functions that the operator vouches for: f, s.f or s.f(integer).
  std::vector<std::string> assume_immutable;
  // Held in the schemas of the clones (hold_names).
  std::set<TakenName> taken;
};

// What became of a script.
struct Folded {
  // Further names to be held while the script runs: nothing else is told then.
  std::set<TakenName> taken;
  std::vector<TableTarget> targets;  // `tables[i]` becomes the i-th
  // Those under which the rows are made, and what SET gave beyond them.
  catalog::Settings settings;
  // For people: what was taken without effect or with a meaning of its own.
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  // By the place of a statement: what the foreign keys are called that it adds.
  std::map<std::size_t, std::vector<std::string>> foreign_keys_of;
};

// Runs the script's DDL on the clones, statement by statement, reads back what
// the server made of them, and folds its UPDATEs, DELETEs and type changes into
// each table's SELECT list: every statement is one more query around the one
// before it, so that it sees what those before it made, and names resolve as
// the server resolves them.
//
// The settings of `rules` hold while the script's own words are run, until it
// says SET.
//
// In a transaction of the caller's (to be rolled back by a plan, committed by
// a run), where the clones exist. The clones keep their indexes (strip_indexes
// takes them off).
//
// Throws Refused, with every refusal that was found and the place in the
// script; SqlError never: what the server refuses is a refusal with its words.
Folded fold(pg::Connection& connection, const script::Script& script,
            const std::vector<FoldTable>& tables, const FoldRules& rules);

}  // namespace pgrecast::plan
