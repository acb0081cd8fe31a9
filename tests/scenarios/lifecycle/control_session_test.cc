// The session that holds a migration, ended by somebody.

#include "scenarios/lifecycle/lifecycle.h"

namespace pgrecast::test {
namespace {

constexpr int kInterrupted = 4;

using ControlSession = Lifecycle;

// Not an hour later, when something is to be written on it.
TEST_F(ControlSession, EndedWhileReadyInterruptsTheRun) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase=ready");

  superuser_session().exec(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
      "application_name LIKE 'pgrecast orders% control'");

  EXPECT_EQ(run.wait(Deadline::in(kPatience)), kInterrupted) << run.output();
  resume();
}

}  // namespace
}  // namespace pgrecast::test
