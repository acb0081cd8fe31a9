#pragma once

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <string>

namespace pgrecast::test {

// The base of what tells that changes were lost: a migration that is ready and
// has stopped.
class Lost : public Lifecycle {
 protected:
  static constexpr int kChangesLost = 8;

  void stop_when_ready() {
    Program run = start({"--cutover", "manual"});
    run.wait_for_output("phase changed.*phase=ready");
    run.signal(SIGTERM);
    ASSERT_EQ(run.wait(), 4) << run.output();
  }

  static void change(Session session) {
    const std::string change =
        "UPDATE {0} SET amount = amount + 0.5 WHERE id % 1000 = 7;"
        "DELETE FROM {0} WHERE id % 1000 = 8 AND id > 1000;"
        "INSERT INTO {0} (id, customer, code, amount, placed)"
        " VALUES (700000, 1, 'unseen', 1, '2026-03-03');";
    session.exec(fmt::format(fmt::runtime(change), "orders") +
                 fmt::format(fmt::runtime(change), "orders_twin"));
  }

  // A run that says so, with `words`.
  static void expect_lost(Program run, const std::string& words) {
    EXPECT_EQ(run.wait(), kChangesLost) << run.output();
    EXPECT_THAT(run.err(), ::testing::HasSubstr(words));
    EXPECT_THAT(run.err(), ::testing::HasSubstr("--repair"));
  }

  // The same twice: the first one has mended nothing and has dropped nothing.
  void expect_lost(const std::string& words) {
    for (int i = 0; i < 2; ++i) expect_lost(start(), words);
    EXPECT_EQ(phase(), "ready");
    EXPECT_EQ(superuser_session().query_value(
                  "SELECT (SELECT count(*) FROM pg_publication) || ' ' ||"
                  " (SELECT count(*) FROM pg_replication_slots WHERE database ="
                  " current_database()) || ' ' ||"
                  " (to_regclass('pgrecast_orders.orders') IS NOT NULL)"),
              "1 1 true");
    EXPECT_FALSE(nothing_in(state_dir()));
  }

  // Under load. What was lost is found, and then every row is right.
  void repair() {
    start_load();
    Program repaired = start({"--repair"});
    EXPECT_EQ(repaired.wait(), 0) << repaired.output();
    EXPECT_THAT(repaired.err(), ::testing::HasSubstr("rows differed"));
    expect_migrated();
  }
};

}  // namespace pgrecast::test
