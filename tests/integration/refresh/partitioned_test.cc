// A shadow that is partitioned: what is found by key lies in any of its leaves.

#include "shadow_fixture.h"

namespace pgrecast::refresh {
namespace {

using test::Session;
using PartitionedRoundsTest = test::ShadowFixture;

constexpr const char* kItems = R"sql(
CREATE TABLE items (id int PRIMARY KEY, day int NOT NULL, pad text DEFAULT repeat('x', 200));
INSERT INTO items SELECT x, x % 4 FROM generate_series(1, 3000) AS x)sql";
constexpr const char* kScript = R"sql(
CREATE TABLE items (id bigint, day int, pad text, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
CREATE TABLE items_0 PARTITION OF items FOR VALUES IN (0);
CREATE TABLE items_1 PARTITION OF items FOR VALUES IN (1, 2) PARTITION BY RANGE (id);
CREATE TABLE items_1_low PARTITION OF items_1 FOR VALUES FROM (MINVALUE) TO (1000);
CREATE TABLE items_1_high PARTITION OF items_1 FOR VALUES FROM (1000) TO (MAXVALUE);
CREATE TABLE items_rest PARTITION OF items DEFAULT)sql";

TEST_F(PartitionedRoundsTest, SettlesRowsThatWereCopiedIntoSeveralLeaves) {
  begin(kItems, kScript);
  Session app = session();

  const auto half = blocks() / 2;
  copy({.first = 0, .end = half});
  app.exec("UPDATE items SET day = (day + 1) % 4 WHERE id % 3 = 0");
  app.exec("DELETE FROM items WHERE id % 7 = 0");
  app.exec("UPDATE items SET id = id + 10000, day = 9 WHERE id % 11 = 0");
  copy({.first = half, .end = blocks()});
  app.exec("UPDATE items SET day = 2 WHERE id % 5 = 0");
  ASSERT_NE(
      app.query_value("SELECT count(*) FROM (SELECT id FROM " + shadow() +
                      " GROUP BY id HAVING count(DISTINCT tableoid) > 1) AS t"),
      "0")
      << "the copy was to put rows into two leaves";
  rounds(100).settle(*data_);

  expect_in_step();
  build_indexes();
}

// In two leaves rows have the same ctid, and only one of them goes.
TEST_F(PartitionedRoundsTest, RoundsFollowRowsFromLeafToLeaf) {
  begin(kItems, kScript);
  copy_all();
  build_indexes();
  Session app = session();
  app.exec("UPDATE items SET day = 3 - day WHERE id <= 1500");
  app.exec("UPDATE items SET id = -id, day = 0 WHERE id BETWEEN 10 AND 20");
  app.exec("DELETE FROM items WHERE id = 2000");

  rounds(100).exact(*data_);
  expect_in_step();

  app.exec("UPDATE items SET day = (day + 1) % 5");
  rounds(100).loose(*data_, true);
  expect_in_step();
  app.exec("UPDATE items SET day = 1 WHERE id = 1");
  rounds().loose(*data_, false);
  expect_in_step();
}

TEST_F(PartitionedRoundsTest, ATruncateEmptiesEveryLeaf) {
  begin(kItems, kScript);
  copy_all();
  build_indexes();
  guard_.emplace("SELECT 1");  // a truncate is a new relfilenode
  guard_->add_source("items", "SELECT true");
  session().exec("TRUNCATE items; INSERT INTO items VALUES (1, 1), (2, 7)");

  rounds().exact(*data_);
  expect_in_step();
  EXPECT_EQ(session().query_value("SELECT count(*) FROM " + shadow()), "2");
}

TEST_F(PartitionedRoundsTest, NamesTheKeysThatFitNoPartition) {
  std::string script = kScript;
  script.resize(script.rfind(';'));
  begin(
      "CREATE TABLE items (id int PRIMARY KEY, day int NOT NULL, pad text);"
      "INSERT INTO items SELECT x, x % 3 FROM generate_series(1, 300) AS x",
      script);
  copy_all();
  build_indexes();
  session().exec(
      "UPDATE items SET day = 9 WHERE id IN (7, 77);"
      "UPDATE items SET day = 0 WHERE id < 200 AND day = 1");
  try {
    rounds().exact(*data_);
    ADD_FAILURE() << "the round took them";
  } catch (const plan::DataRejected& rejected) {
    EXPECT_EQ(rejected.keys(), (std::vector<std::string>{"7", "77"}));
  }
  session().exec(
      "UPDATE items SET day = 1 WHERE id = 7;"
      "DELETE FROM items WHERE id = 77");

  rounds().exact(*data_);
  expect_in_step();
}

}  // namespace
}  // namespace pgrecast::refresh
