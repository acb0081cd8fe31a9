// A process that was frozen when it was about to drop slot and publication: it
// knows them by their names, and when it goes on those may be a later
// migration's.

#include "scenarios/lifecycle/lifecycle.h"

#include <csignal>
#include <string>

namespace pgrecast::test {
namespace {

constexpr int kResumable = 4;

class FrozenTest : public Lifecycle {
 protected:
  // As when its host is cut off: the server gives its sessions up.
  void end_sessions_of(Program& run) {
    run.wait_until_frozen();
    superuser_session().exec(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
        " current_database() AND application_name LIKE 'pgrecast orders %'");
  }

  // Frozen when it was told to abort; whoever told it has done so in its place.
  Program freeze_in_abort() {
    Program frozen =
        start({"--cutover", "manual"}, {"PGRECAST_FREEZE_AT=abort:undo"});
    frozen.wait_for_output("phase changed.*phase=ready");
    Program abort(
        {"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"});
    end_sessions_of(frozen);
    EXPECT_EQ(abort.wait(), 0) << abort.output();
    return frozen;
  }

  // Another migration, of the same name, in the middle of its work.
  Program start_later() {
    Program later = start_script(
        write_script("later", "ALTER TABLE orders ADD COLUMN later integer"),
        {"--name", "orders", "--cutover", "manual"});
    later.wait_for_output("phase changed.*phase=ready");
    return later;
  }

  void expect_undisturbed(Program& later) {
    EXPECT_EQ(superuser_session().query_value(
                  "SELECT (SELECT count(*) FROM pg_publication) || ' ' ||"
                  " (SELECT count(*) FROM pg_replication_slots WHERE database ="
                  " current_database())"),
              "1 1");
    EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
    EXPECT_EQ(later.wait(), 0) << later.output();
  }
};

TEST_F(FrozenTest, AfterItsExchangeItLeavesALaterMigrationAlone) {
  Program frozen = start({}, {"PGRECAST_FREEZE_AT=exchanged:clear_away"});
  end_sessions_of(frozen);
  resume();
  ASSERT_EQ(
      command({"finish", "--dsn", dsn(), "--state-dir", state_dir(), "orders"}),
      0);
  Program later = start_later();

  frozen.signal(SIGCONT);
  EXPECT_EQ(frozen.wait(), kResumable) << frozen.output();

  expect_undisturbed(later);
}

TEST_F(FrozenTest, WhenItWasToAbortItLeavesALaterMigrationAlone) {
  Program frozen = freeze_in_abort();
  Program later = start_later();

  frozen.signal(SIGCONT);
  EXPECT_EQ(frozen.wait(), kResumable) << frozen.output();

  expect_undisturbed(later);
}

// Whoever finds the name free again finds no migration of his own there.
TEST_F(FrozenTest, WhenItWasToAbortItLeavesALaterStoppedMigrationAlone) {
  Program frozen = freeze_in_abort();
  Program later = start_later();
  later.signal(SIGTERM);
  ASSERT_EQ(later.wait(), kResumable) << later.output();
  frozen.wait_until_frozen();

  frozen.signal(SIGCONT);
  EXPECT_EQ(frozen.wait(), 7) << frozen.output();

  EXPECT_EQ(phase(), "ready");
  Program resumed = start_script(
      write_script("later", "ALTER TABLE orders ADD COLUMN later integer"),
      {"--name", "orders"});
  EXPECT_EQ(resumed.wait(), 0) << resumed.output();
}

// The keeper was about to drop the publication, for the application's sake. The
// main thread notices nothing meanwhile: it waits for an old snapshot.
TEST_F(FrozenTest, AboutToDropItsPublicationItLeavesItsSuccessorsAlone) {
  for (const char* rule_off : {"", "owner"}) {
    SCOPED_TRACE(rule_off);
    Session reader = session();
    reader.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    Program frozen = start({}, {"PGRECAST_FREEZE_AT=keeper:before_drop",
                                std::string("PGRECAST_RULE_OFF=") + rule_off});
    frozen.wait_for_output("waiting for snapshots older than the new table");
    session().exec("ALTER TABLE orders REPLICA IDENTITY FULL");
    frozen.wait_until_frozen();
    Session superuser = superuser_session();
    // As a successor does.
    superuser.exec("UPDATE pgrecast.owner SET epoch = epoch + 1");

    frozen.signal(SIGCONT);
    EXPECT_EQ(frozen.wait(), 3) << frozen.output();

    EXPECT_EQ(superuser.query_value("SELECT count(*) FROM pg_publication"),
              *rule_off == '\0' ? "1" : "0")
        << frozen.output();
    reader.exec("ROLLBACK");
    session().exec("ALTER TABLE orders REPLICA IDENTITY DEFAULT");
    EXPECT_EQ(command({"abort", "--dsn", dsn(), "--state-dir", state_dir(),
                       "orders"}),
              0);
  }
}

// What it has found is a name; by the time it has the lock, another migration
// may have that.
class FrozenCommandTest : public FrozenTest {
 protected:
  // Another migration of the same name, that nobody runs.
  void leave_later_stopped() {
    Program later = start_later();
    later.signal(SIGTERM);
    ASSERT_EQ(later.wait(), kResumable) << later.output();
  }

  void expect_later_goes_on() {
    EXPECT_EQ(phase(), "ready");
    Program resumed = start_script(
        write_script("later", "ALTER TABLE orders ADD COLUMN later integer"),
        {"--name", "orders"});
    EXPECT_EQ(resumed.wait(), 0) << resumed.output();
  }
};

TEST_F(FrozenCommandTest, FinishLeavesALaterMigrationAlone) {
  resume();
  Program frozen(
      {"finish", "--dsn", dsn(), "--state-dir", state_dir(), "orders"},
      {"PGRECAST_FREEZE_AT=finish:found"});
  frozen.wait_until_frozen();
  ASSERT_EQ(
      command({"finish", "--dsn", dsn(), "--state-dir", state_dir(), "orders"}),
      0);
  leave_later_stopped();

  frozen.signal(SIGCONT);
  EXPECT_EQ(frozen.wait(), 0) << frozen.output();

  expect_later_goes_on();
}

TEST_F(FrozenCommandTest, ReapLeavesALaterMigrationAlone) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  run.signal(SIGTERM);
  ASSERT_EQ(run.wait(), kResumable) << run.output();
  Program frozen({"reap", "--dsn", dsn(), "--max-retained", "0"},
                 {"PGRECAST_FREEZE_AT=reap:found"});
  frozen.wait_until_frozen();
  ASSERT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"}),
      0);
  leave_later_stopped();

  frozen.signal(SIGCONT);
  EXPECT_EQ(frozen.wait(), 0) << frozen.output();

  expect_later_goes_on();
}

}  // namespace
}  // namespace pgrecast::test
