#include "pgrecast/migration/state.h"

#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/pg/errors.h"

#include "support/test_database.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

namespace pgrecast::migration {
namespace {

class StateTest : public test::TestDatabase {
 protected:
  pg::Connection open() {
    return pg::Connection::open({.conninfo = dsn(), .application = "pgrecast"},
                                "test", {});
  }

  static MigrationRecord record(const std::string& name) {
    return {.name = name,
            .id = "00000000-0000-0000-0000-000000000001",
            .phase = Phase::kPreparing,
            .script = "ALTER TABLE \"t\" ADD c text DEFAULT 'a''b\\';",
            .script_file = "dir/x y.sql",
            .settings = {{"search_path", "\"$user\", public"},
                         {"TimeZone", "Europe/Berlin"}},
            .schemas = {"pgrecast_x", "pgrecast_\"x\"_retired"},
            .slot = "pgrecast_slot",
            .publication = "pgrecast_\"pub\""};
  }

  // Returns its epoch.
  std::uint64_t insert(const std::string& name) {
    pg::Transaction transaction(connection_);
    const auto epoch = insert_migration(connection_, record(name));
    transaction.commit();
    return epoch;
  }

  pg::Connection connection_ = open();
};

TEST_F(StateTest, MigrationIsReadAsItWasWritten) {
  EXPECT_FALSE(state_exists(connection_));
  insert("It's \"x\"");
  const MigrationRecord written = record("It's \"x\"");

  EXPECT_TRUE(state_exists(connection_));
  check_format(connection_);
  auto read = read_migration(connection_, "It's \"x\"");
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->script, written.script);
  EXPECT_EQ(read->script_file, written.script_file);
  EXPECT_EQ(read->settings, written.settings);
  EXPECT_EQ(read->schemas, written.schemas);
  EXPECT_EQ(read->slot, written.slot);
  EXPECT_EQ(read->publication, written.publication);
  EXPECT_EQ(read->phase, Phase::kPreparing);
  EXPECT_FALSE(read_migration(connection_, "x").has_value());

