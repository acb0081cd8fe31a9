#include "by_hand_fixture.h"

// What a script says of comments, grants, statistics, and names of indexes and
// constraints: what is refused, and what the plan keeps of the rest. That the
// shadow gets the same as by hand, the cases of fold_test.cc show.
namespace pgrecast::plan {
namespace {

class ObjectsTest : public ByHand {
 protected:
  static constexpr const char* kTable =
      "CREATE TABLE t (id int PRIMARY KEY, a int, b int, up int REFERENCES t); "
      "CREATE STATISTICS s ON a, b FROM t; CREATE TABLE other (id int); "
      "CREATE INDEX other_idx ON other (id)";

  std::vector<ScriptGrant> grants_of(const std::string& script) {
    return plan_of(script).targets.at(0).grants;
  }

  static ScriptGrant grant(const std::string& privilege,
                           const std::string& grantee, bool granted) {
    ScriptGrant change;
    change.privilege = privilege;
    change.grantee = grantee;
    change.granted = granted;
    return change;
  }

  // Grantors aside: the owner has a name of the test's.
  static std::vector<ScriptGrant> anonymous(std::vector<ScriptGrant> changes) {
    for (ScriptGrant& change : changes) change.grantor.clear();
    return changes;
  }
};

TEST_F(ObjectsTest, RefusesWhatIsNotOfTheMigration) {
  const std::pair<const char*, const char*> cases[] = {
      {"COMMENT ON INDEX other_idx IS 'x'", "is no index of a table"},
      {"ALTER INDEX other_idx RENAME TO x", "is no index of a table"},
      {"COMMENT ON STATISTICS s IS 'x'",
       "are no statistics that this script has made"},
      {"DROP STATISTICS none", "are no statistics of a table"},
      {"DROP STATISTICS s; DROP STATISTICS s", "are no statistics of a table"},
      {"COMMENT ON CONSTRAINT t_up_fkey ON t IS 'x'", "is a foreign key"},
      {"ALTER TABLE t RENAME CONSTRAINT t_up_fkey TO x", "is a foreign key"},
      {"COMMENT ON CONSTRAINT none ON t IS 'x'", "does not exist"},
      {"ALTER TABLE t RENAME CONSTRAINT none TO x", "does not exist"},
      {"GRANT SELECT ON t TO nobody_of_that_name", "does not exist"},
      {"GRANT SELECT (none) ON t TO PUBLIC", "does not exist"},
      {"CREATE STATISTICS s ON a, b FROM t", "are there already"},
      {"CREATE STATISTICS n ON a, b FROM t; CREATE STATISTICS n ON a, b FROM t",
       "are there already"},
      {"CREATE STATISTICS public.n ON a, b FROM t",
       "the statistics would be in schema public"},
  };
  make_tables("src", kTable);
  for (const auto& [script, words] : cases) {
    SCOPED_TRACE(script);
    refuses("", std::string("ALTER TABLE t ADD c int; ") + script, words);
  }
}

// CREATE TABLE makes the clone anew.
TEST_F(ObjectsTest, RefusesGrantsBeforeTheWholeShape) {
  make_tables("src", "CREATE TABLE w (id int PRIMARY KEY, a int)");
  constexpr const char* kShape = "CREATE TABLE w (a int, id int PRIMARY KEY)";

  refuses("", std::string("GRANT SELECT ON w TO PUBLIC; ") + kShape,
          "is gone with the CREATE TABLE behind it");
  refuses("", std::string("CREATE STATISTICS n ON id, a FROM w; ") + kShape,
          "are gone with the old shape");
  EXPECT_THAT(anonymous(grants_of(std::string(kShape) +
                                  "; GRANT SELECT ON w TO PUBLIC")),
              testing::ElementsAre(grant("SELECT", "", true)));
}

// By hand the server would have refused the name, or chosen another.
TEST_F(ObjectsTest, RefusesNamesThatOthersHave) {
  make_tables("src", kTable);
  for (const char* script :
       {"ALTER INDEX t_pkey RENAME TO other", "CREATE INDEX other_idx ON t (a)",
        "ALTER TABLE t RENAME CONSTRAINT t_pkey TO other_idx",
        "ALTER TABLE t ADD CONSTRAINT other UNIQUE (a)"}) {
    refuses("", std::string("ALTER TABLE t ADD c int; ") + script,
            "cannot keep its name");
  }
}

TEST_F(ObjectsTest, StatisticsWhoseNameIsFreedInTheScriptAreMade) {
  make_tables("src", kTable);

  const Plan plan = plan_of(
      "DROP STATISTICS src.s; CREATE STATISTICS s (mcv) ON b, up FROM t; "
      "COMMENT ON STATISTICS s IS 'new'; DROP STATISTICS IF EXISTS none; "
      "CREATE STATISTICS IF NOT EXISTS s ON a, b FROM t; ALTER TABLE t ADD c "
      "int");

  EXPECT_THAT(plan.targets.at(0).dropped_statistics,
              testing::ElementsAre(
                  catalog::QualifiedName{.schema = "src", .name = "s"}));
  EXPECT_THAT(plan.targets.at(0).changes,
              testing::ElementsAre("statistics s dropped", "statistics s added",
                                   "comment on statistics s",
                                   "column c added, integer"));
}

TEST_F(ObjectsTest, GrantsAreWhatTheScriptMakesOfThoseThatThereAre) {
  make_tables("src", kTable);
  session().exec(
      "GRANT SELECT, INSERT ON src.t TO pg_monitor; GRANT UPDATE (a, b) ON "
      "src.t TO pg_read_all_stats");

  EXPECT_THAT(anonymous(grants_of("GRANT SELECT ON t TO pg_monitor")),
              testing::IsEmpty());
  EXPECT_THAT(anonymous(grants_of("REVOKE INSERT ON t FROM pg_monitor; GRANT "
                                  "DELETE ON t TO PUBLIC")),
              testing::ElementsAre(grant("INSERT", "pg_monitor", false),
                                   grant("DELETE", "", true)));
  ScriptGrant passed_on = grant("SELECT", "pg_monitor", true);
  passed_on.grantable = true;
  EXPECT_THAT(anonymous(grants_of("GRANT SELECT ON t TO pg_monitor WITH GRANT "
                                  "OPTION")),
              testing::ElementsAre(passed_on));
}

// A column's grants follow it; those of a dropped one are gone with it.
TEST_F(ObjectsTest, GrantsOnColumnsFollowTheirNames) {
  make_tables("src", kTable);
  session().exec("GRANT UPDATE (a, b) ON src.t TO pg_monitor");
  ScriptGrant revoked = grant("UPDATE", "pg_monitor", false);
  revoked.column = "c";
  ScriptGrant granted = grant("SELECT", "pg_monitor", true);
  granted.column = "c";

  const auto changes = grants_of(
      "DROP STATISTICS s; ALTER TABLE t RENAME a TO z; REVOKE UPDATE (z) ON t "
      "FROM pg_monitor; "
      "GRANT SELECT (z, b) ON t TO pg_monitor; ALTER TABLE t RENAME z TO c; "
      "ALTER TABLE t DROP b");

  EXPECT_THAT(anonymous(changes), testing::ElementsAre(revoked, granted));
}

TEST_F(ObjectsTest, TheShadowIsLeftWithTheGrantsThatItHad) {
  session().exec(
      "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor");

  const Outcome outcome = folded_into_shadows(
      "CREATE TABLE t (id int PRIMARY KEY, a int); REVOKE ALL ON t FROM "
      "pg_monitor",
      "GRANT SELECT (a), INSERT ON t TO PUBLIC");

  ASSERT_TRUE(outcome.fine()) << outcome.refused << outcome.failed;
  const std::string shadow = made_plan().targets.at(0).shadow.quoted();
  EXPECT_EQ(session().query_value("SELECT has_table_privilege('pg_monitor', "
                                  "$1, 'SELECT') AND NOT has_table_privilege("
                                  "'public', $1, 'INSERT') AND NOT "
                                  "has_column_privilege('public', $1, 'a', "
                                  "'SELECT')",
                                  shadow),
            "t");
  EXPECT_EQ(session().query_value(
                "SELECT nspacl::text LIKE '%=U/%' FROM pg_namespace WHERE "
                "nspname = $1",
                made_plan().targets.at(0).shadow.schema),
            "(null)");
}

// All of them at once, each with its place; but not what only follows from
// another one: of what stands behind a refused ALTER TABLE nothing is said.
TEST_F(ObjectsTest, EveryRefusalIsSaidWithItsPlace) {
  make_tables("src", kTable);
  make_tables("src", "CREATE TABLE u (id int PRIMARY KEY, \"名前\" text)");
  const std::string script =
      "UPDATE t SET a = random();\n"
      "\tCOMMENT ON INDEX none IS 'x';\n"
      "UPDATE u SET \"名前\" = 'e\xCC\x81' || nothing;\n"
      "ALTER TABLE t ADD COLUMN x nonsense;\n"
      "UPDATE t SET x = 1;\n"
      "GRANT SELECT (none) ON u TO PUBLIC;\n"
      "ALTER TABLE u ALTER COLUMN id TYPE smallint";
  std::vector<std::string> said;
  try {
    plan_of(script);
  } catch (const Refused& refused) {
    for (const Refusal& refusal : refused.refusals()) {
      said.push_back(refusal.what);
      EXPECT_NE(refusal.remedy, "");
    }
  }

  ASSERT_EQ(said.size(), 6U) << testing::PrintToString(said);
  EXPECT_THAT(said[0], testing::StartsWith("test.sql:1:18: "));
  EXPECT_THAT(said[1], testing::StartsWith("test.sql:2:19: none is no index"));
  EXPECT_THAT(said[1], testing::HasSubstr("\n  \tCOMMENT ON INDEX none IS 'x';"
                                          "\n  \t                 ^"));
  EXPECT_THAT(said[2], testing::StartsWith("test.sql:3:29: nothing is no"));
  // Two columns a character of the name, none for the accent.
  EXPECT_THAT(said[2], testing::HasSubstr("\n  " + std::string(29, ' ') + "^"));
  EXPECT_THAT(said[3],
              testing::StartsWith("test.sql:4:28: the server refuses"));
  EXPECT_THAT(said[4], testing::StartsWith("test.sql:6:1: the server refuses"));
  EXPECT_THAT(said[5], testing::StartsWith("test.sql:7:36: column id belongs"));
}

// The server speaks of the statement as it was run, with another table's name,
// with now() frozen, as part of a statement of ours.
TEST_F(ObjectsTest, TheCaretStandsWhereTheServerFoundFault) {
  make_tables("src", kTable);
  const auto said = [&](const std::string& script) {
    try {
      plan_of(script);
    } catch (const Refused& refused) {
      return refused.refusals().at(0).what;
    }
    return std::string("nothing");
  };
  using testing::HasSubstr;
  using testing::StartsWith;

  const std::string of_update = said(
      "BEGIN;\nUPDATE t SET\n\ta = /* größer als\n vorher */ a\n"
      "\t+ length('größer' || t.a || now()) + größe(t.a, now()) ;");
  EXPECT_THAT(of_update, StartsWith("test.sql:5:39: the server refuses this"));
  EXPECT_THAT(of_update, HasSubstr("\n  \t" + std::string(37, ' ') + "^"));

  EXPECT_THAT(said("ALTER TABLE t\n  ADD x int,\n"
                   "  ALTER a TYPE bigint USING \"größe\"(a)"),
              StartsWith("test.sql:3:29: the server refuses this"));
  EXPECT_THAT(said("DELETE FROM t AS x\nWHERE x.a = 1 AND x.a @@@ 2"),
              StartsWith("test.sql:2:23: the server refuses this"));
  // Of this the server says no place.
  EXPECT_THAT(said("CREATE INDEX CONCURRENTLY ON t (a,\n b, gone)"),
              StartsWith("test.sql:1:1: the server refuses this"));
}

TEST_F(ObjectsTest, TheTargetKeepsThemAll) {
  make_tables("src", kTable);
  const TableTarget target =
      plan_of(
          "DROP STATISTICS s; GRANT SELECT (a) ON t TO PUBLIC; ALTER TABLE t "
          "ADD c int")
          .targets.at(0);

  const TableTarget again = TableTarget::from_json(target.to_json());

  EXPECT_EQ(again.grants, target.grants);
  EXPECT_EQ(again.grants.size(), 1U);
  EXPECT_EQ(again.dropped_statistics, target.dropped_statistics);
  EXPECT_EQ(again.dropped_statistics.size(), 1U);
}

}  // namespace
}  // namespace pgrecast::plan
