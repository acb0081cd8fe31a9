// One partition gets a new physical shape by itself, while the table that it is
// a part of goes on: written to through that table, and by its own name.

#include "scenarios/carried/writers.h"
#include "scenarios/lifecycle/lifecycle.h"
#include "support/catalog_dump.h"
#include "support/eventually.h"
#include "support/pg_cluster.h"
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
constexpr int kRejected = 10;

// Partition orders_2024 has one of everything that a partition can have of its
// own, and of what it has of its table; its columns are numbered otherwise, it
// is older than the table, and lies in another schema.
constexpr const char* kSchema = R"sql(
CREATE SCHEMA parts;
CREATE TABLE customers (id integer PRIMARY KEY);
INSERT INTO customers SELECT generate_series(0, 10);
CREATE SEQUENCE orders_id_seq AS integer;
CREATE TABLE parts.orders_2024 (
  legacy text, gone integer, placed timestamp NOT NULL,
  id integer NOT NULL DEFAULT nextval('orders_id_seq'),
  customer integer NOT NULL, code varchar(20) NOT NULL,
  amount numeric NOT NULL CONSTRAINT positive CHECK (amount > -1000000),
  twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
  no integer, PRIMARY KEY (id, placed));
CREATE SEQUENCE parts.own_seq OWNED BY parts.orders_2024.no;
ALTER TABLE parts.orders_2024 ALTER no SET DEFAULT nextval('parts.own_seq');
ALTER TABLE parts.orders_2024 DROP COLUMN gone;
CREATE TABLE orders (
  id integer NOT NULL DEFAULT nextval('orders_id_seq'),
  placed timestamp NOT NULL DEFAULT '2024-06-01',
  customer integer NOT NULL,
  code varchar(20) NOT NULL,
  amount numeric NOT NULL CONSTRAINT positive CHECK (amount > -1000000),
  twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
  legacy text, no integer,
  PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
ALTER SEQUENCE orders_id_seq OWNED BY orders.id;
ALTER TABLE orders ATTACH PARTITION parts.orders_2024
  FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE orders_2023 PARTITION OF orders
  FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE orders_2025 PARTITION OF orders
  FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE orders_rest PARTITION OF orders DEFAULT;
CREATE INDEX orders_customer_idx ON orders (customer) WHERE amount > 0;
CREATE INDEX orders_lower_idx ON orders (lower(code), placed DESC) INCLUDE (amount);
CREATE INDEX own_idx ON parts.orders_2024 (code text_pattern_ops);
CREATE INDEX unlike_idx ON orders (code);
ALTER INDEX parts.orders_2024_code_idx RENAME TO "My Index";
COMMENT ON INDEX parts."My Index" IS 'mine';
ALTER TABLE parts.orders_2024 CLUSTER ON "My Index";
ALTER TABLE parts.orders_2024 ADD CONSTRAINT own_check CHECK (customer > -5),
  ADD CONSTRAINT own_late CHECK (customer < 100000) NOT VALID,
  ADD CONSTRAINT own_key FOREIGN KEY (customer) REFERENCES customers,
  ADD CONSTRAINT own_unique UNIQUE (no, id, placed),
  ALTER code SET DEFAULT 'own', ALTER customer SET STATISTICS 77,
  ALTER legacy SET STORAGE EXTERNAL, SET (fillfactor = 90);
COMMENT ON CONSTRAINT positive ON parts.orders_2024 IS 'more or less';
COMMENT ON TABLE parts.orders_2024 IS 'the busy year';
COMMENT ON COLUMN parts.orders_2024.amount IS 'in cents';
INSERT INTO orders (id, placed, customer, code, amount, legacy)
  SELECT n, timestamp '2023-11-01' + n * interval '1 hour',
  n % 10 + 1, 'c' || n, n % 977, repeat('old', 60)
  FROM generate_series(1, 12000) n;
SELECT setval('orders_id_seq', 12000);
CREATE TABLE log (id bigint, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
  AS $$BEGIN INSERT INTO log VALUES (new.id, tg_name); RETURN new; END$$;
CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW
  WHEN (new.amount = 4711) EXECUTE FUNCTION note();
CREATE TRIGGER never AFTER INSERT ON orders FOR EACH ROW
  EXECUTE FUNCTION note();
ALTER TABLE orders DISABLE TRIGGER never;
CREATE TRIGGER own AFTER INSERT ON parts.orders_2024 FOR EACH ROW
  WHEN (new.amount = 4711) EXECUTE FUNCTION note();
COMMENT ON TRIGGER noted ON parts.orders_2024 IS 'of both';
CREATE VIEW busy AS SELECT id, amount FROM parts.orders_2024;
CREATE VIEW turnover AS
  SELECT customer, sum(amount) AS amount FROM orders GROUP BY customer;
GRANT SELECT ON orders TO PUBLIC;
GRANT INSERT ON parts.orders_2024 TO pg_monitor WITH GRANT OPTION;
GRANT SELECT (code) ON parts.orders_2024 TO PUBLIC;
CREATE POLICY own_policy ON parts.orders_2024 USING (true);
ALTER TABLE parts.orders_2024 ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS own_stats ON customer, placed FROM parts.orders_2024;
CREATE PUBLICATION whole FOR TABLE orders
  WITH (publish_via_partition_root = true);
CREATE PUBLICATION parted FOR TABLE orders;
CREATE PUBLICATION own FOR TABLE parts.orders_2024;
CREATE TABLE orders_twin (
  id integer PRIMARY KEY, customer integer, code varchar(20), amount numeric,
  placed timestamp);
INSERT INTO orders_twin SELECT id, customer, code, amount, placed FROM orders;
ANALYZE orders, log, orders_twin)sql";

// From 15 on somebody who is no superuser may do this.
constexpr const char* kOwnState =
    "ALTER TABLE parts.orders_2024 DISABLE TRIGGER noted";

constexpr const char* kDrop =
    "DROP VIEW busy, turnover; DROP TABLE orders, orders_twin, log, customers;"
    "DROP FUNCTION note; DROP PUBLICATION whole, parted, own; "
    "DROP SCHEMA parts CASCADE";

constexpr const char* kScript = R"sql(
ALTER TABLE parts.orders_2024 SET (fillfactor = 70, autovacuum_enabled = off),
  ALTER COLUMN legacy SET STORAGE MAIN,
  ALTER COLUMN amount SET DEFAULT 7,
  ADD CONSTRAINT script_check CHECK (amount < 2000000),
  DROP CONSTRAINT own_check;
ALTER TABLE parts.orders_2024 ALTER COLUMN legacy SET NOT NULL;
UPDATE parts.orders_2024 SET legacy = 'short';
DELETE FROM parts.orders_2024 WHERE code LIKE 'c%00';
CREATE INDEX script_idx ON parts.orders_2024 (amount, id);
DROP INDEX parts.own_idx;
COMMENT ON TABLE parts.orders_2024 IS 'the busiest year';
)sql";

