#include "pgrecast/base/error.h"

#include "support/pg_cluster.h"
#include "support/program.h"
#include "support/sync_standby.h"
#include "support/test_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

namespace pgrecast::test {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

// ---- the server
// --------------------------------------------------------------

TEST(PgClusterTest, AcceptsSessionsAndDecodesLogically) {
  Session superuser = SharedCluster::get().session();

  EXPECT_EQ(superuser.query_value("SHOW wal_level"), "logical");
  EXPECT_EQ(superuser.query_value("SHOW listen_addresses"), "");
  EXPECT_EQ(superuser.query_value("SHOW server_encoding"), "UTF8");
}

TEST(PgClusterTest, VersionIsThatOfTheBinariesAskedFor) {
  Session superuser = SharedCluster::get().session();

  const std::string number = superuser.query_value("SHOW server_version_num");

  EXPECT_EQ(std::to_string(SharedCluster::get().version()),
            number.substr(0, 2));
}

TEST(PgClusterTest, TakesSettingsAndLetsThemBeChanged) {
  PgCluster cluster(PgCluster::Settings{{"max_slot_wal_keep_size", "64MB"}});
  ASSERT_EQ(cluster.session().query_value("SHOW max_slot_wal_keep_size"),
            "64MB");

  cluster.set("max_slot_wal_keep_size", "128MB");

  EXPECT_EQ(cluster.session().query_value("SHOW max_slot_wal_keep_size"),
            "128MB");
}

TEST(PgClusterTest, KeepsCommittedRowsThroughStopRestartAndKill) {
  PgCluster cluster;
  cluster.session().exec("CREATE TABLE t AS SELECT 1 AS i");

  cluster.restart(PgCluster::Stop::kFast);
  cluster.session().exec("INSERT INTO t VALUES (2)");
  cluster.restart(PgCluster::Stop::kImmediate);
  cluster.session().exec("INSERT INTO t VALUES (3)");
  cluster.kill_server();
  ASSERT_FALSE(cluster.running());
  cluster.start();

  EXPECT_EQ(cluster.session().query_value("SELECT count(*) FROM t"), "3");
}

TEST(PgClusterTest, KillTakesABackendInTheMiddleOfAStatement) {
  PgCluster cluster;
  Session busy = cluster.session();
  busy.send("DO 'BEGIN LOOP END LOOP; END'");
  const pid_t backend = busy.backend_pid();
  ASSERT_TRUE(process_alive(backend));

  cluster.kill_server();

  EXPECT_FALSE(process_alive(backend));
  EXPECT_THROW(busy.wait(), SqlFailure);
}

TEST(PgClusterTest, ComesUpOnANewTimeline) {
  PgCluster cluster;
  const char* timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
  cluster.session().exec("CREATE TABLE t AS SELECT 1 AS i");
  ASSERT_EQ(cluster.session().query_value(timeline), "1");

  cluster.start_new_timeline();

  Session superuser = cluster.session();
  superuser.exec("CHECKPOINT");
  EXPECT_EQ(superuser.query_value(timeline), "2");
  EXPECT_EQ(superuser.query_value("SELECT count(*) FROM t"), "1");
}

TEST(PgClusterTest, LeavesNoFolderAndNoProcessBehind) {
  std::string folder;
  pid_t postmaster = -1;
  {
    const PgCluster cluster;
    folder = cluster.folder();
    postmaster = cluster.postmaster_pid();
    ASSERT_TRUE(std::filesystem::exists(folder));
  }

  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_FALSE(process_alive(postmaster));
}

TEST(PgClusterTest, SaysInItsErrorWhyTheServerDoesNotStart) {
  try {
    const PgCluster cluster(PgCluster::Settings{{"wal_level", "sideways"}});
    FAIL() << "the server started";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("sideways"));
  }
}

// ---- a database and its role
// -------------------------------------------------

using TestDatabaseTest = TestDatabase;

