#include "pgrecast/verify/verifier.h"

#include "integration/refresh/shadow_fixture.h"
#include "support/operator_class.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace pgrecast::verify {
namespace {

using test::Session;

class PassTest : public test::ShadowFixture {
 protected:
  Pass::Parts parts(std::size_t table = 0) {
    return {.table = &tables_[table],
            .codec = &codecs_[table],
            .buffer = &*buffer_,
            .gate = &gate_,
            .guard = &*guard_};
  }
  bool verify_next(Pass& one) {
    return one.verify_next(*data_, [this](Deadline deadline) {
      fences_->pass(*fence_, deadline, {});
    });
  }

  // A whole pass: what differed, "what key[,key]", sorted.
  std::vector<std::string> pass(std::size_t table = 0) {
    Pass one(parts(table));
    ranges_ = 0;
    while (verify_next(one)) ++ranges_;
    EXPECT_TRUE(one.finished());
    rows_ = one.rows();
    count_ = one.difference_count();
    std::vector<std::string> all;
    for (const Difference& difference : one.take_differences()) {
      std::string text = difference.what;
      for (const std::string& value : difference.key) text += " " + value;
      all.push_back(text);
    }
    std::ranges::sort(all);
    return all;
  }

  void begin_complete(const std::string& setup, const std::string& script) {
    begin(setup, script);
    copy_all();
    build_indexes();
  }

  using Texts = std::vector<std::string>;
  int ranges_ = 0;
  std::uint64_t rows_ = 0;
  std::uint64_t count_ = 0;
};

constexpr const char* kItems = R"sql(
CREATE TABLE items (id int PRIMARY KEY, v int, s text, c char(5), j json);
INSERT INTO items SELECT x, x, 'a  ', 'c', '{"a":  1}'
FROM generate_series(1, 12000) AS x)sql";
constexpr const char* kWiden =
    "ALTER TABLE items ALTER v TYPE bigint USING v * 2::bigint, ALTER id TYPE "
    "bigint, ALTER s TYPE char(9), ALTER c TYPE text";

TEST_F(PassTest, FindsNothingInTablesThatAgree) {
  begin_complete(kItems, kWiden);

  EXPECT_EQ(pass(), Texts{});
  EXPECT_GT(ranges_, 1);
  EXPECT_EQ(rows_, 12000U);
}

TEST_F(PassTest, FindsWhatIsMissingSurplusOrDifferentAndARoundMendsIt) {
  begin_complete(kItems, kWiden);
  Session other = session();
  other.exec("DELETE FROM " + shadow() + " WHERE id IN (1, 6000, 12000)");
  other.exec("INSERT INTO " + shadow() +
             " (id, v) VALUES (-7, 1), (0, 1), (12001, 1), (2000000000, 5)");
  other.exec("UPDATE " + shadow() + " SET j = '{\"a\": 1}' WHERE id = 77");
  other.exec("UPDATE " + shadow() + " SET v = NULL WHERE id = 11999");

  EXPECT_EQ(pass(),
            (Texts{"different 11999", "different 77", "missing 1",
                   "missing 12000", "missing 6000", "surplus -7", "surplus 0",
                   "surplus 12001", "surplus 2000000000"}));

  EXPECT_EQ(pass(), Texts{}) << "they are dirty by now";
  rounds().exact(*data_);
  expect_in_step();
  EXPECT_EQ(pass(), Texts{});
}

// No index keeps a key from standing in two leaves, or twice in one.
TEST_F(PassTest, FindsWhatStandsTwiceInAPartitionedTable) {
  begin_complete(
      "CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL);"
      "INSERT INTO items SELECT x, x % 3 FROM generate_series(1, 12000) AS x",
      "CREATE TABLE items (id bigint, v int) PARTITION BY LIST (v);"
      "CREATE TABLE items_0 PARTITION OF items FOR VALUES IN (0);"
      "CREATE TABLE items_rest PARTITION OF items DEFAULT");
  EXPECT_EQ(pass(), Texts{});
  EXPECT_EQ(rows_, 12000U);
  Session other = session();
  other.exec("INSERT INTO " + shadow() +
             " VALUES (3, 0), (4, 7), (-1, 0), "
             "(-2, 1)");
  other.exec("DELETE FROM " + shadow() + " WHERE id = 9");

  EXPECT_EQ(pass(), (Texts{"different 4", "missing 9", "surplus -1",
                           "surplus -2", "twice 3"}));

  EXPECT_EQ(pass(), Texts{}) << "they are dirty by now";
  rounds().exact(*data_);
  expect_in_step();
  EXPECT_EQ(pass(), Texts{});
}

