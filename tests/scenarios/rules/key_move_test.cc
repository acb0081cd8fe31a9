#include "pgrecast/base/sync_point.h"

#include "scenarios/rules/rig.h"

namespace pgrecast::test {
namespace {

class KeyMove : public TestDatabase {
 protected:
  // Rows in which shadow and source differ after a row got another key.
  long wrong_rows_after_a_move() {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
    owner.exec("INSERT INTO t SELECT i, i FROM generate_series(1, 5) i");
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig.build();
    owner.exec("UPDATE t SET id = 1001 WHERE id = 1");
    rig.exact();
    return differing_rows(owner, "SELECT id, v::bigint FROM t",
                          "TABLE " + rig.shadow());
  }
};

TEST_F(KeyMove, LeavesNoRowUnderTheOldKey) {
  EXPECT_EQ(wrong_rows_after_a_move(), 0);

  // The row stands under both keys.
  const RuleOff off("old_key");
  EXPECT_EQ(wrong_rows_after_a_move(), 1);
}

}  // namespace
}  // namespace pgrecast::test