TEST_F(TestDatabaseTest, RoleIsNoSuperuserAndMayReplicateAndCreate) {
  Session owner = session();

  EXPECT_EQ(owner.query_value("SHOW is_superuser"), "off");
  EXPECT_EQ(owner.query_value("SELECT rolreplication FROM pg_roles "
                              "WHERE rolname = current_user"),
            "t");
  EXPECT_EQ(owner.try_exec("CREATE SCHEMA s CREATE TABLE t (i int)"), kSuccess);
  EXPECT_EQ(owner.try_exec("CREATE TABLE public.t (i int)"), kSuccess);
  EXPECT_EQ(owner.try_exec("CREATE PUBLICATION p FOR TABLE public.t"),
            kSuccess);
  EXPECT_EQ(owner.try_exec("ALTER SYSTEM SET work_mem = '1MB'"), "42501");
}

TEST_F(TestDatabaseTest, RoleCanCreateALogicalSlot) {
  Session owner = session();

  owner.exec("SELECT pg_create_logical_replication_slot('mine', 'pgoutput')");

  owner.exec("SELECT pg_drop_replication_slot('mine')");
}

TEST_F(TestDatabaseTest, SlotLeftBehindFailsTheTest) {
  EXPECT_NONFATAL_FAILURE(
      {
        Database other(SharedCluster::get());
        other.session().exec(
            "SELECT pg_create_logical_replication_slot('left', 'pgoutput')");
        other.drop();
      },
      "replication slot left is left behind");
  EXPECT_EQ(superuser_session().query_value(
                "SELECT count(*) FROM pg_replication_slots"),
            "0");
}

TEST_F(TestDatabaseTest, DropsADatabaseWithSessionsAndPreparedTransactions) {
  Session survivor = session();
  std::string name;
  {
    Database other(cluster());
    name = other.name();
    Session busy = other.session();
    busy.exec("CREATE TABLE t (i int)");
    busy.exec("BEGIN");
    busy.exec("INSERT INTO t VALUES (1)");
    busy.exec("PREPARE TRANSACTION 'left'");
    busy.send("SELECT pg_sleep(60)");
    other.drop();
  }

  EXPECT_EQ(survivor.query_value(
                "SELECT count(*) FROM pg_database WHERE datname = $1", name),
            "0");
}

// ---- sessions
// ----------------------------------------------------------------

TEST_F(TestDatabaseTest, SessionBindsParametersAndReturnsRows) {
  Session owner = session();

  const Rows rows = owner.query_rows(
      "SELECT $1::text || '!', $2::int + 1, $3::bool, $4::text", "it's", 41,
      true, std::nullopt);

  EXPECT_EQ(rows, (Rows{{"it's!", "42", "t", kNull}}));
}

TEST_F(TestDatabaseTest, SessionTellsTheSqlstate) {
  Session owner = session();

  EXPECT_EQ(owner.try_exec("SELECT 1/0"), "22012");
  EXPECT_THROW(owner.exec("nonsense"), SqlFailure);
  EXPECT_THROW(owner.query_value("SELECT 1, 2"), std::runtime_error);
}

TEST_F(TestDatabaseTest, SentStatementRunsWhileTheTestGoesOn) {
  Session holder = session();
  Session waiter = session();
  holder.exec("CREATE TABLE t (i int)");
  holder.exec("BEGIN; LOCK TABLE t");

  waiter.send("INSERT INTO t VALUES (1) RETURNING i");
  EXPECT_THROW(waiter.wait(Deadline::in(milliseconds(50))), TimedOut);
  EXPECT_TRUE(waiter.busy());
  holder.exec("COMMIT");

  EXPECT_EQ(waiter.wait(), (Rows{{"1"}}));
}

TEST_F(TestDatabaseTest, SentStatementCanBeCancelled) {
  Session sleeper = session();
  Session observer = session();
  sleeper.send("SELECT pg_sleep(60)");
  // A cancel that comes before the statement is one that nothing hears.
  ASSERT_TRUE(eventually([&] {
    return observer.query_value(
               "SELECT wait_event FROM pg_stat_activity WHERE pid = $1",
               sleeper.backend_pid()) == "PgSleep";
  }));

  sleeper.cancel();

  try {
    sleeper.wait();
    FAIL() << "it ended";
  } catch (const SqlFailure& failure) {
    EXPECT_EQ(failure.sqlstate(), "57014");
  }
}

