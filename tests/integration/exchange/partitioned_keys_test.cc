// Foreign keys to partitioned tables, from plain and from partitioned ones.

#include "pgrecast/exchange/planned_locks.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/leaf_keys.h"
#include "pgrecast/plan/partitions.h"

#include "exchange_fixture.h"
#include "support/manual.h"

#include <set>

namespace pgrecast::exchange {
namespace {

using test::kSuccess;
using Outcome = Attempt::Outcome;

constexpr const char* kForeignKeyViolation = "23503";
constexpr int kTakesWholeNotValid = 18;

class PartitionedKeysTest : public ExchangeFixture {
 protected:
  // Partitioned by its id, in a schema.
  void make_partitioned(const std::string& schema, const std::string& columns,
                        const std::string& name = "t") {
    admin_.exec(fmt::format(
        R"sql(
CREATE TABLE {0}.{2} ({1}, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE {0}.{2}_low PARTITION OF {0}.{2} FOR VALUES FROM (MINVALUE) TO (50);
CREATE TABLE {0}.{2}_high PARTITION OF {0}.{2} DEFAULT PARTITION BY HASH (id);
CREATE TABLE {0}.{2}_all PARTITION OF {0}.{2}_high
  FOR VALUES WITH (MODULUS 1, REMAINDER 0))sql",
        schema, columns, name));
  }

  // The new table of the same name, partitioned, with the same rows.
  ExchangeTable to_partitioned(const std::string& columns) {
    make_partitioned("m", columns);
    admin_.exec("INSERT INTO m.t SELECT * FROM public.t");
    ExchangeTable made = table("t");
    last_target().changes = {"becomes partitioned"};
    last_target().partitions =
        plan::read_partitions(connection_, made.shadow_oid);
    last_target().source_partitions =
        plan::partition_shape(connection_, made.source_oid);
    return made;
  }

  // All but the parts that the server makes of them.
  std::string keys() {
    return value(
        "SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, "
        "pg_get_constraintdef(oid), convalidated, obj_description(oid)), "
        "E'\\n' ORDER BY conrelid::regclass::text, conname) "
        "FROM pg_constraint WHERE contype = 'f' AND conparentid = 0");
  }

  // Twice, as after a crash. None but VALIDATE reads a row.
  void finish(const Attempt& done) {
    for (const std::string& statement : done.afterwards) {
      const bool reads = statement.starts_with("ALTER TABLE");
      pg::Transaction transaction(connection_);
      const std::string before = scans();
      connection_.exec(statement);
      if (!reads) {
        EXPECT_EQ(scans(), before) << statement;
      }
      transaction.commit();
      connection_.exec(statement);
    }
  }

  std::string scans() {
    return std::string(connection_
                           .exec("SELECT pg_catalog.sum(seq_scan) || ' ' || "
                                 "pg_catalog.sum(COALESCE(idx_scan, 0)) FROM "
                                 "pg_catalog.pg_stat_xact_user_tables")
                           .text(0, 0));
  }
};

TEST_F(PartitionedKeysTest, GoAlongWithATableThatBecomesPartitioned) {
  admin_.exec(R"sql(
CREATE TABLE public.t (id int PRIMARY KEY, up int);
ALTER TABLE t ADD CONSTRAINT self FOREIGN KEY (up) REFERENCES t
  ON DELETE SET NULL;
COMMENT ON CONSTRAINT self ON t IS 'above';
INSERT INTO t SELECT g, nullif(g - 1, 0) FROM generate_series(1, 100) AS g;
CREATE TABLE child (n int PRIMARY KEY, t int,
  CONSTRAINT gone FOREIGN KEY (t) REFERENCES t ON DELETE CASCADE
    DEFERRABLE INITIALLY DEFERRED);
COMMENT ON CONSTRAINT gone ON child IS 'it''s a child';
CREATE TABLE loose (t int);
INSERT INTO loose VALUES (1000);
ALTER TABLE loose ADD CONSTRAINT loose FOREIGN KEY (t) REFERENCES t NOT VALID;
CREATE TABLE parts (n int, t int CONSTRAINT up REFERENCES t)
  PARTITION BY LIST (n);
COMMENT ON CONSTRAINT up ON parts IS 'of all';
CREATE TABLE "Parts 1" PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts DEFAULT PARTITION BY HASH (n);
CREATE TABLE parts_2_all PARTITION OF parts_2
  FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE empty (n int, t int REFERENCES t) PARTITION BY LIST (n);
INSERT INTO child VALUES (1, 10), (2, 90);
INSERT INTO parts VALUES (1, 20), (2, 80))sql");
  const ExchangeTable t = to_partitioned("id int, up int");
  const std::string before = keys();

  const Attempt done = attempt({t});

  // Enforced at both ends by now.
  ASSERT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
  for (const char* orphan :
       {"INSERT INTO child VALUES (3, 1000)", "INSERT INTO loose VALUES (1000)",
        "INSERT INTO parts VALUES (1, 1000)",
        "INSERT INTO parts VALUES (7, 1000)", "INSERT INTO t VALUES (0, 1000)",
        "INSERT INTO t VALUES (101, 1000)", "DELETE FROM t WHERE id = 20",
        "DELETE FROM t WHERE id = 80"}) {
    EXPECT_EQ(admin_.try_exec(orphan), kForeignKeyViolation) << orphan;
  }
  admin_.exec("DELETE FROM t WHERE id IN (10, 90)");
  EXPECT_EQ(value("SELECT count(*) FROM child"), "0");
  EXPECT_EQ(value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t WHERE "
                  "up IS NULL"),
            "1 11 91");

