#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/errors.h"

#include "support/operator_class.h"
#include "support/test_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgrecast::catalog {
namespace {

class CatalogTest : public test::TestDatabase {
 protected:
  Table read(const std::string& name = "t") {
    return read_table(connection_,
                      find_relation(connection_, "public", name).value());
  }

  pg::Connection connection_ = pg::Connection::open(
      {.conninfo = dsn(), .application = "pgrecast"}, "test", {});
};

TEST_F(CatalogTest, ColumnsSayWhatToCastToWithoutCuttingOff) {
  session().exec(
      "CREATE DOMAIN inner_d AS varchar(5); CREATE DOMAIN d AS inner_d;"
      "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (a varchar(5), b char(3), c "
      "bit(4), vb varbit(9), n numeric(10,2), ts timestamptz(2), dom d, en e, "
      "arr varchar(4)[], g int GENERATED ALWAYS AS (1) STORED, i int GENERATED "
      "ALWAYS AS IDENTITY, \"D \"\"x\" text NOT NULL DEFAULT 'q')");
  const Table table = read();
  const auto cast_type = [&](const char* name) {
    return table.column(name)->cast_type;
  };

  EXPECT_EQ(cast_type("a"), "character varying");
  EXPECT_EQ(cast_type("b"), "bpchar");
  EXPECT_EQ(cast_type("c"), "\"bit\"");
  EXPECT_EQ(cast_type("vb"), "bit varying");
  EXPECT_EQ(cast_type("n"), "numeric(10,2)");
  EXPECT_EQ(cast_type("ts"), "timestamp(2) with time zone");
  EXPECT_EQ(cast_type("dom"), "character varying");
  EXPECT_EQ(cast_type("en"), "public.e");
  EXPECT_EQ(cast_type("arr"), "character varying[]");
  EXPECT_EQ(table.column("dom")->type, "public.d");
  EXPECT_EQ(table.column("dom")->base_modifier, 9);
  EXPECT_EQ(table.column("a")->base_modifier, 9);
  EXPECT_EQ(table.column("c")->base_modifier, 4);
  EXPECT_TRUE(table.column("g")->generated);
  EXPECT_FALSE(table.column("g")->default_expression.has_value());
  EXPECT_TRUE(table.column("i")->identity);
  EXPECT_TRUE(table.column("D \"x")->not_null);
  EXPECT_EQ(table.column("D \"x")->default_expression, "'q'::text");
  EXPECT_EQ(table.column("nope"), nullptr);
}

TEST_F(CatalogTest, KeyKnowsWhichTypesHaveOneForm) {
  session().exec(
      "CREATE EXTENSION citext; CREATE COLLATION ci (provider = icu, locale = "
      "'und', deterministic = false); CREATE DOMAIN d AS bigint; CREATE TABLE "
      "t (i int, b d, n numeric, c citext, ci text COLLATE ci, s text, f "
      "float8, x char(4), ts date, u uuid, PRIMARY KEY (i, b, n, c, ci, s, f, "
      "x, ts, u))");
  const Key key = read().key.value();
  std::string forms;
  for (const KeyColumn& column : key.columns)
    forms += column.one_form ? 'y' : 'n';

  EXPECT_EQ(forms, "yynnnynnyy");
  EXPECT_FALSE(key.one_form());
  EXPECT_EQ(key.columns[1].form, KeyForm::kInt8) << "a domain is its base";
  EXPECT_EQ(key.columns[8].form, KeyForm::kTimestamp);
  EXPECT_EQ(key.columns[9].form, KeyForm::kUuid);
  EXPECT_EQ(key.columns[3].equals, "OPERATOR(public.=)");
  EXPECT_EQ(key.columns[3].type, "public.citext");
  EXPECT_EQ(key.columns[7].type, "bpchar");
}

constexpr const char* kTableOfThatClass =
    "CREATE TABLE t (id text NOT NULL); CREATE UNIQUE INDEX i ON t (id "
    "\"O p\".ci_ops); ALTER TABLE t REPLICA IDENTITY USING INDEX i";

TEST_F(CatalogTest, KeyIsComparedByTheOperatorsOfItsIndex) {
  superuser_session().exec(test::case_insensitive_operator_class(true));
  session().exec(kTableOfThatClass);

  const KeyColumn column = read().key.value().columns[0];

  EXPECT_EQ(column.equals, "OPERATOR(\"O p\".=#)");
  EXPECT_EQ(column.less, "OPERATOR(\"O p\".<#)");
  EXPECT_EQ(column.less_equal, "OPERATOR(\"O p\".<=#)");
  EXPECT_EQ(column.greater, "OPERATOR(\"O p\".>#)");
  EXPECT_FALSE(column.one_form) << "a and A are one key";
}

// No FULL JOIN by it is possible, which verification needs.
TEST_F(CatalogTest, KeyWhoseEqualityCannotBeJoinedByIsNone) {
  superuser_session().exec(test::case_insensitive_operator_class(false));
  session().exec(kTableOfThatClass);

  const Table table = read();

  EXPECT_FALSE(table.key.has_value());
  EXPECT_THAT(table.key_problem, testing::HasSubstr("neither merge nor hash"));
}

TEST_F(CatalogTest, KeyOfUnsteadyTextIsNone) {
  for (const char* type : {"money", "regclass", "regrole", "regtype"}) {
    session().exec(
        fmt::format("DROP TABLE IF EXISTS t; CREATE TABLE t (a int, b {}, "
                    "PRIMARY KEY (a, b))",
                    type));
    const Table table = read();
    EXPECT_FALSE(table.key.has_value()) << type;
    EXPECT_THAT(table.key_problem,
                testing::HasSubstr(std::string("column b "
                                               "is of type ") +
                                   type));
  }
}

// A label's old name means nothing any more, or another label, or has done so
// for a while: dirty keys were noted by it.
TEST_F(CatalogTest, FingerprintTellsWhereALabelOfTheKeyIsRenamed) {
  session().exec(
      "CREATE TYPE e AS ENUM ('a', 'b'); CREATE TYPE other AS ENUM ('a');"
      "CREATE DOMAIN d AS e; CREATE TABLE t (id int, k d[], v other, PRIMARY "
      "KEY (id, k))");
  const Oid oid = read().oid;
  Fingerprint known = read_fingerprint(connection_, oid, "p");
  const auto holds = [&] {
    const bool by_server =
        connection_.exec(fingerprint_check(known, oid, "p")).boolean(0, 0);
    EXPECT_EQ(known.holds(read_fingerprint(connection_, oid, "p")), by_server);
    return by_server;
  };
  EXPECT_EQ(known.key_labels.size(), 2U);
  EXPECT_EQ(Fingerprint::from_json(known.to_json()), known);

  const auto difference = [&] {
    return known.shape_difference(read_fingerprint(connection_, oid, "p"));
  };

  session().exec("ALTER TYPE other RENAME VALUE 'a' TO 'z'");
  EXPECT_TRUE(holds());
  session().exec("ALTER TYPE e ADD VALUE 'c' BEFORE 'a'");
  EXPECT_FALSE(holds());
  EXPECT_EQ(difference(), "") << "it may be taken over";
  known = read_fingerprint(connection_, oid, "p");
  EXPECT_TRUE(holds());

  session().exec("ALTER TYPE e RENAME VALUE 'b' TO 'B'");
  EXPECT_FALSE(holds());
  EXPECT_THAT(difference(), testing::HasSubstr("e b, now renamed"));
  session().exec("ALTER TYPE e RENAME VALUE 'B' TO 'b'");
  EXPECT_FALSE(holds()) << "was renamed for a while";
  EXPECT_EQ(difference(), "");
  known = read_fingerprint(connection_, oid, "p");
  EXPECT_TRUE(holds());
  session().exec(
      "ALTER TYPE e RENAME VALUE 'a' TO 'x'; ALTER TYPE e RENAME VALUE 'b' TO "
      "'a'; ALTER TYPE e RENAME VALUE 'x' TO 'b'");
  EXPECT_FALSE(holds()) << "exchanged";
  EXPECT_THAT(difference(), testing::HasSubstr("now renamed"));
}

TEST_F(CatalogTest, FingerprintTellsEveryChangeThatIsNotInTheStream) {
  if (cluster().version() < 15) {
    GTEST_SKIP() << "column lists came with PostgreSQL 15";
  }
  session().exec(
      "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, v e, u "
      "int NOT NULL UNIQUE); CREATE PUBLICATION p FOR TABLE t (id)");
  const Oid oid = read().oid;
  Fingerprint known = read_fingerprint(connection_, oid, "p");
  const auto holds = [&](pg::Connection& connection) {
    return connection.exec(fingerprint_check(known, oid, "p")).boolean(0, 0);
  };
  EXPECT_TRUE(holds(connection_));

  for (const auto& [change, what] :
       std::initializer_list<std::pair<const char*, const char*>>{
           {"VACUUM FULL t", ""},
           {"TRUNCATE t", ""},
           {"CLUSTER t USING t_pkey", ""},
           {"ALTER TABLE t ALTER v TYPE e USING 'a'::e", ""},
           {"ALTER TABLE t ADD COLUMN x int", "columns"},
           {"ALTER TABLE t RENAME x TO y", "columns"},
           {"ALTER TABLE t ALTER y TYPE varchar(3)", "columns"},
           {"ALTER TABLE t ALTER y TYPE varchar(4)", "columns"},
           {"ALTER TABLE t ALTER y SET NOT NULL", "columns"},
           {"ALTER TABLE t DROP y", "columns"},
           {"ALTER PUBLICATION p DROP TABLE t", "publication"},
           {"ALTER PUBLICATION p ADD TABLE t (id)", "publication"},
           {"ALTER PUBLICATION p SET (publish = 'insert')", "publication"},
           {"ALTER TABLE t REPLICA IDENTITY FULL", "replica identity"},
           {"ALTER TABLE t DROP CONSTRAINT t_pkey", "replica identity"},
           {"CREATE INDEX ON t (u)", "indexes"},
           {"ALTER TABLE t ADD CHECK (u > 0)", "constraints"},
           {"ALTER TABLE t ALTER u SET DEFAULT 5", "defaults"},
           {"ALTER TABLE t SET (fillfactor = 50)", "storage options"},
           {"ALTER TABLE t ALTER u SET (n_distinct = 7)", "storage options"},
           {"ALTER INDEX t_u_idx SET (fillfactor = 60)", "index options"},
           {"ALTER TABLE t CLUSTER ON t_u_idx", "index options"},
           {"COMMENT ON TABLE t IS 'ours'", "comments"},
           {"COMMENT ON TABLE t IS 'yours'", "comments"},
           {"COMMENT ON COLUMN t.u IS 'ours'", "comments"},
           {"COMMENT ON INDEX t_u_idx IS 'ours'", "comments"},
           {"ALTER TABLE t RENAME TO t2", "name"}}) {
    SCOPED_TRACE(change);
    session().exec(change);
    EXPECT_FALSE(holds(connection_));
    const Fingerprint now = read_fingerprint(connection_, oid, "p");
    EXPECT_NE(now, known);
    EXPECT_THAT(known.shape_difference(now), testing::HasSubstr(what));
    EXPECT_EQ(Fingerprint::from_json(now.to_json()), now);
    known = now;
    EXPECT_TRUE(holds(connection_));
  }
  for (const char* harmless :
       {"ANALYZE t2", "VACUUM t2", "COMMENT ON SCHEMA public IS 'x'",
        "REINDEX TABLE CONCURRENTLY t2", "INSERT INTO t2 VALUES (1, 'a', 1)"}) {
    session().exec(harmless);
    EXPECT_TRUE(holds(connection_))
        << harmless << ": "
        << known.shape_difference(read_fingerprint(connection_, oid, "p"));
  }
  known = read_fingerprint(connection_, oid, "p");
  session().exec("ALTER PUBLICATION p SET (publish = 'insert, update')");
  session().exec("ALTER PUBLICATION p SET (publish = 'insert')");
  EXPECT_FALSE(holds(connection_)) << "changed and changed back";
  session().exec("DROP TABLE t2");
  EXPECT_FALSE(holds(connection_));
  EXPECT_THROW(read_fingerprint(connection_, oid, "p"), SourceChanged);
}

// Types outside of pg_catalog were printed as the search_path says, so that
// sessions with the script's settings saw another table.
TEST_F(CatalogTest, FingerprintIsTheSameUnderAnySettings) {
  session().exec(
      "CREATE EXTENSION citext; CREATE TYPE e AS ENUM ('a'); CREATE TABLE t "
      "(id citext PRIMARY KEY, v e DEFAULT 'a', a e[], CHECK (v = 'a')); "
      "CREATE INDEX ON t (v) WHERE v = 'a'; CREATE PUBLICATION p FOR TABLE t");
  const Fingerprint known = read_fingerprint(connection_, read().oid, "p");

  for (const char* setting :
       {"SET search_path = public", "SET search_path = pg_catalog",
        "SET search_path = ''", "SET quote_all_identifiers = on",
        "SET standard_conforming_strings = off",
        "SET datestyle = 'SQL, DMY'"}) {
    connection_.exec(setting);
    EXPECT_TRUE(connection_.exec(fingerprint_check(known, read().oid, "p"))
                    .boolean(0, 0))
        << setting;
  }
}

TEST_F(CatalogTest, SettingsAreThoseOfTheScriptByHand) {
  superuser_session().exec(fmt::format(
      "ALTER DATABASE \"{0}\" SET timezone = 'Asia/Tokyo'; ALTER ROLE \"{1}\" "
      "IN "
      "DATABASE \"{0}\" SET search_path = \"S '1\", public; ALTER ROLE \"{1}\" "
      "SET datestyle = 'German'",
      database().name(), database().role()));
  pg::Connection connection = pg::Connection::open(
      {.conninfo = dsn(), .application = "pgrecast"}, "test", {});

  const Settings settings = read_script_settings(connection);

  EXPECT_EQ(connection.exec("SHOW timezone").text(0, 0), "UTC");
  apply_settings(connection, settings);
  test::Session by_hand = session();
  for (const auto& [name, value] : settings) {
    EXPECT_EQ(value, by_hand.query_value("SELECT current_setting($1)", name))
        << name;
    EXPECT_EQ(connection.exec("SELECT current_setting($1)", {name}).text(0, 0),
              value)
        << name;
  }
}

TEST_F(CatalogTest, GuardLocksFirstAndLooksAfterwards) {
  session().exec(
      "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE o (epoch int); INSERT "
      "INTO o VALUES (1)");
  SourceGuard guard("SELECT FROM public.o WHERE epoch = 1 FOR SHARE");
  guard.add_source(
      "\"public\".\"t\"",
      fingerprint_check(read_fingerprint(connection_, read().oid, "p"),
                        read().oid, "p"));
  {
    pg::Transaction transaction(connection_);
    guard.enter(connection_);
    EXPECT_EQ(session().query_value(
                  "SELECT mode FROM pg_locks WHERE relation = 't'::regclass "
                  "AND pid = $1",
                  connection_.backend_pid()),
              "AccessShareLock");
    EXPECT_EQ(session().try_exec("SET lock_timeout = '50ms'; UPDATE o SET "
                                 "epoch = 2"),
              "55P03")
        << "nobody takes over in the middle";
  }
  session().exec("ALTER TABLE t ADD c int");
  {
    pg::Transaction transaction(connection_);
    EXPECT_THROW(guard.enter(connection_), FingerprintMismatch);
  }
  session().exec("UPDATE o SET epoch = 2");
  pg::Transaction transaction(connection_);
  EXPECT_THROW(guard.enter(connection_), OwnershipLost);
}

// Under REPEATABLE READ the server says "could not serialize" instead.
TEST_F(CatalogTest, TakeoverUnderAnOldSnapshotIsATakeover) {
  session().exec("CREATE TABLE o (epoch int); INSERT INTO o VALUES (1)");
  const SourceGuard guard("SELECT FROM public.o WHERE epoch = 1 FOR SHARE");
  pg::Transaction transaction(connection_,
                              pg::Transaction::Isolation::kRepeatableRead);
  connection_.exec("SELECT FROM public.o");
  session().exec("UPDATE o SET epoch = 2");

  EXPECT_THROW(guard.prove_ownership(connection_), OwnershipLost);
}

TEST_F(CatalogTest, FindsRelationsByTheSearchPath) {
  session().exec("CREATE SCHEMA \"S 1\"; CREATE TABLE \"S 1\".\"t.x\" (i int)");

  EXPECT_FALSE(find_relation(connection_, std::nullopt, "t.x").has_value());
  EXPECT_TRUE(find_relation(connection_, "S 1", "t.x").has_value());
  EXPECT_FALSE(find_relation(connection_, "S 1", "T.x").has_value());
  connection_.exec("SET search_path = \"S 1\"");
  EXPECT_TRUE(find_relation(connection_, std::nullopt, "t.x").has_value());
}

}  // namespace
}  // namespace pgrecast::catalog