// 12 MB.
constexpr const char* kFillDefault =
    "INSERT INTO orders (id, placed, customer, code, amount, legacy) SELECT n, "
    "'2030-01-01', 1, 'c', 1, repeat('x', 1000) FROM generate_series(100000, "
    "112000) n";

class Leaf : public Lifecycle {
 protected:
  void SetUp() override {
    make();
    script_ = write_script("leaf", kScript);
  }

  void make() {
    session().exec(kSchema);
    if (cluster().version() >= 15) session().exec(kOwnState);
  }

  Lines catalogs() {
    Session superuser = superuser_session();
    return catalog_dump(superuser);
  }
  // The server marks the keys of a partition that was made as one otherwise
  // than those of a table that was attached; nothing goes by that mark.
  Lines catalogs_of_attached() {
    Lines lines = catalogs();
    std::erase_if(lines, [](const std::string& line) {
      return line.starts_with("constraint ") &&
             line.find("_pkey on ") != std::string::npos &&
             line.find(": connoinherit = ") != std::string::npos;
    });
    return lines;
  }
  Lines schema() {
    return schema_dump(superuser_dsn(), "--exclude-schema='pgrecast*'");
  }

  // Those that the script deletes nobody touches.
  void expect_migrated() {
    Session owner = session();
    owner.exec(
        "DELETE FROM orders_twin WHERE code LIKE 'c%00' AND "
        "placed >= '2024-01-01' AND placed < '2025-01-01'");
    EXPECT_THAT(owner.query_rows(R"sql(
WITH expected AS (SELECT id, customer, code, amount, placed FROM orders_twin),
present AS (SELECT id, customer, code, amount, placed FROM orders)
(SELECT 'missing', * FROM (TABLE expected EXCEPT ALL TABLE present) AS m)
UNION ALL
(SELECT 'too much', * FROM (TABLE present EXCEPT ALL TABLE expected) AS t)
LIMIT 10)sql"),
                IsEmpty());
    EXPECT_EQ(owner.query_value("SELECT count(*) FROM parts.orders_2024 WHERE "
                                "placed < '2024-01-01' OR placed >= "
                                "'2025-01-01'"),
              "0");
    EXPECT_EQ(owner.query_value("SELECT count(*) FROM pg_constraint WHERE "
                                "conname = 'pgrecast_bound'"),
              "0");
  }

