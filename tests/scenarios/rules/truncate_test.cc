#include "scenarios/rules/rig.h"

namespace pgrecast::test {
namespace {

// A loose round leaves a truncate to an exact one, and that empties the shadow:
// what a loose round had refreshed and forgotten after the truncate was lost
// with it.
using Truncate = TestDatabase;

TEST_F(Truncate, LosesNoRowThatALooseRoundRefreshedAfterIt) {
  Session owner = session();
  owner.exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
  owner.exec("INSERT INTO t SELECT i, i FROM generate_series(1, 5) i");
  Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  rig.build();
  owner.exec("TRUNCATE t; INSERT INTO t VALUES (1, 1), (7, 7)");

  rig.loose(1000, false);
  rig.exact();

  EXPECT_EQ(differing_rows(owner, "SELECT id, v::bigint FROM t",
                           "TABLE " + rig.shadow()),
            0);
}

}  // namespace
}  // namespace pgrecast::test
