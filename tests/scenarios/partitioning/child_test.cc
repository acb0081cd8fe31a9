// A table that inherits from another, and then that other one, get a new shape
// while both are read and written to, by their own names and through the other.

#include "scenarios/carried/writers.h"
#include "scenarios/lifecycle/lifecycle.h"
#include "support/catalog_dump.h"
#include "support/eventually.h"
#include "support/schema_dump.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <csignal>
#include <string>
#include <vector>

namespace pgrecast::test {
namespace {

using ::testing::IsEmpty;
using Lines = std::vector<std::string>;

constexpr int kRefused = 3;

// The old way to divide a table: rows are put into the children by name.
constexpr const char* kSchema = R"sql(
CREATE TABLE events (id integer NOT NULL, tag text, amount numeric NOT NULL DEFAULT 1,
  CONSTRAINT sane CHECK (amount > -1000000000), PRIMARY KEY (id));
CREATE TABLE events_2023 (own integer, LIKE events INCLUDING ALL);
ALTER TABLE events_2023 INHERIT events;
CREATE TABLE events_2024 (own integer, PRIMARY KEY (id)) INHERITS (events);
ALTER TABLE events ADD COLUMN note text DEFAULT repeat('n', 50);
CREATE INDEX events_2024_tag_idx ON events_2024 (tag, own);
INSERT INTO events (id, tag) SELECT n, 't' || n FROM generate_series(1, 4000) AS n;
INSERT INTO events_2023 (id, tag) SELECT n, 't' || n FROM generate_series(4001, 8000) AS n;
INSERT INTO events_2024 (id, tag, own) SELECT n, 't' || n, n FROM generate_series(8001, 20000) AS n;
CREATE TABLE events_twin (id integer PRIMARY KEY, of text, amount numeric);
INSERT INTO events_twin SELECT id, tableoid::regclass, amount FROM events;
CREATE VIEW first_ones AS SELECT id, amount FROM events WHERE id < 10;
ANALYZE)sql";

constexpr const char* kDrop =
    "DROP TABLE events CASCADE; DROP TABLE events_twin";

constexpr const char* kOfChild = R"sql(
ALTER TABLE events_2024 ALTER COLUMN own TYPE bigint, ADD COLUMN more text DEFAULT 'm',
  SET (fillfactor = 70);
CREATE INDEX events_2024_more_idx ON events_2024 (more, amount);
)sql";

constexpr const char* kOfParent = R"sql(
ALTER TABLE events SET (fillfactor = 70);
UPDATE ONLY events SET note = 'short';
CREATE INDEX events_tag_idx ON events (tag);
)sql";

constexpr std::array kTables = {"events", "events_2023", "events_2024"};

class Child : public Lifecycle {
 protected:
  void SetUp() override { session().exec(kSchema); }

  Lines catalogs() {
    Session superuser = superuser_session();
    return catalog_dump(superuser);
  }
  Lines schema() {
    return schema_dump(superuser_dsn(), "--exclude-schema='pgrecast*'");
  }

  // In its own table and nowhere else.
  void expect_every_row() {
    EXPECT_THAT(session().query_rows(R"sql(
WITH present AS (SELECT id, tableoid::regclass::text AS of, amount FROM events)
(SELECT 'missing', * FROM (TABLE events_twin EXCEPT ALL TABLE present) AS m)
UNION ALL
(SELECT 'too much', * FROM (TABLE present EXCEPT ALL TABLE events_twin) AS t)
LIMIT 10)sql"),
                IsEmpty());
  }

  void add_writers(Writers& writers) {
    writers.add(2, [this](Session& session, std::mt19937& random) {
      session.exec(transaction(random));
    });
    // The child first, and then through its parent: what holds us up, and must
    // not be a deadlock's victim.
    writers.add(1, [](Session& session, std::mt19937& random) {
      const auto id = some_id(random);
      session.exec(fmt::format(
          "BEGIN; SELECT pg_advisory_xact_lock({0});"
          "UPDATE events_2024 SET amount = 3 WHERE id = {0};"
          "UPDATE events SET amount = -3 WHERE id = {0};"
          "UPDATE events_twin SET amount = -3 WHERE id = {0}; COMMIT",
          id));
    });
    // Nobody takes these away: whoever saw one of them twice, or not, divides
    // by zero.
    writers.add(2, [](Session& session, std::mt19937& /*random*/) {
      session.exec(
          "SELECT 1 / (count(*) = 5)::integer FROM events WHERE id IN (100, "
          "4100, 8100, 12100, 19900)");
      session.exec("SELECT * FROM first_ones");
    });
  }