  void add_writers(Writers& writers) {
    writers.add(4, [this](Session& session, std::mt19937& random) {
      session.exec(transaction(random));
    });
    // Leaf first, and then through the table: what holds us up, and must not
    // be a deadlock's victim.
    writers.add(1, [](Session& session, std::mt19937& random) {
      const auto id = some_id(random);
      session.exec(fmt::format(
          "BEGIN; SELECT pg_advisory_xact_lock({0});"
          "UPDATE parts.orders_2024 SET amount = -3 WHERE id = {0};"
          "UPDATE orders_twin SET amount = -3 WHERE id = {0} AND placed >= "
          "'2024-01-01' AND placed < '2025-01-01';"
          "UPDATE orders SET customer = 4 WHERE id = {0};"
          "UPDATE orders_twin SET customer = 4 WHERE id = {0}; COMMIT",
          id));
    });
    writers.add(1, [](Session& session, std::mt19937& random) {
      session.exec("SELECT sum(amount), count(*) FROM turnover");
      session.exec(fmt::format("SELECT * FROM busy WHERE id = {}", random()));
    });
  }

  static int some_id(std::mt19937& random) {
    const auto id = static_cast<int>(random() % 12000) + 1;
    return id % 100 == 0 ? id - 1 : id;
  }

  // The same changes to the table and its twin.
  std::string transaction(std::mt19937& random) {
    static constexpr std::array kDays = {"2023-12-31 23:59:59.999999",
                                         "2024-01-01",
                                         "2024-12-31 23:59:59.999999",
                                         "2025-01-01",
                                         "2025-07-07",
                                         "2031-01-01"};
    const auto id = some_id(random);
    const char* day = kDays.at(random() % kDays.size());
    const int fresh = next_id_++;
    const auto what = random() % 6;
    std::string both =
        fmt::format("BEGIN; SELECT pg_advisory_xact_lock({});", id);
    for (const std::string table : {"orders", "orders_twin"}) {
      const bool twin = table == "orders_twin";
      switch (what) {
        case 0:
          both += fmt::format(
              "INSERT INTO {} (id, customer, code, amount, placed{}) VALUES "
              "({}, {}, 'n{}', 5, '{}'{});",
              table, twin ? "" : ", legacy", fresh, fresh % 10, fresh, day,
              twin ? "" : ", 'x'");
          break;
        case 1:
          both += fmt::format("DELETE FROM {} WHERE id = {};", table, id);
          break;
        case 2:  // the key moves, and the row to another partition
          both +=
              fmt::format("UPDATE {} SET id = {}, placed = '{}' WHERE id = {};",
                          table, fresh, day, id);
          break;
        case 3:  // there and back again in one transaction
          both += fmt::format(
              "UPDATE {0} SET placed = '2023-03-03' WHERE id = {1};"
              "UPDATE {0} SET placed = '{2}' WHERE id = {1};",
              table, id, day);
          break;
        case 4:
          both += fmt::format(
              "UPDATE {} SET amount = -3 WHERE id = {} AND placed >= "
              "'2024-01-01' AND placed < '2025-01-01';",
              twin ? table : "parts.orders_2024", id);
          break;
        default:
          both += fmt::format(
              "UPDATE {} SET amount = amount + 10000 WHERE id = "
              "{} AND amount < 100000;",
              table, id);
      }
    }
    return both + "COMMIT";
  }

