// What `pgrecast plan` says of a table that has a little of everything: the
// JSON is as its manual has it, the text fits into a terminal, and the DDL
// makes the table that the script makes.

#include "support/eventually.h"
#include "support/program.h"
#include "support/terminal.h"
#include "support/test_database.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace pgrecast::test {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr const char* kSetup = R"sql(
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (
  id serial PRIMARY KEY, "Customer" int REFERENCES customers, n int GENERATED
  ALWAYS AS IDENTITY, price int CHECK (price >= 0), note text COMPRESSION
  pglz COLLATE "C" DEFAULT 'it''s', old varchar(5), base int, twice int GENERATED
  ALWAYS AS (base * 2) STORED, CONSTRAINT late CHECK (price < 1000000) NOT VALID)
  WITH (fillfactor = 80, toast.autovacuum_enabled = off);
ALTER TABLE orders ALTER note SET STORAGE EXTERNAL, ALTER price SET STATISTICS 7,
  ALTER "Customer" SET (n_distinct = -0.5);
CREATE UNIQUE INDEX "USING" ON orders ("Customer" DESC, id) INCLUDE (price)
  WHERE price > 1;
CREATE INDEX gone ON orders (old);
ALTER TABLE orders CLUSTER ON orders_pkey;
CREATE TABLE lines (o int REFERENCES orders);
CREATE VIEW seen AS SELECT id, price FROM orders;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM orders;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER fires BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION f();
CREATE TRIGGER on_id BEFORE UPDATE OF id ON orders FOR EACH ROW
  EXECUTE FUNCTION f();
CREATE TRIGGER ins AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f();
GRANT SELECT ON orders TO PUBLIC;
COMMENT ON TABLE orders IS 'what was "ordered"';
COMMENT ON COLUMN orders.note IS 'free';
INSERT INTO orders ("Customer") SELECT NULL FROM generate_series(1, 100);
ANALYZE orders)sql";

constexpr const char* kScript = R"sql(
ALTER TABLE orders ALTER COLUMN price TYPE numeric(12,2) USING price / 100.0,
  ADD COLUMN region text NOT NULL DEFAULT 'none', DROP COLUMN old;
UPDATE orders SET region = 'r' WHERE price > 5;
ALTER TABLE orders RENAME COLUMN note TO "Remark";
DELETE FROM orders WHERE id < 10;
CREATE INDEX new_one ON orders (region);
)sql";

// The same of a table that is partitioned, at two levels, with what its leaves
// have by themselves.
constexpr const char* kPartitionedSetup = R"sql(
CREATE TABLE events (id int, day date NOT NULL, note text, n int,
  PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE)
  TO ('2025-01-01') WITH (fillfactor = 50, toast.autovacuum_enabled = off);
CREATE TABLE "Events" PARTITION OF events FOR VALUES FROM ('2025-01-01')
  TO (MAXVALUE) PARTITION BY LIST (id);
CREATE TABLE events_rest PARTITION OF "Events" DEFAULT;
ALTER TABLE events ALTER note SET STORAGE EXTERNAL, ALTER n SET STATISTICS 9;
ALTER TABLE events_old ALTER n SET STATISTICS 77, ALTER id SET (n_distinct = 5);
CREATE INDEX by_note ON events (note);
COMMENT ON TABLE events_old IS 'the old ones';
COMMENT ON COLUMN events_old.n IS 'how many';
CREATE TABLE refers (id int, day date, FOREIGN KEY (id, day) REFERENCES events);
CREATE STATISTICS gone_stats ON id, n FROM events;
INSERT INTO events SELECT g, date '2024-12-30' + g % 4, 'x', g
  FROM generate_series(1, 1000) g;
ANALYZE events)sql";

constexpr const char* kPartitionedScript = R"sql(
ALTER TABLE events ALTER COLUMN n TYPE bigint, ADD COLUMN w text COLLATE "C";
CREATE INDEX by_n ON events (n);
GRANT SELECT (n) ON events TO PUBLIC;
DROP STATISTICS gone_stats;
CREATE STATISTICS new_stats ON n, w FROM events;
)sql";

