// The labels of an enum type in the key: the stream calls rows by them, and no
// lock keeps them as they are.

#include "scenarios/rules/story.h"

#include <gmock/gmock.h>

#include <csignal>

namespace pgrecast::test {
namespace {

// Two labels are exchanged for a while. What is written then is noted by the
// other one's name: the wrong row would be refreshed, and the right one lost.
class KeyLabels : public TestDatabase {
 protected:
  static constexpr const char* kExchange =
      "ALTER TYPE kind RENAME VALUE 'a' TO 'x';"
      "ALTER TYPE kind RENAME VALUE 'b' TO 'a';"
      "ALTER TYPE kind RENAME VALUE 'x' TO 'b'";
  // Its row is there at this time: (b, 1), and called (a, 1) otherwise.
  static constexpr const char* kWrite =
      "UPDATE t SET v = -1 WHERE k = 'b' AND id = 1";
  static constexpr const char* kWriteA =
      "UPDATE t SET v = -1 WHERE k = 'a' AND id = 1";

  void SetUp() override {
    owner_.exec("CREATE TYPE kind AS ENUM ('a', 'b')");
    owner_.exec(
        "CREATE TABLE t (k kind, id int, v int, PRIMARY KEY (k, id));"
        "INSERT INTO t SELECT k, i, i FROM generate_series(1, 20) i, "
        "unnest(enum_range(NULL::kind)) k");
  }

  void exchange_for_a_while() {
    owner_.exec(kExchange);
    owner_.exec(kWrite);
    owner_.exec(kExchange);
  }

  static void expect_noticed(Program& run) {
    EXPECT_EQ(run.wait(), 0) << run.output();
    EXPECT_THAT(run.output(),
                testing::HasSubstr("labels of the key's types were changed"));
  }

  void expect_equal() {
    EXPECT_EQ(
        differing_rows(owner_,
                       "SELECT k, id, v::bigint FROM " + Migration::retired(),
                       "TABLE t"),
        0);
    EXPECT_EQ(owner_.query_value("SELECT v FROM t WHERE k = 'a' AND id = 1"),
              "-1");
  }

