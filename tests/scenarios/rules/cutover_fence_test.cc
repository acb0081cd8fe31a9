#include "scenarios/rules/story.h"

#include <csignal>

namespace pgrecast::test {
namespace {

class CutoverWithALaggingDecoder : public TestDatabase {
 protected:
  // Rows that are not in the new table as they are in the old one, where the
  // last changes were not delivered yet when the cutover was asked for.
  long lost_rows(const std::string& rule_off) {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
    owner.exec("INSERT INTO t SELECT i, i FROM generate_series(1, 100) i");
    Migration migration(database(),
                        "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    Program run = migration.run({"--cutover", "manual"}, rule_off);
    run.wait_for_output("phase=ready");
    const pid_t sender = std::stoi(owner.query_value(
        "SELECT active_pid FROM pg_replication_slots WHERE database = "
        "current_database()"));
    EXPECT_EQ(kill(sender, SIGSTOP), 0);
    owner.exec("UPDATE t SET v = -v WHERE id <= 10");
    EXPECT_EQ(migration.command("cutover"), 0);
    if (rule_off.empty()) {
      run.wait_for_output("command=cutover");
      EXPECT_EQ(run.output().find("exchanged"), std::string::npos);
    } else {
      run.wait_for_output("exchanged");
    }
    kill(sender, SIGCONT);
    EXPECT_EQ(run.wait(), 0) << run.output();
    return differing_rows(
        owner, "SELECT id, v::bigint FROM " + Migration::retired(), "TABLE t");
  }
};

TEST_F(CutoverWithALaggingDecoder, LosesNothing) {
  EXPECT_EQ(lost_rows(""), 0);

  EXPECT_EQ(lost_rows("fence"), 20);
}

}  // namespace
}  // namespace pgrecast::test