  set_identity(connection_, "It's \"x\"", 18446744073709551615U, 4294967295U);
  set_exact_xid(connection_, "It's \"x\"", 1ULL << 62U);
  set_verified(connection_, "It's \"x\"", true);
  for (const Phase phase :
       {Phase::kPreparing, Phase::kCopying, Phase::kSettling, Phase::kIndexing,
        Phase::kCatchingUp, Phase::kVerifying, Phase::kReady, Phase::kExchanged,
        Phase::kDone}) {
    set_phase(connection_, "It's \"x\"", phase);
    EXPECT_EQ(read_migration(connection_, "It's \"x\"")->phase, phase);
  }
  read = read_migration(connection_, "It's \"x\"");
  EXPECT_EQ(read->system_identifier, 18446744073709551615U);
  EXPECT_EQ(read->timeline, 4294967295U);
  EXPECT_EQ(read->exact_xid, 1ULL << 62U);
  EXPECT_TRUE(read->verified);
}

TEST_F(StateTest, OneNameIsOneMigration) {
  insert("a");
  EXPECT_THROW(insert("a"), pg::SqlError);
  EXPECT_EQ(list_migrations(connection_), std::vector<std::string>{"a"});
}

TEST_F(StateTest, TablesAndChunksAreReadAsTheyWereWritten) {
  insert("a");
  session().exec("CREATE TABLE t (id int PRIMARY KEY)");
  const auto oid = catalog::find_relation(connection_, "public", "t").value();
  plan::TableTarget target;
  target.ordinal = 1;
  target.source = {.schema = "public", .name = "t"};
  target.changes = {"it's", "ä"};
  const auto planned = catalog::read_fingerprint(connection_, oid, "none");
  insert_table(connection_, "a", target, oid, 4294967295U, planned);
  EXPECT_EQ(read_tables(connection_, "a")[0].fingerprint, planned);
  session().exec("ALTER TABLE t ADD COLUMN v int");
  const auto fingerprint = catalog::read_fingerprint(connection_, oid, "none");
  set_table_start(connection_, "a", 1, fingerprint, 77);

  const auto tables = read_tables(connection_, "a");

  ASSERT_EQ(tables.size(), 1U);
  EXPECT_EQ(tables[0].target.to_json(), target.to_json());
  EXPECT_EQ(tables[0].source_oid, oid);
  EXPECT_EQ(tables[0].shadow_oid, 4294967295U);
  EXPECT_EQ(tables[0].blocks, 77);
  EXPECT_EQ(tables[0].fingerprint, fingerprint);

  insert_chunk(connection_, "a", 1, {.first = 10, .end = 20}, 5);
  insert_chunk(connection_, "a", 1, {.first = 0, .end = 10}, 6);
  insert_chunk(connection_, "a", 2, {.first = 0, .end = 3}, 9);
  EXPECT_THROW(insert_chunk(connection_, "a", 1, {.first = 10, .end = 12}, 5),
               pg::SqlError)
      << "a chunk is copied once";
  const CopiedChunks chunks = read_chunks(connection_, "a", 1);
  EXPECT_EQ(chunks.rows, 11);
  EXPECT_EQ(chunks.ranges,
            (std::vector<copy::BlockRange>{{.first = 0, .end = 10},
                                           {.first = 10, .end = 20}}));
  delete_chunks(connection_, "a", 1);
  EXPECT_TRUE(read_chunks(connection_, "a", 1).ranges.empty());
  EXPECT_EQ(read_chunks(connection_, "a", 2).ranges.size(), 1U);
}

// A part and its whole are one another's, the parts of one whole are not.
TEST_F(StateTest, RivalsAreThoseOfTheTableBeforeTheirExchange) {
  session().exec(
      "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1);"
      "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1) TO (2);"
      "CREATE TABLE other (id int PRIMARY KEY)");
  const auto oid = [&](const std::string& name) {
    return catalog::find_relation(connection_, "public", name).value();
  };
  const auto rivals = [&](const std::string& migration,
                          const std::string& table) {
    std::string all;
    for (const Rival& rival : find_rivals(connection_, migration, oid(table))) {
      all += rival.migration + " " + rival.phase + " " + rival.table + ";";
    }
    return all;
  };
  EXPECT_EQ(rivals("b", "p"), "");  // no schema yet
  insert("a");
  insert_table(connection_, "a", {}, oid("p1"), 1, {});

  for (const char* name : {"p", "p1"}) {
    EXPECT_EQ(rivals("b", name), "a preparing public.p1;") << name;
  }
  for (const char* name : {"p2", "other"}) EXPECT_EQ(rivals("b", name), "");
  EXPECT_EQ(rivals("a", "p1"), "");

  plan::TableTarget second;
  second.ordinal = 1;
  insert_table(connection_, "a", second, oid("p"), 1, {});
  set_phase(connection_, "a", Phase::kReady);
  EXPECT_EQ(rivals("b", "p2"), "a ready public.p;");
  for (const Phase phase : {Phase::kExchanged, Phase::kDone}) {
    set_phase(connection_, "a", phase);
    EXPECT_EQ(rivals("b", "p1"), "");
  }
}

TEST_F(StateTest, SchemaGoesWithTheLastMigration) {
  insert("a");
  insert("b");
  add_event(connection_, "a", "phase", "x");
  beat(connection_, "a", "host", 1, "{}");
  send_command(connection_, "a", "pause");

  delete_migration(connection_, "a");
  EXPECT_EQ(list_migrations(connection_), std::vector<std::string>{"b"});
  EXPECT_TRUE(read_events(connection_, "a", 10).empty());
  EXPECT_FALSE(read_heartbeat(connection_, "a").has_value());
  delete_migration(connection_, "b");
  EXPECT_FALSE(state_exists(connection_));
  EXPECT_EQ(session().query_value(
                "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgrecast'"),
            "0");
  delete_migration(connection_, "b");
  insert("a");
  EXPECT_TRUE(state_exists(connection_));
}

// Each session makes the schema where it finds none: only one may.
TEST_F(StateTest, ManySessionsMakeAndRemoveTheSchemaAtOnce) {
  constexpr int kSessions = 6;
  constexpr int kTimes = 5;
  std::vector<std::jthread> threads;
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([this, i] {
      pg::Connection mine = open();
      const std::string name = "m" + std::to_string(i);
      for (int time = 0; time < kTimes; ++time) {
        EXPECT_NO_THROW({
          pg::Transaction transaction(mine);
          insert_migration(mine, record(name));
          transaction.commit();
          delete_migration(mine, name);
        }) << name;
      }
    });
  }
  threads.clear();