  Session owner_ = session();
  Migration migration_{database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;"};
};

TEST_F(KeyLabels, ExchangedForAWhileBetweenTwoRunsLoseNothing) {
  {
    Program run = migration_.run({"--cutover", "manual", "--no-verify"});
    run.wait_for_output("phase=ready");
    run.signal(SIGTERM);
    run.wait();
  }
  exchange_for_a_while();

  Program again = migration_.run({"--no-verify"});

  expect_noticed(again);
  expect_equal();
}

// The rounds' own look is the only one: nobody asked for a verification.
TEST_F(KeyLabels, ExchangedForAWhileBetweenTwoLooksLoseNothing) {
  Program run = migration_.run({"--cutover", "manual", "--no-verify"});
  run.wait_for_output("phase=ready");
  run.signal(SIGSTOP);
  run.wait_until_frozen();
  exchange_for_a_while();
  run.signal(SIGCONT);
  run.wait_for_output("labels of the key's types were changed");
  EXPECT_EQ(migration_.command("cutover"), 0);

  expect_noticed(run);
  expect_equal();
}

// While the table is copied. A new label alone is enough.
TEST_F(KeyLabels, ThatComeWhileTheTableIsCopiedAreTakenOver) {
  Program run = migration_.run({"--cutover", "manual"}, "",
                               "PGRECAST_FREEZE_AT=copy:before_commit");
  run.wait_until_frozen();
  exchange_for_a_while();
  owner_.exec("ALTER TYPE kind ADD VALUE 'c'");
  owner_.exec("INSERT INTO t VALUES ('c', 1, 1)");
  run.signal(SIGCONT);
  run.wait_for_output("phase=ready");
  owner_.exec("UPDATE t SET v = 2 WHERE k = 'c'");
  EXPECT_EQ(migration_.command("cutover"), 0);

  expect_noticed(run);
  expect_equal();
}

// The last round before the lock has looked; what the stream delivers under the
// lock was written before, when the labels were others.
TEST_F(KeyLabels, ExchangedForAWhileBehindTheLastRoundLoseNothing) {
  Program run = migration_.run({"--cutover", "manual", "--no-verify"}, "",
                               "PGRECAST_FREEZE_AT=exchange:before_lock");
  run.wait_for_output("phase=ready");
  EXPECT_EQ(migration_.command("cutover"), 0);
  run.wait_until_frozen();
  exchange_for_a_while();
  run.signal(SIGCONT);

  expect_noticed(run);
  expect_equal();
}

// Renamed for good, there is no telling what the noted keys mean.
TEST_F(KeyLabels, RenamedForGoodEndTheMigration) {
  Program run = migration_.run({"--cutover", "manual"});
  run.wait_for_output("phase=ready");
  owner_.exec("ALTER TYPE kind RENAME VALUE 'a' TO 'z'");

  EXPECT_EQ(run.wait(), 3) << run.output();
  EXPECT_THAT(run.output(), testing::HasSubstr("kind a, now renamed"));
}

// It came, was written, and is gone before anybody looked: what the server does
// not know any more was noted.
TEST_F(KeyLabels, OneThatWasThereForAWhileIsALossThatRepairMends) {
  Program run = migration_.run({"--cutover", "manual", "--no-verify"});
  run.wait_for_output("phase=ready");
  run.signal(SIGSTOP);
  run.wait_until_frozen();
  owner_.exec("ALTER TYPE kind ADD VALUE 'c'");
  owner_.exec("INSERT INTO t VALUES ('c', 1, 1)");
  owner_.exec(kWriteA);
  owner_.exec("ALTER TYPE kind RENAME VALUE 'c' TO 'd'");
  run.signal(SIGCONT);
  EXPECT_EQ(run.wait(), 8) << run.output();
  EXPECT_THAT(run.output(),
              testing::AllOf(testing::HasSubstr("changed under a key that the "
                                                "server cannot read any more"),
                             testing::HasSubstr("--repair")));

  Program again = migration_.run({"--repair", "--no-verify"});

  EXPECT_EQ(again.wait(), 0) << again.output();
  expect_equal();
}

// Exchanged under the lock, when the last look before the refresh is over: the
// last key is refreshed by a label that means the other row.
TEST_F(KeyLabels, ExchangedUnderTheLockEndTheMigrationAndNothingElse) {
  Program run = migration_.run({"--cutover", "manual", "--no-verify"}, "",
                               "PGRECAST_FREEZE_AT=cutover:locked");
  run.wait_for_output("phase=ready");
  EXPECT_EQ(migration_.command("cutover"), 0);
  Session writer = session();
  // The exchange does not queue behind a transaction of a second or more.
  EXPECT_TRUE(eventually([&] {
    writer.exec("BEGIN");
    writer.exec(kWriteA);
    const bool queued = eventually(
        [&] {
          return owner_.query_value(
                     "SELECT count(*) FROM pg_locks WHERE NOT granted AND "
                     "mode = 'AccessExclusiveLock' AND relation = "
                     "'t'::regclass") == "1";
        },
        Deadline::in(milliseconds(500)));
    writer.exec("COMMIT");
    return queued;
  }));
  run.wait_until_frozen();
  owner_.exec(kExchange);
  run.signal(SIGCONT);

  EXPECT_EQ(run.wait(), 3) << run.output();
  EXPECT_THAT(run.output(), testing::HasSubstr("now renamed"));
  EXPECT_EQ(
      owner_.query_value("SELECT count(*) FROM pg_attribute WHERE attrelid = "
                         "'t'::regclass AND atttypid = 'int8'::regtype"),
      "0");
  owner_.exec(kExchange);
  Program again = migration_.run({"--no-verify"});
  expect_noticed(again);
  expect_equal();
}

}  // namespace
}  // namespace pgrecast::test
