// Views whose columns change their types, and whatever else mentions the table
// from elsewhere. What pg_dump prints before and after differs in nothing but
// the types.

#include "pgrecast/catalog/views.h"

#include "exchange_fixture.h"
#include "support/schema_dump.h"

#include <atomic>
#include <thread>

namespace pgrecast::exchange {
namespace {

using test::kSuccess;
using test::Session;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Outcome = Attempt::Outcome;

class CarriedViewsTest : public ExchangeFixture {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    admin_.exec(
        "CREATE TABLE public.t (id int PRIMARY KEY, v int, w text); "
        "INSERT INTO t SELECT g, g, 'w' FROM generate_series(1, 9) g");
    make_shadow("t");
  }

  // The shadow as a script would have it that makes v a bigint.
  ExchangeTable widened() {
    admin_.exec("ALTER TABLE m.t ALTER v TYPE bigint");
    ExchangeTable t = table("t");
    last_target().changes = {"v becomes bigint"};
    return t;
  }

  std::vector<std::string> dump() { return test::schema_dump(dsn()); }

  void expect_refused(const ExchangeTable& t, const std::string& part) {
    try {
      attempt({t});
      ADD_FAILURE() << "exchanged";
    } catch (const ExchangeRefused& refused) {
      EXPECT_THAT(refused.what(), HasSubstr(part));
    }
    EXPECT_FALSE(was_exchanged(connection_, t));
  }
};

TEST_F(CarriedViewsTest, AViewWhoseColumnChangesItsTypeIsMadeAnewWithAllItHas) {
  superuser_session().exec(fmt::format(
      "CREATE ROLE \"view owner {0}\"; CREATE ROLE \"reader {0}\"; "
      "GRANT \"view owner {0}\", \"reader {0}\" TO CURRENT_USER, \"{1}\"; "
      "GRANT ALL ON SCHEMA public TO \"view owner {0}\", \"reader {0}\"",
      database().name(), database().role()));
  const std::string owner = fmt::format("\"view owner {}\"", database().name());
  const std::string reader = fmt::format("\"reader {}\"", database().name());
  admin_.exec(fmt::format(R"sql(
CREATE VIEW "the View" WITH (security_barrier) AS
  SELECT id, v AS "V", w FROM t WHERE v > 0 WITH CASCADED CHECK OPTION;
CREATE VIEW above AS SELECT "V" + 1 AS more, w FROM "the View";
CREATE VIEW top AS SELECT a.more, t.v, a.w FROM above a, t
  WHERE t.w = a.w;
CREATE VIEW aside AS SELECT id, w FROM t;
COMMENT ON VIEW "the View" IS 'it''s kept';
COMMENT ON COLUMN "the View"."V" IS 'wide';
ALTER VIEW "the View" ALTER "V" SET DEFAULT 7;
CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO public.t VALUES (NEW.v, NEW.v, NEW.w); RETURN NEW; END';
CREATE TRIGGER puts INSTEAD OF INSERT ON top FOR EACH ROW EXECUTE FUNCTION put();
COMMENT ON TRIGGER puts ON top IS 'fires';
CREATE RULE away AS ON DELETE TO above DO INSTEAD
  UPDATE t SET w = 'away' WHERE t.v + 1 = OLD.more;
COMMENT ON RULE away ON above IS 'acts';
GRANT SELECT ON above TO {0} WITH GRANT OPTION;
GRANT UPDATE (more) ON above TO PUBLIC;
SET ROLE {0};
GRANT SELECT ON above TO pg_monitor;
RESET ROLE;
ALTER VIEW top OWNER TO {1};
GRANT SELECT ON "the View", above, t TO {1};
ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO pg_signal_backend)sql",
                          reader, owner));
  const auto before = dump();
  const std::string aside = value("SELECT 'aside'::regclass::oid");

  exchange({widened()});

  if (!before.empty()) {
    EXPECT_THAT(test::dump_difference(before, dump()),
                ElementsAre("- v integer", "+ v bigint"));
  }
  EXPECT_EQ(value("SELECT 'aside'::regclass::oid"), aside);
  EXPECT_EQ(value("SELECT string_agg(format_type(atttypid, -1), ' ' ORDER BY "
                  "attname) FROM pg_attribute WHERE attname IN ('V', 'more', "
                  "'v') AND attrelid IN (SELECT oid FROM pg_class WHERE "
                  "relkind = 'v' AND relnamespace = 'public'::regnamespace)"),
            "bigint bigint bigint bigint");
  admin_.exec("INSERT INTO \"the View\" (id, w) VALUES (70, 'd')");
  EXPECT_EQ(value("SELECT v FROM t WHERE id = 70"), "7");
  admin_.exec("INSERT INTO top (v, w) VALUES (80, 'x')");
  EXPECT_EQ(value("SELECT w FROM t WHERE id = 80"), "x");
  admin_.exec("DELETE FROM above WHERE more = 4");
  EXPECT_EQ(value("SELECT w FROM t WHERE id = 3"), "away");
  EXPECT_EQ(admin_.try_exec("INSERT INTO \"the View\" VALUES (90, -1, '')"),
            "44000");
  admin_.exec("RESET ROLE");
  superuser_session().exec(fmt::format(
      "DROP OWNED BY {0}, {1} CASCADE; DROP ROLE {0}, {1}", owner, reader));
}

