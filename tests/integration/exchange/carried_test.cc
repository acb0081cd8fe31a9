#include "exchange_fixture.h"

namespace pgrecast::exchange {
namespace {

using test::eventually;
using test::kSuccess;
using test::Session;
using Outcome = Attempt::Outcome;

// What hangs off the table and goes along. The inventory proves that the
// definitions are equal; these tests, that things work.
class CarriedTest : public ExchangeFixture {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    admin_.exec(
        "CREATE TABLE public.t (id int PRIMARY KEY, v int, w text); "
        "INSERT INTO t SELECT g, g, 'w' FROM generate_series(1, 9) g");
    make_shadow("t");
  }
};

TEST_F(CarriedTest, TriggersFireOnTheNewTableAsTheyWereEnabled) {
  admin_.exec(R"sql(
CREATE TABLE log (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO public.log VALUES (TG_ARGV[0]); RETURN NEW; END';
CREATE TRIGGER a BEFORE UPDATE OF v ON t FOR EACH ROW WHEN (NEW.v > 5)
  EXECUTE FUNCTION note('a');
CREATE TRIGGER "B!" AFTER INSERT ON t REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION note('b');
CREATE TRIGGER off AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note('off');
ALTER TABLE t DISABLE TRIGGER off;
CREATE TRIGGER always AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION note('z');
ALTER TABLE t ENABLE ALWAYS TRIGGER always;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION note('late');
COMMENT ON TRIGGER a ON t IS 'watches v')sql");

  exchange({table("t")});

  admin_.exec("UPDATE t SET v = 7 WHERE id = 1; INSERT INTO t VALUES (100)");
  EXPECT_EQ(value("SELECT string_agg(what, ',' ORDER BY what) FROM log"),
            "a,b,late");
  EXPECT_EQ(value("SELECT string_agg(tgenabled::text, '' ORDER BY tgname) "
                  "FROM pg_trigger WHERE tgrelid = 't'::regclass"),
            value("SELECT string_agg(tgenabled::text, '' ORDER BY tgname) FROM "
                  "pg_trigger WHERE tgrelid = '\"m-old\".t'::regclass "
                  "AND tgname <> 'pgrecast_guard'"));
}

// The shadow has it early, so that nobody reads what policies hide.
TEST_F(CarriedTest, RowSecurityThatTheTableHasNoMoreGoesFromTheNewOne) {
  admin_.exec("ALTER TABLE m.t ENABLE ROW LEVEL SECURITY");

  exchange({table("t")});

  EXPECT_EQ(
      value("SELECT relrowsecurity FROM pg_class WHERE oid = 't'::regclass"),
      "f");
}

TEST_F(CarriedTest, ViewsAtAnyDepthReadTheNewTableWithTheirOptionsAndGrants) {
  admin_.exec(R"sql(
CREATE VIEW direct WITH (security_barrier) AS SELECT id, v AS "V" FROM t;
CREATE VIEW checked AS SELECT * FROM t WHERE v > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW on_view AS SELECT d."V", t.w FROM direct d JOIN t USING (id);
CREATE VIEW on_that AS SELECT * FROM on_view;
GRANT SELECT ON direct TO pg_monitor;
COMMENT ON VIEW direct IS 'kept')sql");

  exchange({table("t")});
  admin_.exec("UPDATE t SET v = 1000 WHERE id = 1");

  EXPECT_EQ(value("SELECT max(\"V\") FROM direct"), "1000");
  EXPECT_EQ(value("SELECT max(\"V\") FROM on_that"), "1000");
  EXPECT_EQ(admin_.try_exec("INSERT INTO checked VALUES (50, -1)"), "44000");
  EXPECT_EQ(value("SELECT reloptions::text FROM pg_class "
                  "WHERE oid = 'direct'::regclass"),
            "{security_barrier=true}");
  EXPECT_EQ(value("SELECT has_table_privilege('pg_monitor', 'direct', "
                  "'SELECT')"),
            "t");
  EXPECT_EQ(value("SELECT obj_description('direct'::regclass)"), "kept");
}

TEST_F(CarriedTest, AReaderThroughAViewDoesNotDeadlockWithTheExchange) {
  admin_.exec("CREATE VIEW direct AS SELECT * FROM t");
  Session reader = session();
  ExchangeHooks hooks;
  hooks.drain = [&](pg::Connection&, Deadline) {
    reader.send("SELECT count(*) FROM direct");
    ASSERT_TRUE(eventually([&] { return waits(reader.backend_pid()); }));
  };

  ASSERT_EQ(attempt({table("t")}, hooks).outcome, Outcome::kExchanged);

  EXPECT_EQ(reader.wait(), (test::Rows{{"9"}}));
}

TEST_F(CarriedTest, ForeignKeysInAllDirectionsHoldOnTheNewTableOnly) {
  admin_.exec(R"sql(
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent VALUES (1), (2);
CREATE TABLE child (t int CONSTRAINT "to t" REFERENCES t ON DELETE CASCADE);
INSERT INTO child VALUES (3);
ALTER TABLE t ADD parent int CONSTRAINT "to parent" REFERENCES parent
    ON DELETE SET NULL DEFERRABLE,
  ADD self int REFERENCES t,
  ADD old int, ADD CONSTRAINT loose FOREIGN KEY (old) REFERENCES parent NOT VALID;
COMMENT ON CONSTRAINT "to parent" ON t IS 'up';
UPDATE t SET parent = 1, self = 2 WHERE id = 1;
DROP TABLE m.t)sql");
  make_shadow("t");

  exchange({table("t")});

  EXPECT_EQ(admin_.try_exec("UPDATE t SET parent = 3"), "23503");
  EXPECT_EQ(admin_.try_exec("UPDATE t SET self = 77"), "23503");
  EXPECT_EQ(admin_.try_exec("INSERT INTO child VALUES (77)"), "23503");
  // Rows of the retired table refer to it still; they must not stand in the
  // way.
  EXPECT_EQ(admin_.try_exec("DELETE FROM parent WHERE id = 1"), kSuccess);
  EXPECT_EQ(admin_.try_exec("DELETE FROM t WHERE id = 3"), kSuccess);
  EXPECT_EQ(value("SELECT count(*) FROM child"), "0");
  EXPECT_EQ(value("SELECT string_agg(conname || convalidated, ' ' ORDER BY "
                  "conname) FROM pg_constraint WHERE contype = 'f'"),
            "loosefalse t_self_fkeytrue to parenttrue to ttrue");
  EXPECT_EQ(value("SELECT obj_description(oid) FROM pg_constraint "
                  "WHERE conname = 'to parent'"),
            "up");
}

TEST_F(CarriedTest, AForeignKeyBetweenTwoTablesOfTheMigrationIsMadeOnce) {
  admin_.exec(
      "CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t); "
      "INSERT INTO child VALUES (1, 1)");
  make_shadow("child");

  exchange({table("t"), table("child")});

  EXPECT_EQ(admin_.try_exec("INSERT INTO child VALUES (2, 77)"), "23503");
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f'"),
            "1");
}

TEST_F(CarriedTest, AForeignKeyThatTheScriptDropsIsNotMadeAgain) {
  admin_.exec(
      "CREATE TABLE parent (id int PRIMARY KEY); "
      "ALTER TABLE t ADD CONSTRAINT up FOREIGN KEY (v) "
      "REFERENCES parent NOT VALID");
  ExchangeTable t = table("t");
  last_target().changes = {"drops the foreign key up"};
  last_target().dropped_foreign_keys = {"up"};

  exchange({t});

  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f'"),
            "0");
}

