// Materialized views on the table, on views of it and on one another: their
// twins are made and filled beforehand, and take their places.

#include "pgrecast/catalog/views.h"
#include "pgrecast/plan/twins.h"

#include "exchange_fixture.h"
#include "support/eventually.h"
#include "support/schema_dump.h"

namespace pgrecast::exchange {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Outcome = Attempt::Outcome;

class MaterializedViewsTest : public ExchangeFixture {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    admin_.exec(
        "CREATE TABLE public.t (id int PRIMARY KEY, v int, w text); "
        "INSERT INTO t SELECT g, g, 'w' || g FROM generate_series(1, 9) g");
    make_shadow("t");
  }

  // The shadow as a script would have it that makes v a bigint, and renames w.
  ExchangeTable reshaped() {
    admin_.exec(
        "ALTER TABLE m.t ALTER v TYPE bigint; ALTER TABLE m.t RENAME w TO x");
    ExchangeTable t = table("t");
    last_target().changes = {"v becomes bigint"};
    t.renamed = {{"w", "x"}};
    return t;
  }

  std::vector<plan::TriedTable> tried(const ExchangeTable& t) {
    plan::TriedTable one;
    one.source = t.target->source;
    one.shadow = t.target->shadow;
    one.shape.source = t.source_oid;
    one.shape.target = t.shadow_oid;
    one.shape.renamed = t.renamed;
    return {one};
  }

  // As the migration does before the exchange.
  std::vector<Refusal> make_twins(const ExchangeTable& t) {
    const auto tables = tried(t);
    std::vector<plan::Twin> twins =
        plan::read_twins(connection_, {tables.front().shape});
    pg::Transaction transaction(connection_);
    for (const plan::Twin& old : options_.twins) {
      connection_.exec(fmt::format(
          "DROP {} IF EXISTS {} CASCADE",
          old.materialized ? "MATERIALIZED VIEW" : "VIEW", old.place.quoted()));
    }
    auto refusals = plan::make_twins(connection_, tables,
                                     plan::make_names("x", 1), twins, schemas_);
    if (!refusals.empty()) return refusals;
    for (const plan::Twin& twin : twins) {
      if (!twin.materialized) continue;
      connection_.exec(fmt::format("REFRESH MATERIALIZED VIEW {}{}",
                                   twin.place.quoted(),
                                   twin.populated ? "" : " WITH NO DATA"));
    }
    transaction.commit();
    options_.twins = std::move(twins);
    return {};
  }

  std::vector<std::string> dump() {
    return test::schema_dump(dsn(),
                             "--exclude-schema='pgrecast*' "
                             "--exclude-schema='m*'");
  }

 private:
  std::vector<std::string> schemas_;
};

