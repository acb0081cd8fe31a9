#include "pgrecast/base/error.h"
#include "pgrecast/pg/errors.h"

#include "integration/refresh/shadow_fixture.h"

#include <gmock/gmock.h>

namespace pgrecast::capture {
namespace {

using test::eventually;
using test::Session;

class CaptureTest : public test::ShadowFixture {
 protected:
  void begin_items() {
    begin(
        "CREATE TABLE items (id int PRIMARY KEY, v int, big text);"
        "ALTER TABLE items ALTER big SET STORAGE external;"
        "INSERT INTO items SELECT x, x, repeat('x', 5000) FROM "
        "generate_series(1, 100) AS x",
        "ALTER TABLE items ALTER v TYPE bigint");
  }

  std::string confirmed() {
    return session().query_value(
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name "
        "= $1",
        plan_.names.slot);
  }
};

TEST_F(CaptureTest, NotesTheKeysOfEveryKindOfChange) {
  begin_items();
  Session app = session();
  app.exec("INSERT INTO items VALUES (1000, 1, '')");
  app.exec("UPDATE items SET v = 0 WHERE id = 1");
  app.exec("UPDATE items SET id = 2002 WHERE id = 2");
  app.exec("DELETE FROM items WHERE id = 3");
  app.exec(
      "INSERT INTO items VALUES (4, 9, '') ON CONFLICT (id) DO UPDATE SET "
      "v = 9");
  fence();

  for (const char* id : {"1000", "1", "2", "2002", "3", "4"}) {
    EXPECT_TRUE(dirty({id})) << id;
  }
  EXPECT_EQ(dirty_count(), 6U);
}

TEST_F(CaptureTest, NotesNothingOfWhatWasRolledBack) {
  begin_items();
  Session app = session();
  app.exec(
      "BEGIN; UPDATE items SET v = 0 WHERE id = 1; SAVEPOINT s; UPDATE items "
      "SET v = 0 WHERE id = 2; ROLLBACK TO s; UPDATE items SET v = 0 WHERE id "
      "= 3; SAVEPOINT t; UPDATE items SET v = 0 WHERE id = 4; RELEASE t; "
      "COMMIT");
  app.exec("BEGIN; UPDATE items SET v = 0 WHERE id = 5; ROLLBACK");
  app.try_exec("UPDATE items SET v = 1 / (id - 50)");
  fence();

  EXPECT_EQ(dirty_count(), 3U);
  EXPECT_TRUE(dirty({"1"}));
  EXPECT_TRUE(dirty({"3"}));
  EXPECT_TRUE(dirty({"4"}));
}

TEST_F(CaptureTest, NotesAPreparedTransactionWhenItCommits) {
  begin_items();
  Session app = session();
  app.exec(
      "BEGIN; UPDATE items SET v = 0 WHERE id = 1; PREPARE TRANSACTION 'a'");
  app.exec(
      "BEGIN; UPDATE items SET v = 0 WHERE id = 2; PREPARE TRANSACTION 'b'");
  fence();
  EXPECT_EQ(dirty_count(), 0U);

  app.exec("COMMIT PREPARED 'a'");
  app.exec("ROLLBACK PREPARED 'b'");
  fence();

  EXPECT_TRUE(dirty({"1"}));
  EXPECT_EQ(dirty_count(), 1U);
}

TEST_F(CaptureTest, NotesRowsWhoseToastIsUnchanged) {
  begin_items();
  session().exec(
      "UPDATE items SET v = -v; UPDATE items SET id = id + 1000 "
      "WHERE id <= 10");
  fence();

  EXPECT_EQ(dirty_count(), 110U);
}

TEST_F(CaptureTest, NotesKeysUnderReplicaIdentityFullAndUsingIndex) {
  begin(
      "CREATE TABLE f (id int PRIMARY KEY, v int, big text);"
      "ALTER TABLE f ALTER big SET STORAGE external, REPLICA IDENTITY FULL;"
      "CREATE TABLE i (id int PRIMARY KEY, u text NOT NULL UNIQUE, v int);"
      "ALTER TABLE i REPLICA IDENTITY USING INDEX i_u_key;"
      "INSERT INTO f SELECT x, x, repeat('x', 5000) FROM generate_series(1, "
      "20) x; INSERT INTO i SELECT x, 'u' || x, x FROM generate_series(1, 20) "
      "x",
      "ALTER TABLE f ALTER v TYPE bigint; ALTER TABLE i ALTER v TYPE bigint");
  session().exec(
      "UPDATE f SET v = 0 WHERE id = 1; UPDATE f SET id = 200 WHERE id = 2;"
      "DELETE FROM f WHERE id = 3; UPDATE i SET v = 0 WHERE id = 1; UPDATE i "
      "SET u = 'new' WHERE id = 2; UPDATE i SET id = 300 WHERE id = 3; DELETE "
      "FROM i WHERE id = 4");
  fence();

  EXPECT_EQ(dirty_count(0), 4U);
  for (const char* id : {"1", "2", "200", "3"}) EXPECT_TRUE(dirty({id}, 0));
  EXPECT_EQ(dirty_count(1), 5U);
  for (const char* u : {"u1", "u2", "new", "u3", "u4"}) {
    EXPECT_TRUE(dirty({u}, 1)) << u;
  }
}

TEST_F(CaptureTest, NotesATruncateAndWhatComesAfterIt) {
  begin_items();
  session().exec("TRUNCATE items; INSERT INTO items VALUES (5, 5, '')");
  fence();

  SealedKeys sealed = buffer_->seal();
  EXPECT_TRUE(sealed.truncated(0).has_value());
  EXPECT_EQ(sealed.count(0), 1U);
  EXPECT_EQ(status_.truncates, 1U);
}

TEST_F(CaptureTest, NothingIsMissedWhereTheStreamBreaks) {
  begin_items();
  Session app = session();
  for (int i = 0; i < 5; ++i) {
    app.exec("INSERT INTO items VALUES ($1, 1, '')", 1000 + 2 * i);
    fence();
    superuser_session().exec(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
        "WHERE slot_name = $1",
        plan_.names.slot);
    thread_.join();
    ASSERT_NE(received_, nullptr) << "a broken stream must be told";
    EXPECT_THROW(fence(), Error) << "no fence is waited for in vain";
    const Lsn position = buffer_->position();
    app.exec("INSERT INTO items VALUES ($1, 1, '')", 1001 + 2 * i);
    receiver_.reset();
    start_receiver();
    fence();
    EXPECT_GT(buffer_->position(), position);
  }
  EXPECT_EQ(dirty_count(), 10U);
}

TEST_F(CaptureTest, ResumesWhereItStoppedAndSkipsWhatItHas) {
  begin_items();
  session().exec("UPDATE items SET v = 0 WHERE id = 1");
  fence();
  stop_receiver();
  EXPECT_EQ(buffer_->durable_position(), buffer_->position())
      << "stopping makes durable what was received";
  forget_all();
  session().exec("UPDATE items SET v = 0 WHERE id = 2");

  start_receiver();
  fence();

  EXPECT_FALSE(dirty({"1"}));
  EXPECT_TRUE(dirty({"2"}));
}

TEST_F(CaptureTest, ConfirmsWhileOnlyOthersWrite) {
  begin_items();
  fence();
  session().exec("CREATE TABLE other (x text)");
  test::Database elsewhere(cluster());
  elsewhere.session().exec("CREATE TABLE other (x text)");
  for (int i = 0; i < 2; ++i) {
    const std::string before =
        session().query_value("SELECT pg_current_wal_lsn()");
    const char* write =
        "INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, "
        "1000)";
    session().exec(write);
    elsewhere.session().exec(write);

    EXPECT_TRUE(eventually([&] {
      return session().query_value("SELECT $1::pg_lsn > $2::pg_lsn",
                                   confirmed(), before) == "t";
    })) << confirmed()
        << " stays below " << before;
  }
}

TEST_F(CaptureTest, FenceWaitsForWhatWasCommittedBefore) {
  begin_items();
  Session app = session();
  for (int i = 0; i < 50; ++i) {
    app.exec(
        "INSERT INTO items SELECT x, 0, '' FROM generate_series($1::int, "
        "$1::int + 99) AS x",
        10000 + i * 100);
    fence();
    ASSERT_TRUE(dirty({std::to_string(10000 + i * 100 + 99)})) << i;
  }
}

TEST_F(CaptureTest, FenceGivesUpAtItsDeadlineWhileTheStreamIsAway) {
  begin_items();
  stop_receiver();
  Fences fences(plan_.names.slot, *xids_);

  EXPECT_THROW(fences.pass(*fence_, Deadline::in(milliseconds(50)), {}),
               TimedOut);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(
      fences.pass(*fence_, Deadline::in(test::kPatience), stop.get_token()),
      Stopped);
}

TEST_F(CaptureTest, FencesOfAnotherSlotAreNotOurs) {
  begin_items();
  Fences others("another_slot", *xids_);

  EXPECT_THROW(others.pass(*fence_, Deadline::in(milliseconds(200)), {}),
               TimedOut);
  fence();
}

TEST_F(CaptureTest, StopsWhenTheKeysColumnsAreGoneFromTheStream) {
  if (cluster().version() < 15) {
    GTEST_SKIP() << "column lists came with PostgreSQL 15";
  }
  begin_items();
  session().exec(
      "ALTER TABLE items ADD COLUMN k2 int GENERATED ALWAYS AS IDENTITY, ADD "
      "UNIQUE (k2); UPDATE items SET v = 1 WHERE id = 1");
  fence();
  session().exec("ALTER PUBLICATION " +
                 pg::quote_identifier(plan_.names.publication) +
                 " SET TABLE items (k2); ALTER TABLE items REPLICA IDENTITY "
                 "USING INDEX items_k2_key; UPDATE items SET v = 2 WHERE id = "
                 "2");

  EXPECT_THROW(fence(), Error);
  stop_receiver();
  EXPECT_NE(received_, nullptr);
}

TEST_F(CaptureTest, PublishesNoTableWhoseKeyWasChangedSinceThePlan) {
  session().exec(
      "CREATE TABLE items (id int PRIMARY KEY, u int NOT NULL UNIQUE)");
  pg::Connection connection = open("control");
  const auto read = [&] {
    return catalog::read_table(
        connection, *catalog::find_relation(connection, "public", "items"));
  };
  for (const char* change :
       {"ALTER TABLE items REPLICA IDENTITY FULL",
        "ALTER TABLE items REPLICA IDENTITY USING INDEX items_u_key",
        "ALTER TABLE items REPLICA IDENTITY NOTHING",
        "ALTER TABLE items REPLICA IDENTITY DEFAULT, DROP CONSTRAINT "
        "items_pkey"}) {
    SCOPED_TRACE(change);
    session().exec("ALTER TABLE items REPLICA IDENTITY DEFAULT");
    const catalog::Table planned = read();
    session().exec(change);

    const pg::Transaction rolled_back(connection);
    EXPECT_THROW(create_publication(connection, "p", {planned}), SourceChanged);
  }
  session().exec("ALTER TABLE items ADD PRIMARY KEY (u)");
  create_publication(connection, "p", {read()});
  drop_publication(connection, "p");
  drop_publication(connection, "p");
}

TEST_F(CaptureTest, PublishesOnlyTheKeysColumns) {
  if (cluster().version() < 15) {
    GTEST_SKIP() << "column lists came with PostgreSQL 15";
  }
  begin_items();

  EXPECT_EQ(session().query_value(
                "SELECT attnames FROM pg_publication_tables WHERE pubname = $1",
                plan_.names.publication),
            "{id}");
}

TEST_F(CaptureTest, SlotGivesUpOnAnOldTransactionAndCanBeMadeLater) {
  pg::Connection control = open("control");
  Session old = session();
  old.exec("BEGIN; SELECT pg_current_xact_id()");
  {
    pg::Connection replication = open_replication();
    EXPECT_THROW(create_slot(replication, "s", Deadline::in(milliseconds(300))),
                 TimedOut);
    EXPECT_EQ(identify_system(replication).timeline, 1U)
        << "the session goes on";
  }
  EXPECT_TRUE(eventually([&] { return !read_slot(control, "s").has_value(); }));
  old.exec("COMMIT");

  pg::Connection replication = open_replication();
  const Lsn point =
      create_slot(replication, "s", Deadline::in(test::kPatience));

  EXPECT_GT(point.value, 0U);
  const auto slot = read_slot(control, "s");
  ASSERT_TRUE(slot.has_value());
  EXPECT_FALSE(slot->active);
  EXPECT_EQ(slot->confirmed_flush_lsn, point);
  EXPECT_EQ(slot->wal_status, "reserved");
  drop_slot(control, "s", Deadline::in(test::kPatience));
  drop_slot(control, "s", Deadline::in(test::kPatience));
  EXPECT_FALSE(read_slot(control, "s").has_value());
}

// The thread that answers the server also waits for our disk. A session like
// ours but for its settings shows that the server's patience is over.
TEST_F(CaptureTest, StreamOutlivesAStallThatTheServerWouldEnd) {
  begin_items();
  stop_receiver();
  const std::string other_slot = plan_.names.slot + "_other";
  superuser_session().exec(
      "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", other_slot);
  cluster().set("wal_sender_timeout", "1s");
  const auto walsenders = [&](const std::string& slot) {
    return session().query_value(
        "SELECT active FROM pg_replication_slots WHERE slot_name = $1", slot);
  };
  {
    const pg::ReplicationStream ours(open_replication(), plan_.names.slot,
                                     plan_.names.publication);
    pg::Connection plain = open_replication();
    plain.exec("SET wal_sender_timeout = '1s'");
    const pg::ReplicationStream theirs(std::move(plain), other_slot,
                                       plan_.names.publication);
    ASSERT_EQ(walsenders(other_slot), "t");

    EXPECT_TRUE(eventually([&] { return walsenders(other_slot) == "f"; }));
    EXPECT_EQ(walsenders(plan_.names.slot), "t");
  }
  cluster().set("wal_sender_timeout", "60s");
  drop_slot(*control_, other_slot, Deadline::in(test::kPatience));
}

TEST_F(CaptureTest, DropsASlotThatASessionOfOursStillHolds) {
  begin_items();
  pg::Connection control = open("control");

  drop_slot(control, plan_.names.slot, Deadline::in(test::kPatience));

  EXPECT_FALSE(read_slot(control, plan_.names.slot).has_value());
}

}  // namespace
}  // namespace pgrecast::capture
