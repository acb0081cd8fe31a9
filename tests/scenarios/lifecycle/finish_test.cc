// `pgrecast finish` leaves the new table, and nothing else that is new.

#include "scenarios/lifecycle/lifecycle.h"
#include "support/sync_standby.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <string>

namespace pgrecast::test {
namespace {

class FinishTest : public Lifecycle {
 protected:
  Texts finish() const {
    return {"finish", "--dsn", dsn(), "--state-dir", state_dir(), "orders"};
  }

  std::string retired_table() const {
    return superuser_session().query_value(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE tablename = 'orders' AND schemaname <> 'public'");
  }
};

TEST_F(FinishTest, NothingButTheNewShapeIsNew) {
  const std::vector<std::string> before = named_inventory(database());
  const std::string narrow = write_script(
      "orders", "ALTER TABLE orders ALTER COLUMN code TYPE varchar(40)");
  Program run = start_script(narrow);
  ASSERT_EQ(run.wait(), 0) << run.output();

  std::string output;
  ASSERT_EQ(command(finish(), &output), 0) << output;

  EXPECT_TRUE(no_session_left(database()));
  EXPECT_TRUE(nothing_in(state_dir()));
  const std::vector<std::string> expected = {
      "- column orders code character varying(20) t   ",
      "+ column orders code character varying(40) t   "};
  EXPECT_EQ(difference(before, named_inventory(database())), expected);
  // The next of that name begins anew.
  EXPECT_EQ(command({"status", "--dsn", dsn(), "orders"}), 3);
}

// They mention each other, so that neither could be dropped before the other.
TEST_F(FinishTest, TablesWhosePoliciesMentionEachOtherGoTogether) {
  session().exec(
      "CREATE TABLE marks (id int PRIMARY KEY, order_id bigint);"
      "CREATE POLICY known ON marks USING (EXISTS (SELECT FROM orders o WHERE "
      "o.id = order_id)); CREATE POLICY used ON orders USING (EXISTS (SELECT "
      "FROM marks m WHERE m.order_id = orders.id))");
  const std::string both =
      write_script("orders",
                   "ALTER TABLE orders ALTER COLUMN code TYPE varchar(40);"
                   "ALTER TABLE marks ALTER COLUMN id TYPE bigint");
  Program run = start_script(both);
  ASSERT_EQ(run.wait(), 0) << run.output();

  std::string output;
  ASSERT_EQ(command(finish(), &output), 0) << output;

  EXPECT_EQ(superuser_session().query_value(
                "SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                "'pgrecast%'"),
            "0");
}

TEST_F(FinishTest, WaitsForAReaderOfTheRetiredTableWithoutBlockingOthers) {
  resume();
  const std::string retired = retired_table();
  Session reader = session();
  reader.exec("BEGIN; SELECT FROM " + retired + " LIMIT 1");

  Program waiting(finish());
  waiting.wait_for_output("lock not granted, trying again.*attempt=2");
  Session other = session();
  // Longer than finish may queue, much shorter than the reader stays.
  other.exec("SET statement_timeout = '2s'");
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(other.try_exec("SELECT FROM " + retired + " LIMIT 1"), kSuccess);
  }
  EXPECT_TRUE(waiting.running());
  reader.exec("COMMIT");

  EXPECT_EQ(waiting.wait(Deadline::in(kPatience)), 0) << waiting.output();
  EXPECT_EQ(superuser_session().query_value(
                "SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                "'pgrecast%'"),
            "0");
}

TEST_F(FinishTest, StoppedWhileItWaitsItIsDoneByTheNext) {
  resume();
  Session reader = session();
  reader.exec("BEGIN; SELECT FROM " + retired_table() + " LIMIT 1");
  Program waiting(finish());
  waiting.wait_for_output("lock not granted, trying again");
  waiting.signal(SIGTERM);
  EXPECT_EQ(waiting.wait(Deadline::in(kPatience)), 4) << waiting.output();
  reader.exec("COMMIT");

  std::string output;
  EXPECT_EQ(command(finish(), &output), 0) << output;
}

TEST_F(FinishTest, WhatSomebodyMadeOfTheRetiredTableIsNamedAndKept) {
  resume();
  session().exec(fmt::format(
      "CREATE TABLE pgrecast_orders_retired.backup AS SELECT 42 AS kept;"
      "CREATE VIEW old_orders AS SELECT * FROM {}",
      retired_table()));

  std::string output;
  EXPECT_EQ(command(finish(), &output), 3) << output;

  EXPECT_NE(output.find("orders_retired.backup"), std::string::npos) << output;
  EXPECT_NE(output.find("old_orders"), std::string::npos) << output;
  EXPECT_EQ(
      session().query_value("SELECT kept FROM pgrecast_orders_retired.backup"),
      "42");
  EXPECT_EQ(session().query_value("SELECT count(*) FROM old_orders"), "12000");

  session().exec(
      "DROP VIEW old_orders;"
      "ALTER TABLE pgrecast_orders_retired.backup SET SCHEMA public");
  EXPECT_EQ(command(finish(), &output), 0) << output;
  EXPECT_EQ(session().query_value("SELECT kept FROM backup"), "42");
  expect_migrated();
}

// The process died right after the exchange, and nobody resumed it: the foreign
// keys stayed NOT VALID for ever.
TEST_F(FinishTest, DoesWhatWasPutOffByAProcessThatDied) {
  Program killed = start({}, {"PGRECAST_STOP_AT=cleanup:slot"});
  killed.wait();
  ASSERT_EQ(phase(), "exchanged");
  ASSERT_TRUE(no_session_left(database()));

  std::string output;
  EXPECT_EQ(command(finish(), &output), 0) << output;

  EXPECT_EQ(session().query_value(
                "SELECT count(*) || ' ' || count(*) FILTER (WHERE "
                "convalidated) FROM pg_constraint WHERE contype = 'f'"),
            "2 2");
  expect_migrated();
}

// Were the standby promoted without the exchange, the old table would be the
// live one again: what its migration needs is still there.
TEST_F(FinishTest, NothingIsRemovedBeforeTheSynchronousStandbyHasTheExchange) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  Session superuser = superuser_session();
  const auto left = [&] {
    return superuser.query_value(
        "SELECT (SELECT count(*) FROM pg_publication) || ' ' || (SELECT "
        "count(*) FROM pg_replication_slots WHERE database = "
        "current_database())");
  };
  {
    SyncStandby standby(cluster());
    standby.stall();
    EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);

    ASSERT_TRUE(eventually([&] {
      return superuser.query_value(
                 "SELECT count(*) FROM pg_stat_activity WHERE wait_event = "
                 "'SyncRep' AND application_name LIKE 'pgrecast orders % "
                 "control'") == "1";
    })) << run.output();

    EXPECT_EQ(phase(), "exchanged");
    EXPECT_EQ(left(), "1 1");
    EXPECT_TRUE(run.running());
    standby.resume();
    EXPECT_EQ(run.wait(), 0) << run.output();
  }
  EXPECT_EQ(left(), "0 0");
  EXPECT_EQ(phase(), "done");
}

TEST_F(FinishTest, BeforeTheExchangeIsRefused) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");

  std::string output;
  EXPECT_EQ(command(finish(), &output), 3);
  EXPECT_NE(output.find("phase ready"), std::string::npos) << output;

  run.signal(SIGTERM);
  EXPECT_EQ(run.wait(), 4);
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"}),
      0);
}

}  // namespace
}  // namespace pgrecast::test
