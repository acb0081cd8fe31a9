// What was lost, on purpose or not: the slot, the change buffer. It is told,
// never passed over, and made right by --repair or --restart.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <csignal>
#include <filesystem>
#include <string>

namespace pgrecast::test {
namespace {

constexpr int kKilled = 128 + SIGKILL;
constexpr int kChangesLost = 8;

class LostTest : public Lifecycle {
 protected:
  void kill_when_ready() {
    Program run = start({"--cutover", "manual"});
    run.wait_for_output("phase changed.*phase=ready");
    run.signal(SIGKILL);
    ASSERT_EQ(run.wait(), kKilled);
  }

  void reap() {
    std::string output;
    // Its sessions may outlive the process by a moment.
    ASSERT_TRUE(no_session_left(database()));
    ASSERT_EQ(command({"reap", "--dsn", dsn(), "--max-retained", "0"}, &output),
              0)
        << output;
    EXPECT_NE(output.find("dropped the slot of orders"), std::string::npos)
        << output;
  }

  void expect_slot_and_publication(const std::string& count) {
    EXPECT_EQ(superuser_session().query_value(
                  "SELECT (SELECT count(*) FROM pg_publication) || ' ' ||"
                  " (SELECT count(*) FROM pg_replication_slots WHERE database ="
                  " current_database())"),
              count + " " + count);
  }

  void change_while_nobody_looks() {
    const std::string change =
        "UPDATE {0} SET amount = amount + 0.5 WHERE id % 1000 = 7;"
        "DELETE FROM {0} WHERE id % 1000 = 8 AND id > 1000;"
        "INSERT INTO {0} (id, customer, code, amount, placed)"
        " VALUES (700000, 1, 'unseen', 1, '2026-03-03');";
    session().exec(fmt::format(fmt::runtime(change), "orders") +
                   fmt::format(fmt::runtime(change), "orders_twin"));
  }

