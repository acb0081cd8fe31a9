// Unique values that move between rows, and rounds of several transactions.

#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"

#include "scenarios/rules/rig.h"
#include "scenarios/rules/story.h"

#include <future>

namespace pgrecast::test {
namespace {

class MovingUniqueValues : public TestDatabase {
 protected:
  void make_table(const std::string& first_value) {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v int)");
    owner.exec(
        "INSERT INTO t SELECT i, i * 10, 0 FROM generate_series(1, 5) i");
    owner.exec("UPDATE t SET v = $1::int WHERE id = 1", first_value);
  }

  void hand_on(Session& writer) {
    writer.exec(
        "BEGIN; UPDATE t SET u = -1 WHERE id = 1;"
        "UPDATE t SET u = 10 WHERE id = 2; UPDATE t SET u = 20 WHERE id = 1;"
        "COMMIT");
  }

  // A round as the phases run it where there are unique constraints: loose
  // while much is dirty, and exact for what that could not write.
  static refresh::RoundResult round(Rig& rig) {
    const refresh::RoundResult loose = rig.loose(1, rule_on("one_snapshot"));
    if (loose.skipped > 0) rig.exact();
    return loose;
  }

  // The SQLSTATE of what a round meets, of batches of one key.
  std::string round_after_values_were_exchanged() {
    make_table("0");
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig.build();
    Session writer = session();
    hand_on(writer);
    return met_by_round(rig);
  }

  std::string met_by_round(Rig& rig) {
    try {
      round(rig);
    } catch (const pg::SqlError& error) {
      return error.sqlstate();
    }
    Session reader = session();
    EXPECT_EQ(differing_rows(reader, "SELECT id, u, v::bigint FROM t",
                             "TABLE " + rig.shadow()),
              0);
    return kSuccess;
  }

  // The same, where they are exchanged while the first batch runs: the second
  // has another snapshot, and with it a value that the first has written.
  std::string round_while_values_are_exchanged() {
    make_table(Held::kValue);
    Session owner = session();
    Held held(owner);
    Rig rig(database(), held.script());
    rig.build();
    owner.exec("UPDATE t SET u = u + 1000 WHERE id <= 2");
    owner.exec("UPDATE t SET u = u - 1000 WHERE id <= 2");
    held.hold();
    std::future<std::string> met =
        std::async(std::launch::async, [&] { return met_by_round(rig); });
    held.wait_until_held();
    hand_on(owner);
    held.release();
    return met.get();
  }
};

TEST_F(MovingUniqueValues, MayHaveMovedBetweenTheRowsOfARound) {
  EXPECT_EQ(round_after_values_were_exchanged(), kSuccess);

  const RuleOff off("one_snapshot");
  EXPECT_EQ(round_after_values_were_exchanged(),
            pg::sqlstate::kUniqueViolation);
}

TEST_F(MovingUniqueValues, MayMoveWhileARoundRuns) {
  EXPECT_EQ(round_while_values_are_exchanged(), kSuccess);

  const RuleOff off("one_snapshot");
  EXPECT_EQ(round_while_values_are_exchanged(), pg::sqlstate::kUniqueViolation);
}

}  // namespace
}  // namespace pgrecast::test