  std::string script_;
  std::atomic<int> next_id_{1000000};
};

TEST_F(Leaf, HoldsEveryRowUnderLoadAndIsByHandTheSame) {
  Writers writers(dsn());
  add_writers(writers);
  Program run = start_script(script_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  ASSERT_TRUE(writers.go_on(300));
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "leaf"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
  ASSERT_TRUE(writers.go_on(300));
  writers.stop();

  EXPECT_THAT(writers.refused(), IsEmpty());
  expect_migrated();
  Session owner = session();
  EXPECT_EQ(
      owner.query_value("SELECT count(*) > 0 FROM parts.orders_2024 WHERE "
                        "legacy = 'short'"),
      "t");
  EXPECT_EQ(owner.try_exec(
                "DELETE FROM pgrecast_leaf_retired.orders_2024 WHERE false"),
            "55000");
  EXPECT_EQ(command({"finish", "--dsn", dsn(), "leaf"}), 0);
  const Lines migrated = catalogs();
  const Lines dumped = schema();
  session().exec(kDrop);
  make();
  session().exec(kScript);
  EXPECT_THAT(dump_difference(catalogs(), migrated), IsEmpty());
  EXPECT_THAT(dump_difference(schema(), dumped), IsEmpty());
}

TEST_F(Leaf, IsKilledAndResumedUnderLoad) {
  Writers writers(dsn());
  add_writers(writers);
  for (const char* point :
       {"prepare:shadows", "copy:after_commit", "settle:deleted",
        "index:before_commit", "round:before_commit", "exchange:after_drain",
        "exchange:before_commit"}) {
    Program killed =
        start_script(script_, {}, {fmt::format("PGRECAST_STOP_AT={}", point)});
    ASSERT_EQ(killed.wait(), 128 + SIGKILL) << point << killed.output();
  }
  Program after =
      start_script(script_, {}, {"PGRECAST_STOP_AT=exchange:after_commit"});
  ASSERT_EQ(after.wait(), 128 + SIGKILL) << after.output();
  Program run = start_script(script_);
  EXPECT_EQ(run.wait(), 0) << run.output();
  ASSERT_TRUE(writers.go_on(100));
  writers.stop();

  EXPECT_THAT(writers.refused(), IsEmpty());
  expect_migrated();
}

TEST_F(Leaf, AbortRemovesEveryTrace) {
  const auto before = exact_inventory(database());
  for (const char* point : {"copy:after_commit", "exchange:before_commit"}) {
    Program killed =
        start_script(script_, {}, {fmt::format("PGRECAST_STOP_AT={}", point)});
    ASSERT_EQ(killed.wait(), 128 + SIGKILL) << killed.output();
    EXPECT_EQ(
        command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "leaf"}),
        0);
    EXPECT_TRUE(no_session_left(database()));
    EXPECT_THAT(difference(before, exact_inventory(database())), IsEmpty());
  }
}

struct Case {
  std::string sql;
  std::string text;
};

