// The tables, the state and our folder are there, and yet it is another server:
// pg_upgrade has made it meanwhile, and the old one's slot is not in it.

#include "scenarios/lifecycle/lost.h"

#include <string>

namespace pgrecast::test {
namespace {

class OtherServerTest : public Lost {
 protected:
  void TearDown() override {
    if (!cluster().running()) cluster().start();
    EXPECT_EQ(command({"abort", "--dsn", dsn(), "--state-dir", state_dir(),
                       "orders"}),
              0);
  }

  // Returns with the old server down and the new one up.
  void upgrade() {
    cluster().upgrade_into(upgraded_);
    upgraded_.start();
  }

  std::string upgraded_dsn() {
    return upgraded_.dsn(database().name(), database().role());
  }

  Program start_there(const Texts& options = {}) {
    Texts arguments{"run",    "--dsn",       upgraded_dsn(),
                    script(), "--state-dir", state_dir(),
                    "--yes",  "--progress",  "none"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return Program(arguments);
  }

  void expect_refused(const std::string& words) {
    Program refused = start_there({"--repair"});
    EXPECT_EQ(refused.wait(), 3) << refused.output();
    EXPECT_THAT(refused.err(), ::testing::HasSubstr(words));
  }

 private:
  PgCluster upgraded_;
};

// It has stored defaults and indexes anew: what is printed tells that they are
// the same, and somebody's change that they are not.
TEST_F(OtherServerTest, AnUpgradedServerIsNoticedAndRepaired) {
  stop_when_ready();
  upgrade();
  Session there(upgraded_dsn());
  change(Session(upgraded_dsn()));

  expect_lost(start_there(), "this is another server");
  EXPECT_EQ(there.query_value("SELECT (SELECT count(*) FROM pg_publication) ||"
                              " ' ' || (SELECT phase FROM pgrecast.migrations)"
                              " || ' ' || (SELECT count(*) FROM "
                              "pgrecast_orders.orders)"),
            "1 ready 12000");

  there.exec("ALTER TABLE orders ALTER placed SET DEFAULT '2027-07-07'");
  expect_refused("column placed is '");
  there.exec("ALTER TABLE orders ALTER placed SET DEFAULT '2026-01-01'");
  there.exec(
      "ALTER TABLE pgrecast.tables ADD kept text;"
      "UPDATE pgrecast.tables SET kept = fingerprint, fingerprint ="
      " (fingerprint::jsonb - 'printed')::text");
  expect_refused("--restart");
  there.exec(
      "UPDATE pgrecast.tables SET fingerprint = kept;"
      "ALTER TABLE pgrecast.tables DROP kept");

  Program repaired = start_there({"--repair"});
  EXPECT_EQ(repaired.wait(), 0) << repaired.output();
  EXPECT_THAT(repaired.err(), ::testing::HasSubstr("rows differed"));
  EXPECT_EQ(there.query_value(
                "WITH expected AS (SELECT id::bigint, customer, code::text,"
                " amount, placed, 'new' AS state FROM orders_twin)"
                " SELECT count(*) FROM ("
                " (TABLE expected EXCEPT ALL TABLE orders) UNION ALL"
                " (TABLE orders EXCEPT ALL TABLE expected)) d"),
            "0");
}

}  // namespace
}  // namespace pgrecast::test
