// Databases that are not in UTF-8. Our sessions are: the server converts what
// it sends them, names and keys in the stream among it, but for a database that
// does not know what its bytes mean.

#include "scenarios/rules/story.h"

#include <gmock/gmock.h>

#include <optional>
#include <string>

namespace pgrecast::test {
namespace {

using testing::HasSubstr;

constexpr int kRefused = 3;
constexpr int kDataRejected = 10;

class Encodings : public ::testing::Test {
 protected:
  // The session that `setup` is run on goes on in UTF-8 where it can.
  void begin(const std::string& encoding, const std::string& setup) {
    database_.emplace(SharedCluster::get(), encoding);
    owner_.emplace(database_->dsn());
    if (encoding != "SQL_ASCII") owner_->exec("SET client_encoding = UTF8");
    owner_->exec(setup);
  }

  // `changes` come by the stream, rows and keys.
  void migrate(const std::string& script, const std::string& changes) {
    Migration migration(*database_, script);
    Program run = migration.run({"--cutover", "manual"});
    run.wait_for_output("phase=ready");
    owner_->exec(changes);
    ASSERT_EQ(migration.command("cutover"), 0);
    EXPECT_EQ(run.wait(), 0) << run.output();
    EXPECT_EQ(owner_->query_value("SELECT count(*) > 0 FROM " + quoted_table_),
              "t");
    EXPECT_EQ(
        differing_rows(*owner_,
                       "SELECT * FROM pgrecast_story_retired." + quoted_table_,
                       "TABLE " + quoted_table_),
        0);
  }

  void expect(int code, const std::string& words, const std::string& script) {
    Migration migration(*database_, script);
    Program run = migration.run({"--log-format", "json"});
    EXPECT_EQ(run.wait(), code) << run.output();
    EXPECT_THAT(run.output(), HasSubstr(words));
  }

  std::string quoted_table_ = "t";
  std::optional<Database> database_;
  std::optional<Session> owner_;
};

TEST_F(Encodings, Latin1IsMigratedWithItsNamesItsKeysAndItsRows) {
  quoted_table_ = "\"größe\"";
  begin("LATIN1",
        "CREATE TABLE \"größe\" (\"schlüssel\" text PRIMARY KEY, \"maß\" text "
        "DEFAULT 'ä' CHECK (\"maß\" <> 'ß'), v int);"
        "CREATE INDEX \"verzeichnis_é\" ON \"größe\" (\"maß\");"
        "COMMENT ON COLUMN \"größe\".\"maß\" IS 'Länge';"
        "CREATE VIEW \"übersicht\" AS SELECT \"maß\" FROM \"größe\";"
        "INSERT INTO \"größe\" SELECT 'straße ' || chr(i), chr(i), i FROM "
        "generate_series(160, 255) i WHERE i <> 223");

  migrate("ALTER TABLE \"größe\" ALTER COLUMN v TYPE bigint;",
          "UPDATE \"größe\" SET v = -v WHERE v % 2 = 0;"
          "UPDATE \"größe\" SET \"schlüssel\" = 'weg ' || chr(v) WHERE v % 3 = "
          "1 AND v > 0;"
          "DELETE FROM \"größe\" WHERE v % 5 = 3;"
          "INSERT INTO \"größe\" VALUES ('ÿ', 'neu', 0)");
}

// A key that may come back as another one would be another row's.
TEST_F(Encodings, EucJpIsMigratedUnlessItsKeyIsText) {
  quoted_table_ = "\"注文\"";
  begin("EUC_JP",
        "CREATE TABLE \"注文\" (\"番号\" int PRIMARY KEY, \"品名\" text, v "
        "int);"
        "CREATE UNIQUE INDEX \"品名索引\" ON \"注文\" (\"品名\");"
        "INSERT INTO \"注文\" SELECT i, '品' || i, i FROM generate_series(1, "
        "100) i;"
        // Two characters of EUC_JP that are one in Unicode.
        "INSERT INTO \"注文\" VALUES (101, convert_from('\\xadf0', 'EUC_JP'),"
        " 0), (102, convert_from('\\xa2e2', 'EUC_JP'), 0);"
        "CREATE TABLE t (k text PRIMARY KEY, v int)");

  expect(kRefused, "whose texts in encoding EUC_JP are not all themselves",
         "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  migrate("ALTER TABLE \"注文\" ALTER COLUMN v TYPE bigint;",
          "UPDATE \"注文\" SET v = -v WHERE v % 2 = 0;"
          "UPDATE \"注文\" SET \"番号\" = 1000 + \"番号\" WHERE v % 3 = 1;"
          "DELETE FROM \"注文\" WHERE v % 5 = 3");
}

TEST_F(Encodings, WhateverBytesADatabaseWithoutOneHasInItsRowsAndKeys) {
  begin("SQL_ASCII",
        "CREATE TABLE t (k text PRIMARY KEY, name text UNIQUE, v int DEFAULT "
        "length('caf\xe9'), CHECK (name <> 'caf\xe9'));"
        "COMMENT ON COLUMN t.v IS 'caf\xe9';"
        "CREATE VIEW \"caf\xe9\" AS SELECT name FROM t;"
        "INSERT INTO t SELECT E'\\xe9 ' || i, E'\\xff\\xc3' || i, i FROM "
        "generate_series(1, 100) i");

  expect(kDataRejected, "\xe9 50", "ALTER TABLE t ADD CHECK (v <> 50);");
  migrate("ALTER TABLE t ALTER COLUMN v TYPE bigint;",
          "UPDATE t SET v = -v WHERE v % 2 = 0;"
          "UPDATE t SET k = E'\\xfc' || k WHERE v % 3 = 1;"
          "DELETE FROM t WHERE v % 5 = 3");
}

// It ended with an internal error, of the name of a foreign key in the exchange
// only.
TEST_F(Encodings, ANameThatIsNotUtf8IsRefused) {
  begin("SQL_ASCII",
        "CREATE TABLE t (id int PRIMARY KEY, v int);"
        "CREATE TABLE u (id int REFERENCES t)");
  for (const auto& [name, undo] :
       {std::pair{"ALTER TABLE t ADD COLUMN \"caf\xe9\" int",
                  "ALTER TABLE t DROP COLUMN \"caf\xe9\""},
        std::pair{"CREATE INDEX \"caf\xe9\" ON t (v)",
                  "DROP INDEX \"caf\xe9\""},
        std::pair{
            "ALTER TABLE u RENAME CONSTRAINT u_id_fkey TO \"caf\xe9\"",
            "ALTER TABLE u RENAME CONSTRAINT \"caf\xe9\" TO u_id_fkey"}}) {
    SCOPED_TRACE(name);
    owner_->exec(name);
    expect(kRefused, "caf\\xE9", "ALTER TABLE t ADD COLUMN w int;");
    owner_->exec(undo);
  }
}

}  // namespace
}  // namespace pgrecast::test
