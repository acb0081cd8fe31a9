// What others can see of a migration, and how they steer it.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <string>

namespace pgrecast::test {
namespace {

class StatusTest : public Lifecycle {
 protected:
  nlohmann::json status() {
    Program program({"status", "--dsn", dsn(), "--json", "orders"});
    EXPECT_EQ(program.wait(), 0) << program.output();
    const auto all = nlohmann::json::parse(program.out());
    EXPECT_EQ(all.at("version"), 1);
    EXPECT_EQ(all.at("migrations").size(), 1U);
    return all.at("migrations").at(0);
  }
  std::string text(const Texts& arguments) {
    std::string output;
    EXPECT_EQ(command(arguments, &output), 0) << output;
    return output;
  }
};

TEST_F(StatusTest, TellsOfALivingAndOfADeadMigration) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  // The heartbeat is of the last second.
  ASSERT_TRUE(eventually(
      [&] { return status().at("progress").value("phase", "") == "ready"; }));

  const nlohmann::json living = status();
  EXPECT_EQ(living.at("name"), "orders");
  EXPECT_EQ(living.at("phase"), "ready");
  EXPECT_EQ(living.at("tables"), nlohmann::json::array({"public.orders"}));
  EXPECT_EQ(living.at("running"), true);
  EXPECT_EQ(living.at("verified"), true);
  EXPECT_EQ(living.at("pid"), run.pid());
  EXPECT_LT(living.at("heartbeat_age_seconds").get<double>(), 30);
  EXPECT_FALSE(living.at("host").get<std::string>().empty());
  EXPECT_EQ(living.at("next"), "pgrecast cutover orders");
  const nlohmann::json& progress = living.at("progress");
  EXPECT_EQ(progress.at("tables").at(0).at("rows_copied"), 12000);
  EXPECT_EQ(progress.at("tables").at(0).at("blocks"),
            progress.at("tables").at(0).at("blocks_copied"));
  for (const char* number :
       {"dirty_keys", "lag_bytes", "retained_bytes", "buffer_bytes", "rounds",
        "verification_passes", "differences", "cutover_attempts",
        "lock_waited_ms", "lock_held_ms"}) {
    EXPECT_TRUE(progress.at(number).is_number()) << number;
  }
  EXPECT_TRUE(progress.at("phase_took_ms").contains("copying"));
  EXPECT_FALSE(living.at("events").empty());
  EXPECT_NE(text({"list", "--dsn", dsn()}).find("running"), std::string::npos);
  EXPECT_NE(text({"status", "--dsn", dsn()}).find("12000 rows"),
            std::string::npos);

  run.signal(SIGKILL);
  run.wait();
  ASSERT_TRUE(eventually([&] { return status().at("running") == false; }));
  EXPECT_EQ(status().at("phase"), "ready");
  EXPECT_NE(status().at("next").get<std::string>().find("pgrecast run"),
            std::string::npos);
  EXPECT_NE(text({"status", "--dsn", dsn(), "orders"}).find("none (was"),
            std::string::npos);

  resume();
  EXPECT_EQ(status().at("phase"), "done");
  EXPECT_EQ(status().at("next"), "pgrecast finish orders");
  std::string output;
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}, &output), 3);
  EXPECT_NE(output.find("exchanged its tables already"), std::string::npos)
      << output;
  // It held the migration's lock for as long as it looked: `finish` said that
  // a process was still at work, `cutover` told one that was not there.
  Program looking({"status", "--dsn", dsn(), "orders"},
                  {"PGRECAST_FREEZE_AT=status:looked"});
  looking.wait_until_frozen();
  EXPECT_EQ(
      command({"finish", "--dsn", dsn(), "--state-dir", state_dir(), "orders"},
              &output),
      0)
      << output;
  looking.signal(SIGCONT);
  looking.wait();
}

