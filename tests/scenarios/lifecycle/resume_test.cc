// A migration that is ended at any moment goes on where it stopped, by the same
// command, and copies no finished chunk again.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <string>

namespace pgrecast::test {
namespace {

constexpr int kKilled = 128 + SIGKILL;
constexpr int kResumable = 4;

struct KillPoint {
  const char* name;
  int time;  // 1: the first time that it is reached
};

void PrintTo(const KillPoint& point, std::ostream* out) {
  *out << point.name << '#' << point.time;
}

std::string name_of(const ::testing::TestParamInfo<KillPoint>& info) {
  std::string name = fmt::format("{}_{}", info.param.name, info.param.time);
  std::ranges::replace(name, ':', '_');
  return name;
}

class ResumeTest : public Lifecycle {
 protected:
  // A row a chunk, with the transaction that wrote it.
  Rows finished_chunks() {
    Session superuser = superuser_session();
    if (superuser.query_value("SELECT to_regclass('pgrecast.chunks') IS "
                              "NULL") == "t") {
      return {};
    }
    return superuser.query_rows(
        "SELECT first_block, end_block, rows, xmin FROM pgrecast.chunks"
        " WHERE migration = 'orders' ORDER BY first_block");
  }

  // `before`: what was finished when the process ended.
  void expect_copied_once(const Rows& before) {
    const Rows after = finished_chunks();
    for (const Row& chunk : before) {
      EXPECT_NE(std::ranges::find(after, chunk), after.end())
          << "the chunk at block " << chunk[0] << " was copied again";
    }
    std::string next = "0";
    for (const Row& chunk : after) {
      EXPECT_EQ(chunk[0], next);
      next = chunk[1];
    }
    EXPECT_GT(after.size(), 2U);
  }
};

class KillAtSyncPoint : public ResumeTest,
                        public ::testing::WithParamInterface<KillPoint> {};

TEST_P(KillAtSyncPoint, SameCommandGoesOn) {
  start_load();
  Program killed = start({}, {fmt::format("PGRECAST_STOP_AT={}#{}",
                                          GetParam().name, GetParam().time)});
  ASSERT_EQ(killed.wait(), kKilled) << "not reached\n" << killed.output();
  const Rows finished = finished_chunks();

  resume();

  expect_migrated();
  expect_copied_once(finished);
  EXPECT_TRUE(nothing_in(state_dir()));
}

INSTANTIATE_TEST_SUITE_P(
    Once, KillAtSyncPoint,
    ::testing::Values(
        KillPoint{"prepare:shadows", 1}, KillPoint{"prepare:publication", 1},
        KillPoint{"prepare:slot", 1}, KillPoint{"buffer:folder_unfinished", 1},
        KillPoint{"prepare:buffer", 1}, KillPoint{"prepare:x0", 1},
        KillPoint{"copy:before_commit", 1}, KillPoint{"copy:after_commit", 1},
        KillPoint{"buffer:before_write", 1}, KillPoint{"buffer:written", 1},
        KillPoint{"settle:deleted", 1}, KillPoint{"settle:before_commit", 1},
        KillPoint{"settle:inserted", 1}, KillPoint{"buffer:carried", 1},
        KillPoint{"buffer:forgotten", 1}, KillPoint{"index:before_commit", 1},
        KillPoint{"round:before_commit", 1}, KillPoint{"round:after_commit", 1},
        KillPoint{"exchange:before_lock", 1}, KillPoint{"cutover:locked", 1},
        KillPoint{"exchange:after_lock", 1}, KillPoint{"cutover:drained", 1},
        KillPoint{"exchange:after_drain", 1},
        KillPoint{"exchange:before_record", 1},
        KillPoint{"cutover:before_commit", 1},
        KillPoint{"exchange:before_commit", 1},
        KillPoint{"exchange:after_commit", 1},
        KillPoint{"cleanup:publication", 1}, KillPoint{"cleanup:slot", 1},
        KillPoint{"buffer:identity_removed", 1}, KillPoint{"cleanup:buffer", 1},
        KillPoint{"cleanup:afterwards", 1}),
    name_of);

INSTANTIATE_TEST_SUITE_P(Twice, KillAtSyncPoint,
                         ::testing::Values(KillPoint{"copy:before_commit", 2},
                                           KillPoint{"copy:after_commit", 2},
                                           KillPoint{"buffer:written", 3},
                                           KillPoint{"index:before_commit", 2},
                                           KillPoint{"round:before_commit", 2},
                                           KillPoint{"round:after_commit", 2},
                                           KillPoint{"buffer:carried", 2},
                                           KillPoint{"buffer:forgotten", 2}),
                         name_of);

// What one crash leaves behind may matter to the next.
TEST_F(ResumeTest, KilledInEveryPhaseOfOneMigrationItStillEnds) {
  start_load();
  Rows finished;
  for (const char* point :
       {"prepare:buffer", "prepare:x0", "copy:after_commit",
        "copy:after_commit", "settle:deleted", "settle:inserted",
        "buffer:forgotten", "index:before_commit", "round:after_commit",
        "buffer:carried", "cutover:drained", "exchange:before_commit",
        "exchange:after_commit", "cleanup:slot"}) {
    Program killed = start({}, {fmt::format("PGRECAST_STOP_AT={}", point)});
    ASSERT_EQ(killed.wait(), kKilled) << point << "\n" << killed.output();
    if (!finished.empty()) {
      const Rows now = finished_chunks();
      for (const Row& chunk : finished) {
        EXPECT_NE(std::ranges::find(now, chunk), now.end()) << point;
      }
    }
    finished = finished_chunks();
  }

  resume();

  expect_migrated();
  expect_copied_once(finished);
}

// The server goes on with the statement of a client that is gone, and holds its
// locks, for as long as it takes or until it looks after the client.
TEST_F(ResumeTest, KilledWhileTheServerStillCopiesItResumesAtOnce) {
  session().exec(R"sql(
    CREATE FUNCTION slowly(code text) RETURNS text IMMUTABLE LANGUAGE plpgsql
    AS $$ BEGIN
      IF code = 'c3000' THEN PERFORM pg_catalog.pg_sleep(1.5); END IF;
      RETURN code;
    END $$)sql");
  const std::string script = write_script(
      "orders",
      "ALTER TABLE orders ALTER COLUMN id TYPE bigint, ALTER COLUMN code TYPE "
      "text USING slowly(code), DROP COLUMN legacy,"
      " ADD COLUMN state text NOT NULL DEFAULT 'new'");
  Program killed = start_script(script, {"--workers", "2"});
  Session superuser = superuser_session();
  ASSERT_TRUE(eventually([&] {
    return superuser.query_value(
               "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = "
               "current_database() AND application_name LIKE 'pgrecast% copy'"
               " AND wait_event = 'PgSleep' AND query LIKE 'INSERT%')") == "t";
  })) << killed.output();
  killed.signal(SIGKILL);
  ASSERT_EQ(killed.wait(), kKilled);
  const Rows finished = finished_chunks();

  Program resumed = start_script(script, {"--workers", "2"});

  EXPECT_EQ(resumed.wait(), 0) << resumed.output();
  expect_copied_once(finished);
  EXPECT_EQ(session().query_value("SELECT count(*) FROM orders"), "12000");
}

std::string name_of_phase(const ::testing::TestParamInfo<const char*>& info) {
  return info.param;
}

class StopInPhase : public ResumeTest,
                    public ::testing::WithParamInterface<const char*> {};

TEST_P(StopInPhase, EndsResumablyAndGoesOn) {
  start_load();
  Program run = start({"--cutover", "manual"});
  run.wait_for_output(fmt::format("phase changed.*phase={}", GetParam()));
  run.signal(SIGTERM);
  EXPECT_EQ(run.wait(Deadline::in(kPatience)), kResumable) << run.output();
  EXPECT_TRUE(no_session_left(database()));
  EXPECT_EQ(superuser_session().query_value(
                "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = "
                "l.relation WHERE c.relname = 'orders' AND l.mode = "
                "'AccessExclusiveLock'"),
            "0");
  const Rows finished = finished_chunks();

  resume();

  expect_migrated();
  expect_copied_once(phase() == "done" ? finished : Rows());
}

INSTANTIATE_TEST_SUITE_P(EachPhase, StopInPhase,
                         ::testing::Values("preparing", "copying", "settling",
                                           "indexing", "catching_up",
                                           "verifying", "ready"),
                         name_of_phase);

}  // namespace
}  // namespace pgrecast::test
