// The locks of each step are those that the plan says: pg_locks is looked at
// again and again while the real program runs, and where it is held up on
// purpose.

#include "support/program.h"
#include "support/test_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <thread>

namespace pgrecast::test {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::IsSubsetOf;

using Locks = std::set<std::string>;  // "mode relation"

// Of every session of ours, on what is not ours; of a partition, by the table
// that it is a part of.
constexpr const char* kSeen = R"sql(
SELECT l.mode, n.nspname || '.' || c.relname
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
JOIN pg_class r ON r.oid = l.relation AND r.relkind IN ('r', 'p', 'v', 'm', 'S')
JOIN pg_class c ON c.oid = COALESCE(pg_partition_root(r.oid), r.oid)
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.application_name LIKE 'pgrecast%' AND a.datname = current_database()
  AND l.locktype = 'relation' AND n.nspname = 'public')sql";

Locks seen(Session& session) {
  Locks locks;
  for (const Row& row : session.query_rows(kSeen)) {
    locks.insert(row[0] + " " + row[1]);
  }
  return locks;
}

// SHARE UPDATE EXCLUSIVE -> ShareUpdateExclusiveLock
std::string as_in_pg_locks(const std::string& mode) {
  std::string name;
  bool upper = true;
  for (const char c : mode) {
    if (c == ' ') {
      upper = true;
      continue;
    }
    name += upper ? c : static_cast<char>(c - 'A' + 'a');
    upper = false;
  }
  return name + "Lock";
}

// Every statement of ours locks with its own mode, too, what a stronger one
// holds already: a lock counts as planned where a stronger one is.
constexpr std::array<const char*, 8> kByStrength = {
    "AccessShareLock",  "RowShareLock",
    "RowExclusiveLock", "ShareUpdateExclusiveLock",
    "ShareLock",        "ShareRowExclusiveLock",
    "ExclusiveLock",    "AccessExclusiveLock"};

Locks planned(const json& report) {
  Locks locks;
  for (const json& lock : report.at("locks")) {
    const std::string mode = as_in_pg_locks(lock.at("mode"));
    const auto* end = std::ranges::find(kByStrength, mode);
    for (const json& object : lock.at("objects")) {
      for (const auto* weaker = kByStrength.begin(); weaker <= end; ++weaker) {
        locks.insert(*weaker + (" " + object.get<std::string>()));
      }
    }
  }
  return locks;
}

constexpr const char* kPlain = R"sql(
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE t (id serial PRIMARY KEY, p int REFERENCES parent, v int))sql";

// Which can reference no other table.
constexpr const char* kPartitioned = R"sql(
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE t (id serial PRIMARY KEY, p int, v int) PARTITION BY HASH (id);
CREATE TABLE t_0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE t_1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1))sql";

class PlanLocksTest : public TestDatabase,
                      public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    session().exec(GetParam());
    session().exec(R"sql(
CREATE TABLE child (id int, t int REFERENCES t);
CREATE VIEW w AS SELECT v FROM t;
CREATE STATISTICS st ON p, v FROM t;
CREATE TABLE beside (id int);
CREATE MATERIALIZED VIEW mv AS SELECT t.v FROM t, beside WITH NO DATA;
INSERT INTO parent VALUES (1);
INSERT INTO t (p, v) SELECT 1, g FROM generate_series(1, 2000) g;
INSERT INTO child SELECT g, g FROM generate_series(1, 2000) g)sql");
  }

  Program::Texts command(const std::string& name) const {
    Program::Texts words{name,
                         "--dsn",
                         dsn(),
                         "--table",
                         "t",
                         "--alter",
                         "ALTER COLUMN v TYPE bigint",
                         "--name",
                         "widened",
                         "--state-dir",
                         state_};
    return words;
  }

  json plan_of() {
    auto words = command("plan");
    words.emplace_back("--json");
    Program program(words);
    EXPECT_EQ(program.wait(), 0) << program.output();
    return json::parse(program.out());
  }

  std::string state_ = cluster().folder() + "/state_locks_" + database().name();
};

TEST_P(PlanLocksTest, ARunTakesNoOthers) {
  const Locks said = planned(plan_of());
  Session watcher = superuser_session();
  Session old = session();
  Session publisher = session();
  Session reader = session();
  Locks all;
  const auto look = [&] { all.merge(seen(watcher)); };

  // It cannot publish the table while somebody has this lock,
  publisher.exec("BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE");
  Program run(command("run"));
  ASSERT_TRUE(eventually([&] {
    return seen(watcher).contains("ShareUpdateExclusiveLock public.t");
  })) << run.output();
  // nor make its slot while somebody writes,
  old.exec("BEGIN; SELECT pg_current_xact_id()");
  publisher.exec("COMMIT");
  ASSERT_TRUE(eventually([&] {
    return watcher.query_value(
               "SELECT count(*) FROM pg_publication_tables WHERE pubname LIKE "
               "'pgrecast%' AND tablename = 't'") == "1";
  })) << run.output();
  // nor copy while somebody has this lock on the new table.
  reader.exec("BEGIN; LOCK TABLE pgrecast_widened.t IN SHARE MODE");
  old.exec("COMMIT");
  ASSERT_TRUE(eventually([&] {
    look();
    return watcher.query_value(
               "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON "
               "a.pid = l.pid WHERE NOT l.granted AND a.application_name LIKE "
               "'pgrecast%copy'") != "0";
  })) << run.output();
  EXPECT_THAT(seen(watcher), Contains("AccessShareLock public.t"));
  // Nor fill what reads this table.
  session().exec("REFRESH MATERIALIZED VIEW mv");
  publisher.exec("BEGIN; LOCK TABLE beside");
  reader.exec("COMMIT");
  ASSERT_TRUE(eventually([&] {
    return seen(watcher).contains("AccessShareLock public.beside");
  })) << run.output();
  publisher.exec("COMMIT");
  while (run.running()) look();

  EXPECT_EQ(run.wait(), 0) << run.output();
  EXPECT_THAT(all, IsSubsetOf(said));
  Program finish({"finish", "--dsn", dsn(), "--state-dir", state_, "widened"});
  EXPECT_EQ(finish.wait(), 0) << finish.output();
}

INSTANTIATE_TEST_SUITE_P(Of, PlanLocksTest,
                         ::testing::Values(kPlain, kPartitioned),
                         [](const auto& one) {
                           return one.param == kPlain ? "APlainTable"
                                                      : "APartitionedTable";
                         });

}  // namespace
}  // namespace pgrecast::test
