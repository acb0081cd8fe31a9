// Our own disk stalls while the sources are locked.

#include "pgrecast/base/sync_point.h"

#include "scenarios/rules/rig.h"

#include <array>
#include <functional>
#include <future>
#include <optional>
#include <string>

namespace pgrecast::test {
namespace {

// Where the disk stalls: the receiver's log is being synced, say, or a file of
// keys is to be read.
constexpr std::array kPoints = {"buffer:seal", "buffer:read"};

class StalledDisk : public TestDatabase {
 protected:
  void SetUp() override {
    owner_.exec(
        "CREATE TABLE t (id int PRIMARY KEY, v int);"
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 1000) i");
    rig_.emplace(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig_->build();
    // Well before the server would end a session of ours that is idle.
    owner_.exec("SET lock_timeout = '5s'");
  }

  // While somebody wants the table for himself, `work` is stopped by the disk.
  void expect_let_go(const char* point, const std::function<void()>& work) {
    SCOPED_TRACE(point);
    owner_.exec("UPDATE t SET v = v + 1");
    std::optional<Stall> stall(point);
    std::future<void> working = std::async(std::launch::async, work);
    stall->wait_until_reached();

    EXPECT_EQ(owner_.try_exec("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;"
                              "UPDATE t SET v = v + 1; COMMIT"),
              kSuccess);

    stall.reset();
    working.get();
    rig_->exact();
    EXPECT_EQ(differing_rows(owner_, "SELECT id, v::bigint FROM t",
                             "TABLE " + rig_->shadow()),
              0);
  }

  Session owner_ = session();
  std::optional<Rig> rig_;
};

// An ALTER TABLE that queued behind the round would stop the application for as
// long as the disk stalls.
TEST_F(StalledDisk, ARoundLetsGoForWhoWaitsForItsLock) {
  for (const char* point : kPoints) {
    expect_let_go(point, [&] { rig_->exact(); });
  }
}

TEST_F(StalledDisk, TheExchangeKeepsItsDeadline) {
  for (const char* point : kPoints) {
    expect_let_go(point, [&] {
      EXPECT_THROW(rig_->drain(Deadline::in(milliseconds(300))), TimedOut);
    });
  }
}

}  // namespace
}  // namespace pgrecast::test
