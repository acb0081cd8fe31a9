// What a script that drives pgrecast relies on: the exit codes.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <csignal>
#include <string>

namespace pgrecast::test {
namespace {

constexpr int kUsage = 2;
constexpr int kRefused = 3;
constexpr int kNotCutOver = 5;
constexpr int kDataRejected = 10;

class ExitCodeTest : public Lifecycle {
 protected:
  // After the plan, so that what is broken now is found later.
  void stop_while_copying(const std::string& file) {
    Program killed =
        start_script(file, {}, {"PGRECAST_STOP_AT=copy:before_commit"});
    killed.wait();
    ASSERT_EQ(phase("strict"), "copying") << killed.output();
  }
  void expect_refused(const std::string& text) {
    const auto before = exact_inventory(database());
    expect_run(kRefused, text, script());
    for (const std::string& line :
         difference(before, exact_inventory(database()))) {
      ADD_FAILURE() << "a refused run changed " << line;
    }
  }
};

TEST_F(ExitCodeTest, WrongUsageIsTwo) {
  std::string output;
  EXPECT_EQ(command({"run", "--no-such-option"}, &output), kUsage);
  EXPECT_EQ(command({}, &output), kUsage);
  EXPECT_EQ(command({"run", "--dsn", dsn(), script(), "--cutover", "perhaps"},
                    &output),
            kUsage);
  EXPECT_EQ(
      command({"reap", "--dsn", dsn(), "--max-retained", "much"}, &output),
      kUsage);
  EXPECT_EQ(command({"run", "--dsn", dsn()}, &output), kUsage);
  expect_run(kUsage, "cannot be read", "/nowhere/at/all.sql");
  expect_run(kUsage, "", write_script("broken", "ALTER TABEL orders"));
}

TEST_F(ExitCodeTest, ADependentThatIsNotCarriedIsRefused) {
  session().exec("CREATE TABLE archive (kept orders)");
  expect_refused("archive");
}

TEST_F(ExitCodeTest, ATableOfSomebodyElseIsRefused) {
  Session superuser = superuser_session();
  superuser.exec("ALTER TABLE orders OWNER TO postgres");
  expect_refused("belongs to role postgres");
}

TEST_F(ExitCodeTest, ARoleWithoutReplicationIsRefused) {
  superuser_session().exec(
      fmt::format("ALTER ROLE \"{}\" NOREPLICATION", database().role()));
  expect_refused("REPLICATION");
}

TEST_F(ExitCodeTest, AnotherScriptOfTheSameNameIsRefused) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  run.signal(SIGTERM);
  ASSERT_EQ(run.wait(), 4);

  expect_run(kRefused, "another script",
             write_script("other", "ALTER TABLE orders ADD COLUMN x integer"),
             {"--name", "orders"});

  resume();
  expect_migrated();
}

TEST_F(ExitCodeTest, ASecondProcessIsRefusedAtOnce) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");

  expect_run(kRefused, fmt::format("process {}", run.pid()), script());

  EXPECT_TRUE(run.running());
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
}

// It may wake up at any moment: its server sessions live.
TEST_F(ExitCodeTest, BesideAFrozenProcessTheSecondIsRefused) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  run.signal(SIGSTOP);

  expect_run(kRefused, fmt::format("process {}", run.pid()), script());

  run.signal(SIGCONT);
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
}

TEST_F(ExitCodeTest, AReaderThatNeverEndsIsFiveAndResumable) {
  start_load();
  Session reader = session();
  reader.exec("BEGIN; SELECT FROM orders LIMIT 1");
  const std::string reader_pid = std::to_string(reader.backend_pid());

  expect_run(kNotCutOver, reader_pid, script(), {"--cutover-attempts", "2"});
  EXPECT_EQ(phase(), "ready");
  // Whoever looks when the process is gone is told, too.
  std::string status;
  EXPECT_EQ(command({"status", "--dsn", dsn(), "orders"}, &status), 0);
  EXPECT_NE(status.find("not exchanged"), std::string::npos) << status;
  EXPECT_NE(status.find(reader_pid), std::string::npos) << status;
  reader.exec("COMMIT");

  resume();
  expect_migrated();
}

