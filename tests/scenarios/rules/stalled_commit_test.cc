// A synchronous standby that stalls: the WAL sender delivers commits that no
// new snapshot sees yet.

#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"

#include "scenarios/rules/rig.h"
#include "support/sync_standby.h"

#include <functional>

namespace pgrecast::test {
namespace {

constexpr const char* kScript = "ALTER TABLE t ALTER COLUMN v TYPE bigint;";
constexpr const char* kExpected = "SELECT id, u, v::bigint FROM t";

class StalledCommit : public TestDatabase {
 protected:
  void make_table() {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v int)");
    owner.exec(
        "INSERT INTO t SELECT i, i * 10, 0 FROM generate_series(1, 5) i");
  }

  long wrong_rows(const Rig& rig) {
    Session reader = session();
    return differing_rows(reader, kExpected, "TABLE " + rig.shadow());
  }

  struct Outcome {
    bool dirty = false;   // after the round that did not see the change
    long wrong_rows = 0;  // after one more, which saw it
  };

  // `round` runs while a commit was delivered, and is not visible.
  Outcome round_during_a_stall(bool built,
                               const std::function<void(Rig&)>& round) {
    make_table();
    Rig rig(database(), kScript);
    rig.copy();
    if (built) {
      rig.settle();
      rig.index();
    }
    Session writer = session();
    Outcome outcome;
    {
      SyncStandby standby(cluster());
      standby.stall();
      writer.send("UPDATE t SET v = 100 WHERE id = 1");
      EXPECT_TRUE(eventually([&] { return standby.waiting_commits() == 1; }));
      round(rig);
      outcome.dirty = rig.is_dirty(0, {"1"});
      standby.resume();
      writer.wait();
    }
    if (!built) rig.index();
    rig.exact();
    outcome.wrong_rows = wrong_rows(rig);
    return outcome;
  }

  void expect_kept_until_visible(bool built,
                                 const std::function<void(Rig&)>& round) {
    const Outcome with = round_during_a_stall(built, round);
    EXPECT_TRUE(with.dirty);
    EXPECT_EQ(with.wrong_rows, 0);

    const RuleOff off("visibility");
    const Outcome without = round_during_a_stall(built, round);
    EXPECT_FALSE(without.dirty);
    EXPECT_EQ(without.wrong_rows, 2) << "the change was not lost";
  }
};

TEST_F(StalledCommit, KeepsItsKeyDirtyThroughAnExactRound) {
  expect_kept_until_visible(true, [](Rig& rig) { rig.exact(); });
}

TEST_F(StalledCommit, KeepsItsKeyDirtyThroughALooseRound) {
  expect_kept_until_visible(true, [](Rig& rig) { rig.loose(1000, true); });
}

TEST_F(StalledCommit, KeepsItsKeyDirtyThroughSettling) {
  expect_kept_until_visible(false, [](Rig& rig) { rig.settle(); });
}

// One entry a key is enough: it holds the last transaction, and whoever sees
// that one sees those before it.
TEST_F(StalledCommit, KeepsAKeyDirtyThoughAnEarlierChangeOfItIsSeen) {
  make_table();
  Rig rig(database(), kScript);
  rig.build();
  Session writer = session();
  {
    SyncStandby standby(cluster());
    Session(dsn()).exec(
        "SET synchronous_commit = local; UPDATE t SET v = 1 WHERE id = 1");
    standby.stall();
    writer.send("UPDATE t SET v = 2 WHERE id = 1");
    ASSERT_TRUE(eventually([&] { return standby.waiting_commits() == 1; }));
    rig.exact();
    EXPECT_TRUE(rig.is_dirty(0, {"1"}));
    EXPECT_EQ(session().query_value("SELECT v FROM " + rig.shadow() +
                                    " WHERE id = 1"),
              "1");
    standby.resume();
    writer.wait();
  }
  rig.exact();
  EXPECT_FALSE(rig.is_dirty(0, {"1"}));
  EXPECT_EQ(wrong_rows(rig), 0);
}

// T1 hands the unique value 10 from row 1 to row 2 and is seen; T2 changes row
// 1 again and is not. The entry of key 1 says T2: where that is left out of the
// round, row 1 keeps the value that row 2 is about to get.
class UnseenKey : public StalledCommit {
 protected:
  // The SQLSTATE of what the round met.
  std::string round_with_an_unseen_key() {
    make_table();
    Rig rig(database(), kScript);
    rig.build();
    Session writer = session();
    std::string sqlstate = kSuccess;
    {
      SyncStandby standby(cluster());
      Session(dsn()).exec(
          "SET synchronous_commit = local; BEGIN;"
          "UPDATE t SET u = 11 WHERE id = 1; UPDATE t SET u = 10 WHERE id = 2;"
          "COMMIT");
      standby.stall();
      writer.send("UPDATE t SET v = 2 WHERE id = 1");
      EXPECT_TRUE(eventually([&] { return standby.waiting_commits() == 1; }));
      try {
        rig.exact();
        EXPECT_EQ(wrong_rows(rig), 0) << "no exact state";
      } catch (const pg::SqlError& error) {
        sqlstate = error.sqlstate();
      }
      standby.resume();
      writer.wait();
    }
    if (sqlstate == kSuccess) {
      rig.exact();
      EXPECT_EQ(wrong_rows(rig), 0);
    }
    return sqlstate;
  }
};

TEST_F(UnseenKey, IsRefreshedByARoundAllTheSame) {
  EXPECT_EQ(round_with_an_unseen_key(), kSuccess);

  const RuleOff off("refresh_unseen");
  EXPECT_EQ(round_with_an_unseen_key(), pg::sqlstate::kUniqueViolation);
}

}  // namespace
}  // namespace pgrecast::test