// The server knows best what a partition cannot have by itself.
TEST_F(Leaf, WhatBelongsToTheWholeTableIsRefusedInTheServersWords) {
  const std::vector<Case> cases = {
      {"ALTER TABLE parts.orders_2024 ALTER COLUMN code TYPE text",
       "cannot alter inherited column \"code\""},
      {"ALTER TABLE parts.orders_2024 ALTER COLUMN placed TYPE text",
       "cannot alter"},
      {"ALTER TABLE parts.orders_2024 ADD COLUMN state text",
       "cannot add column to a partition"},
      {"ALTER TABLE parts.orders_2024 DROP COLUMN legacy",
       "cannot drop inherited column \"legacy\""},
      {"ALTER TABLE parts.orders_2024 RENAME COLUMN legacy TO old",
       "cannot rename inherited column \"legacy\""},
      {"ALTER TABLE parts.orders_2024 ALTER COLUMN code DROP NOT NULL",
       "NOT NULL in parent table"},
      {"ALTER TABLE parts.orders_2024 DROP CONSTRAINT positive",
       "cannot drop inherited constraint \"positive\""},
      {"ALTER TABLE parts.orders_2024 DROP CONSTRAINT orders_2024_pkey",
       "cannot drop inherited constraint \"orders_2024_pkey\""},
      {"ALTER TABLE parts.orders_2024 SET (fillfactor = 50); "
       "DROP INDEX parts.\"My Index\"",
       "cannot drop index"},
      {"CREATE TABLE parts.orders_2024 (id integer PRIMARY KEY)",
       "whose shape is that of the table that it is a part of"},
      {"UPDATE parts.orders_2024 SET legacy = ''; "
       "UPDATE orders SET legacy = ''",
       "the script names public.orders, and its partition parts.orders_2024"}};
  for (const Case& one : cases) {
    expect_run(kRefused, one.text, write_script("leaf", one.sql + ";"));
  }
}

// What keeps a partition from being attached again as it was, or in an instant:
// by name, with a remedy, and nothing is begun.
TEST_F(Leaf, WhatCannotComeAlongIsRefusedByName) {
  std::vector<Case> cases = {
      {"ALTER TABLE orders ADD CONSTRAINT out_key FOREIGN KEY (customer) "
       "REFERENCES customers",
       "constraint out_key on table public.orders is a foreign key of the "
       "whole"},
      {"CREATE TABLE refers (id integer, placed timestamp, CONSTRAINT in_key "
       "FOREIGN KEY (id, placed) REFERENCES orders)",
       "constraint in_key on table public.refers is a foreign key to the "
       "whole"},
      {"CREATE INDEX half_idx ON ONLY orders (amount)",
       "index public.half_idx has no part on parts.orders_2024"},
      {"ALTER TABLE orders ADD CONSTRAINT late CHECK (id > 0) NOT VALID",
       "constraint late on table parts.orders_2024 comes from the whole"},
      {"CREATE INDEX alike_idx ON parts.orders_2024 (code)",
       "indexes My Index and alike_idx of parts.orders_2024 are alike"},
      {kFillDefault, "the default partition public.orders_rest has"}};
  if (cluster().version() >= 17) {
    cases.push_back(
        {"ALTER TABLE orders ALTER id DROP DEFAULT, "
         "ALTER id ADD GENERATED ALWAYS AS IDENTITY",
         "column id of parts.orders_2024 is an identity column"});
  }
  if (cluster().version() >= 18) {
    cases.push_back(
        {"DROP VIEW busy; DROP TABLE parts.orders_2024; CREATE TABLE "
         "parts.orders_2024 "
         "PARTITION OF orders (legacy CONSTRAINT mine NOT NULL, customer NOT "
         "NULL) FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
         "on table parts.orders_2024 is the partition's own and that of the "
         "whole"});
  }
  const std::string script =
      write_script("leaf", "UPDATE parts.orders_2024 SET legacy = 'x';");
  for (const Case& one : cases) {
    session().exec(one.sql);
    expect_run(kRefused, one.text, script);
    session().exec(
        "DROP TABLE IF EXISTS refers; CREATE OR REPLACE VIEW busy AS "
        "SELECT 1 AS id, 1::numeric AS amount");
    session().exec(kDrop);
    make();
  }
  session().exec("ALTER TABLE parts.orders_2024 RENAME TO other");
  expect_run(kRefused, "public.orders_rest is the default partition",
             write_script("rest", "UPDATE orders_rest SET legacy = 'x';"));
  session().exec(
      "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM "
      "('2001-01-01') TO ('2002-01-01') PARTITION BY RANGE (placed)");
  expect_run(kRefused, "public.orders_1 is a partition",
             write_script("node", "UPDATE orders_1 SET legacy = 'x';"));
}