  finish(done);
  EXPECT_EQ(keys(), before);
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND "
                  "'\"m-old\".t'::regclass IN (conrelid, confrelid)"),
            "0");
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND "
                  "conrelid <> 0"),
            "0");
  EXPECT_EQ(admin_.try_exec("INSERT INTO parts VALUES (7, 1000)"),
            kForeignKeyViolation);
  EXPECT_EQ(admin_.try_exec("DELETE FROM t WHERE id = 80"),
            kForeignKeyViolation);
}

// Whose catalogs must be as if the keys had been made by hand, at once.
TEST_F(PartitionedKeysTest, LeadFromOnePartitionedTableToAnother) {
  make_partitioned("public", "id int, up int, o int");
  make_partitioned("public", "id int", "other");
  make_partitioned("public", "id int, t int", "lines");
  admin_.exec(R"sql(
INSERT INTO other SELECT generate_series(1, 100);
INSERT INTO t SELECT g, g, g FROM generate_series(1, 100) AS g;
INSERT INTO lines SELECT g, g FROM generate_series(1, 100) AS g)sql");
  const std::string by_hand = R"sql(
ALTER TABLE t ADD CONSTRAINT self FOREIGN KEY (up) REFERENCES t
  ON DELETE CASCADE, ADD CONSTRAINT to_other FOREIGN KEY (o) REFERENCES other
  ON UPDATE CASCADE DEFERRABLE;
ALTER TABLE lines ADD CONSTRAINT to_t FOREIGN KEY (t) REFERENCES t;
COMMENT ON CONSTRAINT to_t ON lines IS 'lines')sql";
  admin_.exec(by_hand);
  const ExchangeTable t = to_partitioned("id int, up int, o int");
  const std::string before = keys();
  // connoinherit is left out: see carried.md on leaves.
  const char* const catalogs =
      "SELECT string_agg(concat_ws(' ', conrelid::regclass, "
      "confrelid::regclass, convalidated, coninhcount, conislocal, "
      "conparentid <> 0, (SELECT string_agg(tgrelid::regclass || ' ' || "
      "tgfoid::regproc || ' ' || tgtype || ' ' || (tgparentid <> 0), ' ' ORDER "
      "BY tgrelid::regclass::text, tgfoid, tgtype) FROM pg_trigger WHERE "
      "tgconstraint = c.oid)), E'\\n' ORDER BY conrelid::regclass::text, "
      "confrelid::regclass::text) FROM pg_constraint c WHERE contype = 'f'";

  const Attempt done = attempt({t});

  ASSERT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
  for (const char* orphan :
       {"INSERT INTO lines VALUES (0, 1000)",
        "INSERT INTO lines VALUES (101, 1000)",
        "INSERT INTO t VALUES (0, 1, 1000)",
        "INSERT INTO t VALUES (101, 1000, 1)", "DELETE FROM other WHERE id = 3",
        "DELETE FROM t WHERE id = 70"}) {
    EXPECT_EQ(admin_.try_exec(orphan), kForeignKeyViolation) << orphan;
  }
  finish(done);
  EXPECT_EQ(keys(), before);
  EXPECT_EQ(admin_.try_exec("DELETE FROM t WHERE id = 70"),
            kForeignKeyViolation);
  EXPECT_EQ(admin_.try_exec("UPDATE other SET id = 1070 WHERE id = 70"),
            kSuccess);
  EXPECT_EQ(value("SELECT o FROM t WHERE id = 70"), "1070");

  const std::string ours = value(catalogs);
  admin_.exec(
      "ALTER TABLE lines DROP CONSTRAINT to_t; ALTER TABLE t DROP CONSTRAINT "
      "self, DROP CONSTRAINT to_other");
  admin_.exec(by_hand);
  EXPECT_EQ(ours, value(catalogs));
}

