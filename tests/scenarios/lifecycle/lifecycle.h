#pragma once

#include "support/program.h"
#include "support/test_database.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace pgrecast::test {

// A few transactions a millisecond apart, each doing the same to table orders
// and to its twin: inserts, updates, deletes and moves of keys. They name no
// column that the migration changes but in type, so that they mean the same
// before and after the exchange. What the server refuses is tried again.
class Load {
 public:
  explicit Load(const std::string& dsn);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() = default;

  // Ends it. Returns when its last transaction is over.
  void stop();
  int transactions() const { return transactions_; }

 private:
  void work(const std::string& dsn, const std::stop_token& stop);
  bool one_transaction(Session& session, unsigned random);

  int next_id_ = 1000000;
  std::atomic<int> transactions_{0};
  std::jthread thread_;
};

// The base of the lifecycle scenarios: a database with a table `orders` of four
// or more chunks, a table on either end of its foreign keys, a view, a twin of
// it that no migration touches; the real pgrecast; a folder for its state.
class Lifecycle : public TestDatabase {
 protected:
  using Texts = Program::Texts;

  Lifecycle();
  ~Lifecycle() override;
  void SetUp() override;

  // A further script, in a file NAME.sql. Returns its path.
  std::string write_script(const std::string& name, const std::string& sql);
  const std::string& script() const { return script_; }
  std::string state_dir() const { return folder_ + "/state"; }

  // Starts `pgrecast run` for the script (or another one).
  Program start(const Texts& options = {}, const Texts& environment = {});
  Program start_script(const std::string& script, const Texts& options = {},
                       const Texts& environment = {});
  // It ends with `code`, and what it writes has `text` in it.
  void expect_run(int code, const std::string& text, const std::string& script,
                  const Texts& options = {});
  // Runs another command to its end.
  int command(const Texts& arguments, std::string* output = nullptr);
  // The same command until it ends with 0.
  void resume(const Texts& options = {});

  void start_load() { load_ = std::make_unique<Load>(dsn()); }
  void stop_load();

  // Stops the load; then `orders` holds what the script makes of the twin.
  void expect_migrated();

  // "" where there is none.
  std::string phase(const std::string& name = "orders");

 private:
  std::string folder_;
  std::string script_;
  std::unique_ptr<Load> load_;
};

// Every row of every catalog that could tell of something left behind, as it
// is: OIDs, files, grants, dependencies, slots, sequences' values. What the
// server counts by itself (pages, rows, frozen xids) is left out.
std::vector<std::string> exact_inventory(const Database& database);

// The same by names and definitions, without OIDs, to compare a table with the
// one that took its place.
std::vector<std::string> named_inventory(const Database& database);

// What is in one of them only, a line each: "- .." in `before`, "+ .." in
// `after`.
std::vector<std::string> difference(const std::vector<std::string>& before,
                                    const std::vector<std::string>& after);

// Waits until no session of pgrecast is left in the database.
::testing::AssertionResult no_session_left(const Database& database);

// Whether the folder is missing or empty.
bool nothing_in(const std::string& folder);

}  // namespace pgrecast::test
