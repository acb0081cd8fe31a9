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

TEST_F(ColumnsOfScripts, OnesOfForeignKeysAreRenamed) {
  Session owner = session();
  owner.exec(
      "CREATE TABLE p (id int PRIMARY KEY);"
      "CREATE TABLE t (id int PRIMARY KEY, pid int REFERENCES p, x int);"
      "CREATE TABLE q (tid int REFERENCES t);"
      "INSERT INTO p VALUES (1); INSERT INTO t VALUES (1, 1, 0), (2, NULL, 0);"
      "INSERT INTO q VALUES (2)");
  Migration migration(database(),
                      "ALTER TABLE t RENAME pid TO parent;"
                      "ALTER TABLE t RENAME id TO number; UPDATE t SET x = 1;");

  Program run = migration.run({});

  ASSERT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(
      owner.query_rows("SELECT conrelid::regclass, pg_get_constraintdef(oid), "
                       "convalidated FROM pg_constraint WHERE contype = 'f' "
                       "ORDER BY conrelid::regclass::text"),
      (Rows{{"q", "FOREIGN KEY (tid) REFERENCES t(number)", "t"},
            {"t", "FOREIGN KEY (parent) REFERENCES p(id)", "t"}}));
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