TEST_F(StatusTest, WithoutAnyMigrationThereIsNothingToTell) {
  EXPECT_NE(text({"list", "--dsn", dsn()}).find("no migrations"),
            std::string::npos);
  EXPECT_NE(text({"status", "--dsn", dsn()}).find("no migrations"),
            std::string::npos);
  const auto json =
      nlohmann::json::parse(text({"list", "--dsn", dsn(), "--json"}));
  EXPECT_TRUE(json.at("migrations").empty());
  EXPECT_EQ(command({"status", "--dsn", dsn(), "orders"}), 3);
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 3);
  EXPECT_EQ(text({"reap", "--dsn", dsn()}), "");
}

// Whoever asks how a migration stands is not in its way.
TEST_F(StatusTest, AskingNeverKeepsAProcessFromStarting) {
  Program watching({"status", "--dsn", dsn(), "--watch", "--json"});

  for (int i = 0; i < 3; ++i) {
    Program run = start({"--cutover", "manual"});
    run.wait_for_output("phase changed.*phase=ready|resuming.*phase=ready");
    run.signal(SIGTERM);
    EXPECT_EQ(run.wait(), 4) << run.output();
  }

  EXPECT_TRUE(watching.running());
  watching.signal(SIGTERM);
  watching.wait();
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "orders"}),
      0);
}

// Each page anew, and no escape sequences where no terminal shows them.
TEST_F(StatusTest, WatchingTellsWhatBecomesOfAMigration) {
  Program killed = start({}, {"PGRECAST_STOP_AT=copy:after_commit"});
  killed.wait();
  Program status({"status", "--dsn", dsn(), "--watch", "orders"});
  Program list({"list", "--dsn", dsn(), "--watch"});
  Program json({"list", "--dsn", dsn(), "--watch", "--json"});
  for (Program* watching : {&status, &list, &json}) {
    watching->wait_for_output("copying");
  }

  resume();

  for (Program* watching : {&status, &list, &json}) {
    watching->wait_for_output("done");
    EXPECT_TRUE(watching->running());
    watching->signal(SIGTERM);
    watching->wait();
    EXPECT_EQ(watching->out().find('\x1b'), std::string::npos);
  }
}

TEST_F(StatusTest, CutoverIsDoneWithinSecondsOfBeingAskedFor) {
  start_load();
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  EXPECT_TRUE(run.running());

  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(Deadline::in(std::chrono::seconds(15))), 0)
      << run.output();

  expect_migrated();
}

// It is asked for before the migration is ready: it is not forgotten.
TEST_F(StatusTest, CutoverAskedForEarlyIsDoneWhenReady) {
  Program run = start({"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=copying");
  EXPECT_NE(text({"cutover", "--dsn", dsn(), "orders"}).find("as soon as"),
            std::string::npos);
  EXPECT_EQ(run.wait(), 0) << run.output();
  expect_migrated();
}

// Asked for at night of a process that never heard it, it was done by day, as
// soon as somebody resumed the migration.
TEST_F(StatusTest, CutoverThatNobodyHeardIsNotDoneByTheNextProcess) {
  Program deaf = start({"--cutover", "manual"});
  deaf.wait_for_output("phase changed.*phase=ready");
  deaf.signal(SIGSTOP);
  EXPECT_EQ(text({"cutover", "--dsn", dsn(), "orders"}),
            "told the process that runs orders\n");
  deaf.signal(SIGKILL);
  deaf.wait();

  Program run = start({"--cutover", "manual"});
  run.wait_for_output("not done now.*pgrecast cutover orders");
  run.wait_for_output("ready.*next='pgrecast cutover orders'");

  EXPECT_EQ(phase(), "ready");
  EXPECT_EQ(
      superuser_session().query_value("SELECT count(*) FROM pgrecast.commands"),
      "0");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
}

TEST_F(StatusTest, CutoverOfADeadMigrationIsRefused) {
  Program killed = start({}, {"PGRECAST_STOP_AT=copy:after_commit"});
  killed.wait();
  ASSERT_TRUE(no_session_left(database()));

  std::string output;
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}, &output), 3);
  EXPECT_NE(output.find("pgrecast run"), std::string::npos) << output;

  resume();
}

}  // namespace
}  // namespace pgrecast::test
