#include "pgrecast/plan/plan.h"

#include "scenarios/rules/story.h"
#include "support/sync_standby.h"

#include <gmock/gmock.h>

#include <csignal>

namespace pgrecast::test {
namespace {

// A transaction that commits while the slot is being made is not in the stream;
// where it stalls on a standby, the first snapshots do not see it either.
class Start : public TestDatabase {
 protected:
  // A transaction with an xid, which waits for no standby.
  static std::string begin(Session& session) {
    return session.query_value(
        "SET synchronous_commit = local; BEGIN;"
        "SELECT pg_current_xact_id()::xid");
  }

  // Returns when somebody (the slot's making) waits for the transaction.
  void wait_until_awaited(const std::string& xid) {
    Session watcher = session();
    ASSERT_TRUE(eventually([&] {
      return watcher.query_value(
                 "SELECT count(*) FROM pg_locks WHERE NOT granted AND "
                 "locktype = 'transactionid' AND transactionid = $1::xid",
                 xid) != "0";
    }));
  }

  long lost_rows(const std::string& rule_off) {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
    owner.exec("INSERT INTO t SELECT i, i FROM generate_series(1, 100) i");
    Migration migration(database(),
                        "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    Session first = session();
    Session second = session();
    Session stalled = session();
    SyncStandby standby(cluster());

    const std::string first_xid = begin(first);
    Program run =
        migration.run({"--cutover", "manual", "--no-verify"}, rule_off);
    wait_until_awaited(first_xid);
    const std::string second_xid = begin(second);
    first.exec("COMMIT");
    wait_until_awaited(second_xid);
    standby.stall();
    stalled.send(
        "BEGIN; INSERT INTO t VALUES (1000, 1); UPDATE t SET v = 0 WHERE id = "
        "1; COMMIT");
    EXPECT_TRUE(eventually([&] { return standby.waiting_commits() == 1; }));
    second.exec("COMMIT");

    if (rule_off.empty()) {
      run.wait_for_output("slot created");
      EXPECT_TRUE(eventually([&] {
        const std::string output = run.output();
        return output.find("waiting", output.find("slot created")) !=
               std::string::npos;
      })) << run.output();
    } else {
      run.wait_for_output("phase=ready");
    }
    standby.resume();
    stalled.wait();
    run.wait_for_output("phase=ready");
    EXPECT_EQ(migration.command("cutover"), 0);
    EXPECT_EQ(run.wait(), 0) << run.output();
    return differing_rows(
        owner, "SELECT id, v::bigint FROM " + Migration::retired(), "TABLE t");
  }
};

// Somebody alters the table when it is planned, and nothing watches it yet: the
// migration became ready without the new column.
class AlteredWhilePrepared : public TestDatabase,
                             public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    owner_.exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
    owner_.exec("INSERT INTO t SELECT i, i FROM generate_series(1, 100) i");
  }

  std::string left_behind() {
    return owner_.query_value(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
        "'pgrecast%') + (SELECT count(*) FROM pg_publication)");
  }

