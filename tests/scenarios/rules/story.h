#pragma once

#include "support/program.h"
#include "support/test_database.h"

#include <filesystem>
#include <string>
#include <vector>

namespace pgrecast::test {

// A function in the SELECT list of table t that keeps a statement of pgrecast
// in the server for as long as a test likes: it waits where v is kValue.
class Held {
 public:
  static constexpr const char* kValue = "4711";

  // Creates the function public.held. `owner` holds the lock on which it waits.
  // The plan's trials it does not hold.
  explicit Held(Session& owner);

  // v becomes bigint, through the function.
  static std::string script();

  void hold();
  void release();
  int count();  // of sessions that wait
  // Returns when `sessions` sessions wait.
  void wait_until_held(int sessions = 1);

 private:
  Session& owner_;
};

// Runs of the real pgrecast for one migration: a script and a state directory.
class Migration {
 public:
  Migration(Database& database, const std::string& script);
  Migration(const Migration&) = delete;
  Migration& operator=(const Migration&) = delete;
  // Undoes what is left of it.
  ~Migration();

  // `pgrecast run`, with more arguments; without a rule where one is named, and
  // with more of the environment: "PGRECAST_FREEZE_AT=..".
  Program run(const std::vector<std::string>& arguments,
              const std::string& rule_off = "",
              const std::string& environment = "");
  // Another command on it; its exit code.
  int command(const std::string& name);

  static std::string retired() { return "pgrecast_story_retired.t"; }

 private:
  Database& database_;
  std::filesystem::path folder_;
};

// How many rows of `left` are not in `right`, or the other way round; both are
// queries. Rows are compared as the server prints them: 1.0 is not 1.00.
long differing_rows(Session& session, const std::string& left,
                    const std::string& right);

}  // namespace pgrecast::test