// A row that was written past the key: the whole is not made, or not validated,
// which would look at all rows under a lock that stops writers.
TEST_F(PartitionedKeysTest, AreNotTheWholeTablesWhileALeafBreaksThem) {
  make_partitioned("public", "id int, up int");
  admin_.exec("INSERT INTO t VALUES (1, 1), (60, 60)");
  admin_.exec(
      "ALTER TABLE t ADD CONSTRAINT self FOREIGN KEY (up) REFERENCES t");
  const ExchangeTable t = to_partitioned("id int, up int");
  admin_.exec("UPDATE m.t SET up = 77 WHERE id = 60");

  const Attempt done = attempt({t});

  ASSERT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
  const auto run = [&] {
    int broken = 0;
    for (const std::string& statement : done.afterwards) {
      broken += admin_.try_exec(statement) == kForeignKeyViolation ? 1 : 0;
    }
    return broken;
  };
  const char* const valid_wholes =
      "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = "
      "'t'::regclass AND conparentid = 0 AND convalidated";
  EXPECT_EQ(run(), 1);
  EXPECT_EQ(value(valid_wholes), "0");
  admin_.exec("UPDATE t SET up = 1 WHERE id = 60");
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(value(valid_wholes), "1");
}

// The server calls the parts of the first key as the second is called (before
// 18; and as the third, from then on). An heir may have another of that name.
TEST_F(PartitionedKeysTest, KeepTheirNamesFromThePartsOfOthers) {
  admin_.exec(R"sql(
CREATE TABLE public.t (id int PRIMARY KEY);
CREATE TABLE child (t int, CONSTRAINT twice FOREIGN KEY (t) REFERENCES t,
  CONSTRAINT child_t_fkey FOREIGN KEY (t) REFERENCES t,
  CONSTRAINT twice_1 FOREIGN KEY (t) REFERENCES t);
CREATE TABLE heir (CONSTRAINT child_t_fkey CHECK (t > 0)) INHERITS (child))sql");
  const ExchangeTable t = to_partitioned("id int");
  const std::string before = keys();

  exchange({t});

  EXPECT_EQ(keys(), before);
}

// The server calls the part of such a partition otherwise, when all are made at
// once; the exchange could not, and failed.
TEST_F(PartitionedKeysTest, AreRefusedWhereAPartitionHasAnotherOfTheirName) {
  make_partitioned("public", "id int, up int");
  admin_.exec(
      "ALTER TABLE t_low ADD CONSTRAINT far CHECK (up > 0);"
      "CREATE TABLE other (id int PRIMARY KEY);"
      "ALTER TABLE t ADD CONSTRAINT far FOREIGN KEY (up) REFERENCES other");
  const auto refused = plan::unfit_leaf_keys(
      connection_,
      {{.source = oid("public", "other"), .target = oid("public", "other")}});

  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].what,
            "constraint far on table public.t cannot be made again: partition "
            "public.t_low has a constraint far of its own");
  EXPECT_TRUE(test::is_in_manual(refused[0].what));
}

TEST_F(PartitionedKeysTest, LockWhatThePlanSays) {
  make_partitioned("public", "id int, up int");
  make_partitioned("public", "id int, t int", "lines");
  make_partitioned("public", "id int", "other");
  admin_.exec(R"sql(
CREATE TABLE child (t int REFERENCES t);
ALTER TABLE lines ADD FOREIGN KEY (t) REFERENCES t;
ALTER TABLE t ADD FOREIGN KEY (up) REFERENCES other)sql");
  const ExchangeTable t = to_partitioned("id int, up int");
  const PlannedLocks planned =
      planned_locks(connection_, {t}, options_.own_publication);
  std::set<std::string> others;
  for (const auto& name : planned.others) others.insert(name.display());
  EXPECT_THAT(others, ::testing::ElementsAre("public.child", "public.lines",
                                             "public.other"));
  int by_leaves = 0;
  for (const auto& each : planned.validations) by_leaves += each.by_leaves;
  EXPECT_EQ(by_leaves, cluster().version() < kTakesWholeNotValid ? 2 : 0);

  // Whatever it locks at all, partitions too, it has locked before.
  std::string more;
  std::string exclusive;
  ExchangeHooks hooks;
  const auto locked = [&](pg::Connection& session, const std::string& modes) {
    return value(fmt::format(
        "SELECT string_agg(DISTINCT c.relname, ' ' ORDER BY c.relname) FROM "
        "pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = {} AND "
        "c.relkind IN ('r', 'p') AND c.oid >= 16384 AND l.mode {}",
        session.backend_pid(), modes));
  };
  hooks.check = [&](pg::Connection& session) {
    exclusive = locked(session, "= 'AccessExclusiveLock'");
  };
  hooks.record = [&](pg::Connection& session, const auto& /*afterwards*/) {
    more = locked(session, "NOT IN ('AccessShareLock', 'RowExclusiveLock')");
  };
  const Attempt done = attempt({t}, hooks);
  ASSERT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
  EXPECT_EQ(more, exclusive);
  EXPECT_EQ(exclusive,
            "child lines lines_all lines_high lines_low other other_all "
            "other_high other_low t t_all t_high t_low");

  // Afterwards, as report_locks.cc says it of `by_leaves`; which of the two
  // trees' tables, depends on the version.
  std::set<std::string> locked_to_the_end;
  for (const std::string& statement : done.afterwards) {
    pg::Transaction transaction(connection_);
    connection_.exec(statement);
    locked_to_the_end.insert(locked(connection_, "= 'AccessExclusiveLock'"));
    transaction.commit();
  }
  locked_to_the_end.erase("(null)");
  EXPECT_EQ(locked_to_the_end.size(),
            cluster().version() < kTakesWholeNotValid ? 2U : 0U);
}

