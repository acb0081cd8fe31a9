#include "shadow_fixture.h"
#include "support/sync_standby.h"

#include <atomic>

namespace pgrecast::refresh {
namespace {

using test::Session;
using RoundsTest = test::ShadowFixture;

constexpr const char* kItems = R"sql(
CREATE TABLE items (id int PRIMARY KEY, v int, pad text DEFAULT repeat('x', 200));
INSERT INTO items SELECT x, x FROM generate_series(1, 3000) AS x)sql";
constexpr const char* kWiden =
    "ALTER TABLE items ALTER v TYPE bigint USING v * 2::bigint";

TEST_F(RoundsTest, SettlesKeysThatWereCopiedTwiceStaleOrAreGone) {
  begin(kItems, kWiden);
  Session app = session();

  const auto half = blocks() / 2;
  copy({.first = 0, .end = half});
  app.exec("UPDATE items SET v = -v WHERE id % 3 = 0");  // stale, twice
  app.exec("DELETE FROM items WHERE id % 7 = 0");        // gone
  app.exec("UPDATE items SET id = id + 10000 WHERE id % 11 = 0");
  app.exec("INSERT INTO items SELECT x, x FROM generate_series(5001, 5100) x");
  copy({.first = half, .end = blocks()});
  app.exec("UPDATE items SET v = v + 1 WHERE id % 5 = 0");  // stale
  app.exec("DELETE FROM items WHERE id > 13000");
  const std::string twice =
      app.query_value("SELECT count(*) FROM (SELECT id FROM " + shadow() +
                      " GROUP BY id HAVING count(*) > 1) AS t");
  ASSERT_NE(twice, "0") << "the copy was to hold keys twice";
  const RoundResult settled = rounds(100).settle(*data_);

  EXPECT_GT(settled.keys, 1000U);
  expect_in_step();
  EXPECT_EQ(dirty_count(), 0U);
  build_indexes();
}

// Under a search path that names pg_catalog last, somebody's operators come
// before the server's: a round found no row, and forgot the keys.
TEST_F(RoundsTest, FindsRowsByTheServersOperatorsWhateverTheSearchPath) {
  session().exec(
      "CREATE FUNCTION public.never(tid, tid) RETURNS bool IMMUTABLE LANGUAGE "
      "sql AS 'SELECT false';"
      "CREATE OPERATOR public.= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = "
      "public.never);"
      "CREATE OPERATOR public.< (LEFTARG = tid, RIGHTARG = tid, FUNCTION = "
      "public.never);"
      "CREATE OPERATOR public.>= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = "
      "public.never)");
  superuser_session().exec(
      fmt::format("ALTER ROLE \"{}\" SET search_path = public, pg_catalog",
                  database().role()));
  begin(kItems, kWiden);
  Session app = session();

  copy_all();
  app.exec("UPDATE items SET v = -v WHERE id % 3 = 0");
  rounds(100).settle(*data_);
  build_indexes();
  app.exec("UPDATE items SET v = v + 1 WHERE id % 5 = 0");
  rounds(100).exact(*data_);

  expect_in_step();
}

TEST_F(RoundsTest, SettlesAgainAfterItWasBroken) {
  begin(kItems, kWiden);
  copy_all();
  session().exec("UPDATE items SET v = -v WHERE id < 500");
  Rounds settling = rounds(100);
  // As if a crash had come behind the deletes of some and the inserts of all.
  settling.settle(*data_);
  session().exec("UPDATE items SET v = v + 5 WHERE id < 600");
  session().exec("DELETE FROM " + shadow() + " WHERE id < 100");
  settling.settle(*data_);

  expect_in_step();
}

TEST_F(RoundsTest, ExactRoundMakesTheShadowTheSourceWithManyBatches) {
  begin(kItems, kWiden);
  copy_all();
  build_indexes();
  Session app = session();
  app.exec("UPDATE items SET id = id + 100000 WHERE id <= 50");
  app.exec("UPDATE items SET v = 7 WHERE id BETWEEN 100 AND 200");
  app.exec("DELETE FROM items WHERE id BETWEEN 300 AND 310");
  app.exec("INSERT INTO items VALUES (1, 1), (-5, 2), (300, 0)");

  const RoundResult round = rounds(3).exact(*data_);

  EXPECT_EQ(round.keys, 50U + 50 + 101 + 11 + 1);
  EXPECT_EQ(round.rows, 50U + 101 + 3);
  expect_in_step();
  EXPECT_EQ(dirty_count(), 0U);
  EXPECT_EQ(rounds(3).exact(*data_).keys, 0U);
}

// The buffer keeps texts in the order of their bytes; each batch is sorted, and
// these are one.
TEST_F(RoundsTest, PutsTextsInTheOrderOfTheKeysIndex) {
  superuser_session().exec(
      "CREATE COLLATION german (provider = icu, locale = 'de')");
  begin(
      "CREATE TABLE items (n varchar(40) COLLATE german, id int, v int, "
      "PRIMARY "
      "KEY (n, id))",
      "ALTER TABLE items ALTER n TYPE text COLLATE german, ALTER v TYPE "
      "bigint");
  build_indexes();
  session().exec(
      "INSERT INTO items SELECT CASE x % 3 WHEN 0 THEN 'ä' WHEN 1 THEN 'B' "
      "ELSE "
      "'z' END || md5(x::text), x, x FROM generate_series(1, 200) AS x");

  rounds().exact(*data_);

  expect_in_step();
  EXPECT_EQ(session().query_value(
                "SELECT count(*) || ' ' || count(*) FILTER (WHERE before > n) "
                "FROM (SELECT n, lag(n) OVER (ORDER BY ctid) AS before FROM " +
                shadow() + ") AS placed"),
            "200 0");
}

constexpr const char* kUnique = R"sql(
CREATE TABLE items (id int PRIMARY KEY, u int UNIQUE);
INSERT INTO items SELECT x, x FROM generate_series(1, 100) AS x)sql";
constexpr const char* kUniqueWiden = "ALTER TABLE items ALTER u TYPE bigint";
// Every row hands its value to the next one.
constexpr const char* kHandOver =
    "BEGIN; UPDATE items SET u = -u; UPDATE items SET u = -u % 100 + 1; COMMIT";