// {"a": [{"b": 1}]}: "a", "a[].b". What `settings` holds is not ours to name.
void collect(const json& value, const std::string& path,
             std::set<std::string>& paths) {
  if (value.is_array()) {
    for (const json& element : value) collect(element, path + "[]", paths);
  } else if (value.is_object() && path != "settings") {
    for (const auto& [key, part] : value.items()) {
      const std::string at = path.empty() ? key : path + "." + key;
      paths.insert(at);
      collect(part, at, paths);
    }
  }
}

std::set<std::string> paths_of(const json& value) {
  std::set<std::string> paths;
  collect(value, "", paths);
  return paths;
}

// The manual's only example: the lines that are indented, from { to }.
json documented() {
  std::ifstream file(std::string(PGRECAST_TEST_SOURCE_DIR) +
                     "/docs/reference/plan-json.md");
  std::string example;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("    ")) example += line + "\n";
  }
  return json::parse(example);
}

class PlanReportTest : public TestDatabase {
 protected:
  void SetUp() override {
    session().exec(kSetup);
    std::ofstream(script_) << kScript;
  }

  std::string planned(std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"plan", "--dsn", dsn(), script_});
    Program program(options);
    EXPECT_EQ(program.wait(), 0) << program.output();
    return program.out();
  }

  json planned_partitions() {
    session().exec(kPartitionedSetup);
    std::ofstream(script_) << kPartitionedScript;
    return json::parse(planned({"--json"}));
  }

  // Columns, constraints, indexes, options and comments of a table and of its
  // partitions.
  Rows shape(const std::string& table) {
    return session().query_rows(R"sql(
WITH tree(of, inherited) AS (
  SELECT relid::oid, level > 0 FROM pg_partition_tree($1::regclass)
  UNION SELECT $1::regclass, false)
SELECT 'column', a.attrelid::regclass || '.' || a.attname,
       format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attcollation, a.attstorage, a.attcompression, a.attidentity,
       a.attgenerated, COALESCE(a.attstattarget, -1), a.attoptions::text,
       pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
FROM tree
JOIN pg_attribute a ON a.attrelid = tree.of
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid), convalidated,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM pg_constraint JOIN tree ON tree.of = conrelid
WHERE contype NOT IN ('f', 'n')
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid),
       indisclustered, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM pg_index JOIN tree ON tree.of = indrelid
UNION ALL
SELECT 'table', c.relname, c.reloptions::text, inherited, NULL, NULL, NULL, NULL,
       NULL, NULL, t.reloptions::text,
       concat(pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid)),
       obj_description(c.oid, 'pg_class')
FROM tree JOIN pg_class c ON c.oid = tree.of
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
ORDER BY 1, 2)sql",
                                table);
  }

  std::string script_ =
      cluster().folder() + "/orders_" + database().name() + ".sql";
};

TEST_F(PlanReportTest, HasTheFieldsOfItsManual) {
  json report = json::parse(planned({"--json"}));
  json manual = documented();
  std::set<std::string> paths = paths_of(report);
  paths.merge(paths_of(planned_partitions()));
  paths.merge(paths_of(json::parse(R"({"right_now": [{"what": "", "age_s": 1,
    "effect": ""}], "other_slots": [{"name": "", "kind": "", "active": true,
    "lag_bytes": 0}]})")));  // TellsWhatIsInTheWayRightNow
  EXPECT_EQ(paths, paths_of(manual));
  EXPECT_EQ(report.at("version"), manual.at("version"));

  // Each of them is explained, by its name or as `parent.name`.
  std::ifstream file(std::string(PGRECAST_TEST_SOURCE_DIR) +
                     "/docs/reference/plan-json.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string table =
      text.str().substr(text.str().find("| field | meaning |"));
  for (const auto& [key, value] : manual.items()) {
    if (key == "version" || key == "migration" || key == "tables") continue;
    EXPECT_THAT(table, HasSubstr("`" + key + "`"));
  }
}