TEST_F(ExitCodeTest, ADependentThatCameAndIsNotCarriedIsFiveAndToldLater) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("CREATE TABLE archive (kept orders)");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), kNotCutOver) << run.output();

  std::string status;
  EXPECT_EQ(command({"status", "--dsn", dsn(), "orders"}, &status), 0);
  EXPECT_NE(status.find("not exchanged"), std::string::npos) << status;
  EXPECT_NE(status.find("archive"), std::string::npos) << status;

  session().exec("DROP TABLE archive");
  resume();
}

// Found in the sample of the rows (the key's greatest), before anything is
// made.
TEST_F(ExitCodeTest, RowsThatBreakTheScriptAreTenInThePlanAlready) {
  session().exec("UPDATE orders SET amount = -1 WHERE id = 12000");
  const std::string strict = write_script(
      "strict",
      "ALTER TABLE orders ADD CONSTRAINT not_negative CHECK (amount >= 0)");
  expect_run(kDataRejected, "12000", strict);
  EXPECT_EQ(command({"plan", "--dsn", dsn(), strict}), kDataRejected);
  EXPECT_EQ(session().query_value("SELECT to_regnamespace('pgrecast') IS NULL "
                                  "AND to_regnamespace('pgrecast_strict') IS "
                                  "NULL"),
            "t");
}

// Broken between plan and copy.
TEST_F(ExitCodeTest, ACheckThatTheDataBreaksIsTenAndResumable) {
  const std::string strict = write_script(
      "strict",
      "ALTER TABLE orders ADD CONSTRAINT not_negative CHECK (amount >= 0)");
  stop_while_copying(strict);
  session().exec("UPDATE orders SET amount = -1 WHERE id IN (4711, 4712)");
  expect_run(kDataRejected, "4711", strict);
  expect_run(kDataRejected, "4712", strict);

  session().exec("UPDATE orders SET amount = 1 WHERE amount < 0");

  expect_run(0, "", strict);
  EXPECT_EQ(session().try_exec("UPDATE orders SET amount = -1 WHERE id = 1"),
            "23514");
}

TEST_F(ExitCodeTest, AUniqueIndexThatTheDataBreaksIsTenAndResumable) {
  session().exec("UPDATE orders SET legacy = 'once ' || id");
  const std::string strict = write_script(
      "strict", "CREATE UNIQUE INDEX orders_legacy_key ON orders (legacy)");
  stop_while_copying(strict);
  session().exec("UPDATE orders SET legacy = 'twice' WHERE id IN (7, 8)");
  expect_run(kDataRejected, "twice", strict);
  EXPECT_EQ(phase("strict"), "indexing");

  session().exec("UPDATE orders SET legacy = 'thrice' WHERE id = 8");

  expect_run(0, "", strict);
  EXPECT_EQ(session().try_exec("UPDATE orders SET legacy = 'thrice' WHERE id = "
                               "1"),
            "23505");
}

// It holds for what was copied, and is broken while the migration is ready.
TEST_F(ExitCodeTest, ACheckThatAChangeBreaksLaterIsTenAndResumable) {
  const std::string strict = write_script(
      "strict",
      "ALTER TABLE orders ADD CONSTRAINT not_negative CHECK (amount >= 0)");
  Program run = start_script(strict, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("UPDATE orders SET amount = -1 WHERE id = 4711");
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), kDataRejected) << run.output();
  EXPECT_NE(run.err().find("4711"), std::string::npos) << run.err();

  session().exec("UPDATE orders SET amount = 1 WHERE id = 4711");

  expect_run(0, "", strict);
}

TEST_F(ExitCodeTest, AUniqueIndexThatAChangeBreaksLaterIsTenAndResumable) {
  session().exec("UPDATE orders SET legacy = 'once ' || id");
  const std::string strict = write_script(
      "strict", "CREATE UNIQUE INDEX orders_legacy_key ON orders (legacy)");
  Program run = start_script(strict, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("UPDATE orders SET legacy = 'once 7' WHERE id = 8");
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), kDataRejected) << run.output();
  EXPECT_NE(run.err().find("once 7"), std::string::npos) << run.err();

  session().exec("UPDATE orders SET legacy = 'mended' WHERE id = 8");

  expect_run(0, "", strict);
}