TEST_F(RoundsTest, ExactRoundBearsUniqueValuesThatMoveBetweenRows) {
  begin(kUnique, kUniqueWiden);
  copy_all();
  build_indexes();

  for (int i = 0; i < 5; ++i) {
    session().exec(kHandOver);
    const RoundResult round = rounds(3).exact(*data_);
    EXPECT_EQ(round.keys, 100U);
    expect_in_step();
  }
}

TEST_F(RoundsTest, LooseRoundLeavesDirtyWhatAUniqueValueKeepsOut) {
  begin(kUnique, kUniqueWiden);
  copy_all();
  build_indexes();
  session().exec(kHandOver);

  const RoundResult loose = rounds(3).loose(*data_, false);

  EXPECT_GT(loose.skipped, 0U);
  EXPECT_GE(dirty_count(), loose.skipped);
  EXPECT_EQ(rounds(3).exact(*data_).skipped, 0U);
  expect_in_step();
}

TEST_F(RoundsTest, LooseRoundThatDeletesFirstBearsMovedUniqueValues) {
  begin(kUnique, kUniqueWiden);
  copy_all();
  build_indexes();
  session().exec(kHandOver);

  const RoundResult loose = rounds(3).loose(*data_, true);

  EXPECT_EQ(loose.skipped, 0U);
  EXPECT_EQ(loose.rows, 100U);
  expect_in_step();
  EXPECT_EQ(dirty_count(), 0U);
}

// Two rows, in different batches, exchange their values.
constexpr const char* kExchange =
    "BEGIN; UPDATE items SET u = -u WHERE id IN (1, 90); UPDATE items SET u = "
    "items.u - pair.sum FROM (SELECT sum(u) FROM items WHERE id IN (1, 90)) AS "
    "pair WHERE id IN (1, 90); COMMIT";

