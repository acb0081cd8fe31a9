#include "pgrecast/base/error.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/pg/connection.h"

#include "scenarios/rules/rig.h"
#include "scenarios/rules/story.h"

#include <csignal>
#include <future>

namespace pgrecast::test {
namespace {

// pgrecast dies, or freezes, while the server executes its INSERT .. SELECT,
// and is run again at once.
class Takeover : public TestDatabase {
 protected:
  void make_table() {
    Session owner = session();
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (id int PRIMARY KEY, v int)");
    owner.exec("INSERT INTO t SELECT i, 4710 + i FROM generate_series(1, 9) i");
  }

  // The pid of the session that executes the statement that is held.
  // `freeze` it: then it notices neither its client's death nor a signal.
  pid_t killed_while_held(Migration& migration, Held& held, bool freeze) {
    held.hold();
    Program killed = migration.run({});
    held.wait_until_held();
    Session watcher = session();
    const pid_t left = std::stoi(
        watcher.query_value("SELECT pid FROM pg_locks WHERE locktype = "
                            "'advisory' AND objid = 4711 AND NOT granted"));
    if (freeze) kill(left, SIGSTOP);
    killed.signal(SIGKILL);
    killed.wait();
    return left;
  }

  void expect_equal() {
    Session reader = session();
    EXPECT_EQ(differing_rows(
                  reader, "SELECT id, v::bigint FROM " + Migration::retired(),
                  "TABLE t"),
              0);
  }

  void wait_until_takeover_waits() {
    Session watcher = session();
    EXPECT_TRUE(eventually([&] {
      return watcher.query_value(
                 "SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                 "'UPDATE pgrecast.owner%' AND wait_event_type = 'Lock'") ==
             "1";
    }));
  }

  // How often row 1 was copied, where somebody takes over while its chunk is
  // being copied, by a session that cannot be ended.
  std::string copies_of_a_row() {
    make_table();
    Session owner = session();
    owner.exec(
        "CREATE SCHEMA IF NOT EXISTS pgrecast;"
        "DROP TABLE IF EXISTS pgrecast.owner, copied;"
        "CREATE TABLE pgrecast.owner (migration text PRIMARY KEY, epoch "
        "bigint NOT NULL); INSERT INTO pgrecast.owner VALUES ('rig', 1);"
        "CREATE TABLE copied (first_block bigint)");
    Held held(owner);
    Rig rig(database(), Held::script());
    const auto copy = [&](pg::Connection& session, std::uint64_t epoch) {
      catalog::SourceGuard guard(migration::ownership_query("rig", epoch));
      guard.add_source("public.t", "SELECT true");
      copy::copy_chunk(session, rig.table(0), guard, {.first = 0, .end = 1000},
                       [](pg::Connection& same, std::int64_t /*rows*/) {
                         same.exec("INSERT INTO public.copied VALUES (0)");
                       });
    };
    held.hold();
    auto before = std::async(std::launch::async, [&] {
      pg::Connection session = rig.open("before");
      copy(session, 1);
    });
    held.wait_until_held();
    auto after = std::async(std::launch::async, [&] {
      pg::Connection session = rig.open("after");
      migration::MigrationRecord record;
      record.name = "rig";
      const auto epoch = migration::take_ownership(session, record);
      if (session.exec("SELECT FROM public.copied").empty()) {
        copy(session, epoch);
      }
    });
    if (rule_on("owner")) {
      wait_until_takeover_waits();
    } else {
      held.wait_until_held(2);
    }
    held.release();
    before.get();
    after.get();
    return owner.query_value("SELECT count(*) FROM " + rig.shadow() +
                             " WHERE id = 1");
  }
};

TEST_F(Takeover, WaitsForTheChunkThatIsBeingCopied) {
  EXPECT_EQ(copies_of_a_row(), "1");

  const RuleOff off("owner");
  EXPECT_EQ(copies_of_a_row(), "2");
}

TEST_F(Takeover, EndsWhatAKilledProcessLeftBehind) {
  make_table();
  Session owner = session();
  Held held(owner);
  Migration migration(database(), Held::script());
  const pid_t left = killed_while_held(migration, held, false);
  Program run = migration.run({});
  EXPECT_TRUE(eventually([&] { return !process_alive(left); }));
  held.wait_until_held();
  held.release();
  EXPECT_EQ(run.wait(), 0) << run.output();
  expect_equal();
}

TEST_F(Takeover, WaitsForASessionThatCannotBeEndedAtOnce) {
  make_table();
  Session owner = session();
  Held held(owner);
  Migration migration(database(), Held::script());
  const pid_t left = killed_while_held(migration, held, true);
  Program run = migration.run({});
  wait_until_takeover_waits();
  held.release();
  kill(left, SIGCONT);
  EXPECT_EQ(run.wait(), 0) << run.output();
  expect_equal();
}

TEST_F(Takeover, EndsTheRightToWriteOfWhoeverHadItBefore) {
  make_table();
  Migration migration(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  Program run = migration.run({"--cutover", "manual"});
  run.wait_for_output("phase=ready");
  run.signal(SIGKILL);
  run.wait();
  const pg::Endpoint endpoint{.conninfo = dsn(), .application = "takeover"};
  const auto open = [&] {
    return pg::Connection::open(endpoint, "writer", {});
  };
  pg::Connection before = open();
  const auto epoch = std::stoull(
      superuser_session().query_value("SELECT epoch FROM pgrecast.owner"));
  const catalog::SourceGuard guard(migration::ownership_query("story", epoch));
  pg::Transaction under_way(before);
  guard.prove_ownership(before);
  auto takeover = std::async(std::launch::async, [&] {
    pg::Connection after = open();
    migration::MigrationRecord record;
    record.name = "story";
    return migration::take_ownership(after, record);
  });
  wait_until_takeover_waits();
  under_way.commit();
  EXPECT_EQ(takeover.get(), epoch + 1);

  const auto write = [&] {
    pg::Transaction late(before);
    guard.prove_ownership(before);
  };
  EXPECT_THROW(write(), OwnershipLost);

  const RuleOff off("owner");
  EXPECT_NO_THROW(write());
}

}  // namespace
}  // namespace pgrecast::test
