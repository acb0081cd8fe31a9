// Unique values that change hands in transactions larger than a round may hold,
// at the moments that hurt most: the program is frozen there.

#include "scenarios/twin/compare.h"
#include "support/program.h"
#include "support/test_database.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>
#include <string>
#include <thread>
#include <vector>

namespace pgrecast::test {
namespace {

constexpr int kRows = 120'000;
// What an exact round may hold (src/migration/catching_up.cc).
constexpr long kExactKeysLimit = 100'000;
constexpr int kDataRejected = 10;
constexpr auto kLong = std::chrono::minutes(3);
// Primes that do not divide kRows: each is another order of all values.
constexpr int kOneOrder = 7919;
constexpr int kAnotherOrder = 7927;

// Of table t and its twin, in one transaction. Pairs go beside each other,
// never beside what moves all.
class Writer {
 public:
  explicit Writer(const std::string& dsn) : session_(dsn) {}

  void move_all(int order) {
    begin("pg_advisory_xact_lock(1)");
    for (const char* table : kTables) {
      session_.exec(fmt::format(
          "UPDATE {0} SET u = -u; UPDATE {0} SET u = id::bigint * {1} % {2} + "
          "1",
          table, order, kRows));
    }
    session_.exec("COMMIT");
  }

  void exchange(int one, int other) {
    begin("pg_advisory_xact_lock_shared(1)");
    session_.exec(fmt::format(
        "SELECT pg_advisory_xact_lock(2, {}), pg_advisory_xact_lock(2, {})",
        std::min(one, other), std::max(one, other)));
    for (const char* table : kTables) {
      session_.exec(
          fmt::format("DO $$ DECLARE l bigint; h bigint; BEGIN"
                      " SELECT u INTO l FROM {0} WHERE id = {1};"
                      " SELECT u INTO h FROM {0} WHERE id = {2};"
                      " UPDATE {0} SET u = -1 - l WHERE id = {1};"
                      " UPDATE {0} SET u = l, v = v + 1 WHERE id = {2};"
                      " UPDATE {0} SET u = h WHERE id = {1}; END $$",
                      table, one, other));
    }
    session_.exec("COMMIT");
  }

 private:
  static constexpr std::array<const char*, 2> kTables = {"t", "twin"};

  // No statement of a transaction sees both shapes of t.
  void begin(const std::string& lock) {
    session_.exec("BEGIN");
    session_.exec("SELECT " + lock);
  }

  Session session_;
};

class HandOver : public TestDatabase {
 protected:
  HandOver() : folder_(make_folder()) {
    std::ofstream(folder_ / "script.sql")
        << "ALTER TABLE t ALTER u TYPE bigint, ALTER v TYPE bigint;";
    Session owner = session();
    for (const char* table : {"t", "twin"}) {
      owner.exec(fmt::format(
          "CREATE TABLE {0} (id int PRIMARY KEY, u int UNIQUE, v int);"
          "INSERT INTO {0} SELECT i, i, 0 FROM generate_series(1, {1}) AS i",
          table, kRows));
    }
  }

