#include "scenarios/rules/story.h"
#include "support/sync_standby.h"

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

TEST_F(Start, LosesNoCommitThatTheSlotJustMissed) {
  EXPECT_EQ(lost_rows(""), 0);

  // The insert, and both states of the updated row.
  EXPECT_EQ(lost_rows("wait_for_running"), 3);
}

}  // namespace
}  // namespace pgrecast::test