// What the exchange must lock or alter besides, and may not.
TEST_F(Leaf, WhatBelongsToOthersIsRefusedByName) {
  const std::string script =
      write_script("leaf", "UPDATE parts.orders_2024 SET legacy = 'x';");
  superuser_session().exec("ALTER TABLE orders OWNER TO postgres");
  expect_run(kRefused,
             "parts.orders_2024 is a partition of public.orders, which belongs "
             "to postgres",
             script);
  superuser_session().exec(
      fmt::format("ALTER TABLE orders OWNER TO \"{}\"; ALTER TABLE orders_rest "
                  "OWNER TO postgres",
                  database().role()));
  expect_run(kRefused,
             "table public.orders_rest, the default partition of "
             "public.orders, must be locked, and belongs to postgres",
             script);
}

// DETACH CONCURRENTLY that was cut off has left it half a partition.
TEST_F(Leaf, OneInTheMiddleOfDetachIsRefused) {
  session().exec("DROP TABLE orders_rest");
  Session reader = session();
  reader.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; TABLE orders LIMIT 1");
  Session detaching = session();
  detaching.send(
      "ALTER TABLE orders DETACH PARTITION parts.orders_2024 "
      "CONCURRENTLY");
  ASSERT_TRUE(eventually([&] {
    return session().query_value(
               "SELECT count(*) FROM pg_inherits WHERE inhdetachpending") ==
           "1";
  }));
  superuser_session().exec(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE "
      "'ALTER TABLE orders DETACH%' AND pid <> pg_backend_pid()");
  reader.exec("COMMIT");

  expect_run(
      kRefused, "parts.orders_2024 is being detached",
      write_script("leaf", "UPDATE parts.orders_2024 SET legacy = 'x';"));
}

// By its own name it would come back as the whole table has it.
TEST_F(Leaf, ATriggerThatIsNotThatOfTheWholeTableIsRefused) {
  const std::string script =
      write_script("leaf", "UPDATE parts.orders_2024 SET legacy = 'x';");
  superuser_session().exec(
      "UPDATE pg_trigger SET tgname = 'mine' WHERE tgname = 'noted' AND "
      "tgrelid = 'parts.orders_2024'::regclass");
  expect_run(kRefused,
             "trigger mine on table parts.orders_2024 has another name than "
             "that of the whole table",
             script);
  if (cluster().version() >= 15) return;
  superuser_session().exec(
      "UPDATE pg_trigger SET tgname = 'noted', tgenabled = 'D' WHERE tgname = "
      "'mine' AND tgrelid = 'parts.orders_2024'::regclass");
  expect_run(kRefused, "is not enabled as that of the whole table is", script);
}

// Its CHECK spares the server the look at its rows.
TEST_F(Leaf, ALargeDefaultPartitionThatKnowsItsBoundIsNotRead) {
  session().exec(kFillDefault);
  std::string bound = session().query_value(
      "SELECT pg_get_partition_constraintdef('parts.orders_2024'::regclass)");
  session().exec("ALTER TABLE orders_rest ADD CONSTRAINT none CHECK (NOT " +
                 bound + ")");

  expect_run(0, "", script_);

  EXPECT_EQ(session().query_value("SELECT tableoid::regclass FROM orders WHERE "
                                  "id = 4001"),
            "parts.orders_2024");
}