TEST_F(RoundsTest, LooseRoundLeavesDirtyOnlyWhatIsInTheWay) {
  begin(kUnique, kUniqueWiden);
  copy_all();
  build_indexes();
  session().exec("UPDATE items SET u = u");
  session().exec(kExchange);

  const RoundResult loose = rounds(50).loose(*data_, false);

  EXPECT_EQ(loose.keys, 100U);
  EXPECT_EQ(loose.violations, 1U);
  EXPECT_EQ(loose.rows, 99U) << "without the row of 1, that of 90 is free";
  EXPECT_EQ(loose.skipped, 1U);
  EXPECT_EQ(dirty_count(), 1U);
  EXPECT_TRUE(dirty({"1"}));
  EXPECT_EQ(rounds().exact(*data_).keys, 1U);
  expect_in_step();
}

// What is kept out is told by the key as it was noted, also where the key's
// column has the name of what numbers them, or a row belongs to another form.
TEST_F(RoundsTest, LooseRoundLeavesDirtyWhatIsInTheWayOfAnyKey) {
  begin(
      "CREATE TABLE n (number numeric, number_ text, u int UNIQUE, "
      "PRIMARY KEY (number, number_)); INSERT INTO n "
      "SELECT x, 'k', x FROM generate_series(1, 100) AS x",
      "DELETE FROM n WHERE number = 50; ALTER TABLE n ALTER u TYPE bigint");
  copy_all();
  build_indexes();
  session().exec("UPDATE n SET number = 7.0 WHERE number = 7");
  // In the way of 7, and not to be seen: not noted.
  session().exec("UPDATE n SET u = u; DELETE FROM n WHERE number = 60");
  session().exec("UPDATE " + shadow() + " SET number = -7 WHERE number = 7");

  const RoundResult loose = rounds(1000).loose(*data_, true);

  EXPECT_EQ(loose.violations, 1U);
  EXPECT_TRUE(dirty({"7", "k"}));
  EXPECT_TRUE(dirty({"7.0", "k"}));
  EXPECT_TRUE(dirty({"50", "k"})) << "who knows why it is not there";
  EXPECT_EQ(dirty_count(), 3U);
  EXPECT_EQ(differences().size(), 2U) << "7 is missing, -7 surplus";
}

TEST_F(RoundsTest, LooseRoundLeavesAllOfABatchToADeferrableConstraint) {
  begin(
      "CREATE TABLE items (id int PRIMARY KEY, u int UNIQUE DEFERRABLE);"
      "INSERT INTO items SELECT x, x FROM generate_series(1, 100) AS x",
      kUniqueWiden);
  copy_all();
  build_indexes();
  session().exec("UPDATE items SET u = u");
  session().exec(kExchange);

  EXPECT_EQ(rounds(50).loose(*data_, false).skipped, 100U);

  EXPECT_EQ(dirty_count(), 100U);
  EXPECT_EQ(rounds().exact(*data_).keys, 100U);
  expect_in_step();
}

// Whatever is in the way at each moment: it is dirty, and gone in the end.
TEST_F(RoundsTest, UniqueValuesMoveWhileLooseRoundsRun) {
  begin(kUnique, kUniqueWiden);
  copy_all();
  build_indexes();
  std::jthread writer([&](const std::stop_token& stop) {
    Session app = session();
    while (!stop.stop_requested()) {
      app.exec("UPDATE items SET u = u WHERE id % 2 = 0");
      app.exec(kHandOver);
      app.exec(kExchange);
    }
  });
  std::uint64_t violations = 0;
  EXPECT_TRUE(test::eventually([&] {
    violations += rounds(10).loose(*data_, true).violations;
    return violations > 20;
  })) << violations;
  writer.request_stop();
  writer.join();

  rounds(10).loose(*data_, true);

  rounds().exact(*data_);
  expect_in_step();
  EXPECT_EQ(dirty_count(), 0U);
}

