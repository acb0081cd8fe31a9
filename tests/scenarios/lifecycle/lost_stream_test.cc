// Slot and buffer are there, and yet the stream between them has a gap: the
// server, its WAL or our folder is not what it was when we stopped.

#include "scenarios/lifecycle/lost.h"

#include <filesystem>
#include <string>

namespace pgrecast::test {
namespace {

namespace fs = std::filesystem;

class LostStreamTest : public Lost {
 protected:
  // Until the slot keeps nothing any more: the segments that it needs are gone
  // at the checkpoint.
  void invalidate_slot() {
    cluster().set("max_slot_wal_keep_size", "1MB");
    Session superuser = superuser_session();
    for (int segment = 0; segment < 3; ++segment) {
      superuser.exec(
          "SELECT pg_logical_emit_message(false, 'any', 'at all');"
          "SELECT pg_switch_wal()");
    }
    superuser.exec("CHECKPOINT");
    EXPECT_EQ(superuser.query_value(
                  "SELECT wal_status FROM pg_replication_slots WHERE database "
                  "= current_database()"),
              "lost");
    cluster().set("max_slot_wal_keep_size", "");
  }

  // Another run receives what is changed, and refreshes none of it.
  void receive_change_in_vain() {
    Session somebody = superuser_session();
    somebody.exec("BEGIN; LOCK TABLE pgrecast_orders.orders IN SHARE MODE");
    Program run = start({"--cutover", "manual"});
    change(session());
    Session superuser = superuser_session();
    const std::string changed =
        superuser.query_value("SELECT pg_current_wal_insert_lsn()");
    EXPECT_TRUE(eventually([&] {
      return superuser.query_value(
                 "SELECT confirmed_flush_lsn >= $1::pg_lsn FROM "
                 "pg_replication_slots WHERE database = current_database()",
                 changed) == "t";
    })) << run.output();
    run.signal(SIGKILL);
    run.wait();
    somebody.exec("ROLLBACK");
    EXPECT_TRUE(no_session_left(database()));
  }
};

// As on a standby that was promoted: what it had not received yet is missing
// there, while its keys may be forgotten here.
TEST_F(LostStreamTest, APromotedServerIsNoticedAndRepaired) {
  stop_when_ready();
  cluster().start_new_timeline();
  change(session());

  expect_lost("the server was promoted (timeline ");

  repair();
}

TEST_F(LostStreamTest, ASlotThatTheServerInvalidatedIsNoticedAndRepaired) {
  stop_when_ready();
  change(session());
  invalidate_slot();

  expect_lost("was invalidated: the server removed WAL that it needed");

  repair();
}

// From a backup of our host: the server does not send again what was confirmed.
TEST_F(LostStreamTest, AStateDirThatWasPutBackIsNoticedAndRepaired) {
  stop_when_ready();
  const std::string backup = state_dir() + ".backup";
  fs::copy(state_dir(), backup, fs::copy_options::recursive);
  receive_change_in_vain();
  fs::remove_all(state_dir());
  fs::rename(backup, state_dir());

  expect_lost("the change buffer ends at");

  repair();
}

}  // namespace
}  // namespace pgrecast::test