class LeafKeysTest : public PartitionedKeysTest {
 protected:
  void SetUp() override {
    PartitionedKeysTest::SetUp();
    if (cluster().version() >= kTakesWholeNotValid) {
      GTEST_SKIP() << "takes foreign keys NOT VALID on the whole";
    }
  }
};

// It had no key until the whole table got its own, which looked at its rows
// under a stronger lock.
TEST_F(LeafKeysTest, ArriveAtAPartitionThatCameSinceTheExchange) {
  admin_.exec(R"sql(
CREATE TABLE public.other (id int PRIMARY KEY);
CREATE TABLE t (id int PRIMARY KEY, up int CONSTRAINT far REFERENCES other)
  PARTITION BY RANGE (id);
CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (50);
INSERT INTO other VALUES (1); INSERT INTO t VALUES (1, 1))sql");
  make_shadow("other");
  const Attempt done = attempt({table("other")});
  ASSERT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
  admin_.exec(
      "CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (50) TO (99);"
      "INSERT INTO t VALUES (60, 2)");
  const std::string& whole = done.afterwards.back();
  for (const std::string& statement : done.afterwards) {
    if (statement != whole) connection_.exec(statement);
  }

  EXPECT_THROW(connection_.exec(whole), pg::SqlError);
  EXPECT_EQ(
      value("SELECT count(*) FROM pg_constraint WHERE conname = 'far' AND "
            "conrelid = 't'::regclass"),
      "0");
  admin_.exec("INSERT INTO other VALUES (2)");
  connection_.exec(whole);

  EXPECT_EQ(
      value("SELECT string_agg(conrelid::regclass::text, ' ' ORDER BY "
            "conrelid::regclass::text) FROM pg_constraint WHERE conname = "
            "'far' AND convalidated"),
      "t t_high t_low");
}

// As many as 32 leaves to 32 partitions.
TEST_F(LeafKeysTest, OfTooManyPartsAreRefused) {
  const auto split = [&](const std::string& name) {
    admin_.exec(fmt::format(
        R"sql(
CREATE TABLE {0} (id int PRIMARY KEY, up int) PARTITION BY HASH (id);
DO $$ BEGIN FOR i IN 0 .. 31 LOOP
  EXECUTE format('CREATE TABLE {0}_%s PARTITION OF {0} FOR VALUES WITH '
                 '(MODULUS 32, REMAINDER %s)', i, i);
END LOOP; END $$)sql",
        name));
  };
  split("t");
  split("other");
  admin_.exec(
      "ALTER TABLE t ADD CONSTRAINT far FOREIGN KEY (up) REFERENCES "
      "other");
  catalog::Reshaped t{.source = oid("public", "t"),
                      .target = oid("public", "t")};
  const auto refused = plan::unfit_leaf_keys(connection_, {t});

  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(
      refused[0].what,
      "constraint far on table public.t leads from 32 leaves to 32 partitions: "
      "more than 1000 parts of it would have to be made under the lock");
  EXPECT_TRUE(test::is_in_manual(refused[0].what));
  t.dropped_foreign_keys = {"far"};
  EXPECT_TRUE(plan::unfit_leaf_keys(connection_, {t}).empty());
  t.dropped_foreign_keys.clear();
  t.target = oid("public", "t_1");  // becomes a plain table
  EXPECT_TRUE(plan::unfit_leaf_keys(connection_, {t}).empty());
}

TEST(LeafKeys, AreTakenInWithAllTheirPartsSinceTheReleasesOfNovember2024) {
  for (const int version : {140014, 140023, 150009, 160005, 170001, 180000}) {
    EXPECT_TRUE(plan::takes_in_leaf_keys(version)) << version;
  }
  for (const int version : {140013, 150008, 160004, 170000}) {
    EXPECT_FALSE(plan::takes_in_leaf_keys(version)) << version;
  }
}

}  // namespace
}  // namespace pgrecast::exchange
