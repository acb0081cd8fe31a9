#include "pgrecast/base/sync_point.h"

#include "scenarios/rules/rig.h"

#include <thread>

namespace pgrecast::test {
namespace {

class VerificationBesideRounds : public TestDatabase {
 protected:
  // A range is compared in a snapshot in which key 1 is dirty; before the
  // verification looks that up, a round refreshes it.
  std::size_t false_alarms() {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
    owner.exec("INSERT INTO t SELECT i, i FROM generate_series(1, 5) i");
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig.build();
    owner.exec("UPDATE t SET v = 100 WHERE id = 1");

    verify::Pass pass = rig.pass(0);
    pg::Connection verifying = rig.open("verify");
    pg::Connection fence = rig.open("verify fence");
    std::jthread round;
    const auto fence_beside_a_round = [&](Deadline deadline) {
      rig.pass_fence(fence, deadline);
      round = std::jthread([&] { rig.exact(); });
      EXPECT_TRUE(eventually([&] {
        return owner.query_value("SELECT v FROM " + rig.shadow() +
                                 " WHERE id = 1") == "100";
      }));
      // It is committed, and about to forget.
      if (!rule_on("gate")) round.join();
    };
    while (pass.verify_next(verifying, fence_beside_a_round)) {
    }
    if (round.joinable()) round.join();
    EXPECT_TRUE(pass.finished());
    EXPECT_EQ(pass.rows(), 5U);
    return pass.take_differences().size();
  }
};

TEST_F(VerificationBesideRounds, RaisesNoFalseAlarm) {
  EXPECT_EQ(false_alarms(), 0U);

  const RuleOff off("gate");
  EXPECT_EQ(false_alarms(), 1U);
}

}  // namespace
}  // namespace pgrecast::test
