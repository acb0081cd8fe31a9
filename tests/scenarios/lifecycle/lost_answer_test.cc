// The exchange's COMMIT whose answer does not come: it has happened or not,
// and only the catalogs know.

#include "scenarios/lifecycle/lifecycle.h"
#include "support/relay.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <string>

namespace pgrecast::test {
namespace {

using ::testing::HasSubstr;

constexpr int kResumable = 4;
constexpr int kOutcomeUnknown = 9;
// The end of its session's application_name.
constexpr const char* kCutover = " cutover";

// A server process that stands still for as long as this lives.
class Halted {
 public:
  explicit Halted(pid_t pid) : pid_(pid) { EXPECT_EQ(kill(pid_, SIGSTOP), 0); }
  Halted(const Halted&) = delete;
  Halted& operator=(const Halted&) = delete;
  ~Halted() { kill(pid_, SIGCONT); }

 private:
  pid_t pid_;
};

class LostAnswerTest : public Lifecycle {
 protected:
  // Frozen just before it commits, with everything locked. The server ends the
  // session some 20 s later.
  Program freeze_before_commit() {
    start_load();
    Program run({"run", "--dsn",
                 fmt::format("host={} dbname={} user={}", relay_.folder(),
                             database().name(), database().role()),
                 script(), "--state-dir", state_dir(), "--yes", "--progress",
                 "none", "--log-level", "debug", "--cutover-budget", "20000"},
                {"PGRECAST_FREEZE_AT=exchange:before_commit"});
    run.wait_until_frozen();
    return run;
  }

  Relay& relay() { return relay_; }

  int cutover_pid() const {
    return std::stoi(superuser_session().query_value(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE '%' || $1",
        kCutover));
  }

  std::string oid_of_orders() const {
    return session().query_value(
        "SELECT oid FROM pg_class WHERE relname = "
        "'orders' AND relnamespace = "
        "'public'::regnamespace");
  }

 private:
  Relay relay_{cluster().folder() + "/.s.PGSQL.5432"};
};

TEST_F(LostAnswerTest, WhereItDidNotHappenTheRunIsResumable) {
  Program run = freeze_before_commit();
  const std::string before = oid_of_orders();
  const int pid = cutover_pid();
  superuser_session().exec("SELECT pg_terminate_backend($1)", pid);

  run.signal(SIGCONT);
  EXPECT_EQ(run.wait(), kResumable) << run.output();

  EXPECT_THAT(run.err(), HasSubstr("the exchange did not happen"));
  EXPECT_EQ(oid_of_orders(), before);
  EXPECT_EQ(phase(), "ready");
  resume();
  expect_migrated();
}

TEST_F(LostAnswerTest, WhereItDidHappenTheRunGoesOn) {
  Program run = freeze_before_commit();
  const std::string before = oid_of_orders();
  relay().withhold_answers(kCutover);
  run.signal(SIGCONT);
  EXPECT_TRUE(eventually([&] { return phase() == "exchanged"; }));
  relay().cut(kCutover);

  EXPECT_EQ(run.wait(), 0) << run.output();

  EXPECT_THAT(run.err(), HasSubstr("answer to COMMIT lost"));
  EXPECT_NE(oid_of_orders(), before);
  EXPECT_EQ(phase(), "done");
  expect_migrated();
}

// Its server process neither commits nor ends: as long as it is there, nobody
// can know. Here it finds, once it goes on, that its time is over.
TEST_F(LostAnswerTest, WhereItMayStillHappenThatIsSaidAndNothingTouched) {
  Program run = freeze_before_commit();
  const std::string before = oid_of_orders();
  {
    const Halted cutover(cutover_pid());
    run.signal(SIGCONT);
    EXPECT_TRUE(eventually([&] {
      return relay().last_said(kCutover).find("COMMIT") != std::string::npos;
    }));
    relay().cut(kCutover);

    EXPECT_EQ(run.wait(), kOutcomeUnknown) << run.output();

    EXPECT_THAT(run.err(), HasSubstr("outcome unknown"));
    EXPECT_THAT(run.err(), HasSubstr("pgrecast status"));
    EXPECT_EQ(phase(), "ready");
    EXPECT_EQ(oid_of_orders(), before);
  }
  EXPECT_TRUE(no_session_left(database()));
  resume();
  EXPECT_EQ(phase(), "done");
  expect_migrated();
}

}  // namespace
}  // namespace pgrecast::test
