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

// 5.0 and 5.00 are one key to the server and two in the change buffer: a batch
// with the one took off again what an earlier batch had put in for the other.
using KeyOfTwoForms = TestDatabase;

TEST_F(KeyOfTwoForms, LosesNoRowInALooseRound) {
  Session owner = session();
  owner.exec("CREATE TABLE t (k numeric PRIMARY KEY, v int)");
  owner.exec("INSERT INTO t VALUES (5.0, 1)");
  Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  rig.build();
  owner.exec("UPDATE t SET k = 5.00");
  owner.exec("UPDATE t SET k = 5.0");
  ASSERT_TRUE(eventually(
      [&] { return rig.is_dirty(0, {"5.0"}) && rig.is_dirty(0, {"5.00"}); }));

  rig.loose(1, false);

  EXPECT_EQ(differing_rows(owner, "SELECT k, v::bigint FROM t",
                           "TABLE " + rig.shadow()),
            0);
}

}  // namespace
}  // namespace pgrecast::test