// By list with NULLs, by hash, whose bound names its table, by an expression;
// of a table that is a partition itself; and two of one table at once.
TEST_F(Leaf, OfWhateverBoundItIsAttachedAgainAsItWas) {
  session().exec(kDrop);
  session().exec(R"sql(
CREATE TABLE listed (id integer, kind varchar(9), v text) PARTITION BY LIST (kind);
CREATE TABLE listed_a PARTITION OF listed (PRIMARY KEY (id)) FOR VALUES IN ('a', 'b', NULL);
CREATE TABLE listed_c PARTITION OF listed FOR VALUES IN ('c');
CREATE TABLE listed_rest PARTITION OF listed DEFAULT;
INSERT INTO listed SELECT n, (ARRAY['a', 'b', NULL, 'c', 'd'])[n % 5 + 1], 'v' FROM generate_series(1, 5000) n;
CREATE TABLE hashed (id integer PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE hashed_2 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 2);
CREATE INDEX ON hashed (v);
INSERT INTO hashed SELECT n, 'v' FROM generate_series(1, 5000) n;
CREATE TABLE deep (id integer, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE deep_2024 PARTITION OF deep FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')
  PARTITION BY HASH (id);
CREATE TABLE deep_2024_0 PARTITION OF deep_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE deep_2024_1 PARTITION OF deep_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE deep_rest PARTITION OF deep DEFAULT;
CREATE INDEX ON deep (v, at);
INSERT INTO deep SELECT n, date '2023-06-01' + n % 1000, 'v' FROM generate_series(1, 5000) n;
CREATE TABLE computed (id integer, name text, v text) PARTITION BY RANGE (lower(name), abs(id));
CREATE TABLE computed_a PARTITION OF computed (PRIMARY KEY (id)) FOR VALUES FROM ('a', MINVALUE) TO ('m', 77);
CREATE TABLE computed_b PARTITION OF computed FOR VALUES FROM ('m', 77) TO (MAXVALUE, MAXVALUE);
INSERT INTO computed SELECT n, chr(97 + n % 20) || n, 'v' FROM generate_series(1, 5000) n;
ANALYZE)sql");
  const Lines before = catalogs_of_attached();
  const Lines dumped = schema();
  for (const char* script :
       {"UPDATE listed_a SET v = 'new' WHERE kind IS NULL;",
        "UPDATE hashed_0 SET v = 'new'; UPDATE hashed_2 SET v = 'new';",
        "UPDATE deep_2024_1 SET v = 'new';",
        "UPDATE computed_a SET v = 'new';"}) {
    expect_run(0, "", write_script("kind", script));
    EXPECT_EQ(command({"finish", "--dsn", dsn(), "kind"}), 0);
    EXPECT_THAT(dump_difference(before, catalogs_of_attached()), IsEmpty())
        << script;
    EXPECT_THAT(dump_difference(dumped, schema()), IsEmpty()) << script;
  }
  EXPECT_THAT(
      session().query_rows(
          "SELECT (SELECT count(*) FROM listed WHERE v = 'new' AND kind IS "
          "NULL), (SELECT count(*) FROM listed), (SELECT count(DISTINCT id) "
          "FROM hashed), (SELECT count(*) FROM deep), (SELECT count(*) FROM "
          "computed), (SELECT count(*) = (SELECT count(*) FROM hashed_0) + "
          "(SELECT count(*) FROM hashed_2) FROM hashed WHERE v = 'new')"),
      ::testing::ElementsAre(Row{"1000", "5000", "5000", "5000", "5000", "t"}));

  // By hand the server says of which bound; so it does here, with the keys.
  expect_run(kRejected, "4",
             write_script("out",
                          "UPDATE listed_a SET kind = 'c' WHERE id = 4 "
                          "OR id < 6;"));
}

TEST_F(Leaf, OneThatIsDetachedMeanwhileStopsTheRun) {
  Program run = start_script(script_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("ALTER TABLE orders DETACH PARTITION parts.orders_2024");
  EXPECT_EQ(run.wait(), kRefused) << run.output();
  EXPECT_NE(run.err().find("was changed by somebody"), std::string::npos)
      << run.err();
  EXPECT_NE(run.err().find(", partition of "), std::string::npos) << run.err();
  session().exec(
      "ALTER TABLE parts.orders_2024 DISABLE TRIGGER USER;"
      "UPDATE parts.orders_2024 SET amount = 12 WHERE id = 5000;"
      "UPDATE orders_twin SET amount = 12 WHERE id = 5000;"
      "ALTER TABLE parts.orders_2024 ENABLE TRIGGER USER;"
      "ALTER TABLE orders ATTACH PARTITION parts.orders_2024 FOR VALUES FROM "
      "('2024-01-01') TO ('2025-01-01')");

  expect_run(0, "", script_);

  expect_migrated();
}

// What comes to the whole table meanwhile is its leaf's, too.
TEST_F(Leaf, WhatComesToTheWholeTableMeanwhileIsNotLost) {
  Program run = start_script(script_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec(
      "CREATE TRIGGER later AFTER INSERT ON orders FOR EACH ROW WHEN "
      "(new.amount = 4712) EXECUTE FUNCTION note();"
      "CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM "
      "('2026-01-01') TO ('2027-01-01');"
      "ALTER TABLE orders ADD CONSTRAINT out_key FOREIGN KEY (customer) "
      "REFERENCES customers");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "leaf"}), 0);
  EXPECT_NE(run.wait(), 0);
  EXPECT_NE(run.err().find("out_key"), std::string::npos) << run.err();
  session().exec("ALTER TABLE orders DROP CONSTRAINT out_key");

  expect_run(0, "", script_);

  expect_migrated();
  session().exec(
      "INSERT INTO orders (id, placed, customer, code, amount, legacy) VALUES "
      "(3000000, '2024-02-02', 1, 'x', 4712, ''),"
      "(3000001, '2024-02-02', 1, 'x', 4711, '')");
  EXPECT_EQ(
      session().query_value(
          "SELECT string_agg(id || what, ' ' ORDER BY id, what) FROM log"),
      cluster().version() >= 15 ? "3000000later 3000001own"
                                : "3000000later 3000001noted 3000001own");
}

