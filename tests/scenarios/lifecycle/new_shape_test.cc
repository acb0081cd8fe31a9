// CREATE TABLE with the name of a live table: its columns in another order.

#include "scenarios/lifecycle/lifecycle.h"

#include <string>

namespace pgrecast::test {
namespace {

class NewShape : public Lifecycle {};

// Whatever hangs off the table finds its columns by name: nothing may follow a
// column's number, which is another one's now.
TEST_F(NewShape, TakesEverythingAlongByNameUnderLoad) {
  session().exec(
      "CREATE POLICY mine ON orders USING (customer > 0);"
      "GRANT UPDATE (amount) ON orders TO PUBLIC;"
      "CREATE STATISTICS orders_stats ON customer, placed FROM orders;"
      "CREATE VIEW codes AS SELECT code, id FROM orders;"
      "ALTER TABLE customers ADD UNIQUE (name);");
  const std::string script = write_script(
      "orders",
      "CREATE TABLE orders (\n"
      "  state text NOT NULL DEFAULT 'new',\n"
      "  placed timestamp NOT NULL DEFAULT '2026-01-01',\n"
      "  amount numeric NOT NULL,\n"
      "  code text NOT NULL CONSTRAINT orders_code_key UNIQUE,\n"
      "  id bigint NOT NULL DEFAULT nextval('orders_id_seq') PRIMARY KEY,\n"
      "  customer integer NOT NULL);\n"
      "CREATE INDEX orders_customer_idx ON orders (customer);");
  start_load();

  Program run = start_script(script);
  ASSERT_EQ(run.wait(), 0) << run.output();
  stop_load();

  Session owner = session();
  EXPECT_EQ(owner.query_value(
                "SELECT string_agg(attname || ' ' || format_type(atttypid, "
                "atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE "
                "attrelid = 'orders'::regclass AND attnum > 0"),
            "state text, placed timestamp without time zone, amount numeric, "
            "code text, id bigint, customer integer");
  EXPECT_EQ(owner.query_value(
                "WITH a AS (SELECT id, customer, code::text, amount, placed "
                "FROM orders_twin), b AS (SELECT id, customer, code, amount, "
                "placed FROM orders) SELECT count(*) FROM ((TABLE a EXCEPT ALL "
                "TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) AS d"),
            "0");
  EXPECT_EQ(
      owner.query_rows(
          "SELECT conrelid::regclass, pg_get_constraintdef(oid), "
          "convalidated FROM pg_constraint WHERE contype = 'f' AND "
          "connamespace = 'public'::regnamespace ORDER BY contype, "
          "conname DESC"),
      (Rows{{"orders", "FOREIGN KEY (customer) REFERENCES customers(id)", "t"},
            {"lines", "FOREIGN KEY (order_id) REFERENCES orders(id)", "t"}}));
  EXPECT_EQ(owner.query_value("SELECT pg_get_viewdef('codes'::regclass)"),
            " SELECT orders.code,\n    orders.id\n   FROM orders;");
  EXPECT_NE(owner.query_value("SELECT count(*) FROM codes WHERE code LIKE 'c%' "
                              "AND id > 0"),
            "0");
  EXPECT_EQ(owner.query_value(
                "SELECT has_column_privilege('public', 'orders', 'amount', "
                "'UPDATE') AND NOT has_column_privilege('public', 'orders', "
                "'placed', 'UPDATE')"),
            "t");
  EXPECT_EQ(owner.query_value("SELECT pg_get_expr(polqual, polrelid) FROM "
                              "pg_policy WHERE polrelid = 'orders'::regclass"),
            "(customer > 0)");
  EXPECT_EQ(owner.query_value(
                "SELECT pg_get_statisticsobjdef_columns(oid) "
                "FROM pg_statistic_ext WHERE stxrelid = 'orders'::regclass"),
            "placed, customer");
  EXPECT_EQ(owner.query_value("SELECT pg_get_serial_sequence('orders', 'id')"),
            "public.orders_id_seq");
  EXPECT_EQ(owner.query_value("INSERT INTO orders (customer, code, amount) "
                              "VALUES (1, 'last', 1) RETURNING id > 12000"),
            "t");
  std::string output;
  EXPECT_EQ(
      command({"finish", "--dsn", dsn(), "--state-dir", state_dir(), "orders"},
              &output),
      0)
      << output;
}

}  // namespace
}  // namespace pgrecast::test