TEST_F(MaterializedViewsTest, ATwinTakesThePlaceWithAllThatTheOriginalHas) {
  admin_.exec(R"sql(
CREATE SCHEMA "else";
CREATE VIEW between WITH (security_barrier) AS SELECT id, v, w FROM t
  WHERE v > 0;
GRANT SELECT ON between TO pg_monitor;
COMMENT ON VIEW between IS 'between';
ALTER VIEW between ALTER v SET DEFAULT 3;
CREATE MATERIALIZED VIEW "else"."The ""View""" WITH (fillfactor = 80,
  toast.autovacuum_enabled = off)
  AS SELECT b.id, b.v + 1 AS "more ", b.w, t.w || 'x' AS wx
     FROM between b JOIN t USING (id);
ALTER MATERIALIZED VIEW "else"."The ""View""" RENAME w TO "W w";
CREATE UNIQUE INDEX "by id" ON "else"."The ""View""" (id) INCLUDE ("more ")
  WITH (fillfactor = 61);
CREATE INDEX by_more ON "else"."The ""View""" (("more " % 50) DESC)
  WHERE "more " > 5;
ALTER INDEX "else".by_more ALTER COLUMN 1 SET STATISTICS 9;
COMMENT ON INDEX "else".by_more IS 'more';
ALTER MATERIALIZED VIEW "else"."The ""View"""
  ALTER wx SET STORAGE EXTERNAL, ALTER wx SET COMPRESSION pglz,
  ALTER id SET STATISTICS 77, ALTER id SET (n_distinct = -0.5),
  CLUSTER ON "by id";
ALTER TABLE "else"."The ""View""" REPLICA IDENTITY FULL;
CREATE STATISTICS stats (ndistinct) ON id, wx FROM "else"."The ""View""";
ALTER STATISTICS stats SET STATISTICS 44;
COMMENT ON STATISTICS stats IS 'pairs';
COMMENT ON MATERIALIZED VIEW "else"."The ""View""" IS 'it''s kept';
COMMENT ON COLUMN "else"."The ""View"""."more " IS 'wide';
GRANT SELECT ON "else"."The ""View""" TO pg_monitor WITH GRANT OPTION;
GRANT UPDATE (id) ON "else"."The ""View""" TO PUBLIC;
CREATE MATERIALIZED VIEW on_top AS
  SELECT max("more ") AS most FROM "else"."The ""View""";
CREATE MATERIALIZED VIEW never AS SELECT v FROM t WITH NO DATA;
CREATE VIEW above AS SELECT most, w FROM on_top, t;
COMMENT ON VIEW above IS 'above';
GRANT SELECT ON above TO pg_monitor;
ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO pg_signal_backend)sql");
  const ExchangeTable t = reshaped();
  ASSERT_THAT(make_twins(t), IsEmpty());
  admin_.exec("GRANT SELECT ON never TO pg_signal_backend WITH GRANT OPTION");
  ASSERT_THAT(make_twins(t), IsEmpty());
  const auto before = dump();

  exchange({t});

  if (!before.empty()) {
    const auto index = [](const std::string& number) {
      return "CREATE INDEX by_more ON \"else\".\"The \"\"View\"\"\" USING "
             "btree "
             "(((\"more \" % " +
             number + ")) DESC) WHERE (\"more \" > 5);";
    };
    EXPECT_THAT(
        test::dump_difference(before, dump()),
        ElementsAre("- (t.w || 'x'::text) AS wx", "- " + index("50"), "- t.w",
                    "- t.w", "- v integer", "- w text",
                    "+ (t.x || 'x'::text) AS wx", "+ " + index("(50)::bigint"),
                    "+ t.x AS w", "+ t.x AS w", "+ v bigint", "+ x text"));
  }
  EXPECT_EQ(value("SELECT string_agg(format_type(atttypid, -1), ' ' ORDER BY "
                  "attname) FROM pg_attribute WHERE attnum > 0 AND attrelid IN "
                  "('\"else\".\"The \"\"View\"\"\"'::regclass, "
                  "'never'::regclass, 'on_top'::regclass, 'above'::regclass)"
                  " AND attname IN ('more ', 'v', 'most')"),
            "bigint bigint bigint bigint");
  EXPECT_EQ(value("SELECT count(*) || ' ' || sum(\"more \") || max(\"W w\") "
                  "FROM \"else\".\"The \"\"View\"\"\""),
            "9 54w9");
  EXPECT_EQ(value("SELECT most FROM above LIMIT 1"), "10");
  EXPECT_EQ(value("SELECT relispopulated FROM pg_class WHERE oid = "
                  "'never'::regclass"),
            "f");
  EXPECT_EQ(value("SELECT count(*) FROM pg_class WHERE relkind IN ('v', 'm') "
                  "AND relnamespace::regnamespace::text LIKE '%pgrecast%'"),
            "0");
  admin_.exec(
      "INSERT INTO t VALUES (10, 3000000000, 'w'); "
      "REFRESH MATERIALIZED VIEW CONCURRENTLY \"else\".\"The \"\"View\"\"\"; "
      "REFRESH MATERIALIZED VIEW on_top");
  EXPECT_EQ(value("SELECT most FROM above LIMIT 1"), "3000000001");
}

struct Disturbance {
  const char* name;
  const char* sql;
};

class DisturbedTest : public MaterializedViewsTest,
                      public ::testing::WithParamInterface<Disturbance> {};