// An INSTEAD rule is no part of the view's query, and would go on writing into
// the old table.
TEST_F(CarriedViewsTest, ARuleOfAViewThatIsOnlyReplacedActsOnTheNewTable) {
  admin_.exec(R"sql(
CREATE VIEW plain AS SELECT id, w FROM t;
CREATE RULE del AS ON DELETE TO plain DO INSTEAD
  UPDATE t SET w = 'deleted' WHERE t.id = OLD.id;
CREATE TABLE other (x int);
CREATE VIEW of_other AS SELECT x FROM other;
CREATE RULE ins AS ON INSERT TO of_other DO INSTEAD
  UPDATE t SET w = 'inserted' WHERE t.id = NEW.x)sql");
  const auto before = dump();

  exchange({table("t")});

  EXPECT_THAT(test::dump_difference(before, dump()), IsEmpty());
  admin_.exec(
      "DELETE FROM plain WHERE id = 1; INSERT INTO of_other VALUES (2)");
  EXPECT_EQ(value("SELECT string_agg(w, ' ' ORDER BY id) FROM t WHERE id < 3"),
            "deleted inserted");
}

TEST_F(CarriedViewsTest, RulesPoliciesAndFunctionsElsewhereMeanTheNewTable) {
  admin_.exec(R"sql(
CREATE TABLE o (x int PRIMARY KEY);
CREATE RULE also AS ON INSERT TO o DO ALSO
  INSERT INTO t VALUES (NEW.x + 100, NEW.x);
COMMENT ON RULE also ON o IS 'also';
ALTER TABLE o ENABLE ALWAYS RULE also;
CREATE POLICY listed ON o TO pg_monitor USING (x IN (SELECT v FROM t))
  WITH CHECK (x <> ALL (SELECT id FROM t));
COMMENT ON POLICY listed ON o IS 'those of t';
ALTER TABLE o ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION total(lowest int DEFAULT 0) RETURNS bigint LANGUAGE sql STABLE
  PARALLEL SAFE COST 7 SET work_mem = '8MB'
  BEGIN ATOMIC SELECT sum(v) FROM t WHERE v >= lowest; END;
COMMENT ON FUNCTION total IS 'sums';
REVOKE ALL ON FUNCTION total FROM PUBLIC;
CREATE FUNCTION lists() RETURNS TABLE (id int, n text) LANGUAGE sql
  BEGIN ATOMIC SELECT id, w FROM t GROUP BY id; END;
GRANT SELECT ON o, t TO pg_monitor)sql");
  const auto before = dump();
  const std::string oid = value("SELECT 'total'::regproc::oid");

  exchange({widened()});

  if (!before.empty()) {
    EXPECT_THAT(test::dump_difference(before, dump()),
                ElementsAre("- v integer", "+ v bigint"));
  }
  EXPECT_EQ(value("SELECT 'total'::regproc::oid"), oid);
  admin_.exec("UPDATE t SET v = 1000 WHERE id = 1; INSERT INTO o VALUES (5)");
  EXPECT_EQ(value("SELECT total(900)"), "1000");
  EXPECT_EQ(value("SELECT count(*) FROM lists()"), "10");
  EXPECT_EQ(value("SELECT v FROM t WHERE id = 105"), "5");
  EXPECT_EQ(value("SELECT count(*) FROM pg_depend WHERE refobjid = "
                  "'\"m-old\".t'::regclass AND classid IN ("
                  "'pg_policy'::regclass, 'pg_proc'::regclass, "
                  "'pg_rewrite'::regclass)"),
            "0");
}