// The words of a plan without what differs from one run to the next: figures,
// with them where lines break, and how the time for the sample is put.
std::string words_of(std::istream& text) {
  static const std::regex figure("[0-9a-f]{16}|[0-9]+([.,][0-9]+)*([kMGT]?B)?");
  std::string words;
  bool of_time = false;
  for (std::string line; std::getline(text, line);) {
    if (line.empty() || line.front() != ' ') {
      of_time = line.starts_with("Expected time");
    }
    if (of_time) continue;
    std::istringstream rest(std::regex_replace(line, figure, "N"));
    for (std::string word; rest >> word;) words += word + ' ';
  }
  return words;
}

// The block that follows the mark, without its indentation.
std::string shown_in_manual() {
  std::ifstream file(std::string(PGRECAST_TEST_SOURCE_DIR) +
                     "/docs/reference/plan.md");
  std::string line;
  while (std::getline(file, line) &&
         line != "<!-- a plan as it is printed -->") {
  }
  std::string block;
  while (std::getline(file, line) &&
         (line.empty() || line.starts_with("    "))) {
    block += (line.empty() ? line : line.substr(4)) + '\n';
  }
  return block;
}

TEST_F(PlanReportTest, IsPrintedAsItsManualShowsIt) {
  session().exec(R"sql(
DROP TABLE orders, lines CASCADE; DROP TABLE customers;
CREATE TABLE customers (id integer PRIMARY KEY);
CREATE TABLE orders (id integer PRIMARY KEY, customer integer REFERENCES
  customers, price integer, note text, old varchar(20));
CREATE INDEX orders_customer_idx ON orders (customer);
CREATE VIEW dear AS SELECT id, price FROM orders WHERE price > 900;
GRANT SELECT ON orders TO PUBLIC;
CREATE TRIGGER audit AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION f();
INSERT INTO customers SELECT generate_series(1, 1000);
INSERT INTO orders SELECT n, n % 1000 + 1, n % 997, 'a note', 'old'
  FROM generate_series(1, 200000) n;
ANALYZE orders)sql");
  std::ofstream(script_) << R"sql(
ALTER TABLE orders ALTER COLUMN id TYPE bigint, DROP COLUMN old,
  ADD COLUMN region text NOT NULL DEFAULT 'none';
UPDATE orders SET region = 'north' WHERE price > 500;
CREATE INDEX orders_region_idx ON orders (region);
)sql";

  const std::string output = planned({"--name", "orders_bigint"});
  std::istringstream printed(output);
  std::istringstream shown(shown_in_manual());
  EXPECT_EQ(words_of(printed), words_of(shown)) << output;
}

TEST_F(PlanReportTest, SaysWhatTheScriptDoes) {
  const json report = json::parse(planned({"--json"}));
  const json& table = report.at("tables").at(0);
  EXPECT_EQ(table.at("name"), "public.orders");
  EXPECT_EQ(table.at("key"), json({"id"}));
  EXPECT_EQ(table.at("rows_estimate"), 100);
  std::map<std::string, json> columns;
  for (const json& column : table.at("columns")) {
    columns[column.at("name")] = column;
  }
  EXPECT_EQ(columns.at("price").at("before"), "integer, SET STATISTICS 7");
  EXPECT_EQ(columns.at("price").at("after"), "numeric(12,2), SET STATISTICS 7");
  EXPECT_EQ(columns.at("Remark").at("renamed_from"), "note");
  EXPECT_EQ(columns.at("Remark").at("before"),
            columns.at("Remark").at("after"));
  EXPECT_TRUE(columns.at("old").at("after").is_null());
  EXPECT_TRUE(columns.at("region").at("before").is_null());
  EXPECT_EQ(table.at("rows"), json::parse(R"([
    {"line": 2, "columns": ["price"], "where": null, "left_behind": false},
    {"line": 4, "columns": ["region"], "where": "price > 5",
     "left_behind": false},
    {"line": 6, "columns": [], "where": "id < 10", "left_behind": true}])"));
  // By hand the UPDATE of `region` fires the one, and not the other.
  EXPECT_EQ(table.at("silent_triggers"), json({"fires"}));
  std::map<std::string, json> carried;
  for (const json& kind : table.at("carried")) {
    carried[kind.at("kind")] = kind.at("names");
  }
  EXPECT_EQ(carried.at("triggers"), json({"fires", "ins", "on_id"}));
  EXPECT_EQ(carried.at("indexes"), json({"USING", "orders_pkey"}));
  EXPECT_EQ(carried.at("views made anew"), json({"public.seen"}));
  EXPECT_EQ(carried.at("grants"), json({"SELECT to PUBLIC"}));
  EXPECT_EQ(carried.at("comments"), json({"column note", "table"}));
  // That of the materialized view's twin, and that of the state, too.
  const std::string ours =
      "pgrecast_" + report.at("migration").get<std::string>();
  EXPECT_EQ(report.at("makes").at("schemas"),
            json({ours, ours + "_retired", ours + "_views", "pgrecast"}));
}

