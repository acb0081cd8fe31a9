#pragma once

#include "support/test_database.h"

#include <string>
#include <vector>

namespace pgrecast::test {

// Plans a script and does all that it takes up to `finish`, by the classes
// themselves: in this process, without a slot, phases and threads, since nobody
// writes meanwhile. A tenth of the time that the program takes.
//
// Throws Refused where the plan says no; what it throws otherwise is a bug.
void exchange_all(Database& database, const std::string& script);

// What the script makes of `database`, by hand and by exchange_all(): compared
// with a copy of it on which a role runs the script.
struct Comparison {
  std::vector<std::string> refusals;  // of the plan; nothing was compared
  std::string by_hand;                // why the server refuses it, or empty
  bool compared = false;
  std::string failure;                   // of ours, behind the plan
  std::vector<std::string> differences;  // "- by hand", "+ by exchange"
};

Comparison compare_with_by_hand(Database& database,
                                const std::vector<std::string>& script,
                                const std::vector<std::string>& readers);

}  // namespace pgrecast::test
