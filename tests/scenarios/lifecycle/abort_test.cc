// `pgrecast abort` leaves the database as it was before `pgrecast run`.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>

namespace pgrecast::test {
namespace {

constexpr int kKilled = 128 + SIGKILL;

std::string plain(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::ranges::replace(name, ':', '_');
  return name;
}

class AbortTest : public Lifecycle {
 protected:
  void SetUp() override {
    Lifecycle::SetUp();
    before_ = exact_inventory(database());
  }

  // `state_dir`: of the process that aborts.
  void abort(const std::string& state_dir) {
    std::string output;
    EXPECT_EQ(
        command({"abort", "--dsn", dsn(), "--state-dir", state_dir, "orders"},
                &output),
        0)
        << output;
  }

  void expect_as_before() {
    EXPECT_TRUE(no_session_left(database()));
    fail_for_each(difference(before_, exact_inventory(database())));
  }

 private:
  static void fail_for_each(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) ADD_FAILURE() << line;
  }

  std::vector<std::string> before_;
};

class AbortAfterCrash : public AbortTest,
                        public ::testing::WithParamInterface<const char*> {};

TEST_P(AbortAfterCrash, LeavesNothing) {
  start_load();
  Program killed = start({}, {fmt::format("PGRECAST_STOP_AT={}", GetParam())});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();
  stop_load();

  abort(state_dir());

  expect_as_before();
  EXPECT_TRUE(nothing_in(state_dir()));
}

INSTANTIATE_TEST_SUITE_P(
    EachPhase, AbortAfterCrash,
    ::testing::Values("prepare:shadows", "prepare:publication", "prepare:slot",
                      "buffer:folder_unfinished", "prepare:buffer",
                      "prepare:x0", "copy:after_commit", "settle:deleted",
                      "index:before_commit", "round:after_commit",
                      "cutover:locked", "exchange:before_commit"),
    plain);

class AbortItselfKilled : public AbortTest,
                          public ::testing::WithParamInterface<const char*> {};

TEST_P(AbortItselfKilled, IsDoneByTheSecond) {
  Program killed = start({}, {"PGRECAST_STOP_AT=round:after_commit"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();
  Program first({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"},
                {fmt::format("PGRECAST_STOP_AT={}", GetParam())});
  ASSERT_EQ(first.wait(), kKilled) << first.output();

  abort(state_dir());

  expect_as_before();
  EXPECT_TRUE(nothing_in(state_dir()));
}

INSTANTIATE_TEST_SUITE_P(EachStep, AbortItselfKilled,
                         ::testing::Values("cleanup:publication",
                                           "cleanup:slot",
                                           "buffer:identity_removed",
                                           "cleanup:buffer", "cleanup:schema"),
                         plain);

// An abort that was begun is not resumed by accident: what it removed is made
// anew, or missed, never assumed.
TEST_F(AbortTest, RunAfterHalfAnAbortAsksForRestart) {
  Program killed = start({}, {"PGRECAST_STOP_AT=round:after_commit"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();
  Program half({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"},
               {"PGRECAST_STOP_AT=cleanup:schema"});
  ASSERT_EQ(half.wait(), kKilled) << half.output();

  Program run = start();
  EXPECT_EQ(run.wait(), 8) << run.output();
  resume({"--restart"});

  expect_migrated();
}

TEST_F(AbortTest, FromAnotherHostOnlyTheFolderStays) {
  Program killed = start({}, {"PGRECAST_STOP_AT=index:before_commit"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();

  abort(state_dir() + "-of-another-host");

  expect_as_before();
  EXPECT_TRUE(nothing_in(state_dir() + "-of-another-host"));
  EXPECT_FALSE(nothing_in(state_dir()));
  // What stays is in nobody's way.
  resume();
  expect_migrated();
}

class AbortWhileRunning : public AbortTest,
                          public ::testing::WithParamInterface<const char*> {};

TEST_P(AbortWhileRunning, TheProcessUndoesItAndEndsWithSeven) {
  start_load();
  Program run = start({"--cutover", "manual"});
  const std::string phase = GetParam();
  // Before the slot is there, the migration may not be known to anybody.
  run.wait_for_output(phase == "preparing" ? "slot created"
                                           : "phase changed.*phase=" + phase);

  abort(state_dir());
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), 7) << run.output();
  stop_load();

  expect_as_before();
  EXPECT_TRUE(nothing_in(state_dir()));
}

INSTANTIATE_TEST_SUITE_P(EachPhase, AbortWhileRunning,
                         ::testing::Values("preparing", "copying", "indexing",
                                           "verifying", "ready"),
                         plain);

// All tables of the schema were dropped, whoever had made them.
TEST_F(AbortTest, SomebodysTableInOurSchemaIsNamedAndKept) {
  Program killed = start({}, {"PGRECAST_STOP_AT=round:after_commit"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();
  session().exec(
      "CREATE TABLE pgrecast_orders.backup AS SELECT 42 AS kept;"
      "CREATE FUNCTION pgrecast_orders.mine() RETURNS integer LANGUAGE sql"
      " RETURN 42");

  std::string output;
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"},
              &output),
      3);

  EXPECT_NE(output.find("pgrecast_orders.backup"), std::string::npos) << output;
  EXPECT_NE(output.find("pgrecast_orders.mine()"), std::string::npos) << output;
  EXPECT_EQ(session().query_value("SELECT kept FROM pgrecast_orders.backup"),
            "42");
  EXPECT_EQ(session().query_value("SELECT pgrecast_orders.mine()"), "42");
  // What costs the primary something is gone all the same.
  EXPECT_EQ(superuser_session().query_value(
                "SELECT (SELECT count(*) FROM pg_publication) || ' ' ||"
                " (SELECT count(*) FROM pg_replication_slots WHERE database ="
                " current_database()) || ' ' || (SELECT count(*) FROM pg_class"
                " WHERE relname = 'orders')"),
            "0 0 1");

  session().exec(
      "DROP TABLE pgrecast_orders.backup; DROP FUNCTION "
      "pgrecast_orders.mine()");
  abort(state_dir());
  expect_as_before();
}

// Commands were heard only once the copy began, up to an hour later.
TEST_F(AbortTest, IsHeardWhileTheSlotWaitsForAnOldTransaction) {
  Session old = session();
  old.exec("BEGIN; SELECT pg_current_xact_id()");
  Program run = start();
  Session superuser = superuser_session();
  ASSERT_TRUE(eventually([&] {
    return superuser.query_value(
               "SELECT count(*) FROM pg_replication_slots WHERE database = "
               "current_database()") == "1";
  })) << run.output();

  abort(state_dir());

  EXPECT_EQ(run.wait(Deadline::in(kPatience)), 7) << run.output();
  old.exec("ROLLBACK");
  expect_as_before();
  EXPECT_TRUE(nothing_in(state_dir()));
}

// It was left behind, and would have struck when the process went on.
TEST_F(AbortTest, ThatNobodyHearsIsTakenBack) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  run.signal(SIGSTOP);

  std::string output;
  EXPECT_EQ(command({"abort", "--dsn", dsn(), "--state-dir", state_dir(),
                     "--wait", "1", "orders"},
                    &output),
            4);

  EXPECT_NE(output.find("taken back"), std::string::npos) << output;
  run.signal(SIGCONT);
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
  expect_migrated();
}

TEST_F(AbortTest, ThatIsInterruptedIsTakenBack) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  run.signal(SIGSTOP);
  Program abort(
      {"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"});
  const auto commands = [&] {
    return superuser_session().query_value(
        "SELECT count(*) FROM pgrecast.commands");
  };
  ASSERT_TRUE(eventually([&] { return commands() == "1"; }));
  abort.signal(SIGINT);

  EXPECT_EQ(abort.wait(), 4) << abort.output();

  EXPECT_EQ(commands(), "0");
  run.signal(SIGCONT);
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
}

TEST_F(AbortTest, AfterTheExchangeIsRefused) {
  resume();

  std::string output;
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"},
              &output),
      3);
  EXPECT_NE(output.find("pgrecast finish"), std::string::npos) << output;
  EXPECT_EQ(phase(), "done");
}

}  // namespace
}  // namespace pgrecast::test