// Somebody's index ended a migration of days for good: the publication was
// dropped with it, and the message told to run the same command.
TEST_F(ExitCodeTest, AChangeOfTheSourceIsThreeAndResumableOnceUndone) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("CREATE INDEX somebodys ON orders (amount)");
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), kRefused) << run.output();
  EXPECT_NE(run.err().find("somebodys"), std::string::npos) << run.err();

  session().exec("DROP INDEX somebodys");

  expect_run(0, "", script());
}

// While a column list is published, the application's own UPDATEs would fail.
TEST_F(ExitCodeTest, AChangeOfTheReplicaIdentityHindersNoWriter) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("ALTER TABLE orders REPLICA IDENTITY FULL");
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), kRefused) << run.output();
  EXPECT_NE(run.err().find("--repair"), std::string::npos) << run.err();
  EXPECT_EQ(session().try_exec("UPDATE orders SET amount = 2 WHERE id = 3"),
            kSuccess);

  session().exec("ALTER TABLE orders REPLICA IDENTITY DEFAULT");

  expect_run(0, "", script(), {"--repair"});
}

// The stream breaks at the next change, before the keeper looks: that was told
// as an internal error.
TEST_F(ExitCodeTest, ADroppedPublicationIsThreeAndRepaired) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  const std::string publication =
      superuser_session().query_value("SELECT pubname FROM pg_publication");
  session().exec(
      fmt::format("BEGIN; DROP PUBLICATION \"{}\"; UPDATE orders SET amount = "
                  "7 WHERE id = 3; UPDATE orders_twin SET amount = 7 WHERE id "
                  "= 3; COMMIT",
                  publication));

  EXPECT_EQ(run.wait(Deadline::in(kPatience)), kRefused) << run.output();

  EXPECT_NE(run.err().find("--repair"), std::string::npos) << run.err();
  resume({"--repair"});
  expect_migrated();
}

// It was called an internal error, to be reported.
TEST_F(ExitCodeTest, WhatSomebodysEventTriggerForbidsIsThreeAndGoesOnLater) {
  resume();
  Session superuser = superuser_session();
  superuser.exec(
      "CREATE FUNCTION no_drops() RETURNS event_trigger LANGUAGE plpgsql AS $$ "
      "BEGIN RAISE 'no drops today' USING HINT = 'Ask Ann.'; END $$;"
      "CREATE EVENT TRIGGER no_drops ON sql_drop EXECUTE FUNCTION no_drops()");
  const Texts finish = {"finish",      "--dsn",     dsn(),
                        "--state-dir", state_dir(), "orders"};

  std::string output;
  EXPECT_EQ(command(finish, &output), kRefused) << output;

  EXPECT_NE(output.find("no drops today"), std::string::npos) << output;
  EXPECT_NE(output.find("Ask Ann."), std::string::npos) << output;
  EXPECT_EQ(output.find("internal error"), std::string::npos) << output;
  superuser.exec("DROP EVENT TRIGGER no_drops");
  EXPECT_EQ(command(finish, &output), 0) << output;
}

TEST(ServerSettings, AServerThatCannotDecodeIsRefused) {
  PgCluster plain(PgCluster::Settings{{"wal_level", "replica"}});
  Session(plain.dsn()).exec("CREATE TABLE orders (id integer PRIMARY KEY)");

  Program run({"run", "--dsn", plain.dsn(), "--table", "orders", "--alter",
               "ALTER COLUMN id TYPE bigint", "--state-dir",
               plain.folder() + "/state", "--yes"});

  EXPECT_EQ(run.wait(), kRefused) << run.output();
  EXPECT_NE(run.err().find("wal_level"), std::string::npos) << run.err();
}

}  // namespace
}  // namespace pgrecast::test
