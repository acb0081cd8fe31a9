// An exact round whose rows take long to make.

#include "scenarios/rules/rig.h"

#include <future>

namespace pgrecast::test {
namespace {

class LongRound : public TestDatabase {};

// It would hold its lock for ten seconds.
TEST_F(LongRound, LetsGoForWhoWaitsForItsLock) {
  Session owner = session();
  owner.exec(
      "CREATE FUNCTION slow(v int) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS"
      " 'BEGIN IF v > 0 THEN PERFORM pg_sleep(0.01); END IF; RETURN v; END';"
      "CREATE TABLE t (id int PRIMARY KEY, v int);"
      "INSERT INTO t SELECT i, 0 FROM generate_series(1, 1000) i");
  Rig rig(database(),
          "ALTER TABLE t ALTER COLUMN v TYPE bigint USING slow(v);");
  rig.build();
  owner.exec("UPDATE t SET v = 1");
  int snapshots = 0;
  rig.on_fence = [&] { snapshots += rig.data().in_transaction() ? 1 : 0; };
  std::future<void> round =
      std::async(std::launch::async, [&] { rig.exact(); });
  EXPECT_TRUE(eventually([&] {
    return owner.query_value(
               "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass "
               "AND granted AND pid <> pg_backend_pid()") == "1";
  }));

  owner.exec("SET lock_timeout = '5s'; BEGIN");
  EXPECT_EQ(owner.try_exec("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"), kSuccess);
  owner.exec("UPDATE t SET v = 0; COMMIT");
  round.get();

  EXPECT_GE(snapshots, 2);
  EXPECT_EQ(differing_rows(owner, "SELECT id, v::bigint FROM t",
                           "TABLE " + rig.shadow()),
            0);
}

}  // namespace
}  // namespace pgrecast::test