  EXPECT_FALSE(state_exists(connection_));
}

TEST_F(StateTest, RefusesASchemaOfAnotherVersion) {
  insert("a");
  session().exec("UPDATE pgrecast.format SET version = version + 1");

  EXPECT_THROW(check_format(connection_), Refused);
  EXPECT_THROW(insert("b"), Refused);
  session().exec("UPDATE pgrecast.format SET version = version - 1");
  EXPECT_NO_THROW(insert("b"));
}

// Whoever may create a schema could make it first, with a trigger that granted
// the table to him as soon as a migration began: it ran with the rights of the
// role that migrates.
TEST_F(StateTest, RefusesASchemaOfARoleThatCannotHaveMadeIt) {
  test::Session superuser = superuser_session();
  const std::string other = database().role() + "_other";
  superuser.exec(fmt::format(
      "CREATE ROLE \"{0}\"; CREATE SCHEMA pgrecast AUTHORIZATION \"{0}\";"
      "CREATE TABLE pgrecast.format (version int);"
      "INSERT INTO pgrecast.format VALUES ({1});"
      "GRANT ALL ON SCHEMA pgrecast TO PUBLIC;"
      "GRANT ALL ON pgrecast.format TO PUBLIC",
      other, kStateFormatVersion));
  pg::Connection as_superuser = pg::Connection::open(
      {.conninfo = superuser_dsn(), .application = "pgrecast"}, "test", {});
  const auto refused = [&](pg::Connection& connection) -> std::string {
    try {
      state_exists(connection);
      return "";
    } catch (const Refused& error) {
      return error.what();
    }
  };

  EXPECT_NE(refused(connection_).find(other), std::string::npos);
  EXPECT_NE(refused(as_superuser).find(other), std::string::npos);
  EXPECT_THROW(find_migration(connection_, "a"), Refused);
  EXPECT_THROW(insert("a"), Refused);
  // A colleague's, who migrates too; or of a role that ours is a member of.
  superuser.exec(fmt::format("ALTER ROLE \"{}\" REPLICATION", other));
  EXPECT_EQ(refused(connection_), "");
  EXPECT_EQ(refused(as_superuser), "");
  superuser.exec(
      fmt::format("ALTER ROLE \"{0}\" NOREPLICATION; GRANT \"{0}\" TO \"{1}\"",
                  other, database().role()));
  EXPECT_EQ(refused(connection_), "");
  superuser.exec(
      fmt::format("DROP SCHEMA pgrecast CASCADE; DROP ROLE \"{}\"", other));
}

// It was found out after the plan had been confirmed, as an internal error.
TEST_F(StateTest, RefusesASchemaThatIsNoneOfOurs) {
  session().exec("CREATE SCHEMA pgrecast; CREATE TABLE pgrecast.mine (i int)");

  EXPECT_FALSE(state_exists(connection_));
  EXPECT_THROW(refuse_foreign_schema(connection_), Refused);
  EXPECT_THROW(insert("a"), Refused);
  session().exec("ALTER SCHEMA pgrecast RENAME TO mine");
  EXPECT_NO_THROW(refuse_foreign_schema(connection_));
  insert("a");
  EXPECT_NO_THROW(refuse_foreign_schema(connection_));
}

