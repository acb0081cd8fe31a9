// What others do to that which hangs off a table, in the last moments of an
// exchange, by commands that no lock on a table keeps out: the server tells
// them that they were too late. It went to the old table, and was lost.

#include "pgrecast/base/sync_point.h"

#include "exchange_fixture.h"
#include "support/eventually.h"

#include <future>

namespace pgrecast::exchange {
namespace {

using Outcome = Attempt::Outcome;
using test::eventually;
using test::Session;

struct Late {
  const char* name;
  const char* sql;
  const char* is_there = "SELECT false";  // where it is done all the same
};

class HeldDependents : public ExchangeFixture,
                       public ::testing::WithParamInterface<Late> {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    make_orders();
    admin_.exec(R"sql(
CREATE STATISTICS pairs (ndistinct) ON customer, note FROM orders;
CREATE FUNCTION total() RETURNS numeric LANGUAGE sql
  BEGIN ATOMIC SELECT sum(amount) FROM orders; END;
ALTER TABLE orders SET (fillfactor = 70, parallel_workers = 2),
  ALTER note SET (n_distinct = -0.5, n_distinct_inherited = 7);
ALTER TABLE m.orders SET (fillfactor = 70, parallel_workers = 2),
  ALTER note SET (n_distinct = -0.5, n_distinct_inherited = 7))sql");
  }

  // Sends it when all is ready to be replayed; it must wait for us.
  void exchange_meanwhile(Session& other, const std::string& sql) {
    const ExchangeTable orders = table();
    std::future<Attempt> exchanging;
    {
      Stall stall("exchange:held");
      exchanging =
          std::async(std::launch::async, [&] { return attempt({orders}); });
      stall.wait_until_reached();
      other.send(sql);
      EXPECT_TRUE(eventually([&] { return waits(other.backend_pid()); }));
    }
    const Attempt done = exchanging.get();
    ASSERT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
  }
};

TEST_P(HeldDependents, AreNotAlteredBehindTheExchangesBack) {
  Session other = session();

  exchange_meanwhile(other, GetParam().sql);

  try {
    other.wait();
    EXPECT_EQ(value(GetParam().is_there), "t") << "lost";
  } catch (const test::SqlFailure& failure) {
    EXPECT_EQ(failure.sqlstate(), "XX000") << failure.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, HeldDependents,
    ::testing::Values(
        Late{"Grant", "GRANT SELECT ON orders TO pg_monitor",
             "SELECT has_table_privilege('pg_monitor', 'orders', 'SELECT')"},
        Late{"GrantOnAColumn", "GRANT SELECT (note) ON orders TO pg_monitor",
             "SELECT has_column_privilege('pg_monitor', 'orders', 'note', "
             "'SELECT')"},
        Late{"AlteredFunction", "ALTER FUNCTION total SECURITY DEFINER"},
        Late{"ReplacedFunction",
             "CREATE OR REPLACE FUNCTION total() RETURNS numeric LANGUAGE sql "
             "BEGIN ATOMIC SELECT 1; END"},
        Late{"StatisticsTarget", "ALTER STATISTICS pairs SET STATISTICS 7"}),
    [](const auto& late) { return late.param.name; });

// It waits for the name's end, and then means the statistics of the new table.
TEST_F(HeldDependents, ACommentOnStatisticsIsOnThoseOfTheNewTable) {
  Session other = session();

  exchange_meanwhile(other, "COMMENT ON STATISTICS pairs IS 'late'");

  other.wait();
  EXPECT_EQ(value("SELECT obj_description(oid, 'pg_statistic_ext') FROM "
                  "pg_statistic_ext WHERE stxrelid = 'orders'::regclass"),
            "late");
}

// Somebody has begun to alter a function: he is not overwritten.
TEST_F(HeldDependents, WhoAltersAFunctionAlreadyIsNotOverwritten) {
  const ExchangeTable orders = table();
  Session other = session();
  other.exec("BEGIN; ALTER FUNCTION total SECURITY DEFINER");

  EXPECT_EQ(attempt({orders}).outcome, Outcome::kLockNotGranted);
  other.exec("COMMIT");
  exchange({orders});

  EXPECT_EQ(value("SELECT prosecdef FROM pg_proc WHERE proname = 'total'"),
            "t");
}

}  // namespace
}  // namespace pgrecast::exchange
