// A row that differs again after each refresh is none that a run mends: it
// ends with a code of its own, and exchanges nothing.

#include "scenarios/lifecycle/lifecycle.h"

#include <gmock/gmock.h>

#include <csignal>
#include <string>

namespace pgrecast::test {
namespace {

using ::testing::HasSubstr;

constexpr int kVerificationFailed = 6;

class VerificationFailedTest : public Lifecycle {
 protected:
  // A trigger that spoils row 77, which the load leaves alone, whenever
  // somebody puts it into the shadow: ours, unlike all others, fires under
  // session_replication_role = replica.
  void spoil_shadow() {
    superuser_session().exec(R"sql(
      CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN new.amount := new.amount + 1; RETURN new; END';
      CREATE TRIGGER spoiled BEFORE INSERT ON pgrecast_orders.orders
        FOR EACH ROW WHEN (new.id = 77) EXECUTE FUNCTION public.spoil();
      ALTER TABLE pgrecast_orders.orders ENABLE ALWAYS TRIGGER spoiled)sql");
  }

  void run_into_it() {
    Program run = start({}, {"PGRECAST_FREEZE_AT=prepare:x0"});
    run.wait_until_frozen();
    live_ = session().query_value("SELECT 'orders'::regclass::oid");
    spoil_shadow();
    run.signal(SIGCONT);
    expect_failed(run);
  }

  // And nobody verifies.
  void wait_until_refresh_is_held() {
    Session superuser = superuser_session();
    EXPECT_TRUE(eventually([&] {
      return superuser.query_value(
                 "SELECT COALESCE(bool_or(wait_event_type = 'Lock' AND "
                 "application_name LIKE '% refresh'), false) AND NOT "
                 "bool_or(application_name LIKE '% verify') FROM "
                 "pg_stat_activity WHERE datname = current_database()") == "t";
    }));
  }

  static void expect_failed(Program& run) {
    EXPECT_EQ(run.wait(), kVerificationFailed) << run.output();
    EXPECT_THAT(run.err(), HasSubstr("verification failed: rows still differ"));
    EXPECT_THAT(run.err(), HasSubstr("these rows differ:"));
    EXPECT_THAT(run.err(), HasSubstr("public.orders (77):"));
  }

  std::string live_;  // the OID of the table
};

TEST_F(VerificationFailedTest, ARowThatDiffersAgainAndAgainIsSixAndNamed) {
  start_load();
  run_into_it();

  EXPECT_EQ(phase(), "verifying");
  EXPECT_EQ(session().query_value("SELECT 'orders'::regclass::oid"), live_);

  superuser_session().exec("DROP FUNCTION public.spoil() CASCADE");
  resume();
  expect_migrated();
}

// A pass excuses a dirty row, for it is refreshed after it was compared. So did
// the one that came after a difference, before that was refreshed: the row was
// never compared again, and taken for verified.
TEST_F(VerificationFailedTest, ARowIsNotExcusedForHavingDifferedBefore) {
  run_into_it();
  // The next pass would begin with the row dirty, and end before its refresh.
  Session somebody = superuser_session();
  somebody.exec("BEGIN; LOCK TABLE pgrecast_orders.orders IN SHARE MODE");
  session().exec("UPDATE orders SET amount = amount WHERE id = 77");

  Program again = start();
  wait_until_refresh_is_held();
  somebody.exec("ROLLBACK");

  expect_failed(again);
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"}),
      0);
}

}  // namespace
}  // namespace pgrecast::test