// The leaf is in the stream of its own publication, and in that of the whole
// table: under its own name, or under that of the whole.
TEST_F(Leaf, SubscribersOfTheWholeTableFollow) {
  PgCluster elsewhere;
  Session subscriber = elsewhere.session();
  subscriber.exec(
      "CREATE SCHEMA parts; CREATE TABLE orders (id integer, placed timestamp, "
      "customer integer, code text, amount numeric, legacy text, no integer, "
      "twice numeric, PRIMARY KEY (id, placed));"
      "CREATE TABLE orders_2023 (LIKE orders INCLUDING ALL);"
      "CREATE TABLE parts.orders_2024 (LIKE orders INCLUDING ALL);"
      "CREATE TABLE orders_2025 (LIKE orders INCLUDING ALL);"
      "CREATE TABLE orders_rest (LIKE orders INCLUDING ALL)");
  std::string connection;
  for (const char c : superuser_dsn())
    connection += std::string(c == '\'' ? 2 : 1, c);
  for (const char* publication : {"whole", "parted"}) {
    subscriber.exec(
        fmt::format("CREATE SUBSCRIPTION {0} CONNECTION '{1}' "
                    "PUBLICATION {0}",
                    publication, connection));
  }
  ASSERT_TRUE(eventually([&] {
    return subscriber.query_value(
               "SELECT count(*) FROM pg_subscription_rel "
               "WHERE srsubstate = 'r'") == "5";
  })) << elsewhere.log_text();
  Writers writers(dsn());
  add_writers(writers);
  ASSERT_TRUE(writers.go_on(50));

  expect_run(0, "",
             write_script("leaf",
                          "ALTER TABLE parts.orders_2024 SET "
                          "(fillfactor = 60);"));

  ASSERT_TRUE(writers.go_on(300));
  writers.stop();
  EXPECT_THAT(writers.refused(), IsEmpty());
  const std::string digest =
      "SELECT count(*) || md5(string_agg(concat_ws(' ', id, placed, customer, "
      "code, amount, legacy), ',' ORDER BY id)) FROM ";
  const std::string now = session().query_value(digest + "orders");
  for (const char* there :
       {"orders",
        "(TABLE orders_2023 UNION ALL TABLE parts.orders_2024 UNION ALL TABLE "
        "orders_2025 UNION ALL TABLE orders_rest) AS o"}) {
    EXPECT_TRUE(eventually([&] {
      return subscriber.query_value(digest + there) == now;
    })) << there
        << elsewhere.log_text();
  }
  EXPECT_EQ(elsewhere.log_text().find("ERROR"), std::string::npos)
      << elsewhere.log_text();
  subscriber.exec("DROP SUBSCRIPTION whole");
  subscriber.exec("DROP SUBSCRIPTION parted");
}

}  // namespace
}  // namespace pgrecast::test