// A large transaction committed between its snapshot and its fence.
TEST_F(RoundsTest, ExactRoundIsGivenUpWhereMoreIsDirtyThanItMayHold) {
  begin(kItems, kWiden);
  copy_all();
  build_indexes();
  int fences = 0;
  before_fence_ = [&] {
    if (++fences == 2) session().exec("UPDATE items SET v = -v WHERE id <= 50");
  };

  const RoundResult round = rounds().exact(*data_, 49);

  EXPECT_EQ(fences, 2);
  EXPECT_TRUE(round.given_up);
  EXPECT_FALSE(data_->in_transaction());
  EXPECT_EQ(dirty_count(), 50U);
  EXPECT_EQ(differences().size(), 10U) << "as many as are shown";
  const RoundResult again = rounds().exact(*data_, 50);
  EXPECT_FALSE(again.given_up);
  EXPECT_EQ(again.keys, 50U);
  expect_in_step();
}

TEST_F(RoundsTest, UniqueValuesMoveWhileExactRoundsRun) {
  begin(kUnique, kUniqueWiden);
  copy_all();
  build_indexes();
  std::atomic<bool> stop = false;
  std::atomic<int> moves = 0;
  std::jthread writer([&] {
    Session app = session();
    while (!stop) {
      app.exec(kHandOver);
      ++moves;
    }
  });

  for (int i = 0; i < 20; ++i) {
    const int before = moves;
    rounds(7).exact(*data_);
    ASSERT_TRUE(test::eventually([&] { return moves > before; }));
  }
  stop = true;
  writer.join();

  rounds().exact(*data_);
  expect_in_step();
}

TEST_F(RoundsTest, KeyOfTwoFormsIsOneRow) {
  begin(
      "CREATE EXTENSION citext; CREATE TABLE n (k numeric PRIMARY KEY, v int);"
      "CREATE TABLE c (k citext PRIMARY KEY, v int);"
      "CREATE TABLE b (k char(5) PRIMARY KEY, v int);"
      "INSERT INTO n VALUES (1.0, 1), (2, 2);"
      "INSERT INTO c VALUES ('Ab', 1), ('x', 2);"
      "INSERT INTO b VALUES ('ab', 1), ('x', 2)",
      "ALTER TABLE n ALTER v TYPE bigint; ALTER TABLE c ALTER v TYPE bigint;"
      "ALTER TABLE b ALTER v TYPE bigint");
  copy_all();
  Session app = session();
  app.exec(
      "UPDATE n SET k = 1.00 WHERE k = 1; UPDATE c SET k = 'aB' WHERE k = 'ab';"
      "UPDATE b SET k = 'ab   ', v = 5 WHERE k = 'ab'");
  rounds(1).settle(*data_);
  build_indexes();
  EXPECT_EQ(rounds(1).exact(*data_).rows, 3U) << "settling leaves them dirty";
  expect_in_step();
  app.exec("UPDATE n SET k = 1.000 WHERE k = 1");
  app.exec("UPDATE n SET k = 1.0000, v = 9 WHERE k = 1");
  app.exec("UPDATE c SET k = 'AB' WHERE k = 'ab'");
  app.exec("DELETE FROM n WHERE k = 2; INSERT INTO n VALUES (2.00, 8)");

  const RoundResult exact = rounds(1).exact(*data_);

  EXPECT_GE(exact.keys, 3U + 2 + 2);
  expect_in_step();
  app.exec(
      "UPDATE n SET k = 1 WHERE k = 1; UPDATE c SET k = 'ab'::citext "
      "WHERE k = 'ab'");
  rounds(1).loose(*data_, false);
  expect_in_step();
  EXPECT_EQ(dirty_count(0), 0U);
}

