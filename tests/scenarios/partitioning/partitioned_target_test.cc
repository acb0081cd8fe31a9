// A live table becomes a partitioned one: CREATE TABLE .. PARTITION BY, with
// the name of the table, and its partitions.

#include "scenarios/lifecycle/lifecycle.h"
#include "scenarios/partitioning/moving_load.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <memory>
#include <string>

namespace pgrecast::test {
namespace {

constexpr int kRefused = 3;
constexpr int kDataRejected = 10;

constexpr const char* kSchema = R"sql(
CREATE TABLE orders (
  id serial PRIMARY KEY,
  customer integer NOT NULL,
  code varchar(20) NOT NULL,
  amount numeric NOT NULL,
  placed timestamp NOT NULL DEFAULT '2024-06-01',
  legacy text) WITH (fillfactor = 10);
INSERT INTO orders SELECT n, n % 10 + 1, 'c' || n, n % 977,
  timestamp '2023-01-01' + n * interval '3 hours', 'old'
  FROM generate_series(1, 12000) n;
SELECT setval('orders_id_seq', 12000);
CREATE INDEX orders_customer_idx ON orders (customer);
CREATE VIEW turnover AS
  SELECT customer, sum(amount) AS amount FROM orders GROUP BY customer;
CREATE TABLE log (id bigint, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
  AS $$BEGIN INSERT INTO log VALUES (new.id, tg_op); RETURN new; END$$;
CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW
  WHEN (new.amount = 4711) EXECUTE FUNCTION note();
COMMENT ON TABLE orders IS 'what customers want';
COMMENT ON COLUMN orders.amount IS 'in cents';
GRANT SELECT ON orders TO PUBLIC;
GRANT UPDATE (amount) ON orders TO PUBLIC;
CREATE STATISTICS orders_stats ON customer, placed FROM orders;
CREATE PUBLICATION outside FOR TABLE orders
  WITH (publish_via_partition_root = true);
CREATE TABLE orders_twin (
  id integer PRIMARY KEY, customer integer, code varchar(20), amount numeric,
  placed timestamp);
INSERT INTO orders_twin SELECT id, customer, code, amount, placed FROM orders;
ANALYZE orders, log, orders_twin)sql";

constexpr const char* kRoot = R"sql(
CREATE TABLE orders (
  id bigint NOT NULL DEFAULT nextval('orders_id_seq'),
  placed timestamp NOT NULL DEFAULT '2024-06-01',
  customer integer NOT NULL,
  code text NOT NULL,
  amount numeric NOT NULL CHECK (amount > -1000000),
  state text NOT NULL DEFAULT 'new',
  PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
)sql";

constexpr const char* kPartitions = R"sql(
CREATE TABLE orders_2024 PARTITION OF orders
  FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') WITH (fillfactor = 90);
CREATE TABLE "Orders 2025" PARTITION OF public.orders
  FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (id);
CREATE TABLE orders_2025_even PARTITION OF "Orders 2025"
  FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.orders_2025_odd PARTITION OF public."Orders 2025"
  FOR VALUES WITH (MODULUS 2, REMAINDER 1);
)sql";

constexpr const char* kRest = R"sql(
CREATE TABLE orders_rest PARTITION OF orders DEFAULT;
CREATE INDEX orders_customer_idx ON orders (customer);
CREATE INDEX orders_lower_idx ON orders (lower(code)) WHERE amount > 0;
)sql";

// Of what the table becomes, in any schema.
constexpr const char* kTree = R"sql(
SELECT c.relname, c.relkind, pg_get_expr(c.relpartbound, c.oid),
       pg_get_partkeydef(c.oid), c.reloptions::text,
       (SELECT string_agg(replace(pg_get_indexdef(indexrelid), $1 || '.', ''), '; '
               ORDER BY indexrelid::regclass::text)
        FROM pg_index WHERE indrelid = c.oid),
       (SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), '; ' ORDER BY conname)
        FROM pg_constraint WHERE conrelid = c.oid),
       (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)
FROM pg_partition_tree(($1 || '.orders')::regclass) t JOIN pg_class c ON c.oid = t.relid
ORDER BY c.relname)sql";

class PartitionedTarget : public Lifecycle {
 protected:
  void SetUp() override {
    session().exec(kSchema);
    whole_ = write_script("orders", std::string(kRoot) + kPartitions + kRest);
  }