// ---- a synchronous standby
// ---------------------------------------------------

TEST_F(TestDatabaseTest, StalledStandbyHoldsACommitAndLetsItGo) {
  Session writer = session();
  Session reader = session();
  writer.exec("CREATE TABLE t (i int)");
  SyncStandby standby(cluster());
  writer.exec("INSERT INTO t VALUES (1)");

  standby.stall();
  writer.send("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(eventually([&] { return standby.waiting_commits() == 1; }));

  // Flushed, and not visible: what the visibility rule is about.
  EXPECT_TRUE(writer.busy());
  EXPECT_EQ(reader.query_value("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(reader.try_exec("SET synchronous_commit = local; "
                            "INSERT INTO t VALUES (3)"),
            kSuccess);
  EXPECT_TRUE(writer.busy());

  standby.resume();
  writer.wait();
  EXPECT_EQ(reader.query_value("SELECT count(*) FROM t"), "3");
}

TEST_F(TestDatabaseTest, StandbyThatGoesAwayLetsCommitsGo) {
  Session writer = session();
  writer.exec("CREATE TABLE t (i int)");
  {
    SyncStandby standby(cluster());
    standby.stall();
    writer.send("INSERT INTO t VALUES (1)");
    ASSERT_TRUE(eventually([&] { return standby.waiting_commits() == 1; }));
  }

  EXPECT_NO_THROW(writer.wait());
}

TEST_F(TestDatabaseTest, StandbyStallsAgainAndAgainUnderLoad) {
  Session writer = session();
  writer.exec("CREATE TABLE t (i int)");
  SyncStandby standby(cluster());
  constexpr int kStalls = 20;

  for (int i = 0; i < kStalls; ++i) {
    standby.stall();
    writer.send("INSERT INTO t SELECT generate_series(1, 1000)");
    ASSERT_TRUE(eventually([&] { return standby.waiting_commits() == 1; }));
    standby.resume();
    writer.wait();
  }

  EXPECT_EQ(writer.query_value("SELECT count(*) FROM t"), "20000");
}

// ---- programs
// ----------------------------------------------------------------

Program shell(const std::string& script,
              const std::vector<std::string>& environment = {}) {
  return Program::command({"/bin/sh", "-c", script}, environment);
}

TEST(ProgramTest, TellsExitCodeOutputAndEnvironment) {
  Program program =
      shell("echo to-out $WORD; echo to-err >&2; exit 3", {"WORD=hello"});

  EXPECT_EQ(program.wait(), 3);
  EXPECT_EQ(program.out(), "to-out hello\n");
  EXPECT_EQ(program.err(), "to-err\n");
}

TEST(ProgramTest, ReactsToASignalAfterTheOutputWaitedFor) {
  Program program =
      shell("trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done");

  program.wait_for_output("^ready");
  EXPECT_TRUE(program.running());
  program.signal(SIGTERM);

  EXPECT_EQ(program.wait(), 4);
}

TEST(ProgramTest, KilledProgramHasTheShellsExitCode) {
  Program program = shell("echo ready; exec sleep 60");
  program.wait_for_output("ready");

  program.signal(SIGKILL);

  EXPECT_EQ(program.wait(), 128 + SIGKILL);
}

TEST(ProgramTest, DestructorKillsIt) {
  pid_t pid = -1;
  {
    Program program = shell("echo ready; exec sleep 60");
    program.wait_for_output("ready");
    pid = program.pid();
    ASSERT_TRUE(process_alive(pid));
  }

  EXPECT_FALSE(process_alive(pid));
}

TEST(ProgramTest, OutputThatNeverComesIsReportedAtItsEnd) {
  Program program = shell("echo something else");

  EXPECT_THROW(program.wait_for_output("ready"), TimedOut);
}

TEST(ProgramTest, MissingProgramSaysSo) {
  Program program = Program::command({"/nowhere/pgrecast"});

  EXPECT_EQ(program.wait(), 127);
  EXPECT_THAT(program.err(), HasSubstr("cannot be executed: /nowhere"));
}

}  // namespace
}  // namespace pgrecast::test