TEST_F(CarriedTest, ALongHolderOfTheOtherTableIsNamedBeforeAnythingIsLocked) {
  admin_.exec(
      "CREATE TABLE parent (id int PRIMARY KEY); "
      "ALTER TABLE t ADD CONSTRAINT up FOREIGN KEY (v) "
      "REFERENCES parent NOT VALID");
  Session reader = session();
  reader.exec("BEGIN; SELECT FROM parent");
  options_.long_holder = milliseconds(0);

  const Attempt blocked = attempt({table("t")});

  EXPECT_EQ(blocked.outcome, Outcome::kBlocked);
  EXPECT_THAT(blocked.reason,
              ::testing::HasSubstr(std::to_string(reader.backend_pid())));
}

TEST_F(CarriedTest, PublicationsFollowWithColumnsAndFilter) {
  admin_.exec(
      "CREATE PUBLICATION plain FOR TABLE t; "
      "CREATE PUBLICATION ours FOR TABLE t");
  const bool filters = cluster().version() >= 15;
  if (filters) {
    admin_.exec(
        "CREATE PUBLICATION part FOR TABLE t (id, v) WHERE (id > 3) "
        "WITH (publish = 'insert')");
  }
  options_.own_publication = "ours";
  const ExchangeTable t = table("t");

  // Our own stays behind: nothing may be expected of the new table there.
  const Attempt done = attempt({t});

  ASSERT_EQ(done.outcome, Outcome::kExchanged);
  EXPECT_EQ(
      value("SELECT string_agg(pubname || ' ' || schemaname, ', ' ORDER BY "
            "pubname) FROM pg_publication_tables WHERE pubname <> 'part'"),
      "ours m-old, plain public");
  if (filters) {
    EXPECT_EQ(value("SELECT concat(schemaname, attnames, rowfilter) "
                    "FROM pg_publication_tables WHERE pubname = 'part'"),
              "public{id,v}(id > 3)");
  }
}

