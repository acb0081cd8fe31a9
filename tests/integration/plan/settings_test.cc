#include "by_hand_fixture.h"

namespace pgrecast::plan {
namespace {

using testing::Contains;
using testing::HasSubstr;

using SettingsTest = ByHand;

constexpr const char* kTimes =
    "CREATE TABLE t (id int PRIMARY KEY, ts timestamp, tz timestamptz, d text);"
    "INSERT INTO t SELECT x, '2024-03-31 00:30'::timestamp + x * interval '1 "
    "hour', '2024-03-31 00:30+00'::timestamptz + x * interval '1 hour', "
    "'0' || (x % 9 + 1) || '/05/2024' FROM generate_series(1, 40) AS x";

TEST_F(SettingsTest, SetHoldsForWhatFollows) {
  for (
      const char* script : {
          "SET TIME ZONE 'Europe/Berlin'; ALTER TABLE t ALTER ts TYPE "
          "timestamptz, ALTER tz TYPE timestamp",
          "SET TimeZone TO 'Asia/Tokyo'; SET datestyle = 'SQL, MDY'; UPDATE t "
          "SET ts = tz, d = tz",
          "BEGIN; SET LOCAL TimeZone = 'Asia/Tokyo'; UPDATE t SET ts = tz; "
          "END",
          "SET TimeZone = 'Asia/Tokyo'; RESET TimeZone; ALTER TABLE t ALTER ts "
          "TYPE timestamptz",
          "BEGIN; SET LOCAL TimeZone = 'Asia/Tokyo'; COMMIT; ALTER TABLE t "
          "ALTER ts TYPE timestamptz",
          "ALTER TABLE t ALTER ts TYPE timestamptz; SET datestyle = 'ISO, MDY';"
          "ALTER TABLE t ADD CHECK (tz > '02/03/1999')",
          "SET datestyle = 'ISO, MDY'; ALTER TABLE t ADD n date DEFAULT "
          "'02/03/1999', ADD z timestamptz DEFAULT '1999-01-01 12:00'",
          "SET maintenance_work_mem = '32MB'; SET lock_timeout = '1ms'; SET "
          "client_min_messages = warning; UPDATE t SET d = 'x'",
      }) {
    same(kTimes, script);
    clear();
  }
}

TEST_F(SettingsTest, NamesResolveByTheScriptsOwnSearchPath) {
  session().exec(
      "CREATE SCHEMA other; CREATE FUNCTION other.twice(x int) RETURNS int "
      "IMMUTABLE LANGUAGE sql RETURN x * 2; GRANT USAGE ON SCHEMA other TO "
      "PUBLIC");
  // Not as by hand: there the schema of the tables is another.
  const Outcome outcome = folded_into_shadows(
      "CREATE TABLE t (id int PRIMARY KEY, i int); INSERT INTO t VALUES (1, 2)",
      "SET search_path = src, other; UPDATE t SET i = twice(i)");

  ASSERT_TRUE(outcome.fine()) << outcome.refused << outcome.failed;
  EXPECT_EQ(made_plan().targets[0].source.schema, "src");
  EXPECT_EQ(session().query_rows("SELECT i FROM " +
                                 made_plan().targets[0].shadow.quoted()),
            (test::Rows{{"4"}}));
}

TEST_F(SettingsTest, WhatIsSetIsRecordedAndWhatHasNoEffectIsNoted) {
  make_tables("src", kTimes);

  const Plan plan = plan_of(
      "SET lock_timeout = '2s'; SET work_mem = '9MB'; BEGIN; SET TIME ZONE "
      "'Asia/Tokyo'; UPDATE t SET ts = tz; COMMIT");

  EXPECT_EQ(plan.settings.at("TimeZone"), "Asia/Tokyo");
  EXPECT_EQ(plan.settings_at_start.at("TimeZone"), "America/New_York");
  EXPECT_EQ(plan.settings.at("work_mem"), "9MB");
  EXPECT_FALSE(plan.settings.contains("lock_timeout"));
  EXPECT_THAT(plan.notes, Contains(HasSubstr("SET lock_timeout = '2s'")));
  EXPECT_THAT(plan.notes, Contains(HasSubstr("BEGIN and COMMIT")));
}

TEST_F(SettingsTest, ResetAllGoesBackToWhatHeldAtTheStart) {
  make_tables("src", kTimes);

  const Plan plan = plan_of(
      "SET TimeZone = 'Asia/Tokyo'; SET work_mem = '9MB'; RESET ALL; ALTER "
      "TABLE t ALTER ts TYPE timestamptz");

  for (const auto& [name, value] : plan.settings) {
    EXPECT_EQ(value, plan.settings_at_start.at(name)) << name;
  }
}

// A table moved, with all its indexes, to where the role makes new tables.
TEST_F(SettingsTest, TheTableStaysInItsTablespaceAndNewIndexesGoToTheRoles) {
  admin_.exec("SET allow_in_place_tablespaces = on");
  admin_.exec("CREATE TABLESPACE spare LOCATION ''");
  admin_.exec(
      "GRANT CREATE ON TABLESPACE spare TO PUBLIC; DO $$ BEGIN EXECUTE "
      "format('ALTER DATABASE %I SET default_tablespace = spare', "
      "current_database()); END $$");
  connection_ = std::make_unique<pg::Connection>(pg::Connection::open(
      {.conninfo = dsn(), .application = "pgrecast"}, "fold", {}));

  same(
      "CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE pg_default, i "
      "int) TABLESPACE pg_default; INSERT INTO t VALUES (1, 2)",
      "ALTER TABLE t ALTER id TYPE bigint; CREATE INDEX ti ON t (i)");

  EXPECT_EQ(session().query_value(
                "SELECT string_agg(relname, ' ') FROM pg_class c JOIN "
                "pg_namespace n ON n.oid = relnamespace WHERE reltablespace <> "
                "0 AND nspname = 'pgrecast_The \"m\"'"),
            "ti");
  clear();
  admin_.exec("DROP TABLESPACE spare");
}

TEST_F(SettingsTest, RefusesWhatCannotBeFoldedTruly) {
  const auto refused = [&](const std::string& script,
                           const std::string& words) {
    refuses(kTimes, script, words);
    clear();
  };
  refused(
      "UPDATE t SET ts = tz; SET TimeZone = 'Asia/Tokyo'; ALTER TABLE t ALTER "
      "tz TYPE timestamp",
      "with TimeZone = Asia/Tokyo, and a statement before it with "
      "America/New_York");
  refused("SET LOCAL TimeZone = 'UTC'; DELETE FROM t WHERE id = 1",
          "SET LOCAL outside of BEGIN");
  refused("BEGIN; DELETE FROM t WHERE id = 1", "never committed");
  refused("COMMIT; DELETE FROM t WHERE id = 1", "no BEGIN");
  refused("SET wal_compression = on; DELETE FROM t WHERE id = 1",
          "wal_compression cannot be set in a script");
  refused("SET TimeZone = 'Nowhere'; DELETE FROM t WHERE id = 1",
          "the server refuses this");
  refused("SET standard_conforming_strings = off; DELETE FROM t WHERE id = 1",
          "standard_conforming_strings");
  refused("SET NAMES 'LATIN1'; DELETE FROM t WHERE id = 1", "UTF-8");
}

}  // namespace
}  // namespace pgrecast::plan