// What it shows would be older than what it showed, or something of it lost.
TEST_P(DisturbedTest, NothingIsExchangedWhereTheOriginalIsNotWhatItWas) {
  admin_.exec(
      "CREATE VIEW between AS SELECT id, v FROM t; CREATE MATERIALIZED VIEW mv "
      "AS SELECT id, v FROM between; CREATE UNIQUE INDEX mv_id ON mv (id)");
  const ExchangeTable t = table("t");
  ASSERT_THAT(make_twins(t), IsEmpty());
  admin_.exec(GetParam().sql);

  const Attempt done = attempt({t});

  EXPECT_EQ(done.outcome, Outcome::kBlocked);
  EXPECT_THAT(done.reason, HasSubstr("was refreshed or changed"));
  EXPECT_FALSE(was_exchanged(connection_, t));
}

TEST_F(MaterializedViewsTest, ATypeThatIsCalledAsItsArrayTypeIsNoHindrance) {
  admin_.exec(
      "CREATE MATERIALIZED VIEW mv AS SELECT id FROM t; "
      "CREATE TYPE _mv AS ENUM ('theirs')");
  const ExchangeTable t = table("t");
  ASSERT_THAT(make_twins(t), IsEmpty());

  exchange({t});

  EXPECT_EQ(value("SELECT 'theirs'::_mv::text || count(*) FROM mv"), "theirs9");
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DisturbedTest,
    ::testing::Values(
        Disturbance{"Refresh", "REFRESH MATERIALIZED VIEW mv"},
        // Not a row of it is another one.
        Disturbance{"RefreshConcurrently",
                    "REFRESH MATERIALIZED VIEW CONCURRENTLY mv"},
        Disturbance{"RefreshWithNoData",
                    "REFRESH MATERIALIZED VIEW mv WITH NO DATA"},
        Disturbance{"Index", "CREATE INDEX more ON mv (v)"},
        Disturbance{"IndexComment", "COMMENT ON INDEX mv_id IS 'x'"},
        Disturbance{"Option", "ALTER MATERIALIZED VIEW mv SET (fillfactor=50)"},
        Disturbance{"ColumnTarget",
                    "ALTER MATERIALIZED VIEW mv ALTER v SET STATISTICS 5"},
        Disturbance{"Rename", "ALTER MATERIALIZED VIEW mv RENAME TO mv2"},
        Disturbance{"AnotherQuery",
                    "CREATE OR REPLACE VIEW between AS SELECT id, -v AS v "
                    "FROM t"},
        Disturbance{"Another", "CREATE MATERIALIZED VIEW mw AS TABLE mv"},
        Disturbance{"NoneAnyMore", "DROP MATERIALIZED VIEW mv"}),
    [](const auto& kind) { return kind.param.name; });

// A REFRESH that is running holds a lock on it.
TEST_F(MaterializedViewsTest, AnAttemptGivesWayToARefreshThatRuns) {
  admin_.exec(
      "CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t; "
      "CREATE UNIQUE INDEX mv_id ON mv (id)");
  const ExchangeTable t = table("t");
  ASSERT_THAT(make_twins(t), IsEmpty());
  test::Session app = session();
  app.exec("BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY mv");

  EXPECT_EQ(attempt({t}).outcome, Outcome::kLockNotGranted);

  app.exec("ROLLBACK");
  exchange({t});
  EXPECT_EQ(value("SELECT count(*) FROM mv"), "9");
}

// Who reads through it needs the rights, and is asked of them.
TEST_F(MaterializedViewsTest, TheOwnerOfAnInvokersViewNeedReadNothing) {
  if (cluster().version() < 15) GTEST_SKIP() << "no security_invoker before 15";
  admin_.exec(
      "CREATE VIEW between WITH (security_invoker) AS SELECT id, v FROM t; "
      "CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM between");
  superuser_session().exec(fmt::format(
      "GRANT pg_signal_backend TO \"{}\"; GRANT CREATE ON SCHEMA public TO "
      "pg_signal_backend; ALTER VIEW between OWNER TO pg_signal_backend",
      database().role()));
  const ExchangeTable t = table("t");

  for (const Refusal& refusal :
       catalog::uncarried_views(connection_, {tried(t).front().shape})) {
    ADD_FAILURE() << refusal.what;
  }

  ASSERT_THAT(make_twins(t), IsEmpty());
  exchange({t});
  EXPECT_EQ(value("SELECT count(*) FROM mv"), "9");
}

