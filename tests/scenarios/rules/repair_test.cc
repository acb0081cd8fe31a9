// What was missed for a while lies in the way of what changes now.

#include "scenarios/rules/story.h"

#include <csignal>

namespace pgrecast::test {
namespace {

class Repair : public TestDatabase {};

// A row that is dirty has taken a unique value from one that is not, since
// nobody saw that one give it away.
TEST_F(Repair, PassesValuesThatMovedWhileNobodyLooked) {
  Session owner = session();
  owner.exec(
      "CREATE TABLE t (id int PRIMARY KEY, u text UNIQUE, v int);"
      "INSERT INTO t SELECT i, 'u' || i, 0 FROM generate_series(1, 9000) i");
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  {
    Program ready = migration.run({"--cutover", "manual"});
    ready.wait_for_output("phase=ready");
    ready.signal(SIGTERM);
    ready.wait();
  }
  superuser_session().exec(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
      "WHERE database = current_database()");
  owner.exec(
      "UPDATE t SET u = 'given away' WHERE id = 8999;"
      "UPDATE t SET u = 'u8999' WHERE id = 5");

  Program run =
      migration.run({"--repair"}, "", "PGRECAST_FREEZE_AT=prepare:slot");
  run.wait_until_frozen();
  owner.exec("UPDATE t SET v = 1 WHERE id = 5");
  run.signal(SIGCONT);

  EXPECT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(differing_rows(
                owner, "SELECT id, u, v::bigint FROM " + Migration::retired(),
                "TABLE t"),
            0);
}

}  // namespace
}  // namespace pgrecast::test