// Both sides together have more columns than a row of the server's may: it was
// found out by verification, after the whole copy.
TEST_F(PassTest, ComparesTablesOfMoreThanHalfTheColumnsThatThereCanBe) {
  std::string columns;
  // One of a name that could be ours.
  for (int i = 2; i < 850; ++i) columns += fmt::format(", c{} int", i);
  begin_complete(
      fmt::format("CREATE TABLE items (whole int PRIMARY KEY{}); INSERT INTO "
                  "items SELECT x, x FROM generate_series(1, 50) AS x",
                  columns),
      "ALTER TABLE items ALTER whole TYPE bigint, ALTER c2 TYPE bigint");
  EXPECT_EQ(pass(), Texts{});
  Session other = session();
  other.exec("UPDATE " + shadow() + " SET c849 = 0 WHERE whole = 7");
  other.exec("DELETE FROM " + shadow() + " WHERE whole = 8");
  other.exec("INSERT INTO " + shadow() + " VALUES (99)");

  EXPECT_EQ(pass(), (Texts{"different 7", "missing 8", "surplus 99"}));
}

TEST_F(PassTest, DirtyKeysAreNoDifference) {
  begin_complete(kItems, kWiden);
  session().exec(
      "UPDATE items SET v = -1 WHERE id % 100 = 0; DELETE FROM items WHERE id "
      "% 101 = 0; UPDATE items SET id = -id WHERE id % 103 = 0; INSERT INTO "
      "items VALUES (50000, 1)");

  EXPECT_EQ(pass(), Texts{});

  rounds(3).loose(*data_, false);
  expect_in_step();
}

// The end of a range was printed as the script's settings say: all of these
// keys as 1, so that the next one began where it had.
TEST_F(PassTest, RangesEndAtAKeyWhateverTheSettingsAre) {
  superuser_session().exec(
      fmt::format("ALTER ROLE \"{}\" SET extra_float_digits = -15; ALTER ROLE "
                  "\"{}\" SET datestyle = 'SQL, DMY'",
                  database().role(), database().role()));
  begin_complete(
      "CREATE TABLE items (f float8, t timestamptz, v int, PRIMARY KEY (f, t));"
      "INSERT INTO items SELECT 1 + x * 1e-12::float8, timestamptz "
      "'2026-01-02 UTC' + x * interval '1 day', x FROM generate_series(1, "
      "12000) AS x",
      "ALTER TABLE items ALTER v TYPE bigint");

  Pass one(parts());
  verify_next(one);
  EXPECT_EQ(one.rows(), 500U) << "what a first range holds";
  while (verify_next(one)) {
  }

  EXPECT_EQ(one.rows(), 12000U);
  EXPECT_EQ(one.difference_count(), 0U);
}

constexpr const char* kDescending = R"sql(
CREATE SCHEMA ops; GRANT USAGE ON SCHEMA ops TO PUBLIC;
CREATE FUNCTION ops.cmp(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT btint4cmp(b, a) $$;
CREATE OPERATOR CLASS ops.down FOR TYPE int USING btree AS OPERATOR 1 > , OPERATOR 2 >= ,
  OPERATOR 3 = , OPERATOR 4 <= , OPERATOR 5 < , FUNCTION 1 ops.cmp(int, int))sql";

// Ranges in the order of another operator class than the type's default one.
TEST_F(PassTest, FindsDifferencesInTheOrderOfAnotherOperatorClass) {
  superuser_session().exec(kDescending);
  begin_complete(
      "CREATE TABLE items (id int NOT NULL, name text NOT NULL, v int);"
      "INSERT INTO items SELECT x, 'n' || x, x FROM generate_series(1, 12000) "
      "AS x; CREATE UNIQUE INDEX k ON items (name text_pattern_ops, id "
      "ops.down); ALTER TABLE items REPLICA IDENTITY USING INDEX k",
      "ALTER TABLE items ALTER v TYPE bigint");
  Session other = session();
  other.exec("DELETE FROM " + shadow() + " WHERE id IN (1, 6000)");
  other.exec("INSERT INTO " + shadow() + " VALUES (-1, 'zz', 1), (0, '', 1)");

  EXPECT_EQ(pass(), (Texts{"missing n1 1", "missing n6000 6000", "surplus  0",
                           "surplus zz -1"}));

  EXPECT_GT(ranges_, 1);
  rounds().exact(*data_);
  expect_in_step();
  EXPECT_EQ(pass(), Texts{});
}