// Behind it, nobody could read the definition: it is named at once.
TEST_F(MaterializedViewsTest, ALongRefreshIsNamedAndNotQueuedBehind) {
  admin_.exec(
      "CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t; "
      "CREATE MATERIALIZED VIEW on_top AS SELECT max(v) FROM mv");
  const ExchangeTable t = table("t");
  ASSERT_THAT(make_twins(t), IsEmpty());
  options_.long_holder = milliseconds(0);
  test::Session app = session();
  // Holds no lock on the table.
  app.exec("BEGIN; REFRESH MATERIALIZED VIEW on_top");

  const Attempt blocked = attempt({t});

  EXPECT_EQ(blocked.outcome, Outcome::kBlocked);
  EXPECT_THAT(blocked.reason,
              HasSubstr("pid " + std::to_string(app.backend_pid())));
}

// A view between is exchanged for its twin, which its old owner has.
TEST_F(MaterializedViewsTest, AViewBetweenThatGetsAnotherOwnerIsMadeAnew) {
  admin_.exec(
      "CREATE VIEW between AS SELECT id, v FROM t; "
      "CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM between");
  superuser_session().exec(fmt::format(
      "GRANT pg_monitor TO \"{}\"; GRANT CREATE ON SCHEMA public TO pg_monitor",
      database().role()));
  admin_.exec("GRANT SELECT ON t TO pg_monitor");
  const ExchangeTable t = table("t");
  ASSERT_THAT(make_twins(t), IsEmpty());
  admin_.exec("ALTER VIEW between OWNER TO pg_monitor");

  const Attempt blocked = attempt({t});

  EXPECT_EQ(blocked.outcome, Outcome::kBlocked);
  EXPECT_THAT(blocked.reason, HasSubstr("was refreshed or changed"));
  ASSERT_THAT(make_twins(t), IsEmpty());
  exchange({t});
  EXPECT_EQ(value("SELECT relowner::regrole FROM pg_class WHERE oid = "
                  "'between'::regclass"),
            "pg_monitor");
}

// Rows that no policy has hidden yet.
TEST_F(MaterializedViewsTest, NobodyElseSeesATwin) {
  superuser_session().exec(fmt::format(
      "ALTER DEFAULT PRIVILEGES FOR ROLE \"{}\" GRANT ALL ON SCHEMAS TO "
      "pg_monitor",
      database().role()));
  admin_.exec("CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t");

  ASSERT_THAT(make_twins(table("t")), IsEmpty());

  EXPECT_EQ(value("SELECT has_schema_privilege('pg_monitor', "
                  "'pgrecast_x_views', 'USAGE')"),
            "f");
}

// Of the role, or of the script.
TEST_F(MaterializedViewsTest, ItsIndexesStayInTheirTablespace) {
  test::Session superuser = superuser_session();
  superuser.exec("SET allow_in_place_tablespaces = on");
  superuser.exec("CREATE TABLESPACE spare LOCATION ''");
  superuser.exec("GRANT CREATE ON TABLESPACE spare TO PUBLIC");
  admin_.exec(
      "CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t; "
      "CREATE UNIQUE INDEX mv_id ON mv (id)");
  const ExchangeTable t = table("t");
  connection_.exec("SET default_tablespace = spare");

  EXPECT_THAT(make_twins(t), IsEmpty());

  EXPECT_EQ(value("SELECT count(*) FROM pg_class WHERE reltablespace <> 0 AND "
                  "relname IN ('mv', 'mv_id')"),
            "0");
  superuser.exec(
      fmt::format("ALTER INDEX IF EXISTS pgrecast_x_views.mv_id SET "
                  "TABLESPACE pg_default"));
  superuser.exec("DROP TABLESPACE spare");
}

class VacuumedTest : public MaterializedViewsTest,
                     public ::testing::WithParamInterface<const char*> {};