  void expect_lost() {
    Program run = start();
    EXPECT_EQ(run.wait(), kChangesLost) << run.output();
    EXPECT_NE(run.err().find("--repair"), std::string::npos) << run.err();
  }
};

TEST_F(LostTest, ReapedWhileReadyItIsRepaired) {
  kill_when_ready();
  reap();
  expect_slot_and_publication("0");
  change_while_nobody_looks();
  expect_lost();
  start_load();

  Program repaired = start({"--repair"});
  EXPECT_EQ(repaired.wait(), 0) << repaired.output();

  EXPECT_NE(repaired.err().find("rows differed"), std::string::npos)
      << repaired.err();
  expect_migrated();
}

// What could not be dropped kept the slot, and with it the WAL of the server.
TEST_F(LostTest, ThePublicationOfAnotherRoleDoesNotKeepTheSlot) {
  kill_when_ready();
  Session superuser = superuser_session();
  superuser.exec("ALTER PUBLICATION pgrecast_orders OWNER TO postgres");
  ASSERT_TRUE(no_session_left(database()));

  std::string output;
  EXPECT_EQ(command({"reap", "--dsn", dsn(), "--max-retained", "0"}, &output),
            3);

  EXPECT_NE(output.find("publication pgrecast_orders"), std::string::npos)
      << output;
  EXPECT_EQ(superuser.query_value("SELECT count(*) FROM pg_replication_slots "
                                  "WHERE database = current_database()"),
            "0");
  superuser.exec("DROP PUBLICATION pgrecast_orders");
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"}),
      0);
}

TEST_F(LostTest, ReapedWhileReadyItIsRestarted) {
  kill_when_ready();
  reap();
  change_while_nobody_looks();
  expect_lost();
  start_load();

  resume({"--restart"});

  expect_migrated();
}

TEST_F(LostTest, ReapedWhileCopyingItIsRepairedByCopyingAgain) {
  Program killed = start({}, {"PGRECAST_STOP_AT=copy:after_commit"});
  ASSERT_EQ(killed.wait(), kKilled);
  reap();
  change_while_nobody_looks();
  expect_lost();
  start_load();

  resume({"--repair"});

  expect_migrated();
}

TEST_F(LostTest, RepairKilledHalfwayIsRepairedByTheNext) {
  kill_when_ready();
  reap();
  change_while_nobody_looks();

  for (const char* point : {"prepare:slot", "prepare:buffer"}) {
    Program killed =
        start({"--repair"}, {fmt::format("PGRECAST_STOP_AT={}", point)});
    ASSERT_EQ(killed.wait(), kKilled) << killed.output();
  }
  resume({"--repair"});

  expect_migrated();
}

// Whatever --repair had not done yet when it was killed, a run without it does
// not take the shadow for exact, even where it is told not to verify.
TEST_F(LostTest, RepairKilledBeforeItVerifiedIsNotTakenForDone) {
  kill_when_ready();
  reap();
  change_while_nobody_looks();
  Program killed =
      start({"--repair"}, {"PGRECAST_STOP_AT=round:before_commit"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();

  Program run = start({"--no-verify"});
  const int code = run.wait();

  if (code == kChangesLost) {
    resume({"--repair"});
  } else {
    EXPECT_EQ(code, 0) << run.output();
  }
  expect_migrated();
}

TEST_F(LostTest, SomebodysChangeOfTheShapeIsNotRepairedAway) {
  kill_when_ready();
  reap();
  session().exec("ALTER TABLE orders ADD COLUMN surprise integer");

  Program repaired = start({"--repair"});
  EXPECT_EQ(repaired.wait(), 3) << repaired.output();
  EXPECT_NE(repaired.err().find("surprise"), std::string::npos)
      << repaired.err();

  session().exec("ALTER TABLE orders DROP COLUMN surprise");
  resume({"--repair"});
  expect_migrated();
}

// An old transaction holds the slot back, and WAL piles up on the primary. The
// keeper saw it, but what only stopped the other threads was told, and not
// acted on: slot and publication stayed.
TEST_F(LostTest, ALivingMigrationGivesItsSlotUpAtTheLimit) {
  Program run = start({"--cutover", "manual", "--max-retained", "32MB"});
  run.wait_for_output("phase changed.*phase=ready");
  Session old = session();
  old.exec("BEGIN; UPDATE orders SET amount = amount WHERE id = 5");
  superuser_session().exec(
      "SELECT count(pg_logical_emit_message(false, 'any', repeat('y', "
      "1000000))) FROM generate_series(1, 64)");

  EXPECT_EQ(run.wait(), kChangesLost) << run.output();

  EXPECT_NE(run.err().find("--max-retained"), std::string::npos) << run.err();
  EXPECT_NE(run.err().find("--repair"), std::string::npos) << run.err();
  expect_slot_and_publication("0");
  old.exec("COMMIT");
  change_while_nobody_looks();
  expect_lost();
  resume({"--repair"});
  expect_migrated();
}

TEST_F(LostTest, ALivingMigrationIsNotReaped) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");

  std::string output;
  EXPECT_EQ(command({"reap", "--dsn", dsn(), "--max-retained", "0"}, &output),
            0);
  EXPECT_EQ(output.find("dropped"), std::string::npos) << output;
  expect_slot_and_publication("1");

  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
  expect_migrated();
}

TEST_F(LostTest, ASlotThatKeepsLittleIsNotReaped) {
  kill_when_ready();
  ASSERT_TRUE(no_session_left(database()));

  std::string output;
  EXPECT_EQ(
      command({"reap", "--dsn", dsn(), "--max-retained", "100GB"}, &output), 0);
  EXPECT_EQ(output.find("dropped"), std::string::npos) << output;

  resume();
  expect_migrated();
}

TEST_F(LostTest, SlotDroppedBySomebodyIsNoticed) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  Session superuser = superuser_session();
  ASSERT_TRUE(eventually([&] {
    superuser.exec(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        " WHERE database = current_database() AND active");
    superuser.try_exec(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        " WHERE database = current_database()");
    return superuser.query_value(
               "SELECT count(*) FROM pg_replication_slots WHERE database = "
               "current_database()") == "0";
  }));
  const int code = run.wait(Deadline::in(kPatience));
  EXPECT_TRUE(code == 4 || code == kChangesLost) << code << run.output();
  change_while_nobody_looks();

  expect_lost();
  resume({"--repair"});
  expect_migrated();
}

TEST_F(LostTest, ALostStateDirIsNoticed) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  run.signal(SIGTERM);
  ASSERT_EQ(run.wait(), 4);
  std::filesystem::remove_all(state_dir());
  change_while_nobody_looks();

  expect_lost();
  resume({"--repair"});
  expect_migrated();
}

}  // namespace
}  // namespace pgrecast::test
