// A table that is partitioned already gets a new shape: its partitions stay
// what they are, or the script names others.

#include "scenarios/lifecycle/lifecycle.h"
#include "scenarios/partitioning/moving_load.h"
#include "support/eventually.h"
#include "support/pg_cluster.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <string>
#include <vector>

namespace pgrecast::test {
namespace {

constexpr int kRefused = 3;
constexpr int kChangesLost = 8;

// Two levels, names that need quotes, a leaf that was attached and has its
// columns' numbers otherwise, an index with names of its own.
constexpr const char* kSchema = R"sql(
CREATE SEQUENCE orders_id_seq AS integer;
CREATE TABLE orders (
  gone integer,
  id integer NOT NULL DEFAULT nextval('orders_id_seq'),
  placed timestamp NOT NULL DEFAULT '2024-06-01',
  customer integer NOT NULL,
  code varchar(20) NOT NULL,
  amount numeric NOT NULL CONSTRAINT positive CHECK (amount > -1000000),
  legacy text,
  PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
ALTER SEQUENCE orders_id_seq OWNED BY orders.id;
ALTER TABLE orders DROP COLUMN gone;
CREATE TABLE orders_2023 PARTITION OF orders
  FOR VALUES FROM ('2023-01-01') TO ('2024-01-01') WITH (fillfactor = 20);
CREATE TABLE orders_2024 (LIKE orders INCLUDING ALL);
ALTER TABLE orders ATTACH PARTITION orders_2024
  FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE "Orders 2025" PARTITION OF orders
  FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY RANGE (placed);
CREATE TABLE orders_2025_h1 PARTITION OF "Orders 2025"
  FOR VALUES FROM ('2025-01-01') TO ('2025-07-01');
CREATE TABLE orders_2025_h2 PARTITION OF "Orders 2025"
  FOR VALUES FROM ('2025-07-01') TO ('2026-01-01');
CREATE TABLE orders_rest PARTITION OF orders DEFAULT;
CREATE INDEX orders_customer_idx ON orders (customer);
CREATE INDEX orders_customer_2_idx ON orders (customer);
ALTER INDEX orders_2023_customer_idx RENAME TO between;
ALTER INDEX orders_2023_customer_idx1 RENAME TO orders_2023_customer_idx;
ALTER INDEX between RENAME TO "My Index";
COMMENT ON TABLE orders_2024 IS 'the busy year';
COMMENT ON COLUMN orders_2024.amount IS 'in cents';
COMMENT ON TABLE orders IS 'what customers want';
ALTER TABLE orders_2024 ALTER customer SET STATISTICS 77;
INSERT INTO orders SELECT n, timestamp '2023-01-01' + n * interval '3 hours',
  n % 10 + 1, 'c' || n, n % 977, repeat('old', 60)
  FROM generate_series(1, 12000) n;
SELECT setval('orders_id_seq', 12000);
CREATE VIEW turnover AS
  SELECT customer, sum(amount) AS amount FROM orders GROUP BY customer;
CREATE TABLE log (id bigint, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
  AS $$BEGIN INSERT INTO log VALUES (new.id, tg_op); RETURN new; END$$;
CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW
  WHEN (new.amount = 4711) EXECUTE FUNCTION note();
GRANT SELECT ON orders, orders_2024 TO PUBLIC;
GRANT INSERT ON orders_2025_h2 TO pg_monitor WITH GRANT OPTION;
CREATE POLICY all_of_it ON orders USING (true);
CREATE STATISTICS orders_stats ON customer, placed FROM orders;
CREATE PUBLICATION outside FOR TABLE orders
  WITH (publish_via_partition_root = true);
CREATE TABLE orders_twin (
  id integer PRIMARY KEY, customer integer, code varchar(20), amount numeric,
  placed timestamp);
INSERT INTO orders_twin SELECT id, customer, code, amount, placed FROM orders;
ANALYZE orders, log, orders_twin)sql";

constexpr const char* kScript = R"sql(
ALTER TABLE orders ALTER COLUMN id TYPE bigint, ALTER COLUMN code TYPE text,
  ADD COLUMN state text NOT NULL DEFAULT 'new', DROP COLUMN legacy;
UPDATE orders SET state = 'old' WHERE placed < '2024-01-01';
CREATE INDEX orders_lower_idx ON orders (lower(code)) WHERE amount > 0;
)sql";

// The same, of a table without rows.
constexpr const char* kByHand = R"sql(
ALTER TABLE orders ALTER COLUMN id TYPE bigint, ALTER COLUMN code TYPE text,
  ADD COLUMN state text NOT NULL DEFAULT 'new', DROP COLUMN legacy;
CREATE INDEX orders_lower_idx ON orders (lower(code)) WHERE amount > 0)sql";

class PartitionedSource : public Lifecycle {
 protected:
  void SetUp() override {
    session().exec(kSchema);
    script_ = write_script("orders", kScript);
  }