// As with a table (ExchangeTest.AutovacuumGivesWay): one that goes on for
// minutes, of the original or of its twin.
TEST_P(VacuumedTest, GivesWay) {
  admin_.exec(
      "INSERT INTO t SELECT g, g, repeat('w', 500) FROM "
      "generate_series(10, 20000) AS g");
  const ExchangeTable t = table("t");
  admin_.exec(
      "CREATE MATERIALIZED VIEW mv WITH (autovacuum_vacuum_insert_threshold = "
      "0, autovacuum_vacuum_insert_scale_factor = 0, "
      "autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_cost_delay = 100) "
      "AS SELECT id, w FROM t; "
      "INSERT INTO m.t SELECT * FROM t WHERE id >= 10");
  ASSERT_THAT(make_twins(t), IsEmpty());
  cluster().set("autovacuum_naptime", "1s");
  const bool vacuumed = test::eventually([&] {
    // Before 15 a session that has gone idle keeps its counts to itself.
    connection_.exec("SELECT");
    return admin_.query_value(
               "SELECT count(*) FROM pg_stat_activity WHERE backend_type = "
               "'autovacuum worker' AND query LIKE $1",
               std::string("%VACUUM%") + GetParam() + ".mv%") != "0";
  });

  const Attempt done = attempt({t});

  cluster().set("autovacuum_naptime", "");
  EXPECT_TRUE(vacuumed);
  EXPECT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
}

INSTANTIATE_TEST_SUITE_P(Kinds, VacuumedTest,
                         ::testing::Values("public", "pgrecast_x_views"),
                         [](const auto& kind) {
                           return std::string(kind.param) == "public"
                                      ? "TheOriginal"
                                      : "ItsTwin";
                         });

class ChangedTwinTest : public MaterializedViewsTest,
                        public ::testing::WithParamInterface<Disturbance> {};

// The proof knows nothing of how a twin was made, or by whom it was changed.
TEST_P(ChangedTwinTest, RollsBackAndIsNamed) {
  admin_.exec(
      "CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t; "
      "CREATE UNIQUE INDEX mv_id ON mv (id)");
  const ExchangeTable t = table("t");
  ASSERT_THAT(make_twins(t), IsEmpty());
  admin_.exec(
      fmt::format(fmt::runtime(GetParam().sql),
                  fmt::format("\"{}\"", options_.twins.front().place.schema)));

  try {
    attempt({t});
    ADD_FAILURE() << "it was exchanged";
  } catch (const ExchangeRefused& refused) {
    EXPECT_THAT(refused.what(), HasSubstr("public.mv: "));
  }
  EXPECT_FALSE(was_exchanged(connection_, t));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ChangedTwinTest,
    ::testing::Values(
        Disturbance{"Index", "DROP INDEX {}.mv_id"},
        Disturbance{"Option",
                    "ALTER MATERIALIZED VIEW {}.mv SET (fillfactor = 50)"},
        Disturbance{"ColumnTarget",
                    "ALTER MATERIALIZED VIEW {}.mv ALTER v SET STATISTICS 5"},
        Disturbance{"ReplicaIdentity",
                    "ALTER TABLE {}.mv REPLICA IDENTITY FULL"}),
    [](const auto& kind) { return kind.param.name; });

TEST_F(MaterializedViewsTest, ATwinThatANameLeadsAstrayIsRefused) {
  // The first schema of the path hides the other's t, which the server prints
  // with its schema: the twin would read the old table.
  admin_.exec(R"sql(
CREATE SCHEMA s;
CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t;
CREATE TABLE m.hidden (id int);
CREATE TABLE s.hidden (id int);
CREATE MATERIALIZED VIEW s.mw AS SELECT t.id FROM t, s.hidden h)sql");

  EXPECT_THAT(make_twins(table("t")),
              ElementsAre(Field(
                  &Refusal::what,
                  AllOf(HasSubstr("materialized view s.mw cannot be made"),
                        HasSubstr("another relation has the name")))));
}

struct OnAView {
  const char* name;
  const char* sql;
  const char* what;
};

class OnAMaterializedViewTest : public MaterializedViewsTest,
                                public ::testing::WithParamInterface<OnAView> {
};