TEST_F(CarriedTest, RowSecurityIsOnWithEveryPolicyWhenTheNewTableIsSeen) {
  admin_.exec(R"sql(
CREATE POLICY low ON t TO pg_monitor USING (v < (SELECT max(id) FROM t));
CREATE POLICY narrow ON t AS RESTRICTIVE FOR UPDATE USING (v > 1)
  WITH CHECK (v < 1000);
COMMENT ON POLICY low ON t IS 'seen';
ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY)sql");

  exchange({table("t")});

  EXPECT_EQ(value("SELECT relrowsecurity AND relforcerowsecurity FROM pg_class "
                  "WHERE oid = 't'::regclass"),
            "t");
  EXPECT_EQ(
      value("SELECT string_agg(concat_ws(' ', policyname, permissive, roles, "
            "cmd, with_check), '; ' ORDER BY policyname) FROM pg_policies "
            "WHERE schemaname = 'public'"),
      "low PERMISSIVE {pg_monitor} ALL; "
      "narrow RESTRICTIVE {public} UPDATE (v < 1000)");
}

TEST_F(CarriedTest, ExtendedStatisticsKeepTheirNames) {
  admin_.exec(
      "CREATE STATISTICS st (ndistinct) ON v, w FROM t; "
      "ALTER STATISTICS st SET STATISTICS 50; "
      "COMMENT ON STATISTICS st IS 'pairs'; "
      "CREATE STATISTICS m.built ON id, v FROM m.t; "
      "CREATE STATISTICS built ON id, v FROM t");

  exchange({table("t")});

  EXPECT_EQ(value("SELECT string_agg(stxname || COALESCE(stxstattarget, "
                  "-1), ' ' ORDER BY "
                  "stxname) FROM pg_statistic_ext "
                  "WHERE stxrelid = 't'::regclass"),
            "built-1 st50");
  EXPECT_EQ(superuser_session().query_value(
                "SELECT count(*) FROM pg_statistic_ext_data WHERE stxoid = "
                "(SELECT oid FROM pg_statistic_ext WHERE stxname = 'st' "
                "AND stxrelid = 't'::regclass)"),
            "1")
      << "ANALYZE has to fill them";
}

TEST_F(CarriedTest, RulesActOnTheNewTable) {
  admin_.exec(
      "CREATE TABLE log (what int); "
      "CREATE RULE also AS ON INSERT TO t WHERE NEW.v > 5 "
      "DO ALSO INSERT INTO log VALUES (NEW.v); "
      "CREATE RULE never AS ON DELETE TO t DO INSTEAD NOTHING; "
      "ALTER TABLE t DISABLE RULE never");

  exchange({table("t")});

  admin_.exec(
      "INSERT INTO t VALUES (50, 50), (51, 1); "
      "DELETE FROM t WHERE id = 1");
  EXPECT_EQ(value("SELECT string_agg(what::text, ',') FROM log"), "50");
  EXPECT_EQ(value("SELECT count(*) FROM t WHERE id = 1"), "0");
}