// By hand, ALTER TABLE .. RENAME COLUMN takes all of them along.
TEST_F(CarriedViewsTest, WhatUsesARenamedColumnFollowsAsIfRenamedByHand) {
  const char* const schema = R"sql(
CREATE TABLE t (a int PRIMARY KEY, b text, c int);
CREATE TABLE o (x int);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE UPDATE OF b ON t FOR EACH ROW WHEN (NEW.b <> 'x')
  EXECUTE FUNCTION f();
CREATE VIEW vw AS SELECT a, b, c + 1 AS d FROM t;
CREATE VIEW on_vw AS SELECT b FROM vw;
CREATE RULE r AS ON DELETE TO t WHERE OLD.b = 'keep' DO INSTEAD NOTHING;
CREATE POLICY p ON t USING (b <> 'secret');
CREATE POLICY p ON o USING (x IN (SELECT c FROM t WHERE b = ''));
CREATE STATISTICS st ON b, c FROM t;
CREATE FUNCTION total() RETURNS text LANGUAGE sql
  BEGIN ATOMIC SELECT max(b) FROM t; END;
ALTER TABLE t ADD CONSTRAINT self FOREIGN KEY (c) REFERENCES t;
GRANT SELECT (b), UPDATE (c) ON t TO pg_monitor)sql";
  // b and c change places; a gets another name.
  const char* const script =
      "ALTER TABLE {0}.t RENAME a TO \"A b\"; ALTER TABLE {0}.t RENAME b TO x; "
      "ALTER TABLE {0}.t RENAME c TO b; ALTER TABLE {0}.t RENAME x TO c;";
  admin_.exec("DROP TABLE t, m.t");
  admin_.exec(schema);
  make_shadow("t");
  admin_.exec(fmt::format(fmt::runtime(script), "m"));
  ExchangeTable t = table("t");
  last_target().changes = {"columns are renamed"};
  t.renamed = {{"a", "A b"}, {"b", "c"}, {"c", "b"}};

  exchange({t});

  const auto exchanged = dump();
  EXPECT_EQ(value("SELECT string_agg(attname, ' ' ORDER BY attnum) FROM "
                  "pg_attribute WHERE attrelid = '\"m-old\".t'::regclass AND "
                  "attnum > 0"),
            "a b c");
  admin_.exec(
      "DROP SCHEMA \"m-old\" CASCADE; DROP TABLE t CASCADE; DROP TABLE o; "
      "DROP FUNCTION f");
  admin_.exec(schema);
  admin_.exec(fmt::format(fmt::runtime(script), "public"));
  EXPECT_THAT(test::dump_difference(dump(), exchanged), IsEmpty());
}

struct OnAView {
  const char* name;
  const char* sql;
  const char* what;
};

class OnAViewTest : public CarriedViewsTest,
                    public ::testing::WithParamInterface<OnAView> {};