TEST_P(OnAMaterializedViewTest, IsRefusedByName) {
  admin_.exec("CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t");
  const ExchangeTable t = table("t");
  const catalog::Reshaped shape = tried(t).front().shape;
  ASSERT_THAT(catalog::uncarried_views(connection_, {shape}), IsEmpty());
  test::Session superuser = superuser_session();
  superuser.exec(fmt::format(fmt::runtime(GetParam().sql), database().role()));

  const auto refusals = catalog::uncarried_views(connection_, {shape});

  EXPECT_THAT(refusals,
              Contains(AllOf(Field(&Refusal::what, HasSubstr(GetParam().what)),
                             Field(&Refusal::remedy, ::testing::Ne("")))));
  EXPECT_THROW(attempt({t}), ExchangeRefused);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, OnAMaterializedViewTest,
    ::testing::Values(
        OnAView{"AFunctionWithItsRowType",
                "CREATE FUNCTION f(mv) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "function public.f(public.mv)"},
        OnAView{"AFunctionThatReadsIt",
                "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql "
                "BEGIN ATOMIC SELECT count(*) FROM mv; END",
                "function public.f()"},
        OnAView{"AViewOfAnotherOwner", "CREATE VIEW theirs AS SELECT v FROM mv",
                "view public.theirs must be created anew with the new table, "
                "and belongs to postgres"},
        OnAView{"AnotherOwner",
                "ALTER MATERIALIZED VIEW mv OWNER TO postgres; GRANT SELECT ON "
                "t TO postgres",
                "materialized view public.mv must be created anew with the new "
                "table, and belongs to postgres"},
        OnAView{"AnOwnerWhoMayNotReadAll",
                "GRANT pg_signal_backend TO \"{0}\"; ALTER MATERIALIZED VIEW "
                "mv OWNER TO pg_signal_backend",
                "its owner pg_signal_backend may not read all columns of "
                "public.t"},
        OnAView{"ASchemaWithoutRights",
                "CREATE SCHEMA s; ALTER MATERIALIZED VIEW mv SET SCHEMA s",
                "materialized view s.mv must be created anew, for which the "
                "rights on schema s do not suffice"},
        OnAView{"AnOwnerWithoutRightsOnTheSchema",
                "GRANT pg_signal_backend TO \"{0}\"; GRANT SELECT ON t TO "
                "pg_signal_backend; GRANT CREATE ON SCHEMA public TO \"{0}\"; "
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER "
                "MATERIALIZED VIEW mv OWNER TO pg_signal_backend",
                "and given to pg_signal_backend again, who may not create in "
                "schema public"},
        OnAView{"AGrantOfARoleThatWeCannotActAs",
                "GRANT SELECT ON mv TO pg_signal_backend WITH GRANT OPTION; "
                "SET ROLE pg_signal_backend; GRANT SELECT ON mv TO pg_monitor",
                "a grant on public.mv to pg_monitor was passed on by "
                "pg_signal_backend, as whom the role may not act"},
        OnAView{"RowSecurityOfTheTable",
                "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL "
                "SECURITY",
                "materialized view public.mv is to be filled beforehand, while "
                "the row security of public.t decides"},
        OnAView{"RowSecurityForAnotherOwner",
                "GRANT pg_signal_backend TO \"{0}\"; GRANT SELECT ON t TO "
                "pg_signal_backend; ALTER MATERIALIZED VIEW mv OWNER TO "
                "pg_signal_backend; ALTER TABLE t ENABLE ROW LEVEL SECURITY",
                "materialized view public.mv is to be filled beforehand, while "
                "the row security of public.t decides"},
        OnAView{"AnInvalidIndex",
                "CREATE INDEX bad ON mv (v); UPDATE pg_index SET indisvalid = "
                "false WHERE indexrelid = 'bad'::regclass",
                "index public.bad is invalid"},
        OnAView{"StatisticsOfAnotherOwner",
                "CREATE STATISTICS theirs ON id, v FROM mv",
                "statistics object public.theirs must be made anew and belongs "
                "to postgres"},
        OnAView{"AnIndexThatDependsOnAnExtension",
                "CREATE INDEX i ON mv (v); ALTER INDEX i DEPENDS ON EXTENSION "
                "plpgsql",
                "index public.i is tied to extension plpgsql"}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace pgrecast::exchange