TEST_F(CarriedTest, AnotherTablesDefaultGoesOnWithTheHandedOverSequence) {
  admin_.exec(
      "CREATE TABLE s (id serial PRIMARY KEY); "
      "CREATE TABLE other (n int DEFAULT nextval('s_id_seq')); "
      "INSERT INTO s DEFAULT VALUES");
  make_shadow("s");

  exchange({table("s")});

  admin_.exec("INSERT INTO other DEFAULT VALUES; INSERT INTO s DEFAULT VALUES");
  EXPECT_EQ(value("SELECT n FROM other"), "2");
  EXPECT_EQ(value("SELECT max(id) FROM s"), "3");
}

TEST_F(CarriedTest, WhatCameToTheTableMeanwhileAndCannotBeCarriedRollsBack) {
  const ExchangeTable t = table("t");
  admin_.exec("CREATE TABLE user_of (x t)");

  try {
    attempt({t});
    FAIL() << "exchanged";
  } catch (const ExchangeRefused& refused) {
    EXPECT_THAT(refused.differences(),
                ::testing::Contains(::testing::HasSubstr("public.user_of")));
  }
  EXPECT_FALSE(was_exchanged(connection_, t));
}

// It was called pgrecast_guard, too: the exchange could not be done.
TEST_F(CarriedTest, ATriggerThatIsCalledAsOursGoesAlong) {
  admin_.exec(R"sql(
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RETURN NULL; END';
CREATE TRIGGER pgrecast_guard BEFORE INSERT ON t FOR EACH ROW
  EXECUTE FUNCTION note();
ALTER TABLE t DISABLE TRIGGER pgrecast_guard)sql");

  exchange({table("t")});

  EXPECT_EQ(
      value("SELECT tgenabled::text || tgfoid::regproc::text FROM pg_trigger "
            "WHERE tgrelid = 't'::regclass"),
      "Dnote");
  EXPECT_EQ(admin_.try_exec("DELETE FROM \"m-old\".t"), "55000");
}

// The server had moved the old table's array type out of the way; the new
// table's was called _t, which made the exchange fail.
TEST_F(CarriedTest, ATypeThatIsCalledAsTheTablesArrayTypeIsNoHindrance) {
  admin_.exec(
      "CREATE TYPE public._t AS ENUM ('theirs');"
      "CREATE TYPE public.__t AS ENUM ('theirs, too')");

  exchange({table("t")});

  EXPECT_EQ(value("SELECT 'theirs'::_t::text"), "theirs");
  EXPECT_EQ(value("SELECT ARRAY[t]::text[] IS NOT NULL FROM t LIMIT 1"), "t");
}

// An expression with a blank was in quotes, and so were its casts: the exchange
// was rolled back for them.
TEST_F(CarriedTest, StatisticsOverAnExpressionOfAWidenedColumnGoAlong) {
  admin_.exec(
      "CREATE STATISTICS st ON (v % 10), lower(w) FROM t; "
      "ALTER TABLE m.t ALTER v TYPE bigint");
  const ExchangeTable t = table("t");
  last_target().changes = {"v becomes bigint"};

  exchange({t});

  EXPECT_EQ(value("SELECT pg_get_statisticsobjdef_expressions(oid)::text FROM "
                  "pg_statistic_ext WHERE stxrelid = 't'::regclass"),
            "{\"(v % (10)::bigint)\",lower(w)}");
}