  static int some_id(std::mt19937& random) {
    const auto id = static_cast<int>(random() % 20000) + 1;
    return id % 100 == 0 ? id - 1 : id;
  }

  // The same changes to the tables and their twin.
  std::string transaction(std::mt19937& random) {
    const auto id = some_id(random);
    const int fresh = next_id_ += 1 + static_cast<int>(next_id_ % 100 == 99);
    const char* table = kTables.at(random() % kTables.size());
    std::string both =
        fmt::format("BEGIN; SELECT pg_advisory_xact_lock({});", id);
    switch (random() % 5) {
      case 0:
        both += fmt::format(
            "INSERT INTO {0} (id, amount) VALUES ({1}, 5);"
            "INSERT INTO events_twin VALUES ({1}, '{0}', 5);",
            table, fresh);
        break;
      case 1:
        both += fmt::format(
            "DELETE FROM events WHERE id = {0};"
            "DELETE FROM events_twin WHERE id = {0};",
            id);
        break;
      case 2:  // the key moves
        both += fmt::format(
            "UPDATE events SET id = {1} WHERE id = {0};"
            "UPDATE events_twin SET id = {1} WHERE id = {0};",
            id, fresh);
        break;
      case 3:
        both += fmt::format(
            "UPDATE ONLY {0} SET amount = -7 WHERE id = {1};"
            "UPDATE events_twin SET amount = -7 WHERE id = {1} AND of = '{0}';",
            table, id);
        break;
      default:
        both += fmt::format(
            "UPDATE events SET amount = amount + 1 WHERE id = {0};"
            "UPDATE events_twin SET amount = amount + 1 WHERE id = {0};",
            id);
    }
    return both + "COMMIT";
  }

  std::atomic<int> next_id_{1000000};
};

TEST_F(Child, BothHoldEveryRowUnderLoadAndAreByHandTheSame) {
  Writers writers(dsn());
  add_writers(writers);
  for (const auto& [name, script] :
       {std::pair{"child", kOfChild}, std::pair{"parent", kOfParent}}) {
    SCOPED_TRACE(name);
    const std::string file = write_script(name, script);
    for (const char* point :
         {"round:before_commit", "exchange:before_commit"}) {
      Program killed =
          start_script(file, {}, {fmt::format("PGRECAST_STOP_AT={}", point)});
      ASSERT_EQ(killed.wait(), 128 + SIGKILL) << point << killed.output();
    }
    Program run = start_script(file, {"--cutover", "manual"});
    run.wait_for_output("ready migration=");
    ASSERT_TRUE(writers.go_on(300));
    EXPECT_EQ(command({"cutover", "--dsn", dsn(), name}), 0);
    EXPECT_EQ(run.wait(), 0) << run.output();
    ASSERT_TRUE(writers.go_on(300));
    EXPECT_EQ(command({"finish", "--dsn", dsn(), name}), 0);
  }
  writers.stop();

  EXPECT_THAT(writers.refused(), IsEmpty());
  expect_every_row();
  const Lines migrated = catalogs();
  const Lines dumped = schema();
  session().exec(kDrop);
  session().exec(kSchema);
  session().exec(kOfChild);
  session().exec(kOfParent);
  EXPECT_THAT(dump_difference(catalogs(), migrated), IsEmpty());
  EXPECT_THAT(dump_difference(schema(), dumped), IsEmpty());
}

TEST_F(Child, AbortRemovesEveryTrace) {
  const auto before = exact_inventory(database());
  const std::string script = write_script("child", kOfChild);
  Program killed =
      start_script(script, {}, {"PGRECAST_STOP_AT=exchange:before_commit"});
  ASSERT_EQ(killed.wait(), 128 + SIGKILL) << killed.output();
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "child"}),
      0);
  EXPECT_TRUE(no_session_left(database()));
  EXPECT_THAT(difference(before, exact_inventory(database())), IsEmpty());
}

TEST_F(Child, OneThatLeavesItsParentMeanwhileStopsTheRun) {
  const std::string script = write_script("child", kOfChild);
  Program run = start_script(script, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("ALTER TABLE events_2024 NO INHERIT events");
  EXPECT_EQ(run.wait(), kRefused) << run.output();
  EXPECT_NE(run.err().find(", inherits from "), std::string::npos) << run.err();
  // Its columns are its own now.
  session().exec("ALTER TABLE events_2024 INHERIT events");
  expect_run(kRefused, ", inherits from ", script);
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "child"}),
      0);
}

}  // namespace
}  // namespace pgrecast::test