  void expect_migrated() {
    Session owner = session();
    EXPECT_THAT(differences_from_twin(owner), testing::IsEmpty());
    session().exec(fmt::format(
        "CREATE SCHEMA by_hand; CREATE SEQUENCE by_hand.orders_id_seq;"
        "SET search_path = by_hand;"));
    Session by_hand = session();
    by_hand.exec("SET search_path = by_hand");
    std::string script = std::string(kRoot) + kPartitions + kRest;
    for (std::size_t at; (at = script.find("public.")) != std::string::npos;) {
      script.replace(at, 7, "by_hand.");
    }
    by_hand.exec(script);
    EXPECT_EQ(tree("public"), tree("by_hand"));
    by_hand.exec("DROP SCHEMA by_hand CASCADE");
  }

  Rows tree(const std::string& schema) {
    Session reader = session();
    return reader.query_rows(kTree, schema);
  }

  std::string whole_;
};

TEST_F(PartitionedTarget, HoldsEveryRowUnderLoadAndWhatHangsOff) {
  MovingLoad load(dsn());
  Program run = start_script(whole_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  ASSERT_TRUE(load.goes_on(200));
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
  ASSERT_TRUE(load.goes_on(50));
  load.stop();

  EXPECT_EQ(load.failures(), "");
  expect_migrated();
  Session owner = session();
  EXPECT_EQ(owner.query_value("SELECT obj_description('orders'::regclass)"),
            "what customers want");
  EXPECT_EQ(owner.query_value(
                "SELECT col_description('orders'::regclass, attnum) FROM "
                "pg_attribute WHERE attrelid = 'orders'::regclass AND attname "
                "= 'amount'"),
            "in cents");
  EXPECT_EQ(owner.query_value("SELECT count(*) FROM turnover"), "11");
  EXPECT_EQ(owner.query_value("SELECT has_table_privilege('public', 'orders', "
                              "'SELECT') AND NOT has_table_privilege('public', "
                              "'orders_2024', 'SELECT')"),
            "t");
  EXPECT_EQ(owner.query_value("SELECT pg_get_serial_sequence('orders', 'id')"),
            "public.orders_id_seq");
  owner.exec(
      "INSERT INTO orders (customer, code, amount) VALUES (1, 'noted', 4711)");
  EXPECT_EQ(owner.query_rows("SELECT * FROM log"), (Rows{{"12001", "INSERT"}}));
  EXPECT_EQ(owner.query_rows(
                "SELECT prrelid::regclass, pubname FROM pg_publication_rel r "
                "JOIN pg_publication p ON p.oid = prpubid WHERE pubname = "
                "'outside'"),
            (Rows{{"orders", "outside"}}));
  // Every leaf has statistics, and none of our indexes.
  EXPECT_EQ(owner.query_value(
                "SELECT count(*) FROM pg_class WHERE relname LIKE 'pgrecast%'"),
            "0");
  EXPECT_EQ(owner.query_value("SELECT count(*) FROM pg_class WHERE relname IN "
                              "('orders_2024', 'orders_2025_even', 'orders', "
                              "'orders_2025_odd', 'orders_rest') AND reltuples "
                              "> 0 AND relnamespace = 'public'::regnamespace"),
            "5");

  EXPECT_EQ(command({"finish", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(
      owner.query_value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE "
                        "'pgrecast%'"),
      "0");
  EXPECT_EQ(owner.query_value("SELECT count(*) > 1 FROM orders_2024"), "t");
}

TEST_F(PartitionedTarget, IsKilledAndResumedUnderLoad) {
  MovingLoad load(dsn());
  for (const char* point :
       {"copy:after_commit", "settle:deleted", "index:before_commit",
        "round:before_commit", "exchange:after_drain"}) {
    Program killed =
        start_script(whole_, {}, {fmt::format("PGRECAST_STOP_AT={}", point)});
    ASSERT_EQ(killed.wait(), 128 + SIGKILL) << point << killed.output();
  }
  Program run = start_script(whole_);
  EXPECT_EQ(run.wait(), 0) << run.output();
  load.stop();

  EXPECT_EQ(load.failures(), "");
  expect_migrated();
}

TEST_F(PartitionedTarget, RowsThatFitNoPartitionAreTenWithTheirKeys) {
  const std::string without_rest =
      write_script("narrow", std::string(kRoot) + kPartitions);
  session().exec(
      "DELETE FROM orders WHERE placed < '2024-01-01' OR placed >= "
      "'2026-01-01';"
      "UPDATE orders SET placed = '2023-12-31' WHERE id IN (4711, 4712)");
  Program run = start_script(without_rest);
  EXPECT_EQ(run.wait(), kDataRejected) << run.output();
  // The plan's sample may hold but one of them.
  EXPECT_THAT(run.err(), testing::ContainsRegex("471[12]"));
  session().exec("DELETE FROM orders WHERE id IN (4711, 4712)");

  Program again = start_script(without_rest, {"--cutover", "manual"});
  again.wait_for_output("phase changed.*phase=ready");
  session().exec("UPDATE orders SET placed = '2026-01-01' WHERE id = 4713");
  EXPECT_EQ(again.wait(Deadline::in(kPatience)), kDataRejected)
      << again.output();
  EXPECT_NE(again.err().find("4713"), std::string::npos) << again.err();
  session().exec("UPDATE orders SET placed = '2025-01-01' WHERE id = 4713");

  expect_run(0, "", without_rest);
  EXPECT_EQ(session().query_value("SELECT count(*) = (SELECT count(*) FROM "
                                  "pgrecast_narrow_retired.orders) FROM "
                                  "orders"),
            "t");
}

TEST_F(PartitionedTarget, AbortRemovesEveryPartition) {
  const auto before = exact_inventory(database());
  for (const char* point : {"copy:after_commit", "cutover:drained"}) {
    Program killed =
        start_script(whole_, {}, {fmt::format("PGRECAST_STOP_AT={}", point)});
    ASSERT_EQ(killed.wait(), 128 + SIGKILL) << killed.output();

    EXPECT_EQ(command({"abort", "--dsn", dsn(), "--state-dir", state_dir(),
                       "orders"}),
              0);
    EXPECT_TRUE(no_session_left(database()));
    for (const std::string& line :
         difference(before, exact_inventory(database()))) {
      ADD_FAILURE() << line;
    }
  }
}

TEST_F(PartitionedTarget, WhatCannotGoAlongIsRefusedByName) {
  Session owner = session();
  owner.exec(
      "CREATE TABLE customers (id integer PRIMARY KEY);"
      "INSERT INTO customers SELECT generate_series(1, 10);"
      "ALTER TABLE orders ADD CONSTRAINT to_itself FOREIGN KEY (customer) "
      "REFERENCES orders;"
      "CREATE TABLE lines (id integer CONSTRAINT to_orders REFERENCES orders);"
      "CREATE TRIGGER rows_together AFTER INSERT ON orders REFERENCING NEW "
      "TABLE AS fresh FOR EACH ROW EXECUTE FUNCTION note();"
      "CREATE PUBLICATION by_leaf FOR TABLE orders;"
      "CREATE TABLE orders_rest (i integer);"
      "CREATE TYPE orders_2024 AS ENUM ('x')");
  Program run = start_script(whole_);
  EXPECT_EQ(run.wait(), kRefused) << run.output();
  for (const char* text :
       {"to_itself of public.orders to public.orders cannot be made again",
        "to_orders of public.lines", "no unique constraint matching",
        "PARTITION BY columns that it refers to", "rows_together", "by_leaf",
        "a relation orders_rest", "a type orders_2024"}) {
    EXPECT_NE(run.err().find(text), std::string::npos) << text << run.err();
  }
  EXPECT_EQ(run.err().find("outside"), std::string::npos) << run.err();
}

// The new table's sequence takes over the place, the name, the rights and the
// comment of the old one.
TEST_F(PartitionedTarget, AnIdentityGoesOnWhereItIs) {
  session().exec(R"sql(
ALTER TABLE orders ADD line integer GENERATED ALWAYS AS IDENTITY
  (INCREMENT BY 5);
ALTER SEQUENCE orders_line_seq RENAME TO "Lines";
COMMENT ON SEQUENCE "Lines" IS 'by fives';
GRANT USAGE ON SEQUENCE "Lines" TO PUBLIC)sql");
  std::string script = std::string(kRoot) + kPartitions + kRest;
  script.insert(script.find("  customer"),
                "  line integer GENERATED ALWAYS AS IDENTITY (INCREMENT BY "
                "5),\n  fresh bigint GENERATED BY DEFAULT AS IDENTITY,\n");
  MovingLoad load(dsn());

  Program run = start_script(write_script("orders", script));
  EXPECT_EQ(run.wait(), 0) << run.output();
  ASSERT_TRUE(load.goes_on(50));
  load.stop();

  EXPECT_EQ(load.failures(), "");
  Session owner = session();
  EXPECT_THAT(differences_from_twin(owner), testing::IsEmpty());
  EXPECT_EQ(owner.query_value("SELECT concat_ws(' ', count(*) - count(DISTINCT "
                              "line), count(*) - count(DISTINCT fresh)) FROM "
                              "orders"),
            "0 0");
  EXPECT_EQ(owner.query_value(R"sql(
SELECT concat_ws(' ', s::regclass, s::regclass::oid <> 'orders_id_seq'::regclass,
  obj_description(s::regclass), has_sequence_privilege('pg_monitor', s, 'USAGE'))
FROM pg_get_serial_sequence('orders', 'line') s)sql"),
            "\"Lines\" t by fives t");
  const auto last = owner.query_value("SELECT last_value FROM \"Lines\"");
  EXPECT_EQ(owner.query_value("INSERT INTO orders (id, customer, code, amount) "
                              "VALUES (-1, 1, 'x', 1) RETURNING line - " +
                              last),
            "5");
  EXPECT_EQ(owner.try_exec("INSERT INTO orders (id, customer, code, amount, "
                           "line) VALUES (-2, 1, 'x', 1, 1)"),
            "428C9");
}

// The server takes none NOT VALID on a partitioned table before 18: its leaves
// have them from the exchange on, and the table as soon as all are valid.
class ForeignKeyOfPartitionedTarget : public PartitionedTarget {
 protected:
  void SetUp() override {
    if (cluster().version() >= 18) GTEST_SKIP() << "takes it NOT VALID";
    PartitionedTarget::SetUp();
    session().exec(R"sql(
CREATE TABLE customers (id integer PRIMARY KEY);
INSERT INTO customers SELECT generate_series(1, 10);
ALTER TABLE orders ADD CONSTRAINT to_customer FOREIGN KEY (customer)
  REFERENCES customers ON UPDATE CASCADE;
COMMENT ON CONSTRAINT to_customer ON orders IS 'who pays')sql");
  }

  // relation, whether it is a part of another constraint, valid, comment.
  std::string keys() {
    return session().query_value(
        "SELECT string_agg(concat_ws(' ', conrelid::regclass, conparentid <> "
        "0, convalidated, obj_description(oid)), ', ' ORDER BY "
        "conrelid::regclass::text) FROM pg_constraint WHERE contype = 'f'");
  }

  static constexpr const char* kWhole =
      "\"Orders 2025\" t t, orders f t who pays, orders_2024 t t, "
      "orders_2025_even t t, orders_2025_odd t t, orders_rest t t";
  static constexpr const char* kEnforced = "23503";
};

TEST_F(ForeignKeyOfPartitionedTarget, IsEnforcedFromTheExchangeOn) {
  Program killed =
      start_script(whole_, {}, {"PGRECAST_STOP_AT=cleanup:afterwards#3"});
  ASSERT_EQ(killed.wait(), 128 + SIGKILL) << killed.output();

  // Not all leaves are validated; all are checked.
  EXPECT_EQ(keys(),
            "orders_2024 f t, orders_2025_even f t, orders_2025_odd f f, "
            "orders_rest f f");
  for (const char* placed : {"2024-02-02", "2025-02-02", "1999-01-01"}) {
    EXPECT_EQ(session().try_exec(fmt::format(
                  "INSERT INTO orders VALUES (-1, '{}', 77, '', 0)", placed)),
              kEnforced);
  }
  EXPECT_EQ(session().try_exec("DELETE FROM customers WHERE id = 3"),
            kEnforced);

  // The same constraints: the table took them in, no row was read again.
  const std::string same =
      "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND oid IN (" +
      session().query_value(
          "SELECT string_agg(oid::text, ',') FROM "
          "pg_constraint WHERE contype = 'f'") +
      ")";

  expect_run(0, "", whole_);

  EXPECT_EQ(keys(), kWhole);
  EXPECT_EQ(session().query_value(same), "4");
  EXPECT_EQ(session().try_exec("DELETE FROM customers WHERE id = 3"),
            kEnforced);
  session().exec("UPDATE customers SET id = 33 WHERE id = 3");
  EXPECT_NE(
      session().query_value("SELECT count(*) FROM orders WHERE customer = 33"),
      "0");
  EXPECT_EQ(command({"finish", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(keys(), kWhole);
}

// Written past the constraint. The table itself gets none that would make the
// server read every row under a lock that stops writers.
TEST_F(ForeignKeyOfPartitionedTarget, ThatRowsBreakIsToldAndMadeOnceMended) {
  superuser_session().exec(
      "SET session_replication_role = replica; UPDATE orders SET customer = 99 "
      "WHERE id = 5000");
  expect_run(kDataRejected, "rows break foreign keys", whole_);
  EXPECT_THAT(keys(), testing::HasSubstr("orders_2024 f f"));
  EXPECT_THAT(keys(), testing::Not(testing::HasSubstr("orders f")));
  EXPECT_EQ(session().try_exec("DELETE FROM customers WHERE id = 3"),
            kEnforced);

  session().exec("UPDATE orders SET customer = 1 WHERE customer = 99");
  expect_run(0, "", whole_);

  EXPECT_EQ(keys(), kWhole);
}

// By a column that others refer to, its key stays what they need.
TEST_F(PartitionedTarget, IsReferencedFromTheExchangeOnByPartsOfItsKey) {
  session().exec(R"sql(
CREATE TABLE lines (id bigint CONSTRAINT to_orders REFERENCES orders
  ON DELETE CASCADE);
INSERT INTO lines SELECT generate_series(1, 12000, 3);
ALTER TABLE orders ADD first_order integer CONSTRAINT to_first REFERENCES orders;
UPDATE orders SET first_order = id % 10 + 1)sql");
  const std::string script = write_script("orders", R"sql(
CREATE TABLE orders (
  id bigint NOT NULL DEFAULT nextval('orders_id_seq'),
  placed timestamp NOT NULL DEFAULT '2024-06-01',
  customer integer NOT NULL,
  code text NOT NULL,
  amount numeric NOT NULL,
  first_order bigint,
  PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1);
)sql");
  Program killed =
      start_script(script, {}, {"PGRECAST_STOP_AT=cleanup:afterwards#1"});
  ASSERT_EQ(killed.wait(), 128 + SIGKILL) << killed.output();

  Session owner = session();
  EXPECT_EQ(owner.try_exec("INSERT INTO lines VALUES (77777777)"), "23503");
  EXPECT_EQ(owner.try_exec("UPDATE orders SET first_order = 77777777 WHERE id "
                           "= 5"),
            "23503");
  EXPECT_EQ(owner.try_exec("DELETE FROM orders WHERE id = 2"), "23503");
  expect_run(0, "", script);
  EXPECT_EQ(owner.query_value(
                "SELECT string_agg(concat_ws(' ', conname, convalidated, "
                "pg_get_constraintdef(oid)), '; ' ORDER BY conname) FROM "
                "pg_constraint WHERE contype = 'f' AND conparentid = 0"),
            "to_first t FOREIGN KEY (first_order) REFERENCES orders(id); "
            "to_orders t FOREIGN KEY (id) REFERENCES orders(id) ON DELETE "
            "CASCADE");
  owner.exec("DELETE FROM orders WHERE id = 4000");
  EXPECT_EQ(owner.query_value("SELECT count(*) FROM lines WHERE id = 4000"),
            "0");
  EXPECT_EQ(command({"finish", "--dsn", dsn(), "orders"}), 0);
}

// The exchange asks again, under its locks.
TEST_F(PartitionedTarget, WhatComesLaterAndCannotGoAlongStopsTheExchange) {
  Program run = start_script(whole_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec(
      "ALTER PUBLICATION outside SET "
      "(publish_via_partition_root = false)");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_NE(run.wait(), 0);
  EXPECT_NE(run.err().find("publication outside"), std::string::npos)
      << run.err();
  session().exec(
      "ALTER PUBLICATION outside SET "
      "(publish_via_partition_root = true)");

  expect_run(0, "", whole_);
  expect_migrated();
}

}  // namespace
}  // namespace pgrecast::test
