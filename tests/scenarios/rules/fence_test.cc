// A decoder that lags: its WAL sender is stopped.

#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"

#include "scenarios/rules/rig.h"

#include <csignal>
#include <functional>
#include <future>
#include <utility>

namespace pgrecast::test {
namespace {

constexpr milliseconds kLongEnough{200};

class LaggingDecoder : public TestDatabase {
 protected:
  void make_table(int rows) {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, v int, filler text)");
    owner.exec(
        "INSERT INTO t SELECT i, 0, repeat('x', 200) FROM "
        "generate_series(1, $1::int) i",
        rows);
  }

  // Runs `step` while the WAL sender is stopped. With fences it must wait for
  // ours, and ends when the sender goes on.
  void run_while_stopped(Rig& rig, const std::function<void()>& step) {
    const pid_t sender = rig.wal_sender();
    ASSERT_EQ(kill(sender, SIGSTOP), 0);
    session().exec("UPDATE t SET v = 100 WHERE id = 1");
    std::promise<void> fence_begins;
    rig.on_fence = [&fence_begins, told = false]() mutable {
      if (!std::exchange(told, true)) fence_begins.set_value();
    };
    std::future<void> stepped = std::async(std::launch::async, step);
    fence_begins.get_future().wait();
    if (rule_on("fence")) {
      // As long as the sender is stopped; this is long enough to be surprised.
      EXPECT_EQ(stepped.wait_for(kLongEnough), std::future_status::timeout);
      kill(sender, SIGCONT);
      stepped.get();
    } else {
      try {
        stepped.get();
      } catch (...) {
        kill(sender, SIGCONT);
        throw;
      }
    }
    rig.on_fence = nullptr;
  }

  // From now on an exact round's first snapshot stops the WAL sender, whose
  // pid this returns; its snapshots are counted.
  pid_t stop_behind_the_snapshot(Rig& rig, int& snapshots) {
    const pid_t sender = rig.wal_sender();
    session().exec("UPDATE t SET v = 100 WHERE id = 1");
    rig.on_fence = [&rig, &snapshots, sender] {
      if (rig.data().in_transaction() && ++snapshots == 1) {
        kill(sender, SIGSTOP);
      }
    };
    return sender;
  }

  // Rows in which the shadow is not the source right after an exact round.
  long wrong_rows_of_an_exact_round() {
    make_table(5);
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig.build();
    run_while_stopped(rig, [&] { rig.exact(); });
    Session reader = session();
    const long wrong = differing_rows(
        reader, "SELECT id, v::bigint, filler FROM t", "TABLE " + rig.shadow());
    kill(rig.wal_sender(), SIGCONT);
    return wrong;
  }

  // The same, where the change comes after what the round awaited before it
  // took its snapshot: the fence that counts is the one after the snapshot.
  long wrong_rows_of_a_change_before_the_snapshot() {
    make_table(5);
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig.build();
    const pid_t sender = rig.wal_sender();
    Session somebody = session();
    somebody.exec("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    std::future<void> round =
        std::async(std::launch::async, [&] { rig.exact(); });
    EXPECT_TRUE(eventually([&] {
      return somebody.query_value(
                 "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass "
                 "AND NOT granted") == "1";
    }));
    kill(sender, SIGSTOP);
    somebody.exec("UPDATE t SET v = 100 WHERE id = 1");
    somebody.exec("COMMIT");
    if (rule_on("fence")) {
      EXPECT_EQ(round.wait_for(kLongEnough), std::future_status::timeout);
      kill(sender, SIGCONT);
    }
    round.get();
    const long wrong =
        differing_rows(somebody, "SELECT id, v::bigint, filler FROM t",
                       "TABLE " + rig.shadow());
    kill(sender, SIGCONT);
    return wrong;
  }

  // A row that was copied moves to a block that is copied afterwards. The
  // SQLSTATE of what building the indexes meets.
  std::string index_after_a_row_moved() {
    make_table(200);
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig.copy_blocks(0, 0, 1);
    run_while_stopped(rig, [&] {
      rig.copy_blocks(0, 1, 1000);
      rig.settle();
    });
    kill(rig.wal_sender(), SIGCONT);
    try {
      rig.index();
    } catch (const pg::SqlError& error) {
      return error.sqlstate();
    }
    rig.exact();
    Session reader = session();
    EXPECT_EQ(differing_rows(reader, "SELECT id, v::bigint, filler FROM t",
                             "TABLE " + rig.shadow()),
              0);
    return kSuccess;
  }
};

TEST_F(LaggingDecoder, IsWaitedForByAnExactRound) {
  EXPECT_EQ(wrong_rows_of_an_exact_round(), 0);

  const RuleOff off("fence");
  EXPECT_EQ(wrong_rows_of_an_exact_round(), 2);
}

TEST_F(LaggingDecoder, IsWaitedForUntilItHasWhatTheSnapshotSees) {
  EXPECT_EQ(wrong_rows_of_a_change_before_the_snapshot(), 0);

  const RuleOff off("fence");
  EXPECT_EQ(wrong_rows_of_a_change_before_the_snapshot(), 2);
}

// Lags longer than a round begins again for; the same round goes on with it.
TEST_F(LaggingDecoder, IsWaitedForUnderTheLockAsLongAsNobodyElseWaits) {
  make_table(5);
  Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  rig.build();
  const int round_pid = rig.data().backend_pid();
  int snapshots = 0;
  const pid_t sender = stop_behind_the_snapshot(rig, snapshots);
  std::future<void> round =
      std::async(std::launch::async, [&] { rig.exact(); });

  Session somebody = session();
  EXPECT_TRUE(eventually([&] {
    return somebody.query_value(
               "SELECT count(*) FROM pg_stat_activity WHERE pid = $1::int AND "
               "clock_timestamp() - xact_start > interval '4 s'",
               round_pid) == "1";
  }));
  kill(sender, SIGCONT);
  round.get();

  EXPECT_EQ(snapshots, 1);
  EXPECT_EQ(differing_rows(somebody, "SELECT id, v::bigint, filler FROM t",
                           "TABLE " + rig.shadow()),
            0);
}

TEST_F(LaggingDecoder, IsNotWaitedForWhereSomebodyElseWaitsForTheLock) {
  make_table(5);
  Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  rig.build();
  int snapshots = 0;
  const pid_t sender = stop_behind_the_snapshot(rig, snapshots);
  std::future<void> round =
      std::async(std::launch::async, [&] { rig.exact(); });

  Session somebody = session();
  EXPECT_TRUE(eventually([&] {
    return somebody.query_value(
               "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass "
               "AND granted AND pid <> pg_backend_pid()") == "1";
  }));
  somebody.exec("SET lock_timeout = '10s'; BEGIN");
  EXPECT_EQ(somebody.try_exec("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"),
            kSuccess);
  somebody.exec("UPDATE t SET v = 200 WHERE id = 2; COMMIT");
  kill(sender, SIGCONT);
  round.get();

  EXPECT_EQ(snapshots, 2);
  EXPECT_EQ(differing_rows(somebody, "SELECT id, v::bigint, filler FROM t",
                           "TABLE " + rig.shadow()),
            0);
}

TEST_F(LaggingDecoder, IsWaitedForBeforeSettling) {
  EXPECT_EQ(index_after_a_row_moved(), kSuccess);

  const RuleOff off("fence");
  EXPECT_EQ(index_after_a_row_moved(), pg::sqlstate::kUniqueViolation);
}

}  // namespace
}  // namespace pgrecast::test
