#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pgrecast::test {

// Who owns what in a random database. All quoted.
struct RandomRoles {
  std::string owner;     // of the tables that are migrated
  std::string keeper;    // of other things
  std::string reader;    // gets grants and passes them on
  std::string stranger;  // as whom whoever migrates may not act
};

// One or two tables with a little of everything that can hang off a table, and
// a script for them. The same in every run of a seed.
struct RandomDatabase {
  // Each by itself, for a superuser: one that the server refuses is left out,
  // and those that need it.
  std::vector<std::string> statements;
  std::vector<std::string> script;
};

// `version`: the server's.
RandomDatabase random_database(std::uint64_t seed, int version,
                               const RandomRoles& roles);

}  // namespace pgrecast::test
