// A restart of the server, orderly or not, is an interruption like any other.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <string>
#include <tuple>

namespace pgrecast::test {
namespace {

// A fast shutdown waits for WAL senders, and so for us.
constexpr std::chrono::seconds kShutdownMax{20};

using Case = std::tuple<const char*, PgCluster::Stop>;

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const auto [phase, mode] = info.param;
  return fmt::format("{}_{}", phase,
                     mode == PgCluster::Stop::kFast ? "fast" : "immediate");
}

class ServerRestart : public Lifecycle,
                      public ::testing::WithParamInterface<Case> {};

TEST_P(ServerRestart, EndsResumablyAndGoesOn) {
  const auto [phase, mode] = GetParam();
  start_load();
  Program run = start({"--cutover", "manual"});
  run.wait_for_output(fmt::format("phase changed.*phase={}", phase));

  ASSERT_TRUE(cluster().stop(mode, Deadline::in(kShutdownMax)))
      << "the shutdown hangs";
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), 4) << run.output();
  cluster().start();
  resume();

  expect_migrated();
}

INSTANTIATE_TEST_SUITE_P(
    EachPhase, ServerRestart,
    ::testing::Combine(
        ::testing::Values("copying", "indexing", "verifying", "ready"),
        ::testing::Values(PgCluster::Stop::kFast, PgCluster::Stop::kImmediate)),
    name_of);

TEST_F(Lifecycle, WhileTheServerIsDownRunIsResumableToo) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  ASSERT_TRUE(
      cluster().stop(PgCluster::Stop::kFast, Deadline::in(kShutdownMax)));
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), 4) << run.output();

  Program again = start();
  EXPECT_EQ(again.wait(Deadline::in(kPatience)), 4) << again.output();

  cluster().start();
  resume();
  expect_migrated();
}

}  // namespace
}  // namespace pgrecast::test
