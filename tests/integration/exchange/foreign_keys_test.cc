#include "exchange_fixture.h"

#include <thread>

namespace pgrecast::exchange {
namespace {

using test::eventually;
using test::kSuccess;
using test::Session;
using Outcome = Attempt::Outcome;

class ForeignKeysTest : public ExchangeFixture {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    admin_.exec(
        "CREATE TABLE public.t (id int PRIMARY KEY, v int, w text); "
        "INSERT INTO t SELECT g, g, 'w' FROM generate_series(1, 9) g");
  }

  std::string definitions() {
    return value(
        "SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, "
        "pg_get_constraintdef(oid), convalidated, conparentid <> 0, "
        "obj_description(oid)), E'\\n' ORDER BY conname, conrelid) "
        "FROM pg_constraint WHERE contype = 'f'");
  }
};

TEST_F(ForeignKeysTest, EveryKindIsMadeAgainAsItWas) {
  admin_.exec(R"sql(
CREATE TABLE pair (a int, "B b" int, PRIMARY KEY (a, "B b"));
ALTER TABLE t ADD a int, ADD b int, ADD UNIQUE (id, v);
ALTER TABLE t
  ADD CONSTRAINT full_ FOREIGN KEY (a, b) REFERENCES pair MATCH FULL
    ON UPDATE CASCADE ON DELETE SET DEFAULT,
  ADD CONSTRAINT late FOREIGN KEY (a, b) REFERENCES pair
    DEFERRABLE INITIALLY DEFERRED,
  ADD CONSTRAINT swapped FOREIGN KEY (b, a) REFERENCES pair ("B b", a)
    ON DELETE RESTRICT DEFERRABLE,
  ADD CONSTRAINT "not v" FOREIGN KEY (a, b) REFERENCES pair NOT VALID,
  ADD CONSTRAINT self FOREIGN KEY (a, b) REFERENCES t (id, v);
CREATE TABLE child (x int, y int,
  CONSTRAINT "in" FOREIGN KEY (x, y) REFERENCES t (id, v) ON DELETE SET NULL);
CREATE TABLE parts (x int, y int, CONSTRAINT "of parts" FOREIGN KEY (x, y)
  REFERENCES t (id, v) ON UPDATE CASCADE DEFERRABLE) PARTITION BY LIST (x);
COMMENT ON CONSTRAINT "of parts" ON parts IS 'of all';
CREATE TABLE "Parts 1" PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts DEFAULT PARTITION BY HASH (y);
CREATE TABLE parts_2_all PARTITION OF parts_2 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO parts VALUES (1, 1), (2, 2))sql");
  if (cluster().version() >= 15) {
    admin_.exec(
        "ALTER TABLE t ADD CONSTRAINT partly FOREIGN KEY (a, b) REFERENCES "
        "pair ON DELETE SET NULL (b)");
  }
  if (cluster().version() >= 18) {
    admin_.exec(
        "ALTER TABLE t ADD CONSTRAINT loose FOREIGN KEY (a, b) REFERENCES "
        "pair NOT ENFORCED");
  }
  make_shadow("t");
  const std::string before = definitions();

  exchange({table("t")});

  EXPECT_EQ(definitions(), before);
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND "
                  "'\"m-old\".t'::regclass IN (conrelid, confrelid)"),
            "0");
}

// The exchange locks t first, its OID being the lower one, and then waits for
// `other`, which the writer holds; who then comes for t.  Had the exchange not
// let go before the server looks for deadlocks, the writer could have been the
// one to pay.
TEST_F(ForeignKeysTest, AWriterThatLocksInTheOtherOrderIsNobodysVictim) {
  admin_.exec(
      "CREATE TABLE other (id int PRIMARY KEY, t int REFERENCES t); "
      "INSERT INTO other VALUES (1, 1)");
  make_shadow("t");
  make_shadow("other");
  const auto both = {table("t"), table("other")};
  options_.lock_timeout = std::chrono::hours(1);
  options_.long_holder = std::chrono::hours(1);
  options_.budget = std::chrono::hours(1);
  Session writer = session();
  writer.exec("BEGIN; UPDATE other SET id = id");
  const int our_pid = connection_.backend_pid();
  Attempt done;
  std::thread waiting([&] { done = attempt(both); });
  EXPECT_TRUE(eventually([&] { return waits(our_pid); }));

  writer.send("UPDATE t SET v = v WHERE id = 1");
  EXPECT_NO_THROW(writer.wait());
  EXPECT_EQ(writer.try_exec("COMMIT"), kSuccess);
  waiting.join();

  EXPECT_EQ(done.outcome, Outcome::kLockNotGranted);
  EXPECT_EQ(attempt(both).outcome, Outcome::kExchanged);
}

// A vacuum gives way to whoever has waited for deadlock_timeout, and a lock
// that is to be had within less never sees it do so.
TEST_F(ForeignKeysTest, AnAutovacuumOfTheTableAtTheOtherEndGivesWay) {
  admin_.exec(
      "CREATE TABLE parent (id int PRIMARY KEY, w text) WITH "
      "(autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, "
      "autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_cost_delay = 100); "
      "INSERT INTO parent SELECT g, repeat('w', 500) "
      "FROM generate_series(1, 20000) AS g; "
      "ALTER TABLE t ADD CONSTRAINT up FOREIGN KEY (v) REFERENCES parent");
  make_shadow("t");
  const ExchangeTable t = table("t");
  admin_.exec("DELETE FROM parent WHERE id > 100 AND id % 3 = 0");
  cluster().set("autovacuum_naptime", "1s");
  const bool vacuumed = eventually([&] {
    return admin_.query_value(
               "SELECT count(*) FROM pg_stat_activity WHERE backend_type = "
               "'autovacuum worker' AND query LIKE '%VACUUM%public.parent%'") !=
           "0";
  });

  const Attempt done = attempt({t});

  cluster().set("autovacuum_naptime", "");
  EXPECT_TRUE(vacuumed);
  EXPECT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
}

}  // namespace
}  // namespace pgrecast::exchange
