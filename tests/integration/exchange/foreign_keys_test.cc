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

class AddedForeignKeysTest : public ForeignKeysTest {
 protected:
  void SetUp() override {
    ForeignKeysTest::SetUp();
    admin_.exec(
        "CREATE TABLE \"U u\" (id int PRIMARY KEY); "
        "INSERT INTO \"U u\" SELECT generate_series(1, 9)");
    make_shadow("t");
  }

  static plan::AddedForeignKey key(const std::string& name,
                                   const std::string& referenced,
                                   const std::string& definition) {
    plan::AddedForeignKey added;
    added.name = name;
    added.columns = {"v"};
    added.referenced = {.schema = "public", .name = referenced};
    added.referenced_columns = {"id"};
    added.definition = definition;
    return added;
  }

  // t, of which the script adds a foreign key to "U u".
  ExchangeTable t_with_key() {
    ExchangeTable made = table("t");
    last_target().changes = {"adds a foreign key"};
    last_target().added_foreign_keys = {
        key("up", "U u", "FOREIGN KEY (v) REFERENCES public.\"U u\"(id)")};
    return made;
  }
};

TEST_F(AddedForeignKeysTest, AreMadeAsTheScriptSaysAndProved) {
  admin_.exec("CREATE TABLE other (id int PRIMARY KEY, v int)");
  make_shadow("other");
  const ExchangeTable t = t_with_key();
  auto& of_t = last_target().added_foreign_keys;
  of_t[0].comment = "it's up";
  of_t.push_back(key("self", "t",
                     "FOREIGN KEY (v) REFERENCES public.t(id) ON DELETE "
                     "CASCADE DEFERRABLE"));
  of_t[1].validated = false;
  const ExchangeTable other = table("other");
  last_target().changes = {"adds a foreign key"};
  last_target().added_foreign_keys = {
      key("to t", "t", "FOREIGN KEY (v) REFERENCES public.t(id)")};
  last_target().added_foreign_keys[0].comment = "commented";

  exchange({t, other});

  EXPECT_EQ(definitions(),
            "t self FOREIGN KEY (v) REFERENCES t(id) ON DELETE CASCADE "
            "DEFERRABLE NOT VALID f f\n"
            "other to t FOREIGN KEY (v) REFERENCES t(id) t f commented\n"
            "t up FOREIGN KEY (v) REFERENCES \"U u\"(id) t f it's up");
  EXPECT_EQ(admin_.try_exec("UPDATE t SET v = 77"), "23503");
  EXPECT_EQ(admin_.try_exec("DELETE FROM \"U u\" WHERE id = 2"), "23503");
}

TEST_F(AddedForeignKeysTest, FindWhatTheyReferToOrNothingIsExchanged) {
  const ExchangeTable t = t_with_key();
  Session other = session();
  for (const char* lost : {"ALTER TABLE \"U u\" DROP CONSTRAINT \"U u_pkey\"",
                           "DROP TABLE \"U u\""}) {
    admin_.exec(lost);
    try {
      attempt({t});
      ADD_FAILURE() << lost;
    } catch (const ExchangeRefused& refused) {
      EXPECT_THAT(refused.differences(),
                  ::testing::ElementsAre(::testing::MatchesRegex(
                      "foreign key up of public.t: public.U u (has no unique "
                      "constraint on .id. any more|is gone)")));
    }
    EXPECT_EQ(oid("public", "t"), t.source_oid);
    EXPECT_EQ(other.try_exec("BEGIN; LOCK TABLE t NOWAIT; ROLLBACK"), kSuccess);
  }
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
