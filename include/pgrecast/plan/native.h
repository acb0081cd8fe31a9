#pragma once

#include <string>
#include <vector>

// What the script's statements would do by hand, as the server did them on a
// clone: an operator need not migrate what takes an instant.
namespace pgrecast::plan {

// The slowest thing that a statement does. In this order.
enum class Effect {
  kCatalogs,       // no row is looked at
  kReadsRows,      // all rows are looked at: a constraint is checked
  kBuildsIndexes,  // at least one
  kChangesRows,    // UPDATE, DELETE
  kRewrites,       // the table gets new files
  kMakesAnew,      // CREATE TABLE of a table that there is
};

struct NativeStep {
  int line = 0;  // of the script
  Effect effect = Effect::kCatalogs;
  std::string lock;     // the strongest, as LOCK TABLE names it
  std::string object;   // on what
  std::string instead;  // a way that hinders fewer; empty: as it stands
};

// Whether this is what a migration is for.
bool needs_migration(const NativeStep& step);
bool any_needs_migration(const std::vector<NativeStep>& steps);

// "rewrites the table": what an effect is, behind "line 3".
std::string in_words(Effect effect);

}  // namespace pgrecast::plan