TEST_F(StateTest, EventsComeInTheirOrderAndTheLastOnesCount) {
  insert("a");
  for (int i = 0; i < 5; ++i) {
    add_event(connection_, "a", "e" + std::to_string(i), "d'");
  }

  const auto events = read_events(connection_, "a", 3);

  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].event, "e2");
  EXPECT_EQ(events[2].event, "e4");
  EXPECT_EQ(events[2].detail, "d'");
  EXPECT_EQ(events[2].by, database().role());
}

TEST_F(StateTest, CommandIsTakenOnceAndTheLastOneCounts) {
  insert("a");
  EXPECT_EQ(take_command(connection_, "a").command, "");

  send_command(connection_, "a", "pause");
  send_command(connection_, "a", "cutover");

  const Command command = take_command(connection_, "a");
  EXPECT_EQ(command.command, "cutover");
  EXPECT_EQ(command.by, database().role());
  EXPECT_EQ(take_command(connection_, "a").command, "");
}

TEST_F(StateTest, NoCommandTakesTheAbortsPlace) {
  insert("a");

  send_command(connection_, "a", "abort");
  send_command(connection_, "a", "cutover");

  EXPECT_EQ(take_command(connection_, "a").command, "abort");
}

TEST_F(StateTest, HeartbeatIsTheLastOne) {
  insert("a");
  beat(connection_, "a", "one", 1, R"({"x": 1})");
  beat(connection_, "a", "two", 2, R"({"x": 2})");

  const auto heartbeat = read_heartbeat(connection_, "a");

  ASSERT_TRUE(heartbeat.has_value());
  EXPECT_EQ(heartbeat->host, "two");
  EXPECT_EQ(heartbeat->pid, 2);
  EXPECT_EQ(heartbeat->status_json, R"({"x": 2})");
  EXPECT_GE(heartbeat->age_seconds, 0);
  EXPECT_LT(heartbeat->age_seconds, 600);
}

TEST_F(StateTest, TakingOverWaitsForWhatIsInFlightAndMakesTheRestFail) {
  const std::string old_query = ownership_query("a", insert("a"));
  pg::Connection old_owner = open();
  const catalog::SourceGuard old_guard(old_query);
  auto in_flight = std::make_unique<pg::Transaction>(old_owner);
  old_guard.prove_ownership(old_owner);

  // Without the sessions of a process that died being ended first.
  test::Session taker = session();
  taker.send(
      "UPDATE pgrecast.owner SET epoch = epoch + 1 WHERE migration = "
      "'a'");
  ASSERT_TRUE(test::eventually([&] {
    return session().query_value(
               "SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted",
               taker.backend_pid()) == "1";
  }));
  in_flight->commit();
  taker.wait();

  pg::Transaction later(old_owner);
  EXPECT_THROW(old_guard.prove_ownership(old_owner), OwnershipLost);
}

// Whoever owned a migration of the same name once must not write into the next.
TEST_F(StateTest, EpochIsNeverThatOfAnEarlierMigrationOfTheName) {
  auto last = insert("a");
  for (int i = 0; i < 3; ++i) {
    last = take_ownership(connection_, *read_migration(connection_, "a"));
  }
  delete_migration(connection_, "a");

  EXPECT_GT(insert("a"), last);
}

TEST_F(StateTest, LockKeepsOutAllButOneProcess) {
  insert("a");
  const MigrationRecord mine = *read_migration(connection_, "a");
  ASSERT_TRUE(lock_migration(connection_, mine));
  {
    pg::Connection other = open();
    EXPECT_FALSE(lock_migration(other, mine));
  }
  insert("b");
  pg::Connection other = open();
  MigrationRecord another = *read_migration(connection_, "b");
  another.id = "00000000-0000-0000-0000-000000000002";
  another.slot = "pgrecast_slot_2";
  EXPECT_TRUE(lock_migration(other, another));
}

}  // namespace
}  // namespace pgrecast::migration