TEST_F(RoundsTest, OddTextInCompositeKeys) {
  begin(
      "CREATE TABLE odd (\"a \"\"b\" text, b text, v int, PRIMARY KEY (b, "
      "\"a \"\"b\"))",
      "ALTER TABLE odd ALTER v TYPE bigint");
  build_indexes();
  Session app = session();
  const std::vector<std::string> words = {
      "{",
      "}",
      "\"",
      "\\",
      ",",
      "{a,b}",
      "NULL",
      "null",
      "",
      " ",
      "  a ",
      "'",
      "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98",
      "\n\t\r",
      "\x01",
      "a\\\"b",
      "$1",
      "%s",
      std::string(2000, '\\')};
  for (const std::string& a : words) {
    for (const std::string& b : words) {
      app.exec("INSERT INTO odd VALUES ($1, $2, 1)", a, b);
    }
  }
  EXPECT_EQ(rounds(3).exact(*data_).rows, words.size() * words.size());
  expect_in_step();

  app.exec("UPDATE odd SET v = 2, b = b || 'x' WHERE b <> 'NULL'");
  app.exec("DELETE FROM odd WHERE b = 'NULL'");
  rounds(5).exact(*data_);

  expect_in_step();
  EXPECT_EQ(dirty_count(), 0U);
}

TEST_F(RoundsTest, KeysOfManyTypesAreFoundAgain) {
  begin(
      "CREATE TYPE mood AS ENUM ('b', 'a'); CREATE DOMAIN dom AS varchar(8);"
      "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', "
      "deterministic = false);"
      "CREATE TABLE k (i2 smallint, i8 bigint, u uuid, d date, tz timestamptz, "
      "m mood, dm dom, ci text COLLATE ci, by bytea, f float8, vb varbit, "
      "v int, PRIMARY KEY (i2, i8, u, d, tz, m, dm, ci, by, f, vb));"
      "INSERT INTO k SELECT -x, x * 10000000000, md5(x::text)::uuid, "
      "'2000-01-01'::date - x * 1000, '1999-12-31 23:59:59.123456+00'::"
      "timestamptz + x * interval '100 days', (ARRAY['a', 'b'])[1 + x % 2]::"
      "mood, 'dom' || x, 'Ci' || x, decode(lpad(to_hex(x), 4, '0'), 'hex'), "
      "CASE x WHEN 1 THEN '-0' WHEN 2 THEN 'NaN' WHEN 3 THEN 0::float8 * 'inf'"
      " WHEN 4 THEN -(0::float8 * 'inf') ELSE x / 3.0::float8 END, "
      "x::bit(9)::varbit, x FROM generate_series(1, 200) x",
      "ALTER TABLE k ALTER v TYPE bigint, ALTER i2 TYPE int");
  copy_all();
  build_indexes();
  Session app = session();
  app.exec(
      "SET datestyle = 'SQL, DMY'; SET timezone = 'Asia/Tokyo';"
      "SET bytea_output = escape; SET extra_float_digits = 0;"
      "UPDATE k SET v = -v; UPDATE k SET ci = upper(ci), f = f + 1, d = d - 1 "
      "WHERE v % 2 = 0; DELETE FROM k WHERE v % 5 = 0");

  EXPECT_GE(rounds(9).exact(*data_).keys, 200U);

  expect_in_step();
  EXPECT_EQ(dirty_count(), 0U);
}

// A row that was there before its key's domain got a check can be updated and
// deleted, and copied; looking its key up once cast it to the domain.
TEST_F(RoundsTest, KeysThatBreakACheckOfTheirDomainAreFound) {
  begin(
      "CREATE DOMAIN inner_code AS varchar(8); CREATE DOMAIN code AS "
      "inner_code; CREATE TABLE k (c code, n int, v int, PRIMARY KEY (c, n));"
      "INSERT INTO k SELECT 'old' || x, x, x FROM generate_series(1, 9) x;"
      "ALTER DOMAIN code ADD CHECK (value LIKE 'new%') NOT VALID",
      "ALTER TABLE k ALTER v TYPE bigint");
  copy_all();
  Session app = session();
  app.exec("UPDATE k SET v = 10 WHERE n = 1");
  rounds().settle(*data_);
  build_indexes();
  app.exec("UPDATE k SET v = 20 WHERE n = 2; DELETE FROM k WHERE n = 3");
  app.exec("UPDATE k SET c = 'new4' WHERE n = 4");
  rounds().loose(*data_, false);
  expect_in_step();
  app.exec("UPDATE k SET v = 50 WHERE n = 5; DELETE FROM k WHERE n = 6");

  rounds().exact(*data_);

  expect_in_step();
  EXPECT_EQ(dirty_count(), 0U);
}