TEST_F(PlanReportTest, IsNoWiderThanATerminalAndWithoutColours) {
  const std::string text = planned();
  std::istringstream lines(text);
  bool query = false;
  for (std::string line; std::getline(lines, line);) {
    query = query || line == "Its rows";
    EXPECT_LE(line.size(), 80U) << line;
  }
  EXPECT_TRUE(query);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST_F(PlanReportTest, HasColoursOnATerminalThatHasThem) {
  const auto on_terminal = [&](const TerminalProgram::Texts& environment) {
    TerminalProgram program({"plan", "--dsn", dsn(), script_}, environment);
    program.wait_for_text("Its rows");
    EXPECT_EQ(program.wait(), 0) << program.text();
    return program.text();
  };
  EXPECT_THAT(on_terminal({"TERM=xterm", "NO_COLOR="}),
              HasSubstr("\x1b[32m  + region"));
  EXPECT_THAT(on_terminal({"TERM=xterm", "NO_COLOR=1"}),
              Not(HasSubstr("\x1b")));
  EXPECT_THAT(on_terminal({"TERM=dumb", "NO_COLOR="}), Not(HasSubstr("\x1b")));
}

TEST_F(PlanReportTest, ItsDdlMakesWhatTheScriptMakes) {
  const json report = json::parse(planned({"--json"}));
  session().exec("DROP VIEW seen");
  session().exec(kScript);
  const Rows by_hand = shape("orders");

  session().exec(
      "ALTER SEQUENCE orders_id_seq OWNED BY NONE; DROP TABLE orders CASCADE");
  for (const json& statement : report.at("tables").at(0).at("ddl")) {
    session().exec(statement.get<std::string>());
  }

  EXPECT_EQ(shape("orders"), by_hand);
}

TEST_F(PlanReportTest, TellsOfATableThatIsPartitioned) {
  const json report = planned_partitions();
  const json& table = report.at("tables").at(0);
  EXPECT_EQ(table.at("rows_estimate"), 1000);
  EXPECT_GT(table.at("heap_bytes"), 0);
  EXPECT_GT(table.at("index_bytes"), 0);
  EXPECT_EQ(table.at("index_count"), 2);
  const char* const old = "FOR VALUES FROM (MINVALUE) TO ('2025-01-01')";
  EXPECT_THAT(table.at("partitions"),
              Contains(json(
                  {{"name", "events_old"}, {"before", old}, {"after", old}})));
  EXPECT_THAT(table.at("partitions"),
              Contains(json({{"name", "events_rest"},
                             {"before", "PARTITION OF \"Events\" DEFAULT"},
                             {"after", "PARTITION OF \"Events\" DEFAULT"}})));
  EXPECT_THAT(planned(), HasSubstr("    3 partitions stay as they are\n"));
}

TEST_F(PlanReportTest, TellsOfGrantsAndStatistics) {
  const json table = planned_partitions().at("tables").at(0);
  EXPECT_THAT(table.at("changes"),
              IsSupersetOf({json({{"what", "grant of SELECT (n)"},
                                  {"before", nullptr},
                                  {"after", "to PUBLIC"}}),
                            json({{"what", "statistics gone_stats"},
                                  {"before", "dropped"},
                                  {"after", nullptr}}),
                            json({{"what", "statistics new_stats"},
                                  {"before", nullptr},
                                  {"after", "ON n, w"}})}));
  for (const json& kind : table.at("carried")) {
    EXPECT_NE(kind.at("kind"), "extended statistics") << kind;
  }
}

TEST_F(PlanReportTest, ItsDdlMakesPartitionsAsTheScriptLeavesThem) {
  const json report = planned_partitions();
  session().exec(kPartitionedScript);
  const Rows by_hand = shape("events");

  session().exec("DROP TABLE events CASCADE");
  for (const json& statement : report.at("tables").at(0).at("ddl")) {
    session().exec(statement.get<std::string>());
  }

  EXPECT_EQ(shape("events"), by_hand);
}

TEST_F(PlanReportTest, TellsWhatIsInTheWayRightNow) {
  const auto now = [&] {
    const json report = json::parse(planned({"--json"}));
    std::map<int, std::string> effects;
    for (const json& one : report.at("right_now")) {
      int pid = 0;
      std::istringstream(one.at("what").get<std::string>().substr(4)) >> pid;
      EXPECT_GE(one.at("age_s"), 0);
      effects[pid] = one.at("effect");
    }
    return effects;
  };
  const auto pid_of = [](Session& of) {
    return std::stoi(of.query_value("SELECT pg_backend_pid()"));
  };
  Session writer = session();
  Session reader = session();
  Session holder = session();
  Session idle = session();
  const int writing = pid_of(writer);
  const int reading = pid_of(reader);
  const int holding = pid_of(holder);
  const int idling = pid_of(idle);
  writer.exec("BEGIN; SELECT pg_current_xact_id()");
  reader.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  holder.exec("BEGIN; SELECT FROM orders LIMIT 1");
  idle.exec("BEGIN; SELECT 1");
  ASSERT_TRUE(eventually([&] {
    return session().query_value(fmt::format(
               "SELECT count(*) FROM pg_stat_activity WHERE pid IN ({}, {}, "
               "{}, {}) AND clock_timestamp() - xact_start > interval '1 s'",
               writing, reading, holding, idling)) == "4";
  }));

  auto effects = now();

  EXPECT_EQ(effects[writing], "the slot's creation waits");
  EXPECT_EQ(effects[reading], "the cutover waits");
  EXPECT_EQ(effects[holding], "the cutover waits");
  EXPECT_FALSE(effects.contains(idling));
  EXPECT_THAT(planned(), HasSubstr(fmt::format("  ! pid {} (", writing)));
  for (Session* of : {&writer, &reader, &holder, &idle}) of->exec("COMMIT");
  effects = now();
  for (const int pid : {writing, reading, holding}) {
    EXPECT_FALSE(effects.contains(pid)) << pid;
  }
}

// Which only a server of its own allows.
TEST(PlanReportOnItsOwnServer, TellsOfPreparedTransactions) {
  PgCluster server(PgCluster::Settings{{"max_prepared_transactions", "3"}});
  server.session().exec("CREATE TABLE t (id int PRIMARY KEY)");
  Session preparing = server.session();
  preparing.exec("BEGIN; SELECT pg_current_xact_id()");
  preparing.exec("PREPARE TRANSACTION 'forgotten'");

  Program program({"plan", "--json", "--dsn", server.dsn(), "--table", "t",
                   "--alter", "ADD COLUMN w int", "--name", "planned"});
  ASSERT_EQ(program.wait(), 0) << program.output();
  const json found = json::parse(program.out()).at("right_now");
  ASSERT_EQ(found.size(), 1U) << found;
  EXPECT_EQ(found.at(0).at("what"),
            "prepared transaction 'forgotten' in database postgres");
  EXPECT_EQ(found.at(0).at("effect"), "the slot's creation waits");
  preparing.exec("ROLLBACK PREPARED 'forgotten'");
}

TEST_F(PlanReportTest, TellsOfOtherSlotsAndTheDisk) {
  const std::string name = "slot_of_somebody_else";
  superuser_session().exec("SELECT pg_create_physical_replication_slot('" +
                           name + "', true)");
  // The server gives a slot up before we do.
  cluster().set("max_slot_wal_keep_size", "1GB");
  const json report = json::parse(planned({"--json"}));
  cluster().set("max_slot_wal_keep_size", "");
  const std::string text = planned();
  superuser_session().exec("SELECT pg_drop_replication_slot('" + name + "')");

  std::set<std::string> names;
  for (const json& slot : report.at("other_slots")) {
    names.insert(slot.at("name").get<std::string>());
    if (slot.at("name") != name) continue;
    EXPECT_EQ(slot.at("kind"), "physical");
    EXPECT_EQ(slot.at("active"), false);
  }
  EXPECT_THAT(names, Contains(name));
  EXPECT_THAT(text, HasSubstr("  - slot " + name + " (physical, not active)"));
  const json& table = report.at("tables").at(0);
  const json& disk = report.at("disk");
  EXPECT_EQ(disk.at("copy_bytes").get<std::int64_t>(),
            table.at("heap_bytes").get<std::int64_t>() +
                table.at("toast_bytes").get<std::int64_t>() +
                table.at("index_bytes").get<std::int64_t>());
  EXPECT_EQ(disk.at("kept_wal_bytes_max"), std::int64_t{1} << 30);
  EXPECT_THAT(text, HasSubstr("10.0GB"));
  EXPECT_GT(disk.at("state_dir_free_bytes"), 0);
}

TEST_F(PlanReportTest, TellsHowLongItMayTake) {
  const json report = json::parse(planned({"--json"}));
  const json& time = report.at("expected_time");
  EXPECT_EQ(time.at("workers"), 2);
  EXPECT_EQ(time.at("sampled_bytes"),
            report.at("tables").at(0).at("heap_bytes"));
  EXPECT_GE(time.at("copy_s"), 0);
  EXPECT_LE(time.at("least_s"), time.at("most_s"));
  const double all = time.at("copy_s").get<double>() +
                     time.at("index_s").get<double>() +
                     time.at("verify_s").get<double>();
  EXPECT_GT(all, 0);
  EXPECT_NEAR(time.at("most_s").get<double>(), all, 0.002);

  EXPECT_THAT(planned(), HasSubstr("\nExpected time, as tried just now on "));
}

TEST_F(PlanReportTest, RefusalsAreJsonToo) {
  std::ofstream(script_) << "ALTER TABLE orders DROP COLUMN id CASCADE";
  Program program({"plan", "--json", "--dsn", dsn(), script_});
  EXPECT_EQ(program.wait(), 3);
  const json refused = json::parse(program.out());
  EXPECT_EQ(refused.at("version"), 1);
  const json& first = refused.at("refusals").at(0);
  EXPECT_THAT(first.at("what").get<std::string>(),
              HasSubstr("belongs to the key, which must stay"));
  EXPECT_FALSE(first.at("remedy").get<std::string>().empty());
  EXPECT_THAT(program.err(), HasSubstr("belongs to the key"));
  // Those of the server, as of a plan that is not refused.
  const std::vector<std::string> warnings = refused.at("warnings");
  EXPECT_THAT(warnings, Contains(HasSubstr("max_slot_wal_keep_size")));
  for (const std::string& warning : warnings) {
    EXPECT_THAT(program.err(), HasSubstr("! " + warning + "\n"));
  }
}

}  // namespace
}  // namespace pgrecast::test
