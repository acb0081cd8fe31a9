// Columns of kinds that are easily made otherwise than by hand, to the end.

#include "scenarios/rules/story.h"

namespace pgrecast::test {
namespace {

constexpr int kDataRejected = 10;

class ColumnsOfScripts : public TestDatabase {};

// Its sequence is made for the shadow, and moves with it.
TEST_F(ColumnsOfScripts, ASerialOneIsAdded) {
  Session owner = session();
  owner.exec(
      "CREATE TABLE t (id int PRIMARY KEY);"
      "INSERT INTO t SELECT generate_series(1, 50)");
  Migration migration(database(), "ALTER TABLE t ADD COLUMN s serial UNIQUE;");

  Program run = migration.run({});

  ASSERT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(owner.query_value("SELECT pg_get_serial_sequence('t', 's')"),
            "public.t_s_seq");
  EXPECT_EQ(owner.query_value("SELECT count(DISTINCT s) FROM t"), "50");
  EXPECT_EQ(owner.query_value("INSERT INTO t VALUES (51) RETURNING s > 50"),
            "t");
}

TEST_F(ColumnsOfScripts, ASerialOneIsAddedToAPartitionedTable) {
  Session owner = session();
  owner.exec(
      "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
      "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (30);"
      "CREATE TABLE t2 PARTITION OF t DEFAULT;"
      "INSERT INTO t SELECT generate_series(1, 50)");
  Migration migration(database(), "ALTER TABLE t ADD COLUMN s serial;");

  Program run = migration.run({});

  ASSERT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(owner.query_value("SELECT count(DISTINCT s) FROM t"), "50");
  EXPECT_EQ(owner.query_value("INSERT INTO t1 VALUES (0) RETURNING s > 50"),
            "t");
}

// Where the plan's sample has none of the rows that are too long.
TEST_F(ColumnsOfScripts, ElementsOfAnArrayAreNotCutOff) {
  Session owner = session();
  owner.exec(
      "CREATE TABLE t (id int PRIMARY KEY, v varchar(10)[]);"
      "INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN "
      "'{aaa,aaa,aaa}' ELSE '{ccc,ccc,ccc}' END::varchar(10)[]"
      " FROM generate_series(1, 60000) i;"
      "UPDATE t SET v = '{bbbbbbb}' WHERE id = 29999");
  Migration migration(database(), "ALTER TABLE t ALTER v TYPE varchar(3)[];");

  Program run = migration.run({});

  EXPECT_EQ(run.wait(), kDataRejected) << run.output();
  EXPECT_NE(run.output().find("29999"), std::string::npos) << run.output();
  EXPECT_EQ(owner.query_value("SELECT v FROM t WHERE id = 29999"), "{bbbbbbb}");
}

}  // namespace
}  // namespace pgrecast::test
