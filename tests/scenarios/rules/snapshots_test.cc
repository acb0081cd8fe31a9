// Snapshots that would see the new table without rows that it should have.

#include "pgrecast/pg/errors.h"

#include "scenarios/rules/story.h"

#include <csignal>
#include <future>

namespace pgrecast::test {
namespace {

// More than an exact round takes, also where it has begun by then.
constexpr const char* kManyRows = "120000";

class SnapshotsAndTheExchange : public TestDatabase {
 protected:
  // With a unique column besides the key: all deletes of a loose round come
  // before its inserts.
  void make_table() {
    Session owner = session();
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v int)");
    owner.exec(
        "INSERT INTO t SELECT i, i, 0 FROM generate_series(1, $1::int) i",
        kManyRows);
    owner.exec("CREATE TABLE other (i int)");
  }
};

TEST_F(SnapshotsAndTheExchange, AreWaitedForWhereTheyAreOfALooseRound) {
  make_table();
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  Program run = migration.run({"--cutover", "manual"}, "",
                              "PGRECAST_FREEZE_AT=loose:written");
  run.wait_for_output("phase=ready");
  session().exec("UPDATE t SET v = v + 1");
  run.wait_until_frozen();

  // Its rows are away, but for a batch. It takes a lock on the table only
  // after the exchange.
  Session reader = session();
  reader.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other");
  const std::string pid = reader.query_value("SELECT pg_backend_pid()");
  std::future<std::string> busy = std::async(std::launch::async, [&] {
    return reader.try_exec("SELECT pg_sleep(600)");
  });
  run.signal(SIGCONT);
  EXPECT_EQ(migration.command("cutover"), 0);
  run.wait_for_output("waiting for snapshots older than the new table");

  session().exec("SELECT pg_cancel_backend($1::int)", pid);
  EXPECT_EQ(busy.get(), pg::sqlstate::kQueryCanceled);
  EXPECT_EQ(run.output().find("lock_held_ms"), std::string::npos);
  reader.exec("ROLLBACK");
  EXPECT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(reader.query_value("SELECT count(*) FROM t"), kManyRows);
}

// A subscription copies its tables in a transaction of a WAL sender, and then
// follows from that transaction's snapshot on.
TEST_F(SnapshotsAndTheExchange, AreWaitedForWhereASubscriptionCopiesATable) {
  make_table();
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  Program run = migration.run({"--cutover", "manual"});
  run.wait_for_output("phase=ready");
  {
    Session copier(dsn() + " replication=database");
    copier.exec("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ");
    copier.exec(
        "CREATE_REPLICATION_SLOT copier TEMPORARY LOGICAL pgoutput "
        "USE_SNAPSHOT");
    EXPECT_EQ(migration.command("cutover"), 0);
    run.wait_for_output(
        "transactions hold snapshots older than the last round");
    EXPECT_EQ(run.output().find("lock_held_ms"), std::string::npos);
  }
  EXPECT_EQ(run.wait(), 0) << run.output();
}

}  // namespace
}  // namespace pgrecast::test