  void expect_migrated() {
    Session owner = session();
    EXPECT_THAT(differences_from_twin(owner), testing::IsEmpty());
    EXPECT_EQ(owner.query_value("SELECT format_type(atttypid, -1) FROM "
                                "pg_attribute WHERE attrelid = "
                                "'orders_2024'::regclass AND attname = 'id'"),
              "bigint");
  }

  std::string script_;
};

TEST_F(PartitionedSource, HoldsEveryRowUnderLoadAndIsByHandTheSame) {
  MovingLoad load(dsn(), MovingLoad::Through::kLeavesToo);
  Program run = start_script(script_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  ASSERT_TRUE(load.goes_on(200));
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();
  ASSERT_TRUE(load.goes_on(50));
  load.stop();

  EXPECT_EQ(load.failures(), "");
  expect_migrated();
  Session owner = session();
  EXPECT_EQ(owner.try_exec("INSERT INTO pgrecast_orders_retired.orders_2024 "
                           "SELECT * FROM pgrecast_orders_retired.orders_2024"),
            "55000");
  EXPECT_EQ(command({"finish", "--dsn", dsn(), "orders"}), 0);
  const auto migrated = named_inventory(database());
  owner.exec(
      "DROP TABLE orders, orders_twin, log CASCADE; DROP PUBLICATION outside;"
      "DROP FUNCTION note");
  owner.exec(kSchema);
  owner.exec(kByHand);
  for (const std::string& line :
       difference(named_inventory(database()), migrated)) {
    ADD_FAILURE() << line;
  }
}

// Before 17 the leaves know nothing of it; since then theirs is that of the
// whole.
TEST_F(PartitionedSource, AnIdentityGoesOnWhereItIs) {
  std::string schema = kSchema;
  const auto replace = [&](std::string_view old, std::string_view with) {
    schema.replace(schema.find(old), old.size(), with);
  };
  replace("  legacy text,",
          "  line integer GENERATED ALWAYS AS IDENTITY (INCREMENT BY 5),\n"
          "  legacy text,");
  replace("INCLUDING ALL)", "INCLUDING ALL EXCLUDING IDENTITY)");
  replace("INSERT INTO orders SELECT",
          "ALTER SEQUENCE orders_line_seq RENAME TO \"Lines\";"
          "COMMENT ON SEQUENCE \"Lines\" IS 'by fives';"
          "GRANT USAGE ON SEQUENCE \"Lines\" TO PUBLIC;"
          "INSERT INTO orders (id, placed, customer, code, amount, legacy) "
          "SELECT");
  const char* const drop =
      "DROP TABLE orders, orders_twin, log CASCADE; DROP PUBLICATION outside;"
      "DROP FUNCTION note";
  Session owner = session();
  owner.exec(drop);
  owner.exec(schema);
  MovingLoad load(dsn());

  Program run = start_script(script_);
  EXPECT_EQ(run.wait(), 0) << run.output();
  ASSERT_TRUE(load.goes_on(50));
  load.stop();

  EXPECT_EQ(load.failures(), "");
  expect_migrated();
  EXPECT_EQ(owner.query_value("SELECT count(*) - count(DISTINCT line) FROM "
                              "orders"),
            "0");
  const auto last = owner.query_value("SELECT last_value FROM \"Lines\"");
  EXPECT_EQ(owner.query_value("INSERT INTO orders (id, placed, customer, code, "
                              "amount) VALUES (-1, '2024-05-05', 1, 'x', 1) "
                              "RETURNING line - " +
                              last),
            "5");
  EXPECT_EQ(command({"finish", "--dsn", dsn(), "orders"}), 0);
  const auto migrated = named_inventory(database());
  owner.exec(drop);
  owner.exec(schema);
  owner.exec(kByHand);
  owner.exec("SELECT setval('\"Lines\"', " + last + " + 5)");
  for (const std::string& line :
       difference(named_inventory(database()), migrated)) {
    ADD_FAILURE() << line;
  }
}

TEST_F(PartitionedSource, IsKilledAndResumedUnderLoad) {
  MovingLoad load(dsn(), MovingLoad::Through::kLeavesToo);
  for (const char* point :
       {"copy:after_commit#3", "settle:deleted", "index:before_commit",
        "round:before_commit", "exchange:after_drain"}) {
    Program killed =
        start_script(script_, {}, {fmt::format("PGRECAST_STOP_AT={}", point)});
    ASSERT_EQ(killed.wait(), 128 + SIGKILL) << point << killed.output();
  }
  Program run = start_script(script_);
  EXPECT_EQ(run.wait(), 0) << run.output();
  load.stop();

  EXPECT_EQ(load.failures(), "");
  expect_migrated();
}

TEST_F(PartitionedSource, AbortRemovesEveryTrace) {
  const auto before = exact_inventory(database());
  for (const char* point : {"copy:after_commit", "cutover:drained"}) {
    Program killed =
        start_script(script_, {}, {fmt::format("PGRECAST_STOP_AT={}", point)});
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

// None of it is in the stream: publish_via_partition_root leaves a leaf's
// TRUNCATE out.
TEST_F(PartitionedSource, ALeafThatIsTruncatedOrRewrittenIsVerifiedAgain) {
  Program run = start_script(script_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec("VACUUM FULL orders_2025_h1");
  session().exec(
      "TRUNCATE orders_2023;"
      "DELETE FROM orders_twin WHERE placed < '2024-01-01';"
      "INSERT INTO orders (id, placed, customer, code, amount) VALUES "
      "(2000000, '2023-05-05', 1, 'again', 1);"
      "INSERT INTO orders_twin VALUES (2000000, 1, 'again', 1, '2023-05-05')");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();

  EXPECT_NE(run.output().find("source was rewritten"), std::string::npos)
      << run.output();
  expect_migrated();
}

// A row that no partition of the new table would hold, or that the stream did
// not tell of.
TEST_F(PartitionedSource, APartitionThatComesOrGoesStopsTheMigration) {
  Program run = start_script(script_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec(
      "ALTER TABLE orders DETACH PARTITION orders_2023;"
      "UPDATE orders_2023 SET amount = 12 WHERE id = 5;"
      "UPDATE orders_twin SET amount = 12 WHERE id = 5;"
      "ALTER TABLE orders ATTACH PARTITION orders_2023 FOR VALUES FROM "
      "('2023-01-01') TO ('2024-01-01')");
  EXPECT_NE(run.wait(), 0);
  EXPECT_NE(run.err().find("was changed by somebody"), std::string::npos)
      << run.err();
  expect_run(kChangesLost, "a partition was detached", script_);

  Program repaired = start_script(script_, {"--repair", "--cutover", "manual"});
  repaired.wait_for_output("phase changed.*phase=ready");
  session().exec(
      "CREATE TABLE orders_1999 PARTITION OF orders FOR VALUES FROM "
      "('1999-01-01') TO ('2000-01-01')");
  EXPECT_NE(repaired.wait(), 0);
  EXPECT_NE(repaired.err().find("orders_1999"), std::string::npos)
      << repaired.err();
  session().exec("DROP TABLE orders_1999");

  expect_run(0, "", script_, {"--repair"});
  expect_migrated();
}

TEST_F(PartitionedSource, BecomesWhatTheScriptNamesAnew) {
  session().exec("UPDATE orders SET placed = '2024-05-05' WHERE id = 77");
  const std::string anew = write_script("orders", R"sql(
CREATE TABLE orders (
  id bigint NOT NULL DEFAULT nextval('orders_id_seq'),
  placed timestamp NOT NULL,
  customer integer NOT NULL,
  code text NOT NULL,
  amount numeric NOT NULL,
  PRIMARY KEY (id, placed)) PARTITION BY HASH (id);
CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE orders_2024 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1);
)sql");
  MovingLoad load(dsn(), MovingLoad::Through::kLeavesToo);
  Program run = start_script(anew, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  load.stop();
  session().exec("UPDATE orders_twin SET placed = '2024-05-05' WHERE id = 77");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();

  expect_migrated();
  Session owner = session();
  EXPECT_EQ(owner.query_value("SELECT string_agg(relid::text, ' ') FROM "
                              "pg_partition_tree('orders') WHERE isleaf"),
            "orders_0 orders_2024");
  // The grant of the partition of the same name.
  EXPECT_EQ(owner.query_value(
                "SELECT has_table_privilege('public', 'orders_2024', 'SELECT') "
                "AND NOT has_table_privilege('public', 'orders_0', 'SELECT')"),
            "t");
}

// Made NOT VALID and validated afterwards, like any other.
TEST_F(PartitionedSource, ReferencesToItComeAlongAndAreEnforced) {
  session().exec(
      "CREATE TABLE refers (no serial PRIMARY KEY, id integer, placed "
      "timestamp, CONSTRAINT to_it "
      "FOREIGN KEY (id, placed) REFERENCES orders ON UPDATE CASCADE);"
      "INSERT INTO refers (id, placed) SELECT id, placed FROM orders WHERE id "
      "% 100 = 0;"
      "CREATE TABLE bills (no integer PRIMARY KEY, id integer, placed "
      "timestamp, CONSTRAINT of_order FOREIGN KEY (id, placed) REFERENCES "
      "orders) PARTITION BY HASH (no);"
      "CREATE TABLE bills_0 PARTITION OF bills FOR VALUES WITH (MODULUS 2, "
      "REMAINDER 0);"
      "CREATE TABLE bills_1 PARTITION OF bills FOR VALUES WITH (MODULUS 2, "
      "REMAINDER 1);"
      "INSERT INTO bills SELECT id, id, placed FROM orders WHERE id % 100 = "
      "50");
  Program narrow = start_script(script_);
  EXPECT_EQ(narrow.wait(), kRefused) << narrow.output();
  EXPECT_NE(narrow.err().find("ALTER TABLE public.refers ALTER COLUMN id TYPE "
                              "bigint"),
            std::string::npos)
      << narrow.err();

  const std::string both = write_script(
      "orders", std::string(kScript) +
                    "ALTER TABLE refers ALTER COLUMN id TYPE bigint;"
                    "ALTER TABLE bills ALTER COLUMN id TYPE bigint;");
  expect_run(0, "", both);
  expect_migrated();
  Session owner = session();
  EXPECT_EQ(owner.query_value(
                "SELECT conrelid::regclass || ' ' || confrelid::regclass || "
                "' ' || convalidated::text FROM pg_constraint WHERE conname = "
                "'to_it'"),
            "refers orders true");
  EXPECT_EQ(owner.query_value(
                "SELECT string_agg(concat_ws(' ', conrelid::regclass, "
                "conparentid = 0, convalidated), ', ' ORDER BY "
                "conrelid::regclass::text) FROM pg_constraint WHERE conname = "
                "'of_order' AND confrelid = 'orders'::regclass"),
            "bills t t, bills_0 f t, bills_1 f t");
  EXPECT_EQ(owner.try_exec("DELETE FROM orders WHERE id = 250"), "23503");
  EXPECT_EQ(owner.try_exec("INSERT INTO bills VALUES (-1, 1, '1999-01-01')"),
            "23503");
  EXPECT_EQ(owner.try_exec("DELETE FROM orders WHERE id = 200"), "23503");
  EXPECT_EQ(owner.try_exec("INSERT INTO refers VALUES (-1, 1, '1999-01-01')"),
            "23503");
  owner.exec("UPDATE orders SET placed = '2023-12-12' WHERE id = 200");
  EXPECT_EQ(owner.query_value("SELECT placed FROM refers WHERE id = 200"),
            "2023-12-12 00:00:00");
  EXPECT_EQ(owner.query_value(
                "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND "
                "(conrelid::regclass || ' ' || confrelid::regclass) LIKE "
                "'%pgrecast%'"),
            "0");
  EXPECT_EQ(command({"finish", "--dsn", dsn(), "orders"}), 0);
}

// Those who know the table follow, and those who know its partitions: these
// stay what they are, and every row stays where it is.
TEST_F(PartitionedSource, ItsSubscribersFollowAndThoseOfItsPartitions) {
  session().exec("CREATE PUBLICATION by_leaf FOR TABLE orders");
  const Texts leaves = {"orders_2023", "orders_2024", "orders_2025_h1",
                        "orders_2025_h2", "orders_rest"};
  PgCluster elsewhere;
  Session subscriber = elsewhere.session();
  subscriber.exec(
      "CREATE TABLE orders (id integer, placed timestamp, customer integer, "
      "code text, amount numeric, legacy text, PRIMARY KEY (id, placed))");
  std::string all;
  for (const std::string& leaf : leaves) {
    subscriber.exec(
        fmt::format("CREATE TABLE {} (LIKE orders INCLUDING ALL)", leaf));
    all += fmt::format("{}TABLE {}", all.empty() ? "" : " UNION ALL ", leaf);
  }
  for (const char* publication : {"outside", "by_leaf"}) {
    subscriber.exec(fmt::format(
        "CREATE SUBSCRIPTION {0} CONNECTION $conninfo${1}$conninfo$ "
        "PUBLICATION {0}",
        publication, superuser_dsn()));
  }
  ASSERT_TRUE(eventually([&] {
    return subscriber.query_value(
               "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = "
               "'r'") == "6";
  })) << elsewhere.log_text();
  MovingLoad load(dsn(), MovingLoad::Through::kLeavesToo);
  ASSERT_TRUE(load.goes_on(50));

  expect_run(0, "",
             write_script("orders",
                          "ALTER TABLE orders ALTER COLUMN code TYPE text, "
                          "ALTER COLUMN amount SET DEFAULT 7;"));

  ASSERT_TRUE(load.goes_on(200));
  load.stop();
  EXPECT_EQ(load.failures(), "");
  const std::string digest =
      "SELECT count(*) || md5(string_agg(concat_ws(' ', id, placed, customer, "
      "code, amount, legacy), ',' ORDER BY id, placed)) FROM ";
  const std::string now = session().query_value(digest + "orders");
  for (const std::string& there : {std::string("orders"), all}) {
    EXPECT_TRUE(eventually([&] {
      return subscriber.query_value(
                 fmt::format("{} ({}) AS o", digest,
                             there == all ? all : "TABLE orders")) == now;
    })) << there
        << elsewhere.log_text();
  }
  EXPECT_EQ(elsewhere.log_text().find("ERROR"), std::string::npos)
      << elsewhere.log_text();
  subscriber.exec("DROP SUBSCRIPTION outside");
  subscriber.exec("DROP SUBSCRIPTION by_leaf");
}

// A row of it would be somewhere else, and its subscribers not hear of that.
TEST_F(PartitionedSource, SubscribersOfItsPartitionsKeepThemFromChanging) {
  session().exec("CREATE PUBLICATION by_leaf FOR TABLE orders");
  const std::string table = R"sql(
CREATE TABLE orders (
  id bigint NOT NULL DEFAULT nextval('orders_id_seq'),
  placed timestamp NOT NULL, customer integer NOT NULL,
  code text NOT NULL, amount numeric NOT NULL, PRIMARY KEY (id, placed))
  PARTITION BY RANGE ({});
CREATE TABLE orders_2023 PARTITION OF orders FOR VALUES FROM ({}) TO ({});
CREATE TABLE orders_rest PARTITION OF orders DEFAULT;)sql";
  session().exec(
      "DROP TABLE orders_2024, \"Orders 2025\";"
      "ALTER PUBLICATION outside DROP TABLE orders");
  for (const Texts& tree : {Texts{"id", "1", "5000"},
                            Texts{"placed", "'2023-01-01'", "'2023-07-01'"}}) {
    expect_run(kRefused,
               "publication by_leaf publishes the partitions of the table as "
               "tables of their own",
               write_script("orders", fmt::format(fmt::runtime(table), tree[0],
                                                  tree[1], tree[2])));
  }
  expect_run(
      0, "",
      write_script("orders", fmt::format(fmt::runtime(table), "placed",
                                         "'2023-01-01'", "'2024-01-01'")));
}

TEST_F(PartitionedSource, ItsForeignKeysComeAlongAndAreEnforced) {
  session().exec(
      "CREATE TABLE customers (id integer PRIMARY KEY);"
      "INSERT INTO customers SELECT DISTINCT customer FROM orders UNION SELECT "
      "generate_series(1, 1000);"
      "ALTER TABLE orders ADD CONSTRAINT to_customer FOREIGN KEY (customer) "
      "REFERENCES customers ON DELETE CASCADE");
  const std::string query =
      "SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, "
      "pg_get_constraintdef(oid), conparentid <> 0, convalidated), ', ' ORDER "
      "BY conrelid::regclass::text) FROM pg_constraint WHERE contype = 'f'";
  const std::string before = session().query_value(query);

  expect_run(0, "", script_);

  expect_migrated();
  EXPECT_EQ(session().query_value(query), before);
  EXPECT_EQ(session().try_exec("UPDATE orders SET customer = -1"), "23503");
}

TEST_F(PartitionedSource, BecomesAPlainTable) {
  const std::string plain = write_script("orders", R"sql(
CREATE TABLE orders (
  id bigint NOT NULL DEFAULT nextval('orders_id_seq'),
  placed timestamp NOT NULL,
  customer integer NOT NULL,
  code text NOT NULL,
  amount numeric NOT NULL,
  PRIMARY KEY (id, placed));
)sql");
  MovingLoad load(dsn(), MovingLoad::Through::kLeavesToo);
  Program run = start_script(plain, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  ASSERT_TRUE(load.goes_on(100));
  load.stop();
  EXPECT_EQ(load.failures(), "");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_EQ(run.wait(), 0) << run.output();

  Session owner = session();
  EXPECT_EQ(owner.query_value(
                "SELECT count(*) FROM (SELECT id, customer, code, amount, "
                "placed FROM orders EXCEPT ALL SELECT id, customer, code, "
                "amount, placed FROM orders_twin) AS d"),
            "0");
  EXPECT_EQ(owner.query_value("SELECT count(*) = (SELECT count(*) FROM "
                              "orders_twin) FROM orders"),
            "t");
  EXPECT_EQ(owner.query_value("SELECT relkind::text || ' ' || "
                              "(to_regclass('orders_2024') IS NULL)::text "
                              "FROM pg_class WHERE oid = 'orders'::regclass"),
            "r true");
}

TEST_F(PartitionedSource, ARowThatNoPartitionTakesIsTenWithItsKey) {
  const std::string narrow = write_script("narrow", R"sql(
ALTER TABLE orders ADD CONSTRAINT small CHECK (amount < 5000);
)sql");
  session().exec("UPDATE orders SET amount = 6000 WHERE id IN (4711, 4712)");
  Program run = start_script(narrow);
  EXPECT_EQ(run.wait(), 10) << run.output();
  // A sample has the greatest amount.
  EXPECT_THAT(run.err(), testing::ContainsRegex("471[12], 2024-08"));
  session().exec("UPDATE orders SET amount = 6 WHERE id IN (4711, 4712)");

  Program again = start_script(narrow, {"--cutover", "manual"});
  again.wait_for_output("phase changed.*phase=ready");
  session().exec("UPDATE orders SET amount = 6000 WHERE id = 9000");
  EXPECT_EQ(again.wait(), 10) << again.output();
  EXPECT_NE(again.err().find("9000"), std::string::npos) << again.err();
  EXPECT_EQ(
      command({"abort", "--dsn", dsn(), "--state-dir", state_dir(), "narrow"}),
      0);
}

struct Own {
  const char* sql;
  const char* text;
};

// What a partition has of its own, each by name. Groups, since some of it keeps
// the plan from looking at the rest.
TEST_F(PartitionedSource, WhatAPartitionHasOfItsOwnIsRefusedByName) {
  const std::vector<std::vector<Own>> groups = {
      {{"CREATE INDEX own_idx ON orders_2024 (code)", "own_idx"},
       {"ALTER TABLE orders_2024 ADD CONSTRAINT own_check CHECK (id > 0)",
        "own_check"},
       {"ALTER TABLE orders_2024 ALTER amount SET DEFAULT 4", "column amount"},
       {"GRANT SELECT (code) ON orders_2024 TO PUBLIC",
        "column grant on partition orders_2024 code"},
       {"CREATE TRIGGER own_trigger AFTER DELETE ON orders_2024 FOR EACH ROW "
        "EXECUTE FUNCTION note()",
        "own_trigger"},
       {"CREATE POLICY own_policy ON orders_2024 USING (true)", "own_policy"},
       {"ALTER TABLE orders_2023 ENABLE ROW LEVEL SECURITY",
        "partition orders_2023 is"},
       {"CREATE RULE own_rule AS ON DELETE TO orders_2024 DO INSTEAD NOTHING",
        "own_rule"},
       {"CREATE STATISTICS own_stats ON id, code FROM orders_2024",
        "own_stats"},
       {"CREATE VIEW own_view AS SELECT id FROM orders_2024", "own_view"},
       {"CREATE PUBLICATION own_pub FOR TABLE orders_2024", "own_pub"},
       {"CREATE SEQUENCE own_seq OWNED BY orders_2024.id", "own_seq"},
       {"CREATE TABLE refers (id integer, placed timestamp, CONSTRAINT own_ref "
        "FOREIGN KEY (id, placed) REFERENCES orders_2024)",
        "own_ref"},
       {"CREATE TABLE referred (id integer PRIMARY KEY); ALTER TABLE "
        "orders_2024 ADD CONSTRAINT own_key FOREIGN KEY (id) REFERENCES "
        "referred NOT VALID",
        "own_key"},
       {"CREATE INDEX half_idx ON ONLY orders (amount)", "half_idx"},
       {"COMMENT ON INDEX orders_2024_pkey IS 'own'",
        "comment on index of orders_pkey"}},
      {{"ALTER TABLE orders_2024 REPLICA IDENTITY FULL",
        "orders_2024 has a replica identity"},
       {"CREATE SCHEMA elsewhere; ALTER TABLE orders_2023 SET SCHEMA elsewhere",
        "lies in another schema"}},
      {{"CREATE MATERIALIZED VIEW own_kept AS SELECT id FROM orders_2024",
        "own_kept"}}};
  for (const std::vector<Own>& group : groups) {
    for (const Own& own : group) session().exec(own.sql);
    Program run = start_script(script_);
    EXPECT_EQ(run.wait(), kRefused) << run.output();
    for (const Own& own : group) {
      EXPECT_NE(run.err().find(own.text), std::string::npos)
          << own.text << run.err();
    }
    session().exec(
        "DROP OWNED BY CURRENT_USER CASCADE; CREATE SCHEMA IF NOT EXISTS "
        "public");
    session().exec(kSchema);
  }
}

// The exchange asks again.
TEST_F(PartitionedSource, WhatComesToAPartitionLaterStopsTheExchange) {
  Program run = start_script(script_, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  session().exec(
      "CREATE TRIGGER own_trigger AFTER DELETE ON orders_2024 FOR EACH ROW "
      "EXECUTE FUNCTION note();"
      "GRANT SELECT ON orders_2023 TO PUBLIC");
  EXPECT_EQ(command({"cutover", "--dsn", dsn(), "orders"}), 0);
  EXPECT_NE(run.wait(), 0);
  EXPECT_NE(run.err().find("own_trigger"), std::string::npos) << run.err();
  session().exec("DROP TRIGGER own_trigger ON orders_2024");

  expect_run(0, "", script_);
  expect_migrated();
  EXPECT_EQ(
      session().query_value(
          "SELECT has_table_privilege('public', 'orders_2023', 'SELECT')"),
      "t");
}

}  // namespace
}  // namespace pgrecast::test