TEST_F(RoundsTest, TruncateEmptiesTheShadow) {
  begin(kItems, kWiden);
  copy_all();
  build_indexes();
  guard_.emplace("SELECT 1");  // a truncate is a new relfilenode
  guard_->add_source("items", "SELECT true");
  session().exec(
      "UPDATE items SET v = 3 WHERE id < 10; TRUNCATE items;"
      "INSERT INTO items VALUES (1, 1), (5000, 2)");

  Rounds some = rounds(3);
  some.loose(*data_, false);
  expect_in_step();
  session().exec("INSERT INTO items VALUES (7, 7)");
  some.exact(*data_);
  expect_in_step();
  session().exec("TRUNCATE items; INSERT INTO items VALUES (8, 8)");
  some.exact(*data_);
  expect_in_step();
}

TEST_F(RoundsTest, FilteredRowsComeAndGo) {
  begin(kItems,
        "DELETE FROM items WHERE v % 2 = 0; UPDATE items SET v = v + 1");
  copy_all();
  build_indexes();
  session().exec(
      "UPDATE items SET v = v + 1 WHERE id < 100; DELETE FROM items WHERE id = "
      "501");

  rounds(3).exact(*data_);

  expect_in_step();
  EXPECT_EQ(session().query_value("SELECT count(*) FROM " + shadow()), "1498");
}

TEST_F(RoundsTest, KeepsDirtyWhatItsSnapshotDoesNotSee) {
  begin(kItems, kWiden);
  copy_all();
  build_indexes();
  test::SyncStandby standby(cluster());
  Session app = session();
  Session waiting = session();
  app.exec(
      "SET synchronous_commit = local; UPDATE items SET v = 1 WHERE id = "
      "1");
  standby.stall();
  waiting.send("UPDATE items SET v = 2 WHERE id = 2");
  ASSERT_TRUE(test::eventually([&] { return standby.waiting_commits() == 1; }));

  rounds().exact(*data_);
  EXPECT_FALSE(dirty({"1"}));
  EXPECT_TRUE(dirty({"2"}));
  rounds().loose(*data_, false);
  EXPECT_TRUE(dirty({"2"}));

  standby.resume();
  waiting.wait();
  rounds().exact(*data_);
  EXPECT_FALSE(dirty({"2"}));
  expect_in_step();
}

TEST_F(RoundsTest, DrainsEverythingUnderTheLocks) {
  begin(kItems, kWiden);
  copy_all();
  build_indexes();
  session().exec("UPDATE items SET v = v - 1, id = id + 5000 WHERE id < 300");
  pg::Transaction transaction(*data_);
  data_->exec("LOCK TABLE public.items IN ACCESS EXCLUSIVE MODE");

  const RoundResult drained =
      rounds(10).drain(*data_, Deadline::in(test::kPatience));
  transaction.commit();

  EXPECT_EQ(drained.rows, 299U);
  expect_in_step();
  EXPECT_EQ(dirty_count(), 598U) << "nothing is forgotten before the exchange";
}

// The deadline was looked at when all was done: a large transaction that had
// committed just before the lock held the application up for as long as it took
// to refresh.
TEST_F(RoundsTest, DrainLetsGoAtItsDeadlineWhateverIsLeft) {
  begin(
      "CREATE TABLE items (id int PRIMARY KEY, v int);"
      "INSERT INTO items SELECT x, x FROM generate_series(1, 200000) AS x",
      kWiden);
  copy_all();
  build_indexes();
  session().exec("UPDATE items SET v = v - 1");
  fence();
  pg::Transaction transaction(*data_);
  data_->exec("LOCK TABLE public.items IN ACCESS EXCLUSIVE MODE");
  const auto begin = Clock::now();

  EXPECT_THROW(rounds().drain(*data_, Deadline::in(milliseconds(100))),
               TimedOut);
  EXPECT_LT(Clock::now() - begin, milliseconds(600));
  transaction.rollback();
  rounds().exact(*data_);
  expect_in_step();
}

}  // namespace
}  // namespace pgrecast::refresh
