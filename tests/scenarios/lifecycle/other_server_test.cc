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

 private:
  PgCluster upgraded_;
};

TEST_F(OtherServerTest, AnUpgradedServerIsNoticedAndCopiedAgain) {
  stop_when_ready();
  upgrade();
  change(Session(upgraded_dsn()));

  expect_lost(start_there(), "this is another server");

  Session there(upgraded_dsn());
  EXPECT_EQ(there.query_value("SELECT (SELECT count(*) FROM pg_publication) ||"
                              " ' ' || (SELECT phase FROM pgrecast.migrations)"
                              " || ' ' || (SELECT count(*) FROM "
                              "pgrecast_orders.orders)"),
            "1 ready 12000");
  // Not --repair: defaults are stored anew by pg_upgrade, and so they are not
  // what the shadow was made for.
  Program restarted = start_there({"--restart"});
  EXPECT_EQ(restarted.wait(), 0) << restarted.output();
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