// CREATE OR REPLACE keeps OID, owner, grants and comment, and not this.
TEST_F(CarriedTest, AnAtomicFunctionStillDependsOnItsExtension) {
  admin_.exec(R"sql(
CREATE FUNCTION "f F"(int, text) RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT count(*) FROM t; END;
CREATE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC UPDATE t SET v = 0; END;
ALTER FUNCTION "f F"(int, text) DEPENDS ON EXTENSION plpgsql;
ALTER PROCEDURE p() DEPENDS ON EXTENSION plpgsql)sql");

  exchange({table("t")});

  EXPECT_EQ(value("SELECT count(*) FROM pg_depend WHERE deptype = 'x' AND "
                  "objid IN ('\"f F\"'::regproc, 'p'::regproc)"),
            "2");
}

// The old ones were moved into one schema, where one name is enough for one.
TEST_F(CarriedTest, StatisticsOfOneNameInTwoSchemasGoAlong) {
  admin_.exec(
      "CREATE SCHEMA beside; CREATE STATISTICS st ON id, v FROM t; "
      "CREATE STATISTICS beside.st ON v, w FROM t; "
      "COMMENT ON STATISTICS beside.st IS 'beside'");

  exchange({table("t")});

  EXPECT_EQ(value("SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = "
                  "'t'::regclass AND stxname = 'st'"),
            "2");
  EXPECT_EQ(value("SELECT obj_description(oid, 'pg_statistic_ext') FROM "
                  "pg_statistic_ext WHERE stxrelid = 't'::regclass AND "
                  "stxnamespace = 'beside'::regnamespace"),
            "beside");
}

// As a table has them whose identity was renamed and got a successor. The new
// table's are called by its columns: to give the first its name, the second
// had to let go of it.
TEST_F(CarriedTest,
       IdentitiesWhoseSequencesAreCalledByEachOthersColumnsGoAlong) {
  admin_.exec(R"sql(
CREATE TABLE public.i (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int);
ALTER TABLE i RENAME id TO was_id;
ALTER TABLE i ADD id int GENERATED ALWAYS AS IDENTITY;
ALTER SEQUENCE i_id_seq1 RENAME TO i_was_id_seq;
INSERT INTO i (v) VALUES (1), (2);
SELECT nextval('i_was_id_seq'))sql");
  make_shadow("i");
  const std::string names =
      "SELECT pg_get_serial_sequence('i', 'was_id') || ' ' || "
      "pg_get_serial_sequence('i', 'id')";
  ASSERT_EQ(value(names), "public.i_id_seq public.i_was_id_seq");

  exchange({table("i")});

  EXPECT_EQ(value(names), "public.i_id_seq public.i_was_id_seq");
  EXPECT_EQ(value("INSERT INTO i (v) VALUES (3) RETURNING was_id || ' ' || id"),
            "3 4");
}

// The quote in a name was taken for the beginning of a text, and what stood
// behind it for no cast: the exchange was rolled back for it.
TEST_F(CarriedTest, CastsBesideNamesWithQuotesAreNoDifference) {
  Session superuser = superuser_session();
  const std::string role = fmt::format("\"it's {}\"", database().name());
  superuser.exec("CREATE ROLE " + role);
  admin_.exec(fmt::format(R"sql(
CREATE TABLE public.q (id int PRIMARY KEY, "it's" int, v int);
CREATE STATISTICS st ON "it's", (v % 10) FROM q;
CREATE POLICY p ON q TO {} USING (v % 10 > 0);
CREATE PUBLICATION feed FOR TABLE q)sql",
                          role));
  if (cluster().version() >= 15) {
    admin_.exec(
        "ALTER PUBLICATION feed SET TABLE q (id, \"it's\") WHERE (id % 10 > "
        "0)");
  }
  make_shadow("q");
  admin_.exec("ALTER TABLE m.q ALTER v TYPE bigint, ALTER id TYPE bigint");
  const ExchangeTable q = table("q");
  last_target().changes = {"v and id become bigint"};

  exchange({q});

  EXPECT_EQ(value("SELECT count(*) FROM pg_policies WHERE tablename = 'q' AND "
                  "qual LIKE '%::bigint%' AND schemaname = 'public'"),
            "1");
  admin_.exec("DROP POLICY p ON q; DROP POLICY p ON \"m-old\".q");
  superuser.exec("DROP ROLE " + role);
}

}  // namespace
}  // namespace pgrecast::exchange
