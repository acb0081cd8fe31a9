#pragma once

#include "pgrecast/exchange/exchange.h"
#include "pgrecast/pg/connection.h"

#include "support/test_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <list>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::exchange {

// Sources in schema public, shadows made by hand in schema "m", where the
// names need quotes; retired tables go to "m-old".
class ExchangeFixture : public test::TestDatabase {
 protected:
  void SetUp() override {
    admin_.exec("CREATE SCHEMA m; CREATE SCHEMA \"m-old\"");
    prepare_guard(connection_, "m-old");
  }

  // A table that has a little of everything ordinary.
  void make_orders() {
    admin_.exec(R"sql(
CREATE TABLE public.orders (
  id bigserial PRIMARY KEY,
  customer int NOT NULL,
  note text DEFAULT 'none' CHECK (note <> ''),
  amount numeric(10,2) NOT NULL DEFAULT 0,
  doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,
  CONSTRAINT "orders one" UNIQUE (customer, note));
CREATE INDEX orders_note_idx ON public.orders (lower(note)) WHERE amount > 0;
COMMENT ON TABLE public.orders IS 'what was ordered';
COMMENT ON COLUMN public.orders.note IS 'free text';
INSERT INTO public.orders (customer, note, amount)
  SELECT g, 'n' || g, g FROM generate_series(1, 100) AS g)sql");
    make_shadow("orders");
  }

  // As the copy and the index builds leave it.
  void make_shadow(const std::string& name) {
    admin_.exec(fmt::format(
        R"sql(
CREATE TABLE m."{0}" (LIKE public."{0}" INCLUDING ALL
                      EXCLUDING INDEXES EXCLUDING STATISTICS);
DO $$
DECLARE statement text;
BEGIN
  FOR statement IN
    SELECT format('ALTER TABLE m.%I ADD CONSTRAINT %I %s', '{0}', conname,
                  pg_get_constraintdef(oid))
    FROM pg_constraint
    WHERE conrelid = 'public."{0}"'::regclass AND contype IN ('p', 'u', 'x')
    UNION ALL
    SELECT replace(pg_get_indexdef(indexrelid), ' ON public.', ' ON m.')
    FROM pg_index i WHERE indrelid = 'public."{0}"'::regclass
      AND NOT EXISTS (SELECT FROM pg_constraint c
                      WHERE c.conindid = i.indexrelid AND c.conrelid = i.indrelid
                        AND c.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT format('COMMENT ON TABLE m.%I IS %L', '{0}', description)
    FROM pg_description WHERE objoid = 'public."{0}"'::regclass AND objsubid = 0
    UNION ALL
    SELECT format('INSERT INTO m.%1$I (%2$s) OVERRIDING SYSTEM VALUE '
                  'SELECT %2$s FROM public.%1$I', '{0}',
                  string_agg(quote_ident(attname), ', '))
    FROM pg_attribute WHERE attrelid = 'public."{0}"'::regclass AND attnum > 0
      AND attgenerated = '' AND NOT attisdropped
  LOOP EXECUTE statement; END LOOP;
END $$)sql",
        name));
  }

  // What the plan would say about a table whose shadow is complete by now.
  ExchangeTable table(const std::string& name = "orders") {
    plan::TableTarget& target = targets_.emplace_back();
    target.source = {.schema = "public", .name = name};
    target.shadow = {.schema = "m", .name = name};
    target.retired = {.schema = "m-old", .name = name};
    const test::Rows indexes = admin_.query_rows(
        "SELECT ic.relname, i.indisprimary FROM pg_index i "
        "JOIN pg_class ic ON ic.oid = i.indexrelid "
        "WHERE i.indrelid = format('m.%I', $1::text)::regclass "
        "ORDER BY i.indisprimary DESC",
        name);
    for (const test::Row& index : indexes) {
      if (target.key_index.name.empty()) {
        target.key_index.name = index[0];
      } else {
        target.indexes.emplace_back().name = index[0];
      }
    }
    ExchangeTable made;
    made.target = &target;
    made.source_oid = oid("public", name);
    made.shadow_oid = oid("m", name);
    return made;
  }

  plan::TableTarget& last_target() { return targets_.back(); }

  catalog::Oid oid(const std::string& schema, const std::string& name) {
    return static_cast<catalog::Oid>(std::stoul(admin_.query_value(
        "SELECT format('%I.%I', $1::text, $2::text)::regclass::oid", schema,
        name)));
  }

  Attempt attempt(const std::vector<ExchangeTable>& tables,
                  const ExchangeHooks& hooks = {}) {
    return attempt_exchange(connection_, tables, options_, hooks);
  }

  // Exchanges, and does what is left to be done afterwards.
  void exchange(const std::vector<ExchangeTable>& tables) {
    const Attempt done = attempt(tables);
    ASSERT_EQ(done.outcome, Attempt::Outcome::kExchanged) << done.reason;
    for (const std::string& statement : done.afterwards) {
      connection_.exec(statement);
    }
  }

  // Of one of our own statements; the text of the only value.
  std::string value(const std::string& sql) { return admin_.query_value(sql); }

  // Whether a session waits for a lock.
  bool waits(int pid) {
    return admin_.query_value(
               "SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted",
               pid) != "0";
  }

  test::Session admin_ = session();
  pg::Connection connection_ = pg::Connection::open(
      {.conninfo = dsn(), .application = "pgrecast test"}, "exchange", {});
  ExchangeOptions options_;
  std::list<plan::TableTarget> targets_;
};

}  // namespace pgrecast::exchange