TEST_P(OnAViewTest, IsRefusedByNameWhenTheViewIsMadeAnew) {
  admin_.exec("CREATE VIEW vw AS SELECT id, v FROM t");
  Session superuser = superuser_session();
  superuser.exec(GetParam().sql);
  const ExchangeTable t = widened();

  const auto refusals = catalog::uncarried_views(
      connection_, {{.source = t.source_oid, .target = t.shadow_oid}});

  EXPECT_THAT(refusals, Contains(::testing::Field(&Refusal::what,
                                                  HasSubstr(GetParam().what))));
  expect_refused(t, GetParam().what);
  // Nothing of it stands in the way of a view that is only replaced.
  EXPECT_THAT(catalog::uncarried_views(connection_, {{.source = t.source_oid,
                                                      .target = t.source_oid}}),
              IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, OnAViewTest,
    ::testing::Values(
        OnAView{"AFunctionWithItsRowType",
                "CREATE FUNCTION f(vw) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "function public.f(public.vw)"},
        OnAView{"AFunctionThatReadsIt",
                "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql "
                "BEGIN ATOMIC SELECT count(*) FROM vw; END",
                "function public.f()"},
        OnAView{"AColumnOfItsRowType", "CREATE TABLE o (x vw)",
                "column x of table public.o"},
        OnAView{"APolicy",
                "CREATE TABLE o (x int); CREATE POLICY p ON o USING (x IN "
                "(SELECT v FROM vw))",
                "policy p on table public.o"},
        OnAView{"ARuleOfTheTable",
                "CREATE RULE r AS ON DELETE TO t DO ALSO SELECT FROM vw",
                "rule r on table public.t"},
        OnAView{"AViewOfAnotherOwner", "CREATE VIEW theirs AS SELECT v FROM vw",
                "view public.theirs must be created anew with the new table, "
                "and belongs to postgres"},
        OnAView{"AnExtension", "ALTER EXTENSION plpgsql ADD VIEW vw",
                "view public.vw is tied to extension plpgsql"},
        OnAView{"AGrantOnItsRowType", "GRANT USAGE ON TYPE vw TO pg_monitor",
                "type public.vw has grants of its own, which it would lose"},
        OnAView{"ACommentOnItsRowType", "COMMENT ON TYPE vw IS 'rows'",
                "type public.vw has a comment of its own, which it would lose"},
        OnAView{"ASecurityLabel",
                "SET allow_system_table_mods = on; INSERT INTO pg_seclabel "
                "VALUES ('vw'::regclass, 'pg_class'::regclass, 0, 'anon', 'm')",
                "view public.vw has a security label of provider anon (m)"}),
    [](const auto& kind) { return kind.param.name; });

// It may have come since the plan.
TEST_F(CarriedViewsTest, AViewThatNamesColumnsByTheirOrderMayNotComeMeanwhile) {
  admin_.exec(
      "ALTER TABLE m.t DROP v, ADD v int; UPDATE m.t SET v = id; "
      "CREATE VIEW by_place AS SELECT x.b FROM t AS x(a, b)");
  const ExchangeTable t = table("t");
  last_target().changes = {"v changes its place"};

  expect_refused(t, "view public.by_place names columns by their order");
}

// Writers go through views all the time, some of them made anew and some only
// replaced. Each of their rows is in the new table, and none fails.
TEST_F(CarriedViewsTest, WritersThroughViewsNeitherFailNorWriteToTheOldTable) {
  admin_.exec(
      "CREATE VIEW anew AS SELECT id, v, w FROM t; "
      "CREATE VIEW on_anew AS SELECT id, v FROM anew WHERE v > 0; "
      "CREATE VIEW replaced AS SELECT id, w FROM t");
  const ExchangeTable t = widened();
  std::atomic<int> written{0};
  std::atomic<int> next{1000};
  std::vector<std::string> failures;
  std::mutex mutex;
  const auto write = [&](const std::stop_token& stop, const char* insert) {
    Session session(dsn());
    while (!stop.stop_requested()) {
      const int id = next++;
      const std::string state =
          session.try_exec(fmt::format(fmt::runtime(insert), id));
      if (state == kSuccess) {
        ++written;
        continue;
      }
      const std::lock_guard lock(mutex);
      failures.push_back(state);
    }
  };
  std::vector<std::jthread> writers;
  for (const char* insert : {"INSERT INTO anew VALUES ({}, 1, 'w')",
                             "INSERT INTO on_anew VALUES ({}, 1)",
                             "INSERT INTO replaced VALUES ({}, 'w')"}) {
    writers.emplace_back(write, insert);
  }
  // What they wrote so far is refreshed under the locks, as a drain does.
  ExchangeHooks hooks;
  int before = 0;
  hooks.drain = [&](pg::Connection& connection, Deadline) {
    connection.exec(
        "INSERT INTO m.t SELECT * FROM public.t WHERE id NOT IN "
        "(SELECT id FROM m.t)");
    before = written;
  };
  ASSERT_TRUE(test::eventually([&] { return written > 50; }));
  Attempt done;
  for (int i = 0; i < 20 && done.outcome != Outcome::kExchanged; ++i) {
    done = attempt({t}, hooks);
  }
  ASSERT_EQ(done.outcome, Outcome::kExchanged) << done.reason;
  ASSERT_TRUE(test::eventually([&] { return written > before + 50; }));
  writers.clear();

  EXPECT_THAT(failures, IsEmpty());
  EXPECT_EQ(value("SELECT count(*) FROM t"), std::to_string(9 + written));
}

// A view's own query is a rule, which may have a comment.
TEST_F(CarriedViewsTest, AViewThatIsMadeAnewKeepsTheCommentOnItsQuery) {
  admin_.exec(
      "CREATE VIEW \"V v\" AS SELECT v FROM t; "
      "COMMENT ON RULE \"_RETURN\" ON \"V v\" IS 'it''s read'");

  exchange({widened()});

  EXPECT_EQ(value("SELECT obj_description(oid, 'pg_rewrite') FROM pg_rewrite "
                  "WHERE ev_class = '\"V v\"'::regclass"),
            "it's read");
}

// The server prints the added column, too, in the list behind the join's alias:
// that was taken for another query.
TEST_F(CarriedViewsTest, AViewOfAJoinWithAnAliasGoesAlongWhereAColumnIsAdded) {
  admin_.exec(
      "CREATE VIEW joined AS SELECT x.one, x.two FROM "
      "(t a JOIN t b USING (id, v, w)) AS x(one, two)");
  admin_.exec("ALTER TABLE m.t ADD fresh int");
  const ExchangeTable t = table("t");
  last_target().changes = {"adds fresh"};

  exchange({t});

  EXPECT_EQ(value("SELECT count(*) FROM joined"), "9");
  EXPECT_EQ(value("SELECT pg_get_viewdef('joined'::regclass) LIKE '%fresh%'"),
            "t");
}

}  // namespace
}  // namespace pgrecast::exchange