  ~HandOver() override {
    stop_writers();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  Program start(const std::string& freeze_at) const {
    return Program({"run", "--dsn", dsn(), folder_ / "script.sql", "--name",
                    "m", "--state-dir", folder_ / "state", "--yes", "--cutover",
                    "manual", "--progress", "none", "--log-level", "debug"},
                   {"PGRECAST_FREEZE_AT=" + freeze_at});
  }

  void start_writers() {
    for (unsigned seed = 1; seed <= 4; ++seed) {
      writers_.emplace_back([this, seed](const std::stop_token& stop) {
        std::mt19937 dice(seed);
        std::uniform_int_distribution<int> any(1, kRows);
        Writer writer(dsn());
        while (!stop.stop_requested()) {
          const int one = any(dice);
          const int other = any(dice);
          if (one != other) writer.exchange(one, other);
        }
      });
    }
  }

  void stop_writers() {
    for (std::jthread& writer : writers_) writer.request_stop();
    writers_.clear();
  }

  // Lets `run` cut over, ends the load and compares.
  void expect_migrated(Program& run) {
    Program cutover({"cutover", "--dsn", dsn(), "m"});
    EXPECT_EQ(cutover.wait(Deadline::in(kLong)), 0) << cutover.output();
    EXPECT_EQ(run.wait(Deadline::in(kLong)), 0) << run.output();
    stop_writers();
    Session owner = session();
    const Differences differences = compare_rows(
        owner, "SELECT id, u::bigint, v::bigint FROM twin", "SELECT * FROM t");
    EXPECT_TRUE(differences.none()) << differences.text();
    EXPECT_EQ(Program({"finish", "--dsn", dsn(), "m"}).wait(), 0);
  }

  static void expect_no_exact_round_too_large(const Program& run) {
    const std::regex exact("kind=exact keys=([0-9]+)");
    const std::string log = run.err();
    int count = 0;
    for (std::sregex_iterator at(log.begin(), log.end(), exact), end; at != end;
         ++at) {
      EXPECT_LE(std::stol((*at)[1]), kExactKeysLimit) << at->str();
      ++count;
    }
    EXPECT_GT(count, 0);
  }

  std::filesystem::path folder_;

 private:
  static std::string make_folder() {
    std::string folder = "/tmp/pgrecast-hand-over-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) {
      throw std::runtime_error("cannot make a folder in /tmp");
    }
    return folder;
  }

  std::vector<std::jthread> writers_;
};

// All values have moved once, the first batch of that is written, and all of
// them move again: a sixth of the others' values is the first batch's then. The
// next round was exact, and of all keys.
TEST_F(HandOver, OfAllValuesWhileALooseRoundRunsLosesNothing) {
  Program run = start("loose:written");
  run.wait_for_output("phase=ready", Deadline::in(kLong));
  Writer(dsn()).move_all(kOneOrder);
  run.wait_until_frozen();
  Writer(dsn()).move_all(kAnotherOrder);
  start_writers();

  run.signal(SIGCONT);

  run.wait_for_output("kind=loose .*skipped=[1-9]", Deadline::in(kLong));
  expect_migrated(run);
  expect_no_exact_round_too_large(run);
}

// It would hold a lock on the source for minutes, were these millions.
TEST_F(HandOver, OfAllValuesWhileAnExactRoundBeginsLosesNothing) {
  Program run = start("exact:snapshot");
  run.wait_until_frozen(Deadline::in(kLong));
  Writer(dsn()).move_all(kOneOrder);
  start_writers();

  run.signal(SIGCONT);

  run.wait_for_output("given_up=true", Deadline::in(kLong));
  run.wait_for_output("phase=ready", Deadline::in(kLong));
  expect_migrated(run);
  expect_no_exact_round_too_large(run);
}

// No loose round can write these, however often it tries: nobody would have
// been told why the migration does not go on.
TEST_F(HandOver, OfOneValueToThousandsOfRowsIsTold) {
  std::ofstream(folder_ / "script.sql")
      << "ALTER TABLE t ALTER u TYPE bigint; CREATE UNIQUE INDEX ON t (v)";
  session().exec("UPDATE t SET v = id");
  Program run = start("");
  run.wait_for_output("phase=ready", Deadline::in(kLong));
  session().exec("UPDATE t SET v = 7 WHERE id <= 60000");

  EXPECT_EQ(run.wait(Deadline::in(kLong)), kDataRejected) << run.output();

  EXPECT_NE(run.err().find("(v)=(7)"), std::string::npos) << run.err();
  EXPECT_EQ(
      Program({"abort", "--dsn", dsn(), "--state-dir", folder_ / "state", "m"})
          .wait(),
      0);
}

}  // namespace
}  // namespace pgrecast::test