// In the type's own order the first range would have ended at 500, and have
// held the 11501 rows that the index has before it: a long snapshot, in a large
// table.
TEST_F(PassTest, RangesHoldSoManyRowsInTheOrderOfTheKeysIndex) {
  superuser_session().exec(kDescending);
  begin_complete(
      "CREATE TABLE items (id int NOT NULL, v int); INSERT INTO items SELECT "
      "x, x FROM generate_series(1, 12000) AS x; CREATE UNIQUE INDEX k ON "
      "items (id ops.down); ALTER TABLE items REPLICA IDENTITY USING INDEX k",
      "ALTER TABLE items ALTER v TYPE bigint");

  Pass one(parts());
  verify_next(one);

  EXPECT_EQ(one.rows(), 500U);
  while (verify_next(one)) {
  }
  EXPECT_EQ(one.rows(), 12000U);
}

TEST_F(PassTest, KeysAreComparedByTheOperatorsOfTheirIndex) {
  superuser_session().exec(test::case_insensitive_operator_class(true));
  begin_complete(
      "CREATE TABLE items (name text NOT NULL, v int); INSERT INTO items "
      "SELECT "
      "'n' || x, x FROM generate_series(1, 12000) AS x; CREATE UNIQUE INDEX k "
      "ON items (name \"O p\".ci_ops); ALTER TABLE items REPLICA IDENTITY "
      "USING "
      "INDEX k",
      "ALTER TABLE items ALTER v TYPE bigint");
  session().exec(
      "UPDATE items SET name = upper(name) WHERE v % 100 = 0; DELETE FROM "
      "items "
      "WHERE v = 7; INSERT INTO items VALUES ('N7', 7)");
  Session other = session();
  other.exec("DELETE FROM " + shadow() + " WHERE v IN (1, 6000)");

  EXPECT_EQ(pass(), (Texts{"missing n1"}));

  rounds(10).loose(*data_, false);
  rounds().exact(*data_);
  expect_in_step();
  EXPECT_EQ(pass(), Texts{});
  EXPECT_GT(ranges_, 1);
}

TEST_F(PassTest, EmptyTables) {
  begin_complete("CREATE TABLE items (id int PRIMARY KEY, v int)",
                 "ALTER TABLE items ALTER v TYPE bigint");
  EXPECT_EQ(pass(), Texts{});
  EXPECT_EQ(ranges_, 1);

  session().exec("INSERT INTO " + shadow() + " VALUES (1, 1), (2, 2)");
  EXPECT_EQ(pass(), (Texts{"surplus 1", "surplus 2"}));
  rounds().exact(*data_);
  expect_in_step();
}

// Somebody else's lock, or a deadlock: the range was counted as handed out, and
// the whole migration ended.
TEST_F(PassTest, RangeThatTheServerRolledBackIsHandedOutAgain) {
  session().exec(
      "CREATE TABLE broken (); CREATE FUNCTION maybe(v int) RETURNS bigint "
      "IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF v = 6000 AND "
      "to_regclass('public.broken') IS NOT NULL THEN RAISE deadlock_detected; "
      "END IF; RETURN v; END $$; DROP TABLE broken");
  begin_complete(kItems,
                 "ALTER TABLE items ALTER v TYPE bigint USING maybe(v)");
  session().exec("CREATE TABLE broken ()");
  Pass one(parts());
  int failures = 0;
  try {
    while (verify_next(one)) {
    }
  } catch (const pg::SqlError& error) {
    EXPECT_EQ(error.remedy(), Remedy::kRetryTransaction);
    ++failures;
  }
  EXPECT_EQ(failures, 1);
  EXPECT_FALSE(one.finished());

  session().exec("DROP TABLE broken");
  while (verify_next(one)) {
  }

  EXPECT_TRUE(one.finished());
  EXPECT_EQ(one.rows(), 12000U);
}