  Session owner_ = session();
};

TEST_P(AlteredWhilePrepared, IsNoticedAndPlannedAnew) {
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  {
    Program run =
        migration.run({}, "", std::string("PGRECAST_FREEZE_AT=") + GetParam());
    run.wait_until_frozen();
    owner_.exec("ALTER TABLE t ADD COLUMN note text DEFAULT 'kept'");
    run.signal(SIGCONT);

    EXPECT_EQ(run.wait(), 3) << run.output();
    EXPECT_THAT(
        run.output(),
        testing::AllOf(
            testing::HasSubstr("t was changed by somebody since it was "
                               "planned: columns: "),
            testing::HasSubstr("note"), testing::HasSubstr("it plans anew")));
  }
  owner_.exec("INSERT INTO t VALUES (101, 101, 'new')");

  Program again = migration.run({});

  EXPECT_EQ(again.wait(), 0) << again.output();
  EXPECT_EQ(
      differing_rows(owner_,
                     "SELECT id, v::bigint, note FROM " + Migration::retired(),
                     "TABLE t"),
      0);
  EXPECT_EQ(owner_.query_value("SELECT count(*) FROM t WHERE note IS NOT NULL"),
            "101");
}

INSTANTIATE_TEST_SUITE_P(AtEveryStep, AlteredWhilePrepared,
                         testing::Values("prepare:planned", "prepare:shadows",
                                         "prepare:publication", "prepare:slot",
                                         "prepare:buffer"),
                         [](const auto& name) {
                           return "at" + std::to_string(name.index);
                         });

// Before anything was made there is nothing to remove either.
TEST_F(AlteredWhilePrepared, LeavesNothingBehindWhereNothingWasMade) {
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  Program run = migration.run({}, "", "PGRECAST_FREEZE_AT=prepare:planned");
  run.wait_until_frozen();
  owner_.exec("CREATE INDEX meanwhile ON t (v)");
  run.signal(SIGCONT);

  EXPECT_EQ(run.wait(), 3) << run.output();
  EXPECT_EQ(left_behind(), "0");
}

// Somebody is faster, between the last look and our making it. It ended with an
// internal error, and the next run took what was theirs for ours, and dropped
// it.
struct Taken {
  const char* freeze_at;
  const char* make;
  const char* words;
  const char* drop;
};

class NameTaken : public TestDatabase,
                  public testing::WithParamInterface<Taken> {};

TEST_P(NameTaken, IsRefusedAndLeftAlone) {
  Session owner = session();
  owner.exec(
      "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, "
      "1)");
  Session somebody = superuser_session();
  const std::string slot =
      plan::make_names(
          "story", static_cast<catalog::Oid>(std::stoul(
                       somebody.query_value("SELECT oid FROM pg_database WHERE "
                                            "datname = current_database()"))))
          .slot;
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  Program run = migration.run(
      {}, "", std::string("PGRECAST_FREEZE_AT=") + GetParam().freeze_at);
  run.wait_until_frozen();
  somebody.exec(fmt::format(fmt::runtime(GetParam().make), slot));
  run.signal(SIGCONT);

  EXPECT_EQ(run.wait(), 3) << run.output();

  EXPECT_THAT(run.output(), testing::HasSubstr(GetParam().words));
  // Theirs, and nothing of ours.
  EXPECT_EQ(somebody.query_value(
                "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                "'pgrecast%') + (SELECT count(*) FROM pg_publication) + (SELECT"
                " count(*) FROM pg_replication_slots WHERE database = "
                "current_database())"),
            "1");
  somebody.exec(fmt::format(fmt::runtime(GetParam().drop), slot));
  Program again = migration.run({});
  EXPECT_EQ(again.wait(), 0) << again.output();
}

INSTANTIATE_TEST_SUITE_P(
    Of, NameTaken,
    testing::Values(
        Taken{"prepare:planned", "CREATE SCHEMA pgrecast_story",
              "there is a schema pgrecast_story already",
              "DROP SCHEMA pgrecast_story"},
        Taken{"prepare:shadows", "CREATE PUBLICATION pgrecast_story",
              "there is a publication pgrecast_story already",
              "DROP PUBLICATION pgrecast_story"},
        Taken{"prepare:publication",
              "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
              "there is a replication slot",
              "SELECT pg_drop_replication_slot('{}')"}),
    [](const auto& name) {
      return std::string(name.param.freeze_at).substr(8);
    });

// The server says nothing while it waits; only who was a second old when that
// began was named.
TEST_F(Start, NamesWhoWasYoungWhenTheWaitingForHimBegan) {
  session().exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  Program run = migration.run({}, "", "PGRECAST_FREEZE_AT=prepare:publication");
  run.wait_until_frozen();
  Session young = session();
  begin(young);

  run.signal(SIGCONT);

  run.wait_for_output("older transactions to end: pid " +
                      young.query_value("SELECT pg_backend_pid()"));
  young.exec("COMMIT");
  EXPECT_EQ(run.wait(), 0) << run.output();
}

TEST_F(Start, LosesNoCommitThatTheSlotJustMissed) {
  EXPECT_EQ(lost_rows(""), 0);

  // The insert, and both states of the updated row.
  EXPECT_EQ(lost_rows("wait_for_running"), 3);
}

}  // namespace
}  // namespace pgrecast::test