TEST_F(PassTest, EmptyShadow) {
  begin_complete(kItems, kWiden);
  session().exec("DELETE FROM " + shadow());

  // As many as there are rows are counted, and not all of them kept.
  EXPECT_EQ(pass().size(), 1000U);
  EXPECT_EQ(count_, 12000U);
  rounds().exact(*data_);
  expect_in_step();
}

TEST_F(PassTest, CompositeKeysOfOddTextAndOddTypes) {
  begin_complete(
      "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', "
      "deterministic = false);"
      "CREATE TABLE items (a text, n numeric, tz timestamptz, ci text COLLATE "
      "ci, v int, PRIMARY KEY (ci, a, n, tz));"
      "INSERT INTO items SELECT (ARRAY['', '''', '\\', '{', '\"', 'NULL', "
      "'\xc3\xa4', ' '])[1 + x % 8], x / 8.0, '2024-03-30'::timestamptz + x * "
      "interval '7 minutes', 'K' || x % 10, x FROM generate_series(1, 11000) x",
      "ALTER TABLE items ALTER v TYPE bigint");
  EXPECT_EQ(pass(), Texts{});
  EXPECT_GT(ranges_, 1);
  EXPECT_EQ(rows_, 11000U);

  session().exec("UPDATE " + shadow() + " SET v = 0 WHERE v = 8");
  session().exec("UPDATE " + shadow() + " SET ci = lower(ci) WHERE v = 15");
  EXPECT_EQ(pass().size(), 2U);
  rounds().exact(*data_);
  expect_in_step();
}

TEST_F(PassTest, KeysThatBreakACheckOfTheirDomainAreCompared) {
  begin_complete(
      "CREATE DOMAIN code AS int; CREATE TABLE items (id code PRIMARY KEY, v "
      "int); INSERT INTO items SELECT x, x FROM generate_series(1, 11000) x;"
      "ALTER DOMAIN code ADD CHECK (value < 0) NOT VALID",
      "ALTER TABLE items ALTER v TYPE bigint");
  EXPECT_EQ(pass(), Texts{});
  EXPECT_GT(ranges_, 1);

  session().exec("UPDATE " + shadow() + " SET v = 0 WHERE v = 8");
  EXPECT_EQ(pass(), Texts{"different 8"});
  rounds().exact(*data_);
  expect_in_step();
}

TEST_F(PassTest, RowsThatStayBehindAndValuesMadeAnewAreNoDifference) {
  begin_complete(kItems,
                 "DELETE FROM items WHERE v % 3 = 0; ALTER TABLE items ADD "
                 "COLUMN r float8 DEFAULT random(), ADD k serial");

  EXPECT_EQ(pass(), Texts{});
  EXPECT_EQ(rows_, 8000U);
}

TEST_F(PassTest, SaysWhenTheSourceWasChangedMeanwhile) {
  begin_complete(kItems, kWiden);
  session().exec("ALTER TABLE items ADD COLUMN z int");

  EXPECT_THROW(pass(), catalog::FingerprintMismatch);
}

// A cast to text writes such keys as the stream does not: they were taken for
// clean, and every change of them for a false write.
TEST_F(PassTest, DirtyKeysOfTypesWhoseTextIsAnotherAreNoDifference) {
  begin_complete(
      "CREATE TABLE items (c char(5), b boolean, i inet, d date, f float8, by "
      "bytea, v int, PRIMARY KEY (c, b, i, d, f, by)); INSERT INTO items "
      "SELECT 'k' || x, x % 2 = 0, '10.0.0.1', '2024-01-01', x / 3.0::float8, "
      "'\\x00', x FROM generate_series(1, 9) AS x",
      "ALTER TABLE items ALTER v TYPE bigint");
  session().exec(
      "UPDATE items SET v = 0 WHERE v < 3; DELETE FROM items WHERE v = 5");

  EXPECT_EQ(pass(), Texts{});
  rounds().exact(*data_);
  EXPECT_EQ(pass(), Texts{});
  expect_in_step();
}

// A surplus key of the wider type that the source's type cannot even hold.
TEST_F(PassTest, SurplusKeyBeyondTheSourcesType) {
  begin_complete(kItems, kWiden);
  session().exec("INSERT INTO " + shadow() + " (id) VALUES (5000000000)");

  EXPECT_EQ(pass(), Texts{"surplus 5000000000"});
  EXPECT_EQ(pass(), Texts{"surplus 5000000000"}) << "no round can mend it";
}

}  // namespace
}  // namespace pgrecast::verify
